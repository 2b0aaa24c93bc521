"""The scalar values of a policy, each from its text: names, durations, numbers, ports, code points, patterns.

Every scalar arrives as text (YAML's guesses are off, or 0441234 would become 148124). A text that does not fit raises
`UnfitError` with what is wrong and what was expected; the reader adds the place. Addresses are in `addresses`.
"""

import re
from collections.abc import Callable
from typing import Final, get_args

from sbc.policy.model import Algorithm, CalledFrom, NumberForm
from sbc.policy.numbers import is_country
from sbc.policy.patterns import parse_pattern, parse_range
from sbc.policy.problems import UnfitError

_DURATION: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_DSCP: Final = {
    "be": 0, "ef": 46, "va": 44, "le": 1,
    **{f"cs{n}": n * 8 for n in range(8)},
    **{f"af{c}{d}": c * 8 + d * 2 for c in range(1, 5) for d in range(1, 4)},
}  # fmt: skip

NUMBER_FORMS: Final[tuple[str, ...]] = get_args(NumberForm)
CALLED_FROM: Final[tuple[str, ...]] = get_args(CalledFrom)
ALGORITHMS: Final[tuple[str, ...]] = get_args(Algorithm)


def name(text: str) -> str:
    """Of an interface or a peer: it stands in metrics, CDRs and command lines."""
    if not _NAME.fullmatch(text):
        raise UnfitError(
            f"`{text}` cannot be a name", "expected up to 64 letters, digits and _ . -, the first a letter or digit"
        )
    return text


def label(text: str) -> str:
    """A name for people: of a route or of the node."""
    if not text or len(text) > 64 or not text.isprintable():
        raise UnfitError("this cannot be a name", "expected 1 to 64 printable characters")
    return text


def path(text: str) -> str:
    if not text or "\0" in text:
        raise UnfitError("an empty path", "expected the path of a directory")
    return text


def duration(text: str) -> float:
    found = _DURATION.fullmatch(text)
    if found is None:
        what = f"`{text}` has no unit" if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) else f"`{text}` is not a duration"
        raise UnfitError(what, "expected a number with ms, s, m, h or d, such as 10s")
    return float(found[1]) * _SECONDS[found[2]]


def timer(text: str) -> float:
    """A duration that something waits for: not zero, and not longer than a day."""
    seconds = duration(text)
    if not 0 < seconds <= 86_400:
        raise UnfitError(f"`{text}` is out of range", "expected more than 0s and at most 1d")
    return seconds


def patience(text: str) -> float:
    """A duration that may be nothing."""
    seconds = duration(text)
    if seconds > 86_400:
        raise UnfitError(f"`{text}` is out of range", "expected 0s to 1d")
    return seconds


def whole(text: str, low: int, high: int) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
        raise UnfitError(f"`{text}` is not a number from {low} to {high}", f"expected {low} to {high}")
    return int(text)


def within(low: int, high: int) -> Callable[[str], int]:
    """A parser of whole numbers."""
    return lambda text: whole(text, low, high)


def seconds_within(low: str, high: str) -> Callable[[str], float]:
    """A parser of durations."""

    def parse(text: str) -> float:
        seconds = duration(text)
        if not duration(low) <= seconds <= duration(high):
            raise UnfitError(f"`{text}` is out of range", f"expected {low} to {high}")
        return seconds

    return parse


def flag(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise UnfitError(f"`{text}` is neither true nor false", "expected true or false")
    return text.lower() == "true"


def reject_status(text: str) -> int:
    if not re.fullmatch(r"[4-6][0-9]{2}", text):
        raise UnfitError(f"`{text}` is no SIP failure", "expected a status from 400 to 699")
    return int(text)


def failure_status(text: str) -> int:
    """Of a response that ends an attempt: redirections among them."""
    if not re.fullmatch(r"[3-6][0-9]{2}", text):
        raise UnfitError(f"`{text}` is no SIP failure", "expected a status from 300 to 699")
    return int(text)


def account(text: str) -> str:
    """The user name of a digest account: it stands in a quoted string (RFC 7616 §3.4)."""
    if not text or len(text) > 128 or not text.isprintable():
        raise UnfitError("this cannot be a user name", "expected 1 to 128 printable characters")
    return text


def number(text: str) -> str:
    """A telephone number as people write it; the country's plan makes E.164 of it later."""
    if not re.fullmatch(r"\+?[0-9]{1,32}", text):
        raise UnfitError(f"`{text}` is not a number", "expected digits, with or without a plus")
    return text


def country(text: str) -> str:
    if not is_country(text.upper()) or len(text) != 2:
        hint = "expected GB" if text.upper() == "UK" else "expected a two-letter country code such as US"
        raise UnfitError(f"`{text}` is no country with a numbering plan", hint)
    return text.upper()


def media_ports(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]{1,5})-([0-9]{1,5})", text)
    expected = "expected FIRST-LAST within 1024-65535, such as 20000-29999"
    if found is None:
        raise UnfitError(f"`{text}` is not a range of ports", expected)
    first, last = int(found[1]), int(found[2])
    if not 1024 <= first <= last <= 65_535:
        raise UnfitError(f"`{text}` is out of range or runs backwards", expected)
    if last - (first + first % 2) < 1:
        raise UnfitError(f"`{text}` has no even port with an odd one above", expected)
    return first, last


def dscp(text: str) -> int:
    point = _DSCP.get(text.lower())
    if point is not None:
        return point
    if not re.fullmatch(r"[0-9]{1,2}", text) or int(text) > 63:
        raise UnfitError(f"`{text}` is no DSCP", "expected cs0 to cs7, af11 to af43, ef, va, or 0 to 63")
    return int(text)


def pattern(text: str) -> str:
    parse_pattern(text)
    return text


def prefix(text: str) -> str:
    if not re.fullmatch(r"\+?[0-9*#]{0,32}", text):
        raise UnfitError(f"`{text}` cannot be put before a number", "expected digits, * and #, with or without a plus")
    return text


def did(text: str) -> tuple[str, str]:
    """First and last of the numbers: the same for a single one."""
    if re.fullmatch(r"\+?[0-9]{1,32}", text):
        return text, text
    if "-" not in text:
        raise UnfitError(
            f"`{text}` is neither a number nor a range", "expected a number or FIRST-LAST; no patterns here"
        )
    found = parse_range(text)
    return found.first, found.last
