"""What every request from a peer is asked first, whatever it is about (RFC 3261 §8.2.1 to §8.2.3, §11, §16.3).

Pure: a request in, a refusal out, or None. What a method then means is decided above.
"""

from functools import lru_cache
from typing import Final

from msgspec import Struct

from sbc.sip.errors import ParseError
from sbc.sip.message import Fields, Request
from sbc.sip.multipart import PIDF, description_of, is_multipart
from sbc.sip.sips import is_contradictory
from sbc.sip.uri import SipUri, TelUri

ACCEPT: Final = ("Accept", "application/sdp, multipart/mixed")
UNDERSTOOD: Final = ("100rel", "timer", "replaces")
SUPPORTED: Final = ("Supported", ", ".join(UNDERSTOOD))
UNRELIABLE: Final = ("Supported", ", ".join(UNDERSTOOD[1:]))  # where 100rel is not to be used

# In the order in which they are shown. Methods that exist and that a peer may not use get 405, what nobody has heard of
# 501 (§8.2.1, §21.5.2).
_KNOWN: Final = (
    "INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "PRACK", "UPDATE", "INFO", "REFER", "NOTIFY", "SUBSCRIBE", "MESSAGE",
    "PUBLISH", "REGISTER",
)  # fmt: skip
_DESCRIBING: Final = frozenset({"INVITE", "UPDATE", "PRACK"})
_TARGETING: Final = frozenset({"INVITE", "SUBSCRIBE"})  # their Contact is where the dialog goes


class Refusal(Struct, frozen=True):
    status: int
    fields: Fields = ()


SILENCE: Final = Refusal(0)  # no answer at all


@lru_cache(maxsize=256)
def allow_field(methods: frozenset[str]) -> tuple[str, str]:
    """What a peer is told that it may use. REGISTER is no matter of calls, and never told."""
    return ("Allow", ", ".join([method for method in _KNOWN[:-1] if method in methods]))


def refusal_of(request: Request, methods: frozenset[str], *, reliable: bool = True) -> Refusal | None:
    """The refusal that the request deserves by its method, URI, extensions or body; None: it may go on.

    `methods`: what its sender may use. `reliable`: whether 100rel may be required of us (RFC 3262).
    """
    method = request.method
    if method not in _KNOWN:
        return Refusal(501, (allow_field(methods),))
    if method == "CANCEL":
        return None  # "a UAS MUST NOT apply" Require to CANCEL, §8.2.2.3
    if not isinstance(request.uri, SipUri | TelUri):
        return Refusal(416)
    if method not in methods:
        return Refusal(405, (allow_field(methods),))
    required = (*request.headers("Require"), *request.headers("Proxy-Require"))
    if required:
        understood = UNDERSTOOD if reliable else UNDERSTOOD[1:]
        required = (*request.require, *request.proxy_require)
        unsupported = [tag for tag in required if tag.lower() not in understood]
        if unsupported:
            return Refusal(420, (("Unsupported", ", ".join(unsupported)),))
    if method in _TARGETING and is_contradictory(request):
        return Refusal(400)
    return _refusal_of_description(request) if method in _DESCRIBING else None


def _refusal_of_description(request: Request) -> Refusal | None:
    if request.body and request.content_type != "application/sdp":
        # An emergency caller's location may stand beside the session description, or alone (RFC 6442 §3.1).
        if not is_multipart(request.content_type) and request.content_type != PIDF:
            return Refusal(415, (ACCEPT,))
        try:
            description_of(request)
        except ParseError:
            return Refusal(400)
    encoding = request.header("Content-Encoding")
    if request.body and encoding is not None and encoding.strip().lower() != "identity":
        return Refusal(415, (("Accept-Encoding", "identity"),))
    # "An empty Accept header field means that no formats are acceptable", §20.1
    if request.header("Accept") is not None and not any(_takes_sdp(value) for value in request.accept):
        # Its answers could not carry a session description: RFC 4475 §3.3.15.
        return Refusal(406, (ACCEPT,))
    return None


def _takes_sdp(media_range: str) -> bool:
    return media_range.partition(";")[0].replace(" ", "").lower() in ("application/sdp", "application/*", "*/*")
