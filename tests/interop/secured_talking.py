"""Calls as of `talking`, with SRTP on some sides: keys in the SDP (RFC 4568), packets sealed and opened at the ends.

Both ends begin 100 packets before the sequence number wraps, so that two seconds of talk go over a rollover. And an
attacker, who sends what he likes from the carrier's own address and port.
"""

import random
import re
import socket
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count

from sbc.media import wire
from sbc.testing.srtp import CM_80, SecuredFar, inline, master_key, rtp_packet

from .node import Node
from .talking import End, Side, TalkingCalls

FIRST = 65_436
_PROFILE = {True: "RTP/SAVP", False: "RTP/AVP"}


@dataclass
class SecuredEnd(End):
    """`far` is known when the SBC has said its key; `suite` is what it speaks; `tag`: of its line `a=crypto`."""

    suite: str = ""
    tag: str = "1"
    far: SecuredFar | None = None

    @property
    def key(self) -> wire.MasterKey:
        return master_key(self.suite, self.ssrc)

    def leaves(self, packet: bytes) -> bytes:
        return packet if self.far is None else self.far.rtp(packet)

    def arrived(self, data: bytes) -> bytes:
        return data if self.far is None else self.far.opened(data) or b""


class SecuredCalls(TalkingCalls):
    """`suites`: of the sides that speak SRTP; the other one speaks RTP."""

    def __init__(self, node: Node, count: int, suites: Mapping[Side, str]) -> None:
        self._suites = suites
        super().__init__(node, count)

    def end(self, side: Side, ssrc: int, expects: int, sock: socket.socket) -> End:
        return SecuredEnd(ssrc, expects, sock, FIRST, suite=self._suites.get(side, ""))

    def described(self, side: Side, end: End, text: str) -> None:
        """The SBC's key for us stands in its offer or answer; there is one exactly where SRTP is spoken."""
        assert isinstance(end, SecuredEnd)
        found = re.findall(r"^a=crypto:(\d+) (\S+) inline:([^|\s]+)", text, re.MULTILINE)
        keys = {suite: (tag, key) for tag, suite, key in found}
        assert f" {_PROFILE[bool(end.suite)]} " in text, text
        assert (end.suite in keys) if end.suite else not keys, text
        if end.suite:
            end.tag, key = keys[end.suite]
            end.far = SecuredFar(end.suite, end.key, wire.MasterKey(b64decode(key)))
        super().described(side, end, text)

    def sdp(self, side: Side, end: End) -> str:
        assert isinstance(end, SecuredEnd)
        plain = super().sdp(side, end)
        if not end.suite:
            return plain
        return plain.replace("RTP/AVP", "RTP/SAVP") + f"a=crypto:{end.tag} {end.suite} {inline(end.key)}\r\n"

    def refused(self) -> int:
        """Packets of the SBC that an end could not open."""
        return sum(end.far.refused for end in self.ends if isinstance(end, SecuredEnd) and end.far is not None)


def forgeries(genuine: Callable[[], bytes]) -> Iterator[bytes]:
    """Packets that the far end did not send, or not now; `genuine`: one that it has sent, and that was heard."""
    chance = random.Random(7)
    other = SecuredFar(CM_80, *(master_key(CM_80, seed) for seed in (200, 201)))

    def flipped() -> bytes:
        octets = bytearray(genuine())
        octets[chance.randrange(2, len(octets))] ^= 1 << chance.randrange(8)
        return bytes(octets)

    makers: tuple[Callable[[int], bytes], ...] = (
        lambda _: flipped(),
        lambda _: genuine(),
        lambda _: genuine()[: chance.randrange(1, 170)],
        lambda _: genuine() + b"\0",
        lambda n: other.rtp(rtp_packet(n)),
        rtp_packet,
        lambda _: b"\x80\0" + chance.randbytes(chance.randrange(200)),
        lambda _: bytes((0x80, 200)) + chance.randbytes(60),
        lambda _: chance.randbytes(chance.randrange(1, 1400)),
        lambda _: b"\x16\xfe\xfd" + chance.randbytes(40),
        lambda _: b"\x00\x01\x00\x00" + chance.randbytes(16),
    )
    for n in count():
        yield chance.choice(makers)(n)
