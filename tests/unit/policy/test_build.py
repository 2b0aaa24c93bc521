from sbc.core.address import Address, Transport
from sbc.policy.model import Listener


def test_defaults(load, well):
    policy = load(well)
    assert (policy.name, policy.data_dir, policy.admin, policy.country, policy.stop_after) == (
        "sbc", "./var", "127.0.0.1:8088", "US", 10.0,
    )  # fmt: skip
    assert (policy.media.first_port, policy.media.last_port, policy.media.engine, policy.media.workers) == (
        20_000, 29_999, "auto", 1,
    )  # fmt: skip
    office = policy.peers["office"]
    assert (office.kind, office.no_reply, office.no_progress, office.no_answer) == ("pbx", 4.0, 20.0, 180.0)
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


def test_every_built_key_reaches_its_value(load):
    policy = load("""\
sbc: {name: hq, data_dir: d, admin: "[::1]:1", country: GB, stop_after: 1s}
interfaces:
  net:
    sip: [udp:127.0.0.10:5060, tcp:127.0.0.10:5060]
    media: [127.0.0.10, "::1"]
    dscp: {sip: cs3, media: ef}
    advertise: {sip: "sbc.example.com:5060", media: 203.0.113.9}
media: {ports: 3000-3999, engine: userland, workers: 1}
pbxs:
  p:
    interface: net
    address: [sip:127.0.0.30, sip:127.0.0.31]
    accept: [127.0.0.30, 127.0.1.0/24]
    dids: ["02079460000-02079460009", {numbers: "100"}]
    numbers: {called: last-4, caller: national}
    no_reply: 1s
    no_progress: 2s
    no_answer: 3s
    latching: strict
trunks:
  t: {interface: net, servers: sip:h.example, domain: d.example, called_from: to, numbers: e164-bare}
routes:
  - {name: r, from: t, to: [X., dids], caller: "100", strip: 1, prepend: "9", via: [p, t], no_answer: 9s}
  - {from: p, reject: 603}
""")
    assert (policy.name, policy.admin, policy.country, policy.stop_after) == ("hq", "[::1]:1", "GB", 1.0)
    net = policy.interfaces["net"]
    assert (net.media, net.dscp_sip, net.dscp_media) == (("127.0.0.10", "::1"), 24, 46)
    assert (net.sip_advertise, net.media_advertise) == ("sbc.example.com:5060", "203.0.113.9")
    assert (policy.media.first_port, policy.media.last_port, policy.media.engine) == (3000, 3999, "userland")
    p, t = policy.peers["p"], policy.peers["t"]
    assert [s.host for s in p.servers] == ["127.0.0.30", "127.0.0.31"]
    assert p.accept == ("127.0.0.30/32", "127.0.1.0/24")
    assert (p.called_form, p.caller_form, p.latching) == ("last-4", "national", "strict")
    assert (p.no_reply, p.no_progress, p.no_answer) == (1.0, 2.0, 3.0)
    assert (t.domain, t.called_from, t.called_form, t.caller_form) == ("d.example", "to", "e164-bare", "e164-bare")
    assert [(d.first, d.last) for d in policy.dids] == [("+442079460000", "+442079460009"), ("100", "100")]
    first, second = policy.routes
    assert (first.name, first.from_peers, first.to, first.caller) == ("r", ("t",), ("X.", "dids"), ("100",))
    assert (first.strip, first.prepend, first.via, first.no_answer) == (1, "9", ("p", "t"), 9.0)
    assert (second.name, second.reject) == ("route-2", 603)
    assert policy.host_names == ("h.example",)


def test_a_range_of_dids_is_of_one_kind(errors, well):
    assert errors(well, "pbxs: {x: {interface: inside, address: sip:h, dids: 1999999999-2000000000}}") == [
        "b.yaml:1:53: the range 1999999999-2000000000 mixes kinds of numbers; expected one kind"
    ]
