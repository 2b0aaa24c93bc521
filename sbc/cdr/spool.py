"""The spool: what calls have come to, on the disk before anything else is done with it. `data_dir/spool/`.

Segments that only grow (`0000000001.spool`, …), lines of `entry`. Once `write` returns, its entries outlive a power
cut. Destinations read the final records in order (`records`), each from its own `Spot`; a segment that all of them have
passed is removed, unless it is needed to know a record that comes twice. At a start a torn end is cut, a damaged place
is passed over; both are told and neither is in the way. A call that has begun and not ended is open: `closing` makes
the records of those that nobody will end.

One final record per call: of two the first counts. It knows no thread of its own, no clock and no database; whoever
writes is one thread, whoever reads may be others. Used by the runtime.
"""

import contextlib
import errno
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Final

from msgspec import Struct

from sbc.cdr.entry import Attempted, Entry, Line, Stopped, closed, glance, line_of, lines, read_entry
from sbc.cdr.record import CallRecord
from sbc.core import limits
from sbc.core.cause import Cause
from sbc.core.errors import OperatorError
from sbc.core.files import Folder, Growing

_ENDING: Final = ".spool"
_CHUNK_OCTETS: Final = 1_048_576  # read at a time; no line is longer
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_STOP: Final = b'{"kind":"stop"'
_SEGMENT_OCTETS: Final = 4_194_304  # then the next one begins


class SpoolError(OperatorError):
    """The disk does not take it; the message says why."""


class Spot(Struct, frozen=True, order=True):
    """A place in the spool: everything before it is done with."""

    segment: int = 0
    offset: int = 0


class Damage(Struct, frozen=True):
    """`is_end`: the torn end of the last segment, which is cut; else a damaged place, whose lines are lost."""

    file: str
    offset: int
    octets: int
    is_end: bool


class _Segment(Struct):
    """`size`: octets that are safe, and that may be read."""

    number: int
    size: int
    stopped: list[str]  # refs whose record is here
    open: int = 0  # calls whose newest entry is here

    @property
    def name(self) -> str:
        return f"{self.number:010d}{_ENDING}"


class _Held(Struct, frozen=True):
    """Where the newest entry of an open call stands."""

    segment: int
    start: int
    end: int


class Spool:
    """`load` first, once. `write`, `closing` and `tidy` from one thread; the rest from any."""

    def __init__(
        self,
        folder: Folder,
        *,
        most: int = limits.SPOOL_OCTETS,
        segment: int = _SEGMENT_OCTETS,
        tell: Callable[[Damage], None] = lambda _: None,
    ) -> None:
        """`tell`: of a segment that is gone while destinations still want it."""
        self._folder = folder
        self._tell = tell
        self._most = most
        self._segment_octets = segment
        self._kept_octets = min(limits.SPOOL_KEPT_OCTETS, most // 4)
        self._segments: dict[int, _Segment] = {}  # in order
        self._file: Growing | None = None  # of the newest one
        self._uncut: _Segment | None = None  # behind its size there may be what nobody was promised
        self._newest = 0
        self._held: dict[str, _Held] = {}
        self._stops: dict[str, Spot] = {}
        self._inherited: set[str] = set()
        self._lock = threading.Lock()  # for the tables; never held over a file operation

    # --- the start ----------------------------------------------------------------------------------------------------

    def load(self, passed: Iterable[Spot] = ()) -> list[Damage]:
        """Read what there is. `passed`: where destinations are; what is written now is behind all of these, also where
        somebody has emptied the folder. SpoolError where the folder itself cannot be read.
        """
        damages: list[Damage] = []
        with _told("cannot be read"):
            names = self._folder.names()
        numbers = sorted(number for number in map(_number, names) if number is not None)
        for number in numbers:
            damages += self._load(number, is_last=number == numbers[-1])
        self._newest = max([self._newest, *(spot.segment for spot in passed)])
        self._inherited = set(self._held)
        return damages

    def _load(self, number: int, *, is_last: bool) -> list[Damage]:
        segment = self._segments[number] = _Segment(number, 0, [])
        self._newest = number
        size = 0
        try:
            size = self._folder.size(segment.name) or 0
            data = self._folder.read(segment.name, 0, size)
        except OSError:
            return [Damage(segment.name, 0, size, is_end=False)]  # nobody reads it
        segment.size = len(data)
        damages: list[Damage] = []
        for line in lines(data):
            found = None if line.text is None else glance(line.text)
            if found is not None:
                self._note(segment, line.start, line.end, found.kind, found.of)
            if line.text is None:
                damages.append(Damage(segment.name, line.start, line.end - line.start, is_end=False))
        damages = _joined(damages)
        if is_last and damages and damages[-1].offset + damages[-1].octets == len(data):
            damages[-1] = Damage(segment.name, damages[-1].offset, damages[-1].octets, is_end=True)
            segment.size = damages[-1].offset
            self._uncut = segment
            with contextlib.suppress(SpoolError):
                self._cut()  # or before anything else is written
        return damages

    # --- writing ------------------------------------------------------------------------------------------------------

    def write(self, entries: Iterable[Entry]) -> None:
        """Once this returns they are safe; SpoolError where they are not. What comes after a call's record, and a
        second record, is left out: the first one stands.
        """
        added: list[tuple[str, str, bytes]] = []
        ended: set[str] = set()
        for entry in entries:
            if entry.ref in self._stops or entry.ref in ended:
                continue
            if isinstance(entry, Stopped):
                ended.add(entry.ref)
                added.append(("stop", entry.ref, line_of(self._with_answer(entry))))
            else:
                added.append(("", entry.ref, line_of(entry)))
        if not added:
            return
        if self.octets + sum(len(line) for _, _, line in added) > self._most:
            raise SpoolError(f"the spool of call records is full: {self._most >> 20} MiB wait for their destinations")
        self._append(added)

    def _append(self, added: Sequence[tuple[str, str, bytes]]) -> None:
        data = b"".join(line for _, _, line in added)
        segment = self._put(data)
        with self._lock:
            start = segment.size
            for kind, ref, line in added:
                self._note(segment, start, start + len(line), kind, ref)
                start += len(line)
            segment.size = start

    def _put(self, data: bytes) -> _Segment:
        """Which segment it is at the end of, safely."""
        with _told("cannot be written"):
            self._cut()
            try:
                if self._file is None or self._segments[self._newest].size >= self._segment_octets:
                    self._begin()
                segment, file = self._segments[self._newest], self._file
                assert file is not None  # noqa: S101 - `_begin` has made it
                self._uncut = segment
                file.write(data)
                file.sync()
            except OSError:
                # After a failed fsync nobody knows what is on the disk, and a second one may say all is well. What was
                # not promised is cut off, and a new segment gets it.
                self._close()
                raise
            self._uncut = None
            return segment

    def _begin(self) -> None:
        self._close()
        segment = _Segment(self._newest + 1, 0, [])
        self._file = self._folder.grow(segment.name)
        self._newest = segment.number
        with self._lock:
            self._segments[segment.number] = segment
        self._folder.sync()

    def _cut(self) -> None:
        if self._uncut is not None:
            with _told("cannot be cut"):
                size = self._folder.size(self._uncut.name)
                if size is not None and size != self._uncut.size:
                    self._folder.cut(self._uncut.name, self._uncut.size)
            self._uncut = None

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()

    def close(self) -> None:
        self._close()

    def _note(self, segment: _Segment, start: int, end: int, kind: str, ref: str) -> None:
        if ref in self._stops:
            return
        before = self._held.pop(ref, None)
        if before is not None:
            self._segments[before.segment].open -= 1
        if kind == "stop":
            self._stops[ref] = Spot(segment.number, start)
            segment.stopped.append(ref)
        else:
            self._held[ref] = _Held(segment.number, start, end)
            segment.open += 1

    # --- calls that nobody will end -----------------------------------------------------------------------------------

    def open_refs(self) -> set[str]:
        """Calls that began in an earlier life and have no record."""
        return {ref for ref in self._inherited if ref in self._held}

    def closing(self, alive: Collection[str]) -> list[CallRecord]:
        """Records, to be written, for those of `open_refs` that are not `alive` any more."""
        records = []
        for ref in sorted(self.open_refs() - set(alive)):
            entry = self._entry(self._held[ref])
            if entry is not None:
                records.append(closed(entry))
        self._inherited = set()
        return records

    def _with_answer(self, stop: Stopped) -> Stopped:
        """What ends a call of an earlier life may have been written down before its answer, which is here: the call
        journal is on the disk later than this. Then nobody knows its end.
        """
        record, held = stop.record, self._held.get(stop.ref)
        if held is None or stop.ref not in self._inherited:
            return stop
        if record.answered_at is not None or record.cause is not Cause.INTERNAL:
            return stop
        known = self._entry(held)
        return stop if known is None or isinstance(known, Attempted) else Stopped(closed(known))

    def _entry(self, held: _Held) -> Entry | None:
        try:
            found = self._read(held)
        except OSError:
            return None
        line = next(lines(found))
        return None if line.text is None else read_entry(line.text)

    def _read(self, held: _Held) -> bytes:
        return self._folder.read(self._segments[held.segment].name, held.start, held.end - held.start)

    # --- reading ------------------------------------------------------------------------------------------------------

    def records(self, after: Spot, most: int) -> tuple[list[CallRecord], Spot]:
        """Up to `most` final records behind a spot, and the spot behind them. OSError where the disk does not give
        them.
        """
        found: list[CallRecord] = []
        spot = after
        while len(found) < most:
            segment = self._at(spot)
            if segment is None:
                return found, spot
            if segment.number != spot.segment:
                spot = Spot(segment.number)
            try:
                data = self._folder.read(segment.name, spot.offset, min(_CHUNK_OCTETS, segment.size - spot.offset))
            except FileNotFoundError:
                spot = self._give_up(segment, spot)
                continue
            spot = self._take(segment, spot, data, found, most)
        return found, spot

    def _give_up(self, segment: _Segment, spot: Spot) -> Spot:
        """Somebody has removed the file. What is behind it must not wait for it for ever."""
        with self._lock:
            size, segment.size = segment.size, 0
        self._tell(Damage(segment.name, spot.offset, size - spot.offset, is_end=False))
        return Spot(segment.number, size)

    def _take(self, segment: _Segment, spot: Spot, data: bytes, found: list[CallRecord], most: int) -> Spot:
        done = 0
        is_rest = spot.offset + len(data) >= segment.size
        for line in lines(data):
            if line.text is None and line.end == len(data) and not is_rest and line.start > 0:
                break  # the rest of it is in the next piece
            record = self._record(line, Spot(segment.number, spot.offset + line.start))
            done = line.end
            if record is not None:
                found.append(record)
                if len(found) >= most:
                    break
        return Spot(segment.number, spot.offset + done if data else segment.size)

    def _record(self, line: Line, spot: Spot) -> CallRecord | None:
        """Where it is a final one, and the first of its call."""
        if line.text is None or not line.text.startswith(_STOP):
            return None
        entry = read_entry(line.text)
        if not isinstance(entry, Stopped) or self._stops.get(entry.ref) != spot:
            return None
        return entry.record

    def _at(self, spot: Spot) -> _Segment | None:
        """The segment with something behind the spot."""
        with self._lock:
            segment = self._segments.get(spot.segment)
            if segment is not None and spot.offset < segment.size:
                return segment
            later = (one for number, one in self._segments.items() if number > spot.segment and one.size)
            return next(later, None)

    def waiting(self, after: Spot) -> int:
        """Final records behind a spot, roughly: those of its own segment all count."""
        with self._lock:
            if self._at_end(after):
                return 0
            return sum(len(one.stopped) for number, one in self._segments.items() if number >= after.segment)

    def _at_end(self, after: Spot) -> bool:
        segment = self._segments.get(after.segment)
        is_done = segment is None or after.offset >= segment.size
        return is_done and not any(one.size for number, one in self._segments.items() if number > after.segment)

    @property
    def end(self) -> Spot:
        """Behind everything that is safe."""
        with self._lock:
            newest = self._segments.get(self._newest)
            return Spot(self._newest, 0 if newest is None else newest.size)

    @property
    def octets(self) -> int:
        with self._lock:
            return sum(segment.size for segment in self._segments.values())

    # --- an end of segments -------------------------------------------------------------------------------------------

    def tidy(self, passed: Iterable[Spot]) -> int:
        """Remove segments that are behind all these spots; how many. The last few stay, so that a record that comes
        again after a death is known. What is known of open calls is written anew first.
        """
        floor = min(passed, default=Spot()).segment
        removed = 0
        for segment in list(self._segments.values()):
            if segment.number >= floor or self.octets - segment.size < self._kept_octets:
                break
            with _told("cannot be removed"):
                self._carry(segment)
                with contextlib.suppress(FileNotFoundError):  # somebody else has removed it
                    self._folder.remove(segment.name)
                self._folder.sync()  # each for itself: an old beginning must not come back without its end
            with self._lock:
                del self._segments[segment.number]
                for ref in segment.stopped:
                    del self._stops[ref]
            removed += 1
        return removed

    def _carry(self, segment: _Segment) -> None:
        if not segment.open:
            return
        carried = []
        for ref, held in list(self._held.items()):
            if held.segment == segment.number:
                try:
                    carried.append(("", ref, self._read(held)))
                except FileNotFoundError:
                    del self._held[ref]  # its record will come, or nobody knows of it
        self._append(carried)


def _number(name: str) -> int | None:
    stem = name.removesuffix(_ENDING)
    return int(stem) if stem != name and stem.isascii() and stem.isdigit() else None


def _joined(damages: Sequence[Damage]) -> list[Damage]:
    """Damaged lines that follow one another are one place."""
    places: list[Damage] = []
    for one in damages:
        if places and places[-1].offset + places[-1].octets == one.offset:
            places[-1] = Damage(one.file, places[-1].offset, places[-1].octets + one.octets, is_end=False)
        else:
            places.append(one)
    return places


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = "the disk is full" if error.errno in _FULL else error.strerror or str(error)
        raise SpoolError(f"the spool of call records {what}: {reason}") from error
