"""A PBX's address, registration and sources against each other; a server against the listeners of its interface."""

import pytest

AUTH = "auth: {username: x, password: {env: X}}"

WRONG = [
    (
        "registers: true, address: sip:h, accept: any, " + AUTH,
        "`pbxs.x` has `address` and `registers: true`; expected one of them",
    ),
    ("registers: false", "`pbxs.x` has no `address`; expected a SIP URI, a list of them, or `registers: true`"),
    (
        "registers: true, " + AUTH,
        "nothing says from where `x` may register; expected `accept`: networks, or any with `auth`",
    ),
    ("address: sip:h, accept: any", "`accept: any` without `auth`; expected auth: {username, password}"),
    ("address: sip:h, accept: [10.0.0.0/8, any], " + AUTH, "`any` beside networks; expected `any` alone, or networks"),
    ("registers: maybe, accept: 10.0.0.0/8", "`maybe` is neither true nor false; expected true or false"),
]


@pytest.mark.parametrize(("keys", "error"), WRONG, ids=[keys for keys, _ in WRONG])
def test_no_pbx(errors, well, keys, error):
    found = errors(well, f"pbxs:\n  x: {{interface: inside, {keys}}}\n")
    assert [line.split(": ", 1)[1] for line in found] == [error]


def test_a_pbx_may_register_from_anywhere_or_from_networks(load, well):
    anywhere = load(well, f"pbxs:\n  x: {{interface: inside, registers: true, accept: any, {AUTH}}}\n").peers["x"]
    assert (anywhere.registers, anywhere.accepts_any, anywhere.accept) == (True, True, ())
    near = load(well, f"pbxs:\n  x: {{interface: inside, registers: true, accept: 10.0.0.0/8, {AUTH}}}\n").peers["x"]
    assert (near.registers, near.accepts_any, near.accept) == (True, False, ("10.0.0.0/8",))


def test_a_pbx_with_an_address_may_speak_from_anywhere(load, well):
    policy = load(well, f"pbxs:\n  x: {{interface: inside, address: sip:10.0.0.1, accept: any, {AUTH}}}\n")
    assert policy.peers["x"].accepts_any
    assert policy.identify("inside", "192.0.2.77", 5060).name == "x"


def test_registering_without_an_account_is_a_warning(load, well):
    policy = load(
        well, "pbxs:\n  x: {interface: inside, registers: true, accept: 10.0.0.0/8}\n", "routes: [{to: dids}]"
    )
    assert [str(warning) for warning in policy.warnings] == [
        "b.yaml:2:3: `x` registers without `auth`; whoever speaks from its networks gets its calls"
    ]


@pytest.mark.parametrize(("health", "count"), [("{options: 9s}", 1), ("passive", 1), ("off", 0)])
def test_nothing_probes_a_pbx_that_registers(load, well, health, count):
    keys = f"interface: inside, registers: true, accept: any, {AUTH}, health: {health}"
    warnings = [str(warning) for warning in load(well, f"pbxs:\n  x: {{{keys}}}\n").warnings]
    assert sum("`health` means nothing with `registers: true`" in warning for warning in warnings) == count


TCP_ONLY = "interfaces:\n  wan: {sip: tcp:127.0.0.50, media: 127.0.0.50}\n"


@pytest.mark.parametrize("server", ["sip:h.example", "sip:h.example;transport=tcp", "sip:127.0.0.60;transport=tcp"])
def test_a_server_needs_a_listener_of_its_transport(load, well, server):
    load(well, TCP_ONLY + f"trunks:\n  x: {{interface: wan, servers: {server}}}\n")


@pytest.mark.parametrize(
    "server", ["sip:h.example;transport=udp", "'sip:h.example:5060'", "sip:127.0.0.60", "'sip:127.0.0.60:5060'"]
)
def test_only_a_name_without_port_and_transport_may_choose_one(errors, well, server):
    """RFC 3263 §4.1: numeric, or with a port, and without a transport: "the client SHOULD use UDP for a SIP URI"."""
    (found,) = errors(well, TCP_ONLY + f"trunks:\n  x: {{interface: wan, servers: {server}}}\n")
    assert "udp listener on `wan` to reach" in found
