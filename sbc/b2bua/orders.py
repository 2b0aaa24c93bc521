"""What one call orders the switch to do about another call, and what a child call tells its parent.

A child is a call that a transfer places: it has a record, a hunt and limits of its own, and no caller of its own. None
of this leaves the engine.
"""

from msgspec import Struct

from sbc.b2bua.identity import Parties
from sbc.policy.model import Peer
from sbc.sdp.model import Session


class PlaceChild(Struct, frozen=True, eq=False):
    """Place a call on behalf of `peer`, as if it had dialled: its routes, screening and limits decide (toll fraud).

    `child`: the ref that the call shall have. `call_id`: of the dialog that asked for it, for the record. `offer`: what
    the party that waits for the target has described; None: the target is asked for an offer. `referred_by`: the number
    to say in Referred-By, "" for none. `replaces`: the value of a Replaces, "" for none; it names a dialog of
    `only_to`, and goes to no other peer. Answered by `ChildAnswered` or `ChildFailed`, always.
    """

    child: str
    parent: str
    peer: Peer
    parties: Parties
    call_id: str
    offer: Session | None
    referred_by: str = ""
    replaces: str = ""
    only_to: str = ""


class HangUpChild(Struct, frozen=True):
    """Nobody waits for that call any more: cancel it, or hang it up."""

    child: str


class JoinCalls(Struct, frozen=True):
    """Make two calls one: leg `kept` of `survivor` talks with leg `other_kept` of `other` from now on."""

    survivor: str
    kept: int
    other: str
    other_kept: int


class ChildProgressed(Struct, frozen=True):
    """A provisional response beyond 100."""

    parent: str
    child: str
    status: int


class ChildAnswered(Struct, frozen=True):
    """Leg `leg` of the child has answered and is acknowledged; the child is talking, with nobody."""

    parent: str
    child: str
    leg: int


class ChildFailed(Struct, frozen=True):
    """The child has ended without an answer, or could not be placed. `status`: what its caller would have got."""

    parent: str
    child: str
    status: int


CallOrder = PlaceChild | HangUpChild | JoinCalls | ChildProgressed | ChildAnswered | ChildFailed
