"""Where an emergency caller is goes with his call, by reference and in the body; with other calls it stays at home."""
# RFC: 6442

import pytest

from sbc.sip.multipart import description_of, parts_of
from sbc.sip.parse import parse_message
from sbc.testing.world import FAR, OUTSIDE, POLICY

HELP = POLICY.replace(
    "routes:\n",
    "  spare: {interface: outside, servers: ['sip:198.51.100.8:5060']}\n"
    "routes:\n  - {name: help, from: office, to: emergency, emergency: true, via: [carrier, spare]}\n",
)
PIDF = b'<presence entity="pres:anybody@example.com"><geopriv/></presence>'
MIXED = ("Content-Type", 'multipart/mixed; boundary="b1"')
WHERE = (("Geolocation", "<cid:where@example.com>"), ("Geolocation-Routing", "yes"))


def beside_a_location(description):
    return (
        b"--b1\r\nContent-Type: application/sdp\r\n\r\n" + description + b"\r\n"
        b"--b1\r\nContent-Type: application/pidf+xml\r\nContent-ID: <where@example.com>\r\n\r\n"
        + PIDF
        + b"\r\n--b1--\r\n"
    )


def invites_to(sbc, phone):
    sent = [data for data in sbc.net.sent_to(phone.name) if data.startswith(b"INVITE")]
    return [parse_message(data, stream=False) for data in sent]


def test_a_location_crosses_beside_our_description_to_every_trunk_that_is_tried(world):
    sbc = world(HELP)
    office, carrier = sbc.office(), sbc.carrier()
    spare = sbc.phone("second.carrier.net", "198.51.100.8:5060", through=OUTSIDE)
    office.agent.line.spoil = beside_a_location
    office.invites("911", fields=(MIXED, *WHERE))
    carrier.refuses(503)
    office.agent.line.spoil = bytes
    spare.answers()
    assert sbc.hears(office, spare)
    office.hangs_up()
    for invite in (*invites_to(sbc, carrier), *invites_to(sbc, spare)):
        sdp, pidf = parts_of(invite.body, invite.header("Content-Type"))
        assert sdp.content_type == "application/sdp"
        assert b"10.0.0." not in sdp.body
        assert pidf.body == PIDF
        assert ("Content-ID", "<where@example.com>") in pidf.fields
        assert invite.headers("Geolocation") == ["<cid:where@example.com>"]
        assert invite.header("Geolocation-Routing") == "yes"
    assert sbc.idle()


def test_a_location_of_an_ordinary_call_stays_at_home(world):
    sbc = world(HELP)
    office, carrier = sbc.office(), sbc.carrier()
    office.agent.line.spoil = beside_a_location
    office.invites(FAR, fields=(MIXED, *WHERE))
    office.agent.line.spoil = bytes
    carrier.answers()
    assert sbc.hears(office, carrier)
    office.hangs_up()
    [invite] = invites_to(sbc, carrier)
    assert invite.content_type == "application/sdp"
    assert not invite.headers("Geolocation")
    assert all(b"example.com" not in data for data in sbc.net.sent_to(carrier.name))
    assert sbc.idle()


def test_a_location_may_come_without_an_offer(world):
    sbc = world(HELP)
    office, carrier = sbc.office(), sbc.carrier()
    office.agent.line.spoil = lambda _: PIDF
    fields = (("Content-Type", "application/pidf+xml"), ("Content-ID", "<where@example.com>"), *WHERE)
    office.invites("911", sdp=False, fields=fields)
    office.agent.line.spoil = bytes
    carrier.answers()
    assert sbc.hears(office, carrier)
    office.hangs_up()
    [invite] = invites_to(sbc, carrier)
    assert description_of(invite) == b""
    assert [part.body for part in parts_of(invite.body, invite.header("Content-Type"))] == [PIDF]
    assert sbc.idle()


@pytest.mark.parametrize(
    ("content_type", "status"),
    [("multipart/mixed;boundary=other", 400), ("multipart/mixed", 400), ("text/plain", 415)],
)
def test_a_body_that_is_not_what_it_says_is_refused_and_nothing_is_left(world, content_type, status):
    sbc = world(HELP)
    office, carrier = sbc.office(), sbc.carrier()
    office.agent.line.spoil = beside_a_location
    office.invites("911", fields=(("Content-Type", content_type),))
    assert office.got(status)
    assert not carrier.heard
    assert sbc.idle()
