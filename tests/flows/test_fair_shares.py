"""One peer can use up its share of what all need, and no more: the others go on, and so do emergencies."""

import pytest

from sbc.core import limits
from sbc.testing.world import DID, FAR, POLICY

WITH_HELP = POLICY.replace(
    "routes:\n",
    "routes:\n  - {name: help, from: office, to: ['911'], emergency: true, via: [carrier]}\n",
)


# BOUND: CALLS, PEER_SHARE
def test_one_peer_has_half_of_the_calls_and_the_others_the_rest(world, monkeypatch):
    monkeypatch.setattr(limits, "CALLS", 4)
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    callers, callees = [], []
    for _ in range(2):
        carrier.invites(DID)
        office.answers()
        callers.append(carrier.call)
    carrier.invites(DID)
    assert carrier.call.status == 503
    office.invites(FAR)
    carrier.answers()
    callees.append(office.call)
    assert office.is_talking, "what the carrier has used up is not the office's"
    for call in callers:
        carrier.hangs_up(call=call)
    carrier.invites(DID)
    assert office.rings() is None, "there is room again"
    carrier.cancels()
    office.hangs_up(call=callees[0])
    assert dict(sbc.switch.endpoint.dropped) == {"calls_full": 1}
    assert sbc.idle()


def test_an_emergency_needs_no_share(world, monkeypatch):
    monkeypatch.setattr(limits, "CALLS", 2)
    sbc = world(WITH_HELP)
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    ordinary = office.call
    office.invites(FAR)
    assert office.call.status == 503
    office.invites("911")
    carrier.answers()
    assert office.is_talking
    office.hangs_up()
    office.hangs_up(call=ordinary)
    assert sbc.idle()


# BOUND: TRANSACTIONS, TRANSACTION_OCTETS, TRANSACTIONS_RESERVED
@pytest.mark.parametrize("bound", ["TRANSACTIONS", "TRANSACTION_OCTETS"])
def test_a_flood_of_requests_leaves_room_for_other_peers_emergencies_and_what_goes_on(world, bound):
    sbc = world(WITH_HELP)
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    first = office.call
    layer = sbc.switch.endpoint.layer
    shares, half = layer.places if bound == "TRANSACTIONS" else layer.octets, getattr(limits, bound) // 2
    shares.take("office", half)
    office.invites(FAR)
    assert office.call.status == 503, "its share is used up"
    office.hangs_up(call=first)
    assert first.stage == "ended", "what goes on is served"
    carrier.invites(DID)
    office.answers()
    assert carrier.is_talking, "and so are other peers"
    carrier.hangs_up()
    office.invites("911")
    carrier.answers()
    assert office.is_talking
    shares.take("carrier", half)
    carrier.invites(DID)
    assert carrier.call.status == 503
    office.hangs_up()
    assert office.call.stage == "ended", "no call is kept up because there is no room to end it"
    assert layer.dropped["transactions_full"] == 2
    shares.give_back("carrier", half)
    shares.give_back("office", half)
    assert sbc.idle()
    assert (layer.places.total, layer.octets.total) == (0, 0)
