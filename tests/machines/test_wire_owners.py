"""What `media.wire` promises of connections, owners, silence and pairs that rest, whoever keeps it (`worker_subjects`).

Signalling may go and come back: sessions go on relaying meanwhile, and end when nobody has claimed them for long.
"""

import pytest
from msgspec.structs import replace

from sbc.media import wire

from .worker_subjects import (
    CONFIGURE,
    INSIDE,
    OUTSIDE,
    RTCP,
    STRANGER,
    InMemory,
    Subject,
    at_carrier,
    at_pbx,
    counts,
    from_carrier,
    from_pbx,
    put,
    refused,
    remote,
    rtp,
    stream,
)


def put_silent(worker: Subject, seconds: float, generation: int = 1, *, adopted: bool = False) -> list[wire.Reply]:
    put = wire.PutSession("a", generation, (stream(worker),), silence_seconds=seconds, adopted=adopted)
    return worker.say(put)


# --- configuration ----------------------------------------------------------------------------------------------------


def test_configuration_is_answered_with_the_engine(worker: Subject) -> None:
    assert worker.say(CONFIGURE) == [wire.EngineReady("userland", "")]


def test_an_engine_that_cannot_be_is_answered_with_the_reason(in_memory: InMemory) -> None:
    for engine in ("auto", "kernel"):
        (ready,) = in_memory.say(replace(CONFIGURE, engine=engine))
        assert isinstance(ready, wire.EngineReady)
        assert ready.engine == "userland"
        assert ready.reason


def test_a_report_names_the_ports_of_each_end(worker: Subject) -> None:
    put(worker, stream(worker))
    (report,) = worker.say(wire.Query("a"))
    assert isinstance(report, wire.Report)
    assert report.sessions[0].ports == ((INSIDE, worker.inside[0]), (OUTSIDE, worker.outside[0]))


# --- owners -----------------------------------------------------------------------------------------------------------


def test_sessions_relay_on_while_signalling_is_away_and_for_who_comes_next(in_memory: InMemory) -> None:
    worker = in_memory
    put(worker, stream(worker))
    from_pbx(worker, rtp(1))
    worker.connect()
    assert from_pbx(worker, rtp(2)) == at_carrier(worker, rtp(2))
    worker.say(wire.Synced())
    assert from_pbx(worker, rtp(3)) == at_carrier(worker, rtp(3))
    assert counts(worker)[0].ingress.received == 3


def test_what_nobody_owns_ends_after_the_orphan_time_with_its_counters(in_memory: InMemory) -> None:
    worker = in_memory
    put(worker, stream(worker))
    from_pbx(worker, rtp(1))
    worker.connect()
    worker.say(wire.Synced())
    worker.wait(58)
    assert worker.news() == []
    from_pbx(worker, rtp(2))
    worker.wait(4)
    (ended,) = worker.news()
    assert isinstance(ended, wire.SessionEnded)
    assert (ended.ref, ended.streams[0].ingress.received) == ("a", 2)
    assert from_pbx(worker, rtp(3)) == []


def test_what_nobody_owns_ends_after_its_silence(in_memory: InMemory) -> None:
    worker = in_memory
    put_silent(worker, 10)
    worker.connect()
    worker.say(wire.Synced())
    worker.wait(8)
    from_pbx(worker, rtp(1))
    worker.wait(8)
    assert worker.news() == []
    worker.wait(4)
    assert [type(news) for news in worker.news()] == [wire.SessionEnded]


def test_a_session_that_is_put_again_has_an_owner_and_keeps_counters_and_source(in_memory: InMemory) -> None:
    worker = in_memory
    put(worker, stream(worker))
    from_pbx(worker, rtp(1))
    worker.connect(*worker.inside)
    put(worker, stream(worker), generation=2)
    worker.say(wire.Synced())
    worker.wait(100)
    assert worker.news() == []
    count = counts(worker)[0].ingress
    assert (count.received, bool(count.source)) == (1, True)


def test_a_session_that_is_adopted_before_or_after_synced_is_no_orphan_and_counts_on(in_memory: InMemory) -> None:
    worker = in_memory
    for is_late in (False, True):
        put_silent(worker, 0)
        from_pbx(worker, rtp(1))
        worker.connect(*worker.inside)
        if is_late:
            worker.say(wire.Synced())
        assert put_silent(worker, 0, adopted=True) == []
        if not is_late:
            worker.say(wire.Synced())
        worker.wait(100)
        assert worker.news() == []
        assert from_pbx(worker, rtp(2)) == at_carrier(worker, rtp(2))
        count = counts(worker)[0].ingress
        assert (count.received, count.lost, bool(count.source)) == (2, 0, True)
        worker.say(wire.DeleteSession("a"))


def test_the_time_of_its_silence_goes_on_when_a_session_is_adopted(in_memory: InMemory) -> None:
    worker = in_memory
    put_silent(worker, 10)
    worker.wait(4)
    worker.connect(*worker.inside)
    worker.wait(3)
    put_silent(worker, 10, adopted=True)
    worker.say(wire.Synced())
    worker.wait(2)
    assert worker.news() == []
    worker.wait(3)
    assert [type(news) for news in worker.news()] == [wire.Silent]


def test_silence_that_nobody_heard_of_is_told_to_who_adopts(in_memory: InMemory) -> None:
    worker = in_memory
    put_silent(worker, 5)
    worker.wait(7)
    worker.news()
    worker.connect(*worker.inside)
    put_silent(worker, 5, adopted=True)
    worker.wait(2)
    assert [type(news) for news in worker.news()] == [wire.Silent]


def test_a_session_that_is_adopted_in_another_shape_gets_that(in_memory: InMemory) -> None:
    worker = in_memory
    put(worker, stream(worker))
    from_pbx(worker, rtp(1))
    worker.connect(*worker.inside)
    other = replace(stream(worker), egress=replace(stream(worker).egress, remote=remote(worker, STRANGER)))
    worker.say(wire.PutSession("a", 1, (other,), adopted=True))
    [(_, target, _)] = from_pbx(worker, rtp(2))
    assert target.host == STRANGER
    assert counts(worker)[0].ingress.received == 2


def test_nobody_owns_is_no_reason_to_keep_who_deletes_it(in_memory: InMemory) -> None:
    worker = in_memory
    put(worker, stream(worker))
    worker.connect(*worker.inside)
    worker.say(wire.Synced())
    (ended,) = worker.say(wire.DeleteSession("a"))
    assert isinstance(ended, wire.SessionEnded)
    assert len(ended.streams) == 1
    worker.wait(100)
    assert worker.news() == []


def test_pairs_that_were_not_brought_again_are_gone_but_for_those_in_use(in_memory: InMemory) -> None:
    worker = in_memory
    put(worker, stream(worker, 0))
    worker.connect(worker.inside[1])
    worker.say(wire.Synced())
    assert from_pbx(worker, rtp(1)) == at_carrier(worker, rtp(1))
    assert put(worker, stream(worker, 1), ref="b") == []
    assert refused(put(worker, stream(worker, 2), ref="c"), "c")


def test_before_synced_nothing_is_cleared_away(in_memory: InMemory) -> None:
    worker = in_memory
    worker.connect()
    assert put(worker, stream(worker, 2), ref="c") == []
    worker.wait(100)
    assert worker.news() == []


# --- ports that go to another worker ----------------------------------------------------------------------------------


def test_a_pair_that_another_worker_has_is_not_ours(worker: Subject) -> None:
    assert worker.say(wire.DropPorts(INSIDE, (worker.inside[1],))) == []
    assert refused(put(worker, stream(worker, 1)), "a")
    assert put(worker, stream(worker, 0)) == []


def test_a_session_that_still_uses_it_is_cut_off_there(worker: Subject) -> None:
    put(worker, stream(worker, 0), stream(worker, 1))
    worker.say(wire.DropPorts(INSIDE, (worker.inside[0],)))
    assert from_carrier(worker, rtp(1)) == []
    assert from_pbx(worker, rtp(1), i=1) == at_carrier(worker, rtp(1), i=1)
    (ended,) = worker.say(wire.DeleteSession("a"))
    assert isinstance(ended, wire.SessionEnded)


def test_it_may_come_back(in_memory: InMemory) -> None:
    worker = in_memory
    worker.say(wire.DropPorts(INSIDE, (worker.inside[0],)))
    worker.add(INSIDE, worker.inside[0])
    assert put(worker, stream(worker)) == []
    assert from_pbx(worker, rtp(1)) == at_carrier(worker, rtp(1))


def test_ports_that_nobody_has_are_dropped_without_a_word(worker: Subject) -> None:
    assert worker.say(wire.DropPorts(INSIDE, (2,))) == []


# --- silence ----------------------------------------------------------------------------------------------------------


def test_silence_is_said_once(in_memory: InMemory) -> None:
    worker = in_memory
    put_silent(worker, 5)
    worker.wait(4)
    assert worker.news() == []
    worker.wait(3)
    (silent,) = worker.news()
    assert isinstance(silent, wire.Silent)
    assert silent.ref == "a"
    assert silent.seconds >= 5
    worker.wait(20)
    assert worker.news() == []


@pytest.mark.parametrize("is_rtcp", [False, True])
@pytest.mark.parametrize("by", [from_pbx, from_carrier])
def test_rtp_or_rtcp_from_either_end_is_a_sign_of_life(in_memory: InMemory, by, is_rtcp: bool) -> None:
    worker = in_memory
    put_silent(worker, 5)
    for i in range(4):
        worker.wait(3)
        by(worker, RTCP if is_rtcp else rtp(i), 1 if is_rtcp else 0)
    assert worker.news() == []
    worker.wait(7)
    assert [type(news) for news in worker.news()] == [wire.Silent]


def test_a_stranger_gives_no_sign_of_life(in_memory: InMemory) -> None:
    worker = in_memory
    put_silent(worker, 5)
    for i in range(4):
        worker.wait(2)
        from_pbx(worker, rtp(i), host=STRANGER)
    assert [type(news) for news in worker.news()] == [wire.Silent]


def test_a_call_on_hold_may_be_silent(in_memory: InMemory) -> None:
    put(in_memory, stream(in_memory))
    in_memory.wait(1000)
    assert in_memory.news() == []


def test_the_time_begins_anew_with_every_put(in_memory: InMemory) -> None:
    worker = in_memory
    put_silent(worker, 5)
    worker.wait(4)
    put_silent(worker, 5, generation=2)
    worker.wait(4)
    assert worker.news() == []
    worker.wait(3)
    assert [type(news) for news in worker.news()] == [wire.Silent]


# --- pairs that rest --------------------------------------------------------------------------------------------------


def test_the_former_remote_of_a_pair_that_rests_is_told_of_about_once_a_second(in_memory: InMemory) -> None:
    worker = in_memory
    put(worker, stream(worker))
    from_pbx(worker, rtp(1))
    worker.say(wire.DeleteSession("a"))
    worker.wait(2)
    assert worker.news() == []
    told = []
    for i in range(100):
        assert from_pbx(worker, rtp(i)) == []
        worker.wait(0.05)
        told += worker.news()
    assert set(told) == {wire.StillHeard(INSIDE, worker.inside[0])}
    assert 3 <= len(told) <= 6


def test_a_stranger_at_a_pair_that_rests_is_not_told_of(in_memory: InMemory) -> None:
    worker = in_memory
    put(worker, stream(worker))
    from_pbx(worker, rtp(1))
    worker.say(wire.DeleteSession("a"))
    for i in range(100):
        assert from_pbx(worker, rtp(i), host=STRANGER) == []
        worker.wait(0.05)
    assert worker.news() == []


def test_a_pair_that_rests_serves_the_next_session_and_is_told_of_no_more(in_memory: InMemory) -> None:
    worker = in_memory
    put(worker, stream(worker))
    from_pbx(worker, rtp(1))
    worker.say(wire.DeleteSession("a"))
    worker.wait(5)
    put(worker, stream(worker), ref="b")
    assert from_pbx(worker, rtp(9)) == at_carrier(worker, rtp(9))
    assert from_carrier(worker, rtp(9)) == at_pbx(worker, rtp(9))
    worker.wait(5)
    assert worker.news() == []
