"""When a PBX is out of service its numbers are answered somewhere else, by plan; and at home again when it is back."""

import pytest

from sbc.b2bua.events import BusyOutOrdered, DrillOrdered
from sbc.testing.world import DID, INSIDE, OUTSIDE, POLICY

MOBILE = "+14155559999"
OWN = "+14155550150"
PLANNED = (
    POLICY.replace(
        'dids: ["+14155550100-+14155550199"]',
        "health: {options: 30s, retry: 5s, timeout: 4s, fall: 3, rise: 2}, no_reply: 2s,\n"
        '    dids: ["+14155550100-+14155550199", {numbers: "+14155550150", disaster: [{reject: 486}]}]',
    )
    .replace(
        "routes:\n",
        "  spare: {interface: outside, servers: ['sip:198.51.100.8:5060'], domain: spare.example, call_paths: 1}\n"
        "routes:\n",
    )
    .replace("trunks:\n", "  branch: {interface: inside, address: sip:10.0.0.6:5060}\ntrunks:\n")
    .replace(
        "to: dids}",
        f'to: dids, disaster: [{{forward: "{MOBILE}", via: [spare]}}, {{pbx: branch}}, {{reject: 480}}]}}',
    )
)


def cast(world, policy=PLANNED):
    sbc = world(policy)
    spare = sbc.phone("mobile.spare.net", "198.51.100.8:5060", through=OUTSIDE, domain="spare.example")
    branch = sbc.phone("pbx-12.branch.internal", "10.0.0.6:5060", through=INSIDE)
    return sbc, sbc.office(), sbc.carrier(), spare, branch


def finish(sbc, carrier, answerer):
    answerer.answers()
    assert carrier.got(200)
    carrier.hangs_up()
    return sbc.cdr[-1]


def test_a_dead_pbx_costs_the_next_call_nothing(world):
    sbc, office, carrier, spare, _branch = cast(world)
    office.ignores()
    sbc.run(60.0)
    begun = sbc.now
    carrier.invites(DID)
    spare.waits_for("INVITE", at_most=0.2)
    print(f"forwarded after {sbc.now - begun:.3f} s")
    invite = next(data for data in sbc.net.sent_to(spare.name) if data.startswith(b"INVITE"))
    assert invite.startswith(f"INVITE sip:{MOBILE}@spare.example".encode())
    assert f"Diversion: <sip:{DID}@spare.example>;reason=out-of-service".encode() in invite
    record = finish(sbc, carrier, spare)
    assert (record.disaster, record.egress, record.called, record.called_as_sent) == (True, "spare", DID, MOBILE)
    assert [attempt.peer for attempt in record.attempts] == ["spare"]
    office.wakes()
    back = sbc.now
    while sbc.switch.relations.health.is_peer_usable("office") is False:
        sbc.run(0.5)
    print(f"back after {sbc.now - back:.1f} s")
    assert sbc.now - back < 15.0
    carrier.invites(DID)
    assert not finish(sbc, carrier, office).disaster
    assert sbc.idle()


@pytest.mark.parametrize("how", ["silence", "port closed", "503"])
def test_a_pbx_that_fails_this_call_is_replaced_within_it(world, how):
    sbc, office, carrier, spare, _branch = cast(world)
    if how == "silence":
        office.ignores("INVITE")
    elif how == "port closed":
        office.dies()
    carrier.invites(DID)
    if how == "503":
        office.refuses(503)
    spare.waits_for("INVITE", at_most=2.2)
    record = finish(sbc, carrier, spare)
    assert record.disaster
    assert [attempt.peer for attempt in record.attempts] == ["office", "spare"]
    assert sbc.idle(but=("phones", "complaints") if how == "port closed" else ())


@pytest.mark.parametrize("status", [404, 480, 486, 500, 603])
def test_a_pbx_that_answers_for_itself_is_believed(world, status):
    sbc, office, carrier, spare, _branch = cast(world)
    carrier.invites(DID)
    office.refuses(status)
    assert carrier.got(status)
    assert spare.heard == []
    assert not sbc.cdr.only.disaster
    assert sbc.idle()


def test_the_steps_come_in_their_order(world):
    sbc, office, carrier, spare, branch = cast(world)
    office.ignores()
    sbc.run(60.0)
    carrier.invites(DID)
    spare.refuses(503)
    assert branch.call.called == DID
    branch.refuses(500)
    assert carrier.got(480)
    assert [attempt.peer for attempt in sbc.cdr.only.attempts] == ["spare", "branch"]
    office.wakes()
    assert sbc.idle()


def test_a_forwarded_call_obeys_the_caps(world):
    sbc, office, carrier, spare, branch = cast(world)
    sbc.tell(DrillOrdered("office", on=True))
    carrier.invites(DID)
    spare.answers()
    carrier.invites(DID)
    branch.answers()
    assert office.heard == [heard for heard in office.heard if "OPTIONS" in heard]
    carrier.hangs_up()
    carrier.agent.parties.pop()
    carrier.hangs_up()
    assert [record.egress for record in sbc.cdr] == ["branch", "spare"]
    assert sbc.idle()


def test_a_number_may_have_a_plan_of_its_own(world):
    sbc, office, carrier, _spare, _branch = cast(world)
    office.ignores()
    sbc.run(60.0)
    carrier.invites(OWN)
    assert carrier.got(486)
    assert sbc.cdr.only.cause == "unreachable"
    office.wakes()
    assert sbc.idle()


def test_a_drill_does_the_same_and_touches_nothing(world):
    sbc, office, carrier, spare, _branch = cast(world)
    carrier.invites(DID)
    office.answers()
    sbc.tell(DrillOrdered("office", on=True))
    talking = carrier.call
    carrier.invites(DID)
    assert finish(sbc, carrier, spare).disaster
    assert office.is_talking
    assert talking.stage == "talking"
    office.invites("+442079460001")  # it may go on calling
    assert carrier.got("INVITE")
    carrier.refuses(486)
    sbc.tell(DrillOrdered("office", on=False))
    carrier.invites(DID)
    assert not finish(sbc, carrier, office).disaster
    office.agent.parties[:] = office.agent.parties[:1]
    office.hangs_up()
    assert sbc.idle()


def test_a_drill_survives_a_restart(world):
    sbc, *_ = cast(world)
    sbc.tell(DrillOrdered("office", on=True))
    again = world(PLANNED, kept=sbc.kept)
    [view] = [view for view in again.switch.snapshot(again.now).peers if view.name == "office"]
    assert (view.state, view.why) == ("drill", "by the operator")
    again.tell(DrillOrdered("office", on=False))
    assert again.kept == {}


def test_without_via_the_pbxs_own_routes_are_taken(world):
    policy = PLANNED.replace(", via: [spare]", "")
    sbc, office, carrier, spare, _branch = cast(world, policy)
    sbc.tell(DrillOrdered("office", on=True))
    carrier.invites(DID)
    assert spare.heard == []
    caller, forwarded = carrier.agent.parties[0], carrier.agent.parties[-1]
    assert forwarded.called == MOBILE
    carrier.answers()
    assert caller.stage == "talking"
    carrier.hangs_up()
    assert sbc.cdr.only.disaster
    assert office.agent.parties == []
    assert sbc.idle()


@pytest.mark.parametrize("steps", ["{reject: 486}", '{forward: "+14155559999", via: [spare]}, {reject: 486}'])
def test_a_plan_that_ends_with_a_status_does_so_without_more_waiting(world, steps):
    """The PBX is silent: its no_reply is over, and there is nobody else who could be tried."""
    policy = PLANNED.replace(f'{{forward: "{MOBILE}", via: [spare]}}, {{pbx: branch}}, {{reject: 480}}', steps)
    sbc, office, carrier, spare, _branch = cast(world, policy)
    if "forward" in steps:
        sbc.tell(BusyOutOrdered("spare", on=True))
    office.ignores("INVITE")
    carrier.invites(DID)
    sbc.run(2.2)
    assert carrier.got(486)
    assert spare.heard == []
    record = sbc.cdr.only
    assert (record.sip_status, record.disaster, record.ended_by) == (486, True, "sbc")
    assert [(attempt.peer, attempt.cause) for attempt in record.attempts] == [("office", "no_reply")]
    assert sbc.idle()


def test_without_a_plan_the_carrier_hears_that_the_pbx_is_away(world):
    sbc, office, carrier, _spare, _branch = cast(world, PLANNED.partition("to: dids,")[0] + "to: dids}\n")
    sbc.tell(DrillOrdered("office", on=True))
    carrier.invites(DID)
    assert carrier.got(480)
    assert (sbc.cdr.only.cause, sbc.cdr.only.q850, sbc.cdr.only.egress) == ("unreachable", 20, "office")
    assert office.agent.parties == []
    assert sbc.idle()


def test_a_plan_of_which_nothing_can_be_done_leaves_no_mark(world):
    """The PBX is slow, the plan's trunk is busied out, and so the PBX is waited for: it answers after all."""
    policy = PLANNED.replace(", {pbx: branch}, {reject: 480}", "")
    sbc, office, carrier, spare, _branch = cast(world, policy)
    sbc.tell(BusyOutOrdered("spare", on=True))
    office.ignores("INVITE")
    carrier.invites(DID)
    sbc.run(3.0)
    office.wakes()
    record = finish(sbc, carrier, office)
    assert (record.cause, record.disaster, record.egress) == ("normal", False, "office")
    assert spare.heard == []
    assert sbc.idle()
