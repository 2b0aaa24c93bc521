"""Media before the answer: 183 with a session description, and 180 with one."""
# RFC: 3960

import pytest

from sbc.testing.world import FAR


@pytest.mark.parametrize("status", [180, 183])
def test_early_media_is_heard_before_the_answer(world, status):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    if status == 183:
        carrier.progresses()
    else:
        carrier.rings(sdp=True)
    assert office.got(status)
    assert sbc.hears(office, carrier)
    assert sbc.hears(carrier, office)
    carrier.answers()
    assert sbc.hears(office, carrier)
    office.hangs_up()
    assert sbc.idle()


def test_180_without_description_then_183_with_one_then_answer(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.rings()
    assert not sbc.hears(office, carrier)
    carrier.progresses()
    assert office.got(180, 183)
    assert sbc.hears(office, carrier)
    carrier.answers()
    carrier.hangs_up()
    assert sbc.idle()


def test_early_media_then_refusal_frees_the_ports(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.progresses()
    carrier.refuses(404)
    assert office.got(183, 404)
    assert sbc.cdr.only.cause == "not_found"
    assert sbc.idle()
