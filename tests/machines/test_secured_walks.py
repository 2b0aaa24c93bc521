"""Packets, deaths of two workers, and a leg that goes between them, at random: no keystream is used twice."""
# RFC: 3711

import random

import pytest
from msgspec.structs import replace

from sbc.core.address import Address
from sbc.core.limits import HANDED_SECONDS
from sbc.media import wire
from sbc.media.worker.srtp_cipher import CounterMode
from sbc.testing.srtp import CM_80, master_key, rtp_packet, sender_report

from .secured_lab import INSIDE, PBX, far, stream
from .test_secured_moves import dies, rises
from .test_secured_workers import TwoWorkers


@pytest.fixture
def streams_used(monkeypatch):
    """Every initial vector that anything was encrypted with, by the salt of its session key."""
    used: set[tuple[int, int]] = set()
    encrypt = CounterMode._encrypt

    def spy(self, data, head, base, index):
        mark = (self._salt, base ^ index << 16)
        assert mark not in used, "two texts under one keystream"
        used.add(mark)
        return encrypt(self, data, head, base, index)

    monkeypatch.setattr(CounterMode, "_encrypt", spy)
    return used


class Walk:
    """The carrier's leg is in call a or b, which live in two workers."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.lab, self.carrier = TwoWorkers(), far()
        one, other = stream(None, self.carrier), stream(None, None, i=1)
        self.whole = {"a": one, "b": replace(one, ingress=other.ingress)}
        self.bare = {"a": replace(one, egress=other.egress), "b": other}
        self.at = {"a": Address(INSIDE, 20000), "b": Address(INSIDE, 20002)}
        self.sequences = {ssrc: self.random.choice((0, 1, 65_500, 65_535, 40_000)) for ssrc in (1, 2, 3)}
        self.running = [True, True]
        self.has = "a"
        self.lab.put(one, ref="a")
        self.lab.put(other, ref="b")
        self.keys = 1

    def packets(self) -> None:
        for _ in range(self.random.randrange(40)):
            ssrc = self.random.choice((1, 2, 3))
            self.sequences[ssrc] += self.random.choice((1, 1, 1, 1, 1, 0, -1, 5, -200, 32_768, 70_000))
            packet = rtp_packet(self.sequences[ssrc] & 0xFFFF, ssrc=ssrc)
            self.lab.arrives(PBX, self.at[self.has], packet)
            if self.random.random() < 0.1:
                rtcp = Address(INSIDE, self.at[self.has].port + 1)
                self.lab.arrives(PBX, rtcp, sender_report(ssrc))

    def goes(self) -> None:
        """The heir first. The call that loses the leg has another one then, in its place."""
        former, self.has = self.has, "b" if self.has == "a" else "a"
        self.lab.put(self.whole[self.has], ref=self.has)
        if self.random.random() < 0.5:
            self.lab.put(replace(self.bare[former], egress=self.bare["b"].egress), ref=former)

    def one_dies(self) -> None:
        n = self.random.randrange(2)
        if self.running[n]:
            dies(self.lab, n)
            self.running[n] = False

    def one_rises(self) -> None:
        for n in (0, 1):
            if not self.running[n]:
                rises(self.lab, n)
                self.running[n] = True

    def word_is_late(self) -> None:
        if self.lab.is_held:
            self.lab.is_held = False
            late, self.lab.held = list(self.lab.held), type(self.lab.held)()
            self.lab.deliver([one for one in late if self.running[one.worker] and self.random.random() < 0.7])
        else:
            self.lab.is_held = True

    def time_passes(self) -> None:
        if all(self.running):
            self.lab.wait(HANDED_SECONDS + 0.1)

    def has_new_keys(self) -> None:
        self.keys += 1
        key = wire.MasterKey(self.keys.to_bytes(2) + master_key(CM_80, 9).key[2:])
        self.carrier.rekey(CM_80, self.carrier.sends, key)
        for name, one in self.whole.items():
            self.whole[name] = replace(one, egress=replace(one.egress, secured=self.carrier.crypto))
        self.lab.put(self.whole[self.has], ref=self.has)


@pytest.mark.parametrize("seed", range(12))
def test_no_keystream_is_used_twice_whatever_dies_and_moves(streams_used, seed):
    walk = Walk(seed)
    steps = [walk.packets] * 6 + [walk.goes] * 2 + [walk.one_dies, walk.one_rises, walk.one_rises, walk.time_passes]
    steps += [walk.word_is_late]
    for _ in range(250):
        if walk.random.random() < 0.06:
            walk.has_new_keys()
        walk.random.choice(steps)()
    assert len(streams_used) > 20
