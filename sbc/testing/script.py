"""What a test phone does without being told, and what it says it can do. Change a field, and it does so from now on.

Who uses it: every part of the agent. `phone` has verbs for most of it ("manners").
"""

from typing import Literal

from msgspec import Struct

from sbc.sip.message import Fields

ALLOWED = ("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "INFO", "UPDATE", "PRACK", "REFER", "NOTIFY", "MESSAGE")


class Script(Struct):
    """`None` for a status means: nothing is said until somebody says it."""

    # calls that come
    trying: bool = True  # answers an INVITE with 100 at once
    rings: int | None = None  # then with 180, or 183 and SDP
    refuses: int | None = None
    answers_after: float | None = None
    hangs_up_after: float | None = None  # counted from the answer
    patience: float = 180.0  # rings so long, then says 480
    # within calls
    reinvites: int | None = 200  # how a re-INVITE is answered
    updates: int | None = 200  # how an UPDATE is answered
    refers: int | None = 202  # how a REFER is answered; 202: it is also acted upon
    notifies_refer: Literal["all", "final", "first", "none"] = "all"  # NOTIFYs of the call that a REFER asked for
    hangs_up_when_transferred: bool = True  # BYE after the NOTIFY that says 200
    replaces: bool = True  # takes an INVITE with Replaces at once, and ends the dialog that it names
    retries_glare: bool = True  # 491: again after the time of RFC 3261 §14.1
    repeats_answer: bool = False  # a 200 says once more what a reliable 18x has said
    acks: bool = True  # acknowledges a 2xx
    hears_acks: bool = True
    pracks: bool = True  # acknowledges a reliable provisional response
    offers_in_prack: bool = False
    # what it says of itself
    allow: tuple[str, ...] = ALLOWED
    supports: tuple[str, ...] = ("replaces",)
    requires: tuple[str, ...] = ()  # "100rel": in its INVITEs; and an INVITE without gets 421
    # session timers, RFC 4028, in seconds; only with "timer" among `supports`
    session_expires: int | None = None
    min_se: int = 90
    refresher: Literal["uac", "uas"] | None = None  # whom its INVITEs and answers name, where they may choose
    refreshes: Literal["INVITE", "UPDATE"] | None = "UPDATE"  # with UPDATE only where the other side allows it
    ends_expired: bool = True  # BYE when the other side has not refreshed in time
    # beside calls
    options: int = 200  # how OPTIONS is answered
    options_fields: Fields = ()
    statuses: dict[str, int] = {}  # how other requests are answered, by method: {"MESSAGE": 415}
    subscribes: int = 200  # how a SUBSCRIBE is answered
    # ears
    deaf: bool = False  # hears nothing at all
    ignored: frozenset[str] = frozenset()  # methods that it acts as if it had not heard
    sees_forks: bool = False  # nothing between it and the callees hides that there are several
    in_order: bool = True  # the network keeps the order, so that what is overtaken was sent too late
