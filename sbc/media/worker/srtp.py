"""SRTP and SRTCP of one master key, each way (RFC 3711, 7714): `Sender` protects what we send, `Receiver` opens.

They know packets and keys; which key is an end's, and its sockets, are `securing`'s. One key has one of these in the
whole worker (`srtp_keyring`), whichever sessions and ports use it.

Why no keystream is used twice. A keystream is made of key, SSRC and index. A key for sending is of our own making and
used by one `Sender` alone. All that leaves under it goes through `Said.next`, which gives each index of an SSRC once,
in `Said`'s window or above it, and otherwise none: then the packet is dropped. So it does not matter what the far
end's source does, whose SSRC and numbers we forward: a packet that is repeated, with the same or with other octets, is
not sent again; a source that jumps back, a transfer that puts another source behind one SSRC, two sources of one SSRC
and digits of our own (`voice`) are numbered on behind what was sent. A packet that the network refuses to take is not
protected a second time, the protected octets are sent again as they are (`securing`). SRTCP has one index for all
sources of a key, which only grows. Both are written down before the packet leaves; after a worker's death everything
up to there counts as used, and SRTCP jumps ahead. Where nothing vouches for what a former worker used, nothing is sent.
A key that has come to its last index sends no more (RFC 3711 §9.2).
"""

import struct
from typing import Final

from sbc.core.limits import SRTP_ROLLOVERS_TRIED, SRTP_SOURCES
from sbc.media.worker.srtp_cipher import FORGED, CounterMode, Gcm, Protection
from sbc.media.worker.srtp_keys import session_keys
from sbc.media.worker.srtp_memory import Records, owner_of
from sbc.media.worker.srtp_numbers import NONE, RTCP_LAST, Heard, Said, guess
from sbc.media.worker.srtp_suite import SUITES, Suite

REPLAYED: Final = -2

RTP_OCTETS: Final = 12
RTCP_OCTETS: Final = 8
_EXTENDED: Final = 0x10
_TRIALS: Final = 64  # packets that are tried with each rollover counter; more are not authentic at all
_JUMP: Final = 1 << 10  # SRTCP indices that are left out when a worker follows another
_words = struct.Struct("!III").unpack_from


class UnsendableError(OSError):
    """This packet must not leave. An error of the network to those who send: they count it and go on."""


class Sender:
    """`mki` goes with each packet, it may be empty. `is_spent`: nothing may be sent under this key any more.

    `is_resumed`: the session went on in another worker before us, which may have used the key.
    """

    __slots__ = (
        "_is_doubtful",
        "_record",
        "_records",
        "_rtcp",
        "_rtp",
        "_said",
        "_sources",
        "_ssrc",
        "is_spent",
        "owner",
    )

    def __init__(self, suite: str, key: bytes, records: Records, *, is_resumed: bool, is_lost: bool = False) -> None:
        """Raises ValueError where the key is not one of the suite. `is_lost`: another worker, which has records of its
        own, may have used it, and has not told how far.
        """
        self._rtp, self._rtcp = protections(SUITES[suite], key)
        self._records = records
        self.owner = owner_of(key, is_sent=True)
        was_used = records.has(self.owner)
        self._is_doubtful = records.is_doubtful(self.owner)
        self._record = records.take(self.owner)
        if is_lost or (is_resumed and not was_used and not records.is_complete):
            self._record.mark()
        self.is_spent = self._record.is_marked
        if was_used:
            self._record.note_rtcp(min(self._record.rtcp_index + _JUMP, RTCP_LAST))
        self._sources: dict[int, Said] = {}
        self._ssrc = NONE
        self._said: Said | None = None

    def reload(self) -> None:
        """The records say more than we know."""
        self._sources.clear()
        self._ssrc, self._said = NONE, None
        self.is_spent = self._record.is_marked

    def lose(self) -> None:
        """As `is_lost`, which has come to light since."""
        self._record.mark()
        self.is_spent = True

    def protect(self, data: bytes | memoryview, mki: bytes) -> memoryview:
        """An RTP packet as it leaves, in a buffer that the next call uses again. Raises UnsendableError."""
        if len(data) < RTP_OCTETS:
            raise UnsendableError
        word, _, ssrc = _words(data)
        if self.is_spent:
            raise UnsendableError
        said = self._said
        if ssrc != self._ssrc or said is None:
            said = self._source(ssrc)
        head = RTP_OCTETS
        if word & 0x1F000000:
            head = head_octets(data, len(data))
            if head < 0:
                raise UnsendableError
        index = said.next(word & 0xFFFF)
        if index == NONE:
            raise UnsendableError
        if said.shift:
            data = _renumbered(data, index & 0xFFFF)
        return self._rtp.seal(data, head, said.base, index, mki)

    def protect_rtcp(self, data: bytes | memoryview, mki: bytes) -> memoryview:
        """The same of RTCP."""
        if len(data) < RTCP_OCTETS:
            raise UnsendableError
        index = self._record.rtcp_index + 1
        if self.is_spent or index > RTCP_LAST:
            raise UnsendableError
        self._record.note_rtcp(index)
        base = self._rtcp.base_of(int.from_bytes(data[4:8]))
        return self._rtcp.seal_rtcp(data, RTCP_OCTETS, base, index, mki)

    def _source(self, ssrc: int) -> Said:
        said = self._sources.get(ssrc)
        if said is None:
            is_unknown = self._is_doubtful and not self._records.has(self.owner, ssrc + 1)
            if is_unknown or len(self._sources) >= SRTP_SOURCES:
                raise UnsendableError
            # Deviation: "after a re-keying … the rollover counter always maintains its sequence of values" (RFC 3711
            # §3.3.1). RFC 4568 §6.4 has it zero when a context is made; that is what most peers expect of a new key.
            record = self._records.take(self.owner, ssrc + 1)
            said = self._sources[ssrc] = Said(record, self._rtp.base_of(ssrc))
        self._ssrc, self._said = ssrc, said
        return said


class Receiver:
    """What comes under one key. A source is remembered once it has proved authentic, never before.

    `goes_on`: the key was used before, and how far its sources had come is lost with the memory of it. Then their first
    packets are tried with one rollover counter after the other. Until one fits, a recorded packet would pass as new.
    """

    __slots__ = ("_heard", "_records", "_rtcp", "_rtp", "_sources", "_ssrc", "_trials", "owner")

    def __init__(self, suite: str, key: bytes, records: Records, *, goes_on: bool = False) -> None:
        """Raises ValueError where the key is not one of the suite."""
        self._rtp, self._rtcp = protections(SUITES[suite], key)
        self.owner = owner_of(key, is_sent=False)
        self._records = records
        self._sources: dict[int, Heard] = {}
        self._ssrc = NONE
        self._heard: Heard | None = None
        self._trials = _TRIALS if goes_on else 0

    def reload(self) -> None:
        """The records say more than we know."""
        self._sources.clear()
        self._ssrc, self._heard = NONE, None

    def highest(self, ssrc: int) -> int:
        """The highest index of a source, NONE: it is not known."""
        heard = self._sources.get(ssrc)
        return NONE if heard is None else heard.highest

    def open(self, packet: memoryview, size: int, mki: int, before: int = NONE) -> int:
        """Opens the SRTP packet in the first `size` octets in place, `mki` octets of which are MKI. Returns the size
        of the RTP packet, FORGED or REPLAYED. `before`: the highest index that its source had under another key.
        """
        if size < RTP_OCTETS:
            return FORGED
        word, _, ssrc = _words(packet)
        head = RTP_OCTETS
        if word & 0x1F000000:
            head = head_octets(packet, size)
            if head < 0:
                return FORGED
        heard = self._heard
        if ssrc != self._ssrc or heard is None:
            heard = self._known(ssrc)
            if heard is None or heard.highest == NONE:
                return self._open_first(packet, size, head, mki, before, heard)
        sequence = word & 0xFFFF
        index = heard.highest + 1
        if sequence != index & 0xFFFF:
            index = guess(heard.highest, sequence)
            if index == NONE:
                return FORGED
            if heard.has(index):
                return REPLAYED
        left = self._rtp.open(packet, size, head, heard.base, index, mki)
        if left >= 0:
            heard.took(index)
        return left

    def open_rtcp(self, packet: memoryview, size: int, mki: int) -> int:
        """The same of SRTCP."""
        trailer = size - mki - self._rtcp.trailer
        if trailer < RTCP_OCTETS:
            return FORGED
        word = int.from_bytes(packet[trailer : trailer + 4])
        index = word & 0x7FFFFFFF
        ssrc = int.from_bytes(packet[4:8])
        heard = self._known(ssrc)
        if heard is not None and heard.rtcp.has(index):
            return REPLAYED
        base = self._rtcp.base_of(ssrc) if heard is None else heard.rtcp_base
        left = self._rtcp.open_rtcp(packet, size, RTCP_OCTETS, base, word, mki)
        if left < 0:
            return left
        heard = heard or self._learned(ssrc)
        if heard is None:
            return FORGED
        heard.took_rtcp(index)
        return left

    def _open_first(self, packet: memoryview, size: int, head: int, mki: int, before: int, heard: Heard | None) -> int:
        """A source's first packet under this key. Its rollover counter is 0 (RFC 4568 §6.4), or it goes on from another
        key's: "after a re-keying … it MUST NOT be reset" (RFC 3711 §3.3.1). Peers do either.
        """
        sequence, ssrc = int.from_bytes(packet[2:4]), int.from_bytes(packet[8:12])
        base = self._rtp.base_of(ssrc)
        indices = {sequence: None, guess(before, sequence): None}
        if self._trials:
            self._trials -= 1
            indices |= dict.fromkeys(sequence + (roc << 16) for roc in range(1, SRTP_ROLLOVERS_TRIED))
        for index in indices:
            left = FORGED if index == NONE else self._rtp.open(packet, size, head, base, index, mki)
            if left >= 0:
                heard = heard or self._learned(ssrc)
                if heard is None:
                    return FORGED
                heard.took(index)
                return left
        return FORGED

    def _known(self, ssrc: int) -> Heard | None:
        heard = self._sources.get(ssrc)
        if heard is None and self._records.has(self.owner, ssrc + 1):
            heard = self._learned(ssrc)
        if heard is not None:
            self._ssrc, self._heard = ssrc, heard
        return heard

    def _learned(self, ssrc: int) -> Heard | None:
        """None: too many, and one more could only take the place of one that must not be forgotten."""
        if len(self._sources) >= SRTP_SOURCES:
            return None
        record = self._records.take(self.owner, ssrc + 1)
        heard = self._sources[ssrc] = Heard(record, self._rtp.base_of(ssrc), self._rtcp.base_of(ssrc))
        return heard


def protections(suite: Suite, key: bytes) -> tuple[Protection, Protection]:
    """Of SRTP and of SRTCP. Raises ValueError where the key is not one of the suite."""
    kind = Gcm if suite.is_aead else CounterMode
    return (
        kind(session_keys(suite, key, is_rtcp=False), suite.rtp_tag),
        kind(session_keys(suite, key, is_rtcp=True), suite.rtcp_tag),
    )


def head_octets(packet: bytes | memoryview, size: int) -> int:
    """What of an RTP packet stays readable: header, CSRCs and extension (RFC 3711 §3.1); -1: there is not so much."""
    first = packet[0]
    head = RTP_OCTETS + 4 * (first & 15)
    if first & _EXTENDED:
        if head + 4 > size:
            return -1
        head += 4 + 4 * int.from_bytes(packet[head + 2 : head + 4])
    return head if head <= size else -1


def _renumbered(data: bytes | memoryview, sequence: int) -> memoryview:
    copied = bytearray(data)
    copied[2:4] = sequence.to_bytes(2)
    return memoryview(copied)
