"""Entries of `via`, and disaster plans of routes and of DIDs."""

import pytest

from sbc.policy.model import Forward, RejectWith, ToPbx, Via

BRANCH = "pbxs: {branch: {interface: inside, address: sip:127.0.0.31}}\n"


def route(plan: str) -> str:
    return f"routes: [{{to: dids, disaster: {plan}}}]"


def test_weights_and_plain_names_mix(load, well):
    policy = load(well, "routes: [{via: [{to: carrier-a, weight: 70}, {to: office}, carrier-a]}]")
    assert policy.routes[0].via == (Via("carrier-a", 70), Via("office"), Via("carrier-a"))


@pytest.mark.parametrize(
    ("entry", "error"),
    [
        ("{to: office, weight: 0}", "`0` is not a number from 1 to 1000; expected 1 to 1000"),
        ("{to: office, weight: 1001}", "`1001` is not a number from 1 to 1000; expected 1 to 1000"),
        ("{weight: 7}", "an entry of `via` has no `to`; expected a peer"),
        ("{to: offic, weight: 7}", "`offic` in `via` is no peer; did you mean `office`?"),
    ],
)
def test_no_entry_of_via(errors, well, entry, error):
    assert [line.split(": ", 1)[1] for line in errors(well, f"routes: [{{via: [{entry}]}}]")] == [error]


def test_a_plan_of_a_route(load, well):
    policy = load(
        well, BRANCH, route('[{forward: 4155559999, via: [carrier-a]}, {forward: "100"}, {pbx: branch}, {reject: 480}]')
    )
    first, second, third, last = policy.routes[0].disaster
    assert first == Forward("+14155559999", ("carrier-a",), first.where)
    assert second == Forward("100", (), second.where)
    assert third == ToPbx("branch", third.where)
    assert last == RejectWith(480, last.where)
    assert str(first.where) == "c.yaml:1:32"


def test_a_plan_may_be_one_step(load, well):
    assert load(well, route("{reject: 480}")).routes[0].disaster[0].status == 480


WRONG = [
    ("[]", "an empty list; expected at least one element"),
    ("[{}]", "a step of `disaster` says nothing; expected one of forward, pbx and reject"),
    (
        "[{pbx: branch, reject: 480}]",
        "a step of `disaster` says `pbx` and `reject`; expected one of forward, pbx and reject",
    ),
    ("[branch]", "a step of `disaster` is a text; expected forward, pbx or reject in a mapping"),
    ("[{pbx: branch, via: carrier-a}]", "`via` beside `pbx`; expected it with `forward`"),
    ("[{via: carrier-a}]", "a step of `disaster` says nothing; expected one of forward, pbx and reject"),
    ("[{reject: 480}, {pbx: branch}]", "a step behind `reject`; expected it last: it ends the plan"),
    ("[{reject: 200}]", "`200` is no SIP failure; expected a status from 400 to 699"),
    ("[{forward: alice}]", "`alice` is not a number; expected digits, with or without a plus"),
    ("[{forward: '100', via: [carrier]}]", "`carrier` in `via` is no peer; did you mean `carrier-a`?"),
    ("[{pbx: branc}]", "`branc` in `disaster` is no pbx; did you mean `branch`?"),
    ("[{pbx: carrier-a}]", "`carrier-a` in `disaster` is a trunk; expected {forward: NUMBER, via: …} for a trunk"),
]


@pytest.mark.parametrize(("plan", "error"), WRONG, ids=[plan for plan, _ in WRONG])
def test_no_plan(errors, well, plan, error):
    assert [line.split(": ", 1)[1] for line in errors(well, BRANCH, route(plan))] == [error]


def did(plan: str, numbers: str = "'100'") -> str:
    return f"pbxs: {{x: {{interface: inside, address: sip:x, dids: [{{numbers: {numbers}, disaster: {plan}}}]}}}}"


def test_dids_have_plans_of_their_own(load, well):
    policy = load(well, did("[{pbx: office}]", "['100', 102-104]"))
    assert [(d.first, d.last, d.disaster[0].pbx) for d in policy.dids if d.pbx == "x"] == [
        ("100", "100", "office"),
        ("102", "104", "office"),
    ]


@pytest.mark.parametrize(
    ("plan", "error"),
    [
        ("[{pbx: x}]", "`x` as the way out when `x` is down; expected another pbx"),
        ("[{pbx: y}]", "`y` in `disaster` is no pbx; expected one of office, x"),
        ("[{forward: '1', via: z}]", "`z` in `via` is no peer; expected one of carrier-a, office, x"),
    ],
)
def test_names_in_the_plans_of_dids_are_checked(errors, well, plan, error):
    assert [line.split(": ", 1)[1] for line in errors(well, did(plan))] == [error]


def test_the_same_numbers_have_one_plan(errors, load, well):
    twice = "dids: [{numbers: '100', disaster: {reject: 480}}, {numbers: %s, disaster: {reject: 486}}]"
    peer = "pbxs: {x: {interface: inside, address: sip:x, " + twice + "}}"
    assert errors(well, peer % "'100'") == [
        "b.yaml:1:107: `100` has two disaster plans; expected one; the other is at b.yaml:1:64"
    ]
    assert len(load(well, peer % "100-109").dids) == 3
