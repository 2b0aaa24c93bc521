"""What was heard of a call's media, in words: the notes of its ladder that say who is to blame for bad sound.

Reads the CDR's `media`, or what a running call has of it. Nothing is judged here that the call has not found. Used by
the engine as a note that is rendered when somebody looks, and for running calls by the program's view.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

_COUNTS: Final = ("reordered", "duplicates", "foreign", "excess", "forged", "replayed")
_SIDES: Final = ("ingress", "egress")


class MediaVerdict(Struct, frozen=True):
    """`media`: JSON as the CDR has it. `names`: the peers of the ingress and the egress side. `engines`: who relayed
    what came from each side, stream by stream; "" for a stream that nobody relayed.
    """

    media: str
    names: tuple[str, str]
    engines: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())

    def __str__(self) -> str:
        return "\n".join(verdict_lines(msgspec.json.decode(self.media), self.names, self.engines))


class MediaSoFar(Struct, frozen=True):
    """Of a call that is up: `media` as its view has it."""

    media: Mapping[str, Any]
    names: tuple[str, str]

    def __str__(self) -> str:
        engines = tuple(tuple(str(row.get("engine", "")) for row in self.media.get(side, ())) for side in _SIDES)
        return "\n".join(["by now:", *verdict_lines(self.media, self.names, (engines[0], engines[1]))])


def verdict_lines(
    media: Mapping[str, Any], names: tuple[str, str], engines: tuple[tuple[str, ...], tuple[str, ...]]
) -> list[str]:
    """One line for each stream and way; then what is wrong, by name."""
    lines: list[str] = []
    silent = True
    for i, side in enumerate(_SIDES):
        rows = media.get(side) or []
        # Rows of streams that are over stand first; engines are known of those that were there to the last.
        ended = len(rows) - len(engines[i])
        for n, row in enumerate(rows):
            engine = engines[i][n - ended] if n >= ended else ""
            # Before a transfer somebody else was there.
            whose = f"media on the side of {names[i]}, earlier" if n < ended < len(rows) else f"media from {names[i]}"
            lines.append(f"{whose}: {_stream(row, engine)}")
            silent = silent and not row["packets"]
    if lines and silent:
        return [*lines, "silence: no media came from either side"]
    for name, word in (("one_way", "one-way audio: nothing was heard from"), ("fell_silent", "fell silent:")):
        if media.get(name):
            lines.append(f"{word} {_peers(str(media[name]), names)}")
    return lines or ["no media was relayed"]


def _peers(sides: str, names: tuple[str, str]) -> str:
    return sides.replace("ingress", names[0]).replace("egress", names[1])


def _stream(row: Mapping[str, Any], engine: str) -> str:
    secured = f"SRTP {row['srtp']}" if row.get("srtp") else ""
    words = [str(row["codec"] or "?"), secured, _count(row["packets"], "packet")]
    if row.get("lost") is not None:
        lost = row["lost"]
        percent = 100 * lost / max(lost + row["packets"], 1)
        words.append(f"{lost} lost ({percent:.1f} %)" if lost else "none lost")
        words.append(f"jitter {row['jitter_ms']} ms" + _at_most(row))
    if row.get("mos") is not None:
        words.append(f"MOS {row['mos']:.1f}")
    if row.get("round_trip_ms"):
        words.append(f"round trip {row['round_trip_ms']} ms")
    words += [f"{row[name]} {name}" for name in _COUNTS if row.get(name)]
    if row.get("digits"):
        words.append(_count(row["digits"], "digit"))
    if row["packets"] and engine:
        words.append(f"relayed by the {engine}" if engine == "kernel" else f"relayed in {engine}")
    return ", ".join(filter(None, words))


def _at_most(row: Mapping[str, Any]) -> str:
    worst = row.get("jitter_max_ms")
    return "" if worst is None else f" (at most {worst})"


def _count(number: int, word: str) -> str:
    return f"{number} {word}" + ("" if number == 1 else "s")
