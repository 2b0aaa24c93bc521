"""The keys of peers and interfaces refuse what does not fit them."""

import pytest

PEER_ERRORS = [
    ("pbxs", "{}", "`pbxs.x` has no `interface`; expected the name of an interface"),
    ("pbxs", "{}", "`pbxs.x` has no `address`; expected a SIP URI, a list of them, or `registers: true`"),
    ("trunks", "{}", "`trunks.x` has no `servers`; expected a SIP URI or a list of them"),
    (
        "trunks",
        "{interface: inside, servers: h}",
        "`h` is not a SIP URI; expected sip:HOST[:PORT][;transport=udp|tcp|tls] or sips:HOST[:PORT]",
    ),
    (
        "trunks",
        "{interface: inside, servers: sip:h, accept: 10.0.0.1/8}",
        "`10.0.0.1/8` has bits set behind its prefix; expected 10.0.0.0/8",
    ),
    (
        "trunks",
        "{interface: inside, servers: sip:h, accept: any}",
        "`accept: any` is for pbxs with `auth`; expected networks such as 192.0.2.0/24",
    ),
    (
        "trunks",
        "{interface: inside, servers: sip:h, latching: learn}",
        "`learn` is not a choice here; expected strict or address or nat",
    ),
    (
        "trunks",
        "{interface: inside, servers: sip:h, called_from: from}",
        "`from` is not a choice here; expected ruri or to or p-called-party-id",
    ),
    (
        "trunks",
        "{interface: inside, servers: sip:h, numbers: {caled: e164}}",
        "unknown key `caled` in `numbers`; did you mean `called`?",
    ),
    (
        "trunks",
        "{interface: inside, servers: sip:h, no_answer: 0s}",
        "`0s` is out of range; expected more than 0s and at most 1d",
    ),
    (
        "pbxs",
        "{interface: inside, address: sip:h, dids: 1XX}",
        "`1XX` is neither a number nor a range; expected a number or FIRST-LAST; no patterns here",
    ),
    (
        "pbxs",
        "{interface: inside, address: sip:h, dids: [{disaster: [{reject: 480}]}]}",
        "an entry of `dids` has no `numbers`; expected a number, FIRST-LAST, or a list of them",
    ),
]


@pytest.mark.parametrize(("section", "peer", "error"), PEER_ERRORS, ids=[error[:50] for _, _, error in PEER_ERRORS])
def test_an_error_of_a_peer(errors, well, section, peer, error):
    assert error in [line.split(": ", 1)[1] for line in errors(well, f"{section}:\n  x: {peer}\n")]


INTERFACE_ERRORS = [
    ("{sip: udp:127.0.0.50}", "`interfaces.x` has no `media`; expected an IP address, or one per family"),
    ("{media: 127.0.0.50}", "`interfaces.x` has no `sip`; expected a listener or a list of them"),
    (
        "{sip: sctp:127.0.0.50, media: 127.0.0.50}",
        "`sctp:127.0.0.50` is not a listener; expected udp:ADDRESS:PORT, tcp:ADDRESS:PORT or tls:ADDRESS:PORT",
    ),
    (
        "{sip: udp:0.0.0.0, media: 127.0.0.50}",
        "`0.0.0.0` is not one host's address; expected the address itself: peers are told it in Via, Contact and SDP",
    ),
    ("{sip: udp:127.0.0.50, media: host}", "`host` is not an IP address; expected an IPv4 or IPv6 literal"),
    (
        "{sip: udp:127.0.0.50, media: 127.0.0.50, dscp: {sip: x}}",
        "`x` is no DSCP; expected cs0 to cs7, af11 to af43, ef, va, or 0 to 63",
    ),
]


@pytest.mark.parametrize(("interface", "error"), INTERFACE_ERRORS, ids=[error[:50] for _, error in INTERFACE_ERRORS])
def test_an_error_of_an_interface(errors, well, interface, error):
    assert error in [line.split(": ", 1)[1] for line in errors(well, f"interfaces:\n  x: {interface}\n")]
