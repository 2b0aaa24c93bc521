"""A bug in one call ends that call, with its CDR, and no other."""

import pytest

from sbc.b2bua.call import Call
from sbc.testing.world import FAR


class PlantedError(Exception):
    pass


@pytest.fixture
def planted(monkeypatch):
    """Plants an exception in a step of the last call made; other calls run as they are."""

    def plant(sbc, step):
        victim = list(sbc.switch.calls)[-1]
        real = getattr(Call, step)

        def crashing(self, *args, **options):
            if self.ref == victim:
                raise PlantedError
            return real(self, *args, **options)

        monkeypatch.setattr(Call, step, crashing)
        return victim

    return plant


@pytest.mark.parametrize("step", ["take_response", "take_request", "take_ack", "take_cancel", "tick"])
def test_only_the_call_with_the_bug_ends(world, planted, step):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    office.invites(FAR)
    victim = planted(sbc, step)
    first = office.agent.parties[0]
    if step == "take_cancel":
        carrier.rings()
        office.cancels()
    elif step == "tick":
        sbc.run(200.0)
    else:
        carrier.answers()
        if step == "take_request":
            office.hangs_up()
    sbc.run(40.0)
    record = sbc.cdr.only
    assert (record.ref, record.cause, record.ended_by) == (victim, "internal", "sbc")
    assert first.stage == "talking"
    assert office.call.stage == "ended"
    assert carrier.call.stage == "ended"
    sbc.net.perform(office.agent, office.agent.hang_up(first, sbc.now))
    assert sbc.idle(but=["errors"])
    assert len(sbc.cdr) == 2
    assert any(log.level == "error" for log in sbc.logs)


def test_a_bug_in_the_first_step_is_answered_500(world, monkeypatch):
    sbc = world()
    office = sbc.office()

    def crashing(self, *args, **options):
        raise PlantedError

    monkeypatch.setattr(Call, "start", crashing)
    office.invites(FAR)
    assert office.got(500)
    assert sbc.cdr.only.cause == "internal"
    assert sbc.idle(but=["errors"])


def test_the_trace_of_a_crashed_call_names_the_error(world, monkeypatch):
    sbc = world()
    office = sbc.office()

    def crashing(self, *args, **options):
        raise PlantedError

    monkeypatch.setattr(Call, "start", crashing)
    office.invites(FAR)
    assert "PlantedError" in sbc.story()
    assert sbc.idle(but=["errors"])
