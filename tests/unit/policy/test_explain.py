import pytest

from sbc.core.errors import OperatorError
from sbc.policy.explain import dry_run, explain
from sbc.policy.model import Facts

ROUTES = """\
routes:
  - {name: no-premium, from: office, to: premium, reject: 403}
  - {name: outbound, from: office, to: national, via: carrier-a, no_answer: 60s}
"""


def lines(policy, *facts, live=None):
    return explain(policy, Facts(*facts), live).splitlines()


def test_why_a_call_goes_where_it_goes(load, well):
    assert lines(load(well, ROUTES), "office", "415-555-0123", "100") == [
        "pbx office calls 415-555-0123",
        "  called  4155550123 · E.164 +14155550123 · national · a DID of office",
        "  caller  100 · no E.164 form",
        "routes tried:",
        "  b.yaml:2:5: no-premium: no match: the called number is not premium",
        "  b.yaml:3:5: outbound: matched",
        "hunt of route outbound:",
        "  1. trunk carrier-a (a.yaml:7:3): sip:127.0.0.40:5060",
        "     called as +14155550123 (e164) · caller as 100 (e164)",
        "     next after 4s without a reply or 20s without ringing · rings 60s · from interface outside",
        "caps: none",
    ]


def test_why_a_call_is_refused(load, well):
    policy = load(well, ROUTES)
    assert lines(policy, "office", "19005551234", "")[-1] == "refused: 403, by route no-premium"
    assert lines(policy, "office", "100", "")[-1] == "refused: 404, no route takes this number"
    assert dry_run(policy, Facts("office", "100", "")).is_refused
    assert not dry_run(policy, Facts("office", "4155550123", "")).is_refused


def test_a_peer_that_is_none_is_the_operators_mistake(load, well):
    with pytest.raises(OperatorError, match=r"`ofice` is no peer of this policy; did you mean `office`\?"):
        explain(load(well), Facts("ofice", "100", ""))


def test_nobody_said_who_calls(load, well):
    policy = load(
        well, "routes: [{name: vip, from: office, caller: '100', via: carrier-a}, {name: all, via: carrier-a}]"
    )
    assert not any(line.startswith("  caller") for line in lines(policy, "carrier-a", "200", ""))
    told = lines(policy, "office", "200", "")
    assert "  caller  not given, so no route that asks for a caller matches" in told
    assert "     called as 200 (e164) · no caller given" in told
    assert not any(line.startswith("  caller") for line in lines(load(well, ROUTES), "office", "4155550123", ""))


EMERGENCY = """\
routes:
  - {name: all, via: carrier-a}
  - {name: help, from: office, to: emergency, emergency: true, via: carrier-a}
trunks: {full: {interface: outside, servers: sip:127.0.0.44, call_paths: 2, numbers: national-1}}
"""


def test_an_emergency_goes_first_as_dialled_and_past_every_cap(load, well):
    capped = EMERGENCY.replace("via: carrier-a}\ntrunks", "via: full}\ntrunks")
    assert lines(load(well, capped), "office", "911", "")[2:] == [
        "routes tried, emergency routes first:",
        "  b.yaml:3:5: help: matched",
        "emergency call: the number goes out as dialled, and every failure goes on to the next target",
        "hunt of route help:",
        "  1. trunk full (b.yaml:4:10): sip:127.0.0.44",
        "     called as 911 (as dialled) · no caller given",
        "     next after 4s without a reply or 20s without ringing · rings 180s · from interface outside",
        "     call paths 2, which an emergency may exceed",
        "caps: none for an emergency call",
    ]


def test_an_emergency_number_without_an_emergency_route_is_worth_a_word(load, well):
    told = lines(load(well, EMERGENCY), "carrier-a", "112", "")
    assert "beware: an emergency number of US, and no emergency route takes it from carrier-a" in told
    assert not any("beware" in line for line in lines(load(well, EMERGENCY), "office", "112", ""))


TRUNK = """\
trunks:
  full:
    interface: outside
    servers: ["sip:127.0.0.44", "sip:127.0.0.45;transport=tcp"]
    register: {aor: "sip:+14155550100@carrier.example", expires: 600s}
    auth: {username: acme, password: {env: SECRET}}
    call_paths: {total: 24, inbound: 20, outbound: 18, reserve: {emergency: 1, inbound: 2}}
    when_full: {outbound: 480}
    cps: 10
    health: {options: 30s}
routes:
  - {name: out, from: office, via: [{to: full, weight: 70}, {to: carrier-a, weight: 30}],
     limits: {cps: 2}, continue_on: [486, 480], stop_on: [500]}
  - {name: in, from: full, to: dids}
sbc: {cps: 50}
"""


PATHS = "call paths 24, at most 18 outbound, 1 kept for emergencies, 2 kept for inbound calls"


def policy_of(load, *texts):
    return load(*texts, environment={"SECRET": "x"})


def test_the_hunt_tells_weights_caps_registration_and_health(load, well):
    assert lines(policy_of(load, well, TRUNK), "office", "100", "")[4:] == [
        "hunt of route out:",
        "  1. trunk full (b.yaml:2:3), weight 70: sip:127.0.0.44, then sip:127.0.0.45;transport=tcp",
        "     called as 100 (e164) · no caller given",
        "     next after 4s without a reply or 20s without ringing · rings 180s · from interface outside",
        "     in the domain carrier.example",
        "     registers as sip:+14155550100@carrier.example for 10m",
        "     health by OPTIONS every 30s, every 5s while down: down after 3 failures, up after 2 replies in a row",
        f"     {PATHS} · at most 10 new calls a second",
        "  2. trunk carrier-a (a.yaml:7:3), weight 30: sip:127.0.0.40:5060",
        "     called as 100 (e164) · no caller given",
        "     next after 4s without a reply or 20s without ringing · rings 180s · from interface outside",
        "  neighbours with a weight are tried in an order that is drawn for each call",
        "  the hunt also goes on after 480, 486 and stops at 500",
        "caps:",
        "  all calls: at most 50 new calls a second",
        "  route out: at most 2 new calls a second",
        "  trunk full: when its call paths are taken, the next target; if there is none, 480",
    ]


def test_a_call_that_comes_in_holds_a_path_of_its_trunk(load, well):
    told = lines(policy_of(load, well, TRUNK), "full", "+14155550123", "")
    assert told[-3:] == [
        "caps:",
        "  all calls: at most 50 new calls a second",
        "  trunk full: call paths 24, at most 20 inbound, 1 kept for emergencies; when full, 486",
    ]


def test_a_running_sbc_adds_how_each_peer_is_now(load, well):
    live = {"carrier-a": "down since 09:00:00: no reply to OPTIONS\n18 of 24 call paths in use", "office": "up"}
    told = lines(load(well, ROUTES), "office", "4155559999", "", live=live)
    assert told[2] == "  now: up"
    assert told[-3:] == [
        "     now: down since 09:00:00: no reply to OPTIONS",
        "     now: 18 of 24 call paths in use",
        "caps: none",
    ]


def test_a_running_sbc_adds_what_every_call_meets(load, well):
    told = lines(load(well, ROUTES), "office", "4155559999", "", live={"": "draining", "office": "up"})
    assert told[2:4] == ["  now: draining", "  now: up"]


DISASTER = """\
pbxs:
  branch: {interface: inside, registers: true, accept: any, auth: {username: branch, password: {env: SECRET}}}
routes:
  - name: in
    from: carrier-a
    to: dids
    disaster:
      - {forward: "+442079460000"}
      - {forward: "+14155559999", via: carrier-a}
      - {pbx: branch}
      - {reject: 480}
"""


def test_the_disaster_plan_is_told_step_by_step_with_what_is_skipped(load, well):
    told = lines(policy_of(load, well, DISASTER), "carrier-a", "+14155550123", "+14155550777")
    assert told[told.index("caps: none") - 13 :] == [
        "disaster plan, tried when office is out of service, gives no reply, cannot be reached or answers 503:",
        "  b.yaml:8:9: forward to +442079460000: skipped, no route takes it from office",
        "  b.yaml:9:9: forward to +14155559999 via carrier-a",
        "  b.yaml:10:9: to pbx branch",
        "  b.yaml:11:9: reject 480",
        "  1. trunk carrier-a (a.yaml:7:3): sip:127.0.0.40:5060",
        "     called as +14155559999 (e164) · caller as +14155550777 (e164)",
        "     next after 4s without a reply or 20s without ringing · rings 180s · from interface outside",
        "     diverted from +14155550123",
        "  2. pbx branch (b.yaml:2:3): where it has registered",
        "     called as +14155550123 (e164) · caller as +14155550777 (e164)",
        "     next after 4s without a reply or 20s without ringing · rings 180s · from interface inside",
        "  then refused: 480",
        "caps: none",
    ]


def test_a_plan_without_a_reject_ends_as_its_last_target_did(load, well):
    short = DISASTER.replace("      - {reject: 480}\n", "")
    told = lines(policy_of(load, well, short), "carrier-a", "+14155550123", "")
    assert told[-2] == "  then refused as the last of them was"


SCREENED = """\
pbxs:
  hq:
    interface: inside
    address: sip:127.0.0.33
    dids: "+14155550300-+14155550399"
    caller_id: {mode: screen, default: "+14155550300", on_fail: REPLACE}
routes:
  - {name: help, to: emergency, emergency: true, via: carrier-a}
  - {name: out, via: carrier-a, caller: "+141555503XX"}
"""


def test_a_foreign_caller_is_shown_as_screening_makes_him(load, well):
    told = lines(load(well, SCREENED.replace("REPLACE", "replace")), "hq", "+14155559999", "200")
    assert told[2] == "  caller  200 · no E.164 form · shown as +14155550300"
    assert told[3].startswith("  caller ID screened: foreign numbers are replaced by +14155550300, unless hq diverted")
    assert "     called as +14155559999 (e164) · caller as +14155550300 (e164)" in told


def test_an_own_number_passes_screening_however_it_is_written(load, well):
    told = lines(load(well, SCREENED.replace("REPLACE", "replace")), "hq", "+14155559999", "4155550377")
    assert "     called as +14155559999 (e164) · caller as +14155550377 (e164)" in told


def test_a_foreign_caller_may_be_made_anonymous(load, well):
    anonymous = SCREENED.replace("REPLACE", "anonymous").replace('default: "+14155550300", ', "")
    told = lines(load(well, anonymous.replace(', caller: "+141555503XX"', "")), "hq", "+14155559999", "200")
    assert "     called as +14155559999 (e164) · caller as anonymous (e164)" in told


def test_a_refused_caller_may_still_call_for_help(load, well):
    policy = load(well, SCREENED.replace("REPLACE", "reject"))
    refused = dry_run(policy, Facts("hq", "+14155559999", "200"))
    assert refused.is_refused
    assert refused.text.splitlines()[-1] == "refused: 403, 200 is no number of hq and caller_id.on_fail is reject"
    assert not dry_run(policy, Facts("hq", "911", "200")).is_refused


def test_a_fixed_caller_is_shown_whoever_calls(load, well):
    fixed = SCREENED.replace("mode: screen", "mode: fixed").replace("on_fail: REPLACE", "on_fail: replace")
    told = lines(load(well, fixed), "hq", "+14155559999", "")
    assert "  caller ID always +14155550300" in told
    assert "     called as +14155559999 (e164) · caller as +14155550300 (e164)" in told


def test_codecs_that_either_side_may_not_use_are_told(load, well):
    policy = load(
        well,
        "trunks:\n  x: {interface: outside, servers: sip:h, codecs: [PCMA, telephone-event]}\n",
        "routes: [{from: office, to: national, via: [x, carrier-a]}, {to: dids}]",
    )
    out = explain(policy, Facts("office", "4155559999", "")).splitlines()
    assert [line for line in out if "codecs" in line] == ["     codecs pcma, telephone-event only"]
    back = explain(policy, Facts("x", "4155550100", "")).splitlines()
    assert [line for line in back if "codecs" in line] == ["  codecs pcma, telephone-event only"]
