"""The log alone tells an operator why a call failed: one line at its start, one at its end, with the reason."""

from sbc.testing.world import FAR


def lines(sbc, event):
    return [dict(log.fields) for log in sbc.logs if log.event == event]


def test_a_refused_session_description_is_said_in_the_last_line(world):
    sbc = world()
    office = sbc.office()
    office.agent.line.spoil = lambda body: body.replace(b"o=", b"x=")
    office.invites(FAR)
    sbc.run(1.0)
    assert len(lines(sbc, "call.started")) == 1
    [end] = lines(sbc, "call.ended")
    assert (end["cause"], end["why"]) == ("failed", "session description refused: no o= line")
    assert end["talked_seconds"] is None
    assert sbc.idle()


def test_a_call_that_went_well_needs_no_reason_and_says_how_long_it_was(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    sbc.run(61.0)
    office.hangs_up()
    [end] = lines(sbc, "call.ended")
    assert end["why"] is None
    assert 61.0 <= end["talked_seconds"] < 62.0
    assert sbc.idle()


def test_silence_is_said_of_whom(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    carrier.ignores()
    office.invites(FAR)
    sbc.run(40.0)
    [end] = lines(sbc, "call.ended")
    assert (end["cause"], end["why"]) == ("no_reply", "attempt failed: no_reply")
    assert sbc.idle()
