"""An overloaded node: what is served always, what is refused and how, what neighbours are told; and how it gets on when
each message costs time.
"""
# RFC: 7339

import heapq
import random
from collections import Counter, deque

import pytest

from sbc.b2bua.events import QueueAged
from sbc.b2bua.overload import Kind, Overload
from sbc.b2bua.steering import INTERVAL, TARGET
from sbc.cli.bench_engine import CARRIER, PBX, EngineBench, bench_invite
from sbc.core import limits
from sbc.core.address import Address
from sbc.sip.message import Request, Response
from sbc.sip.parse import parse_message
from sbc.testing.byhand import ByHand
from sbc.testing.world import DID, FAR, INSIDE, POLICY, World

from .knocking import ANYWHERE, flow, message, said

EMERGENCY = POLICY.replace("routes:\n", "routes:\n  - {name: help, to: emergency, via: [carrier], emergency: true}\n")
OC = ';oc;oc-algo="loss"'


def overload(sbc: World, peer: str = "office") -> Overload:
    """From now on, and until the age of the queue is said to be another, hardly anything of this peer is let in."""
    sbc.tell(QueueAged(2 * TARGET, "udp"))
    judge = sbc.switch.shedding.overload
    refuses(sbc, peer)
    return judge


def refuses(sbc: World, peer: str = "office", fraction: float = 0.0) -> None:
    judge = sbc.switch.shedding.overload
    judge.admits(peer, Kind.CALL, 0.0)
    judge._peers[peer].fraction = judge._peers[peer].told = fraction
    judge.is_shedding, judge._due = True, sbc.now + 10.0


def refusals(sbc: World) -> list[Response]:
    messages = [parse_message(data, stream=False) for data in sbc.net.sent_to("pbx-77.office.internal")]
    return [message for message in messages if isinstance(message, Response) and message.status == 503]


def test_a_refused_call_gets_its_503_and_leaves_nothing_but_a_count(world):
    sbc = world()
    office = sbc.office()
    overload(sbc)
    call = office.invites(FAR)
    assert call.status == 503
    sbc.run(1.0)
    view = sbc.switch.snapshot(sbc.now)
    assert (view.transactions, view.dialogs, sbc.cdr) == (0, 0, [])
    assert view.overload.shed == (("office", "INVITE", "refused", 1),)
    assert sbc.idle()


def test_its_retry_after_is_small_and_not_the_same_for_all(world):
    sbc = world()
    office = sbc.office()
    overload(sbc)
    for _ in range(40):
        office.invites(FAR)
    seconds = {response.header("Retry-After") for response in refusals(sbc)}
    assert seconds == {"1", "2", "3", "4"}
    assert sbc.idle()


def test_while_most_is_let_in_a_refusal_does_not_take_the_trunk_away(world):
    sbc = world()
    office, _ = sbc.office(), sbc.carrier()
    overload(sbc)
    refuses(sbc, fraction=0.6)
    for _ in range(30):
        office.invites(FAR)
    refused = refusals(sbc)
    assert refused
    assert all(response.header("Retry-After") is None for response in refused)


def test_what_belongs_to_a_call_that_is_up_is_served(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    overload(sbc)
    sbc.tell(QueueAged(1.0, "udp"))
    office.holds()
    assert carrier.got("INVITE", "ACK", "INVITE")
    office.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


@pytest.mark.parametrize("method", ["PRACK", "UPDATE", "INFO"])
def test_within_a_dialog_every_method_is_served(world, method):
    """A caller's, by hand: none of them is judged, however late the queue is."""
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    carrier.uses_100rel()
    hand = ByHand(sbc, office)
    hand.sends("INVITE", f"sip:{FAR}@10.0.0.1", sdp=True, fields=(("Require", "100rel"),))
    carrier.rings()
    overload(sbc)
    sbc.tell(QueueAged(1.0, "udp"))
    rseq = next(message.header("RSeq") for message in hand.heard if message.header("RSeq"))
    hand.sends("PRACK", to_tag=hand.our_tag, cseq=2, fields=(("RAck", f"{rseq} 1 INVITE"),))
    carrier.answers()
    hand.sends("ACK", to_tag=hand.our_tag, cseq=1)
    if method != "PRACK":
        hand.sends(method, to_tag=hand.our_tag, cseq=3)
    assert hand.statuses(method) == [200]
    hand.sends("BYE", to_tag=hand.our_tag, cseq=9)
    assert hand.statuses("BYE") == [200]
    assert sbc.switch.shedding.view().shed == ()
    assert sbc.idle()


def test_a_call_that_rings_can_be_cancelled_and_answered(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    first = office.invites(FAR)
    carrier.rings()
    overload(sbc)
    office.cancels(call=first)
    assert carrier.got("INVITE", "CANCEL")
    assert sbc.cdr.only.cause == "cancelled"
    assert sbc.idle()


@pytest.mark.parametrize("number", ["911", "+1911", "9-1-1"])
def test_an_emergency_is_let_in_however_it_is_written(world, number):
    sbc = world(EMERGENCY)
    office, carrier = sbc.office(), sbc.carrier()
    overload(sbc)
    sbc.tell(QueueAged(1.0, "udp"))
    office.invites(number)
    is_let_in = carrier.got("INVITE")
    assert is_let_in is (number != "+1911")  # the policy does not take that for an emergency; it was looked at
    if is_let_in:
        carrier.answers()
        office.hangs_up()
    assert sbc.idle()


@pytest.mark.parametrize("method", ["INVITE", "REGISTER", "MESSAGE"])
def test_a_refusal_of_a_stranger_is_no_longer_than_his_request(world, method):
    sbc = world(ANYWHERE)
    overload(sbc, "office, not logged in")
    short = b"\r\n".join(line for line in message(method).split(b"\r\n") if not line.startswith((b"User-A", b"Allow")))
    assert said(sbc, short, flow()) == []
    (answer,) = said(sbc, message(method, n=2), flow())
    assert answer.data.startswith(b"SIP/2.0 503")
    (answer,) = said(sbc, short, flow(connection=7))
    assert len(answer.data) > len(short)
    assert {key[2] for key in sbc.switch.shedding.view().shed} == {"dropped", "refused"}
    assert sbc.idle()


def test_strangers_use_up_nothing_of_who_has_logged_in(world):
    sbc = world(ANYWHERE)
    sbc.carrier()
    worker = sbc.phone("worker", "192.0.2.9:5060", through=INSIDE, user=DID)
    worker.has_credentials("office", "0ff1ce")
    assert worker.registers(f"sip:{DID}@10.0.0.1").is_registered
    overload(sbc, "office, not logged in")
    (answer,) = said(sbc, message("INVITE", n=2), flow())
    assert answer.data.startswith(b"SIP/2.0 503")
    worker.invites(FAR)
    assert worker.call.status < 300
    worker.cancels()
    judge = sbc.switch.shedding.overload
    assert judge._peers["office"].offered == judge._peers["office"].admitted > 0
    assert sbc.idle()


def test_health_probes_are_answered(world):
    sbc = world()
    office = sbc.office()
    overload(sbc)
    sbc.tell(QueueAged(1.0, "udp"))
    office.asks("OPTIONS")
    assert office.heard == ["200 OPTIONS"]
    assert sbc.switch.snapshot(sbc.now).transactions == 0
    assert sbc.idle()


def test_a_peer_within_its_share_is_not_touched_by_anothers_flood(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    overload(sbc, "carrier")
    office.invites(FAR)
    carrier.answers()
    assert office.is_talking
    assert carrier.invites("+14155550100").status == 503
    office.hangs_up()
    assert sbc.idle()


def test_a_refused_invite_that_comes_again_rings_nobody(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    overload(sbc)
    office.invites(FAR)
    [invite] = [data for data in sbc.net.sent_by(office) if data.startswith(b"INVITE")]
    refuses(sbc, fraction=1.0)
    sbc.inject(invite, office)
    sbc.run(1.0)
    assert not carrier.got("INVITE")
    assert sbc.idle()


def test_what_cannot_be_read_at_a_glance_is_judged_after_it_was_parsed(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    overload(sbc)
    office.invites(FAR, fields=(("Subject", "two lines"),))
    [*_, last] = [data for data in sbc.net.sent_by(office) if data.startswith(b"INVITE")]
    folded = last.replace(b"two lines", b"two\r\n lines").replace(b"branch=z9hG4bK", b"branch=z9hG4bKanother")
    sbc.inject(folded.replace(b"Call-ID: ", b"Call-ID: another"), office)
    assert len(refusals(sbc)) == 2
    assert not carrier.got("INVITE")
    sbc.run(40.0)
    assert sbc.cdr == []
    assert sbc.idle()


def test_the_operator_is_told_when_it_begins_and_when_it_is_over(world):
    sbc = world()
    office = sbc.office()
    for _ in range(15):
        sbc.tell(QueueAged(3 * TARGET, "udp"))
        for _ in range(8):
            office.invites(FAR)
        sbc.run(INTERVAL)
    began = [dict(log.fields) for log in sbc.logs if log.event == "overload.began"]
    assert [(one["alarm"], one["most"]) for one in began] == [(True, "office")]
    sbc.tell(QueueAged(0.0, "udp"))
    sbc.run(5.0)
    assert [log.event for log in sbc.logs if log.event.startswith("overload.")] == ["overload.began", "overload.ended"]
    assert not sbc.switch.shedding.overload.is_on


# BOUND: REFUSED_REMEMBERED
def test_what_was_refused_is_remembered_within_bounds():
    bench = EngineBench()
    bench.switch.handle(QueueAged(2 * TARGET, "udp"), 0.0)
    judge = bench.switch.shedding.overload
    judge.admits("office", Kind.CALL, 0.0)
    judge._peers["office"].fraction = 0.0
    for n in range(limits.REFUSED_REMEMBERED):
        bench.switch.receive(bench_invite(n), PBX, 0.05)
    assert len(bench.switch.shedding._refused) == limits.REFUSED_REMEMBERED // 2
    table = next(table for table in bench.switch.tables() if table.name == "refused_remembered")
    assert (table.used, table.most, table.is_ring) == (
        len(bench.switch.shedding._refused),
        limits.REFUSED_REMEMBERED,
        True,
    )
    assert judge.is_on


# --- RFC 7339 ---------------------------------------------------------------------------------------------------------


def told(data: bytes) -> dict[str, str | None]:
    return {name: value for name, value in parse_message(data, stream=False).via.params if name.startswith("oc")}


def test_a_client_that_asks_is_told_in_every_response():
    bench = EngineBench()
    out = bench.receive(bench_invite(1).replace(b";rport", OC.encode() + b";rport"), PBX)
    trying = next(one.data for one in out if one.flow.remote == PBX.remote)
    assert told(trying)["oc"] == "0"
    assert told(trying)["oc-validity"] == "0"
    bench.switch.handle(QueueAged(2 * TARGET, "udp"), 0.0)
    judge = bench.switch.shedding.overload
    judge.admits("office", Kind.CALL, 0.0)
    judge._peers["office"].fraction = judge._peers["office"].told = 0.3
    judge.is_shedding = True
    refused = [bench.receive(bench_invite(n).replace(b";rport", OC.encode() + b";rport"), PBX) for n in range(2, 30)]
    answers = [out[0].data for out in refused if out[0].data.startswith(b"SIP/2.0 503")]
    assert answers
    for data in answers:
        assert (told(data)["oc"], told(data)["oc-algo"], told(data)["oc-validity"]) == ("70", '"loss"', "500")
        assert b"Retry-After" not in data  # §5.10.2


def test_what_a_neighbour_says_is_not_passed_on():
    bench = EngineBench()
    out = bench.receive(bench_invite(1).replace(b";rport", OC.encode() + b";rport"), PBX)
    invite = next(one.data for one in out if one.flow.remote == CARRIER.remote)
    assert b";oc" not in invite


def test_a_server_that_asks_for_fewer_calls_gets_fewer_and_emergencies_all_the_same(world):
    more = EMERGENCY.replace('["sip:198.51.100.7:5060"]', '["sip:198.51.100.7:5060"], overload: rfc7339')
    sbc = world(more)
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    sent = [data for data in sbc.net.sent_to(carrier) if data.startswith(b"INVITE") and OC.encode() in data]
    assert len(sent) == 1
    carrier_says(sbc, carrier, sent[0], "oc=100;oc-validity=60000;oc-seq=7.0")
    assert sbc.switch.relations.throttle.loss(Address("198.51.100.7", 5060), sbc.now) == 100
    assert office.invites(FAR).status == 503
    assert (sbc.cdr.only.cause, sbc.cdr.only.attempts) == ("overload", ())
    assert refusals(sbc)[0].header("Retry-After") is None
    office.invites("911")
    assert len([data for data in sbc.net.sent_to(carrier) if data.startswith(b"INVITE")]) == 2
    carrier.answers()
    carrier_says(sbc, carrier, sent[0], "oc=0;oc-validity=0;oc-seq=8.0")
    office.invites(FAR)
    carrier.answers()
    assert office.is_talking


def carrier_says(sbc: World, carrier, invite: bytes, params: str) -> None:
    """A response of the carrier to an INVITE of ours that is still remembered, with these parameters in its Via."""
    request = parse_message(invite, stream=False)
    assert isinstance(request, Request)
    via = (request.header("Via") or "").replace(";oc;", f";{params};", 1)
    data = (
        f"SIP/2.0 200 OK\r\nVia: {via}\r\nFrom: {request.header('From')}\r\nTo: {request.header('To')};tag=late\r\n"
        f"Call-ID: {request.call_id}\r\nCSeq: {request.header('CSeq')}\r\nContent-Length: 0\r\n\r\n"
    ).encode()
    sbc.inject(data, carrier)


# --- load, in virtual time --------------------------------------------------------------------------------------------

# What this costs here matters not: only how much of it there is. Seconds of one CPU.
INVITE_COST, MESSAGE_COST, SHED_COST = 0.00045, 0.00011, 0.00003
CAPACITY = 1 / (INVITE_COST + 6 * MESSAGE_COST)
DECLARED = 0.7 * CAPACITY


class Simulation:
    """A node with one socket and a cost for each message, in front of the real judgement and none of the rest."""

    def __init__(self, seed: int = 5) -> None:
        self.draw = random.Random(seed)
        self.overload = Overload()
        self.served: Counter[tuple[str, int]] = Counter()
        self.offered: Counter[tuple[str, int]] = Counter()
        self.oldest: Counter[int] = Counter()
        self._events: list[tuple[float, int, str, str]] = []
        self._n = 0

    def run(self, rates, seconds: float) -> None:
        """`rates(t)`: calls a second by peer."""
        for peer in rates(0.0):
            self._push(self.draw.random() * 0.01, "next", peer)
        queue: deque[tuple[float, str, str]] = deque()
        now, has_queue = 0.0, False
        while now < seconds:
            self._arrive(now, queue, rates)
            self.overload.tick(now)
            if not queue:
                if has_queue:
                    self.overload.queued(0.0, "udp", now)
                has_queue = False
                due = self.overload.next_deadline()
                now = max(now, min(self._events[0][0], self._events[0][0] if due is None else due))
                continue
            begun = now
            for n in range(64):
                if not queue or now - begun > 0.01:
                    break
                arrived, what, peer = queue.popleft()
                if n == 3:
                    has_queue = True
                    self.overload.queued(now - arrived, "udp", now)
                    self.oldest[int(now)] = max(self.oldest[int(now)], now - arrived)
                now += self._serve(what, peer, now)
                self._arrive(now, queue, rates)
            now += 0.00006

    def _serve(self, what: str, peer: str, now: float) -> float:
        if what == "message":
            return MESSAGE_COST
        judge = self.overload
        if judge.is_on and judge.admits(peer, Kind.CALL, self.draw.random()).value != "admit":
            return SHED_COST
        self.served[peer, int(now)] += 1
        for n in range(1, 5):
            self._push(now + 0.002 * n, "message", peer)
        self._push(now + 2.0, "message", peer)
        self._push(now + 2.01, "message", peer)
        return INVITE_COST

    def _arrive(self, now: float, queue: deque[tuple[float, str, str]], rates) -> None:
        while self._events and self._events[0][0] <= now:
            at, _, what, peer = heapq.heappop(self._events)
            if what == "message":
                queue.append((at, what, peer))
                continue
            rate = rates(at)[peer]
            queue.append((at, "invite", peer))
            self.offered[peer, int(at)] += 1
            self._push(at + self.draw.expovariate(rate), "next", peer)

    def _push(self, at: float, what: str, peer: str) -> None:
        self._n += 1
        heapq.heappush(self._events, (at, self._n, what, peer))


def test_at_ten_times_the_declared_rate_nearly_that_rate_is_served_and_soon_after_everything():
    node = Simulation()
    node.run(lambda t: {"a": DECLARED * (10 if 2 <= t < 12 else 0.8)}, 18.0)
    served = [node.served["a", second] for second in range(18)]
    assert sum(served[4:12]) / 8 >= 0.9 * DECLARED
    assert max(node.oldest.values()) < 0.5
    assert all(node.served["a", second] >= 0.97 * node.offered["a", second] for second in range(14, 18))
    assert not node.overload.is_on


def test_a_little_more_than_can_be_served_does_not_make_it_swing():
    node = Simulation()
    node.run(lambda t: {"a": CAPACITY * (1.3 if t >= 1 else 0.5)}, 14.0)
    served = [node.served["a", second] for second in range(5, 14)]
    assert min(served) >= 0.7 * CAPACITY
    assert sum(served) / len(served) >= 0.85 * CAPACITY


def test_the_flood_of_one_peer_is_at_that_peers_cost():
    node = Simulation()
    node.run(lambda t: {"flood": CAPACITY * (8 if t >= 2 else 0.1), "other": CAPACITY * 0.2}, 12.0)
    for second in range(5, 12):
        assert node.served["other", second] >= 0.9 * node.offered["other", second]
