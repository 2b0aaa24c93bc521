import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.core.address import Address
from sbc.core.limits import DIGITS_UNSAID
from sbc.core.tables import Table
from sbc.media import counting, wire
from sbc.media.client import MediaClient, Outgoing
from sbc.testing.media import FakeMedia, Packet

INSIDE, OUTSIDE = "192.0.2.1", "198.51.100.1"
PBX, CARRIER = wire.Remote("192.0.2.30", 4000, 4001), wire.Remote("198.51.100.40", 5000, 5001)
RTP = bytes([0x80]) + bytes(19)


def session(ref: str = "a", generation: int = 1, *, inside: int = 20000, outside: int = 20000) -> wire.PutSession:
    stream = wire.Stream(wire.End(INSIDE, inside, PBX), wire.End(OUTSIDE, outside, CARRIER))
    return wire.PutSession(ref, generation, (stream,))


def requests(messages: list[Outgoing]) -> list[wire.Request]:
    return [wire.decode_request(message.data) for message in messages]


def started(client: MediaClient, worker: int = 0) -> list[wire.Request]:
    """What a worker that starts is told, without what every one is told."""
    configure, *told, synced = requests(client.worker_started(worker))
    assert isinstance(configure, wire.Configure)
    assert (configure.number, synced) == (worker, wire.Synced())
    assert wire.Query() in told
    return [request for request in told if request != wire.Query()]


def running() -> MediaClient:
    client = MediaClient()
    client.worker_started()
    return client


def test_nothing_is_said_before_a_worker_runs_and_everything_then() -> None:
    client = MediaClient()
    assert client.ports_opened(INSIDE, [20000]) == []
    assert client.ports_opened(OUTSIDE, [20000, 20002]) == []
    assert client.ask(session()) == []
    assert client.ask(wire.Query("a")) == []
    assert started(client) == [
        wire.AddPorts(INSIDE, (20000,)),
        wire.AddPorts(OUTSIDE, (20000,)),
        session(),
        wire.AddPorts(OUTSIDE, (20002,)),
        wire.Query("a"),
    ]


def test_a_message_names_the_ports_whose_descriptors_go_with_it() -> None:
    (message,) = running().ports_opened(INSIDE, [20000, 20002])
    assert (message.local, message.ports) == (INSIDE, (20000, 20002))


def test_descriptors_travel_in_groups_that_the_kernel_passes() -> None:
    messages = running().ports_opened(INSIDE, range(20000, 20300, 2))
    assert [len(message.ports) for message in messages] == [60, 60, 30]


def test_what_is_asked_while_a_worker_runs_is_said_at_once() -> None:
    client = running()
    assert requests(client.ask(session())) == [session()]
    assert requests(client.ask(wire.Query("a"))) == [wire.Query("a")]
    assert requests(client.ask(wire.DeleteSession("a"))) == [wire.DeleteSession("a")]


def test_the_next_worker_hears_the_session_as_last_put_and_that_its_packets_wait() -> None:
    client = running()
    client.ask(session())
    client.ask(session(generation=2))
    client.worker_lost()
    (again,) = started(client)
    assert isinstance(again, wire.PutSession)
    assert (again.generation, again.resumed) == (2, True)


def test_an_older_generation_is_not_remembered() -> None:
    client = running()
    client.ask(session(generation=2))
    client.ask(session(generation=1))
    client.worker_lost()
    (again,) = started(client)
    assert isinstance(again, wire.PutSession)
    assert again.generation == 2


def test_ports_that_no_worker_was_told_of_hold_strangers_packets() -> None:
    client = running()
    client.ask(session())
    client.worker_lost()
    client.ask(session(generation=2, outside=20002))
    (again,) = started(client)
    assert again == session(generation=2, outside=20002)


def test_a_deletion_is_said_again_until_it_is_answered_and_silences_the_ports() -> None:
    client = running()
    client.ask(session())
    client.ask(wire.DeleteSession("a"))
    for _ in range(2):
        client.worker_lost()
        put, delete = started(client)
        assert isinstance(put, wire.PutSession)
        assert delete == wire.DeleteSession("a")
    client.received(wire.encode(wire.SessionEnded("a", ())))
    client.worker_lost()
    assert started(client) == []


def test_the_deletion_of_an_unknown_session_is_answered() -> None:
    client = running()
    assert requests(client.ask(wire.DeleteSession("x"))) == [wire.DeleteSession("x")]
    ended = wire.SessionEnded("x", ())
    assert client.received(wire.encode(ended)) == [ended]
    assert client.received(wire.encode(ended)) == [ended]


def test_an_unanswered_deletion_of_an_unknown_session_is_said_again_without_a_put() -> None:
    client = running()
    client.ask(wire.DeleteSession("x"))
    client.worker_lost()
    assert started(client) == [wire.DeleteSession("x")]


def test_sessions_that_are_being_deleted_do_not_count() -> None:
    client = running()
    client.ports_opened(INSIDE, [20000, 20002])
    client.ask(session("a"))
    client.ask(session("b"))
    client.ask(wire.DeleteSession("a"))
    assert (client.sessions, client.ports) == (1, 2)


def test_it_polls_only_a_running_worker_that_has_sessions() -> None:
    client = MediaClient()
    client.ask(session())
    assert client.poll() == []
    client.worker_started()
    assert requests(client.poll()) == [wire.Query()]
    client.ask(wire.DeleteSession("a"))
    client.received(wire.encode(wire.SessionEnded("a", ())))
    assert client.poll() == []


def test_what_a_worker_says_of_its_tables_is_told_until_it_says_otherwise_or_is_gone() -> None:
    client = running()
    some, none = Table("media_slots", 2, 32), Table("media_slots", 0, 32)
    [report] = client.received(wire.encode(wire.Report((), tables=(some,))))
    assert report == wire.Report(()), "the engine has no use for it"
    assert client.tables()[0] == some
    client.received(wire.encode(wire.Report(())))
    assert client.tables()[0] == some, "part of an answer"
    assert requests(client.poll()) == [wire.Query()], "though it has no session: until its tables are empty"
    client.received(wire.encode(wire.Report((), tables=(none,))))
    assert client.poll() == []
    assert client.tables()[0] == none
    client.worker_lost()
    assert some.name not in {table.name for table in client.tables()}


@pytest.mark.parametrize("data", [b"", b"\xff\xff", wire.encode(wire.Query())])
def test_what_is_no_reply_becomes_a_refusal(data: bytes) -> None:
    (refused,) = MediaClient().received(data)
    assert isinstance(refused, wire.Refused)
    assert "no reply" in refused.reason


def test_a_worker_of_another_version_is_not_taken_for_running() -> None:
    client = MediaClient()
    (refused,) = client.received(wire.encode(wire.Running(1, 99)))
    assert isinstance(refused, wire.Refused)
    running_ = wire.Running(1, wire.VERSION)
    assert client.received(wire.encode(running_)) == [running_]


def test_a_refusal_is_passed_on() -> None:
    refused = wire.Refused("a", "why")
    assert MediaClient().received(wire.encode(refused)) == [refused]


# --- counters ---------------------------------------------------------------------------------------------------------


def counted(received: int, sent: int = 0) -> wire.StreamCount:
    return wire.StreamCount(wire.EndCount(received, 20 * received), wire.EndCount(sent=sent))


def report(generation: int, *streams: wire.StreamCount, ref: str = "a") -> bytes:
    return wire.encode(wire.Report((wire.SessionCount(ref, generation, streams),)))


def ingress_received(replies: list[wire.Reply]) -> int:
    (reply,) = replies
    assert isinstance(reply, wire.Report)
    return reply.sessions[0].streams[0].ingress.received


def test_totals_continue_over_a_death_from_the_last_report() -> None:
    client = running()
    client.ask(session())
    assert ingress_received(client.received(report(1, counted(10)))) == 10
    client.worker_lost()
    client.worker_started()
    assert ingress_received(client.received(report(1, counted(3)))) == 13
    client.worker_lost()
    client.worker_started()
    client.ask(wire.DeleteSession("a"))
    (ended,) = client.received(wire.encode(wire.SessionEnded("a", (counted(1),))))
    assert ended == wire.SessionEnded("a", (wire.StreamCount(wire.EndCount(14, 280), wire.EndCount()),))


def test_a_worker_that_continues_has_counted_the_totals_itself() -> None:
    client = running()
    client.ask(session())
    client.received(report(1, counted(10)))
    client.worker_lost()
    client.worker_started(continues=True)
    assert ingress_received(client.received(report(1, counted(13)))) == 13
    client.worker_lost()
    client.worker_started(continues=True)
    client.ask(wire.DeleteSession("a"))
    (ended,) = client.received(wire.encode(wire.SessionEnded("a", (counted(14),))))
    assert ended == wire.SessionEnded("a", (counted(14),))


def test_figures_that_fall_began_at_zero_whatever_the_worker_said() -> None:
    client = running()
    client.ask(session())
    client.received(report(1, counted(10)))
    client.worker_lost()
    client.worker_started(continues=True)
    assert ingress_received(client.received(report(1, counted(2)))) == 12
    assert ingress_received(client.received(report(1, counted(3)))) == 13


def test_counters_are_added_and_measurements_are_the_latest_over_a_death() -> None:
    before = wire.EndCount(
        in_kernel=5, foreign=1, excess=2, lost=3, reordered=4, duplicates=6, jitter_ms=9.0, jitter_max_ms=20.0,
        round_trip_ms=30.0, far_lost=0.5, far_jitter_ms=4.0, source="192.0.2.30:4000", engine="kernel", why="",
    )  # fmt: skip
    after = wire.EndCount(
        in_kernel=0, foreign=1, excess=1, lost=-1, reordered=1, duplicates=1, jitter_ms=2.0, jitter_max_ms=3.0,
        engine="userland", why="recoded",
    )  # fmt: skip
    client = running()
    client.ask(session())
    client.received(report(1, wire.StreamCount(before, wire.EndCount())))
    client.worker_lost()
    client.worker_started()
    (reply,) = client.received(report(1, wire.StreamCount(after, wire.EndCount())))
    assert isinstance(reply, wire.Report)
    assert reply.sessions[0].streams[0].ingress == wire.EndCount(
        in_kernel=5, foreign=2, excess=3, lost=2, reordered=5, duplicates=7, jitter_ms=2.0, jitter_max_ms=20.0,
        round_trip_ms=30.0, far_lost=0.5, far_jitter_ms=4.0, source="192.0.2.30:4000", engine="userland", why="recoded",
    )  # fmt: skip


def test_every_counter_is_either_added_or_measured() -> None:
    names = set(counting._ADDED) | set(counting._LATEST) | {"jitter_max_ms", "engine", "why"}
    assert names == set(wire.EndCount.__struct_fields__)


def test_a_report_about_the_generation_before_is_counted_at_its_own_ports() -> None:
    client = running()
    client.ask(session(generation=1))
    client.ask(session(generation=2, outside=20002))
    client.received(report(1, counted(10, 10)))
    client.worker_lost()
    client.worker_started()
    (reply,) = client.received(report(2, counted(1, 1)))
    assert isinstance(reply, wire.Report)
    assert reply.sessions[0].streams == (wire.StreamCount(wire.EndCount(11, 220), wire.EndCount(sent=1)),)


def test_reports_about_what_is_not_remembered_pass_as_they_are() -> None:
    client = running()
    client.ask(session(generation=1))
    for generation in range(2, 20):
        client.ask(session(generation=generation))
    assert ingress_received(client.received(report(1, counted(5)))) == 5
    assert ingress_received(client.received(report(1, counted(5), ref="stranger"))) == 5


@given(st.lists(st.sampled_from(["packet", "poll", "kill"]), max_size=40))
def test_totals_never_go_backwards_and_miss_only_what_no_report_told(steps: list[str]) -> None:
    media = FakeMedia()
    for local in (INSIDE, OUTSIDE):
        media.open_ports(local, 1)
    media.ask(session())
    packet = Packet(Address(INSIDE, 20000), Address(PBX.host, PBX.port), RTP)
    relayed = unpolled = lost = last = 0
    for step in [*steps, "poll"]:
        match step:
            case "packet":
                assert media.relay(packet)
                relayed, unpolled = relayed + 1, unpolled + 1
            case "poll":
                total = ingress_received(media.poll())
                assert last <= total == relayed - lost
                last, unpolled = total, 0
            case _:
                media.kill()
                lost, unpolled = lost + unpolled, 0
                assert media.relay(packet) == []
                media.start()


def test_a_digit_waits_for_a_worker_and_is_said_once() -> None:
    client = MediaClient()
    digit = wire.PlayDigit("a", 0, "egress", "5", 100)
    assert client.ask(session()) == []
    assert client.ask(digit) == []
    assert started(client)[-1] == digit
    assert requests(client.ask(digit)) == [digit]
    client.worker_lost()
    assert digit not in started(client)


# BOUND: DIGITS_UNSAID
def test_only_the_newest_digits_wait_for_a_worker() -> None:
    client = MediaClient()
    for n in range(DIGITS_UNSAID + 5):
        client.ask(wire.PlayDigit("a", n, "egress", "5", 100))
    assert client.tables() == (Table("media_digits_unsaid", DIGITS_UNSAID, DIGITS_UNSAID, is_ring=True),)
    said = [request.stream for request in started(client) if isinstance(request, wire.PlayDigit)]
    assert client.tables()[0].used == 0
    assert said == list(range(5, DIGITS_UNSAID + 5))


def test_a_digit_that_was_heard_is_passed_on() -> None:
    heard = wire.DigitHeard("a", 0, "ingress", "#", 120)
    assert running().received(wire.encode(heard)) == [heard]


def test_digits_are_counted_over_a_death() -> None:
    client = running()
    client.ask(session())
    count = wire.StreamCount(wire.EndCount(digits_received=2), wire.EndCount(digits_sent=2))
    report = wire.Report((wire.SessionCount("a", 1, (count,)),))
    client.received(wire.encode(report))
    client.worker_lost()
    client.worker_started()
    (total,) = client.received(wire.encode(report))
    assert isinstance(total, wire.Report)
    stream = total.sessions[0].streams[0]
    assert (stream.ingress.digits_received, stream.egress.digits_sent) == (4, 4)


def test_another_engine_is_said_to_those_that_run_and_to_those_that_follow():
    client = MediaClient(wire.Configure("hq", "auto", workers=2))
    client.worker_started(0)
    (said,) = client.change("userland", 60.0)
    assert (said.worker, wire.decode_request(said.data)) == (
        0,
        wire.Configure("hq", "userland", number=0, workers=2, orphan_seconds=60.0),
    )
    assert client.change("userland", 60.0) == []
    assert wire.decode_request(client.worker_started(1)[0].data).engine == "userland"


# --- sessions of an earlier life of signalling ------------------------------------------------------------------------


def adopted(ref: str = "a", generation: int = 1) -> wire.PutSession:
    return msgspec.structs.replace(session(ref, generation), adopted=True)


def test_a_worker_clears_nothing_away_before_every_session_that_goes_on_was_asked_for() -> None:
    client = MediaClient(is_settled=False)
    assert wire.Synced() not in requests(client.worker_started())
    assert adopted() in requests(client.ask(adopted()))
    assert requests(client.settled()) == [wire.Synced()]
    assert client.settled() == []
    assert requests(client.worker_started())[-1] == wire.Synced()


def test_a_worker_that_comes_before_all_were_asked_for_waits_as_well() -> None:
    client = MediaClient(is_settled=False)
    client.worker_started()
    client.ask(adopted())
    client.worker_lost()
    assert wire.Synced() not in requests(client.worker_started())
    assert requests(client.settled()) == [wire.Synced()]


def test_a_session_that_is_adopted_is_resumed_by_a_worker_that_comes_later() -> None:
    client = MediaClient(is_settled=False)
    client.ask(adopted())
    [again] = [one for one in requests(client.worker_started()) if isinstance(one, wire.PutSession)]
    assert (again.resumed, again.adopted) == (True, True)


def test_what_is_adopted_is_no_orphan_and_its_ports_are_nobody_elses() -> None:
    client = MediaClient(is_settled=False)
    client.worker_started()
    reported = wire.SessionCount("a", 1, (), ((INSIDE, 20000), (OUTSIDE, 20000)))
    client.received(wire.encode(wire.Report((reported,))))
    assert client.busy_ports() == {(INSIDE, 20000), (OUTSIDE, 20000)}
    client.ports_opened(INSIDE, [20000])
    client.ports_opened(OUTSIDE, [20000])
    client.ask(adopted())
    assert client.busy_ports() == frozenset()
    assert client.sessions == 1


def test_counts_of_an_adopted_session_go_on_from_the_workers() -> None:
    client = MediaClient(is_settled=False)
    client.worker_started(continues=True)
    client.ask(adopted())
    counted = wire.StreamCount(wire.EndCount(received=70), wire.EndCount(received=80))
    [report] = client.received(wire.encode(wire.Report((wire.SessionCount("a", 1, (counted,)),))))
    assert isinstance(report, wire.Report)
    assert report.sessions[0].streams == (counted,)
