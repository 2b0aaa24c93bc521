import pytest

from sbc.policy.model import Facts

ROUTES = """\
routes:
  - {name: no-premium, from: office, to: premium, reject: 403}
  - {name: vip, from: office, caller: ["+141555501XX"], to: "9.", strip: 1, via: [carrier-b, carrier-a], no_answer: 30s}
  - {name: outbound, from: office, to: [national, "+44X."], via: carrier-a}
  - {name: inbound, from: [carrier-a, carrier-b], to: dids}
"""

CARRIER_B = """\
trunks:
  carrier-b:
    interface: outside
    servers: sip:127.0.0.41
    numbers: {called: national, caller: e164-bare}
"""


@pytest.fixture
def policy(load, well):
    return load(well, CARRIER_B, ROUTES)


def hunt(decision):
    return [(target.peer.name, target.called, target.caller, target.no_answer) for target in decision.hunt]


def test_the_first_route_that_matches_wins(policy):
    decision = policy.decide(Facts("office", "19005551234", "100"))
    assert (decision.route, decision.reject, decision.hunt) == ("no-premium", 403, ())


def test_the_hunt_has_every_peer_of_via_in_order_with_its_own_forms(policy):
    decision = policy.decide(Facts("office", "94155559999", "4155550100"))
    assert decision.route == "vip"
    assert hunt(decision) == [
        ("carrier-b", "4155559999", "14155550100", 30.0),
        ("carrier-a", "+14155559999", "+14155550100", 30.0),
    ]
    assert (decision.called_e164, decision.caller_e164) == ("94155559999", "+14155550100")


def test_a_route_to_dids_goes_to_the_pbx_that_owns_the_number(policy):
    for dialled in ("+14155550123", "14155550123", "4155550123"):
        decision = policy.decide(Facts("carrier-a", dialled, "+442079460000"))
        assert hunt(decision) == [("office", "+14155550123", "+442079460000", 180.0)]
        assert decision.called_e164 == "+14155550123"


def test_a_number_that_no_route_takes_is_404_with_every_reason(policy):
    decision = policy.decide(Facts("office", "100", "100"))
    assert (decision.route, decision.reject, decision.called_e164) == (None, 404, "100")
    assert str(decision).endswith("\nreject 404: no route takes this number")
    assert [str(step) for step in decision.because] == [
        "c.yaml:2:5: no-premium: no match: the called number is not premium",
        "c.yaml:3:5: vip: no match: the called number is not 9.",
        "c.yaml:4:5: outbound: no match: the called number is not any of national, +44X.",
        "c.yaml:5:5: inbound: no match: the call is not from any of carrier-a, carrier-b",
    ]


def test_reasons_end_with_the_route_that_took_the_call(policy):
    decision = policy.decide(Facts("office", "94155559999", "200"))
    assert [str(step) for step in decision.because][1] == "c.yaml:3:5: vip: no match: the caller is not +141555501XX"
    decision = policy.decide(Facts("office", "94155559999", "4155550100"))
    assert [str(step) for step in decision.because][-1] == "c.yaml:3:5: vip: matched"


def test_a_peer_of_no_route_gets_404(policy):
    assert policy.decide(Facts("nobody", "4155550123", "")).reject == 404


def test_dids_with_via_go_there(load, well):
    policy = load(well, "routes: [{to: dids, via: carrier-a}]")
    assert hunt(policy.decide(Facts("office", "4155550123", "")))[0][0] == "carrier-a"


def test_a_call_may_go_back_to_the_peer_that_it_came_from(load, well):
    policy = load(well, "routes: [{to: dids}]")
    assert hunt(policy.decide(Facts("office", "4155550123", ""))) == [("office", "+14155550123", "", 180.0)]


def test_a_route_without_conditions_takes_everything(load, well):
    policy = load(well, "routes: [{via: carrier-a}]")
    for called in ("100", "alice", "+14155550123"):
        assert hunt(policy.decide(Facts("office", called, ""))) == [("carrier-a", called, "", 180.0)]


@pytest.mark.parametrize(
    ("rewrite", "dialled", "sent"),
    [
        ("strip: 1", "94155550123", "+14155550123"),
        ("strip: 1", "9100", "100"),
        ("strip: 1", "+14155550123", "+14155550123"),
        ("prepend: '+1'", "4155550123", "+14155550123"),
        ("prepend: '9'", "+14155550123", "914155550123"),
        ("strip: 2, prepend: '011'", "00442079460000", "+442079460000"),
        ("prepend: '*67'", "100", "*67100"),
        ("strip: 3", "alice", "alice"),
    ],
)
def test_strip_and_prepend_apply_to_what_was_dialled_before_forms_are_made(load, well, rewrite, dialled, sent):
    policy = load(well, f"routes: [{{{rewrite}, via: carrier-a}}]")
    assert hunt(policy.decide(Facts("office", dialled, "")))[0][1] == sent


def test_a_number_of_which_nothing_is_left_is_484(load, well):
    policy = load(well, "routes: [{name: r, strip: 3, via: carrier-a}]")
    decision = policy.decide(Facts("office", "100", ""))
    assert (decision.route, decision.reject, decision.hunt) == ("r", 484, ())


def test_a_call_without_a_number_is_484_where_a_route_takes_it(load, well):
    policy = load(well, "routes: [{via: carrier-a}]")
    assert policy.decide(Facts("office", "", "")).reject == 484


def test_what_a_trunk_of_bare_numbers_sends_is_read_as_e164(load, well):
    policy = load(
        well,
        "trunks: {bare: {interface: outside, servers: sip:127.0.0.42, numbers: e164-bare}}",
        "routes: [{name: in, from: bare, to: dids}, {name: out, from: office, via: bare}]",
    )
    decision = policy.decide(Facts("bare", "14155550123", "442079460000"))
    assert hunt(decision) == [("office", "+14155550123", "+442079460000", 180.0)]
    assert hunt(policy.decide(Facts("office", "4155559999", "100"))) == [("bare", "14155559999", "100", 180.0)]


def test_a_pbx_of_bare_numbers_still_dials_by_the_countrys_plan(load, well):
    pbx = "pbxs: {bare: {interface: inside, address: sip:127.0.0.42, numbers: e164-bare}}"
    policy = load(well, pbx, "routes: [{via: carrier-a}]")
    assert hunt(policy.decide(Facts("bare", "4155559999", "")))[0][1] == "+14155559999"


def test_the_same_facts_give_the_same_decision(policy):
    facts = Facts("office", "4155559999", "4155550100")
    assert policy.decide(facts) == policy.decide(facts)


def test_identify_and_learn_addresses(load, well):
    policy = load(well, "trunks: {named: {interface: outside, servers: sip:Sip.Example.com}}")
    assert policy.identify("inside", "127.0.0.30", 5060) is policy.peers["office"]
    assert policy.identify("outside", "192.0.2.7", 5060) is None
    policy.learn_addresses("sip.example.com", ["192.0.2.7"])
    assert policy.identify("outside", "192.0.2.7", 5060) is policy.peers["named"]
    assert policy.accepted(policy.peers["named"]) == ("192.0.2.7/32",)


def test_what_it_says_of_caps_alarms_and_secrets(load, well):
    policy = load(
        well,
        "sbc: {cps: 50, alerts: {webhook: 'https://alerts.example.com/'}}",
        "path_pools: {acme: 24}",
        "trunks: {pooled: {interface: outside, servers: sip:127.0.0.45, call_paths: {pool: acme}}, "
        "own: {interface: outside, servers: sip:127.0.0.46, call_paths: 4, auth: {username: u, password: {env: NO}}}}",
    )
    assert (policy.cps, policy.webhook) == (50, "https://alerts.example.com/")
    assert policy.path_pools == {"acme": 24}
    assert {name: (rules.total, rules.pool) for name, rules in policy.path_rules.items()} == {
        "pooled": (24, "acme"),
        "own": (4, None),
    }
    assert [str(problem.where).partition(":")[0] for problem in policy.unresolved] == ["d.yaml"]


def test_a_disaster_plan_from_yaml_is_the_dids_or_else_the_rules(load, well):
    all_of_them, one = '"+14155550100-+14155550199"', '{numbers: "+14155550150", disaster: [{reject: 486}]}'
    policy = load(
        well.replace(all_of_them, f"[{all_of_them}, {one}]"),
        "routes: [{from: carrier-a, to: dids, disaster: [{forward: '+14155559999', via: carrier-a}, {reject: 480}]}]",
    )
    for called, targets, reject in (("+14155550149", ["+14155559999"], 480), ("+14155550150", [], 486)):
        facts = Facts("carrier-a", called, "")
        plan = policy.disaster_plan(facts, policy.decide(facts))
        assert ([target.called for target in plan.hunt], plan.reject) == (targets, reject)
        assert str(plan.because[-1].where).startswith("b.yaml" if targets else "a.yaml")
