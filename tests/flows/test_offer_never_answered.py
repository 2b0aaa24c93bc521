"""A re-INVITE that gets 100 and never more: it is taken back, refused to its sender, and the call goes on as it was."""
# RFC: 6141

from sbc.b2bua.modify import ANSWER_SECONDS
from sbc.testing.world import FAR


def test_offer_that_nobody_answers_is_taken_back_and_the_call_goes_on(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    carrier.script.reinvites = None
    office.holds()
    assert not office.got(504)
    sbc.run(ANSWER_SECONDS + 1)
    assert office.got(504)
    assert carrier.got("CANCEL")
    assert office.is_talking
    assert sbc.hears(office, carrier)
    office.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()
