"""Session-ID across a call (RFC 7989 §7, §8): the identifiers of both ends, as messages of each dialog must show them.

A session has one pair of identifiers on all its hops; they are random and name nobody, so that they cross a border. An
end that has none while its partner has one gets one from us (§7: "MAY assign"). Peers of the old kind (RFC 7329, §11)
hear one identifier, or the pair as they echoed it. Where nobody uses Session-ID there is none.

One per call, by leg numbers. It reads and makes field values; who is whose partner, and what is refused, the call says.
"""

from typing import Final

from msgspec import Struct

from sbc.core.ids import IdSource
from sbc.sip.headers.session_id import NIL, SessionId, parse_session_id
from sbc.sip.message import Fields, Request, Response

_NAME: Final = "Session-ID"


class _End(Struct):
    """`uuid` "": not known. `offered`: of its request that is not answered yet (§8). `sent`: what it was last told.

    `fixed`: what an old kind of peer is always told (§11).
    """

    uuid: str = ""
    offered: str = ""
    sent: SessionId | None = None
    fixed: str = ""


class SavedSessionIds(Struct, frozen=True, omit_defaults=True):
    """For the call journal. `ends`: leg, uuid, offered, sent, fixed, as `_End` has them."""

    ends: tuple[tuple[int, str, str, SessionId | None, str], ...] = ()
    heard: tuple[int, ...] = ()


class SessionIds:
    __slots__ = ("_ends", "_heard", "_ids")

    def __init__(self, ids: IdSource) -> None:
        self._ids = ids
        self._ends: dict[int, _End] = {}
        self._heard: set[int] = set()

    def take(self, leg: int, message: Request | Response) -> None:
        """Any message of the leg's peer, but an ACK of a failure."""
        value = message.header(_NAME)
        self._heard.add(leg)
        if value is None:
            return  # "must have no effect on what the intermediary believes", §7
        said = parse_session_id(value)
        if said is None:
            return
        if type(message) is Response:
            self._take_response(leg, said)
        elif message.method != "CANCEL":  # type: ignore[union-attr]
            self._take_request(leg, said)

    def fields_for(self, leg: int, other: int, status: int = 0) -> Fields:
        """For a message of ours to `leg`, whose partner is `other`. `status`: of a response; 0: a request.

        A CANCEL repeats what its INVITE had (§7), and does not ask here.
        """
        ends = self._ends
        if not ends or (leg not in ends and other not in ends):
            return ()
        end = ends.setdefault(leg, _End())
        remote = (end.offered if status else "") or end.uuid or self._made(leg)
        if status >= 200 and end.offered:
            # "If the endpoint or intermediary sends a failure … response, it MUST NOT accept the new UUID value", §8
            end.uuid = end.offered if status < 400 else end.uuid
            end.offered = ""
        if end.fixed:
            return ((_NAME, end.fixed),)
        partner = ends.get(other)
        local = (partner.uuid if partner is not None else "") or self._made(other)
        end.sent = SessionId(local, remote)
        return ((_NAME, str(end.sent)),)

    def saved(self) -> SavedSessionIds:
        ends = [(leg, end.uuid, end.offered, end.sent, end.fixed) for leg, end in self._ends.items()]
        return SavedSessionIds(tuple(ends), tuple(sorted(self._heard)))

    def restore(self, saved: SavedSessionIds) -> None:
        self._heard = set(saved.heard)
        self._ends = {leg: _End(uuid, offered, sent, fixed) for leg, uuid, offered, sent, fixed in saved.ends}

    def move(self, leg: int, other: "SessionIds", was: int) -> None:
        """A leg of another call, there number `was`, is a leg of this one now."""
        if was in other._heard:
            self._heard.add(leg)
        end = other._ends.pop(was, None)
        if end is not None:
            self._ends[leg] = end

    def _take_request(self, leg: int, said: SessionId) -> None:
        end = self._ends.setdefault(leg, _End())
        if said.remote is None and said.local != NIL and not end.fixed and end.sent is None:
            # "If a SIP request has no "remote-uuid" value, this comes from a pre-standard implementation … In this
            # case, one UUID is used to identify this dialog", §11
            end.fixed = said.local
        if said.local == NIL or (end.fixed and end.uuid):
            return
        if end.uuid:
            end.offered = said.local if said.local != end.uuid else ""
        else:
            end.uuid = said.local

    def _take_response(self, leg: int, said: SessionId) -> None:
        end = self._ends.setdefault(leg, _End())
        sent = end.sent
        if sent is not None and said.local == sent.local and said.local != NIL:
            if said.remote is None:
                end.fixed = said.local  # "all future transactions within this dialog MUST contain only the UUID", §11
            elif said.remote == sent.remote:
                end.fixed = str(said)  # "MUST preserve the order of the two UUIDs", §11
            return
        if said.local != NIL and not end.fixed:
            end.uuid = said.local  # "MUST accept the new UUID as the peer's UUID", §8
            end.offered = ""

    def _made(self, leg: int) -> str:
        """For an end that has spoken and has none: one of ours; for one that has not spoken: nil."""
        if leg not in self._heard:
            return NIL
        end = self._ends.setdefault(leg, _End())
        if not end.uuid:
            digits = self._ids.call_id()
            end.uuid = f"{digits[:12]}4{digits[13:16]}8{digits[17:]}"  # RFC 4122, version 4
        return end.uuid
