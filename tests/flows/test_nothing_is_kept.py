"""Memory: what a call leaves behind is bounded, whatever still comes for it afterwards."""

import gc
from collections import Counter

from sbc.b2bua.events import HangUpOrdered
from sbc.core import limits
from sbc.testing.byhand import ByHand
from sbc.testing.world import DID, FAR


# BOUND: TRACE_CALLS
def test_what_comes_for_a_call_that_nobody_remembers_opens_no_trace(world, monkeypatch):
    """Its tape has left the ring of finished calls; a late repetition must not begin one that nobody ends."""
    monkeypatch.setattr(limits, "TRACE_CALLS", 2)
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    hand = ByHand(sbc, carrier)
    office.invites(FAR)
    hand.replies(200, sdp=True)
    invite = hand.requests("INVITE")[0]
    sbc.tell(HangUpOrdered(next(iter(sbc.switch.calls))))
    hand.replies(200, to=hand.requests("BYE")[0])
    for _ in range(3):
        carrier.wakes()
        carrier.invites(DID)
        office.refuses(486)
    carrier.ignores()
    hand.replies(200, to=invite, sdp=True)
    hand.replies(200, to=invite, sdp=True, tag="fork")
    assert len(sbc.switch.trace.refs()) <= limits.TRACE_CALLS
    assert sbc.switch.trace._running == {}
    carrier.wakes()
    assert sbc.idle()


# BOUND: TRACE_CALLS
def test_a_call_whose_record_waits_for_the_disk_keeps_one_trace(world, monkeypatch):
    monkeypatch.setattr(limits, "TRACE_CALLS", 1)
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    sbc.disk_is_full = True
    office.invites(FAR)
    carrier.answers()
    with sbc.net.holding(carrier.agent):
        office.hangs_up()
        for _ in range(3):
            office.invites("+19995550100")
    sbc.disk_has_room()
    assert sbc.idle()
    assert sbc.switch.trace._running == {}


def engine_objects(sbc):
    """How many of which type hang on the engine, without what is meant to be kept: traces, counters, free ports."""
    seen, stack, count = set(), [sbc.switch.__dict__], Counter()
    kept = (sbc.switch.trace, sbc.switch.ports, sbc.switch.policy)
    while stack:
        thing = stack.pop()
        if id(thing) in seen or any(thing is one for one in kept) or isinstance(thing, type):
            continue
        seen.add(id(thing))
        count[type(thing).__name__] += 1
        if type(thing).__module__.startswith("sbc") or isinstance(thing, dict | list | tuple | set):
            stack += gc.get_referents(thing)
    return count


def test_a_hundred_calls_leave_what_one_call_leaves(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()

    def calls(n):
        for i in range(n):
            office.invites(FAR)
            if i % 3 == 0:
                carrier.refuses(486)
                continue
            carrier.rings()
            if i % 3 == 1:
                office.cancels()
                continue
            carrier.answers()
            office.holds()
            carrier.hangs_up()
        sbc.run(100.0)

    calls(6)
    before = engine_objects(sbc)
    calls(60)
    grown = {name: n - before[name] for name, n in engine_objects(sbc).items() if n > before[name] + 5}
    assert grown == {}
    assert sbc.idle()
