"""A phone of the demo: the scripted user agent of the test kit on real UDP sockets, with a tone as its voice.

SIP on one socket, RTP on another; a packet of PCMU every 20 ms while a call is up and its directions allow it.
It decides nothing: what it does and when, `demo` says.
"""

from collections.abc import Callable

import trio

from sbc.core.address import Address, Flow, Transport
from sbc.core.ids import IdSource
from sbc.sdp import direction_of, media_remotes
from sbc.sip.commands import SendMessage
from sbc.testing.agent import UserAgent
from sbc.testing.party import Party, Stage
from sbc.testing.rtp import INTERVAL, Heard, Tone

DATAGRAM = 65_535
_FOR_EVER = 86_400.0
_LOOK_SECONDS = 0.01


class DemoPhone:
    def __init__(
        self,
        name: str,
        user: str,
        sip: trio.socket.SocketType,
        rtp: trio.socket.SocketType,
        ids: IdSource,
        hertz: int,
        codecs: tuple[str, ...] = ("PCMU",),
    ) -> None:
        self.name = name
        self.sip = sip
        self.rtp = rtp
        self.tone = Tone(ids.number(1 << 32), hertz)
        self.heard = Heard()
        self.agent = UserAgent(name, _address(sip), ids, user=user, media=_address(rtp), codecs=codecs)
        self._wait: trio.CancelScope | None = None

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._signal)
            nursery.start_soon(self._speak)
            nursery.start_soon(self._listen)

    # --- what the demo tells it ---------------------------------------------------------------------------------------

    async def perform(self, move: Callable[[float], list[SendMessage]]) -> None:
        """A move of the user agent, and what it sends."""
        await self._send(move(trio.current_time()))
        if self._wait is not None:
            self._wait.deadline = self._deadline()

    async def until(self, possible: Callable[[Party], bool], seconds: float) -> Party | None:
        """The last call as soon as it is like this; None if that does not happen in time."""
        with trio.move_on_after(seconds):
            while not (self.agent.parties and possible(self.agent.parties[-1])):  # noqa: ASYNC110 - it tells nobody
                await trio.sleep(_LOOK_SECONDS)
            return self.agent.parties[-1]
        return None

    # --- SIP ----------------------------------------------------------------------------------------------------------

    async def _signal(self) -> None:
        while True:
            with trio.CancelScope(deadline=self._deadline()) as self._wait:
                data, source = await self.sip.recvfrom(DATAGRAM)
                flow = Flow(Transport.UDP, "", self.agent.address, Address(source[0], source[1]))
                await self._send(self.agent.receive(data, flow, trio.current_time()))
            await self._send(self.agent.tick(trio.current_time()))

    def _deadline(self) -> float:
        at = self.agent.next_deadline()
        return trio.current_time() + _FOR_EVER if at is None else at

    async def _send(self, messages: list[SendMessage]) -> None:
        for message in messages:
            remote = message.flow.remote
            await self.sip.sendto(message.data, (remote.host, remote.port))

    # --- RTP ----------------------------------------------------------------------------------------------------------

    async def _speak(self) -> None:
        beat = trio.current_time()
        while True:
            target = self._target()
            if target is not None:
                await self.rtp.sendto(self.tone.packet(), (target.host, target.port))
            beat = max(beat + INTERVAL, trio.current_time() - INTERVAL)
            await trio.sleep_until(beat)

    async def _listen(self) -> None:
        while True:
            self.heard.take(await self.rtp.recv(DATAGRAM))

    def _target(self) -> Address | None:
        """Where the voice goes now, if it may go anywhere: as the last descriptions of both sides say."""
        party = self.agent.parties[-1] if self.agent.parties else None
        if party is None or party.stage is not Stage.TALKING or party.remote_sdp is None or party.local_sdp is None:
            return None
        theirs = direction_of(party.remote_sdp, party.remote_sdp.media[0])
        ours = direction_of(party.local_sdp, party.local_sdp.media[0])
        remote = media_remotes(party.remote_sdp)[0]
        if not (theirs.receives and ours.sends) or remote.host is None or not remote.port:
            return None
        return Address(remote.host, remote.port)


def _address(socket: trio.socket.SocketType) -> Address:
    host, port = socket.getsockname()[:2]
    return Address(host, port)
