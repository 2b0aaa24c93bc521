"""How many small records come over a TLS connection, before OpenSSL works on them (RFC 8446 §5.1).

A change of keys (§4.6.3) is a record of 22 octets and takes 30 µs: without a bound, a few megabits per second of them
would take all of the engine's time. Only the headers of records are looked at; what they hold is sealed.
Used by `tls`.
"""

from typing import Final

from sbc.core import limits

_HEADER: Final = 5  # type, version, length
_SMALL: Final = 64  # a keep-alive of four octets is one, the shortest SIP message is none


class RecordWatch:
    __slots__ = ("_head", "_left", "_seen_at", "_skip")

    def __init__(self, now: float) -> None:
        self._head = b""  # of a record whose header has come in part
        self._skip = 0  # octets of the record that has begun
        self._left = float(limits.SMALL_RECORDS)
        self._seen_at = now

    def allows(self, octets: bytes, now: float) -> bool:
        """False when there were too many: the connection is to be ended, and these are not to be worked on."""
        self._left = min(
            float(limits.SMALL_RECORDS), self._left + (now - self._seen_at) * limits.SMALL_RECORDS_PER_SECOND
        )
        self._seen_at = now
        self._left -= self._count(octets)
        return self._left >= 0

    def _count(self, octets: bytes) -> int:
        """Of small records that begin here."""
        data = self._head + octets
        at, small = self._skip, 0
        while at + _HEADER <= len(data):
            length = data[at + 3] << 8 | data[at + 4]
            small += length < _SMALL
            at += _HEADER + length
        self._head = data[at:]
        self._skip = max(0, at - len(data))
        return small
