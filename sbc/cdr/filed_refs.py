"""Which records files have already, so that none stands there twice: the refs of the last ones, in `files.refs`.

The spool knows a record that comes again by the first one. Where that is damaged, its call looks as if nobody had ended
it and gets another record; then only who has taken the first one knows: our own store by its key, files by this.
Lines are as in the spool, one for each batch: its refs, and the spot behind it. A line counts when `files.place` is at
that spot or behind it: a batch whose place was not noted is cut off the file, and comes again. Used by `filed`.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from sbc.cdr.entry import checked_line, lines
from sbc.cdr.record import CallRecord
from sbc.cdr.spool import Spot
from sbc.core import limits
from sbc.core.files import Folder

REFS: Final = "files.refs"
_NEW: Final = "files.refs.new"
_MOST: Final = limits.SPOOL_KEPT_OCTETS // 400  # records that the spool keeps of those that are fed: none is shorter
_AT_ONCE: Final = 1_000  # refs in a line


class _Batch(Struct, frozen=True):
    """`spot`: behind the records; the beginning where that does not matter any more."""

    spot: Spot
    refs: tuple[str, ...]


_batches: Final = msgspec.json.Decoder(_Batch)


class FiledRefs:
    """`load` first. Each method but `new` and `add` raises OSError."""

    def __init__(self, folder: Folder, most: int = _MOST) -> None:
        self._folder = folder
        self._most = most
        self._refs: dict[str, None] = {}  # in order
        self._lying = 0  # refs in the file
        self._is_sound = True  # the file says what we know; if not, it is written anew before anything is added

    def load(self, place: Spot) -> None:
        """`place`: up to where files have everything."""
        self._refs, self._lying, self._is_sound = {}, 0, True
        size = self._folder.size(REFS)
        data = b"" if size is None else self._folder.read(REFS, 0, size)
        for line in lines(data):
            batch = None if line.text is None else _batch(line.text)
            if batch is not None and batch.spot <= place:
                self.add(batch.refs)
                self._lying += len(batch.refs)
            else:
                self._is_sound = False

    def new(self, records: Iterable[CallRecord]) -> list[CallRecord]:
        """Those that files have not."""
        return [record for record in records if record.ref not in self._refs]

    def write(self, refs: Sequence[str], spot: Spot) -> None:
        """That files have these once their place is at `spot`. Safe when it returns; not known before `add`."""
        added = checked_line(msgspec.json.encode(_Batch(spot, tuple(refs))))
        if not self._is_sound or self._lying > 2 * self._most:
            self._write_anew()
        try:
            self._append(REFS, added)
        except OSError:
            self._is_sound = False  # there may be half a line
            raise
        self._lying += len(refs)

    def add(self, refs: Iterable[str]) -> None:
        for ref in refs:
            self._refs[ref] = None
        while len(self._refs) > self._most:
            del self._refs[next(iter(self._refs))]

    def _write_anew(self) -> None:
        """What we know, whole or not at all."""
        self._is_sound = False
        remove(self._folder, _NEW)
        refs = tuple(self._refs)
        batches = (_Batch(Spot(), refs[n : n + _AT_ONCE]) for n in range(0, len(refs), _AT_ONCE))
        self._append(_NEW, b"".join(checked_line(msgspec.json.encode(one)) for one in batches))
        self._folder.rename(_NEW, REFS)
        self._folder.sync()
        self._is_sound, self._lying = True, len(self._refs)

    def _append(self, name: str, data: bytes) -> None:
        is_new = self._folder.size(name) is None
        file = self._folder.grow(name)
        try:
            file.write(data)
            file.sync()
        finally:
            file.close()
        if is_new:
            self._folder.sync()


def _batch(text: bytes) -> _Batch | None:
    try:
        return _batches.decode(text)
    except msgspec.DecodeError:
        return None


def remove(folder: Folder, name: str) -> bool:
    """Whether it was there; not yet durably gone."""
    if folder.size(name) is None:
        return False
    folder.remove(name)
    return True
