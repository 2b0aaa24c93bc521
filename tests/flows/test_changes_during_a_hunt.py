"""What changes while a hunt is under way: orders, health and policies count for the next attempt, and crash nobody."""

from sbc.b2bua.events import BusyOutOrdered, DrillOrdered, PolicyChanged
from sbc.testing.world import DID, FAR, OUTSIDE, POLICY, read_policy

TWO_SERVERS = POLICY.replace('["sip:198.51.100.7:5060"]', '["sip:198.51.100.7:5060", "sip:198.51.100.8:5060"]').replace(
    "routes:\n", "  spare: {interface: outside, servers: ['sip:198.51.100.9:5060']}\nroutes:\n"
)
HUNTING = TWO_SERVERS.replace("via: [carrier]", "via: [carrier, spare]")
PLANNED = TWO_SERVERS.replace("to: dids}", "to: dids, disaster: [{forward: '+14155559999', via: [spare]}]}").replace(
    "dids: [", "no_reply: 2s, dids: ["
)


def cast(world, policy):
    sbc = world(policy)
    second = sbc.phone("second.carrier.net", "198.51.100.8:5060", through=OUTSIDE)
    spare = sbc.phone("third.carrier.net", "198.51.100.9:5060", through=OUTSIDE)
    return sbc, sbc.office(), sbc.carrier(), second, spare


def test_a_trunk_that_is_busied_out_meanwhile_gets_no_further_attempt(world):
    sbc, office, first, second, spare = cast(world, HUNTING)
    office.invites(FAR)
    sbc.tell(BusyOutOrdered("carrier", on=True))
    first.refuses(503)
    spare.answers()
    assert second.heard == []
    office.hangs_up()
    assert [attempt.peer for attempt in sbc.cdr.only.attempts] == ["carrier", "spare"]
    assert sbc.idle()


def test_a_server_that_is_found_down_meanwhile_is_not_waited_for(world):
    policy = HUNTING.replace(
        '"sip:198.51.100.8:5060"]',
        '"sip:198.51.100.8:5060"], no_progress: 60s, health: {options: 5s, retry: 1s, timeout: 1s, fall: 2, rise: 2}',
    )
    sbc, office, first, second, spare = cast(world, policy)
    office.invites(FAR)
    second.ignores()
    sbc.run(40.0)
    begun = sbc.now
    first.refuses(503)
    spare.waits_for("INVITE", at_most=0.2)
    assert sbc.now - begun < 0.2
    spare.answers()
    office.hangs_up()
    second.wakes()
    assert sbc.idle()


def test_a_plan_is_read_in_the_policy_that_the_call_began_with(world):
    """The trunk of its forward is gone with a reload while the PBX is being waited for."""
    sbc, office, carrier, _second, spare = cast(world, PLANNED)
    office.ignores("INVITE")
    carrier.invites(DID)
    sbc.tell(PolicyChanged(read_policy(POLICY)))
    spare.waits_for("INVITE", at_most=2.5)
    assert not [log for log in sbc.logs if log.event == "call.crashed"]
    carrier.cancels()
    sbc.run(1.0)
    assert sbc.idle(but=("complaints", "phones"))


def test_a_drill_that_begins_meanwhile_leaves_the_attempt_alone(world):
    sbc, office, carrier, _second, spare = cast(world, PLANNED)
    carrier.invites(DID)
    office.rings()
    sbc.tell(DrillOrdered("office", on=True))
    office.answers()
    carrier.hangs_up()
    assert spare.heard == []
    assert not sbc.cdr.only.disaster
    assert sbc.idle()
