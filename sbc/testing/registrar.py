"""A registrar in a test phone: takes REGISTERs, keeps bindings, and can be as bad as registrars are.

RFC 3261 §10.3, RFC 6140 §5.2. A phone becomes one by `phone.becomes_registrar()`; whom it lets in, its challenges say
(`phone.challenges(…)`). It writes down every REGISTER, and complains about what breaks a rule.
"""

from typing import Final

from msgspec import Struct

from sbc.sip.message import Fields, Request
from sbc.sip.nameaddr import NameAddr, Star
from sbc.sip.params import has_param, param
from sbc.sip.uri import SipUri

_DEFAULT: Final = 3600


class Registered(Struct, frozen=True):
    """One REGISTER that came. `contact` "" where it had none; `expires`: as asked for, seconds."""

    at: float
    aor: str
    call_id: str
    cseq: int
    contact: str
    expires: int
    status: int


class Registrar:
    """`longest`: asked for more, it grants so much. `shortest`: asked for less, it says 423. Seconds.

    `late_status`: what a REGISTER gets whose CSeq is not above the last one of its Call-ID.
    """

    def __init__(self) -> None:
        self.registers: list[Registered] = []
        self.bindings: dict[str, dict[str, float]] = {}  # AOR: Contact URI: until when
        self.complaints: list[str] = []
        self.longest: int | None = None
        self.shortest = 0
        self.silent = False
        self.late_status = 400
        self._status = 200
        self._fields: Fields = ()
        self._numbers: dict[str, int] = {}

    # --- manners ------------------------------------------------------------------------------------------------------

    def accepts(self) -> None:
        """What it does at first, and again from now on."""
        self._status, self._fields, self.silent = 200, (), False

    def rejects(self, status: int = 403, *, retry_after: int | None = None) -> None:
        self._status = status
        self._fields = () if retry_after is None else (("Retry-After", str(retry_after)),)

    def is_unavailable(self, retry_after: int | None = None) -> None:
        self.rejects(503, retry_after=retry_after)

    def is_silent(self) -> None:
        """Acts as if no REGISTER had come."""
        self.silent = True

    def forgets(self) -> None:
        """As after a restart without a disk."""
        self.bindings.clear()

    # --- what it sees -------------------------------------------------------------------------------------------------

    def contacts(self, aor: str, now: float) -> list[str]:
        """The Contact URIs that calls to this AOR go to now."""
        return [uri for uri, until in self.bindings.get(aor, {}).items() if until > now]

    @property
    def last(self) -> Registered:
        if not self.registers:
            raise AssertionError("no REGISTER has come")
        return self.registers[-1]

    @property
    def call_ids(self) -> set[str]:
        return {one.call_id for one in self.registers}

    # --- what it does -------------------------------------------------------------------------------------------------

    def take(self, request: Request, now: float) -> tuple[int, Fields]:
        """Status and fields of the response to a REGISTER that has passed the challenges."""
        aor = str(request.to.uri)
        number = request.cseq.number
        # "If not, the update MUST be aborted and the request fails", §10.3 step 7
        is_late = number <= self._numbers.get(request.call_id, 0)
        status, fields = (self.late_status, ()) if is_late else self._answer(request, aor, now)
        contacts = request.contacts
        shown = str(contacts[0].uri) if isinstance(contacts, tuple) and contacts else ""
        expires = 0 if isinstance(contacts, Star) else self._asked(request, contacts[0] if contacts else None)
        self.registers.append(Registered(now, aor, request.call_id, number, shown, expires, status))
        self._complain(request, number)
        return status, fields

    def _answer(self, request: Request, aor: str, now: float) -> tuple[int, Fields]:
        if self._status != 200:
            return self._status, self._fields
        bound = self.bindings.setdefault(aor, {})
        contacts = request.contacts
        if isinstance(contacts, Star):
            bound.clear()
            return 200, ()
        for contact in contacts:
            expires = self._asked(request, contact)
            if 0 < expires < self.shortest:
                return 423, (("Min-Expires", str(self.shortest)),)
            if self.longest is not None:
                expires = min(expires, self.longest)
            bound[str(contact.uri)] = now + expires
        left = {uri: until for uri, until in bound.items() if until > now}
        self.bindings[aor] = left
        return 200, tuple([("Contact", f"<{uri}>;expires={round(until - now)}") for uri, until in left.items()])

    def _asked(self, request: Request, contact: NameAddr | None) -> int:
        """ "expires" of the Contact, else Expires, else what the registrar likes (§10.2.1.1)."""
        own = None if contact is None else param(contact.params, "expires")
        if own is not None and own.isdigit():
            return int(own)
        return _DEFAULT if request.expires is None else request.expires

    def _complain(self, request: Request, number: int) -> None:
        found = []
        uri = request.uri
        if isinstance(uri, SipUri) and uri.user is not None:
            # "The "userinfo" and "@" components of the SIP URI MUST NOT be present", §10.2
            found.append(f"Request-URI {request.uri_text} has a user")
        if str(request.from_.uri) != str(request.to.uri):
            found.append(f"From {request.from_.uri} is not To {request.to.uri}")
        if request.to.tag is not None:
            found.append("To has a tag")
        before = self._numbers.get(request.call_id, 0)
        if number <= before:
            found.append(f"CSeq {number} after {before}")
        self._numbers[request.call_id] = number
        contacts = request.contacts
        if isinstance(contacts, tuple):
            found += [text for contact in contacts for text in _about_bulk(request, contact)]
        self.complaints += [f"REGISTER: {text}" for text in found]


def _about_bulk(request: Request, contact: NameAddr) -> list[str]:
    """RFC 6140 §5.1."""
    uri = contact.uri
    is_bulk = isinstance(uri, SipUri) and has_param(uri.params, "bnc")
    found = []
    if is_bulk != ("gin" in request.require) or is_bulk != ("gin" in request.proxy_require):
        found.append("gin and bnc do not go together")
    if is_bulk and isinstance(uri, SipUri) and (uri.user is not None or has_param(uri.params, "user")):
        found.append(f"bulk Contact {uri} names a user")
    if is_bulk and "path" not in request.supported:
        found.append("gin without path")
    return found
