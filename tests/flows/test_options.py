"""OPTIONS is answered 200 with Allow and Accept, in and out of a dialog."""

from sbc.testing.world import FAR


def test_options_out_of_a_dialog(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.asks("OPTIONS")
    carrier.asks("OPTIONS")
    assert office.heard == carrier.heard == ["200 OPTIONS"]
    for phone in (office, carrier):
        [answer] = sbc.net.sent_to(phone.name)
        assert b"\r\nAllow: " in answer
        assert b"\r\nAccept: application/sdp" in answer
    assert sbc.cdr == []
    assert sbc.idle()


def test_options_in_a_dialog(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    office.requests("OPTIONS")
    carrier.requests("OPTIONS")
    assert office.got(200, "200 OPTIONS")
    assert carrier.got("ACK", "200 OPTIONS")
    office.hangs_up()
    assert sbc.idle()
