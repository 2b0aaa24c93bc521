"""A handset of `sbc testcall`: the demo's phone with a voice and an ear that can be judged, on real sockets.

It decides nothing: what it does and when, `testcall` says.
"""

from typing import Final

import trio

from sbc.cli.demo_phone import DATAGRAM, DemoPhone
from sbc.cli.tone import Ear, Law, Voice
from sbc.core.ids import IdSource
from sbc.sdp import Media, Session
from sbc.sdp.codecs import codecs_of
from sbc.testing.rtp import INTERVAL

_CODECS: Final = ("PCMU", "PCMA", "telephone-event")
_LAWS: Final[dict[str, Law]] = {"pcmu": "PCMU", "pcma": "PCMA"}


class Handset(DemoPhone):
    """Speaks in `hertz`, listens for `other_hertz`."""

    def __init__(
        self,
        name: str,
        user: str,
        sip: trio.socket.SocketType,
        rtp: trio.socket.SocketType,
        ids: IdSource,
        hertz: int,
        other_hertz: int,
    ) -> None:
        super().__init__(name, user, sip, rtp, ids, hertz, codecs=_CODECS)
        self.voice = Voice(ids.number(1 << 32), hertz)
        self.ear = Ear(other_hertz)
        self.is_mute = False
        self._tuned_to: Session | None = None

    def listen_anew(self) -> None:
        self.ear = Ear(self.ear.hertz, self.ear.event_number)

    def can_dial(self) -> bool:
        return self._event_number(self._remote()) is not None

    def dial(self, digits: str) -> None:
        number = self._event_number(self._remote())
        if number is not None:
            self.voice.dial(digits, number)

    async def _speak(self) -> None:
        beat = trio.current_time()
        while True:
            target = self._target()
            if target is not None and not self.is_mute:
                self._tune()
                await self.rtp.sendto(self.voice.packet(), (target.host, target.port))
            beat = max(beat + INTERVAL, trio.current_time() - INTERVAL)
            await trio.sleep_until(beat)

    async def _listen(self) -> None:
        while True:
            data = await self.rtp.recv(DATAGRAM)
            self.ear.take(data, trio.current_time())

    def _tune(self) -> None:
        """To what the far side asks for, in its order."""
        party = self.agent.parties[-1]
        if party.remote_sdp is None or party.remote_sdp is self._tuned_to:
            return
        self._tuned_to = party.remote_sdp
        if party.local_sdp is not None:
            self.ear.event_number = self._event_number(party.local_sdp.media[0])
        for number, codec in codecs_of(party.remote_sdp.media[0]).items():
            if codec.name in _LAWS:
                self.voice.law, self.voice.number = _LAWS[codec.name], int(number)
                return

    def _remote(self) -> Media | None:
        session = self.agent.parties[-1].remote_sdp if self.agent.parties else None
        return session.media[0] if session is not None and session.media else None

    @staticmethod
    def _event_number(media: Media | None) -> int | None:
        found = [] if media is None else codecs_of(media).items()
        return next((int(number) for number, codec in found if codec.name == "telephone-event"), None)
