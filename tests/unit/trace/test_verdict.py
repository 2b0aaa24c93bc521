"""What was heard of a call, in words."""

import json

from sbc.trace.verdict import MediaVerdict

ROW = {"codec": "PCMU", "packets": 10}


def told(egress, engines):
    media = json.dumps({"ingress": [ROW], "egress": egress})
    return str(MediaVerdict(media, ("carrier", "office"), (("userland",), engines))).splitlines()


def test_a_stream_that_was_over_before_the_end_is_not_said_to_be_the_last_ones_of_that_side():
    """The call was transferred to the office: what came from the peer before it is not the office's."""
    secured = ROW | {"srtp": "AES_CM_128_HMAC_SHA1_80 by SDES"}
    assert told([secured, ROW], ("userland",)) == [
        "media from carrier: PCMU, 10 packets, relayed in userland",
        "media on the side of office, earlier: PCMU, SRTP AES_CM_128_HMAC_SHA1_80 by SDES, 10 packets",
        "media from office: PCMU, 10 packets, relayed in userland",
    ]


def test_where_nothing_is_known_of_engines_all_are_told_alike():
    assert told([ROW, ROW], ())[1:] == ["media from office: PCMU, 10 packets"] * 2
