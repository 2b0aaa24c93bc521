"""Paths bought from a carrier: never more in use than were bought, never one lost, and who gets what is left."""

import pytest

from sbc.b2bua.events import BusyOutOrdered, PolicyChanged
from sbc.testing.world import DID, FAR, OUTSIDE, POLICY, read_policy


def capped(paths, *, more=""):
    return POLICY.replace(
        'servers: ["sip:198.51.100.7:5060"]', f'servers: ["sip:198.51.100.7:5060"], call_paths: {paths}{more}'
    )


def used(sbc, trunk="carrier"):
    return next(view.used for view in sbc.switch.snapshot(sbc.now).paths if view.trunk == trunk)


def talk(caller, callee, number):
    caller.invites(number)
    callee.answers()


def test_a_call_beyond_the_cap_is_refused_and_says_why(world):
    sbc = world(capped(1))
    office, carrier = sbc.office(), sbc.carrier()
    talk(office, carrier, FAR)
    first = office.call
    office.invites(FAR)
    assert office.got(503)
    answer = next(data for data in sbc.net.sent_to(office.name) if b"SIP/2.0 503" in data)
    assert b"Q.850;cause=34" in answer
    assert b"Retry-After" not in answer
    assert (sbc.cdr.only.cause, sbc.cdr.only.q850, sbc.cdr.only.egress) == ("paths_full", 34, "carrier")
    assert [dict(log.fields)["why"] for log in sbc.logs if log.event == "paths.full"] == [
        "all its call paths are taken"
    ]
    assert first.stage == "talking"
    carrier.hangs_up()
    assert used(sbc) == 0
    talk(office, carrier, FAR)
    office.hangs_up()
    assert sbc.idle()


def test_that_a_trunk_is_full_is_an_alarm_once_a_minute(world):
    sbc = world(capped(1))
    office, carrier = sbc.office(), sbc.carrier()
    talk(office, carrier, FAR)
    for pause in (1.0, 58.0, 1.0, 1.0):
        office.invites(FAR)
        assert office.got(503)
        sbc.run(pause)
    said = [dict(log.fields) for log in sbc.logs if log.event == "paths.full"]
    assert [(fields["alarm"], fields["peer"]) for fields in said] == [(True, "carrier")] * 2
    carrier.hangs_up()
    assert sbc.idle()


SPARE = 'trunks:\n  spare: {interface: outside, servers: ["sip:198.51.100.8:5060"]}\n'
TWO = capped(1).replace("via: [carrier]", "via: [spare, carrier]").replace("trunks:\n", SPARE)


def test_the_log_says_of_each_trunk_why_it_did_not_take_the_call(world):
    sbc = world(TWO)
    office, carrier = sbc.office(), sbc.carrier()
    sbc.tell(BusyOutOrdered("spare", on=True))
    talk(office, carrier, FAR)
    office.invites(FAR)
    assert office.got(503)
    [why] = [dict(log.fields)["why"] for log in sbc.logs if log.event == "call.ended"]
    assert why == "spare is passed over: busied out; carrier is passed over: all its call paths are taken"
    carrier.hangs_up()
    assert sbc.idle()


def test_an_inbound_call_beyond_the_cap_is_busy(world):
    sbc = world(capped("{total: 4, inbound: 1}"))
    office, carrier = sbc.office(), sbc.carrier()
    talk(carrier, office, DID)
    carrier.invites(DID)
    assert carrier.got(486)
    assert any(b"Q.850;cause=17" in data for data in sbc.net.sent_to(carrier.name) if b"SIP/2.0 486" in data)
    assert sbc.cdr.only.cause == "paths_full"
    office.hangs_up()
    assert sbc.idle()


def test_the_statuses_are_the_operators(world):
    sbc = world(capped(1, more=", when_full: {outbound: 486, inbound: 480}"))
    office, carrier = sbc.office(), sbc.carrier()
    talk(office, carrier, FAR)
    office.invites(FAR)
    assert office.got(486)
    carrier.invites(DID)
    assert carrier.got(480)
    carrier.agent.parties.pop()
    office.agent.parties.pop()
    office.hangs_up()
    assert sbc.idle()


def test_the_next_trunk_is_tried_first(world):
    policy = (
        capped(1)
        .replace("routes:\n", "  spare: {interface: outside, servers: ['sip:198.51.100.8:5060']}\nroutes:\n")
        .replace("via: [carrier]", "via: [carrier, spare]")
    )
    sbc = world(policy)
    office, carrier = sbc.office(), sbc.carrier()
    spare = sbc.phone("second.carrier.net", "198.51.100.8:5060", through=OUTSIDE)
    talk(office, carrier, FAR)
    talk(office, spare, FAR)
    spare.hangs_up()
    carrier.hangs_up()
    assert [record.egress for record in sbc.cdr] == ["spare", "carrier"]
    assert sbc.idle()


def test_a_call_that_turns_around_on_one_trunk_holds_two(world):
    policy = POLICY.replace(
        'servers: ["sip:198.51.100.7:5060"]',
        'servers: ["sip:198.51.100.8:5060"], accept: [198.51.100.0/24], call_paths: 2',
    ).replace("to: dids}", "to: dids, via: [carrier]}")
    sbc = world(policy)
    near, far = sbc.carrier(), sbc.phone("far.carrier.net", "198.51.100.8:5060", through=OUTSIDE)
    near.invites(DID)
    far.answers()
    assert used(sbc) == 2
    near.invites(DID)
    assert near.got(486)
    far.hangs_up()
    assert used(sbc) == 0
    assert sbc.idle()


def test_a_pool_is_shared(world):
    policy = (
        capped("{pool: acme}")
        .replace(
            "routes:\n",
            "  spare: {interface: outside, servers: ['sip:198.51.100.8:5060'], call_paths: {pool: acme}}\n"
            "path_pools: {acme: 1}\nroutes:\n",
        )
        .replace("via: [carrier]", "via: [spare]")
    )
    sbc = world(policy)
    office, carrier = sbc.office(), sbc.carrier()
    spare = sbc.phone("second.carrier.net", "198.51.100.8:5060", through=OUTSIDE)
    talk(carrier, office, DID)
    office.invites(FAR)
    assert office.got(503)
    assert spare.heard == []
    carrier.hangs_up()
    talk(office, spare, FAR)
    office.hangs_up()
    assert sbc.idle()


def test_a_reserve_keeps_paths_for_the_other_direction(world):
    sbc = world(capped("{total: 2, reserve: {inbound: 1}}"))
    office, carrier = sbc.office(), sbc.carrier()
    talk(office, carrier, FAR)
    office.invites(FAR)
    assert office.got(503)
    office.agent.parties.pop()
    talk(carrier, office, DID)
    assert used(sbc) == 2
    carrier.hangs_up()
    office.agent.parties.pop()
    office.hangs_up()
    assert sbc.idle()


def test_a_reload_changes_the_cap_and_no_call(world):
    sbc = world(capped(2))
    office, carrier = sbc.office(), sbc.carrier()
    talk(office, carrier, FAR)
    first = office.call
    talk(office, carrier, FAR)
    sbc.tell(PolicyChanged(read_policy(capped(1))))
    assert used(sbc) == 2
    assert first.stage == "talking"
    office.hangs_up()
    assert used(sbc) == 1
    office.invites(FAR)
    assert office.got(503)
    sbc.tell(PolicyChanged(read_policy(capped(3))))
    talk(office, carrier, FAR)
    assert used(sbc) == 2
    office.hangs_up()
    carrier.agent.parties.pop()
    office.agent.parties[:] = [first]
    office.hangs_up()
    assert sbc.idle()


@pytest.mark.parametrize("seed", range(4))
def test_ten_thousand_random_arrivals_failures_and_hang_ups(world, seed):
    """2,500 for each seed: never a fifth, never stuck, nothing held at the end."""
    sbc = world(capped("{total: 4}"), seed=seed)
    office, carrier = sbc.office(), sbc.carrier()
    draw = sbc.ids.number
    most = 0
    for _ in range(2500):
        carrier.script.refuses = (None, None, None, 486, 503)[draw(5)]
        carrier.script.answers_after = 0.05 if draw(4) else None
        carrier.script.hangs_up_after = draw(30) / 10
        caller, number = (office, FAR) if draw(3) else (carrier, DID)
        office.script.answers_after, office.script.hangs_up_after = 0.05, draw(30) / 10
        caller.invites(number)
        most = max(most, used(sbc))
        if not draw(6) and caller.call.stage in ("calling", "ringing"):
            caller.cancels()
        sbc.run(draw(10) / 10)
        most = max(most, used(sbc))
    assert most == 4
    sbc.run(200.0)
    assert used(sbc) == 0
    assert {"normal", "paths_full"} <= {record.cause for record in sbc.cdr}
    assert len(sbc.cdr) == 2500
    assert sbc.idle()


def test_an_attempt_that_goes_on_alone_keeps_its_path_as_it_was(world):
    """Its no_reply is over, the spare is full, and the cap was lowered meanwhile: it holds on, and is no younger."""
    policy = (
        capped(3, more=", no_reply: 2s")
        .replace("routes:\n", "  spare: {interface: outside, servers: ['sip:198.51.100.8:5060'], cps: 1}\nroutes:\n")
        .replace("via: [carrier]", "via: [carrier, spare]")
    )
    sbc = world(policy)
    office, carrier = sbc.office(), sbc.carrier()
    spare = sbc.phone("second.carrier.net", "198.51.100.8:5060", through=OUTSIDE)
    spare.script.refuses = 486
    carrier.ignores("INVITE")
    begun = sbc.now
    for _ in range(3):
        office.invites(FAR)
    sbc.tell(PolicyChanged(read_policy(policy.replace("call_paths: 3", "call_paths: 1"))))
    sbc.run(2.5)
    [view] = [view for view in sbc.switch.snapshot(sbc.now).paths if view.trunk == "carrier"]
    assert (view.used, view.limit) == (2, 1)
    assert all(holder.since - begun < 0.1 for holder in view.holders)
    sbc.run(40.0)
    assert used(sbc) == 0
    assert sbc.idle()


def test_a_path_that_has_outlived_its_call_is_found_by_whoever_looks_and_taken_back(world):
    sbc = world(capped(2))
    sbc.switch.relations.paths.take("carrier", "gone", 1, "outbound", sbc.now)
    assert sbc.switch.snapshot(sbc.now, 0).paths_leaked == 1
    assert used(sbc) == 0
