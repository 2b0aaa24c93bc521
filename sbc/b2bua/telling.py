"""Who asked for a transfer, and what he is told, on his own leg: a REFER is accepted here, and NOTIFYs go out.

RFC 3515 §2.4, RFC 4488. What is said when, `referral` knows. It belongs to `transfer`.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from msgspec import Struct

from sbc.b2bua.referral import Notification, Referral, SavedReferral, restored_referral
from sbc.b2bua.referring import Wish
from sbc.b2bua.reports import LegAsked, LegReplied
from sbc.sip.headers.event import Event
from sbc.sip.transaction.key import ServerKey

if TYPE_CHECKING:
    from sbc.b2bua.call import Call, Out
    from sbc.b2bua.leg import Leg


class Notified(Struct, frozen=True):
    """Token of a NOTIFY of ours, the `n`th of the subscription `serial`."""

    serial: int
    n: int


class SavedTelling(Struct, frozen=True, array_like=True):
    """`crossed`: whom a REFER has crossed to, by leg, and until when he may say how it goes."""

    leg: int
    referred: tuple[str, ...] = ()
    referral: SavedReferral | None = None
    crossed: tuple[int, float] | None = None


class Telling:
    """`leg`: whom the last REFER came from."""

    __slots__ = ("_call", "_referral", "_referred", "_serial", "leg")

    def __init__(self, call: "Call") -> None:
        self.leg = 0
        self._call = call
        self._referral: Referral | None = None
        self._referred: tuple[str, ...] = ()  # our tags of dialogs in which REFERs came
        self._serial = 0

    def saved(self, crossed: tuple[int, float] | None) -> SavedTelling:
        referral = None if self._referral is None or self._referral.is_over else self._referral.saved()
        return SavedTelling(self.leg, self._referred, referral, crossed)

    def restore(self, saved: SavedTelling, now: float) -> None:
        """In another life."""
        self.leg, self._referred = saved.leg, saved.referred
        self._referral = None if saved.referral is None else restored_referral(saved.referral, now)

    def remind(self, now: float) -> "list[Out]":
        """In another life: how it gets on, or has ended, once more."""
        return [] if self._referral is None else self._send(self._referral.remind(now))

    @property
    def is_over(self) -> bool:
        """Nothing is left to be told, or nobody to be told it."""
        return self._referral is None or self._referral.is_over

    def accept(self, key: ServerKey, leg: "Leg", wish: Wish, now: float) -> "list[Out]":
        """Nobody is told anything before this."""
        self._serial += 1
        self.leg = leg.n
        if wish.is_quiet:
            self._referral = None
            return [*leg.reply(key, 200, (("Refer-Sub", "false"),), contact=True)]
        dialog = leg.dialog
        tag = "" if dialog is None else dialog.local_tag
        self._referral = Referral(wish.cseq, now, is_first=tag not in self._referred)
        if tag not in self._referred:
            self._referred += (tag,)
        return [*leg.reply(key, 202, contact=True)]

    def report(self, status: int, now: float) -> "list[Out]":
        """How it gets on."""
        return [] if self._referral is None else self._send(self._referral.report(status, now))

    def finish(self, status: int, now: float) -> "list[Out]":
        """How it has ended."""
        return [] if self._referral is None else self._send(self._referral.finish(status, now))

    def hurry(self, now: float) -> "list[Out]":
        """The last word before the BYE, even where the word before it has no answer yet."""
        return [] if self._referral is None else self._send(self._referral.hurry(now))

    def close(self, leg: int) -> None:
        """That leg is over; it may be his."""
        if self._referral is not None and leg == self.leg:
            self._referral.close()

    def subscribed(self, report: LegAsked, event: Event, now: float) -> "list[Out]":
        leg, referral = self._call.legs[report.leg], self._referral
        if referral is None or report.leg != self.leg or not referral.is_meant(event):
            # "for a subscription that does not already exist, it MUST be rejected with a 403", RFC 3515 §2.4.4
            return [*leg.reply(report.key, 403)]
        answer, notifications = referral.take_subscribe(report.request, now)
        replied = leg.reply(report.key, answer.status, answer.fields, contact=answer.status < 300)
        return [*replied, *self._send(notifications)]

    def replied(self, token: Notified, report: LegReplied, now: float) -> "list[Out]":
        if self._referral is None or token.serial != self._serial:
            return []
        return self._send(self._referral.answered(token.n, report.response, now))

    def tick(self, now: float) -> "list[Out]":
        return [] if self._referral is None else self._send(self._referral.tick(now))

    def next_deadline(self) -> float | None:
        return None if self._referral is None else self._referral.next_deadline()

    def _send(self, notifications: Iterable[Notification]) -> "list[Out]":
        """Ask his leg to send them; where that is over, nobody is left to be told."""
        outs: list[Out] = []
        for notification in notifications:
            token = Notified(self._serial, notification.n)
            orders = self._call.legs[self.leg].ask("NOTIFY", token, notification.fields, notification.body)
            if not orders:
                self.close(self.leg)
            outs += orders
        return outs
