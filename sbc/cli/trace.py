"""`sbc trace`: one call's ladder, who called whom and why it ended; its messages in full, or as a capture file; and the
same of what was said with a peer beside calls.

From the running SBC. Nothing that a peer sent can move the cursor.
"""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from sbc.cli import UsageError
from sbc.cli.client import path_of
from sbc.cli.output import printable, printable_lines, show_json
from sbc.cli.remote import minutes
from sbc.cli.running import Running
from sbc.core.errors import OperatorError
from sbc.trace.ladder import PEER, draw
from sbc.trace.pcap import MEDIA_TYPE
from sbc.trace.recorder import Entry

_T = TypeVar("_T")
_FILE_MODE: Final = 0o640  # who called whom is nobody else's business
_STDOUT: Final = "-"
_ENDED: Final = ("ended: ", "turned away: ", "goes on in the call ")
_PASSED_OVER: Final = " is passed over: "
_WELL: Final = ("ended: normal ", "goes on in the call ", "turned away: ")


def show_trace(ref: str, sbc: Running, *, messages: bool) -> int:
    body = _found(ref, lambda place: sbc.ask(f"{place}/trace", key="entries"))
    if sbc.json:
        show_json(body)
        return 0
    print("\n".join([*(_headlines(body, sbc) if "ref" in body else _headlines_of_peer(body, sbc)), ""]))
    if messages:
        print("\n".join(line for entry in body["entries"] for line in _in_full(entry, body["peers"])))
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
        entries, clock = map(_entry, body["entries"]), _clock(body)
        print(printable_lines(draw(entries, peers=body["peers"], width=width, clock=clock)), end="")
    return 0


def save_capture(ref: str, path: Path, sbc: Running) -> int:
    """The whole file or none: what stood there before stays where it cannot be written."""
    if str(path).startswith("-") and str(path) != _STDOUT:
        raise UsageError(f"--pcap wants a file, and {path} looks like an option")
    data = _found(ref, lambda place: sbc.fetch(f"{place}/pcap", MEDIA_TYPE))
    if str(path) == _STDOUT:
        if sys.stdout.isatty():
            raise OperatorError("a capture file is nothing for a terminal; name a file, or pipe it into tshark -r -")
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return 0
    try:
        _write_whole(path, data)
    except OSError as error:
        raise OperatorError(f"{path}: {error.strerror or error}") from error
    print(f"{printable(str(path))}: {len(data)} octets; open it with wireshark, tshark -r or sngrep -I")
    return 0


def _found(ref: str, about: Callable[[str], _T]) -> _T:
    """A call's, by its ref; else a peer's, by its name. What is no longer remembered may still have its record.

    `about`: asks for what is wanted of it, by where that is found.
    """
    try:
        return about(path_of("calls", ref))
    except OperatorError as error:
        if "remembered" not in str(error):
            raise
        no_call = error
    try:
        return about(path_of("peers", ref))
    except OperatorError as error:
        record = f"its record may still be there: sbc cdr list --ref {printable(ref)}"
        no_peer = f"\n{error}" if "no peer is called" in str(error) else ""
        raise OperatorError(f"{no_call}\n{record}{no_peer}") from error


# --- who called whom, and why it ended --------------------------------------------------------------------------------


def _headlines(body: dict[str, Any], sbc: Running) -> Iterator[str]:
    """By the running call's or the record's own words; without either, by the ladder alone."""
    ref = str(body["ref"])
    known = _running_call(ref, sbc) if body["running"] else _record(ref, sbc)
    yield f"call {printable(ref)}, " + ("running" if body["running"] else "over")
    if known is not None:
        route = f", route {known['route']}" if known.get("route") else ""
        yield printable(
            f"{known['caller'] or 'somebody'} of {known['ingress']} called {known['called'] or 'nobody'}"
            f" at {known['egress'] or 'nobody'}{route}"
        )
        yield printable(_course(known))
    for line in _ending(body["entries"]):
        yield printable(line)


def _running_call(ref: str, sbc: Running) -> dict[str, Any] | None:
    with contextlib.suppress(OperatorError):  # it has ended in between
        return sbc.ask(path_of("calls", ref), key="ref")
    return None


def _record(ref: str, sbc: Running) -> dict[str, Any] | None:
    """Its record may not be on the disk yet, or not be readable: the ladder is shown all the same."""
    with contextlib.suppress(OperatorError):
        found = sbc.ask("/api/v1/cdrs", {"ref": ref, "last": "1"}, key="cdrs")["cdrs"]
        return next((record for record in found if record.get("ref") == ref), None)
    return None


def _course(known: dict[str, Any]) -> str:
    words = [f"began {known['started_at']}"]
    if known.get("state"):
        words.append(str(known["state"]))
    elif not known.get("answered_at"):
        words.append("not answered")
    if known.get("answered_at"):
        words.append(f"answered {known['answered_at']}")
    if known.get("ended_at"):
        words.append(f"ended {known['ended_at']}")
    if known.get("billable_ms"):
        words.append(f"talked {minutes(known['billable_ms'] / 1000)}")
    return ", ".join(words)


def _ending(entries: list[dict[str, Any]]) -> Iterator[str]:
    """How it ended; and, where it did not end well, what was decided or found just before."""
    notes = [line for entry in entries if entry["note"] for line in entry["note"]]
    for at, line in enumerate(notes):
        if line.startswith(_ENDED):
            yield line
            if not line.startswith(_WELL) and at > 0:
                yield f"because: {_reason(notes[:at])}"
            return


def _reason(notes: list[str]) -> str:
    """The last note; where nobody was left to try, why each one was not."""
    last = len(notes)
    while last and _PASSED_OVER in notes[last - 1]:
        last -= 1
    return "; ".join(note.strip() for note in notes[last:] or notes[-1:])


# --- a peer -----------------------------------------------------------------------------------------------------------


def _headlines_of_peer(body: dict[str, Any], sbc: Running) -> Iterator[str]:
    name = str(body["peer"])
    kind, known = _peer(name, sbc)
    yield printable(f"{kind} {name}, beside calls")
    if known and known.get("since"):
        yield printable(f"{known['state']} since {known['since']}" + (f": {known['why']}" if known["why"] else ""))
    registration = known.get("registration")
    if registration:
        why = f": {registration['why']}" if registration["why"] else ""
        yield printable(f"registration {registration['state']} since {registration['since']}{why}")
    if not body["entries"]:
        yield "nothing has been said with it beside calls since the start"


def _peer(name: str, sbc: Running) -> tuple[str, dict[str, Any]]:
    """What it is and how it is. It may be gone by now: its messages are shown all the same."""
    for kind in ("trunk", "pbx"):
        with contextlib.suppress(OperatorError):
            return kind, sbc.ask(path_of(f"{kind}s", name), key="state")
    return "peer", {}


def _clock(body: dict[str, Any]) -> float | None:
    """Days may lie between two messages of a peer: they have the time of day, those of a call count seconds."""
    entries = body["entries"]
    if "ref" in body or not entries:
        return None
    return datetime.fromisoformat(entries[0]["time"]).timestamp()


# --- the ladder -------------------------------------------------------------------------------------------------------


def _entry(entry: dict[str, Any]) -> Entry:
    data, note = entry["message"], entry["note"]
    return Entry(
        entry["at"],
        entry["leg"],
        entry["sent"],
        None if data is None else data.encode(),
        None if note is None else tuple(note),
    )


# --- every message ----------------------------------------------------------------------------------------------------


def _in_full(entry: dict[str, Any], peers: dict[str, str]) -> Iterator[str]:
    """A line that says who sent it to whom, and the message as it was, masked; a note as it is."""
    head = "" if PEER in peers else f"{entry['at']:8.3f}  "
    head += f"{entry['time']}  "
    if entry["message"] is None:
        yield from (printable(f"{head}* {line}") for line in entry["note"] or ())
        yield ""
        return
    name = peers.get(entry["leg"], "peer")
    peer = name if entry["leg"] == PEER else f"{name} ({entry['leg']})"
    way = f"sbc to {peer}" if entry["sent"] else f"{peer} to sbc"
    places = (entry["local"], entry["remote"]) if entry["sent"] else (entry["remote"], entry["local"])
    where = f", {entry['transport']} {places[0]} to {places[1]}" if entry["local"] else ""
    yield printable(f"{head}{way}{where}")
    yield from (printable(line) for line in entry["message"].replace("\r\n", "\n").rstrip("\n").split("\n"))
    yield ""


# --- the file ---------------------------------------------------------------------------------------------------------


def _write_whole(path: Path, data: bytes) -> None:
    """Beside its place first, then moved there. What is no plain file, as a pipe, is written to as it is."""
    if path.exists() and not path.is_file():
        path.write_bytes(data)
        return
    target = path.resolve()
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", suffix=".part", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fchmod(descriptor, _FILE_MODE)
            os.fsync(descriptor)
        Path(name).replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
