"""Reliable provisional responses of a test phone, both ways (RFC 3262).

As callee: one at a time waits for its PRACK, repeated at T1 doubling, and the INVITE gets 504 after 64*T1 (§3). As
caller: PRACK for each, in order (§4), with the answer where the response had the offer, and with an offer if told so.
"""

from sbc.sdp import SdpError
from sbc.sip.message import Fields, Request, Response
from sbc.sip.multipart import description_of
from sbc.testing import offers
from sbc.testing.bench import Bench, Key
from sbc.testing.party import Party, Stage, Unacked


class Reliably:
    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        bench.timers |= {"repeat 18x": self._repeat, "no PRACK": self._give_up}

    # --- as callee ----------------------------------------------------------------------------------------------------

    def ring(self, party: Party, status: int, body: bytes, now: float, *, has_offer: bool) -> None:
        """Send this provisional response reliably. The caller has said that it can, or the test wants a fault."""
        bench = self._bench
        if party.unacked is not None:
            raise AssertionError("a reliable provisional response still waits for its PRACK, RFC 3262 §3")
        if party.invite is None:
            raise AssertionError("there is no INVITE to answer")
        party.rseq = party.rseq + 1 if party.rseq else 1 + bench.ids.number(1000)
        before = len(bench.out)
        bench.respond(party, status, now, body, (("Require", "100rel"), ("RSeq", str(party.rseq))))
        message = bench.out[before] if len(bench.out) > before else None
        if message is None:
            return
        party.unacked = Unacked(party.rseq, party.invite.cseq.number, message, bool(body), has_offer)
        party.resend_after = bench.timing.t1
        bench.after(party.resend_after, "repeat 18x", party.n, now)
        bench.after(bench.timing.give_up, "no PRACK", party.n, now)

    def take_prack(self, key: Key, request: Request, party: Party | None, now: float) -> bool:
        """Whether it acknowledged something; it is answered in any case."""
        bench = self._bench
        waits = None if party is None else party.unacked
        if party is None or waits is None or request.header("RAck") != f"{waits.rseq} {waits.cseq} INVITE":
            bench.reply(key, 481, now)
            return False
        party.unacked = None
        self.stop(party, now)
        body = description_of(request)
        answer = self._answer(party, body, has_offer=waits.has_offer)
        bench.reply(key, 200, now, sdp=answer)
        return True

    def stop(self, party: Party, now: float) -> None:
        """A final response is out, or the PRACK is in."""
        party.unacked = None
        self._bench.after(None, "repeat 18x", party.n, now)
        self._bench.after(None, "no PRACK", party.n, now)

    def _answer(self, party: Party, body: bytes, *, has_offer: bool) -> bytes:
        """What the PRACK says of media: the answer to ours, or an offer of its own; returns our answer to that."""
        bench = self._bench
        if has_offer:
            if body:
                bench.judge(offers.take_answer, party, body)
            else:
                bench.complaints.append("PRACK without the answer to the offer of the 18x")
            return b""
        if not body:
            return b""
        can_read = bench.judge(offers.take_offer, party, body)
        return offers.answer(bench.voice, party) if can_read else b""

    def _repeat(self, n: int, now: float) -> None:
        bench, party = self._bench, self._bench.parties[n]
        if party.unacked is not None:
            bench.out.append(party.unacked.message)
            party.resend_after *= 2
            bench.after(party.resend_after, "repeat 18x", n, now)

    def _give_up(self, n: int, now: float) -> None:
        """ "… for 64*T1 seconds without reception of a corresponding PRACK, the UAS SHOULD reject", §3."""
        party = self._bench.parties[n]
        party.heard.append("no PRACK")
        self.stop(party, now)
        if party.stage in (Stage.NEW, Stage.RINGING):
            self._bench.respond(party, 504, now)
            self._bench.end(party, 504)
            party.invite_key = None

    # --- as caller ----------------------------------------------------------------------------------------------------

    def take(self, party: Party, response: Response) -> bool:
        """A provisional response: False where it is a repetition or out of order, and nothing in it counts."""
        rseq = response.header("RSeq")
        if rseq is None or "100rel" not in response.require:
            return True
        bench = self._bench
        tag = response.to.tag or ""
        last = party.heard_rseqs.get(tag)
        number = int(rseq)
        if last is not None and number <= last:
            return False
        if last is not None and number != last + 1:
            bench.complaints.append(f"{response.status}: RSeq {number} after {last}")
            return False
        party.heard_rseqs[tag] = number
        party.prack_due = response
        return True

    def acknowledge(self, party: Party, now: float, *, offer: bool = False) -> None:
        """PRACK for what waits for it."""
        bench = self._bench
        response, party.prack_due = party.prack_due, None
        if response is None:
            raise AssertionError("nothing waits for a PRACK")
        rack = ("RAck", f"{response.header('RSeq')} {response.cseq.number} {response.cseq.method}")
        sdp = b""
        try:
            if party.talk.their_offer is not None:
                sdp = offers.answer(bench.voice, party)
            elif offer and party.talk.our_offer is None and party.talk.exchanged:
                sdp = offers.offer(bench.voice, party)
                party.prack_offer = party.local_seq + 1
        except SdpError as error:
            bench.complaints.append(f"{response.status}: {error}")
        fields: Fields = (rack,)
        tag, party.remote_tag = party.remote_tag, response.to.tag
        bench.send(bench.line.request(party, "PRACK", now, fields=fields, sdp=sdp))
        party.remote_tag = tag

    def take_response(self, party: Party, response: Response, request: Request) -> None:
        """To a PRACK: with the answer to an offer in it."""
        body = description_of(response)
        had_offer = request.cseq.number == party.prack_offer
        if body and 200 <= response.status < 300:
            self._bench.judge(offers.take_answer, party, body)
        elif had_offer and response.status >= 200:
            if response.status < 300:
                self._bench.complaints.append("200 (PRACK): no answer to the offer")
            offers.refused(party)
