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


def is_bye(message):
    return isinstance(message, Request) and message.method == "BYE"
