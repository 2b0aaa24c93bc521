"""What the spool keeps of a call: that an INVITE came, that it was answered, that it still talks, and its record.

An entry is one line, a checksum and JSON: `0a1b2c3d {"kind":"start","record":{…}}`. So it can be read with a pager, and
behind a damaged line the next one is found. All but the last kind hold the record as it would be if nothing more were
ever heard of the call. Unknown fields are passed over and missing ones have their defaults, so that a program reads
what the one before it has written. Pure. Used by the engine, which makes them, and by `spool`.
"""

import zlib
from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from sbc.cdr.record import CallRecord
from sbc.core.cause import Cause
from sbc.core.surrogates import plain, spelled

_CHECKSUM: Final = 8  # hexadecimal digits of a CRC-32


class Attempted(Struct, frozen=True, tag="attempt", tag_field="kind", omit_defaults=True):
    """An INVITE has come in. `started_at`: wall seconds."""

    ref: str
    ingress: str
    caller: str
    called: str
    started_at: float
    call_id: str
    emergency: bool = False


class Started(Struct, frozen=True, tag="start", tag_field="kind"):
    """It was answered: the record as if it had ended then."""

    record: CallRecord

    @property
    def ref(self) -> str:
        return self.record.ref


class Interim(Struct, frozen=True, tag="interim", tag_field="kind"):
    """It talks: the record as if it had ended when its media was heard last."""

    record: CallRecord

    @property
    def ref(self) -> str:
        return self.record.ref


class Stopped(Struct, frozen=True, tag="stop", tag_field="kind"):
    """It is over, and this is its record."""

    record: CallRecord

    @property
    def ref(self) -> str:
        return self.record.ref


Entry = Attempted | Started | Interim | Stopped


class _Ref(Struct):
    ref: str


class Glance(Struct):
    """What of an entry tells which call it is about."""

    kind: str
    ref: str = ""
    record: _Ref | None = None

    @property
    def of(self) -> str:
        return self.ref if self.record is None else self.record.ref


class Line(Struct, frozen=True):
    """Of a piece of a segment: where it begins and ends, the newline included. `text`: None where it is damaged."""

    start: int
    end: int
    text: bytes | None


_glances: Final = msgspec.json.Decoder(Glance)
_entries: Final = msgspec.json.Decoder(Entry)
_encoder: Final = msgspec.json.Encoder()


def line_of(entry: Entry) -> bytes:
    """With its newline."""
    try:
        text = _encoder.encode(entry)
    except UnicodeEncodeError:  # octets of a peer that were no UTF-8 came in as lone surrogates
        text = _encoder.encode(plain(entry, spelled))
    return checked_line(text)


def checked_line(text: bytes) -> bytes:
    """As `lines` reads it. `text`: JSON, without a newline."""
    return b"%08x %b\n" % (zlib.crc32(text), text)


def lines(data: bytes) -> Iterator[Line]:
    """All of `data`; what has no newline at its end is damaged."""
    start = 0
    while start < len(data):
        newline = data.find(b"\n", start)
        end = len(data) if newline < 0 else newline + 1
        yield Line(start, end, None if newline < 0 else _checked(data[start:newline]))
        start = end


def _checked(line: bytes) -> bytes | None:
    text = line[_CHECKSUM + 1 :]
    return text if text and line[: _CHECKSUM + 1] == b"%08x " % zlib.crc32(text) else None


def glance(text: bytes) -> Glance | None:
    """None: its checksum is right, but this program does not know what it is."""
    try:
        return _glances.decode(text)
    except msgspec.DecodeError:
        return None


def read_entry(text: bytes) -> Entry | None:
    """As `glance`."""
    try:
        found: Entry = _entries.decode(text)
    except msgspec.DecodeError:
        return None
    return found


def closed(entry: Entry) -> CallRecord:
    """The record of a call that nobody knows more of: it ended when it was heard last."""
    if not isinstance(entry, Attempted):
        return replace(entry.record, cause=Cause.INTERNAL, ended_by="sbc", q850=Cause.INTERNAL.q850, estimated=True)
    return CallRecord(
        ref=entry.ref,
        ingress=entry.ingress,
        egress=None,
        route=None,
        caller=entry.caller,
        called=entry.called,
        called_as_sent=None,
        started_at=entry.started_at,
        ringing_at=None,
        answered_at=None,
        ended_at=entry.started_at,
        billable_ms=0,
        sip_status=Cause.INTERNAL.status,
        q850=Cause.INTERNAL.q850,
        ended_by="sbc",
        cause=Cause.INTERNAL,
        emergency=entry.emergency,
        disaster=False,
        media=None,
        ingress_call_id=entry.call_id,
        egress_call_id=None,
        estimated=True,
    )
