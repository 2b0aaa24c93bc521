import pytest

from sbc.core.address import Address, Transport
from sbc.core.secret import Secret
from sbc.policy.engine import Policy
from sbc.policy.model import (
    Auth,
    CallerId,
    CdrRules,
    Health,
    Hep,
    Limits,
    Listener,
    LogRules,
    MediaSettings,
    PathRules,
    Postgres,
    Register,
    Via,
    WhenFull,
)


def test_defaults(load, well):
    policy = load(well)
    assert (policy.name, policy.data_dir, policy.admin, policy.country, policy.stop_after) == (
        "sbc", "./var", "127.0.0.1:8088", "US", 10.0,
    )  # fmt: skip
    assert policy.media == MediaSettings(20_000, 29_999, "auto", 1, 300.0, 3600.0)
    office = policy.peers["office"]
    assert (office.kind, office.no_reply, office.no_progress, office.no_answer) == ("pbx", 4.0, 20.0, 180.0)
    assert (office.media_from, office.transcode) == ((), "auto")
    assert (office.latching, office.called_form, office.caller_form, office.called_from) == (
        "address",
        "e164",
        "e164",
        "ruri",
    )
    assert policy.interfaces["inside"].listeners == (
        Listener(Transport.UDP, Address("127.0.0.10", 5060)),
        Listener(Transport.TCP, Address("127.0.0.10", 5060)),
    )


def test_data_dir_defaults_to_the_first_state_directory_of_the_environment(load, well):
    assert load(well, environment={"STATE_DIRECTORY": "/var/lib/sbc:/var/lib/other"}).data_dir == "/var/lib/sbc"
    assert load("sbc: {data_dir: x}\n" + well, environment={"STATE_DIRECTORY": "/var/lib/sbc"}).data_dir == "x"


EVERY_KEY = """\
sbc: {name: hq, data_dir: d, admin: "[::1]:1", country: GB, stop_after: 1s, cps: 50, alerts: {webhook: "https://h/x"},
  admin_token: {env: TOKEN}, log: {numbers: full, level: debug},
  hep: {server: "udp:192.0.2.5:9060", node: 7, password: {env: P}},
  cdr: {keep: 400d, postgres: {url: "postgresql://sbc@db/sbc", password: {env: P}}}}
interfaces:
  net:
    sip: [udp:127.0.0.10:5060, tcp:127.0.0.10:5060]
    media: [127.0.0.10, "::1"]
    dscp: {sip: cs3, media: ef}
    advertise: {sip: "sbc.example.com:5060", media: 203.0.113.9}
media: {ports: 3000-3999, engine: userland, workers: 2, silence_timeout: off, orphan_timeout: 90s}
path_pools: {acme: 24}
pbxs:
  p:
    interface: net
    address: [sip:127.0.0.30, sip:127.0.0.31]
    accept: [127.0.0.30, 127.0.1.0/24]
    auth: {username: p, password: {env: P}, algorithms: [sha-256, md5]}
    dids: ["02079460000-02079460009", {numbers: ["100", "102"], disaster: {pbx: q}}]
    caller_id: {mode: screen, default: "02079460000", on_fail: anonymous}
    limits: {call_paths: 4, cps: 5, minutes_per_day: 6, max_duration: 7s}
    numbers: {called: last-4, caller: national}
    health: {options: 1s, retry: 2s, timeout: 1s, fall: 4, rise: 5}
    no_reply: 1s
    no_progress: 2s
    no_answer: 3s
    latching: nat
    media_from: [127.0.0.0/24, 127.0.0.0/24, "fd00::/48"]
    transcode: "off"
  q: {interface: net, registers: true, accept: any, auth: {username: q, password: {env: P}}}
trunks:
  t:
    interface: net
    servers: sip:h.example
    called_from: to
    numbers: e164-bare
    auth: {username: t, password: {env: T}}
    register: {aor: "sip:t@d.example", expires: 60s, gin: true, keepalive: 1s}
    call_paths: {pool: acme, inbound: 20, outbound: 19, reserve: {emergency: 1, inbound: 2, outbound: 3}}
    when_full: {outbound: 500, inbound: 600}
    cps: 10
    health: passive
routes:
  - {name: e, from: p, to: emergency, emergency: true, via: t}
  - name: r
    from: t
    to: [X., dids]
    caller: "100"
    strip: 1
    prepend: "9"
    via: [p, {to: t, weight: 7}]
    no_answer: 9s
    continue_on: [480, 486]
    stop_on: 503
    limits: {cps: 1}
    disaster: [{forward: "02079460001", via: [t]}, {reject: 480}]
  - {from: p, reject: 603}
"""


@pytest.fixture
def full(load) -> Policy:
    """A policy that says every key."""
    return load(EVERY_KEY, environment={"P": "hunter2", "T": "hunter3", "TOKEN": "0123456789abcdef"})


def test_every_built_key_of_the_node_reaches_its_value(full):
    assert (full.name, full.admin, full.country, full.stop_after) == ("hq", "[::1]:1", "GB", 1.0)
    assert (full.cps, full.webhook, full.path_pools) == (50, "https://h/x", {"acme": 24})
    assert (full.admin_token, full.log) == (Secret("0123456789abcdef"), LogRules("full", "debug"))
    assert full.hep == Hep(Address("192.0.2.5", 9060), 7, Secret("hunter2"))
    assert full.cdr == CdrRules(400 * 86_400.0, Postgres("postgresql://sbc@db/sbc", Secret("hunter2")))
    net = full.interfaces["net"]
    assert (net.media, net.dscp_sip, net.dscp_media) == (("127.0.0.10", "::1"), 24, 46)
    assert (net.sip_advertise, net.media_advertise) == ("sbc.example.com:5060", "203.0.113.9")
    assert full.media == MediaSettings(3000, 3999, "userland", 2, 0.0, 90.0)


def test_every_built_key_of_a_pbx_reaches_its_value(full):
    p, q = full.peers["p"], full.peers["q"]
    assert [s.host for s in p.servers] == ["127.0.0.30", "127.0.0.31"]
    assert (p.accept, p.accepts_any, p.registers) == (("127.0.0.30/32", "127.0.1.0/24"), False, False)
    assert (q.servers, q.accept, q.accepts_any, q.registers) == ((), (), True, True)
    assert p.auth == Auth("p", Secret("hunter2"), ("sha-256", "md5"), p.auth.where)
    assert q.auth.algorithms == ("md5",)
    assert p.caller_id == CallerId("screen", "+442079460000", "anonymous", p.caller_id.where)
    assert p.limits == Limits(4, 5, 6, 7.0)
    assert p.health == Health(False, 1.0, 2.0, 1.0, 4, 5)
    assert (p.called_form, p.caller_form, p.latching) == ("last-4", "national", "nat")
    assert (p.media_from, p.transcode) == (("127.0.0.0/24", "fd00::/48"), "off")
    assert (p.no_reply, p.no_progress, p.no_answer) == (1.0, 2.0, 3.0)
    assert [(d.first, d.last, [step.pbx for step in d.disaster]) for d in full.dids] == [
        ("+442079460000", "+442079460009", []),
        ("100", "100", ["q"]),
        ("102", "102", ["q"]),
    ]


def test_every_built_key_of_a_trunk_reaches_its_value(full):
    t = full.peers["t"]
    assert (t.domain, t.called_from, t.called_form, t.caller_form) == ("d.example", "to", "e164-bare", "e164-bare")
    assert t.auth == Auth("t", Secret("hunter3"), where=t.auth.where)
    assert t.register == Register("t", "d.example", 60.0, gin=True, keepalive=1.0, where=t.register.where)
    assert t.paths == PathRules(24, 20, 19, 1, 2, 3, "acme")
    assert (t.when_full, t.cps, t.health) == (WhenFull(500, 600), 10, Health(passive=True))


def test_every_built_key_of_a_route_reaches_its_value(full):
    emergency, second, third = full.routes
    assert (emergency.name, emergency.emergency, emergency.via) == ("e", True, (Via("t"),))
    assert (second.name, second.from_peers, second.to, second.caller) == ("r", ("t",), ("X.", "dids"), ("100",))
    assert (second.strip, second.prepend, second.no_answer) == (1, "9", 9.0)
    assert second.via == (Via("p"), Via("t", 7))
    assert (second.continue_on, second.stop_on, second.limits) == ({480, 486}, {503}, Limits(cps=1))
    forward, reject = second.disaster
    assert (forward.number, forward.via, reject.status) == ("+442079460001", ("t",), 480)
    assert (third.name, third.reject, third.emergency, third.disaster) == ("route-3", 603, False, ())


def test_a_range_of_dids_is_of_one_kind(errors, well):
    assert errors(well, "pbxs: {x: {interface: inside, address: sip:h, dids: 1999999999-2000000000}}") == [
        "b.yaml:1:53: the range 1999999999-2000000000 mixes kinds of numbers; expected one kind"
    ]
