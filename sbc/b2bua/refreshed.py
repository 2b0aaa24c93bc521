"""Whether a description says anything that its side has not heard already (RFC 3264 §8; refreshes of RFC 4028).

What is the same need not cross. Keys count, where the side is secured; the version in o= does not. Pure; used by
`media`, which knows what is under way.
"""

from sbc.b2bua.sides import Agreed, Side
from sbc.sdp.direction import direction_of, undirected
from sbc.sdp.model import Session, same_except_origin
from sbc.sdp.mux import has_mux


def is_repeated(side: Side, session: Session) -> bool:
    """This side's peer says what it said last, o= apart.

    What it said may have been an answer to an offer of ours that is no answer to it: then it is an offer like any.
    """
    said, told = side.now.said, side.now.told
    if said is None:
        return False
    if side.securing is not None:
        session = side.securing.admitted(session, told)
        if not side.securing.is_unchanged(session, told, said):
            return False
    elif not same_except_origin(session, said):
        return False
    return told is not None and _answers(told, session)


def said_anew(side: Side, session: Session) -> Agreed | None:
    """For a description that `is_repeated`: what is agreed by it, where it has another version all the same."""
    now, told = side.now, side.now.told
    if side.securing is not None and told is not None:
        session = side.securing.admitted(session, told)
        told = side.securing.answering(told, session, told, now.said)  # of the keys that it named, those in force
    if now.said is None or (now.said.origin == session.origin and told == now.told):
        return None
    return Agreed(session, told, now.remotes)


def only_turns(side: Side, session: Session) -> bool:
    """This side's peer says what it said last, but for o= and directions."""
    said = side.now.said
    if said is None:
        return False
    if side.securing is None:
        return same_except_origin(undirected(session), undirected(said))
    session = undirected(side.securing.admitted(session, side.now.told))
    return side.securing.is_unchanged(session, side.now.told, undirected(said))


def _answers(told: Session, offer: Session) -> bool:
    """Whether `told` takes no stream and has no direction that this offer does not allow (RFC 3264 §6, §6.1)."""
    if len(told.media) != len(offer.media):
        return False
    for ours, theirs in zip(told.media, offer.media, strict=True):
        if ours.port and (not theirs.port or (has_mux(ours) and not has_mux(theirs))):
            return False
        if ours.port:
            direction = direction_of(told, ours)
            if direction.intersect(direction_of(offer, theirs).reversed()) is not direction:
                return False
    return True
