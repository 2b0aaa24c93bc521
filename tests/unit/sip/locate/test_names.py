"""What is remembered of the DNS, how long, and what is asked when."""

import pytest

from sbc.core import limits
from sbc.sip.commands import LookUp
from sbc.sip.events import LookedUp, SrvRecord
from sbc.sip.locate.names import NameCache

KEY = ("gw.example", "A")


def answer(*addresses, ttl=60.0, name="gw.example", failed=""):
    return LookedUp(name, "A", addresses, ttl=ttl, failed=failed)


@pytest.fixture
def names():
    return NameCache()


def test_what_is_not_known_is_asked_for_once(names):
    assert names.look(KEY, 0.0) is None
    assert names.look(KEY, 0.0) is None
    assert names.due(0.0) == [LookUp(*KEY)]
    assert names.look(KEY, 1.0) is None
    assert names.due(1.0) == []


def test_an_answer_serves_while_it_lives_and_longer(names):
    assert names.learn(answer("192.0.2.1"), 0.0)
    assert names.look(KEY, 59.0).records == ("192.0.2.1",)
    assert names.due(59.0) == []
    assert names.look(KEY, 61.0).records == ("192.0.2.1",), "old, and still the best that is known"
    assert names.due(61.0) == [LookUp(*KEY)]


def test_the_same_answer_again_is_no_change(names):
    names.learn(answer("192.0.2.1"), 0.0)
    assert not names.learn(answer("192.0.2.1"), 30.0)
    assert names.learn(answer("192.0.2.1", "192.0.2.2"), 40.0)
    assert names.learn(answer(), 50.0)


# BOUND: TTL_FLOOR_SECONDS, TTL_SECONDS, NEGATIVE_TTL_SECONDS
@pytest.mark.parametrize(
    ("ttl", "addresses", "expires_at"),
    [
        (0.0, ["192.0.2.1"], limits.TTL_FLOOR_SECONDS),
        (60.0, ["192.0.2.1"], 60.0),
        (1e9, ["192.0.2.1"], limits.TTL_SECONDS),
        (0.0, [], limits.TTL_FLOOR_SECONDS),
        (1e9, [], limits.NEGATIVE_TTL_SECONDS),
    ],
)
def test_lifetimes_have_a_floor_and_a_ceiling(names, ttl, addresses, expires_at):
    names.learn(answer(*addresses, ttl=ttl), 0.0)
    assert names.look(KEY, 0.0).expires_at == expires_at


# BOUND: LOOK_UP_RETRY_SECONDS, LOOK_UP_RETRY_CEILING_SECONDS
def test_a_failure_leaves_what_was_known_and_is_repeated_less_and_less_often(names):
    names.learn(answer("192.0.2.1"), 0.0)
    now, pauses = 60.0, []
    for _ in range(7):
        assert not names.learn(answer(failed="SERVFAIL"), now)
        known = names.look(KEY, now)
        assert (known.records, known.failed) == (("192.0.2.1",), "")
        pauses.append(known.expires_at - now)
        now = known.expires_at
    assert pauses == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0, 60.0]
    names.learn(answer("192.0.2.2"), now)
    assert names.look(KEY, now).records == ("192.0.2.2",)
    assert names.look(KEY, now).failures == 0


def test_no_such_name_displaces_what_was_known(names):
    names.learn(answer("192.0.2.1"), 0.0)
    assert names.learn(answer(), 10.0)
    assert names.look(KEY, 11.0).records == ()


def test_a_failure_about_what_was_never_known_is_known_as_one(names):
    assert names.learn(answer(failed="time-out"), 0.0)
    assert names.look(KEY, 1.0).failed == "time-out"


# BOUND: NEGATIVE_TTL_SECONDS
def test_an_old_no_is_asked_anew_and_awaited(names):
    names.learn(answer(ttl=10.0), 0.0)
    assert names.look(KEY, 11.0) is not None
    assert names.due(11.0) == [LookUp(*KEY)]
    long_after = 10.0 + limits.NEGATIVE_TTL_SECONDS
    assert names.look(KEY, long_after) is None


def test_an_old_no_serves_while_nobody_answers(names):
    names.learn(answer(ttl=10.0), 0.0)
    names.learn(answer(failed="SERVFAIL"), 20.0)
    assert names.look(KEY, 100_000.0).records == ()


def test_what_is_kept_is_asked_again_before_it_expires_without_being_used(names):
    names.keep(KEY, 0.0)
    assert names.due(0.0) == [LookUp(*KEY)]
    names.learn(answer("192.0.2.1", ttl=100.0), 0.0)
    assert names.next_deadline() == pytest.approx(90.0)
    assert names.due(89.0) == []
    assert names.due(90.0) == [LookUp(*KEY)]
    names.learn(answer(failed="SERVFAIL"), 92.0)
    assert names.due(96.0) == []
    assert names.due(96.6) == [LookUp(*KEY)]


def test_what_is_kept_no_longer_is_left_alone(names):
    names.keep(KEY, 0.0)
    names.due(0.0)
    names.learn(answer("192.0.2.1"), 0.0)
    names.release(KEY)
    assert names.next_deadline() is None


def test_what_is_kept_from_now_on_is_asked_for_only_when_it_grows_old(names):
    names.learn(answer("192.0.2.1", ttl=100.0), 0.0)
    names.keep(KEY, 10.0)
    names.keep(KEY, 20.0)
    assert names.due(90.0) == []
    assert names.due(91.0) == [LookUp(*KEY)]


# BOUND: LOOK_UP_SECONDS
def test_a_look_up_that_nobody_answers_has_failed_after_a_while(names):
    names.look(KEY, 0.0)
    names.due(0.0)
    assert names.next_deadline() == limits.LOOK_UP_SECONDS
    assert names.overdue(limits.LOOK_UP_SECONDS - 0.1) == []
    [event] = names.overdue(limits.LOOK_UP_SECONDS)
    assert (event.name, event.kind) == KEY
    assert event.failed
    assert names.overdue(100.0) == []


# BOUND: LOOK_UP_SECONDS
def test_an_answer_may_come_after_all(names):
    names.look(KEY, 0.0)
    names.due(0.0)
    [event] = names.overdue(limits.LOOK_UP_SECONDS)
    names.learn(event, 6.0)
    assert names.learn(answer("192.0.2.1"), 7.0)
    assert names.look(KEY, 7.0).records == ("192.0.2.1",)


# BOUND: NAMES
def test_what_is_remembered_is_bounded_and_what_is_kept_stays(names, monkeypatch):
    monkeypatch.setattr(limits, "NAMES", 50)
    names.keep(KEY, 0.0)
    names.learn(answer("192.0.2.1"), 0.0)
    for n in range(200):
        names.learn(answer("192.0.2.2", name=f"{n}.example"), 1.0)
    assert len(names) == 50
    assert names.look(KEY, 1.0).records == ("192.0.2.1",)
    assert names.look(("199.example", "A"), 1.0) is not None
    assert names.look(("0.example", "A"), 1.0) is None


# BOUND: RECORDS_PER_SET
def test_a_record_set_is_cut_to_what_is_looked_at(names):
    srv = tuple(SrvRecord(n, 0, 5060, f"{n}.example") for n in range(500))
    names.learn(LookedUp("_sip._udp.example", "SRV", srv=srv), 0.0)
    assert len(names.look(("_sip._udp.example", "SRV"), 0.0).records) == limits.RECORDS_PER_SET


# BOUND: LOOK_UPS
def test_names_that_peers_make_up_wait_for_room_and_those_of_servers_do_not(names, monkeypatch):
    monkeypatch.setattr(limits, "LOOK_UPS", 3)
    for n in range(10):
        names.look((f"{n}.example", "A"), 0.0)
        names.due(0.0)
    assert names.under_way == 3
    names.keep(KEY, 0.0)
    assert names.due(0.0) == [LookUp(*KEY)]
    names.learn(LookedUp("0.example", "A", ("192.0.2.1",), ttl=60.0), 1.0)
    names.learn(LookedUp(*KEY, ("192.0.2.2",), ttl=60.0), 1.0)
    names.look(("9.example", "A"), 1.0)
    assert names.due(1.0) == [LookUp("9.example", "A")]
