# ruff: noqa: ISC004 (tables of exact texts)
"""Names that nothing defines, things that overlap, sources that mean two peers."""

import pytest

ERRORS = [
    ("sbc: {}", "a.yaml:1:1: no interface is defined; expected the section interfaces"),
    (
        "{W}routes: [{name: a, via: office}, {name: a, via: office}]",
        "a.yaml:8:41: the route `a` is defined twice; expected it once; first at a.yaml:8:17",
    ),
    ("{W}routes: [{from: offic, via: carrier-a}]", "a.yaml:8:17: `offic` in `from` is no peer; did you mean `office`?"),
    (
        "{W}routes: [{via: zzz}]",
        "a.yaml:8:16: `zzz` in `via` is no peer; expected one of carrier-a, office",
    ),
    (
        "{W}routes: [{via: office, reject: 403}]",
        "a.yaml:8:32: a route with both `via` and `reject`; expected one of them",
    ),
    (
        "{W}routes: [{to: [dids, '100']}]",
        "a.yaml:8:10: a route without `via` or `reject`; expected one of them, or `to: dids` alone",
    ),
]


@pytest.mark.parametrize(("text", "error"), ERRORS, ids=[error.split(": ", 1)[1][:50] for _, error in ERRORS])
def test_an_error_says_where_what_and_what_was_expected(errors, well, text, error):
    assert error in errors(text.replace("{W}", well).replace("{W1}", "a"))


PEER_ERRORS = [
    ("pbxs", "{interface: insid, address: sip:h}", "`insid` is no interface; did you mean `inside`?"),
    (
        "trunks",
        "{interface: inside, servers: 'sip:[::1]'}",
        "no IPv6 udp listener on `inside` to reach `sip:[::1]` from; expected one in interfaces.inside.sip, "
        "or another transport for `x`",
    ),
    (
        "trunks",
        "{interface: inside, servers: sip:127.0.0.10}",
        "`sip:127.0.0.10` is our own listener; expected where `x` listens",
    ),
    (
        "trunks",
        "{interface: outside, servers: 'sip:127.0.0.10:5060', accept: 192.0.2.1}",
        "`sip:127.0.0.10:5060` is our own listener; expected where `x` listens",
    ),
    (
        "trunks",
        "{interface: outside, servers: sip:127.0.0.40}",
        "`x` and `carrier-a` both accept 127.0.0.40/32 on `outside`, and no route tells them apart by DID; expected "
        "other sources or ports, AORs that differ, or routes with DIDs of their own; other at a.yaml:7:3",
    ),
    (
        "pbxs",
        "{interface: inside, address: sip:h, dids: 4155550150}",
        "`+14155550150` of `x` overlaps `+14155550100-+14155550199` of `office`; "
        "expected each number at one PBX; the other is at a.yaml:5:67",
    ),
]


@pytest.mark.parametrize(("section", "peer", "error"), PEER_ERRORS, ids=[error[:50] for _, _, error in PEER_ERRORS])
def test_an_error_of_a_peer(errors, well, section, peer, error):
    assert error in [line.split(": ", 1)[1] for line in errors(well, f"{section}:\n  x: {peer}\n")]


INTERFACE_ERRORS = [
    (
        "{sip: udp:127.0.0.10, media: 127.0.0.50}",
        "the listener udp:127.0.0.10:5060 is taken; expected another address or port; first at a.yaml:2:18",
    ),
    (
        "{sip: udp:127.0.0.50, media: [127.0.0.50, 127.0.0.51]}",
        "`interfaces.x` has two IPv4 media addresses; expected at most one per family; first at b.yaml:2:36",
    ),
    (
        "{sip: udp:127.0.0.50, media: 127.0.0.50, advertise: {media: '2001:db8::1'}}",
        "`2001:db8::1` is of a family that `interfaces.x.media` has not; expected the family of a media address",
    ),
]


@pytest.mark.parametrize(("interface", "error"), INTERFACE_ERRORS, ids=[error[:50] for _, error in INTERFACE_ERRORS])
def test_an_error_of_an_interface(errors, well, interface, error):
    assert error in [line.split(": ", 1)[1] for line in errors(well, f"interfaces:\n  x: {interface}\n")]


def test_a_pbx_and_a_trunk_may_not_share_a_name(errors, well):
    assert errors(well, "trunks:\n  office: {interface: outside, servers: sip:h}\n") == [
        "b.yaml:2:3: `office` names a trunk and a pbx; expected names unique across both; the pbx is at a.yaml:5:3"
    ]


def test_names_are_checked(errors, well):
    assert errors(well, 'trunks:\n  "a b": {interface: outside, servers: sip:h}\n') == [
        "b.yaml:2:3: `a b` cannot be a name; expected up to 64 letters, digits and _ . -, the first a letter or digit"
    ]


def test_warnings_stop_nothing(load, well):
    policy = load(well, "trunks: {b: {interface: outside, servers: sip:127.0.0.40:5070}}", "routes: [{to: dids}]")
    assert [str(w) for w in policy.warnings] == [
        "b.yaml:1:10: `b` and `carrier-a` share 127.0.0.40/32 and are told apart by source port; "
        "what comes from any other port there is taken for `carrier-a`"
    ]


def test_missing_peers_and_routes_are_warnings(load, well):
    interfaces = well[: well.index("pbxs")]
    assert [w.wrong for w in load(interfaces).warnings] == ["no peer is defined"]
    assert [w.wrong for w in load(well).warnings] == ["no route is defined"]


def test_the_admin_address_is_a_listener_too(errors, load, well):
    taken = "interfaces: {x: {sip: tcp:127.0.0.1:8088, media: 127.0.0.1}}"
    assert errors(well + "sbc: {admin: 127.0.0.1:8088}", taken) == [
        "b.yaml:1:23: the listener tcp:127.0.0.1:8088 is taken; expected another address or port; first at a.yaml:8:14"
    ]
    assert load(well + "sbc: {admin: unix:x}", taken)
    assert load(well + "sbc: {admin: off}", taken.replace("tcp", "udp"))


def test_a_listener_among_the_media_ports_is_a_warning(load, well):
    policy = load(well, "interfaces: {x: {sip: udp:127.0.0.50:20000, media: 127.0.0.50}}\nroutes: [{to: dids}]")
    assert [str(w) for w in policy.warnings] == [
        "b.yaml:1:23: this listener's port lies within media.ports; one of the two may find it taken"
    ]


def test_an_interface_whose_listeners_are_wrong_is_not_blamed_twice(errors, well):
    found = errors(well.replace("udp:127.0.0.20:5060, tcp:127.0.0.20:5060", "sctp:127.0.0.20"))
    assert found == [
        "a.yaml:3:19: `sctp:127.0.0.20` is not a listener; expected udp:ADDRESS:PORT, tcp:ADDRESS:PORT or "
        "tls:ADDRESS:PORT"
    ]


def test_many_peers_at_one_address_need_ports_of_their_own(errors, well):
    trunks = "".join(f"  t{n}: {{interface: outside, servers: 'sip:127.0.0.60:{5060 + n // 2}'}}\n" for n in range(4))
    assert [line.split(" on ")[0] for line in errors(well, f"trunks:\n{trunks}")] == [
        "b.yaml:3:3: `t1` and `t0` both accept 127.0.0.60/32",
        "b.yaml:5:3: `t3` and `t2` both accept 127.0.0.60/32",
    ]
