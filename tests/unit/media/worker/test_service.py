"""What the wire contract cannot show: the state of the sockets themselves, and sizes. The contract: tests/machines."""

import pytest
from msgspec import structs

from sbc.core.limits import CONTROL_MESSAGE_OCTETS
from sbc.core.tables import Table
from sbc.media import wire
from sbc.media.worker.ports import Udp
from sbc.media.worker.refusals import STREAMS_AT_MOST
from sbc.media.worker.relay import Inlet
from sbc.media.worker.service import STREAMS_PER_REPORT, Service

INSIDE, OUTSIDE = "192.0.2.1", "2001:db8::1"
FAR = {INSIDE: wire.Remote("192.0.2.30", 4000, 4001), OUTSIDE: wire.Remote("2001:db8::40", 5000, 5001)}
ATTACH, DETACH = 26, 27


class Socket:
    """Knows whether it is muted and what was read from its queue."""

    def __init__(self, number: int, *, waiting: int = 0) -> None:
        self.number = number
        self.waiting = waiting
        self.is_muted = True
        self.is_moving = False
        self.is_closed = False
        self.errors: list[OSError] = []

    def fileno(self) -> int:
        return self.number

    def recvfrom_into(self, buffer: bytearray) -> tuple[int, tuple[str, int]]:
        assert self.is_muted or self.is_moving, "drained while more can come"
        if self.errors:
            raise self.errors.pop()
        if not self.waiting:
            raise BlockingIOError
        self.waiting -= 1
        return 1, ("203.0.113.66", 1)

    def sendto(self, data: bytes | memoryview, address: tuple[str, int]) -> int:
        raise NotImplementedError

    def setsockopt(self, level: int, option: int, value: bytes | int) -> None:
        assert level == 1
        assert option in (ATTACH, DETACH)
        if option == DETACH and not self.is_muted:
            raise FileNotFoundError(2, "no filter")
        self.is_muted = option == ATTACH

    def getsockopt(self, level: int, option: int) -> int:
        raise NotImplementedError

    def close(self) -> None:
        self.is_closed = True


class Watched(set[int]):
    """Of which sockets the poller was told."""

    def set(self, socket: Udp, inlet: Inlet) -> None:
        self.add(socket.fileno())

    def unset(self, socket: Udp) -> None:
        self.discard(socket.fileno())


class Worker:
    def __init__(self) -> None:
        self.watched = Watched()
        self.now = 1000.0
        self.service = Service(self.watched, lambda: self.now)
        self.sockets = {local: [Socket(n + i) for i in range(4)] for n, local in ((10, INSIDE), (20, OUTSIDE))}
        for local, sockets in self.sockets.items():
            assert self.service.receive(wire.encode(wire.AddPorts(local, (20000, 20002))), sockets) == []

    def put(self, ref: str = "a", generation: int = 1, *, port: int = 20000, resumed: bool = False) -> None:
        ingress, egress = (wire.End(local, port, FAR[local]) for local in (INSIDE, OUTSIDE))
        put = wire.PutSession(ref, generation, (wire.Stream(ingress, egress),), resumed)
        assert self.service.receive(wire.encode(put)) == []

    def delete(self, ref: str) -> None:
        self.service.receive(wire.encode(wire.DeleteSession(ref)))

    def closed(self) -> set[int]:
        return {one.number for sockets in self.sockets.values() for one in sockets if one.is_closed}

    def unmuted(self) -> set[int]:
        return {one.number for sockets in self.sockets.values() for one in sockets if not one.is_muted}


@pytest.fixture
def worker() -> Worker:
    return Worker()


def test_only_the_ports_of_a_session_are_watched_and_heard(worker: Worker) -> None:
    assert worker.watched == worker.unmuted() == set()
    worker.put()
    assert worker.watched == worker.unmuted() == {10, 11, 20, 21}
    worker.put(generation=2, port=20002)
    assert worker.watched == worker.unmuted() == {12, 13, 22, 23}
    worker.delete("a")
    assert worker.watched == worker.unmuted() == set()


def test_what_waits_in_a_port_that_a_session_takes_is_thrown_away(worker: Worker) -> None:
    one = worker.sockets[INSIDE][0]
    one.waiting = 3
    one.errors = [ConnectionRefusedError()]
    worker.put()
    assert one.waiting == 0


def test_what_waits_for_a_session_whose_worker_died_is_kept(worker: Worker) -> None:
    one = worker.sockets[INSIDE][0]
    one.waiting, one.is_muted = 3, False
    worker.put(resumed=True)
    assert one.waiting == 3


def test_what_waits_for_a_running_session_is_kept_when_it_is_put_again(worker: Worker) -> None:
    worker.put()
    worker.sockets[INSIDE][0].waiting = 3
    worker.put(generation=2)
    assert worker.sockets[INSIDE][0].waiting == 3


def test_a_robbed_session_leaves_the_port_alone_when_it_ends(worker: Worker) -> None:
    worker.put("a")
    for sockets in worker.sockets.values():
        for one in sockets:
            one.is_moving = True
    worker.put("b")
    worker.delete("a")
    assert worker.watched == worker.unmuted() == {10, 11, 20, 21}


def test_ports_without_their_descriptors_are_refused(worker: Worker) -> None:
    (refused,) = worker.service.receive(wire.encode(wire.AddPorts(INSIDE, (20004,))), [Socket(1)])
    assert isinstance(refused, wire.Refused)
    assert "1 port pairs on 192.0.2.1 came with 1 descriptors" in refused.reason


def test_ports_that_come_twice_stay_as_they_are(worker: Worker) -> None:
    worker.put()
    again = [Socket(98), Socket(99)]
    assert worker.service.receive(wire.encode(wire.AddPorts(INSIDE, (20000,))), again) == []
    assert [one.is_closed for one in again] == [True, True]
    assert worker.closed() == set()
    worker.delete("a")
    worker.now += 30
    worker.put("b")
    assert worker.watched == {10, 11, 20, 21}


def test_ports_that_another_worker_has_are_closed_here_and_left_as_they_are(worker: Worker) -> None:
    worker.put()
    worker.service.receive(wire.encode(wire.DropPorts(INSIDE, (20000, 20002, 20004))))
    assert worker.closed() == {10, 11, 12, 13}
    assert worker.unmuted() == {10, 11, 20, 21}
    assert worker.watched == {20, 21}
    worker.delete("a")
    assert worker.unmuted() == {10, 11}


def test_a_session_whose_port_is_gone_may_be_put_without_it(worker: Worker) -> None:
    worker.put()
    worker.service.receive(wire.encode(wire.DropPorts(INSIDE, (20000,))))
    worker.put(generation=2, port=20002)
    assert worker.watched == {12, 13, 22, 23}


def test_what_was_not_brought_again_is_closed_once_nobody_uses_it(worker: Worker) -> None:
    worker.put()
    worker.service.connected()
    again = [Socket(90), Socket(91)]
    worker.service.receive(wire.encode(wire.AddPorts(OUTSIDE, (20000,))), again)
    assert worker.closed() == set()
    worker.service.receive(wire.encode(wire.Synced()))
    assert worker.closed() == {12, 13, 22, 23}
    worker.delete("a")
    assert worker.closed() == {10, 11, 12, 13, 22, 23}
    assert worker.watched == set()


def test_a_pair_that_a_worker_before_us_left_open_is_muted_once_everything_has_been_said(worker: Worker) -> None:
    for one in worker.sockets[INSIDE]:
        one.is_muted = False
    worker.put(resumed=True)
    worker.service.receive(wire.encode(wire.Synced()))
    assert worker.unmuted() == {10, 11, 20, 21}


def test_nothing_is_told_while_nobody_listens(worker: Worker) -> None:
    worker.put()
    worker.service.disconnected(worker.now)
    worker.now += 3601
    worker.service.agenda.tick(worker.now)
    assert worker.service.news == []
    worker.service.connected()
    (report,) = worker.service.receive(wire.encode(wire.Query()))
    assert isinstance(report, wire.Report)
    assert report.sessions == ()


def test_the_orphan_time_counts_from_when_signalling_left(worker: Worker) -> None:
    worker.service.receive(wire.encode(wire.Configure("node", "userland", orphan_seconds=60)))
    worker.put()
    worker.service.disconnected(worker.now)
    for _ in range(50):
        worker.now += 1
        worker.service.agenda.tick(worker.now)
    worker.service.connected()
    worker.service.receive(wire.encode(wire.Synced()))
    for _ in range(10):
        assert worker.service.news == []
        worker.now += 1
        worker.service.agenda.tick(worker.now)
    assert [type(news) for news in worker.service.news] == [wire.SessionEnded]


def test_news_of_a_connection_that_is_over_is_nobodys(worker: Worker) -> None:
    worker.service.news.append(wire.Silent("a", 5))
    worker.service.connected()
    assert worker.service.news == []


# BOUND: CONTROL_MESSAGE_OCTETS
def test_a_report_fits_in_a_message_when_everything_in_it_is_at_its_largest() -> None:
    far, local = "[2001:db8:1111:2222:3333:4444:5555:6666]:65535", "2001:db8:1111:2222:3333:4444:5555:6666"
    most: dict[str, object] = {}
    for field in structs.fields(wire.EndCount):
        if field.type is int:
            is_long = field.name.startswith(("received", "sent", "in_kernel"))
            most[field.name] = 2**64 - 1 if is_long else 2**32 - 1
        elif field.type is float:
            most[field.name] = 1 / 3
    most |= {"source": far, "engine": "userland", "why": "w" * 100}
    streams = (wire.StreamCount(wire.EndCount(**most), wire.EndCount(**most)),)  # type: ignore[arg-type]
    session = wire.SessionCount("r" * 256, 2**31, streams, ((local, 65534), (local, 65534)))
    report = wire.Report(
        (session,) * STREAMS_PER_REPORT, tables=(Table("media_dtls_handshakes", 2**32, 2**32, True),) * 8
    )
    assert len(wire.encode(report)) <= CONTROL_MESSAGE_OCTETS
    assert len(wire.encode(wire.SessionEnded("r" * 256, streams * STREAMS_AT_MOST))) <= CONTROL_MESSAGE_OCTETS


def test_a_report_has_only_so_many_streams(worker: Worker) -> None:
    for n in range(2 * STREAMS_PER_REPORT + 1):
        worker.service.receive(wire.encode(wire.PutSession(f"{n}", 1, ())))
    reports = worker.service.receive(wire.encode(wire.Query()))
    assert [len(one.sessions) for one in reports if isinstance(one, wire.Report)] == [40, 40, 1]


def test_a_session_that_ends_while_reports_are_made_is_in_no_later_one(worker: Worker) -> None:
    for n in range(2 * STREAMS_PER_REPORT):
        worker.service.receive(wire.encode(wire.PutSession(f"{n}", 1, ())))
    reports = iter(worker.service.receive(wire.encode(wire.Query())))
    next(reports)
    worker.service.receive(wire.encode(wire.DeleteSession("0")))
    worker.service.receive(wire.encode(wire.DeleteSession("79")))
    worker.service.receive(wire.encode(wire.PutSession("new", 1, ())))
    (report,) = reports
    assert isinstance(report, wire.Report)
    assert [one.ref for one in report.sessions] == [str(n) for n in range(40, 79)]
    assert report.last


END = wire.End(INSIDE, 20000, FAR[INSIDE])
OTHER = wire.End(OUTSIDE, 20000, FAR[OUTSIDE])


@pytest.mark.parametrize(
    "wrong",
    [
        wire.Stream(END, OTHER, ingress_clocks=((8, 0),)),
        wire.Stream(END, OTHER, egress_clocks=((128, 8000),)),
        wire.Stream(END, OTHER, transcodings=(wire.Transcoding("ingress", 8, "PCMA", 128, "PCMU"),)),
        wire.Stream(END, OTHER, transcodings=(wire.Transcoding("ingress", 8, "PCMA", 18, "G729"),)),
        wire.Stream(END, OTHER, transcodings=(wire.Transcoding("ingress", 8, "PCMA", 0, "PCMA"),)),
    ],
)
def test_what_cannot_be_recoded_or_clocked_is_refused(worker: Worker, wrong: wire.Stream) -> None:
    (refused,) = worker.service.receive(wire.encode(wire.PutSession("a", 1, (wrong,))))
    assert isinstance(refused, wire.Refused)
    assert refused.ref == "a"
    assert worker.watched == set()


@pytest.mark.parametrize(
    "put", [wire.PutSession("r" * 257, 1, ()), wire.PutSession("a", 1, (wire.Stream(END, OTHER),) * 41)]
)
def test_a_session_whose_report_would_not_fit_is_refused(worker: Worker, put: wire.PutSession) -> None:
    (refused,) = worker.service.receive(wire.encode(put))
    assert isinstance(refused, wire.Refused)
    assert "at most" in refused.reason
