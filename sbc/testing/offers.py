"""Offer and answer in one dialog of a test phone, with its judgement of what comes (RFC 3264, RFC 6337 §2).

One offer at a time, whoever made it; who answers where (2xx, ACK, PRACK, UPDATE) is the business of the parts that send
and receive those. What is wrong is returned as sentences.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sbc.sdp import SdpError, Session, parse_sdp, same_except_origin
from sbc.sdp.secured import unsecured
from sbc.testing.inspect_sdp import (
    complaints_about_answer,
    complaints_about_meanings,
    complaints_about_offer,
    complaints_about_sdp,
)
from sbc.testing.party import Party, Wish
from sbc.testing.secure_sdp import complaints_about_keys
from sbc.testing.voice import Voice

Take = Callable[[Party, bytes], list[str]]

# --- ours -------------------------------------------------------------------------------------------------------------


def wishes(party: Party, wish: Wish) -> None:
    """What the next offer says; if it is refused, what was agreed before counts again."""
    talk = party.talk
    if talk.before is None:
        talk.before = (talk.wish, talk.local)
    talk.wish = wish


def offer(voice: Voice, party: Party) -> bytes:
    """A new offer, which is open from now on."""
    talk = party.talk
    wishes(party, talk.wish)
    body = voice.print(party, voice.offer(party))
    talk.our_offer = talk.local
    return body


def preview(voice: Voice, party: Party) -> bytes:
    """What the answer to their open offer will be; it stays open. Without one: what our offer will be."""
    talk = party.talk
    if talk.their_offer is None:
        return voice.print(party, voice.offer(party)) if not talk.exchanged else b""
    return voice.print(party, voice.answer(party, talk.their_offer))


def answer(voice: Voice, party: Party) -> bytes:
    """To their open offer. SdpError where it cannot be taken; it stays open then, until `refuse`."""
    talk = party.talk
    if talk.their_offer is None:
        raise AssertionError("there is no offer to answer")
    body = voice.print(party, voice.answer(party, talk.their_offer))
    talk.their_offer = None
    talk.exchanged = True
    return body


def refuse(party: Party) -> None:
    """We do not take their offer: "the session parameters MUST remain unchanged", RFC 3261 §14.1."""
    talk = party.talk
    if talk.their_offer is not None:
        talk.their_offer = None
        talk.remote = talk.remote_before
        talk.may_skip = True


def refused(party: Party) -> None:
    """They did not take ours: what was agreed before counts again."""
    talk = party.talk
    if talk.before is not None:
        talk.wish, talk.local = talk.before
    talk.our_offer = talk.before = None


@contextmanager
def beside_invite(party: Party) -> Iterator[None]:
    """An exchange by UPDATE: it is not that of the INVITE that may be under way."""
    was = party.talk.exchanged
    try:
        yield
    finally:
        party.talk.exchanged = was


# --- theirs -----------------------------------------------------------------------------------------------------------


def take_offer(party: Party, body: bytes) -> list[str]:
    """Their offer is open from now on. Raises SdpError where it cannot be read."""
    talk = party.talk
    found = ["an offer while one of theirs is open"] if talk.their_offer is not None else []
    if talk.our_offer is not None:
        found.append("an offer while one of ours is open")
    talk.remote_before = talk.remote
    session, complaints = _read(party, body)
    found += complaints + complaints_about_offer(talk.remote_before, session)
    talk.their_offer = session
    return found


def take_answer(party: Party, body: bytes) -> list[str]:
    """Raises SdpError where it cannot be read."""
    talk = party.talk
    asked = talk.our_offer
    if asked is None:
        return [*_read(party, body)[1], "an answer without an offer"]
    session, found = _read(party, body)
    talk.our_offer = talk.before = None
    talk.exchanged = True
    return found + complaints_about_answer(asked, session) + complaints_about_keys(asked, session)


def take_preview(party: Party, body: bytes) -> list[str]:
    """A description in an unreliable provisional: it tells what the answer will be, and closes nothing."""
    session, found = _read(party, body)
    asked = party.talk.our_offer
    return found if asked is None else found + complaints_about_answer(asked, session)


def take_repetition(party: Party, body: bytes) -> list[str]:
    """A description where the exchange is over: it may only say the same once more (RFC 3261 §13.2.1)."""
    session = unsecured(parse_sdp(body))
    known = party.talk.remote
    if known is not None and same_except_origin(known, session) and known.origin == session.origin:
        return []
    return ["a description where neither an offer nor an answer can be"]


def judged(take: Take, party: Party, body: bytes) -> tuple[bool, list[str]]:
    """Whether it could be read, and the complaints."""
    try:
        return True, take(party, body)
    except SdpError as error:
        return False, [f"unreadable SDP: {error}: {body!r}"]


def _read(party: Party, body: bytes) -> tuple[Session, list[str]]:
    talk = party.talk
    session = unsecured(parse_sdp(body))
    found = complaints_about_sdp(talk.remote_sent, session, may_skip=talk.may_skip)
    found += complaints_about_meanings(talk.meanings, session)
    talk.remote = talk.remote_sent = session
    talk.may_skip = talk.lossy
    return session, found
