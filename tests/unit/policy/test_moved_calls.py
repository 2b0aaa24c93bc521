"""Whoever transfers or redirects a call asks by its own name: policy treats the target as if it had dialled it.

A REFER or a 3xx is decided by `Facts(peer=who moves the call, called=the target's user part, caller=its own number)`.
"""

import pytest

from sbc.policy.model import Facts

PEERS = """\
pbxs:
  office: {interface: inside, address: sip:127.0.0.30:5060, dids: "+14155550100-+14155550199"}
  branch:
    interface: inside
    address: sip:127.0.0.31:5060
    dids: ["+14155550200-+14155550249"]
    numbers: {called: last-4, caller: national}
trunks:
  carrier-a: {interface: outside, servers: sip:127.0.0.40:5060, transfer: terminate, redirect: follow}
  carrier-b:
    interface: outside
    servers: sip:127.0.0.41:5060
    numbers: e164-bare
    transfer: terminate
    redirect: follow
"""
ROUTES = """\
routes:
  - {name: emergency, from: [office, branch], to: emergency, emergency: true, via: carrier-a}
  - {name: no-premium, from: [office, branch], to: premium, reject: 403}
  - {name: inside, from: [office, branch], to: dids}
  - {name: desks, from: office, caller: "+1415555010X", to: international, via: carrier-a}
  - {name: out, from: [office, branch], to: national, via: [carrier-a, carrier-b]}
  - {name: in, from: [carrier-a, carrier-b], to: dids}
"""


@pytest.fixture
def decide(load, well):
    interfaces = well.partition("pbxs:")[0]
    policy = load(interfaces, PEERS, ROUTES)

    def ask(peer, called, caller):
        decision = policy.decide(Facts(peer, called, caller))
        return decision.route, decision.reject or [(t.peer.name, t.called, t.caller) for t in decision.hunt]

    return ask


@pytest.mark.parametrize("target", ["+14155559999", "14155559999", "4155559999"])
def test_a_pbx_moves_calls_to_where_it_may_call_itself(decide, target):
    assert decide("office", target, "+14155550123") == (
        "out",
        [("carrier-a", "+14155559999", "+14155550123"), ("carrier-b", "14155559999", "14155550123")],
    )


@pytest.mark.parametrize("target", ["+14155550212", "4155550212"])
def test_to_the_other_pbx_in_the_form_that_that_one_reads(decide, target):
    assert decide("office", target, "4155550123") == ("inside", [("branch", "0212", "4155550123")])


def test_bars_and_callers_are_those_of_whoever_moves_the_call(decide):
    assert decide("office", "19005550123", "+14155550123") == ("no-premium", 403)
    assert decide("office", "+442079460000", "+14155550101") == (
        "desks",
        [("carrier-a", "+442079460000", "+14155550101")],
    )
    assert decide("office", "+442079460000", "+14155550123") == (None, 404)
    assert decide("branch", "+442079460000", "+14155550101") == (None, 404)


def test_a_carrier_reaches_our_numbers_and_nothing_else(decide):
    """Bare numbers are E.164 where the carrier writes them so: 4155550212 with a 1 before it is ours."""
    assert decide("carrier-b", "14155550212", "442079460000") == ("in", [("branch", "0212", "011442079460000")])
    assert decide("carrier-b", "442079460000", "442079460001") == (None, 404)
    assert decide("carrier-a", "+14155559999", "+442079460000") == (None, 404)
    assert decide("carrier-a", "911", "+442079460000") == (None, 404)


def test_a_target_that_is_no_number_goes_where_a_route_says_so(decide):
    assert decide("office", "alice", "+14155550123") == (None, 404)
    assert decide("office", "", "+14155550123") == (None, 404)
