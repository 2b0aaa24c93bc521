from hypothesis import given
from hypothesis import strategies as st

from sbc.core.timers import Schedule, TimerTable


def test_timers_fire_earliest_first_and_once():
    table: TimerTable[str] = TimerTable()
    table.set("B", 32.0)
    table.set("A", 0.5)
    assert table.next() == 0.5
    assert table.pop_due(0.4) == []
    assert table.pop_due(40.0) == ["A", "B"]
    assert table.pop_due(40.0) == []
    assert table.next() is None


def test_a_timer_set_again_has_only_its_last_deadline():
    table: TimerTable[str] = TimerTable()
    table.set("A", 1.0)
    table.set("A", 2.0)
    assert table.pop_due(1.5) == []
    assert table.pop_due(2.0) == ["A"]


def test_stopped_timers_do_not_fire():
    table: TimerTable[str] = TimerTable()
    for name in "ABC":
        table.set(name, 1.0)
    table.stop("A", "never set")
    assert not table.is_set("A")
    table.clear()
    assert table.pop_due(9.0) == []


def test_schedule_forgets_what_is_taken_out():
    schedule: Schedule[str] = Schedule()
    schedule.set("one", 1.0)
    schedule.set("two", 2.0)
    schedule.set("one", None)
    schedule.set("never there", None)
    assert len(schedule) == 1
    assert schedule.next() == 2.0
    assert schedule.pop_due(5.0) == ["two"]
    assert schedule.next() is None


def test_schedule_does_not_grow_when_deadlines_move():
    schedule: Schedule[int] = Schedule()
    for n in range(10_000):
        schedule.set(n % 10, float(n))
    assert len(schedule) == 10
    assert len(schedule._heap) < 200


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.one_of(st.none(), st.integers(0, 20)), st.booleans()),
        max_size=200,
    )
)
def test_schedule_does_what_a_plain_dict_would(steps):
    schedule: Schedule[int] = Schedule()
    plain: dict[int, float] = {}
    for key, at, pops in steps:
        schedule.set(key, at)
        if at is None:
            plain.pop(key, None)
        else:
            plain[key] = at
        assert schedule.next() == min(plain.values(), default=None)
        if pops:
            due = schedule.pop_due(10.0)
            assert set(due) == {k for k, a in plain.items() if a <= 10.0}
            assert [plain[k] for k in due] == sorted(plain[k] for k in due)
            plain = {k: a for k, a in plain.items() if a > 10.0}
        assert len(schedule) == len(plain)


def test_a_schedule_gives_at_most_so_many_and_the_others_are_due_still():
    schedule = Schedule()
    for n in range(5):
        schedule.set(n, float(n))
    assert schedule.pop_due(10.0, 2) == [0, 1]
    assert schedule.next() == 2.0
    assert schedule.pop_due(10.0, 0) == []
    assert schedule.pop_due(10.0) == [2, 3, 4]


def test_what_would_be_repeated_in_the_moment_of_giving_up_is_not():
    timers = TimerTable()
    timers.set("repeat", 1.0)
    timers.set("give up", 32.0)
    timers.set("other", 2.0)
    assert timers.pop_due_but("repeat", "give up", 1.5) == ["repeat"]
    timers.set("repeat", 3.0)
    assert timers.pop_due_but("repeat", "give up", 40.0) == ["other", "give up"]
    assert timers.next() is None
