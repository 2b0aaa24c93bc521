"""UPDATE of a test phone, both ways, in early and confirmed dialogs (RFC 3311); and offers again after a 491."""

from sbc.sdp import SdpError
from sbc.sip.message import Fields, Request, Response
from sbc.sip.multipart import description_of
from sbc.testing import offers
from sbc.testing.bench import Bench, Key
from sbc.testing.calling import Calling, retry_later
from sbc.testing.party import Party, Stage, Wish
from sbc.testing.refreshing import Refreshing


class Updating:
    def __init__(self, bench: Bench, calling: Calling, refreshing: Refreshing) -> None:
        self._bench = bench
        self._calling = calling
        self._refreshing = refreshing
        refreshing.refresh = self._refresh
        bench.timers["glare"] = self._retry

    def update(
        self, party: Party, now: float, wish: Wish | None = None, *, sdp: bool = True, fields: Fields = ()
    ) -> None:
        bench = self._bench
        if wish is not None:
            offers.wishes(party, wish)
        body = offers.offer(bench.voice, party) if sdp else b""
        made = (*bench.line.abilities, *self._refreshing.request_fields(party), *fields)
        bench.send(bench.line.request(party, "UPDATE", now, fields=made, sdp=body))

    def received(self, key: Key, request: Request, party: Party | None, now: float) -> None:
        bench, script = self._bench, self._bench.script
        if party is None or party.stage is Stage.ENDED:
            bench.reply(key, 481, now)
            return
        body = description_of(request)
        self._refreshing.judge(party, request)
        too_small = self._refreshing.refusal_of(request)
        if body and (too_small is not None or party.talk.our_offer or party.talk.their_offer):
            party.talk.may_skip = True  # nobody looks at it
        if too_small is not None:
            bench.reply(key, 422, now, fields=too_small)
        elif body and party.talk.our_offer is not None:
            bench.reply(key, 491, now)
        elif body and party.talk.their_offer is not None:
            bench.complaints.append("UPDATE: an offer while one of theirs is open")
            bench.reply(key, 500, now, fields=(("Retry-After", str(bench.ids.number(11))),))
        elif script.updates == 200:
            self._agree(key, request, party, body, now)
        elif script.updates is not None:
            if body:
                bench.judge(offers.take_offer, party, body)
                offers.refuse(party)
            bench.reply(key, script.updates, now)

    def received_response(self, party: Party, response: Response, request: Request, now: float) -> None:
        bench, talk = self._bench, party.talk
        had_offer = bool(description_of(request))
        if response.status < 200:
            return
        if response.status < 300:
            party.refresh_target(response.contacts)
            self._refreshing.agreed(party, request, response, now)
            body = description_of(response)
            if body and had_offer:
                with offers.beside_invite(party):
                    bench.judge(offers.take_answer, party, body)
            elif body:
                bench.complaints.append("200 (UPDATE): a description, but the UPDATE had no offer")
            elif had_offer:
                bench.complaints.append("200 (UPDATE): no answer to our offer")
                offers.refused(party)
            return
        wish = talk.wish if had_offer else None
        if had_offer:
            offers.refused(party)
        if self._refreshing.is_too_small(party, response):
            self.update(party, now, wish, sdp=had_offer)
        elif response.status == 491:
            retry_later(bench, party, "UPDATE", wish, now)

    def failed(self, party: Party) -> None:
        """An UPDATE of ours got no answer at all."""
        if party.talk.our_offer is not None and not party.inviting:
            offers.refused(party)

    def _agree(self, key: Key, request: Request, party: Party, body: bytes, now: float) -> None:
        bench = self._bench
        said = b""
        if body:
            can_read = bench.judge(offers.take_offer, party, body)
            try:
                with offers.beside_invite(party):
                    said = offers.answer(bench.voice, party) if can_read else b""
            except SdpError:
                said = b""
            if not said:
                offers.refuse(party)
                bench.reply(key, 488 if can_read else 400, now)
                return
        party.refresh_target(request.contacts)
        timer = self._refreshing.response_fields(party, request, now)
        fields = (bench.line.contact, *bench.line.abilities, *timer)
        bench.reply(key, 200, now, fields=fields, sdp=said)

    def _refresh(self, party: Party, now: float) -> None:
        """The session is to go on: an UPDATE without offer, or a re-INVITE that repeats ours (RFC 4028 §7.4)."""
        if self._bench.script.refreshes == "UPDATE" and "UPDATE" in party.allowed:
            self.update(party, now, sdp=False)
        elif party.inviting or party.invite_key is not None:
            self._bench.after(2.0, "refresh", party.n, now)
        else:
            self._calling.reinvite(party, now)

    def _retry(self, n: int, now: float) -> None:
        party = self._bench.parties[n]
        if party.retry is None or party.stage is Stage.ENDED:
            return
        method, wish = party.retry
        if party.inviting or party.invite_key is not None or party.talk.our_offer or party.talk.their_offer:
            self._bench.after(0.5, "glare", n, now)
            return
        party.retry = None
        if method == "INVITE":
            self._calling.reinvite(party, now, wish, sdp=wish is not None)
        else:
            self.update(party, now, wish, sdp=wish is not None)
