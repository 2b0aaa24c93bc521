"""What a rule says of a call that it takes, with policies made of values."""

import pytest

from sbc.policy.engine import Policy
from sbc.policy.model import DidRange, Facts, Limits, Peer, RejectWith, Route, Server, Settings, Via

OFFICE = Peer("office", "pbx", "inside", (Server("127.0.0.30"),))
BRANCH = Peer("branch", "pbx", "inside", (Server("127.0.0.31"),), called_form="last-4")
A = Peer("carrier-a", "trunk", "outside", (Server("127.0.0.40"),))
B = Peer("carrier-b", "trunk", "outside", (Server("127.0.0.41"),), called_form="e164-bare", caller_form="national")
DIDS = (DidRange("+14155550100", "+14155550199", "office"), DidRange("+14155550200", "+14155550299", "branch"))


def policy(*routes, dids=DIDS):
    return Policy(Settings(), peers=(OFFICE, BRANCH, A, B), routes=routes, dids=dids)


def decide(*routes, peer="office", called="+14155559999", caller="+14155550100", dids=DIDS):
    return policy(*routes, dids=dids).decide(Facts(peer, called, caller))


def sent(decision):
    return [(target.peer.name, target.called, target.caller) for target in decision.hunt]


OUTBOUND = Route("outbound", via=(Via("carrier-a"),))
EMERGENCY = Route("help", ("office",), ("emergency",), via=(Via("carrier-b"), Via("carrier-a")), emergency=True)
INBOUND = Route("inbound", ("carrier-a", "carrier-b"), ("dids",))


def test_emergency_routes_are_tried_before_all_others_wherever_they_stand():
    decision = decide(OUTBOUND, EMERGENCY, called="911")
    assert (decision.route, decision.emergency, decision.rule) == ("help", True, EMERGENCY)
    assert [step.rule for step in decision.because] == ["help"]


def test_emergency_routes_keep_their_order():
    first, second = Route("one", to=("112",), via=(Via("carrier-a"),), emergency=True), EMERGENCY
    assert decide(OUTBOUND, first, second, called="112").route == "one"
    assert decide(OUTBOUND, second, first, called="112").route == "help"


def test_an_emergency_number_goes_out_exactly_as_dialled_whatever_a_trunk_wants():
    assert sent(decide(EMERGENCY, called="911")) == [
        ("carrier-b", "911", "4155550100"),
        ("carrier-a", "911", "+14155550100"),
    ]


@pytest.mark.parametrize("dialled", ["4155550111", "+14155550111", "415-555-0111", "*911"])
def test_so_does_one_that_has_another_form(dialled):
    everything = Route("help", via=(Via("carrier-b"),), emergency=True, strip=2, prepend="00")
    assert sent(decide(everything, called=dialled))[0][1] == dialled


def test_the_word_emergency_means_the_countrys_numbers():
    for called, taken in {"911": True, "112": True, "999": False, "9911": False, "+1911": False}.items():
        assert decide(EMERGENCY, called=called).emergency is taken


def test_who_has_no_emergency_route_falls_through_to_the_others():
    decision = decide(EMERGENCY, OUTBOUND, peer="branch", called="911")
    assert (decision.route, decision.emergency) == ("outbound", False)
    assert [str(step) for step in decision.because] == [
        "-: help: no match: the call is not from office",
        "-: outbound: matched",
    ]


def test_who_has_an_emergency_route():
    assert [policy(EMERGENCY).has_emergency_route(name) for name in ("office", "branch")] == [True, False]
    assert policy(Route("help", via=(Via("carrier-a"),), emergency=True)).has_emergency_route("branch")
    assert not policy(OUTBOUND).has_emergency_route("office")


def test_an_emergency_route_that_refuses_is_an_emergency_still():
    decision = decide(Route("no", to=("911",), reject=403, emergency=True), called="911")
    assert (decision.reject, decision.emergency) == (403, True)


def test_a_decision_carries_its_rule_with_limits_and_lists():
    route = Route("r", via=(Via("carrier-a"),), limits=Limits(cps=5), stop_on=frozenset({500}))
    assert decide(route).rule is route
    assert decide(Route("r", reject=403)).rule == Route("r", reject=403)
    assert decide().rule is None


def test_weights_are_carried_and_draw_nothing():
    route = Route("r", via=(Via("carrier-a", 70), Via("carrier-b", 30), Via("branch")))
    asked = policy(route)
    answers = {asked.decide(Facts("office", "+14155559999", "")) for _ in range(20)}
    assert len(answers) == 1
    assert [(t.peer.name, t.weight) for t in answers.pop().hunt] == [
        ("carrier-a", 70),
        ("carrier-b", 30),
        ("branch", None),
    ]


def test_a_target_knows_its_number_in_e164_beside_the_form_that_the_peer_sees():
    targets = decide(Route("r", via=(Via("carrier-b"), Via("branch")))).hunt
    assert [(t.called, t.called_e164) for t in targets] == [("14155559999", "+14155559999"), ("9999", "+14155559999")]
    assert decide(OUTBOUND, called="100").hunt[0].called_e164 == "100"


def test_the_number_in_e164_is_the_one_that_is_sent():
    target = decide(Route("r", strip=1, via=(Via("carrier-a"),)), called="94155559999").hunt[0]
    assert (target.called, target.called_e164) == ("+14155559999", "+14155559999")


def test_the_owner_is_the_pbx_of_the_did_where_the_hunt_goes_to_it():
    assert decide(INBOUND, peer="carrier-a", called="+14155550123").owner == "office"
    to_branch = Route("r", to=("dids",), via=(Via("branch"),))
    assert decide(to_branch, called="+14155550223").owner == "branch"
    assert decide(to_branch, called="+14155550123").owner == ""
    assert decide(OUTBOUND, called="+14155550123").owner == ""
    assert decide(Route("r", reject=403), called="+14155550123").owner == ""


def test_a_disaster_plan_is_the_rules_or_the_dids_and_only_where_a_pbx_is_called():
    plan = (RejectWith(480),)
    planned = Route("inbound", disaster=plan, to=("dids",))
    assert decide(planned, called="+14155550123").has_disaster_plan
    assert not decide(INBOUND, peer="carrier-a", called="+14155550123").has_disaster_plan
    own = (DidRange("+14155550100", "+14155550199", "office", disaster=plan),)
    assert decide(INBOUND, peer="carrier-a", called="+14155550123", dids=own).has_disaster_plan
    assert decide(Route("r", via=(Via("branch"),), disaster=plan), called="100").has_disaster_plan
    assert not decide(Route("r", via=(Via("carrier-a"),), disaster=plan), called="+14155550123").has_disaster_plan
    emergency = Route("r", via=(Via("branch"),), disaster=plan, emergency=True)
    assert not decide(emergency, called="911").has_disaster_plan


def test_a_route_to_dids_alone_has_nowhere_to_go_with_other_numbers():
    assert decide(Route("r", from_peers=("office",)), called="+14155559999").reject == 404


def test_international_can_be_barred_before_everything_else_is_let_through():
    bars = Route("bar", to=("international", "premium"), reject=403)
    for called in ("+442079460000", "011442079460000", "18765550100", "19005550100"):
        assert decide(bars, OUTBOUND, called=called).reject == 403
    assert decide(bars, OUTBOUND, called="4155559999").hunt


def test_a_rule_asks_for_the_caller_and_the_source_too():
    route = Route("r", ("office",), caller=("+141555501XX",), via=(Via("carrier-a"),))
    reasons = {
        peer_and_caller: [
            step.reason for step in decide(route, peer=peer_and_caller[0], caller=peer_and_caller[1]).because
        ]
        for peer_and_caller in (("branch", "+14155550100"), ("office", "+14155559999"), ("office", "4155550100"))
    }
    assert list(reasons.values()) == [["the call is not from office"], ["the caller is not +141555501XX"], [""]]


def test_strip_and_prepend_change_what_was_dialled_and_names_are_left_alone():
    changed = Route("r", strip=1, prepend="+1", via=(Via("carrier-a"),))
    assert [sent(decide(changed, called=called))[0][1] for called in ("94155559999", "alice")] == [
        "+14155559999",
        "alice",
    ]


def test_a_number_of_which_nothing_is_left_is_484():
    assert decide(Route("r", strip=3, via=(Via("carrier-a"),)), called="100").reject == 484


BAR = Route("no-premium", to=("premium",), reject=403)


@pytest.mark.parametrize("called", ["+19005550100", "+1900x5550100", "*6719005550100", "1900FLOWERS"])
def test_a_bar_sees_through_a_disguise(called):
    assert (decide(BAR, OUTBOUND, called=called).route, decide(BAR, OUTBOUND, called="alice").route) == (
        "no-premium",
        "outbound",
    )


def test_a_route_that_lets_calls_out_does_not():
    assert decide(Route("out", to=("premium",), via=(Via("carrier-a"),)), called="+1900x5550100").reject == 404
