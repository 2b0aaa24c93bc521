"""What an operator orders: hang up, drain; and what a full disk means."""

from sbc.b2bua.events import BusyOutOrdered, DrainOrdered, DrainRevoked, HangUpOrdered, PolicyChanged
from sbc.testing.world import DID, FAR, POLICY, World, read_policy


def test_hang_up_ends_an_answered_call_on_both_sides(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    [call] = sbc.switch.snapshot(sbc.now).calls
    assert (call.state, call.ingress, call.egress, call.called) == ("answered", "office", "carrier", FAR)
    sbc.tell(HangUpOrdered(call.ref))
    assert office.got(200, "BYE")
    assert carrier.got("ACK", "BYE")
    assert (sbc.cdr.only.cause, sbc.cdr.only.ended_by) == ("operator", "sbc")
    assert sbc.idle()


def test_hang_up_of_a_ringing_call(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.rings()
    sbc.tell(HangUpOrdered(sbc.switch.snapshot(sbc.now).calls[0].ref))
    assert office.got(180, 480)
    assert carrier.got("INVITE", "CANCEL")
    assert sbc.cdr.only.cause == "operator"
    assert sbc.idle()


def test_hang_up_of_no_call_changes_nothing(world):
    sbc = world()
    sbc.tell(HangUpOrdered("nobody"))
    assert sbc.idle()


def test_a_drain_refuses_new_calls_and_ends_the_rest_at_its_deadline(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    first = office.call
    sbc.tell(DrainOrdered(sbc.now + 10.0))
    office.invites(FAR)
    assert office.call.status == 503
    assert first.stage == "talking"
    sbc.run(11.0)
    assert first.stage == "ended"
    assert carrier.got("ACK", "BYE")
    assert [(record.cause, record.sip_status) for record in sbc.cdr] == [("shutdown", 503), ("shutdown", 200)]
    assert sbc.idle()


def test_a_drain_can_be_taken_back(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    first = office.call
    sbc.tell(DrainOrdered(sbc.now + 10.0, is_leaving=True))
    sbc.tell(DrainRevoked())
    said = [(log.event, dict(log.fields)) for log in sbc.logs if log.event.startswith("drain.")]
    assert said == [("drain.ordered", {"calls": 1, "ends_in_seconds": 10}), ("drain.revoked", {})]
    sbc.run(11.0)
    assert first.stage == "talking"
    office.invites(FAR)
    carrier.answers()
    assert office.call.stage == "talking"
    for call in (first, office.call):
        office.hangs_up(call=call)
    sbc.run(1.0)
    assert sbc.idle()


def test_nobody_takes_back_a_stop(world):
    sbc = world()
    office = sbc.office()
    sbc.tell(DrainOrdered(sbc.now + 600.0, is_leaving=True))
    sbc.tell(DrainOrdered(sbc.now + 10.0))
    sbc.tell(DrainRevoked())
    office.invites(FAR)
    assert office.call.status == 503
    assert sbc.idle()


def test_the_days_peak_is_known_after_a_restart(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    for _ in range(2):
        office.invites(FAR)
        carrier.answers()
    sbc.run(11.0)
    for call in list(office.agent.parties):
        office.hangs_up(call=call)
    assert sbc.idle()
    again = World(POLICY, seed=9, kept=sbc.kept)
    peaks = {path.trunk: path.peak_today for path in again.switch.snapshot(again.now).paths}
    assert peaks["carrier"] == 2
    assert again.idle()


def test_a_call_is_not_forgotten_before_its_record_is_durable(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    sbc.disk_is_full = True
    office.invites(FAR)
    carrier.answers()
    office.hangs_up()
    sbc.run(60.0)
    assert [call.state for call in sbc.switch.snapshot(sbc.now).calls] == ["ending"]
    sbc.disk_has_room()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle(but=["errors"])


def test_a_busied_out_trunk_that_leaves_the_policy_is_open_when_it_comes_back(world):
    """Also after a restart: nobody remembers an order about a trunk that was gone for months."""
    spare = POLICY.replace("routes:\n", "  spare: {interface: outside, servers: ['sip:198.51.100.8:5060']}\nroutes:\n")
    sbc = world(spare)
    sbc.tell(BusyOutOrdered("spare", on=True))
    assert sbc.kept
    sbc.tell(PolicyChanged(read_policy(POLICY)))
    assert sbc.kept == {}
    sbc.tell(PolicyChanged(read_policy(spare)))
    [view] = [peer for peer in sbc.switch.snapshot(sbc.now).peers if peer.name == "spare"]
    assert view.state == "up"
    assert sbc.idle()


def test_an_order_about_a_trunk_that_a_restart_finds_gone_is_forgotten(world):
    """It must not be in force when the trunk comes back, months later."""
    sbc = world(kept={"busyout/spare": b"1", "busyout/office": b"1", "drill/office": b"1"})
    assert sbc.kept == {"drill/office": b"1"}
    assert sbc.idle()


def test_a_trunk_that_the_operator_has_busied_out_is_not_called_and_says_so(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    sbc.tell(BusyOutOrdered("carrier", on=True))
    office.invites(FAR)
    assert office.got(503)
    assert (sbc.cdr.only.cause, sbc.cdr.only.egress, sbc.cdr.only.ended_by) == ("operator", "carrier", "sbc")
    carrier.invites(DID)
    assert carrier.got(503)
    assert sbc.cdr[-1].cause == "operator"
    sbc.tell(BusyOutOrdered("carrier", on=False))
    office.invites(FAR)
    carrier.answers()
    office.hangs_up()
    assert sbc.idle()


def test_whoever_looks_often_sees_the_newest_calls_and_how_many_there_are(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    for _ in range(3):
        office.invites(FAR)
        carrier.answers()
        sbc.run(1.0)
    whole, glance = sbc.switch.snapshot(sbc.now), sbc.switch.snapshot(sbc.now, 2)
    assert glance.calls == whole.calls[1:]
    assert (glance.running, whole.running, glance.states) == (3, 3, (("answered", 3),))
    (before,), (after,) = ([path for path in view.paths if path.used] for view in (whole, glance))
    assert (after.used, after.outbound, after.holders, len(before.holders)) == (3, 3, (), 3)
    assert sbc.switch.call_view(whole.calls[0].ref) == whole.calls[0]
    assert sbc.switch.call_view("nobody") is None
    for call in whole.calls:
        sbc.tell(HangUpOrdered(call.ref))
    assert sbc.idle()
