"""The registrar of the PBXs with `registers: true` (RFC 3261 §10.3, RFC 6140 §5.2, RFC 3327 §5.3).

A REGISTER that has been authenticated goes in; status, fields and what is to be kept come out. It survives a restart by
`StoreState`. It does not authenticate, sends nothing, and serves no one but configured PBXs. Used by `relations`.
"""

import re
from collections.abc import Callable, Collection, Iterable
from email.utils import formatdate
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from sbc.core import limits
from sbc.core.address import Address, Flow, Transport
from sbc.core.commands import Log, StoreState
from sbc.core.ids import IdSource
from sbc.core.timers import Schedule
from sbc.peering.bindings import Binding, BindingMoved, Location, Wanted, changed, is_late
from sbc.peering.views import BindingView
from sbc.policy.model import Peer
from sbc.sip.errors import ParseError
from sbc.sip.message import Fields, Request
from sbc.sip.nameaddr import NameAddr, Star, parse_name_addr
from sbc.sip.params import has_param, param
from sbc.sip.sips import is_sips
from sbc.sip.transaction.saved import without_connection
from sbc.sip.uri import OtherUri, SipUri, TelUri

DEFAULT_EXPIRES: Final = 3_600  # seconds, where the PBX names none, or none that can be read (RFC 3261 §10.2)
SHORTEST_EXPIRES: Final = 60  # shorter ones get 423
LONGEST_EXPIRES: Final = 7_200  # more is not granted
_SUPPORTED: Final = frozenset(("gin", "path"))
_SEPARATORS: Final = str.maketrans("", "", "-.() ")  # RFC 3966 §5.1.1
_QVALUE: Final = re.compile(r"[01](?:\.[0-9]{0,3})?")

Out = Log | StoreState | BindingMoved
Answer = tuple[int, Fields, list[Out]]


class _Refused(Struct, frozen=True):
    status: int
    fields: Fields = ()


class Registrar:
    """Every binding of every PBX. One PBX can neither see nor touch those of another."""

    def __init__(self, ids: IdSource) -> None:
        del ids  # nothing here is drawn by chance
        self._locations: dict[str, Location] = {}
        self._due: Schedule[tuple[str, str]] = Schedule()  # (pbx, aor): when the first binding expires
        self._lost: dict[tuple[str, str], Flow] = {}  # (pbx, contact): the connection that it was reached by
        self._outdated: list[str] = []  # keys that were kept and are good for nothing
        self._wall_at_zero = 0.0

    @property
    def most_aors(self) -> int:
        """Addresses of record of the PBX that has the most."""
        return max(map(len, self._locations.values()), default=0)

    @property
    def lost_bindings(self) -> int:
        return len(self._lost)

    # --- across restarts ----------------------------------------------------------------------------------------------

    def set_wall(self, wall_at_zero: float) -> None:
        """For the Date of answers."""
        self._wall_at_zero = wall_at_zero

    def restore(self, items: Iterable[tuple[str, bytes]], now: float, wall_at_zero: float) -> None:
        """What `StoreState` kept under `binding/<pbx>/<aor>`, but for what has expired since."""
        self._wall_at_zero = wall_at_zero
        for key, value in items:
            kind, _, rest = key.partition("/")
            pbx, _, aor = rest.partition("/")
            if kind != "binding":
                continue
            kept = _restored(value, aor, now, wall_at_zero)
            bindings = tuple([binding for one in kept if (binding := self._without_connection(pbx, one)) is not None])
            if bindings:
                self._locations.setdefault(pbx, Location()).put(aor, bindings)
                self._schedule(pbx, aor)
            else:
                self._outdated.append(key)

    def forget(self, pbx: str) -> list[Out]:
        """The policy has no such PBX any more, or it does not register any more."""
        location = self._locations.get(pbx)
        return [] if location is None else [out for aor in location.aors() for out in self._put(pbx, aor, ())]

    def settle(
        self, pbx: str, interface: str, places: Collection[tuple[Transport, Address]], *, is_proved: bool = False
    ) -> list[Out]:
        """This PBX is behind that interface, and speaks to these listeners, from now on. Who has registered by another
        listener has no way back; by one that was another interface's, the same way. `is_proved`: connections that have
        proved nothing are not this PBX's any more.
        """
        location = self._locations.get(pbx)
        outs: list[Out] = []
        for aor in [] if location is None else location.aors():
            before = () if location is None else location.of(aor)
            kept = [binding for binding in before if (binding.flow.transport, binding.flow.local) in places]
            if is_proved:
                ways = [one.detached() if one.flow.connection and not one.flow.proved else one for one in kept]
                kept = [one for one in ways if one is not None]
            after = tuple([replace(one, flow=replace(one.flow, interface=interface)) for one in kept])
            if after != before:
                left = {one.contact for one in kept}
                outs += [Log("warning", "binding.lost", _about(pbx, one)) for one in before if one.contact not in left]
                outs += self._put(pbx, aor, after)
        return outs

    # --- what a PBX asks ----------------------------------------------------------------------------------------------

    def take(self, peer: Peer, request: Request, flow: Flow, owned: Callable[[str], bool], now: float) -> Answer:
        """`owned`: whether a number is the PBX's. All of the REGISTER counts, or nothing of it."""
        try:
            result = self._take(peer, request, flow, owned, now)
        except ParseError:
            return 400, (), []
        return (result.status, result.fields, []) if isinstance(result, _Refused) else result

    def _take(
        self, peer: Peer, request: Request, flow: Flow, owned: Callable[[str], bool], now: float
    ) -> Answer | _Refused:
        demanded = dict.fromkeys((*request.require, *request.proxy_require))
        unsupported = [tag for tag in demanded if tag.lower() not in _SUPPORTED]
        if unsupported:
            return _Refused(420, (("Unsupported", ", ".join(unsupported)),))
        aor = _aor_of(peer, request, owned)
        if aor is None:
            return _Refused(404)
        before = self._bindings(peer.name, aor)
        likeness = _likeness(aor, request, flow, now, is_main=aor == main_aor(peer))
        contacts = request.contacts
        if _binds_insecurely(request, flow):
            return _Refused(400)
        if not contacts and not isinstance(contacts, Star):
            return 200, self._fields(before, request, now), []  # a question, §10.2.3
        if isinstance(contacts, Star):
            after = _without_all(before, request, likeness)
        else:
            wanted = _wanted(contacts, request)
            after = wanted if isinstance(wanted, _Refused) else changed(before, wanted, likeness, now)
        if isinstance(after, _Refused):
            return after
        if after is None:
            return _Refused(500)  # "the update MUST be aborted and the request fails"
        if not before and after and len(self._locations.get(peer.name, ())) >= limits.AORS_PER_PBX:
            return _Refused(503)
        outs = [*_said(peer.name, before, after), *self._put(peer.name, aor, after)]
        return 200, self._fields(after, request, now), outs

    def _fields(self, bindings: tuple[Binding, ...], request: Request, now: float) -> Fields:
        fields = [("Contact", binding.listed(now)) for binding in bindings]
        path = request.values("Path")
        if path and "path" in request.supported:
            # "The registrar copies the Path header field values into a Path header field in the successful (200 class)
            # REGISTER response", RFC 3327 §5.3
            fields.append(("Path", ", ".join(path)))
        if self._wall_at_zero:
            fields.append(("Date", formatdate(self._wall_at_zero + now, usegmt=True)))
        return tuple(fields)

    # --- what calls ask -----------------------------------------------------------------------------------------------

    def bindings_for(self, pbx: str, called: str) -> tuple[Binding, ...]:
        """Where a call to this number (E.164) can reach the PBX, best first; empty: it is not registered."""
        location = self._locations.get(pbx)
        return () if location is None else tuple(location.find(called))

    def is_registered(self, pbx: str) -> bool:
        return bool(self._locations.get(pbx))

    def views(self, pbx: str) -> tuple[BindingView, ...]:
        location = self._locations.get(pbx)
        if location is None:
            return ()
        return tuple(
            [
                BindingView(b.aor_user, b.contact, f"{b.flow.transport}:{b.flow.remote}", b.expires_at)
                for aor in location.aors()
                for b in location.of(aor)
            ]
        )

    # --- what happens -------------------------------------------------------------------------------------------------

    def flow_failed(self, flow: Flow, now: float) -> list[Out]:
        """A connection is gone: what was registered through it is called at its own address, or not at all."""
        del now
        if not flow.connection:
            return []
        outs: list[Out] = []
        for pbx, location in list(self._locations.items()):
            for aor in location.aors():
                before = location.of(aor)
                if any(binding.flow.connection == flow.connection for binding in before):
                    outs += self._detach(pbx, aor, before, flow)
        return outs

    def _detach(self, pbx: str, aor: str, before: tuple[Binding, ...], flow: Flow) -> list[Out]:
        number = flow.connection  # what it has proved may have been judged anew since
        after = [binding.detached() if binding.flow.connection == number else binding for binding in before]
        lost = [old for old, new in zip(before, after, strict=True) if new is None]
        said = [Log("warning", "binding.lost", _about(pbx, binding)) for binding in lost]
        for binding in lost:
            self._lose(pbx, binding.contact, binding.flow)
        return [*said, *self._put(pbx, aor, tuple([binding for binding in after if binding is not None]))]

    def tick(self, now: float) -> list[Out]:
        outs: list[Out] = [StoreState(key, None) for key in self._outdated]
        self._outdated.clear()
        for pbx, aor in self._due.pop_due(now):
            before = self._bindings(pbx, aor)
            after = tuple([binding for binding in before if binding.expires_at > now])
            outs += [Log("warning", "binding.expired", _about(pbx, b)) for b in before if b.expires_at <= now]
            outs += self._put(pbx, aor, after)
        return outs

    def next_deadline(self) -> float | None:
        return float("-inf") if self._outdated else self._due.next()

    # --- inside -------------------------------------------------------------------------------------------------------

    def _lose(self, pbx: str, contact: str, way: Flow) -> None:
        self._lost.pop((pbx, contact), None)
        self._lost[pbx, contact] = way
        while len(self._lost) > limits.LOST_BINDINGS:
            del self._lost[next(iter(self._lost))]

    def _without_connection(self, pbx: str, binding: Binding) -> Binding | None:
        """No connection outlives the process. Where nothing else leads to the PBX, calls wait until it comes again."""
        if not binding.flow.connection:
            return binding
        found = binding.detached()
        if found is None:
            self._lose(pbx, binding.contact, without_connection(binding.flow))
        return found

    def _bindings(self, pbx: str, aor: str) -> tuple[Binding, ...]:
        location = self._locations.get(pbx)
        return () if location is None else location.of(aor)

    def _put(self, pbx: str, aor: str, bindings: tuple[Binding, ...]) -> list[Out]:
        location = self._locations.setdefault(pbx, Location())
        if bindings == location.of(aor):
            self._schedule(pbx, aor)
            return []
        moved = self._moved(pbx, location.of(aor), bindings)
        location.put(aor, bindings)
        if not location:
            del self._locations[pbx]
        self._schedule(pbx, aor)
        return [StoreState(f"binding/{pbx}/{aor}", self._kept(bindings)), *moved]

    def _moved(self, pbx: str, before: tuple[Binding, ...], after: tuple[Binding, ...]) -> list[Out]:
        """Calls that are up go by the way that their PBX's contact was reached: they shall follow it."""
        ways = {binding.contact: binding.flow for binding in before}
        moved: list[Out] = []
        for binding in after:
            was = self._lost.pop((pbx, binding.contact), None) or ways.get(binding.contact)
            if was is not None and was != binding.flow:
                moved.append(BindingMoved(pbx, was, binding.flow))
        return moved

    def _schedule(self, pbx: str, aor: str) -> None:
        self._due.set((pbx, aor), min([b.expires_at for b in self._bindings(pbx, aor)], default=None))

    def _kept(self, bindings: tuple[Binding, ...]) -> bytes | None:
        return msgspec.msgpack.encode(_Saved(bindings)) if bindings else None


class _Saved(Struct, frozen=True):
    """Times of the engine's clock, which goes on over a restart. Once it was a bare list, with wall-clock times."""

    bindings: tuple[Binding, ...]


def main_aor(peer: Peer) -> str:
    """The AOR of the PBX as a whole: the name of its account; without one its own."""
    return peer.name if peer.auth is None else peer.auth.username


def _aor_of(peer: Peer, request: Request, owned: Callable[[str], bool]) -> str | None:
    """The user of To, "converted to a canonical form" (§10.3 step 5); None: the PBX has no such AOR.

    That it belongs to another PBX is not told apart from that it belongs to nobody: who owns what is not for PBXs.
    """
    # Deviation: §10.3 step 1 and 5 have the domains of Request-URI and To checked. Whatever a PBX calls us, we are the
    # only registrar that it can mean.
    uri = request.to.uri
    user = uri.number if isinstance(uri, TelUri) else uri.user_text if isinstance(uri, SipUri) else ""
    if user == main_aor(peer):
        return user
    # One number is one AOR, however it is written: without its parameters, and without what is only to be looked at.
    number = user.partition(";")[0].translate(_SEPARATORS)
    return number if number and owned(number) else None


def _binds_insecurely(request: Request, flow: Flow) -> bool:
    """ "A registrar MUST accept a binding to a SIPS Contact header field only if all the appropriate URIs are of the
    SIPS scheme …. This includes the Request-URI and the Contacts and all the Path header fields", RFC 5630 §5.2. Calls
    go the way that the REGISTER came, so that must be TLS as well.
    """
    contacts = request.contacts
    schemes = [] if isinstance(contacts, Star) else [str(contact.uri).partition(":")[0] for contact in contacts]
    if "sips" not in schemes:
        return False
    if flow.transport is not Transport.TLS:
        return True
    path = [parse_name_addr(value).uri for value in request.values("Path")]
    return any(not is_sips(text) for text in (request.uri_text, *map(str, path))) or set(schemes) != {"sips"}


def _likeness(aor: str, request: Request, flow: Flow, now: float, *, is_main: bool) -> Binding:
    """What all bindings of this REGISTER have in common. Raises ParseError for what cannot be kept."""
    path = tuple(request.values("Path"))
    is_long = sum(map(len, path)) > limits.PATH_CHARACTERS
    if is_long or not all(_is_kept_well(text) for text in (*path, request.call_id)):
        raise ParseError("Cannot Be Kept", header="Path")
    uris = tuple([str(parse_name_addr(value, "Path").uri) for value in path])
    return Binding(aor, "", flow, now, now, request.call_id, request.cseq.number, uris, is_main=is_main)


def _without_all(
    before: tuple[Binding, ...], request: Request, likeness: Binding
) -> tuple[Binding, ...] | _Refused | None:
    """ "If the request has additional Contact fields or an expiration time other than zero, the request is invalid"."""
    if request.expires != 0:
        return _Refused(400)
    return None if any(is_late(binding, likeness) for binding in before) else ()


def _wanted(contacts: tuple[NameAddr, ...], request: Request) -> list[Wanted] | _Refused:
    if len(contacts) > limits.BINDINGS_PER_AOR:
        return _Refused(400)
    found: list[Wanted] = []
    for contact in contacts:
        want = _want(contact, request)
        if isinstance(want, _Refused):
            return want
        if not any(want.uri.equals(other.uri) for other in found):
            found.append(want)
    return found


def _want(contact: NameAddr, request: Request) -> Wanted | _Refused:
    uri = contact.uri
    if isinstance(uri, TelUri | OtherUri) or uri.scheme not in ("sip", "sips") or not _is_kept_well(str(contact)):
        return _Refused(400)  # "they MAY use any URI scheme": no call of ours could go there
    bulk = has_param(uri.params, "bnc")
    # "A registrar that receives a REGISTER request containing a Contact URI with both a "bnc" parameter and a user
    # portion MUST NOT send a 200-class (Success) response", RFC 6140 §5.2; the same for a "user" parameter, §5.3
    if bulk and (uri.user is not None or has_param(uri.params, "user")):
        return _Refused(400)
    seconds = _seconds(contact, request)
    if 0 < seconds < SHORTEST_EXPIRES:
        return _Refused(423, (("Min-Expires", str(SHORTEST_EXPIRES)),))
    params = tuple([(name, value) for name, value in contact.params if name != "expires"])
    return Wanted(uri, min(seconds, LONGEST_EXPIRES), bulk, _q(param(contact.params, "q")), params)


def _seconds(contact: NameAddr, request: Request) -> int:
    if has_param(contact.params, "expires"):
        text = param(contact.params, "expires") or ""
        if not (text.isascii() and text.isdigit()):
            return DEFAULT_EXPIRES
        return int(text) if len(text) <= 9 else LONGEST_EXPIRES
    return DEFAULT_EXPIRES if request.expires is None else request.expires


def _q(text: str | None) -> float:
    """0 to 1 with up to three decimals (§25.1 qvalue); without one as 1."""
    return 1.0 if text is None or _QVALUE.fullmatch(text) is None else min(float(text), 1.0)


def _is_kept_well(text: str) -> bool:
    return len(text) <= limits.CONTACT_CHARACTERS and text.isascii()


def _restored(value: bytes, aor: str, now: float, wall_at_zero: float) -> tuple[Binding, ...]:
    try:
        kept = msgspec.msgpack.decode(value, type=_Saved | tuple[Binding, ...])
        zero = 0.0
        if not isinstance(kept, _Saved):
            kept, zero = _Saved(kept), wall_at_zero
        moved = [
            replace(
                binding,
                aor_user=aor,
                # Whatever the clocks say, no binding is kept longer than it can have been granted for.
                expires_at=min(binding.expires_at - zero, now + LONGEST_EXPIRES),
                updated_at=min(binding.updated_at - zero, now),
            )
            for binding in kept.bindings[: limits.BINDINGS_PER_AOR]
            if isinstance(binding.uri, SipUri)
        ]
    except (msgspec.DecodeError, UnicodeDecodeError, ParseError, TypeError):
        return ()
    return tuple([binding for binding in moved if binding.expires_at > now])


def _said(pbx: str, before: tuple[Binding, ...], after: tuple[Binding, ...]) -> list[Out]:
    """A line for what comes and goes; a refresh says nothing."""
    was, is_now = {binding.contact for binding in before}, {binding.contact for binding in after}
    said: list[Out] = [Log("info", "binding.added", _about(pbx, b)) for b in after if b.contact not in was]
    return said + [Log("info", "binding.removed", _about(pbx, b)) for b in before if b.contact not in is_now]


def _about(pbx: str, binding: Binding) -> tuple[tuple[str, object], ...]:
    return ("pbx", pbx), ("aor", binding.aor_user), ("contact", binding.contact), ("from", str(binding.flow.remote))
