"""Call records in files that others pick up (`sbc.cdr.files`): CSV or JSON lines, a new file every day or so.

The file that is written to ends in `.part`, and is renamed when its time is over: what has its full name is complete
and is never touched again. How long the file was when the spool's `Spot` was noted is noted with it, in the spool's
folder (`files.place`): what is behind that after a death comes again, and is cut off first. Which records they have is
noted there, too (`filed_refs`). So each record stands once.

Times are wall seconds. One thread uses it. It removes nothing: who picks the files up does.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from sbc.cdr import sheet
from sbc.cdr.filed_refs import REFS, FiledRefs, remove
from sbc.cdr.format import attempt_row, cdr_object, cdr_row, time_text
from sbc.cdr.record import CallRecord
from sbc.cdr.spool import Spot
from sbc.core.errors import OperatorError
from sbc.core.files import Folder
from sbc.core.surrogates import plain, spelled

PLACE: Final = "files.place"
_NEW: Final = "files.place.new"
_PART: Final = ".part"
_ENDINGS: Final = {"csv": ".csv", "json": ".jsonl"}
_PLACE_OCTETS: Final = 65_536


class FilesError(OperatorError):
    """The folder does not take them; the message says why."""


class _Place(Struct, frozen=True):
    """`file`: that is written to, without `.part`; empty: none yet. `until`: when its time is over."""

    folder: str
    spot: Spot
    file: str = ""
    size: int = 0
    until: float = 0.0


class RecordFiles:
    """`label` begins each name. `rotate`: seconds. `kept_in` is the spool's folder, `where` what `folder` is called."""

    def __init__(self, folder: Folder, where: str, style: str, rotate: float, label: str, kept_in: Folder) -> None:
        self._folder = folder
        self._where = where
        self._style = style
        self._rotate = rotate
        self._label = label
        self._kept_in = kept_in
        self._refs = FiledRefs(kept_in)
        self._place = _Place(where, Spot())
        self._wall = 0.0

    def begin(self, end: Spot) -> None:
        """Go on where it was; at the spool's `end` where nothing was written to this folder before. The folder itself
        is not looked at yet.
        """
        found = _read_place(self._kept_in)
        if found is None or found.folder != self._where:
            remove(self._kept_in, REFS)
            self._keep(_Place(self._where, end))
            return
        self._refs.load(found.spot)
        self._place = found

    def fed(self) -> Spot:
        return self._place.spot

    def tell_time(self, wall: float) -> None:
        """It is that late now."""
        self._wall = wall

    def take(self, records: Sequence[CallRecord], spot: Spot) -> None:
        self.turn()
        new = self._refs.new(records)
        if not new:
            self._keep(replace(self._place, spot=spot))
            return
        place = self._place_to_write()
        data = "".join(self._text(new, with_header=place.size == 0)).encode()
        file = self._folder.grow(place.file + _PART)
        try:
            file.write(data)
            file.sync()
        finally:
            file.close()
        if place.size == 0:
            self._folder.sync()
        refs = [record.ref for record in new]
        self._refs.write(refs, spot)
        self._keep(_Place(self._where, spot, place.file, place.size + len(data), place.until))
        self._refs.add(refs)

    def _place_to_write(self) -> _Place:
        """Noted before the file is made, so that none is ever there that nobody knows of."""
        place = self._place
        size = (self._folder.size(place.file + _PART) or 0) if place.file else 0
        if not place.file or size < place.size:  # it was renamed, and that was not noted; or somebody has taken it away
            place = _Place(self._where, place.spot, self._new_name(), 0, self._end_of_turn())
            self._keep(place)
        elif size > place.size:
            self._folder.cut(place.file + _PART, place.size)  # of a try that failed, or a death
        return place

    def turn(self) -> None:
        """Give the file its full name where its time is over."""
        place = self._place
        is_over = self._wall >= place.until or place.until - self._wall > self._rotate
        if not place.file or not is_over:
            return
        self._complete(place)
        self._keep(_Place(self._where, place.spot))

    def _complete(self, place: _Place) -> None:
        part = place.file + _PART
        size = self._folder.size(part)
        if size is None:
            return  # it was renamed, and that was not noted; or somebody has taken it away
        if size > place.size:
            self._folder.cut(part, place.size)  # of a try that failed, or a death
        if place.size:
            self._folder.rename(part, place.file)
        else:
            self._folder.remove(part)
        self._folder.sync()

    def _end_of_turn(self) -> float:
        return (self._wall // self._rotate + 1) * self._rotate

    def _new_name(self) -> str:
        """That nobody has or had here, as far as can be seen."""
        stamp = time_text(self._wall)[:-5].replace("-", "").replace(":", "") + "Z"
        taken = {name.removesuffix(_PART) for name in self._folder.names()}
        for n in range(len(taken) + 1):
            name = f"{self._label}-{stamp}{f'-{n + 1}' if n else ''}{_ENDINGS[self._style]}"
            if name not in taken:
                return name
        raise AssertionError(taken)

    def _text(self, records: Sequence[CallRecord], *, with_header: bool) -> Iterator[str]:
        objects = [_object(record) for record in records]
        if self._style == "json":
            return (msgspec.json.encode(one).decode() + "\n" for one in objects)
        return islice(sheet.calls(objects), 0 if with_header else 1, None)

    # --- where it is --------------------------------------------------------------------------------------------------

    def _keep(self, place: _Place) -> None:
        """Whole or not at all."""
        remove(self._kept_in, _NEW)
        file = self._kept_in.grow(_NEW)
        try:
            file.write(msgspec.json.encode(place))
            file.sync()
        finally:
            file.close()
        self._kept_in.rename(_NEW, PLACE)
        self._kept_in.sync()
        self._place = place


def place_in(kept_in: Folder) -> Spot | None:
    """Where files are that were written before; None: there were none, or it cannot be read."""
    try:
        found = _read_place(kept_in)
    except (OSError, FilesError):
        return None
    return None if found is None else found.spot


def _read_place(kept_in: Folder) -> _Place | None:
    if kept_in.size(PLACE) is None:
        return None
    try:
        return msgspec.json.decode(kept_in.read(PLACE, 0, _PLACE_OCTETS), type=_Place)
    except msgspec.DecodeError as error:
        raise FilesError(f"{PLACE} of the spool cannot be read; move it away to begin anew: {error}") from error


def forget_place(kept_in: Folder) -> None:
    """There is no such destination any more."""
    # Without a place refs say nothing, so it goes first.
    if any([remove(kept_in, PLACE), remove(kept_in, REFS)]):
        kept_in.sync()


def _object(record: CallRecord) -> dict[str, Any]:
    shown = cdr_object(cdr_row(record), [attempt_row(record.ref, one) for one in record.attempts])
    return {name: plain(value, spelled) for name, value in shown.items()}
