"""Disaster plans: what is tried instead of a PBX that is out of service."""

from sbc.policy.engine import Policy
from sbc.policy.model import (
    DidRange,
    DisasterPlan,
    Facts,
    Forward,
    Peer,
    RejectWith,
    Route,
    Server,
    Settings,
    ToPbx,
    Via,
    Where,
)

OFFICE = Peer("office", "pbx", "inside", (Server("127.0.0.30"),))
BRANCH = Peer("branch", "pbx", "inside", (Server("127.0.0.31"),), called_form="last-4")
A = Peer("carrier-a", "trunk", "outside", (Server("127.0.0.40"),), no_answer=60.0)
B = Peer("carrier-b", "trunk", "outside", (Server("127.0.0.41"),), called_form="national", caller_form="e164-bare")
MOBILE = "+14155559999"
CALLER = "+442079460000"
DID = "+14155550123"
OUTBOUND = Route("outbound", ("office",), ("national",), via=(Via("carrier-b"), Via("carrier-a")), no_answer=30.0)


def plan(*steps, routes=(OUTBOUND,), inbound=None, own=(), called=DID, peer="carrier-a", caller=CALLER):
    dids = (
        DidRange("+14155550100", "+14155550199", "office"),
        DidRange("+14155550123", "+14155550123", "office", disaster=own),
        DidRange("+14155550200", "+14155550299", "branch"),
    )
    inbound = inbound or Route("inbound", ("carrier-a",), ("dids",), disaster=steps)
    policy = Policy(Settings(), peers=(OFFICE, BRANCH, A, B), routes=(inbound, *routes), dids=dids)
    facts = Facts(peer, called, caller)
    return policy.disaster_plan(facts, policy.decide(facts))


def sent(result):
    return [(target.peer.name, target.called, target.caller) for target in result.hunt]


def reasons(result):
    return [str(step) for step in result.because]


def test_a_forward_over_trunks_has_the_number_and_the_original_caller_in_each_trunks_form():
    result = plan(Forward(MOBILE, ("carrier-b", "carrier-a")))
    assert sent(result) == [("carrier-b", "4155559999", "442079460000"), ("carrier-a", MOBILE, CALLER)]
    assert [t.diverted_from for t in result.hunt] == [DID, DID]
    assert [t.called_e164 for t in result.hunt] == [MOBILE, MOBILE]
    assert [t.no_answer for t in result.hunt] == [180.0, 60.0]
    assert result.reject == 0


def test_a_forward_without_via_goes_by_the_routes_of_the_pbx_that_is_down():
    result = plan(Forward(MOBILE))
    assert sent(result) == [("carrier-b", "4155559999", "442079460000"), ("carrier-a", MOBILE, CALLER)]
    assert [(t.diverted_from, t.no_answer) for t in result.hunt] == [(DID, 30.0), (DID, 30.0)]


def test_those_routes_see_the_did_as_the_caller():
    only_0123 = Route("vip", ("office",), ("national",), (DID,), via=(Via("carrier-a"),))
    others = Route("rest", ("office",), ("national",), via=(Via("carrier-b"),))
    assert sent(plan(Forward(MOBILE), routes=(only_0123, others))) == [("carrier-a", MOBILE, CALLER)]


def test_a_number_that_those_routes_refuse_is_skipped_and_the_next_step_taken():
    barred = Route("no-abroad", ("office",), ("international",), reject=403)
    result = plan(Forward("+33123456789"), ToPbx("branch"), routes=(barred, OUTBOUND))
    assert sent(result) == [("branch", "0123", CALLER)]
    assert reasons(result) == [
        "-: forward to +33123456789: no match: refused with 403 by the route no-abroad",
        "-: to pbx branch: matched",
    ]


def test_so_is_one_that_no_route_takes():
    result = plan(Forward("+33123456789"), RejectWith(480))
    assert (result.hunt, result.reject) == ((), 480)
    assert reasons(result)[0] == "-: forward to +33123456789: no match: no route takes it from office"


def test_a_forward_does_not_go_by_emergency_routes():
    emergency = Route("help", ("office",), via=(Via("carrier-a"),), emergency=True)
    assert sent(plan(Forward(MOBILE), routes=(emergency,))) == []


def test_another_pbx_gets_the_same_number_in_its_form():
    result = plan(ToPbx("branch"))
    assert sent(result) == [("branch", "0123", CALLER)]
    assert (result.hunt[0].called_e164, result.hunt[0].diverted_from) == (DID, DID)


def test_the_pbx_that_is_down_is_not_tried_again():
    back = Route("inner", ("office",), ("dids",))
    result = plan(ToPbx("office"), Forward("+14155550150"), RejectWith(480), routes=(back, OUTBOUND))
    assert (result.hunt, result.reject) == ((), 480)
    assert [step.reason for step in result.because] == ["that is the PBX that is down"] * 2 + [""]


def test_nor_is_any_other_pbx_that_the_hunt_has_tried():
    both = Route("in", ("carrier-a",), ("dids",), via=(Via("office"), Via("branch")), disaster=(ToPbx("branch"),))
    assert plan(inbound=both).hunt == ()


def test_a_forward_to_a_number_of_another_pbx_leads_into_no_further_plan():
    inner = Route("inner", ("office",), ("dids",), disaster=(Forward(MOBILE),))
    result = plan(Forward("+14155550250"), routes=(inner,))
    assert sent(result) == [("branch", "0250", CALLER)]


def test_the_order_of_the_steps_is_kept_and_a_reject_ends_them():
    result = plan(Forward(MOBILE, ("carrier-a",)), ToPbx("branch"), RejectWith(486), Forward(MOBILE, ("carrier-b",)))
    assert [t.peer.name for t in result.hunt] == ["carrier-a", "branch"]
    assert result.reject == 486
    assert reasons(result)[-1] == "-: reject 486: matched"


def test_a_dids_own_plan_stands_in_place_of_the_rules():
    own = (Forward(MOBILE, ("carrier-a",), Where("dids.yaml", 7)),)
    result = plan(RejectWith(480), own=own)
    assert (sent(result), result.reject) == ([("carrier-a", MOBILE, CALLER)], 0)
    assert reasons(result) == ["dids.yaml:7:1: forward to +14155559999 via carrier-a: matched"]
    assert plan(RejectWith(480), own=own, called="+14155550124").reject == 480


def test_a_pbx_that_is_called_without_owning_the_number_has_the_rules_plan_and_its_own_routes():
    direct = Route("in", ("carrier-a",), ("100",), via=(Via("office"),), disaster=(Forward(MOBILE),))
    result = plan(inbound=direct, called="100")
    assert sent(result)[0] == ("carrier-b", "4155559999", "442079460000")
    assert result.hunt[0].diverted_from == "100"


def test_without_a_plan_there_is_nothing():
    assert plan() == DisasterPlan()
    assert plan(RejectWith(480), called="+14155559999") == DisasterPlan()
