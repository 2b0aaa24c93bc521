"""Signalling dies after any command of a story, lives again, and lets it come to its end.

Whatever was begun: nobody rings or talks for ever, each call has one record, no request has the number of an earlier
one, descriptions have versions that grow by one, and nothing is left, in no table and not in the journal either.
"""

import pytest

from sbc.testing.referring import refer_to_replacing
from sbc.testing.world import FAR

from .transferring import BRANCH, called, refers

TALKS = "talking"


def blind_transfer(world):
    sbc, office, _carrier, branch = called(world)

    def story():
        refers(office)
        yield
        branch.rings()
        yield
        branch.answers()
        yield

    return sbc, story


def blind_transfer_of_who_hangs_up_at_once(world):
    sbc, office, _carrier, branch = called(world)

    def story():
        refers(office)
        yield
        office.hangs_up()
        yield
        branch.answers()
        yield

    return sbc, story


def blind_transfer_that_is_refused(world):
    sbc, office, _carrier, branch = called(world)

    def story():
        refers(office)
        yield
        branch.refuses(486)
        yield

    return sbc, story


def transfer_that_is_passed_on(world):
    sbc, office, _carrier, branch = called(world, "pass")

    def story():
        refers(office)
        yield
        branch.answers()
        yield

    return sbc, story


def attended_transfer(world):
    sbc, office, _carrier, branch = called(world)
    first = office.call
    office.holds()
    office.invites(BRANCH)
    branch.answers()
    sbc.run(1)

    def story():
        refers(office, party=first, to=refer_to_replacing(office.call))
        yield

    return sbc, story


def transfer_while_the_target_rings(world):
    sbc, office, _carrier, branch = called(world)
    first = office.call
    office.holds()
    second = office.invites(BRANCH)
    branch.rings()
    sbc.run(1)

    def story():
        refers(office, party=first, to=refer_to_replacing(second))
        yield
        branch.answers()
        yield

    return sbc, story


def replacement(world):
    sbc, office, _carrier, _branch = called(world)
    desk = office.call

    def story():
        office.invites(FAR, fields=(("Replaces", desk.replaces),))
        yield

    return sbc, story


def early_media_with_prack(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.uses_100rel()
    carrier.uses_100rel()

    def story():
        office.invites(FAR)
        yield
        carrier.progresses(reliably=True)
        yield
        carrier.answers()
        yield

    return sbc, story


def prack_that_only_the_callee_asks_for(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    carrier.uses_100rel(required=True)

    def story():
        office.invites(FAR)
        yield
        carrier.progresses(reliably=True)
        yield
        carrier.updates()
        yield
        carrier.answers()
        yield

    return sbc, story


def delayed_offer(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()

    def story():
        office.invites(FAR, sdp=False)
        yield
        carrier.rings()
        yield
        carrier.answers()
        yield

    return sbc, story


def video_added(world):
    sbc = world()
    office, carrier = sbc.office(video_port=41002), sbc.carrier(video_port=42002)
    office.invites(FAR)
    carrier.answers()
    sbc.run(1)

    def story():
        office.adds_video()
        yield
        carrier.removes_video()
        yield

    return sbc, story


def fax(world):
    sbc = world()
    office, carrier = sbc.office(fax_port=41004), sbc.carrier(fax_port=42004)
    office.invites(FAR)
    carrier.answers()
    sbc.run(1)

    def story():
        carrier.offers_fax()
        yield
        carrier.returns_to_voice()
        yield

    return sbc, story


def hold_by_update(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.allows("UPDATE")
    carrier.allows("UPDATE")
    office.invites(FAR)
    carrier.answers()
    sbc.run(1)

    def story():
        office.holds(by="UPDATE")
        yield
        office.resumes(by="UPDATE")
        yield

    return sbc, story


def glare(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.retries_glare()
    carrier.retries_glare()
    office.invites(FAR)
    carrier.answers()
    sbc.run(1)

    def story():
        with sbc.net.holding(carrier.agent):
            office.holds()
            carrier.holds()
        yield

    return sbc, story


def refresh_of_ours(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    sbc.run(899.0)

    def story():
        sbc.run(10.0)
        yield

    return sbc, story


def refresh_of_the_peer(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    carrier.uses_session_timer(1800, refresher="uas", refreshes=True)
    office.invites(FAR)
    carrier.answers()
    sbc.run(899.0)

    def story():
        sbc.run(10.0)
        yield

    return sbc, story


def cancel(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()

    def story():
        office.invites(FAR)
        yield
        carrier.rings()
        yield
        office.cancels()
        yield

    return sbc, story


def cancel_that_crosses_the_answer(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.rings()

    def story():
        with sbc.net.holding(carrier.agent):
            office.cancels()
            carrier.answers(at_once=True)
        yield

    return sbc, story


def goodbyes_that_cross(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    sbc.run(1)

    def story():
        with sbc.net.holding(carrier.agent):
            office.hangs_up()
            carrier.hangs_up()
        yield

    return sbc, story


STORIES = (
    blind_transfer,
    blind_transfer_of_who_hangs_up_at_once,
    blind_transfer_that_is_refused,
    transfer_that_is_passed_on,
    attended_transfer,
    transfer_while_the_target_rings,
    replacement,
    early_media_with_prack,
    prack_that_only_the_callee_asks_for,
    delayed_offer,
    video_added,
    fax,
    hold_by_update,
    glare,
    refresh_of_ours,
    refresh_of_the_peer,
    cancel,
    cancel_that_crosses_the_answer,
    goodbyes_that_cross,
)
MOMENTS = 40  # commands that a story is followed for, at most


def goes_on(sbc):
    if sbc.lives.is_dead:
        sbc.signalling_lives(after=0.3)


def told(sbc, story):
    """As far as it goes: what a phone cannot do any more after a death, it does not do."""
    steps = story()
    try:
        for _ in steps:
            sbc.run(1.0)
            goes_on(sbc)
    except AssertionError as error:
        if sbc.lives.is_dead or not sbc.lives.count:
            raise
        if not any(word in str(error) for word in ("cannot", "waited", "never", "patience")):
            raise
        goes_on(sbc)


def comes_to_its_end(sbc):
    sbc.run(45.0)
    goes_on(sbc)
    for phone in sbc.phones:
        for party in phone.agent.parties:
            assert party.stage in ("talking", "ended", "refused", "cancelled"), (phone.name, party.stage)
            if party.stage == TALKS:
                phone.hangs_up(call=party)
    sbc.run(1.0)


@pytest.mark.parametrize("after", range(MOMENTS))
@pytest.mark.parametrize("make", STORIES, ids=lambda make: make.__name__)
def test_it_dies_after_any_command(world, make, after):
    sbc, story = make(world)
    sbc.signalling_dies(after=after)
    told(sbc, story)
    sbc.lives.dies_after = None
    comes_to_its_end(sbc)
    assert sbc.idle(but=["complaints"])
    assert len({record.ref for record in sbc.cdr}) == len(sbc.cdr)
    assert not any(party.stage == TALKS for phone in sbc.phones for party in phone.agent.parties)
    complaints = [text for phone in sbc.phones for text in phone.agent.complaints]
    assert not [text for text in complaints if not is_of_a_death(text)]


def is_of_a_death(text):
    """What phones may wonder at. A description that was ordered and never sent has used up its version; a 202 that was
    lost is overtaken by the NOTIFY, for which RFC 3515 §2.4.4 has its hearer prepared.
    """
    return "o= version went up by 2, not " in text or text.endswith("came before the 202 to REFER")
