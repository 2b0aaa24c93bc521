"""A test phone as caller: its INVITEs, first and later, and what it makes of their responses (RFC 3261 §13.2, §14.1).

100rel and session timers are in `reliably` and `refreshing`. Offers that met another one are made again after the time
of §14.1; the same is done for UPDATE, by `updating`.
"""

from sbc.core.address import Address
from sbc.sdp import SdpError
from sbc.sip.message import Fields, Request, Response
from sbc.sip.multipart import description_of
from sbc.testing import offers
from sbc.testing.bench import Bench
from sbc.testing.party import Party, Stage, Wish
from sbc.testing.refreshing import Refreshing
from sbc.testing.reliably import Reliably

_RETRIES = 10


class Calling:
    def __init__(self, bench: Bench, reliably: Reliably, refreshing: Refreshing) -> None:
        self._bench = bench
        self._reliably = reliably
        self._refreshing = refreshing
        bench.timers["hang up"] = self._hang_up_if_talking

    # --- what it sends ------------------------------------------------------------------------------------------------

    def invite(
        self,
        number: str,
        to: Address,
        now: float,
        *,
        sdp: bool = True,
        fields: Fields = (),
        domain: str | None = None,
        caller: str | None = None,
        wish: Wish | None = None,
    ) -> Party:
        """A new call."""
        bench = self._bench
        party = bench.new_party(is_caller=True)
        party.talk.wish = wish or party.talk.wish
        bench.line.begin(party, number, to, domain=domain, caller=caller)
        self._send(party, now, sdp=sdp, fields=fields)
        return party

    def reinvite(
        self, party: Party, now: float, wish: Wish | None = None, *, sdp: bool = True, fields: Fields = ()
    ) -> None:
        if wish is not None:
            offers.wishes(party, wish)
        self._send(party, now, sdp=sdp, fields=fields)

    def acknowledge(self, party: Party, cseq: int | None = None) -> None:
        """ACK for the 2xx of our last INVITE, or another, once more where it was acknowledged before."""
        request, body = party.acks[party.invite_seq if cseq is None else cseq]
        self._bench.send(self._bench.line.ack(party, request, body))

    def _send(self, party: Party, now: float, *, sdp: bool, fields: Fields = ()) -> None:
        bench, script = self._bench, self._bench.script
        party.inviting = True
        party.talk.exchanged = False
        body = offers.offer(bench.voice, party) if sdp else None
        require: Fields = (("Require", ", ".join(script.requires)),) if script.requires else ()
        made = (*require, *self._refreshing.request_fields(party), *fields)
        bench.send(bench.line.invite(party, now, sdp=body, fields=made))

    # --- what it hears ------------------------------------------------------------------------------------------------

    def received(self, party: Party, response: Response, request: Request, now: float) -> None:
        if request.cseq.number != party.invite_seq:
            self._received_late(party, response, request)
            return
        if response.status < 200:
            self._progressed(party, response, now)
        elif response.status >= 300:
            self._refused(party, response, request, now)
        else:
            self._accepted(party, response, request, now)

    def failed(self, party: Party, why: str, now: float) -> None:
        party.inviting = False
        party.last_status = 408 if why == "timeout" else 503
        offers.refused(party)
        if party.answered_at is None:
            self._bench.end(party, party.last_status)
            self._bench.tell(party, party.last_status, now)

    def _progressed(self, party: Party, response: Response, now: float) -> None:
        bench = self._bench
        if response.status == 100 or not party.inviting:
            return
        if party.stage is Stage.CALLING:
            party.stage = Stage.RINGING
        if party.answered_at is None:
            if party.remote_tag is None or bench.script.sees_forks:
                party.take_dialog(response)
            party.refresh_target(response.contacts)
        bench.tell(party, response.status, now)
        if not self._reliably.take(party, response):
            return
        is_reliable = party.prack_due is response
        body = description_of(response)
        if body:
            take = self._taking(party, is_reliable=is_reliable)
            bench.judge(take, party, body)
        if is_reliable and bench.script.pracks:
            self._reliably.acknowledge(party, now, offer=bench.script.offers_in_prack)

    def _taking(self, party: Party, *, is_reliable: bool) -> offers.Take:
        """What a description in a response to our INVITE is (RFC 6337 §2.1, patterns 1 to 3)."""
        talk = party.talk
        if talk.exchanged:
            return offers.take_repetition
        if not is_reliable:
            return offers.take_preview
        return offers.take_answer if talk.our_offer is not None else offers.take_offer

    def _refused(self, party: Party, response: Response, request: Request, now: float) -> None:
        bench = self._bench
        party.inviting = False
        wish = party.talk.wish if party.talk.our_offer is not None else None
        if not party.talk.exchanged:
            offers.refused(party)
        party.last_status = response.status
        party.prack_due = None
        if self._refreshing.is_too_small(party, response) and not party.cancelled:
            if party.answered_at is None:
                party.remote_tag = None
            self.reinvite(party, now, wish, sdp=bool(description_of(request)))
        elif party.answered_at is None:
            bench.end(party, response.status)
            bench.tell(party, response.status, now)
        elif response.status == 491:
            retry_later(bench, party, "INVITE", wish, now)

    def _accepted(self, party: Party, response: Response, request: Request, now: float) -> None:
        bench = self._bench
        if not party.inviting and party.invite_seq in party.acks and response.to.tag == party.remote_tag:
            if bench.script.acks:  # the same once more: our ACK was lost, or is late
                self.acknowledge(party)
            return
        is_first = party.answered_at is None
        if not is_first and response.to.tag != party.remote_tag:
            bench.complaints.append("a second 2xx with another To tag: a fork, which the SBC must hide")
        party.inviting = False
        party.prack_due = None
        party.last_status = 200
        party.refresh_target(response.contacts)
        if is_first:
            party.take_dialog(response)
            party.answered_at = now
            party.status = response.status
            party.stage = Stage.TALKING
        party.remote_tag = response.to.tag
        party.acks[party.invite_seq] = (request, self._settle(party, response))
        self._refreshing.agreed(party, request, response, now)
        if bench.script.acks:
            self.acknowledge(party)
        if is_first:
            bench.tell(party, response.status, now)
        if is_first and party.cancelled:
            bench.hang_up(party, now)
        elif is_first and bench.script.hangs_up_after is not None:
            bench.after(bench.script.hangs_up_after, "hang up", party.n, now)

    def _received_late(self, party: Party, response: Response, request: Request) -> None:
        """To an INVITE after which we have sent another, which should have waited. Every 2xx has its ACK."""
        if 200 <= response.status < 300 and self._bench.script.acks:
            party.acks.setdefault(request.cseq.number, (request, b""))
            self.acknowledge(party, request.cseq.number)

    def _settle(self, party: Party, response: Response) -> bytes:
        """The description of a 2xx; returns what the ACK has to say."""
        bench, talk = self._bench, party.talk
        body = description_of(response)
        if not body:
            if talk.our_offer is not None and not talk.exchanged:
                bench.complaints.append("200 (INVITE): no answer to our offer")
                offers.refused(party)
            return b""
        can_read = bench.judge(self._taking(party, is_reliable=True), party, body)
        if not can_read:
            offers.refused(party)
        if talk.their_offer is None:
            return b""
        try:
            return offers.answer(bench.voice, party)
        except SdpError as error:
            bench.complaints.append(f"200 (INVITE): offer without anything in common: {error}")
            return offers.offer(bench.voice, party)

    def _hang_up_if_talking(self, n: int, now: float) -> None:
        party = self._bench.parties[n]
        if party.stage is Stage.TALKING:
            self._bench.hang_up(party, now)


def retry_later(bench: Bench, party: Party, method: str, wish: Wish | None, now: float) -> None:
    """ "If the UAC is the owner of the Call-ID …, between 2.1 and 4 seconds", else "between 0 and 2", §14.1."""
    if not bench.script.retries_glare or party.retries >= _RETRIES:
        return
    party.retries += 1
    party.retry = (method, wish)
    seconds = (210 + bench.ids.number(191)) / 100 if party.is_caller else bench.ids.number(201) / 100
    bench.after(seconds, "glare", party.n, now)
