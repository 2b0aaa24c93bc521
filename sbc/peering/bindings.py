"""What a PBX has registered with us: its bindings, how a REGISTER changes them, and which of them takes a call.

RFC 3261 §10.3 steps 6 and 7, RFC 6140 §5.2 (bulk), RFC 3327 §5.3 (Path). Pure values: when they expire, are stored and
answered for is `registrar`'s, its only user but for the hunt, which sends calls to a `Binding`.
"""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from sbc.core import limits
from sbc.core.address import Address, Flow, canonical_ip
from sbc.sip.params import Params, params_text
from sbc.sip.uri import SipUri, escaped_user, parse_uri

_TAIL: Final = 7  # digits: a national number ends as its E.164 form does, and two DIDs of one PBX differ within these


class Binding(Struct, frozen=True):
    """`contact` as registered, a SIP URI. Calls go along `flow`: to the address that the REGISTER came from, or through
    its connection. `path`: URIs for Route, in that order. `expires_at`, `updated_at`: seconds of the engine's clock.
    """

    aor_user: str
    contact: str
    flow: Flow
    expires_at: float
    updated_at: float
    call_id: str
    cseq: int
    path: tuple[str, ...] = ()
    bulk: bool = False
    is_main: bool = False  # the AOR is the PBX itself, no number of it
    q: float = 1.0
    params: Params = ()  # of the Contact, but for expires

    @property
    def uri(self) -> SipUri:
        uri = parse_uri(self.contact)
        if not isinstance(uri, SipUri):
            raise TypeError("no SIP URI is ever bound")
        return uri

    def target(self, called: str, called_e164: str = "") -> str:
        """The Request-URI of a call to `called`, the number as the PBX wants it written; `called_e164`: if it differs.

        A binding of the number itself is called as it was registered. Any other gets the number in place of its user
        part, since the PBX must see which of its DIDs is called; a bulk one always in E.164 (RFC 6140 §5.2).
        """
        uri, number = self.uri, called_e164 or called
        # "method" and headers must not stand in a Request-URI, RFC 3261 §19.1.1
        params = tuple([(name, value) for name, value in uri.params if name not in ("method", "bnc")])
        if not self.bulk and is_same_number(self.aor_user, number):
            return str(replace(uri, params=params, headers=""))
        user = escaped_user(number if self.bulk else called)
        return str(replace(uri, user=user, password=None, params=params, headers=""))

    def detached(self) -> "Binding | None":
        """Without its connection: at the contact's own address, if the PBX registered from there; None: out of reach.

        RFC 3261 binds the address, not the connection: it can be opened anew, unless a NAT stands before it.
        """
        uri, flow = self.uri, self.flow
        if canonical_ip(uri.host) != flow.remote.host:
            return None
        remote = Address(flow.remote.host, uri.port or flow.transport.default_port)
        return replace(self, flow=Flow(flow.transport, flow.interface, flow.local, remote))

    def listed(self, now: float) -> str:
        """For the Contact of a 200: "an "expires" parameter indicating its expiration interval"."""
        return f"<{self.contact}>{params_text(self.params)};expires={max(1, int(self.expires_at - now + 0.001))}"


class BindingMoved(Struct, frozen=True):
    """A contact of this PBX is reached another way than before: a new connection, or a new place at its NAT."""

    pbx: str
    was: Flow
    flow: Flow


class Wanted(Struct, frozen=True):
    """One Contact of a REGISTER. `seconds` 0: it shall go."""

    uri: SipUri
    seconds: int
    bulk: bool = False
    q: float = 1.0
    params: Params = ()


def changed(
    current: tuple[Binding, ...], wanted: Iterable[Wanted], likeness: Binding, now: float
) -> tuple[Binding, ...] | None:
    """The bindings of one AOR after a REGISTER; None: it comes too late, and nothing changes (§10.3 step 7).

    `likeness`: a binding that has what all of this REGISTER have in common.
    """
    kept = list(current)
    for want in wanted:
        old = next((binding for binding in kept if _is_same_contact(binding.uri, want.uri)), None)
        if old is not None:
            if is_late(old, likeness):
                return None
            kept.remove(old)
        if want.seconds:
            new = replace(
                likeness,
                contact=str(want.uri),
                expires_at=now + want.seconds,
                bulk=want.bulk,
                q=want.q,
                params=want.params,
            )
            kept.append(new)
    # A PBX that comes back from another port each time must not lock itself out: the oldest make room.
    kept.sort(key=lambda binding: binding.updated_at)
    return tuple(kept[-limits.BINDINGS_PER_AOR :])


def _is_same_contact(one: SipUri, other: SipUri) -> bool:
    """ "That SIP Contact header field replaces the SIPS Contact header field", and the other way about, RFC 5630
    §5.1.1.1: they are one telephone.
    """
    return one.equals(other if one.scheme == other.scheme else replace(other, scheme=one.scheme))


def is_late(old: Binding, likeness: Binding) -> bool:
    """ "If they are the same, the registrar compares the CSeq value. If the value is higher … it MUST update"."""
    return old.call_id == likeness.call_id and likeness.cseq <= old.cseq


def best_first(bindings: Iterable[Binding]) -> list[Binding]:
    """By q (§16.6), then the one that was heard of last: the other may be from before a restart."""
    return sorted(bindings, key=lambda binding: (-binding.q, -binding.updated_at))


class Location:
    """The bindings of one PBX, by AOR."""

    def __init__(self) -> None:
        self._aors: dict[str, tuple[Binding, ...]] = {}
        self._bulk: set[str] = set()  # AORs that have bulk bindings
        self._main: set[str] = set()  # the AOR of the PBX itself; two after its account has been renamed
        self._tails: dict[str, set[str]] = {}  # last digits of a number: the AORs that end so

    def __len__(self) -> int:
        return len(self._aors)

    def aors(self) -> list[str]:
        return sorted(self._aors)

    def of(self, aor: str) -> tuple[Binding, ...]:
        return self._aors.get(aor, ())

    def put(self, aor: str, bindings: tuple[Binding, ...]) -> None:
        tail = _digits(aor)[-_TAIL:]
        if bindings:
            self._aors[aor] = bindings
            self._tails.setdefault(tail, set()).add(aor)
        elif self._aors.pop(aor, None) is not None:
            self._tails[tail].discard(aor)
            if not self._tails[tail]:
                del self._tails[tail]
        for index, has_one in (
            (self._bulk, any(binding.bulk for binding in bindings)),
            (self._main, any(binding.is_main for binding in bindings)),
        ):
            (index.add if has_one else index.discard)(aor)

    def find(self, called: str) -> list[Binding]:
        """The number's own AOR first, then bulk, then the AOR of the PBX itself."""
        own = [
            binding
            for aor in sorted(self._tails.get(_digits(called)[-_TAIL:], ()))
            if is_same_number(aor, called)
            for binding in self._aors[aor]
            if not binding.bulk
        ]
        bulk = [binding for aor in sorted(self._bulk) for binding in self._aors[aor] if binding.bulk]
        main = [binding for aor in sorted(self._main) for binding in self._aors[aor] if not binding.bulk]
        return [*best_first(own), *best_first(bulk), *best_first(b for b in main if b not in own)]


def is_same_number(aor: str, called: str) -> bool:
    """Whether an AOR is this number (E.164), with or without plus, or in a national form."""
    if aor == called:
        return True
    short, long = _digits(aor), _digits(called)
    return bool(short) and (short == long or (len(short) >= _TAIL and long.endswith(short)))


def _digits(number: str) -> str:
    """Without plus, and without the zeros that a prefix begins with; "" for what is no number."""
    digits = number.lstrip("+0")
    return digits if digits.isascii() and digits.isdigit() else ""
