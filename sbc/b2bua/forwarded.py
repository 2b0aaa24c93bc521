"""How the INVITE of a forwarded call tells by whom it was forwarded: Diversion (RFC 5806) and History-Info (RFC 7044).

What a PBX or a trunk said is told again in our words: numbers in the form of the peer that hears it, at our host or the
trunk's, reasons and counters kept, everything else left behind. A disaster plan's forwarding, and a 3xx that was
followed, are told in both ways. A peer whose policy wants one of them, or both, gets the one made of the other
(`translated`, RFC 6044). It does not decide who is called or shown. Used by `identity`.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from sbc.b2bua.translated import cause_of, diversions_of, history_of
from sbc.policy.model import Target
from sbc.sip.headers.identity import LARGEST_COUNTER, Diversion, HistoryEntry
from sbc.sip.uri import TelUri, escaped_user

if TYPE_CHECKING:
    from sbc.b2bua.identity import Parties

_ANONYMOUS: Final = "sip:anonymous@anonymous.invalid"  # RFC 3323 §4.1.1.3
_HIDING: Final = frozenset(("header", "history"))  # RFC 7044 §10.1.2


class _Listener:
    """The peer that is told: how numbers look to it."""

    def __init__(self, host: str, write: Callable[[str], str], *, is_trunk: bool) -> None:
        self._host = host
        self._write = write
        self._is_trunk = is_trunk

    def uri(self, number: str) -> str:
        return self.uri_as_written(self._write(number))

    def uri_as_written(self, number: str) -> str:
        return f"sip:{escaped_user(number)}@{self._host}"

    def may_hear(self, number: str) -> bool:
        """Names of a PBX's people mean nothing to a trunk, and are none of its business."""
        return bool(number) and (not self._is_trunk or number.removeprefix("+").isdecimal())

    def may_hear_diverter(self, diversion: Diversion) -> bool:
        """A trunk keeps a secret (RFC 3325 §3, the trust domain); a PBX shows what it hears."""
        return self._is_trunk or not diversion.is_private


def forwarding_fields(
    target: Target, parties: "Parties", host: str, write: Callable[[str], str]
) -> list[tuple[str, str]]:
    """`host` is what stands in From. `write`: a number into the peer's caller form."""
    did = target.diverted_from
    if did == target.called_e164:
        did = ""  # the same number at another PBX: nothing was diverted (RFC 5806 §2.2)
    listener = _Listener(host, write, is_trunk=target.peer.kind == "trunk")
    wanted = target.peer.headers.forwarded
    hides = bool(parties.privacy & _HIDING)
    diversions, history = parties.diversions, parties.history
    if wanted != "as-received":
        # "presence of both Diversion header and History-Info header means that interworking has already occurred and
        # the Diversion and History-Info entries must be considered equivalent", RFC 6044 §7.4
        if not diversions:
            diversions = diversions_of(history, hides=hides)
        if not history and diversions:
            history = history_of(diversions, parties.called)
    fields: list[tuple[str, str]] = []
    if wanted != "history-info":
        fields += [("Diversion", value) for value in _diversions(diversions, did, target.diverted_why, listener)]
    # Deviation: RFC 7044 §9.2 wants an entry of every hop. We add ours only where we change who is called: an entry for
    # a call that merely passes would say nothing but that there is a border. See test_forwarded.
    if wanted != "diversion" and (history or did):
        if did and target.redirected and history and listener.uri(history[-1].number) == listener.uri(did):
            history = (*history[:-1], replace(history[-1], reason=("SIP", target.redirected)))
        entries = [_told(entry, listener, hides=hides) for entry in history]
        if did:
            entries += _our_entries(history, did, target, listener)
        fields += [("History-Info", entry) for entry in entries]
    return fields


def _diversions(diversions: Iterable[Diversion], did: str, why: str, listener: _Listener) -> list[str]:
    """The latest first, as they are read (RFC 5806 §9.2.3: the top-most is the last redirecting number).

    "Redirection Counter SHOULD be set equal to the sum of the counters of all Diversion headers", §9.2.4: who is not
    named is counted with the earliest that is.
    """
    told: list[tuple[str, Diversion]] = []
    if did:
        told.append((listener.uri(did), Diversion(TelUri(did), why, 1)))
    unnamed = 0
    for diversion in diversions:
        if not listener.may_hear(diversion.number):
            unnamed += diversion.counter or 1
        elif listener.may_hear_diverter(diversion):
            told.append((listener.uri(diversion.number), diversion))
        else:
            told.append((_ANONYMOUS, diversion))
    if told and unnamed:
        uri, earliest = told[-1]
        told[-1] = (uri, replace(earliest, counter=min((earliest.counter or 1) + unnamed, LARGEST_COUNTER)))
    return [diversion.printed(uri) for uri, diversion in told]


def _told(entry: HistoryEntry, listener: _Listener, *, hides: bool) -> str:
    """An entry keeps its place even where its target is not told: the indexes of the others lean on it."""
    is_told = listener.may_hear(entry.number) and not hides and not entry.is_private
    # "the Privacy Service MUST remove the Privacy header field from the "headers" component", RFC 7044 §10.1.2
    open_entry = replace(entry, is_private=False) if entry.is_private else entry
    return open_entry.printed(listener.uri(entry.number) if is_told else _ANONYMOUS)


def _our_entries(history: Sequence[HistoryEntry], did: str, target: Target, listener: _Listener) -> list[str]:
    """The DID, unless it is the last entry already, and the number that its plan or its 3xx sends the call to.

    Who answered 3xx is told with that: "MUST include a Reason header field, containing the SIP Response Code",
    RFC 7044 §10.2.
    """
    entries: list[str] = []
    if not history:
        parent = "1"
    else:
        parent = history[-1].index
        if listener.uri(history[-1].number) != listener.uri(did):
            parent += ".0.1"  # "MUST add a single index with a value of "0"" for what is missing, §10.3 rule 6
    if not history or parent != history[-1].index:
        reason = ("SIP", target.redirected) if target.redirected else None
        entries.append(HistoryEntry(TelUri(did), parent, reason=reason).printed(listener.uri(did)))
    # "the mapping was done by the receiving entity on its own authority, in which case the mp-value is the parent
    # index", §10.4
    forwarded = HistoryEntry(TelUri(target.called), f"{parent}.1", ("mp", parent), cause_of(target.diverted_why))
    return [*entries, forwarded.printed(listener.uri_as_written(target.called))]
