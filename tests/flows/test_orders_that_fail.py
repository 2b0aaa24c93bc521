"""A bug below the calls, where messages are made and sent: it ends the call whose message it was, and no other."""

import pytest

from sbc.sip.commands import CancelRequest, ResendResponse, Respond, SendAck, SendRequest
from sbc.sip.endpoint import Endpoint
from sbc.testing.world import FAR


class PlantedError(Exception):
    pass


@pytest.mark.parametrize("kind", [SendRequest, SendAck, CancelRequest, Respond, ResendResponse])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_an_order_that_cannot_be_carried_out(world, monkeypatch, kind, n):
    """The n-th order of that kind fails, whatever it is."""
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    bystander = office.call
    perform, seen = Endpoint.perform, []

    def failing(self, order, now):
        if isinstance(order, kind):
            seen.append(order)
            if len(seen) == n:
                raise PlantedError
        return perform(self, order, now)

    monkeypatch.setattr(Endpoint, "perform", failing)
    office.script.acks = kind is not ResendResponse
    carrier.answers_by_itself()
    office.invites(FAR)
    sbc.run(5.0)
    if kind is CancelRequest:
        carrier.script.answers_after = None
        for _ in range(n):
            office.invites(FAR)
            carrier.rings()
            office.cancels()
    monkeypatch.undo()
    assert bystander.stage == "talking"
    office.script.acks = True
    sbc.run(60.0)
    for party in office.agent.parties:
        if party.stage == "talking":
            sbc.net.perform(office.agent, office.agent.hang_up(party, sbc.now))
            sbc.run(40.0)
    sbc.run(300.0)
    assert len(sbc.cdr) == len(office.agent.parties)
    view = sbc.switch.snapshot(sbc.now)
    assert (view.calls, view.transactions, view.dialogs, view.ports) == ((), 0, 0, 0)


def test_answers_that_can_never_be_made_do_not_go_round_in_circles(world, monkeypatch):
    sbc = world()
    office = sbc.office()
    perform = Endpoint.perform

    def failing(self, order, now):
        if isinstance(order, Respond):
            raise PlantedError
        return perform(self, order, now)

    monkeypatch.setattr(Endpoint, "perform", failing)
    office.invites(FAR)
    assert sbc.switch.is_idle
    assert sbc.cdr.only.cause == "internal"
