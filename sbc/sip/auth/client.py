"""Answering a carrier's challenges with one account (RFC 3261 §22.2, §22.3; RFC 7616 §3.4; RFC 8760 §2.4).

Of several challenges for one realm the topmost that we can answer is taken, as RFC 8760 §2.4 wants it: the order is the
server's preference, and to choose the strongest instead would not stop an attacker on the path, who can delete as well
as reorder. MD5, SHA-256, SHA-512-256 and their session variants; qop auth, auth-int where nothing else is offered, and
the form of RFC 2069 where no qop is. Not AKA, not Basic, no hashed user names (`userhash` is optional).

It does not know who sent the challenge: whoever calls it makes sure that it was the account's own carrier, and sends
the request to the very server that made the nonce. Who uses it: `b2bua.leg`, `peering.registration`.
"""

from collections import OrderedDict
from typing import Final, Literal

from sbc.core.ids import IdSource
from sbc.core.limits import CHALLENGES_PER_RESPONSE, CLIENT_NONCES, CREDENTIALS_PER_REQUEST
from sbc.sip.auth.digest import Algorithm, Terms, algorithm_of, digest_response
from sbc.sip.headers.credentials import AuthValue, digests_in
from sbc.sip.headers.cseq import LARGEST_CSEQ
from sbc.sip.message import Fields, Request, Response
from sbc.sip.scan import quoted

_TRIES: Final = 2  # with credentials; the second is for a stale nonce, or for another server on the path
_ANSWERS: Final = {"WWW-Authenticate": "Authorization", "Proxy-Authenticate": "Proxy-Authorization"}
_KINDS: Final = frozenset(_ANSWERS.values())

Qop = Literal["", "auth", "auth-int"]
_Place = tuple[str, str]  # the header that credentials stand in, and their realm


class Authenticator:
    """One account. It remembers how often each nonce was used, and nothing else."""

    __slots__ = ("_counts", "_ids", "_password", "_username")

    def __init__(self, username: str, password: str, ids: IdSource) -> None:
        self._username = username
        self._password = password
        self._ids = ids
        self._counts: OrderedDict[str, int] = OrderedDict()

    def answer(self, response: Response, request: Request, tries: int) -> Request | None:
        """The challenged request with credentials and the next CSeq; None: it must not be tried again.

        `tries`: how often this request has gone out with credentials. "A UAC MUST NOT re-attempt requests with the
        credentials that have just been rejected (though the request may be retried if the nonce was stale)", §22.1.
        """
        if tries >= _TRIES or request.cseq.number >= LARGEST_CSEQ:
            return None
        sent = _credentials_in(request)
        chosen = _choose(response)
        if not chosen or any(place in sent and not _is_stale(value) for place, value in chosen.items()):
            return None
        # Credentials that stay are made anew too: their nonce is used once more, and has to be counted.
        stay = {place: value for place, value in sent.items() if place not in chosen}
        fields = [(place[0], self._credentials(v, request, v.value("cnonce") or "")) for place, v in stay.items()]
        fields += [(place[0], self._credentials(v, request, self._ids.tag())) for place, v in chosen.items()]
        number = request.cseq.number + 1
        kept = [
            (name, f"{number} {request.method}" if name == "CSeq" else text)
            for name, text in request.fields
            if name not in _KINDS
        ]
        return Request(request.method, request.uri_text, (*kept, *fields), request.body)

    def _credentials(self, value: AuthValue, request: Request, cnonce: str) -> str:
        """`value`: a challenge, or earlier credentials, which repeat all of it that counts.

        `cnonce` is never the server's choice. That of earlier credentials is kept: a session's key is made of its first
        one (RFC 7616 §3.4.2).
        """
        algorithm, session = _known_algorithm(value)
        nonce, qop = value.value("nonce") or "", _qop_of(value)
        counted = qop != ""
        terms = Terms(
            request.method,
            request.uri_text,
            value.value("realm") or "",
            nonce,
            algorithm,
            session,
            qop,
            nc=f"{self._count(nonce):08x}" if counted else "",
            cnonce=cnonce if counted else "",
            body=request.body,
        )
        params = [
            ("username", quoted(self._username)),
            ("realm", _as_quoted(value, "realm")),
            ("nonce", _as_quoted(value, "nonce")),
            ("uri", quoted(request.uri_text)),
            ("response", f'"{digest_response(terms, self._username, self._password)}"'),
        ]
        # "The values of the opaque and algorithm fields must be those supplied in the WWW-Authenticate", RFC 7616 §3.4
        if (token := value.value("algorithm")) is not None:
            params.append(("algorithm", token))
        if value.raw("opaque") is not None:
            params.append(("opaque", _as_quoted(value, "opaque")))
        if counted:
            params += [("qop", qop), ("nc", terms.nc), ("cnonce", quoted(cnonce))]
        return str(AuthValue("Digest", tuple(params)))

    def _count(self, nonce: str) -> int:
        """How many requests have gone out with this nonce, this one included (RFC 7616 §3.4, nc)."""
        count = self._counts.pop(nonce, 0) + 1
        self._counts[nonce] = count
        if len(self._counts) > CLIENT_NONCES:
            self._counts.popitem(last=False)
        return count


def credentials_of(request: Request) -> Fields:
    """For the ACK of its 2xx: "UACs creating an ACK message will duplicate all of the Authorization and
    Proxy-Authorization header field values that appeared in the INVITE", RFC 3261 §22.1."""
    return tuple([field for field in request.fields if field[0] in _KINDS])


def _choose(response: Response) -> dict[_Place, AuthValue]:
    """For each realm the topmost challenge that we can answer, by the header that its credentials go into.

    A forking proxy gathers the challenges of several servers in one response, of both kinds (RFC 3261 §22.3).
    """
    chosen: dict[_Place, AuthValue] = {}
    for header, answer in _ANSWERS.items():
        for value in digests_in(response, header)[:CHALLENGES_PER_RESPONSE]:
            place = (answer, value.value("realm") or "")
            if place not in chosen and len(chosen) < CREDENTIALS_PER_REQUEST and _can_answer(value):
                chosen[place] = value
    return chosen


def _credentials_in(request: Request) -> dict[_Place, AuthValue]:
    return {(header, value.value("realm") or ""): value for header in _KINDS for value in digests_in(request, header)}


def _can_answer(challenge: AuthValue) -> bool:
    known = algorithm_of(challenge.value("algorithm"))
    if known is None or challenge.raw("realm") is None or challenge.raw("nonce") is None:
        return False
    qop = challenge.value("qop")
    if not qop:
        # "any algorithms that have a dependency on the cnonce … require that the qop directive be sent", §22.4
        return not known[1]
    return _pick_qop(qop) != ""


def _known_algorithm(value: AuthValue) -> tuple[Algorithm, bool]:
    return algorithm_of(value.value("algorithm")) or ("md5", False)


def _qop_of(value: AuthValue) -> Qop:
    return _pick_qop(value.value("qop") or "")


def _pick_qop(offered: str) -> Qop:
    """Plain auth where it is offered: proxies may change a body on its way, which auth-int would not survive."""
    options = {option.strip(" \t").lower() for option in offered.split(",")}
    return "auth" if "auth" in options else "auth-int" if "auth-int" in options else ""


def _is_stale(challenge: AuthValue) -> bool:
    return (challenge.value("stale") or "").lower() == "true"


def _as_quoted(value: AuthValue, name: str) -> str:
    """As it came; where its quotes were missing, with them (RFC 7616 §3.4 demands them of us)."""
    raw = value.raw(name) or '""'
    return raw if raw.startswith('"') else quoted(raw)
