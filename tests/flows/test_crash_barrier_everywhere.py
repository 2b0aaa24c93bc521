"""A bug at any entry point of a call ends that call with an answer, a record and nothing left; the others go on."""

import pytest

from sbc.b2bua import reception
from sbc.b2bua.account import Account
from sbc.b2bua.call import Call
from sbc.b2bua.leg import Leg
from sbc.testing.world import FAR


class PlantedError(Exception):
    pass


def crashing(*_args, **_options):
    raise PlantedError


def test_a_bug_while_the_call_is_made_is_answered_and_recorded(world, monkeypatch):
    sbc = world()
    office = sbc.office()
    monkeypatch.setattr("sbc.b2bua.call.escaped", crashing)
    office.invites(FAR)
    assert office.got(500)
    record = sbc.cdr.only
    assert (record.cause, record.ended_by, record.sip_status) == ("internal", "sbc", 500)
    assert "PlantedError" in sbc.story()
    assert sbc.idle(but=["errors"])


def test_a_bug_that_stays_does_not_keep_the_call(world, monkeypatch):
    """The answer to the barrier's own BYE meets the same bug."""
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    monkeypatch.setattr(Call, "take_response", crashing)
    office.hangs_up()
    sbc.run(40.0)
    assert carrier.got("ACK", "BYE")
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle(but=["errors"])


@pytest.mark.parametrize("state", ["ringing", "talking"])
def test_a_bug_in_the_one_exit_still_frees_both_peers(world, monkeypatch, state):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.rings()
    if state == "talking":
        carrier.answers()
    monkeypatch.setattr(Call, "end", crashing)
    (office.cancels if state == "ringing" else office.hangs_up)()
    sbc.run(40.0)
    assert carrier.got("CANCEL" if state == "ringing" else "BYE")
    assert office.call.stage == "ended"
    assert sbc.cdr.only.cause == "internal"
    assert sbc.idle(but=["errors"])


@pytest.mark.parametrize("what", [(Leg, "release"), (Call, "abort"), (Account, "record")])
def test_a_bug_behind_the_barrier_escapes_to_nobody(world, monkeypatch, what):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.rings()
    monkeypatch.setattr(Call, "take_cancel", crashing)
    monkeypatch.setattr(*what, crashing)
    office.cancels()
    monkeypatch.undo()
    assert sbc.switch.is_idle
    assert any(log.event == "call.crashed" for log in sbc.logs)
    office.invites(FAR)
    carrier.answers()
    office.hangs_up()
    assert sbc.cdr[-1].cause == "normal"


def test_a_bug_in_the_general_checks_ends_no_call(world, monkeypatch):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    with monkeypatch.context() as patch:
        patch.setattr(reception, "refusal_of", crashing)
        office.asks("OPTIONS")
    assert office.agent.heard[-1] == "500 OPTIONS"
    office.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle(but=["errors"])


@pytest.mark.parametrize("part", ["relations", "beside", "keeping_out", "ports", "shedding"])
def test_a_bug_in_the_timers_of_one_part_stops_no_other(world, monkeypatch, part):
    """The lost INVITE is sent again, and the call that nobody answers ends; what has failed gets another turn."""
    sbc = world()
    office = sbc.office()
    parts = sbc.switch._ticks._parts
    at = [getattr(tick, "__self__", None) for tick, _ in parts].index(getattr(sbc.switch, part))
    failing = (crashing, lambda: sbc.now)
    monkeypatch.setattr(sbc.switch._ticks, "_parts", (*parts[:at], failing, *parts[at + 1 :]))
    office.invites(FAR)
    sbc.run(40.0)
    assert office.call.stage == "ended"
    assert 38 <= len([log for log in sbc.logs if log.event == "call.crashed"]) <= 41
    monkeypatch.undo()
    assert sbc.idle(but=["errors"])
