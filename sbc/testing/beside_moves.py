"""The moves of a test phone beside its calls: requests in and outside of dialogs, publications and subscriptions.

Each is a method of `Phone` (RFC 3428, RFC 3903, RFC 6086, RFC 6665).
"""

from typing import TYPE_CHECKING

from sbc.sip.message import Fields
from sbc.testing.asked import Asked
from sbc.testing.party import Party
from sbc.testing.subscribing import Subscription

if TYPE_CHECKING:
    from sbc.testing.phone import Phone


def requests(phone: "Phone", method: str, *, fields: Fields = (), body: bytes = b"", call: Party | None = None) -> None:
    """Any request within the dialog."""
    phone._do(phone.agent.request(phone._talking(call), method, phone.net.now, fields=fields, body=body))


def presses(phone: "Phone", digit: str, *, milliseconds: int = 160, call: Party | None = None) -> None:
    """A digit by INFO, as application/dtmf-relay."""
    body = f"Signal={digit}\r\nDuration={milliseconds}\r\n".encode()
    phone.requests("INFO", fields=(("Content-Type", "application/dtmf-relay"),), body=body, call=call)


def asks(
    phone: "Phone",
    method: str,
    uri: str | None = None,
    *,
    fields: Fields = (),
    body: bytes = b"",
    to: str | None = None,
) -> Asked:
    """A request outside of any dialog; `got` then finds "200 OPTIONS" and the like."""
    target = phone._target(to)
    uri = uri or f"sip:{target}"
    phone._do(phone.agent.ask(method, uri, target, phone.net.now, fields=fields, body=body))
    return phone.agent.asked[-1]


def messages(phone: "Phone", number: str, text: str, *, content_type: str = "text/plain") -> Asked:
    """MESSAGE outside of any dialog (RFC 3428); within one: `requests`."""
    fields = (("Content-Type", content_type),)
    return phone.asks("MESSAGE", f"sip:{number}@{phone.through}", fields=fields, body=text.encode())


def publishes(
    phone: "Phone",
    event: str,
    number: str,
    body: bytes = b"",
    *,
    expires: int = 3600,
    etag: str = "",
    content_type: str = "",
) -> Asked:
    """PUBLISH (RFC 3903); with the `etag` of the one before a refresh, a change, or by `expires` 0 the removal."""
    match: Fields = (("SIP-If-Match", etag),) if etag else ()
    typed: Fields = (("Content-Type", content_type or "application/pidf+xml"),) if body else ()
    fields = (("Event", event), ("Expires", str(expires)), *match, *typed)
    return phone.asks("PUBLISH", f"sip:{number}@{phone.through}", fields=fields, body=body)


def subscribes(
    phone: "Phone",
    event: str,
    number: str,
    *,
    expires: int = 3600,
    accept: str = "",
    fields: Fields = (),
    to: str | None = None,
) -> Subscription:
    """SUBSCRIBE (RFC 6665): `heard` has the states and bodies of its NOTIFYs."""
    made = phone.agent.subscribing.subscribe(
        event, number, phone._target(to), phone.net.now, expires=expires, accept=accept, fields=fields
    )
    phone._settle()
    return made


def resubscribes(phone: "Phone", one: Subscription | None = None, *, expires: int = 3600) -> None:
    """The last subscription, or another, once more."""
    phone.agent.subscribing.refresh(one or phone.subscription("subscriber"), phone.net.now, expires=expires)
    phone._settle()


def unsubscribes(phone: "Phone", one: Subscription | None = None) -> None:
    phone.resubscribes(one, expires=0)


def notifies(
    phone: "Phone",
    body: bytes = b"",
    *,
    content_type: str = "application/pidf+xml",
    state: str = "active",
    one: Subscription | None = None,
) -> None:
    """To whoever has subscribed last, or to `one`; a `state` such as "terminated;reason=noresource" ends it."""
    phone.agent.subscribing.notify(
        one or phone.subscription("notifier"), phone.net.now, body=body, content_type=content_type, state=state
    )
    phone._settle()


def subscription(phone: "Phone", role: str) -> Subscription:
    """The last one in which it is subscriber, or notifier."""
    found = [one for one in phone.agent.subscribing.all if one.role == role]
    if not found:
        raise AssertionError(f"{phone.name} is {role} of nothing; {phone._story()}")
    return found[-1]
