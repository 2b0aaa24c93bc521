"""Which part of a test phone gets the requests that come, and how it answers what needs no part of its own.

RFC 3261 §8.2: who is challenged, what belongs to no call, what is not allowed.
"""

from typing import TYPE_CHECKING, Final

from sbc.sip.message import Fields, Request
from sbc.testing.bench import Key
from sbc.testing.challenger import uncalled_for
from sbc.testing.inspect import complaints_about
from sbc.testing.party import Party

if TYPE_CHECKING:
    from sbc.testing.agent import UserAgent

_CALL_METHODS: Final = frozenset({"UPDATE", "PRACK", "BYE"})  # 481 outside of a call


class Incoming:
    def __init__(self, agent: "UserAgent") -> None:
        self._agent = agent

    def received(self, key: Key, request: Request, now: float) -> None:
        bench = self._agent.bench
        bench.requests.append(request)
        party = bench.party_of(request) if request.to.tag is not None else None
        if party is not None:
            self._agent.complaints += complaints_about(request, party, self._agent.script)
            party.heard.append(request.method)
            if request.cseq.number <= party.remote_seq and not self._agent.script.in_order:
                party.has_missed = True
                bench.reply(key, 500, now)  # "the request is out of order and MUST be rejected with a 500", §12.2.2
                return
            party.remote_seq = max(party.remote_seq, request.cseq.number)
        self._agent.complaints += uncalled_for(self._agent.challengers, request)
        if not self._challenge(key, request, now):
            self._hand_on(key, request, party, now)

    def _hand_on(self, key: Key, request: Request, party: Party | None, now: float) -> None:
        method = request.method
        if party is None and method in _CALL_METHODS:
            self._agent.bench.reply(key, 481, now)
        elif method == "INVITE":
            self._agent.called.received_invite(key, request, party, now)
        elif method == "BYE":
            self._agent.called.received_bye(key, party, now)
        elif method == "PRACK":
            self._agent.reliably.take_prack(key, request, party, now)
        elif method not in self._agent.script.allow and method in ("UPDATE", "REFER"):
            self._agent.complaints.append(f"{method}, which our Allow does not name")
            self._agent.bench.reply(key, 405, now, fields=(self._agent.line.allow,))
        elif method == "UPDATE":
            self._agent.updating.received(key, request, party, now)
        elif method == "REFER":
            self._agent.referring.received_refer(key, request, party, now)
        elif method == "SUBSCRIBE":
            self._agent.subscribing.received_subscribe(key, request, now)
        elif method == "NOTIFY" and self._takes_notify(key, request, party, now):
            return
        elif method == "REGISTER" and self._agent.registrar is not None:
            status, fields = self._agent.registrar.take(request, now)
            self._agent.bench.reply(key, status, now, fields=fields)
        else:
            self._answer_plainly(key, request, party, now)

    def _takes_notify(self, key: Key, request: Request, party: Party | None, now: float) -> bool:
        return self._agent.subscribing.received_notify(key, request, now) or self._agent.referring.received_notify(
            key, request, party, now
        )

    def _answer_plainly(self, key: Key, request: Request, party: Party | None, now: float) -> None:
        """What needs no state: OPTIONS, MESSAGE, INFO, PUBLISH and whatever else its script knows an answer to."""
        method, script = request.method, self._agent.script
        if party is None and request.to.tag is not None:
            self._agent.bench.reply(key, 481, now)
        elif method == "OPTIONS":
            self._agent.bench.reply(key, script.options, now, fields=(self._agent.line.allow, *script.options_fields))
        elif method in script.statuses:
            self._agent.bench.reply(key, script.statuses[method], now)
        elif method == "PUBLISH":
            entity: Fields = (("SIP-ETag", self._agent._ids.tag()), ("Expires", request.header("Expires") or "3600"))
            self._agent.bench.reply(key, 200, now, fields=entity)
        elif method in ("INFO", "NOTIFY", "MESSAGE"):
            self._agent.bench.reply(key, 200, now, fields=(self._agent.line.allow,))
        else:
            self._agent.bench.reply(key, 501, now)

    def _challenge(self, key: Key, request: Request, now: float) -> bool:
        for challenger in self._agent.challengers:
            fields = challenger.judge(request)
            if fields is not None:
                self._agent.bench.reply(key, challenger.status, now, fields=fields)
                return True
        return False

    def received_ack(self, request: Request, now: float) -> None:
        party = self._agent.bench.party_of(request)
        if party is None:
            if not self._agent.bench.has_crashed:  # then it may be of what was lost
                self._agent.complaints.append(f"ACK for no dialog of ours: {request.call_id}")
            return
        self._agent.heard.append("ACK")
        if party.heard[-1:] != ["ACK"]:
            party.heard.append("ACK")
        self._agent.complaints += complaints_about(request, party, self._agent.script)
        for challenger in self._agent.challengers:
            challenger.judge_ack(request)
        if self._agent.script.hears_acks:
            self._agent.called.received_ack(request, party, now)
