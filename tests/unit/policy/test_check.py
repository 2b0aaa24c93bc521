# ruff: noqa: E501 (tables of exact texts)
import pytest

from sbc.policy.check import summary


def test_the_summary_says_what_would_run(load, well):
    policy = load(
        well,
        "sbc: {name: hq}\nmedia: {ports: 3001-3006}\n",
        "interfaces: {wan: {sip: udp:127.0.0.50, media: 127.0.0.50, advertise: {sip: sbc.example.com, media: 192.0.2.1}}}\n"
        "trunks: {b: {interface: wan, servers: [sip:h, sip:127.0.0.51], numbers: {called: national}}}\n"
        "routes: [{name: out, from: office, caller: 1XX, to: national, via: [b, carrier-a]}, {to: dids}, {reject: 603}]\n",
    )
    assert summary(policy).splitlines() == [
        "hq: 3 interfaces, 1 pbx, 2 trunks, 3 routes, 100 DIDs",
        "  admin 127.0.0.1:8088 · data_dir ./var",
        "  country US · stop_after 10s",
        "  media ports 3001-3006 (2 pairs per address)",
        "  media engine auto · 1 worker · calls end after 5m of silence · media outlives signalling by 1h",
        "interface inside: udp:127.0.0.10:5060 tcp:127.0.0.10:5060 · media 127.0.0.10",
        "interface outside: udp:127.0.0.20:5060 tcp:127.0.0.20:5060 · media 127.0.0.20",
        "interface wan: udp:127.0.0.50:5060 · media 127.0.0.50",
        "  shown to peers as sbc.example.com and 192.0.2.1",
        "pbx office on inside: sip:127.0.0.30:5060",
        "  speaks from 127.0.0.30/32 · numbers e164",
        "  owns +14155550100-+14155550199",
        "trunk carrier-a on outside: sip:127.0.0.40:5060",
        "  speaks from 127.0.0.40/32 · numbers e164",
        "trunk b on wan: sip:h, then sip:127.0.0.51",
        "  speaks from 127.0.0.51/32 · numbers national (caller e164)",
        "route out: office → national by 1XX: b, then carrier-a",
        "route route-2: any peer → dids: the PBX that owns it",
        "route route-3: any peer → any number: refused with 603",
        "warning: a.yaml:5:3: no route with `emergency: true` is for `office`; emergency numbers get what the other routes say",
    ]


TRUNK_ISSUE = """\
sbc: {cps: 50, alerts: {webhook: "https://hooks.example/services/hunter2"}}
path_pools: {acme: 24}
pbxs:
  branch:
    interface: inside
    registers: true
    accept: any
    auth: {username: branch, password: hunter2, algorithms: [sha-256, md5]}
    dids: ["+14155550200-+14155550209", {numbers: "+14155550205", disaster: [{forward: "+14155559998"}, {pbx: office}]}]
    caller_id: {mode: screen, default: "+14155550200"}
    limits: {call_paths: 40, cps: 5, minutes_per_day: 6000, max_duration: 4h}
trunks:
  b:
    interface: outside
    servers: sip:b.example
    auth: {username: acme, password: {env: NONE}}
    register: {aor: "sip:acme@b.example", gin: true, expires: 90s}
    call_paths: {total: 24, inbound: 20, reserve: {emergency: 1, outbound: 2}}
    when_full: {inbound: 600}
    cps: 1
    health: {options: 10s}
  c: {interface: outside, servers: sip:c.example, call_paths: {pool: acme}, health: passive}
routes:
  - {name: sos, to: emergency, emergency: true, via: [b, c]}
  - {name: out, from: branch, to: national, via: [{to: b, weight: 70}, {to: c, weight: 30}, carrier-a],
     limits: {cps: 1}, continue_on: [486, 480], stop_on: 403}
  - {name: in, from: [b, c], to: dids, disaster: [{forward: "+14155559999", via: [b, c]}, {reject: 480}]}
"""


def test_the_summary_says_in_words_what_trunks_do(load, well):
    shown = summary(load(well, TRUNK_ISSUE))
    assert "hunter2" not in shown
    lines = shown.splitlines()
    first = lines.index("  at most 50 new calls per second")
    assert lines[first + 1] == "  alerts to hooks.example"
    assert lines[lines.index("pbx branch on inside: where it registers") :] == [
        "pbx branch on inside: where it registers",
        "  speaks from anywhere, with credentials · numbers e164",
        "  is challenged as branch by sha-256, then md5",
        "  calls limited to 40 calls at once, 5 new per second, 6000 minutes a day, 4h each",
        "  callers are screened; others become +14155550200",
        "  owns +14155550200-+14155550209, +14155550205",
        "  while it is down, +14155550205: forward to +14155559998, then the PBX office",
        "trunk carrier-a on outside: sip:127.0.0.40:5060",
        "  speaks from 127.0.0.40/32 · numbers e164",
        "trunk b on outside: sip:b.example",
        "  speaks from what its servers resolve to · numbers e164",
        "  logs in as acme · its password cannot be read",
        "  registers sip:acme@b.example for 90s, all numbers at once · keep-alive every 30s",
        "  health: OPTIONS every 10s, every 5s while not up · 4s to reply · down after 3, up after 2",
        "  24 call paths, at most 20 inbound, 1 kept for emergencies, 2 kept for outbound · when full, 503 to the PBX and 600 to the carrier",
        "  at most 1 new call per second",
        "trunk c on outside: sip:c.example",
        "  speaks from what its servers resolve to · numbers e164",
        "  health by live traffic alone",
        "  24 call paths of the pool acme · when full, 503 to the PBX and 486 to the carrier",
        "pool acme: 24 call paths for c",
        "emergency route sos: any peer → emergency: b, then c",
        "route out: branch → national: b (weight 70) or c (weight 30), then carrier-a",
        "  the hunt goes on after 480, 486 and stops after 403",
        "  calls limited to 1 new per second",
        "route in: b, c → dids: the PBX that owns it",
        "  while the PBX is down: forward to +14155559999 over b, then c, then refuse with 480",
        "warning: a.yaml:5:3: `office` has a disaster plan but no `health`; the plan waits for each call to fail first",
        "warning: b.yaml:8:40: a password stands in the policy; better {file: PATH}, {env: NAME} or {credential: NAME}",
        "warning: b.yaml:16:44: the environment variable `NONE` is not set; expected it to hold the password",
    ]


def test_limits_that_limit_nothing_do_not_sound_like_none_at_all(load, well):
    policy = load(well, "pbxs: {x: {interface: inside, address: sip:x, limits: {}}}")
    text = summary(policy)
    assert "  calls not limited" in text.splitlines()
    assert "2 interfaces, 2 pbxs, 1 trunk" in text


def test_a_number_in_two_ranges_is_counted_once(load, well):
    policy = load(well, 'pbxs: {x: {interface: inside, address: sip:x, dids: [100-109, "105", 200-201, 1000]}}')
    assert "113 DIDs" in summary(policy).splitlines()[0]


CALLERS = [
    ("{mode: pass}", "  callers pass as they are"),
    ("{mode: fixed, default: 4155550100}", "  the caller is always +14155550100"),
    ("{mode: screen, on_fail: reject}", "  callers are screened; others are refused"),
    ("{mode: screen, on_fail: anonymous}", "  callers are screened; others become anonymous"),
]


@pytest.mark.parametrize(("rule", "line"), CALLERS, ids=[rule for rule, _ in CALLERS])
def test_caller_id_in_words(load, well, rule, line):
    policy = load(well, f"pbxs: {{x: {{interface: inside, address: sip:x, caller_id: {rule}}}}}")
    assert line in summary(policy).splitlines()


def test_the_summary_ends_with_warnings(load, well):
    assert summary(load(well)).splitlines()[-1] == "warning: a.yaml:1:1: no route is defined; every call will get 404"


def test_the_summary_says_where_a_peer_is_not_like_others_in_a_call(load, well):
    policy = load(
        well,
        "trunks:\n  x: {interface: outside, servers: sip:h, dtmf: info, headers: {add: {X-Key: hunter2}}}\n"
        "  y: {interface: outside, servers: sip:i, transfer: refuse, dtmf: pass, session_timer: {}}\n",
    )
    lines = summary(policy).splitlines()
    at = lines.index("trunk x on outside: sip:h")
    assert lines[at + 2 : at + 4] == ["  digits by INFO · gets X-Key", "trunk y on outside: sip:i"]
    assert lines[at + 5].startswith("warning")
    assert "hunter2" not in summary(policy)
