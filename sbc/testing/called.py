"""A test phone as callee: INVITEs that come, with their CANCEL, ACK and BYE (RFC 3261 §13.3, §14.2, §15).

What it does by itself stands in its script. A first INVITE may name a dialog that it replaces (RFC 3891 §3).
"""

import re

from sbc.sdp import SdpError
from sbc.sip.message import Fields, Request
from sbc.sip.multipart import description_of
from sbc.testing import offers
from sbc.testing.bench import Bench, Key
from sbc.testing.inspect import complaints_about
from sbc.testing.party import Party, Stage
from sbc.testing.refreshing import Refreshing
from sbc.testing.reliably import Reliably


class Called:
    def __init__(self, bench: Bench, reliably: Reliably, refreshing: Refreshing) -> None:
        self._bench = bench
        self._reliably = reliably
        self._refreshing = refreshing
        bench.timers |= {
            "resend": self._resend,
            "no ack": self._give_up_on_ack,
            "tired": self._refuse_if_waiting,
            "answer": self._answer_if_waiting,
            "unanswered": self._miss_answer,
        }

    # --- what it is told to do ----------------------------------------------------------------------------------------

    def ring(self, party: Party, now: float, status: int, *, sdp: bool, reliable: bool = False) -> None:
        """With `sdp` early media. `reliable`: an answer, or where the INVITE had no offer an offer, that counts.

        488 where nothing of the offer can be taken.
        """
        try:
            body, has_offer = self._early_word(party, reliable=reliable) if sdp else (b"", False)
        except SdpError:
            self.refuse(party, 488, now)
            return
        if reliable:
            self._reliably.ring(party, status, body, now, has_offer=has_offer)
        else:
            self._bench.respond(party, status, now, body)
        party.stage = Stage.RINGING

    def accept(self, party: Party, now: float, fields: Fields = ()) -> None:
        """200: with an answer, or with an offer where the INVITE had none; 488 where no answer is possible."""
        bench, script = self._bench, self._bench.script
        try:
            body = self._last_word(party)
        except SdpError:
            self.refuse(party, 488, now)
            return
        if party.invite is not None and party.invite_key is not None:
            fields = (*fields, *self._refreshing.response_fields(party, party.invite, now))
        self._reliably.stop(party, now)
        party.owes_answer = bool(body) and party.talk.our_offer is not None and not party.talk.exchanged
        bench.respond(party, 200, now, body, fields)
        if party.answered_at is None:
            party.answered_at = now
        party.stage = Stage.TALKING
        party.last_key = party.invite_key
        bench.after(None, "tired", party.n, now)
        party.resend_after = bench.timing.t1
        bench.after(party.resend_after, "resend", party.n, now)
        bench.after(bench.timing.give_up, "no ack", party.n, now)
        if script.hangs_up_after is not None:
            bench.after(script.hangs_up_after, "hang up", party.n, now)

    def refuse(self, party: Party, status: int, now: float, fields: Fields = ()) -> None:
        offers.refuse(party)
        self._reliably.stop(party, now)
        self._bench.respond(party, status, now, b"", fields)
        if party.answered_at is None:
            self._bench.end(party, status)
        party.invite_key = None

    def fork(self, party: Party) -> Party:
        """Another callee that the same INVITE has reached, as if a proxy had forked it: a dialog of its own."""
        invite = party.invite
        if invite is None or party.invite_key is None:
            raise AssertionError("there is no INVITE to answer")
        twin = self._bench.new_party(is_caller=False)
        self._begin(twin, invite, party.invite_key)
        twin.heard.append("INVITE")
        return twin

    # --- what comes ---------------------------------------------------------------------------------------------------

    def received_invite(self, key: Key, request: Request, party: Party | None, now: float) -> None:
        bench = self._bench
        if (party is None and request.to.tag is not None) or (party is not None and party.stage is Stage.ENDED):
            bench.reply(key, 481, now)
            return
        refusal = self._refusal(request, party)
        if refusal is not None:
            if party is not None:
                party.talk.may_skip = True  # nobody has looked at its offer
            bench.reply(key, refusal[0], now, fields=refusal[1], tag="" if party is None else party.local_tag)
            return
        is_new = party is None
        if party is None:
            party = bench.new_party(is_caller=False)
            self._begin(party, request, key)
            party.heard.append("INVITE")
            bench.complaints += complaints_about(request, party, bench.script)
        else:
            self._refreshing.judge(party, request)
            party.invite, party.invite_key, party.has_final = request, key, False
            party.talk.exchanged = False
        party.refresh_target(request.contacts)
        if request.allow:
            party.allowed = request.allow
        bench.layer.adopt(key, ("invite", party.n, "taken"))
        body = description_of(request)
        if body:
            can_read = bench.judge(offers.take_offer, party, body)
            if not can_read:
                self.refuse(party, 400, now)
                return
        if not is_new:
            self._received_reinvite(party, now)
        elif not self._replaces(party, request, now):
            bench.after(bench.script.patience, "tired", party.n, now)
            self._play_script(party, now)

    def received_ack(self, request: Request, party: Party, now: float) -> None:
        """Of a 2xx."""
        bench = self._bench
        bench.after(None, "resend", party.n, now)
        bench.after(None, "no ack", party.n, now)
        if party.invite_key is None:
            return
        party.invite_key = None
        body = description_of(request)
        if party.owes_answer:
            party.owes_answer = False
            if not body:
                offers.refused(party)
                bench.after(bench.timing.give_up, "unanswered", party.n, now)
                return
            can_read = bench.judge(offers.take_answer, party, body)
            if not can_read:
                bench.hang_up(party, now)
        elif body:
            bench.complaints.append("ACK with a description, but the 2xx had no offer")

    def received_cancel(self, user: object, now: float) -> None:
        bench = self._bench
        bench.heard.append("CANCEL")
        if not isinstance(user, tuple):
            return
        key = bench.parties[user[1]].invite_key
        for party in [party for party in bench.parties if key is not None and party.invite_key == key]:
            party.heard.append("CANCEL")
            self._reliably.stop(party, now)
            bench.respond(party, 487, now)
            party.invite_key = None
            offers.refuse(party)
            if party.answered_at is None:
                bench.end(party, 487)

    def received_bye(self, key: Key, party: Party | None, now: float) -> None:
        bench = self._bench
        bench.reply(key, 200 if party is not None else 481, now)
        if party is None:
            return
        if party.invite_key is not None and party.answered_at is None:
            bench.respond(party, 487, now)
        bench.end(party, party.status)

    # --- how ----------------------------------------------------------------------------------------------------------

    def _begin(self, party: Party, request: Request, key: Key) -> None:
        party.take_invite(request, self._bench.ids.tag())
        party.invite, party.invite_key = request, key
        party.allowed = request.allow
        party.refresh_target(request.contacts)
        body = description_of(request)
        if body and key in [other.invite_key for other in self._bench.parties if other is not party]:
            offers.judged(offers.take_offer, party, body)

    def _refusal(self, request: Request, party: Party | None) -> tuple[int, Fields] | None:
        """What stands against this INVITE before anybody looks at its offer."""
        script = self._bench.script
        strange = [tag for tag in request.require if tag not in script.supports]
        if strange:
            return 420, (("Unsupported", ", ".join(strange)),)
        if party is None and "100rel" in script.requires and "100rel" not in request.supported + request.require:
            return 421, (("Require", "100rel"),)
        too_small = self._refreshing.refusal_of(request)
        if too_small is not None:
            return 422, too_small
        if party is None:
            return None
        talk = party.talk
        if party.invite_key is not None and not party.has_final:
            return 500, (("Retry-After", str(self._bench.ids.number(11))),)  # §14.2, the first paragraph
        if party.inviting or talk.our_offer is not None:
            return 491, ()
        return None

    def _received_reinvite(self, party: Party, now: float) -> None:
        script = self._bench.script
        if script.reinvites == 200:
            self.accept(party, now)
        elif script.reinvites is not None:
            self.refuse(party, script.reinvites, now)
        elif script.trying:
            self._bench.respond(party, 100, now)

    def _play_script(self, party: Party, now: float) -> None:
        bench, script = self._bench, self._bench.script
        if script.trying:
            bench.respond(party, 100, now)
        if bench.taker is not None:
            bench.taker(party, now)
            return
        if script.rings is not None:
            supports = "100rel" in script.supports and party.invite is not None
            reliable = supports and "100rel" in (*party.invite.supported, *party.invite.require)  # type: ignore[union-attr]
            self.ring(party, now, script.rings, sdp=script.rings == 183, reliable=reliable)
        if script.refuses is not None:
            self.refuse(party, script.refuses, now)
        elif script.answers_after is not None:
            bench.after(script.answers_after, "answer", party.n, now)

    def _replaces(self, party: Party, request: Request, now: float) -> bool:
        """RFC 3891 §3: a dialog that is confirmed is taken over at once; one that is unknown gets 481."""
        bench = self._bench
        text = request.header("Replaces")
        if text is None or not bench.script.replaces:
            return False
        names = dict(part.strip().partition("=")[::2] for part in text.split(";")[1:])
        names = {name.lower(): value for name, value in names.items()}
        call_id = text.partition(";")[0].strip()
        for old in bench.parties:
            ours = (old.call_id, old.local_tag, old.remote_tag)
            if ours == (call_id, names.get("to-tag"), names.get("from-tag")) and old is not party:
                self._take_over(party, old, now, early_only=bool(re.search(r";\s*early-only", text)))
                return True
        self.refuse(party, 481, now)
        return True

    def _take_over(self, party: Party, old: Party, now: float, *, early_only: bool) -> None:
        bench = self._bench
        if old.stage is Stage.ENDED:
            self.refuse(party, 603, now)
        elif old.stage is Stage.TALKING and early_only:
            self.refuse(party, 486, now)
        elif old.stage is not Stage.TALKING and not old.is_caller:
            self.refuse(party, 481, now)
        else:
            self.accept(party, now)
            if old.stage is Stage.TALKING:
                bench.hang_up(old, now)
            else:
                old.cancelled = True
                bench.send(bench.layer.cancel(old.user(), now))

    def _early_word(self, party: Party, *, reliable: bool) -> tuple[bytes, bool]:
        """The description of a provisional, and whether it is an offer that counts."""
        voice, talk = self._bench.voice, party.talk
        if not reliable:
            return offers.preview(voice, party), False
        if talk.their_offer is not None:
            return offers.answer(voice, party), False
        if talk.our_offer is None and not talk.exchanged:
            return offers.offer(voice, party), True
        return b"", False

    def _last_word(self, party: Party) -> bytes:
        """The description of a 200 (RFC 6337 §2.2): nothing where a reliable 18x has had it all."""
        voice, talk = self._bench.voice, party.talk
        if talk.their_offer is not None:
            return offers.answer(voice, party)
        if not talk.exchanged and talk.our_offer is None and party.invite_key is not None:
            return offers.offer(voice, party)
        if talk.exchanged and self._bench.script.repeats_answer and talk.local is not None:
            return voice.print(party, talk.local)
        return b""

    # --- what it does after a while -----------------------------------------------------------------------------------

    def _resend(self, n: int, now: float) -> None:
        """ "If the server retransmits the 2xx …, starts at T1 and doubles until it reaches T2", §13.3.1.4."""
        bench, party = self._bench, self._bench.parties[n]
        if party.invite_key is None:
            return
        bench.send(bench.layer.resend(party.invite_key))
        party.resend_after = min(2 * party.resend_after, bench.timing.t2)
        bench.after(party.resend_after, "resend", n, now)

    def _give_up_on_ack(self, n: int, now: float) -> None:
        """ "If the server retransmits the 2xx response for 64*T1 seconds without receiving an ACK …", §13.3.1.4."""
        bench, party = self._bench, self._bench.parties[n]
        bench.after(None, "resend", n, now)
        party.heard.append("no ack")
        if party.stage is Stage.TALKING:
            bench.hang_up(party, now)

    def _miss_answer(self, n: int, _now: float) -> None:
        """An ACK without the answer that it owes is right only where a BYE follows."""
        if self._bench.parties[n].stage is Stage.TALKING:
            self._bench.complaints.append("ACK without the answer to the offer of the 2xx")

    def _refuse_if_waiting(self, n: int, now: float) -> None:
        party = self._bench.parties[n]
        if party.stage in (Stage.NEW, Stage.RINGING):
            self.refuse(party, 480, now)

    def _answer_if_waiting(self, n: int, now: float) -> None:
        party = self._bench.parties[n]
        if party.stage not in (Stage.NEW, Stage.RINGING):
            return
        if party.unacked is not None and party.unacked.has_sdp:
            # "The UAS MUST NOT send a 2xx … before" the PRACK of what carried a description, RFC 3262 §3
            self._bench.after(0.1, "answer", n, now)
            return
        self.accept(party, now)
