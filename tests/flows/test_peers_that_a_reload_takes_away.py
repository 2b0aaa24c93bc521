"""A reload touches no call: who was a peer when it began may go on in it, and end it; and may begin nothing else."""

import pytest

from sbc.b2bua.events import PolicyChanged
from sbc.testing.byhand import ByHand
from sbc.testing.world import DID, FAR, OUTSIDE, POLICY, read_policy

CAPPED = POLICY.replace('servers: ["sip:198.51.100.7:5060"]', 'servers: ["sip:198.51.100.7:5060"], call_paths: 2')
GONE = """
sbc: {name: test, data_dir: /nowhere, country: US}
interfaces:
  inside: {sip: [udp:10.0.0.1:5060, tcp:10.0.0.1:5060], media: 10.0.0.1}
  outside: {sip: [udp:203.0.113.1:5060, tcp:203.0.113.1:5060], media: 203.0.113.1}
pbxs:
  office: {interface: inside, address: sip:10.0.0.5:5060, dids: ["+14155550100-+14155550199"]}
"""
ELSEWHERE = POLICY.replace("sip:198.51.100.7:5060", "sip:198.51.100.9:5060")
HANDED_ON = ELSEWHERE.replace(
    "routes:\n", "  other: {interface: outside, servers: ['sip:198.51.100.7:5060']}\nroutes:\n"
)


def talking(world, after, *, caller="office"):
    sbc = world(CAPPED)
    office, carrier = sbc.office(), sbc.carrier()
    if caller == "office":
        office.invites(FAR)
        carrier.answers()
    else:
        carrier.invites(DID)
        office.answers()
    sbc.tell(PolicyChanged(read_policy(after)))
    return sbc, office, carrier


@pytest.mark.parametrize("after", [GONE, ELSEWHERE, HANDED_ON], ids=["gone", "elsewhere", "handed on"])
@pytest.mark.parametrize("caller", ["office", "carrier"])
@pytest.mark.parametrize("ender", ["office", "carrier"])
def test_the_call_goes_on_and_ends(world, after, caller, ender):
    sbc, office, carrier = talking(world, after, caller=caller)
    carrier.holds()
    office.resumes()
    (office if ender == "office" else carrier).hangs_up()
    assert {office.call.stage, carrier.call.stage} == {"ended"}
    assert (sbc.cdr.only.cause, sbc.cdr.only.ended_by) == ("normal", "caller" if ender == caller else "callee")
    assert sbc.idle()


def test_a_call_that_rings_is_answered(world):
    sbc = world(CAPPED)
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.rings()
    sbc.tell(PolicyChanged(read_policy(GONE)))
    carrier.answers()
    assert office.is_talking
    office.hangs_up()
    assert sbc.idle()


def test_a_caller_that_is_gone_may_take_its_call_back(world):
    sbc = world(CAPPED)
    office, carrier = sbc.office(), sbc.carrier()
    carrier.invites(DID)
    office.rings()
    sbc.tell(PolicyChanged(read_policy(GONE)))
    carrier.cancels()
    assert office.got("INVITE", "CANCEL")
    assert sbc.cdr.only.cause == "cancelled"
    assert sbc.idle()


def test_nothing_new_may_begin(world):
    sbc, office, _carrier = talking(world, GONE)
    neighbour = sbc.phone("neighbour.carrier.net", "198.51.100.7:5070", through=OUTSIDE)
    neighbour.invites(DID)
    neighbour.asks("OPTIONS")
    sbc.run(40.0)
    assert sbc.net.sent_to(neighbour.name) == []
    office.hangs_up()
    assert sbc.idle()


def test_with_the_last_call_it_is_a_stranger(world):
    sbc, office, carrier = talking(world, GONE)
    assert sbc.switch.knows("outside", "198.51.100.7", 5060)
    office.hangs_up()
    sbc.run(10.0)
    assert not sbc.switch.knows("outside", "198.51.100.7", 5060)
    hand = ByHand(sbc, carrier)
    before = len(hand.heard)
    hand.sends("BYE", to_tag="any")
    assert len(hand.heard) == before
    assert sbc.idle()


def test_reloads_that_change_nothing_about_its_peers_are_nothing_to_a_call(world):
    sbc, _office, carrier = talking(world, GONE)
    for _ in range(20):
        sbc.tell(PolicyChanged(read_policy(GONE)))
    carrier.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


# BOUND: FORMER_POLICIES
def test_many_reloads_are_not_kept(world):
    sbc, office, _carrier = talking(world, GONE)
    for n in range(20):
        sbc.tell(PolicyChanged(read_policy(GONE.replace("dids:", f"no_answer: {n + 10}s, dids:"))))
    assert not sbc.switch.knows("outside", "198.51.100.7", 5060)
    office.hangs_up()
    assert sbc.idle(but=("phones", "complaints"))
