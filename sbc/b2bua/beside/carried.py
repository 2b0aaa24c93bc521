"""What of a request or response beside calls is written anew on the other side, besides who asks whom.

Header fields that a method lives by: RFC 3428 §4 (MESSAGE), RFC 3903 §11 (PUBLISH), RFC 6665 §8.2 (SUBSCRIBE, NOTIFY).
Each is read and printed again; entity-tags are `publications`'. What else crosses is the business of `headers`, bodies
that of `bodies`. Used by `exchange` and `subscription`.
"""

import re
from typing import Final

from sbc.b2bua.bodies import ACCEPTED, body_of
from sbc.b2bua.context import Context
from sbc.b2bua.crossing import crossing_status
from sbc.b2bua.headers import crossing
from sbc.policy.model import Peer
from sbc.sip.checks import allow_field
from sbc.sip.headers.event import Event, parse_subscription_state
from sbc.sip.message import Fields, Request, Response

_CROSSING: Final = frozenset(ACCEPTED[0][1].split(", "))
_WILD: Final = re.compile(r"\*/\*|[a-z]{1,32}/\*", re.ASCII)
_DATE: Final = re.compile(r"\w{3}, \d{2} \w{3} \d{4} \d{2}:\d{2}:\d{2} GMT", re.ASCII)
_MEDIA_RANGES: Final = 32  # of one Accept
NOTHING_ACCEPTED: Final[Fields] = (("Accept", ""),)

_WITH_EXPIRES: Final = frozenset({"MESSAGE", "PUBLISH", "SUBSCRIBE"})


def own_fields(request: Request) -> Fields:
    """The fields that this request's method gives a meaning to, but for Event."""
    fields: list[tuple[str, str]] = []
    method = request.method
    if method in _WITH_EXPIRES and request.expires is not None:
        fields.append(("Expires", str(request.expires)))
    if method == "MESSAGE":
        # "If the UAC adds an Expires header field with a non-zero value, it SHOULD also add a Date", RFC 3428 §4
        date = request.header("Date") or ""
        if request.expires and _DATE.fullmatch(date.strip()):
            fields.append(("Date", date.strip()))
    if method == "SUBSCRIBE":
        fields += accepted(request)
    if method == "NOTIFY":
        state = parse_subscription_state(request.header("Subscription-State") or "")
        if state is not None:
            fields.append(("Subscription-State", str(state)))
    return tuple(fields)


def crossing_event(event: Event) -> Event:
    """Without its id, which tells apart the subscriptions of one dialog (RFC 6665 §8.2.1): ours have one each. Of the
    parameters only flags, since others name dialogs and hosts of the asking side (RFC 4235 §3.1)."""
    return Event(event.package, tuple([item for item in event.params if item[1] is None]))


def accepted(message: Request | Response) -> Fields:
    """Accept, as far as bodies of that kind cross; without parameters. An empty one: nothing that crosses."""
    if message.header("Accept") is None:
        return ()
    ranges = [value.partition(";")[0].replace(" ", "").lower() for value in message.accept[:_MEDIA_RANGES]]
    return (("Accept", ", ".join([one for one in ranges if one in _CROSSING or _WILD.fullmatch(one)])),)


def answer_of(response: Response, method: str, peer: Peer) -> tuple[int, Fields]:
    """Status and fields of our answer to `peer`, for the final `response` to what we asked on its behalf.

    A refusal that has to name what would be right is given with that, since here the request is the peer's own.
    """
    status = response.status
    fields: list[tuple[str, str]] = []
    if status < 300:
        if method == "OPTIONS":
            fields += [allow_field(peer.methods), *ACCEPTED]
        elif method in _WITH_EXPIRES and response.expires is not None:
            fields.append(("Expires", str(response.expires)))
        return (202 if status == 202 and method == "MESSAGE" else 200), tuple(fields)
    if status == 405:
        fields.append(allow_field(peer.methods - {method}))
    elif status == 415:
        fields += accepted(response)
    elif status == 423 and (shortest := _seconds(response, "Min-Expires")) is not None:
        fields.append(("Min-Expires", str(shortest)))
    elif status == 489:
        fields.append(allow_events(peer))
    else:
        status = crossing_status(status)
    if status in (480, 486, 500, 503, 600, 603) and (seconds := _seconds(response, "Retry-After")) is not None:
        fields.append(("Retry-After", str(seconds)))
    return status, tuple(fields)


def packages_of(peer: Peer) -> frozenset[str]:
    """What this peer may subscribe to, publish and notify. A subscription to "refer" comes with a REFER, and in no
    other way (RFC 3515 §2.4.4)."""
    return peer.events - {"refer"}


def allow_events(peer: Peer) -> tuple[str, str]:
    """For a 489: the packages that this peer may use."""
    return ("Allow-Events", ", ".join(sorted(packages_of(peer))))


def content_of(message: Request, from_: Peer, to: Peer, context: Context) -> tuple[Fields, bytes]:
    """Header fields that cross by the peers' policy, and the body with what describes it."""
    fields = crossing(from_, to).request_fields(message, message.method)
    if not message.body:
        return fields, b""
    described, body = body_of(message, from_, to, context)
    return fields + described, body


def _seconds(response: Response, name: str) -> int | None:
    digits = (response.header(name) or "").partition(";")[0].partition("(")[0].strip()
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 9 else None
