"""A drain that an operator has ordered goes on after a death; an end on purpose is the end of it."""

import pytest

from sbc.b2bua.draining import KEY
from sbc.b2bua.events import DrainOrdered, DrainRevoked, LeaveOrdered

FAR = "+12125550123"


def draining(world, seconds=60.0):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    sbc.tell(DrainOrdered(sbc.now + seconds, is_leaving=True))
    return sbc, office, carrier


def lives_again(sbc):
    sbc.signalling_dies()
    sbc.signalling_lives(after=1.0)


def test_new_calls_are_refused_and_the_rest_ends_at_the_deadline_of_the_order(world):
    sbc, office, _ = draining(world)
    first = office.call
    sbc.run(20.0)
    lives_again(sbc)
    lives_again(sbc)
    said = [dict(log.fields) for log in sbc.logs if log.event == "drain.ordered"]
    assert said[-1] == {"calls": 1, "ends_in_seconds": 38, "kept": True}
    office.invites(FAR)
    assert office.call.status == 503
    sbc.run(36.0)
    assert first.stage == "talking"
    sbc.run(4.0)
    assert first.stage == "ended"
    assert [(record.cause, record.sip_status) for record in sbc.cdr] == [("shutdown", 503), ("shutdown", 200)]
    assert sbc.idle()


def test_a_deadline_that_passed_meanwhile_ends_calls_at_once(world):
    sbc, office, _ = draining(world, seconds=2.0)
    sbc.signalling_dies()
    sbc.signalling_lives(after=3.0)
    sbc.run(1.0)
    assert office.call.stage == "ended"
    assert sbc.idle()


def test_it_can_be_taken_back_by_the_next_life_and_is_not_kept_any_more(world):
    sbc, office, carrier = draining(world)
    lives_again(sbc)
    sbc.tell(DrainRevoked())
    assert KEY not in sbc.kept
    lives_again(sbc)
    sbc.run(70.0)
    assert office.call.stage == "talking"
    first = office.call
    office.invites(FAR)
    carrier.answers()
    assert office.call.stage == "talking"
    for call in (first, office.call):
        office.hangs_up(call=call)
    sbc.run(1.0)
    assert sbc.idle()


@pytest.mark.parametrize("way", ["restart", "stop"])
def test_an_end_on_purpose_is_the_end_of_it(world, way):
    sbc, office, _ = draining(world)
    assert KEY in sbc.kept
    sbc.tell(LeaveOrdered() if way == "restart" else DrainOrdered(sbc.now + 5.0))
    assert KEY not in sbc.kept
    office.hangs_up()
    sbc.run(1.0)
    assert sbc.idle()


def test_an_order_that_cannot_be_read_is_forgotten(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    sbc.kept[KEY] = b"?"
    lives_again(sbc)
    assert KEY not in sbc.kept
    office.invites(FAR)
    carrier.answers()
    assert office.call.stage == "talking"
    office.hangs_up()
    sbc.run(1.0)
    assert sbc.idle()
