"""The DTLS associations of one side of a call: who begins, and when a description asks for a new one (RFC 5763, 8842).

An association has a number that no other side's has: another target of a call may get the same port and have the same
certificate, and still it has no keys. Used by `securing`.
"""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from sbc.core.ids import IdSource
from sbc.media import wire
from sbc.sdp.security import DtlsSetup

_NUMBERS: Final = 1 << 48  # from below that the first one is taken


class _Known(Struct, frozen=True):
    """`place` None: it did not say where it is yet, or its `tls_id` says which association it is."""

    dtls: wire.Dtls
    tls_id: str
    place: tuple[str, int] | None


class SavedAssociation(Struct, frozen=True, array_like=True):
    """For the call journal: `stream`, what the worker was told last, and what that is recognised by."""

    stream: int
    dtls: wire.Dtls
    tls_id: str = ""
    place: tuple[str, int] | None = None


class Associations:
    __slots__ = ("_ids", "_known", "_suites")

    def __init__(self, ids: IdSource, suites: tuple[str, ...]) -> None:
        self._ids = ids
        self._suites = suites
        self._known: dict[int, _Known] = {}  # by stream

    def saved(self) -> tuple[SavedAssociation, ...]:
        return tuple([SavedAssociation(i, one.dtls, one.tls_id, one.place) for i, one in self._known.items()])

    def restore(self, saved: Iterable[SavedAssociation]) -> None:
        self._known = {one.stream: _Known(one.dtls, one.tls_id, one.place) for one in saved}

    def renew(self, i: int) -> None:
        """What the handshake of this stream came to is lost: another one is asked for."""
        known = self._known.get(i)
        if known is not None:
            self._known[i] = replace(known, dtls=replace(known.dtls, association=known.dtls.association + 1))

    def agreed(self, i: int, ours: DtlsSetup, theirs: DtlsSetup, remote: wire.Remote | None) -> wire.Dtls:
        """Another certificate, another role, or another place where no `tls-id` says that it is the same association,
        is a new one (RFC 8842 §3.1, RFC 5763 §6.6). One who is nowhere, because he holds, has not moved.
        """
        known = self._known.get(i)
        asked = wire.Dtls(is_active(ours, theirs), theirs.fingerprints, self._suites)
        place = None if theirs.tls_id or remote is None else (remote.host, remote.port)
        if known is None:
            number = self._ids.number(_NUMBERS)
        else:
            number = known.dtls.association
            place = place or (None if theirs.tls_id else known.place)
            has_moved = known.place is not None and place != known.place
            is_same = theirs.tls_id == known.tls_id and replace(known.dtls, association=0) == asked
            if has_moved or not is_same:
                number += 1
        dtls = replace(asked, association=number)
        self._known[i] = _Known(dtls, theirs.tls_id, place)
        return dtls


def is_active(ours: DtlsSetup, theirs: DtlsSetup) -> bool:
    """Whether it is we who begin (RFC 4145 §4.1)."""
    return ours.setup == "active" if ours.setup != "actpass" else theirs.setup in ("passive", "")


def begins(offered: DtlsSetup, now: tuple[DtlsSetup, DtlsSetup] | None) -> bool:
    """Whether our answer says that we do. `now`: what both ends said of the association that goes on; None: none does.

    Then the roles stay: "if the active/passive status of the endpoints changes, a new connection MUST be established"
    (RFC 5763 §6.6). Else we do where we may, so that the handshake begins at once (§5). Where an offer does not say,
    its maker does (RFC 4145 §4.1).
    """
    if offered.setup == "actpass" and now is not None:
        return is_active(*now)
    return offered.setup in ("actpass", "passive")
