"""Subscriptions of a test phone, both ways (RFC 6665): SUBSCRIBE and its NOTIFYs in dialogs of their own.

What they are about is opaque: bodies are what a story says. A notifier ends them when they expire, and says so.
"""

from typing import Final, Literal

from msgspec import Struct

from sbc.core.address import Address
from sbc.sip.message import Fields, Request, Response
from sbc.testing.bench import Bench, Key
from sbc.testing.inspect import complaints_about
from sbc.testing.party import Party
from sbc.testing.refreshing import number_of

_LONGEST: Final = 3600


class Subscription(Struct, eq=False):
    """`party` is its dialog. `status` of the last response to SUBSCRIBE; `heard` the states and bodies of NOTIFYs."""

    n: int
    role: Literal["subscriber", "notifier"]
    event: str
    party: Party
    accept: str = ""
    status: int = 0
    granted: int = 0
    expires_at: float | None = None
    state: str = "pending"  # "active", "terminated"
    reason: str = ""
    heard: list[tuple[str, bytes]] = []
    statuses: list[int] = []  # of our NOTIFYs

    @property
    def is_over(self) -> bool:
        return self.state == "terminated"


class Subscribing:
    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self.all: list[Subscription] = []
        bench.timers |= {"subscription": self._expire, "first NOTIFY": self._miss}

    # --- as subscriber ------------------------------------------------------------------------------------------------

    def subscribe(
        self, event: str, number: str, to: Address, now: float, *, expires: int, accept: str, fields: Fields = ()
    ) -> Subscription:
        party = Party(-1 - len(self.all), is_caller=True)
        self._bench.line.begin(party, number, to, domain=None, caller=None)
        made = Subscription(len(self.all), "subscriber", event, party, accept)
        self.all.append(made)
        self.refresh(made, now, expires=expires, fields=fields)
        return made

    def refresh(self, one: Subscription, now: float, *, expires: int, fields: Fields = ()) -> None:
        """Once more, or with `expires` 0 no more."""
        base: Fields = (("Event", one.event), ("Expires", str(expires)), self._bench.line.allow)
        accept: Fields = (("Accept", one.accept),) if one.accept else ()
        user = ("subscription", one.n)
        line = self._bench.line
        self._bench.send(line.request(one.party, "SUBSCRIBE", now, fields=(*base, *accept, *fields), user=user))
        self._bench.after(self._bench.timing.give_up, "first NOTIFY", one.party.n, now)

    def received_response(self, n: int, response: Response, request: Request, now: float) -> None:
        """To our SUBSCRIBE or our NOTIFY."""
        one, bench = self.all[n], self._bench
        if request.method == "NOTIFY":
            one.statuses.append(response.status)
            if response.status in (481, 489):
                self._end(one, "gone", now)
            return
        if response.status < 200:
            return
        one.status = response.status
        if response.status >= 300:
            bench.after(None, "first NOTIFY", one.party.n, now)
            if request.to.tag is None or response.status == 481:
                self._end(one, "refused", now)
            return
        expires = number_of(response.header("Expires"))
        if expires is None or expires > (number_of(request.header("Expires")) or 0):
            bench.complaints.append(f"{response.status} (SUBSCRIBE): Expires is {response.header('Expires')!r}")
        if not response.headers("Contact"):
            bench.complaints.append(f"{response.status} (SUBSCRIBE): no Contact")
        one.granted = expires or 0
        if one.party.remote_tag is None:
            one.party.take_dialog(response)
            one.party.answered_at = now
        one.party.refresh_target(response.contacts)

    def failed(self, n: int, now: float) -> None:
        self._end(self.all[n], "timeout", now)

    def received_notify(self, key: Key, request: Request, now: float) -> bool:
        """False: it is in no subscription of ours."""
        one = self._of(request)
        if one is None or one.role != "subscriber":
            return False
        bench, party = self._bench, one.party
        if one.party.remote_tag is None:
            party.remote_tag = request.from_.tag  # it came before the 2xx, and makes the dialog: §4.4.1
            party.route_set = tuple([str(route) for route in request.record_routes])
            party.answered_at = now
        bench.complaints += complaints_about(request, party, bench.script)
        party.remote_seq = max(party.remote_seq, request.cseq.number)
        party.refresh_target(request.contacts)
        if request.header("Event") != one.event:
            bench.complaints.append(f"NOTIFY: Event is {request.header('Event')}, not {one.event}")
        bench.reply(key, 200, now)
        bench.after(None, "first NOTIFY", party.n, now)
        text = request.header("Subscription-State") or ""
        state = text.partition(";")[0].strip().lower()
        if state not in ("active", "pending", "terminated"):
            bench.complaints.append(f"NOTIFY: Subscription-State is {text!r}")
        one.heard.append((text, request.body))
        one.state = state
        if state == "terminated":
            self._end(one, text.partition("reason=")[2], now)
        elif "expires=" in text:
            bench.after((number_of(text.partition("expires=")[2]) or 0) + 40.0, "subscription", party.n, now)
        return True

    # --- as notifier --------------------------------------------------------------------------------------------------

    def received_subscribe(self, key: Key, request: Request, now: float) -> None:
        bench, status = self._bench, self._bench.script.subscribes
        one = self._of(request)
        if one is None and request.to.tag is not None:
            bench.reply(key, 481, now)
            return
        if status >= 300:
            bench.reply(key, status, now)
            return
        event = request.header("Event") or ""
        if one is None:
            party = Party(-1 - len(self.all), is_caller=False)
            party.take_invite(request, bench.ids.tag())
            party.answered_at = now
            one = Subscription(len(self.all), "notifier", event, party, request.header("Accept") or "")
            self.all.append(one)
        party = one.party
        bench.complaints += complaints_about(request, party, bench.script)
        party.remote_seq = max(party.remote_seq, request.cseq.number)
        party.refresh_target(request.contacts)
        wanted = number_of(request.header("Expires"))
        one.granted = min(_LONGEST if wanted is None else wanted, _LONGEST)
        record_routes = tuple([("Record-Route", value) for value in request.headers("Record-Route")])
        fields = (*record_routes, bench.line.contact, ("Expires", str(one.granted)))
        bench.reply(key, status, now, fields=fields, tag=party.local_tag)
        one.expires_at = now + one.granted
        bench.after(one.granted, "subscription", party.n, now)
        if one.granted:
            self.notify(one, now)
        else:
            self.notify(one, now, state="terminated;reason=timeout")

    def notify(
        self, one: Subscription, now: float, *, body: bytes = b"", content_type: str = "", state: str = "active"
    ) -> None:
        """With the time that is left; a `state` of terminated ends it."""
        bench = self._bench
        left = max(0, round((one.expires_at or now) - now))
        text = state if state.startswith("terminated") else f"{state};expires={left}"
        typed: Fields = (("Content-Type", content_type),) if body else ()
        fields: Fields = (("Event", one.event), ("Subscription-State", text), *typed)
        user = ("subscription", one.n)
        bench.send(bench.line.request(one.party, "NOTIFY", now, fields=fields, body=body, user=user))
        one.state = state.partition(";")[0]
        if one.is_over:
            self._end(one, state.partition("reason=")[2], now)

    def crash(self) -> None:
        """As after a power cut."""
        for one in self.all:
            one.party.local_tag = ""
            self._end(one, "crash", 0.0)

    # --- both ---------------------------------------------------------------------------------------------------------

    def _of(self, request: Request) -> Subscription | None:
        """A subscription that has ended still hears its last messages out."""
        for one in reversed(self.all):
            party = one.party
            if party.local_tag and (party.call_id, party.local_tag) == (request.call_id, request.to.tag):
                return one
        return None

    def _expire(self, n: int, now: float) -> None:
        one = self.all[-1 - n]
        if one.role == "notifier" and not one.is_over:
            self.notify(one, now, state="terminated;reason=timeout")
        elif not one.is_over:
            self._bench.complaints.append(f"SUBSCRIBE {one.event}: it has expired and nobody said so")
            self._end(one, "expired", now)

    def _miss(self, n: int, now: float) -> None:
        one = self.all[-1 - n]
        if 200 <= one.status < 300 and not one.is_over:
            self._bench.complaints.append(f"SUBSCRIBE {one.event}: no NOTIFY in {self._bench.timing.give_up:.0f} s")
            self._end(one, "no NOTIFY", now)

    def _end(self, one: Subscription, reason: str, now: float) -> None:
        one.state, one.reason = "terminated", reason
        self._bench.after(None, "subscription", one.party.n, now)
        self._bench.after(None, "first NOTIFY", one.party.n, now)
