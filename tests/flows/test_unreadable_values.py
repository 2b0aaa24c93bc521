"""Values that the journal has kept are damaged: each ends its own call at most, and never the start of all others."""

import random

import pytest
from msgspec.structs import replace

from sbc.b2bua import journal
from sbc.b2bua.commands import AskMedia, Log, StoreState, WriteCdr
from sbc.b2bua.draining import Draining
from sbc.b2bua.events import BanOrdered, BusyOutOrdered, ClockSet, StateRestored
from sbc.b2bua.keeping_out import KeepingOut
from sbc.b2bua.leftovers import SavedSetup
from sbc.b2bua.saved_call import SavedCall
from sbc.b2bua.switch import Switch
from sbc.media import wire
from sbc.peering.relations import Relations
from sbc.testing.seeds import seeded_ids
from sbc.testing.world import FAR, POLICY, WALL_AT_ZERO

STRANGER = "192.0.2.99"
LIMITED = POLICY.replace("dids: [", "limits: {minutes_per_day: 100, call_paths: 9}, dids: [").replace(
    '.7:5060"]', '.7:5060"], call_paths: 5, health: {options: 30s}'
)


def busy(world):
    """One call talks, one rings; a ban, an order, a server that is up."""
    sbc = world(LIMITED)
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    carrier.script.rings = 180
    office.invites(FAR)
    sbc.run(7.0)
    sbc.tell(BanOrdered(STRANGER, 600.0, "test"))
    sbc.tell(BusyOutOrdered("carrier", True))
    return sbc, office, carrier


def of_kind(kept, kind):
    [(key, saved)] = [
        (key, saved)
        for key, value in kept.items()
        if key.startswith(journal.PREFIX) and isinstance(saved := journal.decode(value), kind)
    ]
    return key, saved


def started(sbc, items, seed=1):
    """The next life, without a world; what it has ordered."""
    switch = Switch(sbc.policy, seeded_ids(seed))
    switch.handle(ClockSet(WALL_AT_ZERO), sbc.now)
    outs = switch.handle(StateRestored(tuple(items.items())), sbc.now)
    return switch, [*outs, *switch.start(sbc.now)]


def damaged(value, chance):
    octets = bytearray(value)
    if chance.random() < 0.1:
        return bytes(octets[: chance.randrange(len(octets))])
    for _ in range(chance.choice((1, 1, 2, 4))):
        octets[chance.randrange(len(octets))] = chance.choice((0x00, 0x7F, 0x80, 0xC0, 0xFF, chance.randrange(256)))
    return bytes(octets)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_one_value_has_become_all_others_are_there(world, seed):
    sbc, _, _ = busy(world)
    kept, chance = dict(sbc.kept), random.Random(seed)
    [talking, setup] = [of_kind(kept, kind)[0].removeprefix(journal.PREFIX) for kind in (SavedCall, SavedSetup)]
    for n in range(50):
        spoilt = chance.choice(sorted(kept))
        switch, outs = started(sbc, kept | {spoilt: damaged(kept[spoilt], chance)}, n)
        now = sbc.now
        for _ in range(30):
            now = max(now, min(switch.next_deadline() or now, now + 60.0))
            outs += switch.tick(now)
        if spoilt != journal.PREFIX + talking:
            assert talking in switch.calls
        if spoilt != journal.PREFIX + setup:
            assert [out.record.ref for out in outs if isinstance(out, WriteCdr)].count(setup) == 1
        if not spoilt.startswith("ban/"):
            assert switch.keeping_out.bans.is_banned(STRANGER)
        if not spoilt.startswith("busyout/"):
            assert switch.relations.is_busied_out("carrier")
        assert {holder.ref for view in switch.snapshot(now).paths for holder in view.holders} <= set(switch.calls)
        assert sum(usage.call_paths_used for usage in switch.snapshot(now).limits) <= len(switch.calls)


def test_a_call_that_cannot_be_made_again_uses_up_no_limit(world):
    sbc, _, _ = busy(world)
    kept = dict(sbc.kept)
    key, saved = of_kind(kept, SavedCall)
    kept[key] = journal.encode(replace(saved, media=replace(saved.media, ingress=b"\x93\xff\xff\xff")))
    switch, outs = started(sbc, kept)
    ref = key.removeprefix(journal.PREFIX)
    assert ref not in switch.calls
    assert [out.event for out in outs if isinstance(out, Log) and out.level == "error"] == ["call.not_recovered"]
    assert AskMedia(wire.DeleteSession(ref)) in outs
    assert StoreState(key, None) in outs
    view = switch.snapshot(sbc.now)
    assert [usage.call_paths_used for usage in view.limits] == [0]
    assert not [path for path in view.paths if path.used]
    (spent,) = [usage.minutes_today for usage in view.limits]
    assert [usage.minutes_today for usage in switch.snapshot(sbc.now + 600.0).limits] == [spent]


def test_a_call_in_set_up_whose_invite_cannot_be_read_keeps_no_other_down(world):
    sbc, _, _ = busy(world)
    kept = dict(sbc.kept)
    key, saved = of_kind(kept, SavedSetup)
    legs = {n: leg if leg.invite is None else replace(leg, invite=replace(leg.invite, head=b"\x00 no SIP"))
            for n, leg in saved.legs.items()}  # fmt: skip
    assert legs != saved.legs
    kept[key] = journal.encode(replace(saved, legs=legs))
    switch, outs = started(sbc, kept)
    assert of_kind(dict(sbc.kept), SavedCall)[0].removeprefix(journal.PREFIX) in switch.calls
    assert [out.event for out in outs if isinstance(out, Log) and out.level == "error"] == ["call.not_recovered"]


def test_a_ban_that_is_no_text_keeps_no_call_down(world):
    sbc, _, _ = busy(world)
    kept = dict(sbc.kept)
    kept[f"ban/{STRANGER}"] = kept[f"ban/{STRANGER}"].replace(b"test", b"t\xffst")
    switch, _ = started(sbc, kept)
    assert len(switch.calls) == 1
    assert not switch.keeping_out.bans.is_banned(STRANGER)


@pytest.mark.parametrize("part", [Relations, KeepingOut, Draining])
@pytest.mark.parametrize("step", ["restore", "start"])
def test_a_bug_in_what_begins_beside_keeps_no_call_down(world, monkeypatch, part, step):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    sbc.signalling_dies()

    def fails(*_):
        raise RuntimeError(step)

    monkeypatch.setattr(part, step, fails)
    sbc.signalling_lives()
    assert [log.event for log in sbc.logs if log.level == "error"] == ["call.crashed"]
    assert sbc.hears(office, carrier)
    office.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle(but=["errors"])
