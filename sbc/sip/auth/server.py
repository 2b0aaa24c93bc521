"""Challenging a peer and checking its credentials (RFC 3261 §22.1, §22.2; RFC 7616 §3.3 to §3.6; RFC 8760 §2.3).

A nonce is a time, a salt and an HMAC over both with a secret: giving one out takes no memory. It is short, because a
challenge must not be longer than the request of a stranger (`sip.small`). All challenges of one
response share one nonce, as in RFC 7616 §3.9.1; it is an algorithm's own by what is hashed with it.

Every request with credentials costs the same hashes, whether its user is known, its nonce ours or its response right,
and every failure gets the same challenge. Only a right response with a nonce that is used up, too old or not ours (we
were restarted) also gets `stale=true`.

Only 401 and Authorization: we are a UAS, no proxy. No auth-int, no session variants: they are not offered.
Who uses it: the switch, for PBXs with `auth`.
"""

import base64
import hmac
import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final, Protocol

from msgspec import Struct

from sbc.core.ids import IdSource
from sbc.core.limits import SERVER_NONCE_SECONDS, SERVER_NONCES
from sbc.sip.auth.digest import TOKENS, Algorithm, Terms, algorithm_of, digest_response, octets
from sbc.sip.errors import ParseError
from sbc.sip.headers.credentials import AuthValue, digests_in
from sbc.sip.message import Fields, Request
from sbc.sip.scan import quoted
from sbc.sip.uri import SipUri, TelUri, parse_uri

_NC: Final = re.compile("[0-9A-Fa-f]{1,8}")
_NONCE: Final = re.compile("[0-9A-Za-z_-]{30}")  # 22 octets in base64 (RFC 4648 §5): every character of it is sent
_MADE: Final = 6  # octets that say when it was made, in milliseconds
_SALTED: Final = 10  # with the first half of its salt
_STAMPED: Final = 14  # that its HMAC is over: with the second half
_WINDOW: Final = 64  # counts
_USED_UP: Final = 1 << 40  # no count is near it
_NOBODY: Final = "\x00"  # what is hashed for a user that we do not know; a password that nobody can have


class SecretText(Protocol):
    @property
    def text(self) -> str: ...


class Account(Protocol):
    """`sbc.policy.model.Auth` is one. `password` None: it could not be read, and nobody gets in by it."""

    @property
    def password(self) -> SecretText | None: ...


class Accepted(Struct, frozen=True):
    username: str


class Challenged(Struct, frozen=True):
    """`fields` go into a 401."""

    fields: Fields


class DigestServer:
    """One realm. `secret`: at least 16 random octets, new with every start."""

    __slots__ = ("_floor", "_ids", "_lifetime", "_secret", "_used", "realm")

    def __init__(self, realm: str, secret: bytes, ids: IdSource, *, lifetime: float = SERVER_NONCE_SECONDS) -> None:
        self.realm = realm
        self._secret = secret
        self._ids = ids
        self._lifetime = lifetime
        self._used: OrderedDict[str, _Counts] = OrderedDict()
        self._floor = -1  # milliseconds: nonces up to here are old, for one of them had to be forgotten

    def __len__(self) -> int:
        """Nonces that somebody has used."""
        return len(self._used)

    def check(
        self,
        request: Request,
        accounts: Mapping[str, Account],
        algorithms: tuple[Algorithm, ...],
        now: float,
        *,
        source: str = "",
    ) -> Accepted | Challenged:
        """`accounts` by user name: of all that the sender may be. `algorithms`: what is offered, in this order.
        `source`: the host that the request came from, for `was_sent_to`.

        Not for ACK and CANCEL: "servers MUST NOT attempt to challenge" them, RFC 3261 §22.1.
        """
        found = _credentials(request, self.realm)
        if found is None:
            return self._challenge(algorithms, source, now, stale=False)
        username = found.value("username") or ""
        account = accounts.get(username)
        password = None if account is None else account.password
        is_right = self._is_right(found, request, username, password, algorithms)
        is_good = self._is_fresh(found.value("nonce") or "", now)
        if not is_right or password is None:
            return self._challenge(algorithms, source, now, stale=False)
        if not is_good or not self._count(found, now):
            return self._challenge(algorithms, source, now, stale=True)
        return Accepted(username)

    def was_sent_to(self, request: Request, source: str, now: float) -> bool:
        """Whether the credentials in it have a fresh nonce that we sent to this host: who sent them hears what we send
        there, or knows somebody who does. A nonce is good from any source, since networks change; it proves only one.
        """
        found = _credentials(request, self.realm)
        nonce = "" if found is None else found.value("nonce") or ""
        if not self._is_fresh(nonce, now):
            return False
        raw = _octets_of(nonce)
        return hmac.compare_digest(self._mark(raw[:_SALTED], source), raw[_SALTED:_STAMPED])

    def _is_right(
        self,
        found: AuthValue,
        request: Request,
        username: str,
        password: SecretText | None,
        algorithms: tuple[Algorithm, ...],
    ) -> bool:
        """Whether the response is that of this password to this request. No branch skips the hashing."""
        algorithm = algorithm_of(found.value("algorithm"))
        offered = algorithm is not None and not algorithm[1] and algorithm[0] in algorithms
        qop = found.value("qop")
        nc, cnonce = found.value("nc") or "", found.value("cnonce") or ""
        terms = Terms(
            request.method,
            found.value("uri") or "",
            self.realm,
            found.value("nonce") or "",
            algorithm[0] if algorithm is not None else algorithms[0],
            qop="" if qop is None else "auth",
            nc=nc,
            cnonce=cnonce,
        )
        expected = digest_response(terms, username, _NOBODY if password is None else password.text)
        given = (found.value("response") or "").lower()
        is_same = hmac.compare_digest(octets(given), octets(expected))
        is_whole = qop is None or (qop.lower() == "auth" and cnonce != "" and _NC.fullmatch(nc) is not None)
        return is_same and is_whole and offered and _is_for(terms.uri, request)

    def _is_fresh(self, nonce: str, now: float) -> bool:
        """Whether we made this nonce, and not too long ago. The HMAC is made for any text."""
        raw = _octets_of(nonce)
        is_ours = hmac.compare_digest(octets(self._signed(raw[:_STAMPED])), octets(nonce))
        return is_ours and 0 <= _milliseconds(now) - _made_at(raw) <= _milliseconds(self._lifetime)

    def _count(self, found: AuthValue, now: float) -> bool:
        """Note one more use of a nonce of ours by somebody who has the password; False for one seen before."""
        nonce = found.value("nonce") or ""
        while self._used and next(iter(self._used.values())).until < now:
            self._used.popitem(last=False)
        counts = self._used.get(nonce)
        if counts is None:
            if _made_at(_octets_of(nonce)) <= self._floor:
                return False
            counts = self._used[nonce] = _Counts(now + self._lifetime + 1.0)
            if len(self._used) > SERVER_NONCES:
                forgotten, _ = self._used.popitem(last=False)
                self._floor = max(self._floor, _made_at(_octets_of(forgotten)))
        if found.value("qop") is None:
            return counts.take_uncounted()
        return counts.take(int(found.value("nc") or "0", 16))

    def _challenge(self, algorithms: tuple[Algorithm, ...], source: str, now: float, *, stale: bool) -> Challenged:
        """ "each of these header fields MUST use a different digest algorithm … starting with the most preferred",
        RFC 8760 §2.3."""
        salted = _milliseconds(now).to_bytes(_MADE, "big") + bytes.fromhex(self._ids.tag()[:8])
        nonce = self._signed(salted + self._mark(salted, source))
        realm, suffix = quoted(self.realm), ", stale=true" if stale else ""
        return Challenged(
            tuple(
                [
                    (
                        "WWW-Authenticate",
                        f'Digest realm={realm}, nonce="{nonce}", algorithm={TOKENS[algorithm]}, qop="auth"{suffix}',
                    )
                    for algorithm in algorithms
                ]
            )
        )

    def _signed(self, stamped: bytes) -> str:
        # The realm is in it so that servers that share a secret do not take each other's nonces.
        mac = hmac.digest(self._secret, stamped + octets(f":{self.realm}"), "sha256")
        return base64.urlsafe_b64encode(stamped + mac[:8]).decode("ascii").rstrip("=")

    def _mark(self, salted: bytes, source: str) -> bytes:
        """The second half of the salt says for whom the nonce is, to us alone."""
        return hmac.digest(self._secret, salted + octets(f"@{source}"), "sha256")[:4]


class _Counts:
    """Which counts of one nonce were used: the highest, and a window of those just below it.

    "if the same nc value is seen twice, then the request is a replay", RFC 7616 §3.4. Not simply rising: a PBX that
    sends several requests at once over UDP with one nonce may see them overtake each other. A repetition of one request
    never gets here, the transaction absorbs it.
    """

    __slots__ = ("highest", "until", "window")

    def __init__(self, until: float) -> None:
        self.until = until
        self.highest = 0
        self.window = 0  # bit i: highest - i was used

    def take(self, nc: int) -> bool:
        behind = self.highest - nc
        if nc == 0 or behind >= _WINDOW:
            return False
        if behind < 0:
            self.window = (self.window << min(-behind, _WINDOW) | 1) & ((1 << _WINDOW) - 1)
            self.highest = nc
            return True
        if self.window >> behind & 1:
            return False
        self.window |= 1 << behind
        return True

    def take_uncounted(self) -> bool:
        """Without qop (RFC 2069, which §22.4 obliges us to accept) nothing is counted: the nonce is good once."""
        is_first = self.highest == 0
        self.highest = _USED_UP
        return is_first


def username_of(request: Request, realm: str) -> str | None:
    """Whom the credentials that `check` would look at claim to be from; nothing is verified."""
    found = _credentials(request, realm)
    return None if found is None else found.value("username")


def _credentials(request: Request, realm: str) -> AuthValue | None:
    return next((value for value in digests_in(request, "Authorization") if value.value("realm") == realm), None)


def _is_for(digest_uri: str, request: Request) -> bool:
    """Whether credentials for this URI may stand in this request.

    RFC 8760 §2.6: the server must "check if the Request-URI in the Authorization … header field value corresponds to a
    user for whom the UAS is willing to accept … requests; however, it MAY still accept it if the two fields are not
    equivalent". PBXs write their own idea of our host, port and parameters there, so that these are not compared. The
    user is: credentials that were seen on their way must not buy a call to another number.
    """
    if digest_uri == request.uri_text:
        return True
    return (user := _user_of(digest_uri)) is not None and user == _user_of(request.uri_text)


def _user_of(text: str) -> str | None:
    """The user or number of a URI, without parameters; "" where it has none; None where it cannot be read."""
    try:
        uri = parse_uri(text)
    except ParseError:
        return None
    match uri:
        case SipUri():
            return uri.user_text.partition(";")[0]
        case TelUri():
            return uri.number
        case _:
            return None


def _octets_of(nonce: str) -> bytes:
    """Zeros for what cannot be one of ours."""
    return base64.urlsafe_b64decode(f"{nonce}==") if _NONCE.fullmatch(nonce) else bytes(_STAMPED + 8)


def _made_at(raw: bytes) -> int:
    """Milliseconds."""
    return int.from_bytes(raw[:_MADE], "big")


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
