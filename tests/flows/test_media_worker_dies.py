"""The media worker dies and comes back: calls go on, and their CDRs are written."""

from sbc.testing.world import FAR


def test_running_calls_get_their_media_back(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    assert sbc.hears(office, carrier)
    sbc.worker_dies()
    assert not sbc.hears(office, carrier)
    sbc.run(0.5)
    sbc.worker_starts()
    assert sbc.hears(office, carrier)
    assert sbc.hears(carrier, office)
    office.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_a_call_that_begins_while_there_is_no_worker(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    sbc.worker_dies()
    office.invites(FAR)
    carrier.answers()
    assert office.is_talking
    sbc.worker_starts()
    assert sbc.hears(office, carrier)
    carrier.hangs_up()
    assert sbc.idle()


def test_a_call_that_ends_while_there_is_no_worker_has_its_record(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    sbc.worker_dies()
    office.hangs_up()
    sbc.run(10.0)
    assert sbc.cdr.only.cause == "normal"
    sbc.worker_starts()
    assert sbc.media.worker.sessions == ()
    assert sbc.idle()
