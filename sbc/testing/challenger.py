"""A test phone's door: it challenges what comes in, and judges the credentials by the kit's own arithmetic.

RFC 3261 §22, RFC 7616 §3.4, RFC 8760 §2.3. A wrong password is no fault of form and is only refused; what breaks a rule
is written down as a complaint.
"""

from collections.abc import Sequence
from typing import Final, Literal

from sbc.core.ids import IdSource
from sbc.sip.message import Fields, Request
from sbc.testing.digest import PAIRS, bare, digest_of, params_of

_QUOTED: Final = ("username", "realm", "nonce", "uri", "response", "cnonce", "opaque")
_UNQUOTED: Final = ("algorithm", "qop", "nc")
_NEEDED: Final = ("username", "realm", "nonce", "uri", "response")


class Challenger:
    """One realm. `algorithms`: a challenge for each, in this order. `methods`: only these; none named: all.

    `fresh`: right credentials do not help, each try is told another nonce. `stale`: they are called stale, once for
    each Call-ID, with `fresh` always. `tries` are the credentials that came, `accepted` the methods that were let in.
    """

    def __init__(
        self,
        username: str,
        password: str,
        ids: IdSource,
        *,
        realm: str,
        algorithms: tuple[str, ...] = ("MD5",),
        status: Literal[401, 407] = 401,
        fresh: bool = False,
        stale: bool = False,
        qop: str = "auth",
        methods: Sequence[str] = (),
    ) -> None:
        self.username = username
        self.password = password
        self.realm = realm
        self.algorithms = algorithms
        self.status = status
        self.fresh = fresh
        self.stale = stale
        self.qop = qop
        self.methods = methods
        self.challenged: list[str] = []  # methods, in order
        self.tries: list[dict[str, str]] = []
        self.accepted: list[str] = []  # methods, in order
        self.complaints: list[str] = []
        self._ids = ids
        self._asks = "WWW-Authenticate" if status == 401 else "Proxy-Authenticate"
        self._answers = PAIRS[self._asks]
        self._counts: dict[str, int] = {}
        self._numbers: dict[str, int] = {}  # Call-ID: CSeq of what was challenged
        self._called_stale: set[str] = set()
        self._let_in: dict[tuple[str, int], list[str]] = {}

    def judge(self, request: Request) -> Fields | None:
        """Fields of the challenge that it gets, or None: it may pass."""
        if request.method in ("ACK", "CANCEL") or (self.methods and request.method not in self.methods):
            return None
        found = self._own(request)
        before = self._numbers.get(request.call_id, 0)
        if found is None:
            return self._challenge(request)
        if request.cseq.number <= before:
            self._complain(request, f"CSeq {request.cseq.number} after {before} was challenged")
        bared = {name: bare(value) for name, value in found.items()}
        self.tries.append(bared)
        is_known = self._is_well_formed(request, found, bared)
        if not is_known or bared["username"] != self.username:
            return self._challenge(request)
        if bared["response"] != digest_of(bared, self.username, self.password, request):
            return self._challenge(request)
        if self.fresh or (self.stale and request.call_id not in self._called_stale):
            self._called_stale.add(request.call_id)
            return self._challenge(request, stale=self.stale)
        self.accepted.append(request.method)
        self._let_in[request.call_id, request.cseq.number] = request.headers(self._answers)
        return None

    def judge_ack(self, ack: Request) -> None:
        """ "UACs creating an ACK message will duplicate all of the Authorization … values", RFC 3261 §22.1."""
        expected = self._let_in.get((ack.call_id, ack.cseq.number))
        if expected is not None and ack.headers(self._answers) != expected:
            self._complain(ack, f"{self._answers} is not that of its INVITE")

    def forget_nonces(self) -> None:
        """As after a restart: every nonce given out so far is one too many."""
        self._counts.clear()

    def _own(self, request: Request) -> dict[str, str] | None:
        found = [params_of(text) for text in request.headers(self._answers)]
        ours = [params for params in found if bare(params.get("realm", "")) == self.realm]
        if len(ours) > 1:
            self._complain(request, f"{len(ours)} credentials for {self.realm}")
        return ours[0] if ours else None

    def _is_well_formed(self, request: Request, raw: dict[str, str], bared: dict[str, str]) -> bool:
        """Complains about all that is wrong; False where no digest can be checked, or where its nonce is not good."""
        needed = (*_NEEDED, "opaque", *(("qop", "nc", "cnonce") if self.qop else ()))
        missing = [name for name in needed if name not in raw]
        if missing:
            self._complain(request, f"credentials without {', '.join(missing)}")
            return False
        for name, value in raw.items():
            if (name in _QUOTED and not value.startswith('"')) or (name in _UNQUOTED and value.startswith('"')):
                self._complain(request, f"{name}={value}: quotes are wrong")
        if bared["uri"] != request.uri_text:
            self._complain(request, f"credentials for {bared['uri']} in a request to {request.uri_text}")
        if bared["opaque"] != self._opaque:
            self._complain(request, f"opaque is {bared['opaque']}")
        if bared.get("algorithm") not in self.algorithms:
            self._complain(request, f"algorithm is {bared.get('algorithm')}, not one of {self.algorithms}")
            return False
        count = self._counts.get(bared["nonce"])
        if count is None:
            return False
        if self.qop:
            self._counts[bared["nonce"]] = count + 1
            if bared["nc"] != f"{count + 1:08x}":
                self._complain(request, f"nc is {bared['nc']} in use {count + 1} of this nonce")
        return True

    @property
    def _opaque(self) -> str:
        return f"of, {self.realm}"

    def _challenge(self, request: Request, *, stale: bool = False) -> Fields:
        self.challenged.append(request.method)
        self._numbers[request.call_id] = request.cseq.number
        nonce = f"{self._ids.tag()},{self._ids.tag()}=="
        self._counts[nonce] = 0
        qop = f', qop="{self.qop}"' if self.qop else ""
        head = f'Digest realm="{self.realm}", nonce="{nonce}", opaque="{self._opaque}"'
        tail = f"{qop}, stale=TRUE" if stale else qop
        return tuple([(self._asks, f"{head}, algorithm={algorithm}{tail}") for algorithm in self.algorithms])

    def _complain(self, request: Request, text: str) -> None:
        self.complaints.append(f"{request.method}: {text}")


def uncalled_for(challengers: Sequence[Challenger], request: Request) -> list[str]:
    """Complaints about credentials that nobody here asked for, and about passwords in the open."""
    realms = {challenger.realm for challenger in challengers}
    texts = [text for header in PAIRS.values() for text in request.headers(header)]
    strange = {bare(params_of(text).get("realm", "")) for text in texts} - realms
    found = [f"{request.method}: credentials for {realm!r}, which nobody asked for" for realm in sorted(strange)]
    secrets = {c.password for c in challengers if len(c.password) > 3}
    shown = any(secret in value for secret in secrets for _, value in request.fields)
    return [*found, f"{request.method}: shows the password"] if shown else found
