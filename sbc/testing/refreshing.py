"""The session timer of a test phone, both ways (RFC 4028): asks for one, agrees to one, refreshes, or ends the call.

It speaks of timers only where "timer" is among what its script supports. Who sends the refresh itself says `refresh`.
"""

from collections.abc import Callable

from sbc.sip.message import Fields, Request, Response
from sbc.testing.bench import Bench
from sbc.testing.party import Party, Stage


class Refreshing:
    """`refresh`: sends a re-INVITE or an UPDATE that changes nothing; set by whoever can."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self.refresh: Callable[[Party, float], None] = lambda _party, _now: None
        bench.timers |= {"refresh": self._refresh, "session": self._expire}

    # --- our INVITE or UPDATE -----------------------------------------------------------------------------------------

    def request_fields(self, party: Party) -> Fields:
        """ "The Session-Expires header field SHOULD be present" in every refresh, and keeps who refreshes (§7.4)."""
        script = self._bench.script
        wanted = party.interval or script.session_expires
        if "timer" not in script.supports or wanted is None:
            return ()
        least = max(script.min_se, party.min_se)
        who: str | None = script.refresher
        if party.interval is not None:
            who = "uac" if party.refreshes else "uas"
        expires = f"{max(wanted, least)}" + (f";refresher={who}" if who else "")
        return (("Session-Expires", expires), *((("Min-SE", str(least)),) if least > 90 else ()))

    def is_too_small(self, party: Party, response: Response) -> bool:
        """A 422: what it demands is taken over. False where it demands nothing that we did not offer."""
        least = number_of(response.header("Min-SE"))
        if response.status != 422 or least is None or least <= party.min_se:
            return False
        party.min_se = least
        return True

    def agreed(self, party: Party, request: Request, response: Response, now: float) -> None:
        """The 2xx of our INVITE or UPDATE (§7.2)."""
        bench, text = self._bench, response.header("Session-Expires")
        if text is None:
            if party.interval is not None and request.header("Session-Expires") is not None:
                bench.complaints.append(f"{response.status} ({request.method}): no Session-Expires, so the timer ends")
            self._stop(party, now)
            return
        interval, who = number_of(text), refresher_of(text)
        bench.complaints += [
            f"{response.status} ({request.method}): {text}: {problem}" for problem in self._problems(request, response)
        ]
        if interval is not None and "timer" in bench.script.supports:
            party.refreshes = who == "uac"
            self._start(party, interval, now)

    def _problems(self, request: Request, response: Response) -> list[str]:
        text = response.header("Session-Expires") or ""
        interval, who = number_of(text), refresher_of(text)
        if interval is None:
            return ["unreadable"]
        found = []
        asked = number_of(request.header("Session-Expires"))
        if asked is not None and interval > asked:
            found.append(f"more than we asked for, {asked}")
        if interval < (number_of(request.header("Min-SE")) or 90):
            found.append("less than our Min-SE")
        if who not in ("uac", "uas"):
            found.append("no refresher")
        named = refresher_of(request.header("Session-Expires") or "")
        if named is not None and who != named:
            found.append(f"we named {named}")
        if who == "uac" and "timer" not in request.supported:
            found.append("makes us refresh, and we said nothing of timers")
        if who == "uac" and "timer" not in response.require:
            found.append("refresher=uac without Require: timer")
        return found

    # --- their INVITE or UPDATE ---------------------------------------------------------------------------------------

    def refusal_of(self, request: Request) -> Fields | None:
        """Fields of a 422, or None: it may pass (§9)."""
        script = self._bench.script
        asked = number_of(request.header("Session-Expires"))
        if asked is None or not {"timer"} <= {*script.supports} & {*request.supported} or asked >= script.min_se:
            return None
        return (("Min-SE", str(script.min_se)),)

    def judge(self, party: Party, request: Request) -> None:
        """A refresh within a session that has a timer says so once more (§7.4)."""
        is_early = party.invite_key is not None  # it may not have heard yet that there is a timer
        if party.interval is None or is_early or not self._bench.script.in_order:
            return
        text = request.header("Session-Expires")
        if text is None:
            self._bench.complaints.append(f"{request.method}: no Session-Expires, though a session timer runs")
        elif (number_of(text) or 0) < 90:
            self._bench.complaints.append(f"{request.method}: Session-Expires {text}")

    def response_fields(self, party: Party, request: Request, now: float) -> Fields:
        """For our 2xx (§9, table 2); the timer starts with it."""
        script = self._bench.script
        knows = "timer" in request.supported
        text = request.header("Session-Expires")
        wanted = number_of(text) or (script.session_expires if not party.interval else None)
        if "timer" not in script.supports or wanted is None or (text is None and not knows and not script.refreshes):
            self._stop(party, now)
            return ()
        least = max(script.min_se, number_of(request.header("Min-SE")) or 90)
        interval = max(min(wanted, script.session_expires or wanted), least)
        who = refresher_of(text or "") or (script.refresher or "uac" if knows else "uas")
        party.refreshes = who == "uas"
        self._start(party, interval, now)
        require: Fields = (("Require", "timer"),) if who == "uac" else ()
        return (("Session-Expires", f"{interval};refresher={who}"), *require)

    # --- time ---------------------------------------------------------------------------------------------------------

    def _start(self, party: Party, interval: int, now: float) -> None:
        if party.stage is Stage.ENDED:
            return  # a 2xx that was late
        party.interval = interval
        bench = self._bench
        bench.after(interval / 2 if party.refreshes else None, "refresh", party.n, now)
        # "slightly before the session expiration … the minimum of 32 seconds and one third", §10
        bench.after(interval - min(32.0, interval / 3), "session", party.n, now)

    def _stop(self, party: Party, now: float) -> None:
        party.interval = None
        self._bench.after(None, "refresh", party.n, now)
        self._bench.after(None, "session", party.n, now)

    def _refresh(self, n: int, now: float) -> None:
        party = self._bench.parties[n]
        if party.stage is Stage.TALKING and party.interval is not None and self._bench.script.refreshes is not None:
            self.refresh(party, now)

    def _expire(self, n: int, now: float) -> None:
        party = self._bench.parties[n]
        if party.stage is Stage.TALKING:
            party.heard.append("session expired")
            if self._bench.script.ends_expired:
                self._bench.hang_up(party, now, (("Reason", 'SIP;cause=408;text="Session expired"'),))


def number_of(text: str | None) -> int | None:
    """The number that a header such as Session-Expires or Min-SE begins with."""
    digits = (text or "").partition(";")[0].strip()
    return int(digits) if digits.isascii() and digits.isdigit() else None


def refresher_of(text: str) -> str | None:
    for part in text.split(";")[1:]:
        name, _, value = part.partition("=")
        if name.strip().lower() == "refresher":
            return value.strip().lower()
    return None
