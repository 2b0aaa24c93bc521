"""A far end that speaks SRTP, without a socket: keys, packets as they come and go, and what it could not open.

It is built of the worker's own machines, with state of its own for each far end; that these speak with others is shown
against the vectors of the RFCs and libsrtp (tests/unit/media/worker/test_srtp*). For the tests of everybody.
"""

import struct
from base64 import b64encode
from collections.abc import Callable
from typing import Final

from sbc.media import wire
from sbc.media.worker.srtp import Receiver, Sender
from sbc.media.worker.srtp_memory import Records
from sbc.media.worker.srtp_suite import SUITES

CM_80: Final = "AES_CM_128_HMAC_SHA1_80"
CM_32: Final = "AES_CM_128_HMAC_SHA1_32"
GCM_128: Final = "AEAD_AES_128_GCM"
GCM_256: Final = "AEAD_AES_256_GCM"


def master_key(suite: str, seed: int, mki: bytes = b"") -> wire.MasterKey:
    """The key number `seed` of a suite; the same for the same number."""
    one = SUITES[suite]
    return wire.MasterKey(bytes((seed * 37 + n * 11) & 0xFF for n in range(one.key + one.salt)), mki)


def inline(key: wire.MasterKey) -> str:
    """As it stands in `a=crypto`, RFC 4568 §6.1."""
    return "inline:" + b64encode(key.key).decode()


class SecuredFar:
    """One far end. `sends`, `hears`: its keys, of `suite`; either may be set anew by `rekey`.

    `refused` counts what it could not open: forged or replayed.
    """

    def __init__(self, suite: str, sends: wire.MasterKey, hears: wire.MasterKey) -> None:
        self.refused = 0
        self.rekey(suite, sends, hears)

    def rekey(self, suite: str, sends: wire.MasterKey, hears: wire.MasterKey) -> None:
        """New contexts: rollover counters begin at 0."""
        self.suite, self.sends, self.hears = suite, sends, hears
        self._sender = Sender(suite, sends.key, Records(), is_resumed=False)
        self._receiver = Receiver(suite, hears.key, Records())

    @property
    def crypto(self) -> wire.Crypto:
        """What our end of it is given: we send what it hears."""
        return wire.Crypto(self.suite, self.hears, (self.sends,))

    def rtp(self, packet: bytes) -> bytes:
        """An RTP packet as it leaves."""
        return bytes(self._sender.protect(packet, self.sends.mki))

    def rtcp(self, packet: bytes) -> bytes:
        return bytes(self._sender.protect_rtcp(packet, self.sends.mki))

    def opened(self, packet: bytes) -> bytes | None:
        """An SRTP packet that came, plain; None: it cannot be opened."""
        return self._opened(packet, self._receiver.open)

    def opened_rtcp(self, packet: bytes) -> bytes | None:
        return self._opened(packet, self._receiver.open_rtcp)

    def _opened(self, packet: bytes, how: Callable[[memoryview, int, int], int]) -> bytes | None:
        room = memoryview(bytearray(packet))
        left = how(room, len(packet), len(self.hears.mki))
        if left < 0:
            self.refused += 1
            return None
        return bytes(room[:left])


def rtp_packet(n: int, *, ssrc: int = 7, payload_type: int = 8, payload: bytes = bytes(160)) -> bytes:
    """Packet n of a stream of 20 ms; n may be larger than a sequence number."""
    return struct.pack("!BBHII", 0x80, payload_type, n & 0xFFFF, n * 160 & 0xFFFFFFFF, ssrc) + payload


def sender_report(ssrc: int = 7) -> bytes:
    return struct.pack("!BBHI", 0x80, 200, 6, ssrc) + bytes(20)
