# ruff: noqa: E501, ISC004 (tables of exact texts)
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
        "nothing says from where `x` may register; expected `accept`: networks, or any with `auth` or with tls: {identity: certificate}",
    ),
    (
        "address: sip:h, accept: any",
        "`accept: any` without `auth`; expected auth: {username, password}, or tls: {identity: certificate}",
    ),
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


def trunk(keys: str) -> str:
    return "trunks:\n  x:\n    interface: outside\n    servers: sip:h\n    " + keys.replace(" | ", "\n    ") + "\n"


@pytest.mark.parametrize("word", ["info", "rfc4733"])
def test_digits_need_telephone_event_among_the_codecs(errors, well, word):
    assert errors(well, trunk(f"codecs: [PCMA] | dtmf: {word}")) == [
        f"b.yaml:6:11: `dtmf: {word}` where `codecs` lacks telephone-event; expected it there; `codecs` is at b.yaml:5:13"
    ]


@pytest.mark.parametrize(
    "keys",
    [
        "codecs: [PCMA, telephone-event/8000] | dtmf: info",
        "codecs: {order: [PCMA]} | dtmf: info",
        "codecs: [PCMA, telephone-event]",
        "codecs: [PCMA] | dtmf: pass",
    ],
)
def test_digits_have_a_way(load, well, keys):
    assert load(well, trunk(keys), "routes: [{to: dids}]").warnings == ()


def test_a_list_of_codecs_that_forgot_the_digits_is_a_warning(load, well):
    policy = load(well, trunk("codecs: {allow: PCMA}"), "routes: [{to: dids}]")
    assert [str(warning) for warning in policy.warnings] == [
        "b.yaml:5:13: `codecs` lacks telephone-event; digits cross as tones, or by INFO; `dtmf: pass` means so"
    ]


def test_digits_by_info_need_the_method(errors, well):
    assert errors(well, trunk("methods: [INVITE, UPDATE] | dtmf: info")) == [
        "b.yaml:6:11: `dtmf: info` where `methods` lacks INFO; expected it there; `methods` is at b.yaml:5:14"
    ]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (
            "methods: INVITE | transfer: terminate",
            [
                "b.yaml:6:15: `transfer: terminate` means nothing where `methods` lacks REFER; "
                "a REFER gets 405; `methods` is at b.yaml:5:14"
            ],
        ),
        ("methods: [INVITE, REFER] | transfer: terminate", []),
        ("methods: INVITE | transfer: refuse", []),
        ("transfer: terminate", []),
        (
            "methods: INVITE | events: presence",
            [
                "b.yaml:6:13: `events` means nothing without NOTIFY, PUBLISH, SUBSCRIBE; "
                "expected one of them in `methods` at b.yaml:5:14"
            ],
        ),
        ("methods: [INVITE, subscribe] | events: presence", []),
        ("events: presence", []),
    ],
)
def test_keys_that_need_a_method_that_is_not_listed_are_warnings(load, well, keys, expected):
    policy = load(well, trunk(keys), "routes: [{to: dids}]")
    assert [str(warning) for warning in policy.warnings] == expected


def test_a_pbx_is_checked_like_a_trunk(errors, well):
    keys = "address: sip:h, codecs: [PCMA], methods: INVITE, dtmf: info"
    found = errors(well, f"pbxs:\n  x: {{interface: inside, {keys}}}\n")
    assert len(found) == 2
