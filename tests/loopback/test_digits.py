"""Digits through a real media worker: its loop keeps the pace, and what it hears reaches signalling."""
# RFC: 4733

import itertools
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
import trio

from sbc.b2bua.events import MediaReplied
from sbc.media import wire
from sbc.policy.model import MediaSettings
from sbc.runtime.local_keeper import LocalKeeper
from sbc.runtime.media_pool import MediaPool
from sbc.runtime.media_sockets import open_media_socket

pytestmark = [pytest.mark.loopback, pytest.mark.slow]

INSIDE, OUTSIDE, PBX, CARRIER = "127.0.0.10", "127.0.0.20", "127.0.0.30", "127.0.0.40"
PATIENCE = 30.0
AUDIO, PBX_EVENTS, CARRIER_EVENTS = 8, 101, 96
SSRC = b"pbx1"


class Call:
    """One call through a worker: the PBX speaks, the carrier keeps what it gets and when."""

    def __init__(self, pool: MediaPool, replies: list[wire.Reply]) -> None:
        self.pool, self.replies = pool, replies
        self.pbx, self.carrier = open_media_socket(PBX, 0), open_media_socket(CARRIER, 0)
        (self.inside,), (self.outside,) = (pool.open_ports(local, 1).ports for local in (INSIDE, OUTSIDE))
        self.sequence = 0
        self.got: list[tuple[float, bytes]] = []

    def put(self, **more: object) -> None:
        ends = (
            wire.End(INSIDE, self.inside, wire.Remote(PBX, self.pbx.getsockname()[1], 0)),
            wire.End(OUTSIDE, self.outside, wire.Remote(CARRIER, self.carrier.getsockname()[1], 0)),
        )
        stream = wire.Stream(
            *ends, ingress_to_egress=((PBX_EVENTS, CARRIER_EVENTS),), events=(PBX_EVENTS, CARRIER_EVENTS)
        )
        self.pool.ask(wire.PutSession("call", 1, (msgspec.structs.replace(stream, **more),)))

    def sends(self, payload_type: int, timestamp: int, payload: bytes) -> None:
        self.sequence += 1
        head = bytes((0x80, payload_type)) + self.sequence.to_bytes(2) + timestamp.to_bytes(4) + SSRC
        self.pbx.sendto(head + payload, (INSIDE, self.inside))

    async def speak(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.02)):
            self.sends(AUDIO, self.sequence * 160, bytes(160))
            await trio.sleep(0.02)

    async def listen(self) -> None:
        while True:
            await trio.lowlevel.wait_readable(self.carrier)
            self.got.append((trio.current_time(), self.carrier.recv(2048)))

    async def reply(self, kind: type[wire.Reply]) -> wire.Reply:
        with trio.fail_after(PATIENCE):
            while not any(isinstance(reply, kind) for reply in self.replies):  # noqa: ASYNC110 - another process says it
                await trio.sleep(0.001)
        return next(reply for reply in self.replies if isinstance(reply, kind))

    def events(self) -> list[tuple[float, bytes]]:
        return [(at, data) for at, data in self.got if data[1] & 127 == CARRIER_EVENTS]


@asynccontextmanager
async def calling() -> AsyncIterator[Call]:
    replies: list[wire.Reply] = []

    def deliver(event: MediaReplied) -> None:
        replies.append(event.reply)

    keeper = LocalKeeper(random.Random(os.getpid()).randrange)
    pool = MediaPool(keeper, MediaSettings(30000, 39998, engine="userland"), deliver)
    async with trio.open_nursery() as nursery:
        await nursery.start(keeper.run)
        await nursery.start(pool.run)
        call = Call(pool, replies)
        nursery.start_soon(call.listen)
        try:
            yield call
        finally:
            nursery.cancel_scope.cancel()
            pool.close()
            keeper.close()
            call.pbx.close()
            call.carrier.close()


async def test_a_digit_is_played_in_its_time_within_the_speech_that_flows() -> None:
    async with calling() as call:
        call.put(plays_digits=True)
        await call.speak(0.2)
        call.pool.ask(wire.PlayDigit("call", 0, "egress", "7", 100))
        await call.speak(0.6)
        call.pool.ask(wire.DeleteSession("call"))
        await call.reply(wire.SessionEnded)

        numbers = [int.from_bytes(data[2:4]) for _, data in call.got]
        assert all((after - before) & 0xFFFF == 1 for before, after in itertools.pairwise(numbers))
        assert {data[8:12] for _, data in call.got} == {SSRC}
        events = call.events()
        assert [(data[12], data[13] >> 7, int.from_bytes(data[14:16])) for _, data in events] == [
            (7, 0, 160),
            (7, 0, 320),
            (7, 0, 480),
            (7, 0, 640),
            (7, 1, 800),
            (7, 1, 800),
            (7, 1, 800),
        ]
        assert 0.05 < events[-1][0] - events[0][0] < 1.0, "six intervals of 20 ms, on a machine that may be busy"
        assert call.got[-1][1][1] & 127 == AUDIO


async def test_a_digit_is_played_where_nobody_speaks() -> None:
    async with calling() as call:
        call.put(plays_digits=True)
        call.pool.ask(wire.PlayDigit("call", 0, "egress", "#", 70))
        with trio.fail_after(PATIENCE):
            while len(call.events()) < 6:  # noqa: ASYNC110 - another process sends them
                await trio.sleep(0.001)
        assert {data[12] for _, data in call.events()} == {11}


async def test_a_digit_that_is_reported_reaches_signalling_once_and_does_not_cross() -> None:
    async with calling() as call:
        call.put(report_digits=("ingress",))
        await call.speak(0.1)
        started = call.sequence * 160
        for n in (1, 2, 3, 3, 3):
            call.sends(PBX_EVENTS, started, bytes((5, 0x8A if n == 3 else 10)) + (160 * n).to_bytes(2))
        await call.speak(0.1)
        assert await call.reply(wire.DigitHeard) == wire.DigitHeard("call", 0, "ingress", "5", 60)
        call.pool.ask(wire.DeleteSession("call"))
        ended = await call.reply(wire.SessionEnded)

        assert isinstance(ended, wire.SessionEnded)
        assert ended.streams[0].ingress.digits_received == 1
        assert call.events() == []
        assert sum(isinstance(reply, wire.DigitHeard) for reply in call.replies) == 1


async def test_a_digit_whose_end_is_lost_is_reported_without_another_packet() -> None:
    async with calling() as call:
        call.put(report_digits=("ingress",))
        await call.speak(0.04)
        call.sends(PBX_EVENTS, 8000, bytes((5, 10, 0, 160)))
        assert await call.reply(wire.DigitHeard) == wire.DigitHeard("call", 0, "ingress", "5", 20)
