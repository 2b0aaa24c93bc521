"""Transfers of a test phone: REFER and its NOTIFYs, both ways (RFC 3515, RFC 5589; Replaces in Refer-To: RFC 3891).

As transferor it sends REFER, hears how the new call gets on, and hangs up when that is answered. As transferee it
places the call that it is asked for, and tells. As target of an attended transfer it gets an INVITE with Replaces,
which is `called`'s business.
"""

import re
from typing import Final
from urllib.parse import quote, unquote

from sbc.sip.message import Fields, Request, Response
from sbc.sip.status import reason_phrase
from sbc.testing.bench import Bench, Key
from sbc.testing.calling import Calling
from sbc.testing.party import Party, Referral, Stage
from sbc.testing.refreshing import number_of

_REFER_TO: Final = re.compile(r"""(?:"[^"]*"\s*)?<?(sips?:[^?>]+|tel:[^?>]+)(?:\?([^>]*))?>?""")
_FRAG_STATUS: Final = re.compile(rb"SIP/2\.0 (\d{3}) ")
_EXPIRES: Final = 300  # longer than any phone rings
_PATIENCE: Final = 5.0


class Referring:
    def __init__(self, bench: Bench, calling: Calling) -> None:
        self._bench = bench
        self._calling = calling
        bench.watchers.append(self._tell)
        bench.timers["final NOTIFY"] = self._miss

    # --- as transferor ------------------------------------------------------------------------------------------------

    def refer(self, party: Party, refer_to: str, now: float, fields: Fields = ()) -> Referral:
        bench = self._bench
        line = bench.line
        referred_by = ("Referred-By", party.local)
        made = (("Refer-To", refer_to), referred_by, *fields)
        bench.send(line.request(party, "REFER", now, fields=made))
        referral = Referral(party.local_seq)
        party.referrals.append(referral)
        return referral

    def received_response(self, party: Party, response: Response, request: Request, now: float) -> None:
        referral = self._referral(party, request.cseq.number)
        if referral is None or response.status < 200:
            return
        if referral.progress and not referral.status and self._bench.script.in_order:
            self._bench.complaints.append(f"NOTIFY {referral.progress[0]} came before the {response.status} to REFER")
        referral.status = response.status
        if response.status >= 300:
            referral.is_over = True
        elif not referral.is_over and not referral.progress and party.stage is not Stage.ENDED:
            self._bench.after(self._bench.timing.give_up + _PATIENCE, "final NOTIFY", party.n, now)

    def received_notify(self, key: Key, request: Request, party: Party | None, now: float) -> bool:
        """A NOTIFY of a refer subscription within this call. False: it is something else."""
        event, _, params = (request.header("Event") or "").partition(";")
        if event.strip().lower() != "refer":
            return False
        bench = self._bench
        found = re.search(r"\bid=(\d+)", params)
        referral = None if party is None else self._referral(party, int(found[1]) if found else None)
        if party is None or referral is None or referral.is_over:
            if party is not None and referral is None:
                bench.complaints.append("NOTIFY of a REFER that we never sent")
            bench.reply(key, 481, now)
            return True
        bench.reply(key, 200, now)
        self._note(party, referral, request, now)
        return True

    def _note(self, party: Party, referral: Referral, request: Request, now: float) -> None:
        bench = self._bench
        status = _FRAG_STATUS.match(request.body)
        if status is None or request.content_type != "message/sipfrag":
            bench.complaints.append(f"NOTIFY (refer): no sipfrag with a status line: {request.body[:60]!r}")
        else:
            referral.progress.append(int(status[1]))
        state = (request.header("Subscription-State") or "").lower()
        if state.startswith("terminated"):
            referral.is_over = True
            bench.after(None, "final NOTIFY", party.n, now)
        elif state.startswith("active") and "expires=" in state:
            expires = number_of(state.partition("expires=")[2]) or 0
            seconds = None if party.stage is Stage.ENDED else max(expires, 1) + _PATIENCE
            bench.after(seconds, "final NOTIFY", party.n, now)
        else:
            bench.complaints.append(f"NOTIFY (refer): Subscription-State is {state!r}")
        is_done = referral.progress[-1:] and 200 <= referral.progress[-1] < 300
        if is_done and bench.script.hangs_up_when_transferred and party.stage is Stage.TALKING:
            bench.hang_up(party, now)

    def _miss(self, n: int, _now: float) -> None:
        party = self._bench.parties[n]
        open_ = [referral for referral in party.referrals if not referral.is_over]
        if open_ and party.stage is not Stage.ENDED and not party.has_missed:
            self._bench.complaints.append(f"no final NOTIFY of a REFER; heard of {open_[-1].progress}")

    def _referral(self, party: Party, cseq: int | None) -> Referral | None:
        """By the CSeq of its REFER (RFC 3515 §2.4.6); without one the first that is open."""
        if cseq is not None:
            return next((referral for referral in party.referrals if referral.cseq == cseq), None)
        open_ = [referral for referral in party.referrals if not referral.is_over]
        found = open_ or party.referrals[-1:]
        return found[0] if found else None

    # --- as transferee ------------------------------------------------------------------------------------------------

    def received_refer(self, key: Key, request: Request, party: Party | None, now: float) -> None:
        bench, script = self._bench, self._bench.script
        if party is None or party.stage is not Stage.TALKING:
            bench.reply(key, 481 if request.to.tag else script.statuses.get("REFER", 403), now)
            return
        refer_to = _REFER_TO.fullmatch((request.header("Refer-To") or "").partition(">")[0] + ">")
        if refer_to is None:
            bench.complaints.append(f"REFER: Refer-To is {request.header('Refer-To')!r}")
            bench.reply(key, 400, now)
            return
        if script.refers is None:
            return
        accepted = 200 <= script.refers < 300
        bench.reply(key, script.refers, now, fields=(bench.line.contact,) if accepted else ())
        if accepted:
            self._place(party, request, refer_to[1], refer_to[2] or "", now)

    def _place(self, party: Party, request: Request, uri: str, headers: str, now: float) -> None:
        """The call that the REFER asks for; the headers in its Refer-To go into the INVITE (RFC 3261 §19.1.5)."""
        bench = self._bench
        cseq = request.cseq.number
        self._notify(party, cseq, 100, now)
        wanted = [header.partition("=")[::2] for header in headers.split("&") if header]
        fields = tuple([(unquote(name), unquote(value)) for name, value in wanted if name.lower() != "method"])
        referred_by = request.header("Referred-By")
        if referred_by is not None:
            fields = (*fields, ("Referred-By", referred_by))
        to = bench.line.outbound
        if to is None:
            raise AssertionError(f"{bench.line.identity.name} does not know where to send a call to {uri}")
        number, _, domain = uri.partition(":")[2].partition("@")
        made = self._calling.invite(number, to, now, fields=fields, domain=domain.partition(";")[0] or None)
        made.referred = (party.n, cseq)

    def _tell(self, made: Party, status: int, now: float) -> None:
        """How the new call gets on."""
        if made.referred is None:
            return
        party = self._bench.parties[made.referred[0]]
        if party.stage is Stage.ENDED and status < 200:
            return
        self._notify(party, made.referred[1], status, now)

    def _notify(self, party: Party, cseq: int, status: int, now: float) -> None:
        script = self._bench.script
        is_wanted = {"all": True, "none": False, "first": status == 100, "final": status in (100, *range(200, 700))}
        if not is_wanted[script.notifies_refer] or not party.local_tag:
            return
        state = f"active;expires={_EXPIRES}" if status < 200 else "terminated;reason=noresource"
        fields: Fields = (
            ("Event", f"refer;id={cseq}"),
            ("Subscription-State", state),
            ("Content-Type", "message/sipfrag;version=2.0"),
        )
        body = f"SIP/2.0 {status} {reason_phrase(status)}\r\n".encode()
        self._bench.ask(party, "NOTIFY", now, fields, body)


def refer_to(number: str, domain: str) -> str:
    """Refer-To of a blind transfer."""
    return f"<sip:{number}@{domain}>"


def refer_to_replacing(other: Party) -> str:
    """Refer-To of an attended one: the far end of `other`, with that dialog to be replaced (RFC 5589 §7.1)."""
    return f"<{other.target}?Replaces={quote(other.replaces, safe='')}>"
