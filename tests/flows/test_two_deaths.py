"""Signalling dies, lives, and dies again before what it had to say was answered."""

from sbc.sip.message import Request
from sbc.sip.parse import parse_message
from sbc.testing.world import FAR


def test_a_bye_of_each_life_has_a_number_of_its_own(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    carrier.ignores("BYE")
    office.hangs_up()
    numbers = []
    for _ in range(3):
        sbc.run(1.0)
        byes = [m for data in sbc.net.sent_to(carrier.name) if is_bye(m := parse_message(data, stream=False))]
        numbers.append(byes[-1].cseq.number)
        sbc.signalling_dies()
        sbc.signalling_lives(after=0.5)
    carrier.wakes()
    sbc.run(5.0)
    assert carrier.got("BYE")
    assert len(set(numbers)) == 3
    assert numbers == sorted(numbers)
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_a_bye_for_a_late_answer_has_a_number_of_its_own_in_each_life(world):
    """Whoever was called while we were dead, and answers again: our ACK and BYE of the life before were lost."""
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.rings()
    sbc.run(1.0)
    numbers = []
    for _ in range(3):
        sbc.signalling_dies()
        if not numbers:
            carrier.answers()
        carrier.ignores("ACK", "BYE", "CANCEL")
        sbc.signalling_lives(after=0.5)
        sbc.run(5.0)
        byes = [m for data in sbc.net.sent_to(carrier.name) if is_bye(m := parse_message(data, stream=False))]
        numbers.append(byes[-1].cseq.number)
    carrier.wakes()
    sbc.run(40.0)
    assert carrier.got("BYE")
    assert len(set(numbers)) == 3
    assert numbers == sorted(numbers)
    assert office.call.status == 503
    assert sbc.idle()


def said(sbc, method, phone):
    """How often so far, repetitions included."""
    return sum(data.startswith(method.encode()) for data in sbc.net.sent_to(phone.name))


def dies_and_lives(sbc):
    sbc.signalling_dies()
    sbc.signalling_lives(after=0.5)
    sbc.run(2.0)


def test_a_bye_that_was_answered_is_not_said_in_a_further_life(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    carrier.ignores("BYE")
    office.hangs_up()
    sbc.run(0.1)
    first = said(sbc, "BYE", carrier)
    assert first
    carrier.wakes()
    dies_and_lives(sbc)
    assert carrier.got("BYE")
    second = said(sbc, "BYE", carrier)
    assert second == first + 1
    for _ in range(2):
        dies_and_lives(sbc)
    assert said(sbc, "BYE", carrier) == second
    assert said(sbc, "BYE", office) == 0
    assert sbc.cdr.only.cause == "normal"
    sbc.run(40.0)
    assert sbc.idle()


def test_who_was_cancelled_and_has_said_so_hears_nothing_in_a_further_life(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.rings()
    sbc.run(1.0)
    dies_and_lives(sbc)
    assert (office.call.status, carrier.call.stage) == (503, "ended")
    assert said(sbc, "CANCEL", carrier) == 1
    for _ in range(2):
        dies_and_lives(sbc)
    assert said(sbc, "CANCEL", carrier) == 1
    assert said(sbc, "INVITE", carrier) == 1
    sbc.run(40.0)
    assert sbc.cdr.only.cause == "internal"
    assert sbc.idle()


def test_a_caller_who_gave_up_hears_of_it_and_whoever_was_called_only_until_he_has_answered(world):
    """Ended before anybody had answered; the CANCEL was lost with us."""
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.rings()
    sbc.run(1.0)
    sbc.net.loses("CANCEL", to=carrier.name, times=50)
    office.cancels()
    sbc.run(0.1)
    lost = said(sbc, "CANCEL", carrier)
    assert lost
    sbc.net.loses_no_more()
    dies_and_lives(sbc)
    assert carrier.call.stage == "ended"
    heard = said(sbc, "CANCEL", carrier)
    assert heard == lost + 1
    dies_and_lives(sbc)
    assert said(sbc, "CANCEL", carrier) == heard
    assert sbc.cdr.only.cause == "cancelled"
    sbc.run(40.0)
    assert sbc.idle()


def is_bye(message):
    return isinstance(message, Request) and message.method == "BYE"
