"""Several workers: where a session lives, whose ports are whose, and what an earlier signalling has left there."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.core.tables import Table
from sbc.media import wire
from sbc.media.client import MediaClient, Outgoing

INSIDE, OUTSIDE = "192.0.2.1", "198.51.100.1"
PORTS = range(20000, 20040, 2)
Said = list[tuple[int, wire.Request]]


def session(ref: str, inside: int, outside: int, generation: int = 1) -> wire.PutSession:
    stream = wire.Stream(wire.End(INSIDE, inside, None), wire.End(OUTSIDE, outside, None))
    return wire.PutSession(ref, generation, (stream,))


def said(messages: list[Outgoing]) -> Said:
    return [(message.worker, wire.decode_request(message.data)) for message in messages]


def client_of(workers: int, running: int | None = None) -> MediaClient:
    """With ports on both sides, `running` of the workers started."""
    client = MediaClient(wire.Configure("hq", workers=workers))
    for number in range(workers if running is None else running):
        client.worker_started(number)
    for local in (INSIDE, OUTSIDE):
        assert client.ports_opened(local, PORTS) == [], "lent when they are needed"
    return client


def answer(client: MediaClient, worker: int, *sessions: wire.SessionCount, last: bool = True) -> None:
    client.received(wire.encode(wire.Report(sessions, last)), worker)


def test_each_worker_is_configured_with_its_own_number() -> None:
    client = MediaClient(wire.Configure("hq", "kernel", workers=2, own=(INSIDE,), orphan_seconds=60.0))
    for number in (0, 1):
        (worker, configure), *_, last = said(client.worker_started(number))
        assert worker == number
        assert configure == wire.Configure("hq", "kernel", number, 2, (INSIDE,), 60.0)
        assert last == (number, wire.Synced())


def test_a_session_goes_where_the_fewest_are_and_its_ports_just_before_it() -> None:
    client = client_of(2)
    assert said(client.ask(session("a", 20000, 20000))) == [
        (0, wire.AddPorts(INSIDE, (20000,))),
        (0, wire.AddPorts(OUTSIDE, (20000,))),
        (0, session("a", 20000, 20000)),
    ]
    assert {worker for worker, _ in said(client.ask(session("b", 20002, 20002)))} == {1}
    client.ask(wire.DeleteSession("a"))
    assert {worker for worker, _ in said(client.ask(session("c", 20004, 20004)))} == {0}


def test_a_session_stays_in_its_worker_and_all_that_is_said_of_it_goes_there() -> None:
    client = client_of(2)
    client.ask(session("a", 20000, 20000))
    client.ask(session("b", 20002, 20002))
    digit = wire.PlayDigit("b", 0, "egress", "5", 100)
    for request in (session("b", 20002, 20002, 2), digit, wire.Query("b"), wire.DeleteSession("b")):
        assert said(client.ask(request)) == [(1, request)]


def test_everything_is_asked_of_every_worker() -> None:
    assert said(client_of(2).ask(wire.Query())) == [(0, wire.Query()), (1, wire.Query())]


def test_a_pair_that_is_used_again_is_taken_from_the_worker_that_had_it() -> None:
    client = client_of(2)
    client.ask(session("a", 20000, 20000))
    client.ask(session("b", 20002, 20002))
    client.ask(wire.DeleteSession("b"))
    client.received(wire.encode(wire.SessionEnded("b", ())), 1)
    client.ask(session("c", 20004, 20004))
    assert said(client.ask(wire.DeleteSession("a"))) == [(0, wire.DeleteSession("a"))]
    client.received(wire.encode(wire.SessionEnded("a", ())), 0)
    assert said(client.ask(session("d", 20002, 20006))) == [
        (1, wire.DropPorts(INSIDE, (20002,))),
        (0, wire.AddPorts(INSIDE, (20002,))),
        (0, wire.AddPorts(OUTSIDE, (20006,))),
        (0, session("d", 20002, 20006)),
    ]


def test_who_takes_a_leg_over_lives_where_the_leg_is() -> None:
    client = client_of(3)
    for n, ref in enumerate("abc"):
        client.ask(session(ref, 20000 + 2 * n, 20000 + 2 * n))
    client.ask(wire.DeleteSession("a"))
    client.received(wire.encode(wire.SessionEnded("a", ())), 0)
    assert said(client.ask(session("heir", 20004, 20010))) == [
        (2, wire.AddPorts(OUTSIDE, (20010,))),
        (2, session("heir", 20004, 20010)),
    ]


def two_legs_of_two_workers() -> tuple[MediaClient, Said]:
    """`a` in worker 0 and `b` in worker 1; `b` takes a leg of `a`."""
    client = client_of(2)
    client.ask(session("a", 20000, 20000))
    client.ask(session("b", 20002, 20002))
    return client, said(client.ask(session("b", 20000, 20002, 2)))


def test_a_leg_of_another_worker_is_taken_before_it_is_put() -> None:
    _, told = two_legs_of_two_workers()
    assert told == [
        (0, wire.DropPorts(INSIDE, (20000,))),
        (1, wire.AddPorts(INSIDE, (20000,), in_use=True)),
        (1, session("b", 20000, 20002, 2)),
    ]


def test_a_session_that_has_lost_a_leg_to_another_worker_is_not_put_again_and_its_end_is_said() -> None:
    client, _ = two_legs_of_two_workers()
    for ask, expected in ((None, []), (wire.DeleteSession("a"), [(0, wire.DeleteSession("a"))])):
        client.worker_lost(0)
        if ask:
            assert client.ask(ask) == []
        told = said(client.worker_started(0))
        assert [one for one in told if isinstance(one[1], wire.PutSession | wire.DeleteSession)] == expected
        assert (0, wire.AddPorts(OUTSIDE, (20000,))) in told


def test_a_leg_that_moves_to_a_session_in_another_worker_is_named_as_one() -> None:
    client = client_of(2)
    client.ask(session("a", 20000, 20000))
    client.ask(session("b", 20002, 20002))
    assert said(client.ask(session("b", 20004, 20000, 2))) == [
        (0, wire.DropPorts(OUTSIDE, (20000,))),
        (1, wire.AddPorts(INSIDE, (20004,))),
        (1, wire.AddPorts(OUTSIDE, (20000,), in_use=True)),
        (1, session("b", 20004, 20000, 2)),
    ]


def test_a_worker_that_was_away_is_told_which_pairs_it_has_no_more() -> None:
    client = client_of(2)
    client.ask(session("a", 20000, 20000))
    client.ask(session("b", 20002, 20002))
    client.worker_lost(0)
    told = said(client.ask(session("b", 20000, 20002, 2)))
    assert told == [(1, wire.AddPorts(INSIDE, (20000,), in_use=True)), (1, session("b", 20000, 20002, 2))]
    again = said(client.worker_started(0))
    assert again[1] == (0, wire.DropPorts(INSIDE, (20000,)))
    client.worker_lost(0)
    assert not any(isinstance(request, wire.DropPorts) for _, request in said(client.worker_started(0)))


def test_new_sessions_go_to_a_worker_that_runs() -> None:
    client = client_of(2)
    client.worker_lost(0)
    for n in range(3):
        assert {worker for worker, _ in said(client.ask(session(str(n), 20000 + 2 * n, 20000 + 2 * n)))} == {1}
    assert client.sessions_of(1) == client.sessions == 3


def test_sessions_wait_for_their_worker_where_none_runs() -> None:
    client = client_of(2, running=0)
    for n in range(2):
        assert client.ask(session(str(n), 20000 + 2 * n, 20000 + 2 * n)) == []
    for n in range(2):
        put = session(str(n), 20000 + 2 * n, 20000 + 2 * n)
        told = said(client.worker_started(n))
        assert told[1:4] == [(n, wire.AddPorts(local, (20000 + 2 * n,))) for local in (INSIDE, OUTSIDE)] + [(n, put)]


def test_the_death_of_one_worker_leaves_the_counts_of_the_other() -> None:
    client = client_of(2)
    count = wire.StreamCount(wire.EndCount(7), wire.EndCount())
    for n, ref in enumerate("ab"):
        client.ask(session(ref, 20000 + 2 * n, 20000 + 2 * n))
        answer(client, n, wire.SessionCount(ref, 1, (count,)))
    client.worker_lost(0)
    client.worker_started(0)
    for n, ref, received in ((0, "a", 14), (1, "b", 7)):
        report = wire.Report((wire.SessionCount(ref, 1, (count,)),))
        (reply,) = client.received(wire.encode(report), n)
        assert isinstance(reply, wire.Report)
        assert reply.sessions[0].streams[0].ingress.received == received


# --- what a worker has that nobody here has put -----------------------------------------------------------------------


def orphan(ref: str, port: int) -> wire.SessionCount:
    return wire.SessionCount(ref, 1, (), ((INSIDE, port), (OUTSIDE, port)))


def test_it_is_known_what_workers_have_when_all_have_answered() -> None:
    client = client_of(2)
    answer(client, 0, orphan("x", 20000), last=False)
    answer(client, 0, orphan("y", 20002))
    assert not client.is_known
    answer(client, 1)
    assert client.is_known
    assert client.busy_ports() == {(local, port) for local in (INSIDE, OUTSIDE) for port in (20000, 20002)}


def test_ports_of_an_orphan_are_busy_until_it_ends_unasked() -> None:
    client = client_of(2)
    answer(client, 1, orphan("x", 20000))
    ended = wire.SessionEnded("x", ())
    assert client.received(wire.encode(ended), 1) == [ended]
    assert client.busy_ports() == frozenset()


def test_an_orphan_whose_end_was_not_heard_is_missed_by_the_next_poll() -> None:
    client = client_of(2)
    answer(client, 1, orphan("x", 20000))
    answer(client, 0)
    assert said(client.poll()) == [(1, wire.Query())]
    answer(client, 1)
    assert client.busy_ports() == frozenset()


def test_of_several_workers_the_fullest_table_is_told() -> None:
    client = client_of(2)
    for number, used in enumerate((3, 9)):
        tables = (Table("media_slots", used, 10), Table("media_reports", 10 - used, 10))
        client.received(wire.encode(wire.Report((), tables=tables)), number)
    told = {table.name: table.used for table in client.tables()}
    assert told == {"media_slots": 9, "media_reports": 7, "media_digits_unsaid": 0}
    client.worker_lost(1)
    assert {table.name: table.used for table in client.tables()}["media_slots"] == 3


def test_the_answer_about_one_session_says_nothing_of_the_others() -> None:
    client = client_of(2)
    answer(client, 0, orphan("x", 20000))
    client.ask(wire.Query("y"))
    answer(client, 0)
    assert client.busy_ports()


def test_orphans_die_with_their_worker() -> None:
    client = client_of(2)
    answer(client, 1, orphan("x", 20000))
    client.worker_lost(1)
    client.worker_started(1)
    assert client.busy_ports() == frozenset()


def test_what_is_put_or_deleted_by_an_orphans_name_goes_to_its_worker() -> None:
    client = client_of(2)
    answer(client, 1, orphan("x", 20000), orphan("y", 20002))
    assert said(client.ask(wire.DeleteSession("x"))) == [(1, wire.DeleteSession("x"))]
    assert {worker for worker, _ in said(client.ask(session("y", 20002, 20002)))} == {1}
    assert (INSIDE, 20002) not in client.busy_ports()


# --- engines and news -------------------------------------------------------------------------------------------------


def test_the_engine_of_each_worker_is_remembered_while_it_runs() -> None:
    client = client_of(2)
    ready = wire.EngineReady("userland", "no CAP_BPF")
    assert client.received(wire.encode(ready), 1) == [ready]
    assert list(client.engines) == [None, ready]
    client.worker_lost(1)
    assert list(client.engines) == [None, None]


@pytest.mark.parametrize("news", [wire.Silent("a", 300.0), wire.StillHeard(INSIDE, 20000)])
def test_news_pass_as_they_are(news: wire.Reply) -> None:
    assert client_of(2).received(wire.encode(news), 1) == [news]


# --- whatever happens -------------------------------------------------------------------------------------------------


class Worker:
    """What the contract makes of the messages: the pairs that it has, and its sessions."""

    def __init__(self) -> None:
        self.pairs: set[tuple[str, int]] = set()
        self.sessions: dict[str, wire.PutSession] = {}

    def receive(self, request: wire.Request) -> list[wire.Reply]:
        match request:
            case wire.AddPorts(local=local, ports=ports):
                self.pairs |= {(local, port) for port in ports}
            case wire.DropPorts(local=local, ports=ports):
                self.pairs -= {(local, port) for port in ports}
            case wire.PutSession(ref=ref):
                assert pairs_of(request) <= self.pairs, "ports come before the session that needs them"
                self.sessions[ref] = request
            case wire.DeleteSession(ref=ref):
                self.sessions.pop(ref, None)
                return [wire.SessionEnded(ref, ())]
            case _:
                pass
        return []


def pairs_of(put: wire.PutSession) -> set[tuple[str, int]]:
    return {(end.local, end.port) for stream in put.streams for end in (stream.ingress, stream.egress)}


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["put", "put", "put", "delete", "kill", "start"]), st.integers(0, 3), st.integers(0, 9)
        ),
        max_size=60,
    )
)
def test_no_pair_is_in_two_workers_and_every_session_is_where_its_ports_are(
    steps: list[tuple[str, int, int]],
) -> None:
    client = MediaClient(wire.Configure("hq", workers=3))
    workers: dict[int, Worker] = {}
    wanted: dict[str, wire.PutSession] = {}
    users: dict[tuple[str, int], str] = {}

    def perform(messages: list[Outgoing]) -> None:
        for worker, request in said(messages):
            for reply in workers[worker].receive(request):
                client.received(wire.encode(reply), worker)

    for local in (INSIDE, OUTSIDE):
        client.ports_opened(local, PORTS)
    for n, (step, which, port) in enumerate([*steps, ("start", 0, 0), ("start", 1, 0), ("start", 2, 0)]):
        match step:
            case "put":
                put = session(f"s{which}-{n}" if port == 9 else f"s{which}", PORTS[port], PORTS[which + port], n + 1)
                wanted[put.ref] = put
                users |= dict.fromkeys(pairs_of(put), put.ref)
                perform(client.ask(put))
            case "delete":
                wanted.pop(f"s{which}", None)
                perform(client.ask(wire.DeleteSession(f"s{which}")))
            case "kill" if workers.pop(which % 3, None):
                client.worker_lost(which % 3)
            case "start" if which % 3 not in workers:
                workers[which % 3] = Worker()
                perform(client.worker_started(which % 3))
    every = [pair for worker in workers.values() for pair in worker.pairs]
    assert len(every) == len(set(every))
    found = {ref: put for worker in workers.values() for ref, put in worker.sessions.items()}
    for ref, put in wanted.items():
        if all(users[pair] == ref for pair in pairs_of(put)):
            assert found[ref].streams == put.streams
    assert set(found) <= set(wanted)


# --- adopted sessions -------------------------------------------------------------------------------------------------


def test_a_session_that_is_adopted_stays_in_the_worker_that_has_it() -> None:
    client = MediaClient(wire.Configure("hq", workers=2), is_settled=False)
    for number in (0, 1):
        client.worker_started(number)
    answer(client, 0)
    answer(client, 1, wire.SessionCount("a", 1, (), ((INSIDE, 20000), (OUTSIDE, 20000))))
    for local in (INSIDE, OUTSIDE):
        client.ports_opened(local, PORTS)
    put = msgspec.structs.replace(session("a", 20000, 20000), adopted=True)
    told = said(client.ask(put))
    assert {worker for worker, _ in told} == {1}
    assert told[-1] == (1, put)
    assert said(client.settled()) == [(0, wire.Synced()), (1, wire.Synced())]


def test_one_whose_worker_has_died_as_well_goes_to_any_and_is_said_to_be_adopted() -> None:
    """That one's keys are in the memory of another worker: what is not known where it goes, counts as used."""
    client = MediaClient(wire.Configure("hq", workers=2), is_settled=False)
    for number in (0, 1):
        client.worker_started(number)
        answer(client, number)
    for local in (INSIDE, OUTSIDE):
        client.ports_opened(local, PORTS)
    put = msgspec.structs.replace(session("a", 20000, 20000), adopted=True)
    [(worker, told)] = [one for one in said(client.ask(put)) if isinstance(one[1], wire.PutSession)]
    assert told.adopted
    client.worker_lost(worker)
    [again] = [one for _, one in said(client.worker_started(worker)) if isinstance(one, wire.PutSession)]
    assert (again.adopted, again.resumed) == (True, True)
