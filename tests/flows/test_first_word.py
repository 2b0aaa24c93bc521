"""The ports of a call hear before it is answered, and a call that nobody answers has no media in its record."""
# RFC: 3960

from sbc.media import wire
from sbc.testing.world import FAR


def test_the_media_worker_is_told_of_the_call_while_it_rings(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.rings()
    [ref] = sbc.media.worker.sessions
    early = sbc.media.worker.session(ref)
    assert early.early
    [stream] = early.streams
    assert isinstance(stream.ingress.remote, wire.Remote)
    assert stream.egress.remote is None
    carrier.answers()
    assert not sbc.media.worker.session(ref).early
    office.hangs_up()
    assert sbc.cdr.only.media is not None
    assert sbc.idle()


def test_a_call_that_is_cancelled_had_no_media(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.rings()
    office.cancels()
    assert sbc.cdr.only.cause == "cancelled"
    assert sbc.cdr.only.media is None
    assert sbc.idle()
