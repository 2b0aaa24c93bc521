import pytest

from sbc.media.worker.agenda import Agenda


class Machine:
    def __init__(self, agenda: Agenda, *more: float) -> None:
        self.agenda = agenda
        self.more = list(more)
        self.asked: list[float] = []

    def tick(self, now: float) -> None:
        self.asked.append(now)
        if self.more:
            self.agenda.book(self.more.pop(0), self)


def test_machines_are_asked_when_their_time_has_come_and_not_before() -> None:
    agenda = Agenda()
    early, late = Machine(agenda), Machine(agenda)
    agenda.book(20.0, late)
    agenda.book(10.0, early)
    assert agenda.next_deadline() == 10.0
    agenda.tick(9.0)
    assert early.asked == []
    agenda.tick(10.0)
    assert (early.asked, late.asked) == ([10.0], [])
    assert agenda.next_deadline() == 20.0


def test_a_machine_may_book_again_while_it_is_asked() -> None:
    agenda = Agenda()
    one = Machine(agenda, 10.02, 10.5)
    agenda.book(10.0, one)
    agenda.tick(10.1)
    assert one.asked == [10.1, 10.1]
    assert agenda.next_deadline() == 10.5


def test_two_machines_may_have_the_same_time() -> None:
    agenda = Agenda()
    both = [Machine(agenda), Machine(agenda)]
    for one in both:
        agenda.book(10.0, one)
    agenda.tick(10.0)
    assert [one.asked for one in both] == [[10.0], [10.0]]
    assert agenda.next_deadline() is None


class Broken:
    def tick(self, now: float) -> None:
        raise MemoryError(f"at {now}")


def test_a_machine_that_breaks_takes_no_other_with_it() -> None:
    agenda, broke = Agenda(), list[Exception]()
    agenda.broke = broke.append
    after = Machine(agenda)
    agenda.book(10.0, Broken())
    agenda.book(10.0, after)
    agenda.tick(10.0)
    assert after.asked == [10.0]
    assert [str(error) for error in broke] == ["at 10.0"]
    assert agenda.next_deadline() is None


def test_a_break_is_seen_where_nobody_takes_it() -> None:
    agenda = Agenda()
    agenda.book(10.0, Broken())
    with pytest.raises(MemoryError):
        agenda.tick(10.0)
