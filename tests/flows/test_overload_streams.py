"""A peer that fills its own stream with more than is read: it is held, and it is the only one."""

from collections import deque

from sbc.b2bua.events import QueueAged
from sbc.b2bua.steering import INTERVAL, TARGET
from sbc.core.address import Flow, Transport
from sbc.sip.message import Response
from sbc.sip.parse import parse_message
from sbc.testing.phone import address_of
from sbc.testing.world import DID, INSIDE, OUTSIDE, POLICY, World

from .knocking import ANYWHERE, flow, message, said
from .test_overload import CAPACITY, DECLARED, Simulation, overload

NOBODY = "+33123456789"  # no route of POLICY takes it
TWO = POLICY.replace(
    "routes:\n", '  second: {interface: outside, servers: ["sip:198.51.100.8:5060;transport=tcp"]}\nroutes:\n', 1
).replace("to: dids}\n", "to: dids}\n  - {name: inbound-too, from: second, to: dids}\n")


def knocks(sbc: World, way: Flow, n: int, fields: str = "") -> int:
    """The status that an INVITE to nobody gets, made new for each n; 0: none. 404 is for who was let in."""
    invite = message("INVITE", n=n, to=NOBODY, host=way.remote.host, fields=fields)
    answers = [parse_message(one.data, stream=False) for one in said(sbc, invite, way)]
    return max((one.status for one in answers if isinstance(one, Response)), default=0)


def test_the_flood_on_one_carriers_stream_leaves_the_pbx_and_another_carrier_alone(world):
    sbc = world(TWO)
    office, second = sbc.office(), sbc.phone("second", "198.51.100.8:5060", through=OUTSIDE, transport=Transport.TCP)
    flood = Flow(Transport.TCP, "outside", address_of(OUTSIDE), address_of("198.51.100.7:40000"), 1)
    by_udp = Flow(Transport.UDP, "inside", address_of(INSIDE), office.address)
    by_tcp = Flow(Transport.TCP, "outside", address_of(OUTSIDE), address_of("198.51.100.8:40000"), 2)
    flooding: list[int] = []
    n = 1000
    for turn in range(20):  # every read of the flooded stream is a full one, whatever is refused
        sbc.tell(QueueAged(turn * INTERVAL + 2 * TARGET, "tcp:198.51.100.7:40000", flood))
        for way, calls in ((flood, 20), (by_udp, 4), (by_tcp, 4)):  # together more than the least rate
            statuses = [knocks(sbc, way, n := n + 1) for _ in range(calls)]
            if way is flood:
                flooding += statuses
            else:
                assert set(statuses) == {404}
        sbc.run(INTERVAL)
    assert set(flooding[:20]) == {404}  # until it has stood for an interval, it may be a burst
    assert set(flooding[-200:]) == {0}
    view = sbc.switch.snapshot(sbc.now).overload
    assert {peer for peer, *_ in view.shed} == {"carrier"}
    assert view.level > 0.5
    [began] = [dict(log.fields) for log in sbc.logs if log.event == "overload.began"]
    assert began["most"] == "carrier"
    second.invites(DID)
    office.answers()
    assert second.is_talking
    second.hangs_up()

    sbc.tell(QueueAged(0.0, "tcp:198.51.100.7:40000", flood))
    sbc.run(5.0)
    assert [log.event for log in sbc.logs if log.event.startswith("overload.")] == ["overload.began", "overload.ended"]
    assert knocks(sbc, flood, n + 1) == 404
    sbc.run(40.0)
    assert sbc.idle()


def test_the_streams_of_those_who_may_be_anyone_are_strangers_and_those_of_nobody_concern_nobody(world):
    sbc = world(ANYWHERE)
    nobody = Flow(Transport.TCP, "outside", address_of(OUTSIDE), address_of("192.0.2.99:40000"), 1)
    sbc.tell(QueueAged(5 * TARGET, "tcp:192.0.2.99:40000", nobody))
    judge = sbc.switch.shedding.overload
    assert not judge.is_on
    sbc.tell(QueueAged(5 * TARGET, "tcp:192.0.2.66:5060", flow(connection=1)))
    assert judge.is_on
    assert set(judge._own) == {"office, not logged in"}
    sbc.run(5.0)
    assert not judge.is_on
    assert sbc.idle()


def test_of_several_who_share_a_source_nobody_evades_what_its_stream_bears_by_what_no_glance_reads(world):
    twins = POLICY.replace("routes:\n", '  twin: {interface: outside, servers: ["sip:198.51.100.7:5060"]}\nroutes:\n')
    sbc = world(
        twins.replace("to: dids}\n", f"to: dids}}\n  - {{name: other, from: twin, to: ['{NOBODY}'], via: [twin]}}\n")
    )
    overload(sbc, "carrier")
    stream = Flow(Transport.TCP, "outside", address_of(OUTSIDE), address_of("198.51.100.7:40000"), 1)
    assert knocks(sbc, stream, 1) == 503
    assert knocks(sbc, stream, 2, "Subject: two\r\n lines\r\n") == 503
    assert {peer for peer, *_ in sbc.switch.shedding.view().shed} == {"carrier", "twin"}
    assert set(sbc.switch.shedding.overload._peers) == {"carrier"}
    sbc.run(40.0)
    assert sbc.idle()


# --- load, in virtual time --------------------------------------------------------------------------------------------

_READ = 80  # messages that one read takes
_UNREAD = 8_000  # that the kernels on both sides hold; then the sender has to wait
_BUSY_TURN = 0.02


class Streams(Simulation):
    """Each peer has a stream of its own, and they are read in turn. The loop's lag is what they all share."""

    def run(self, rates, seconds: float) -> None:
        queues: dict[str, deque[tuple[float, str]]] = {peer: deque() for peer in rates(0.0)}
        full_since: dict[str, float | None] = dict.fromkeys(queues)
        now, is_late = 0.0, False
        for peer in queues:
            self._push(self.draw.random() * 0.01, "next", peer)
        while now < seconds:
            begun = now
            self._arrive_in(queues, now, rates)
            self.overload.tick(now)
            for peer, queue in queues.items():
                octets = [queue.popleft() for _ in range(min(_READ, len(queue)))]
                self._tell(peer, full_since, now, is_full=len(octets) == _READ)
                for arrived, what in octets:
                    self.oldest[int(now)] = max(self.oldest[int(now)], now - arrived)
                    now += self._serve(what, peer, now)
            if now - begun > _BUSY_TURN or is_late:
                is_late = now - begun > _BUSY_TURN
                self.overload.queued(now - begun, "loop", now)
            if not any(queues.values()):
                now = max(now, min(self._events[0][0], self.overload.next_deadline() or seconds))
            now += 0.00006

    def _arrive_in(self, queues, now: float, rates) -> None:
        arrived: deque[tuple[float, str, str]] = deque()
        self._arrive(now, arrived, rates)
        for at, what, peer in arrived:
            if what == "message" or len(queues[peer]) < _UNREAD:
                queues[peer].append((at, what))

    def _tell(self, peer: str, full_since: dict[str, float | None], now: float, *, is_full: bool) -> None:
        """As `runtime.connection` does it."""
        since = full_since[peer]
        if since is not None:
            self.overload.queued(now - since if is_full else 0.0, f"tcp:{peer}", now, whose=peer)
        full_since[peer] = (now if since is None else since) if is_full else None


def test_at_ten_times_the_declared_rate_by_one_stream_nearly_that_rate_is_served_and_soon_after_everything():
    node = Streams()
    node.run(lambda t: {"a": DECLARED * (10 if 2 <= t < 8 else 0.8)}, 13.0)
    assert sum(node.served["a", second] for second in range(3, 8)) / 5 >= 0.9 * DECLARED
    assert max(node.oldest.values()) < 0.5
    assert all(node.served["a", second] >= 0.97 * node.offered["a", second] for second in range(10, 13))
    assert not node.overload.is_on


def test_a_stream_that_is_never_empty_costs_nobody_else_a_call():
    node = Streams()
    node.run(lambda t: {"flood": CAPACITY * (60 if t >= 1 else 0.1), "b": CAPACITY * 0.2, "c": CAPACITY * 0.3}, 5.0)
    for second in range(2, 5):
        assert node.served["flood", second] < 0.1 * CAPACITY
        for other in ("b", "c"):
            assert node.served[other, second] >= 0.95 * node.offered[other, second]
