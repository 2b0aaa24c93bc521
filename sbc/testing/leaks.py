"""What an SBC must not let through: what one side could learn of the other from the octets that it was sent.

Who uses it: `world.World.idle`, at the end of every story.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from urllib.parse import unquote

from sbc.testing.net import Sent

_ALNUM: Final = re.compile(r"[0-9a-z]{8,}")
# Tags, branches, Call-IDs, keys and ids of sessions, in lower case. Branches written by hand are alike everywhere.
_MARK: Final = re.compile(r"(?:;tag=|;branch=(?!z9hg4bkbyhand)|\ncall-id: |\no=- | inline:)([0-9a-z]{8,})")


def leaks(log: Sequence[Sent], sbc: str, sides: Mapping[str, str], hosts: Iterable[tuple[str, str]]) -> list[str]:
    """Each message of `sbc`, a host's name, that tells something, and what. `sides`: of every other host, by name.
    `hosts`: addresses, and the side that may see each; a name may be seen on its own side.
    """
    places = [*hosts, *sides.items()]
    all_sides = set(sides.values())
    words = {side: _pattern(word for word, its in places if its != side) for side in all_sides}
    marks = {side: _marks_of_others(log, sbc, sides, side) for side in all_sides}
    found = []
    for sent in log:
        side = sides.get(sent.receiver or "")
        if sent.sender != sbc or side is None:
            continue
        text = unquote(sent.data.decode("latin-1")).lower()
        seen = set(words[side].findall(text)) | marks[side].intersection(_ALNUM.findall(text))
        if seen:
            found.append(f"{' '.join(sorted(seen))} in {sent.data[:60]!r} to {sent.receiver}")
    return found


def _pattern(words: Iterable[str]) -> re.Pattern[str]:
    either = "|".join(re.escape(word.lower()) for word in sorted(set(words)) if word) or "(?!)"
    return re.compile(rf"(?<![\w.])(?:{either})(?!\w)")


def _marks_of_others(log: Sequence[Sent], sbc: str, sides: Mapping[str, str], side: str) -> set[str]:
    """What nobody on this side may see of others' dialogs and transactions: what is random in them.

    Those that we have made for others are among them: seen on two sides, they say which call is which.
    """
    elsewhere = {name for name, its in sides.items() if its != side}
    marks = set[str]()
    for sent in log:
        if sent.sender in elsewhere or (sent.receiver in elsewhere and sent.sender == sbc):
            marks.update(_MARK.findall(sent.data.decode("latin-1").lower()))
    return marks
