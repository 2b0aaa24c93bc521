"""Which early dialog the caller hears of when several callees describe themselves (RFC 3261 §12.1, RFC 6337 §2.1).

Within one dialog all answers to one offer must be the same. A fork whose answer differs from what the caller has been
told gets an early dialog of its own with the caller, under another To tag of ours. What each fork has agreed to stays
as it is, whichever of them the media follows meanwhile. Used by `progress` and `setup`.
"""

from typing import TYPE_CHECKING

from sbc.b2bua.media import CallMedia, Offer
from sbc.core.limits import EARLY_DIALOGS_PER_LEG
from sbc.sdp.model import Session

if TYPE_CHECKING:
    from sbc.b2bua.call import Call


class Forks:
    """`_said`: by the callee's tag, the tag that we use towards the caller and what was described there."""

    def __init__(self, call: "Call") -> None:
        self._call = call
        self._said: dict[str, tuple[str, bytes]] = {}

    def forget(self) -> None:
        """Another target is tried: its tags are its own. What the caller was told by the one before, he was told."""
        if self._said:
            self._said = {"": next(reversed(self._said.values()))}

    def turn_to(self, tag: str, description: bytes, *, final: bool = False) -> bool:
        """The caller is to be told this of the fork `tag`. False: he must not be, now.

        `final`: it is the 2xx's, and goes out in any case.
        """
        ingress = self._call.ingress
        if ingress.dialog is None:
            return True
        current = ingress.dialog.local_tag
        said = self._said.get(tag)
        if said is not None:
            return self._turn(tag, said[0], description, final=final)
        others = [one for one in self._said.values() if one[0] == current]
        if not description or all(one[1] == description for one in others):
            self._note(tag, current, description)  # the first that describes anything, or the same as the others
            return True
        if len(self._said) >= EARLY_DIALOGS_PER_LEG:
            return final
        return self._turn(tag, self._call.register(0), description, final=final)

    def _turn(self, tag: str, ours: str, description: bytes, *, final: bool) -> bool:
        ingress = self._call.ingress
        if ingress.dialog is not None and ingress.dialog.local_tag != ours and not ingress.fork(ours, final=final):
            return final
        self._note(tag, ours, description)
        return True

    def _note(self, tag: str, ours: str, description: bytes) -> None:
        self._said[tag] = (ours, description)


class EarlySessions:
    """What was offered and answered for good before the 2xx, by the callee's tag. As many as leg takes early dialogs.

    `followed`: whose session the media has now.
    """

    __slots__ = ("_agreed", "_media", "followed")

    def __init__(self, media: CallMedia) -> None:
        self._media = media
        self._agreed: dict[str, tuple[Offer, Session]] = {}
        self.followed: str | None = None

    def __contains__(self, tag: str) -> bool:
        return tag in self._agreed

    def forget(self) -> None:
        """Another target is tried."""
        self._agreed, self.followed = {}, None

    def agree(self, tag: str, offer: Offer, answer: Session) -> bytes:
        """This answer is final there: as the offerer is told it, and the media follows. SdpError if it does not fit."""
        passed = self._media.pass_answer(answer, offer)
        self._media.settle()
        self._agreed[tag] = (offer, answer)
        self.followed = tag
        return passed

    def note(self, tag: str, offer: Offer, answer: Session) -> None:
        """It is final there, but the media has to follow another one now."""
        self._agreed[tag] = (offer, answer)

    def turn_back(self, tag: str) -> None:
        """This one it is, whatever others have said since."""
        if self.followed != tag:
            self.agree(tag, *self._agreed[tag])
