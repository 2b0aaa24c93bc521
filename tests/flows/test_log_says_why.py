"""The log alone tells an operator why a call failed: one line at its start, one at its end, with the reason."""

import pytest

from sbc.sip.serialize import serialize
from sbc.testing.build import request
from sbc.testing.world import DID, FAR


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


def test_a_plain_call_is_three_lines_with_all_that_is_asked_at_night(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    sbc.run(61.0)
    office.hangs_up()
    said = [log for log in sbc.logs if log.level != "debug" and "ref" in dict(log.fields)]
    assert [(log.level, log.event) for log in said] == [
        ("info", "call.started"), ("info", "call.answered"), ("info", "call.ended"),
    ]  # fmt: skip
    for fields in (dict(log.fields) for log in said):
        assert fields["ingress"] == "office"
        assert fields.keys() >= {"ref", "egress", "route", "caller", "called"}
    assert [dict(log.fields)["egress"] for log in said[1:]] == ["carrier", "carrier"]
    assert dict(said[-1].fields).keys() >= {"cause", "status", "by", "talked_seconds", "why"}
    assert len([log for log in sbc.logs if log.level == "info" and log.event.startswith(("call.", "media."))]) == 3
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


@pytest.mark.parametrize(
    ("field", "status", "why"),
    [
        (("Session-Expires", "60"), 422, "office asks for a session interval below session_timer.min"),
        (("Require", "precondition, 100rel"), 420, "it requires precondition"),
        (
            ("Replaces", "nobody@10.0.0.5;to-tag=1;from-tag=2"),
            481,
            "no such call for its Replaces to take over, or not for this peer",
        ),
    ],
)
def test_what_an_invite_asks_for_and_does_not_get_is_said(world, field, status, why):
    sbc = world()
    office = sbc.office()
    office.invites(FAR, fields=(field, ("Supported", "timer")))
    assert office.got(status)
    [end] = lines(sbc, "call.ended")
    assert (end["status"], end["why"]) == (status, why)
    assert sbc.idle()


def test_a_redirection_that_is_refused_is_said(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.redirects("sip:+19005550123@203.0.113.9")
    [end] = lines(sbc, "call.ended")
    assert (end["status"], end["why"]) == (502, "carrier redirects, and its policy refuses that")
    assert sbc.idle()


def test_a_redirection_that_leads_to_nobody_is_said_without_the_number(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    carrier.invites(DID)
    office.redirects(f"sip:{DID}@10.0.0.5")
    [end] = lines(sbc, "call.ended")
    assert (end["status"], end["why"]) == (502, "nobody can be called where office redirects to")
    assert sbc.idle()


def test_a_call_without_hops_left_is_said(world):
    sbc = world()
    office = sbc.office()
    invite = request(source=office.address, to=f"sip:{FAR}@10.0.0.1", sdp=True)
    sbc.inject(serialize(invite).replace(b"Max-Forwards: 70", b"Max-Forwards: 0"), office)
    [end] = lines(sbc, "call.ended")
    assert (end["status"], end["why"]) == (483, "Max-Forwards is used up")
    assert sbc.idle()
