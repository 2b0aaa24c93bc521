"""The parameters of a Via by which neighbours tell each other of overload (RFC 7339 §4, §9): read, and written.

It decides nothing and keeps nothing. Used by the transaction layer, by `glance`, and by `peering.throttle`.
"""

import re
from typing import Final

from msgspec import Struct

from sbc.sip.errors import ParseError
from sbc.sip.headers.via import Via
from sbc.sip.params import param
from sbc.sip.scan import number, split_list

OFFERED: Final = ';oc;oc-algo="loss"'  # what a client puts into its Via, §4.1 and §4.2
DEFAULT_VALIDITY: Final = 0.5  # seconds, §4.3
_LONGEST_VALIDITY_MS: Final = 3_600_000
_LARGEST_SEQUENCE: Final = 10**12
_ASKS: Final = re.compile(r";[ \t]*+oc[ \t]*+(?=;|,|\Z)", re.IGNORECASE)  # without a value: a request's
_ALGORITHM: Final = re.compile(r";[ \t]*+oc-algo[ \t]*+=[ \t]*+(?:\"[^\"]*+\"|[^;,\"]*+)", re.IGNORECASE)
_LOSS: Final = re.compile(r"(?:^|,)[ \t]*+\"?[ \t]*+loss[ \t]*+\"?(?:,|$)", re.IGNORECASE)


class Asked(Struct, frozen=True):
    """What a server asks of its clients. `loss`: percent of the requests not to be sent. `validity`: seconds, 0 ends
    it. `sequence`: a later one is newer; None where the server has none.
    """

    loss: int
    validity: float
    sequence: tuple[int, int] | None


def asks(via: str) -> bool:
    """Whether the sender of a request wants to hear of overload, in the only way that we speak: loss."""
    if ";oc" not in via:
        return False
    if "," in via:
        via = split_list(via)[0]
    algorithm = _ALGORITHM.search(via)
    return _ASKS.search(via) is not None and algorithm is not None and "loss" in algorithm[0].lower()


def report(loss: int, validity: float, sequence: float) -> str:
    """What goes into the Via of a response. "This value MUST be in the range of [0, 100]", §7.1."""
    return f';oc={loss};oc-algo="loss";oc-validity={round(validity * 1000)};oc-seq={sequence:.3f}'


def reported(via: str, said: str) -> str:
    """The Via field of a response, whose top value came with a request that `asks`; `said`: by `report`."""
    top, *below = split_list(via)
    return ", ".join([_ASKS.sub(lambda _: said, _ALGORITHM.sub("", top, count=1), count=1), *below])


def asked(via: Via) -> Asked | None:
    """What the top Via of a response asks; None: nothing, or nothing that can be understood."""
    text = param(via.params, "oc")
    if not text:
        return None
    algorithm = param(via.params, "oc-algo")
    if algorithm and _LOSS.search(algorithm.strip('"')) is None:
        return None  # another algorithm than any that we offered
    try:
        loss = number(text, 100, "Via")
        validity = param(via.params, "oc-validity")
        seconds = DEFAULT_VALIDITY if not validity else number(validity, _LONGEST_VALIDITY_MS, "Via") / 1000
        return Asked(loss, seconds, _sequence(param(via.params, "oc-seq")))
    except ParseError:
        return None


def _sequence(text: str | None) -> tuple[int, int] | None:
    """`1282321615.782` as two numbers: §4.4 compares, and a float would lose digits."""
    if not text:
        return None
    whole, _, fraction = text.partition(".")
    return number(whole, _LARGEST_SEQUENCE, "Via"), number((fraction or "0")[:5].ljust(5, "0"), 99_999, "Via")
