"""Silence, owners and hand-overs, a second at a time, with sessions that say what they are told to say."""

from typing import cast

import pytest

from sbc.media import wire
from sbc.media.worker.agenda import Agenda
from sbc.media.worker.engine import Flow, NoEngine
from sbc.media.worker.session import Session
from sbc.media.worker.surroundings import Surroundings
from sbc.media.worker.sweep import Life, Sweep


class Engine:
    def __init__(self) -> None:
        self.beats = 0

    def beat(self) -> None:
        self.beats += 1

    def put(self, flow: Flow) -> str:
        raise NotImplementedError


class Told:
    """In place of a session."""

    def __init__(self, put: wire.PutSession) -> None:
        self.put = put
        self.heard = 0.0
        self.asked = 0
        self.verified: list[float] = []

    def heard_at(self) -> float:
        self.asked += 1
        return self.heard

    def verify(self, now: float) -> None:
        self.verified.append(now)


class Swept:
    """A worker's sessions, and a clock that begins at 100."""

    def __init__(self, engine: object = None) -> None:
        self.now = 100.0
        self.said: list[wire.Reply] = []
        self.ended: list[str] = []
        self.lives: dict[str, Life] = {}
        self.agenda = Agenda()
        around = Surroundings(None, None, self.agenda, lambda: self.now, self.said.append)  # type: ignore[arg-type]
        around.engine = engine or NoEngine()  # type: ignore[assignment]
        self.sweep = Sweep(around, self.lives, self.end, self.now)

    def end(self, ref: str) -> None:
        self.ended.append(ref)
        del self.lives[ref]

    def put(self, silence: float = 0.0, *, ref: str = "a", early: bool = False) -> Told:
        put = wire.PutSession(ref, 1, (), early=early, silence_seconds=silence)
        told = Told(put)
        self.lives[ref] = Life(cast("Session", told))
        self.lives[ref].begin(self.now)
        return told

    def passes(self, seconds: float) -> None:
        end = self.now + seconds
        while (at := self.agenda.next_deadline()) is not None and at <= end:
            self.now = at
            self.agenda.tick(at)
        self.now = end


def test_silence_is_said_when_its_time_has_come_and_once():
    swept = Swept()
    swept.put(10)
    swept.passes(9)
    assert swept.said == []
    swept.passes(1)
    assert swept.said == [wire.Silent("a", 10)]
    swept.passes(100)
    assert swept.said == [wire.Silent("a", 10)]


def test_a_session_that_was_heard_is_not_silent_until_its_time_has_passed_since():
    swept = Swept()
    session = swept.put(10)
    session.heard = 107.5
    swept.passes(17)
    assert swept.said == []
    swept.passes(1)
    assert swept.said == [wire.Silent("a", 10)]


def test_a_silence_that_was_broken_may_be_followed_by_another():
    swept = Swept()
    session = swept.put(10)
    swept.passes(12)
    session.heard = 112
    swept.passes(9)
    assert len(swept.said) == 1
    swept.passes(3)
    assert len(swept.said) == 2


def test_the_time_begins_anew_with_every_put():
    swept = Swept()
    swept.put(10)
    swept.passes(9)
    swept.lives["a"].begin(swept.now)
    swept.passes(9)
    assert swept.said == []
    swept.passes(2)
    assert len(swept.said) == 1


@pytest.mark.parametrize(("seconds", "early"), [(0.0, False), (-1.0, False), (10.0, True)])
def test_a_call_on_hold_or_still_early_may_be_silent(seconds: float, early: bool):
    swept = Swept()
    swept.put(seconds, early=early)
    swept.passes(1000)
    assert swept.said == []


def test_an_unowned_session_ends_instead_of_being_called_silent():
    swept = Swept()
    swept.put(10)
    swept.lives["a"].ownerless_since = 100.0
    swept.passes(9)
    assert swept.ended == []
    swept.passes(1)
    assert (swept.ended, swept.said) == (["a"], [])


def test_an_unowned_session_ends_after_the_orphan_time_however_loud_it_is():
    swept = Swept()
    swept.sweep.orphan_seconds = 60
    session = swept.put(10)
    swept.lives["a"].ownerless_since = 100.0
    for _ in range(59):
        session.heard = swept.now
        swept.passes(1)
    assert swept.ended == []
    swept.passes(1)
    assert swept.ended == ["a"]


def test_an_owned_session_outlives_the_orphan_time():
    swept = Swept()
    swept.sweep.orphan_seconds = 60
    swept.put()
    swept.passes(100)
    assert swept.ended == []


def test_several_sessions_may_end_at_once():
    swept = Swept()
    for ref in "abc":
        swept.put(10, ref=ref)
        swept.lives[ref].ownerless_since = 100.0
    swept.passes(10)
    assert swept.ended == ["a", "b", "c"]


def test_the_engine_hears_every_second_that_we_live_and_hand_overs_are_verified():
    engine = Engine()
    swept = Swept(engine)
    session = swept.put()
    swept.passes(3)
    assert engine.beats == 3
    assert session.verified == [101, 102, 103]


def test_without_an_engine_nothing_is_verified():
    swept = Swept()
    session = swept.put()
    swept.passes(3)
    assert session.verified == []


def test_a_session_is_asked_only_when_it_could_be_silent():
    swept = Swept()
    session = swept.put(10)
    for _ in range(100):
        session.heard = swept.now
        swept.passes(1)
    assert session.asked <= 11


def test_a_session_that_breaks_takes_no_other_with_it() -> None:
    swept, broke = Swept(Engine()), list[Exception]()
    swept.agenda.broke = broke.append
    bad, good = swept.put(ref="bad"), swept.put(ref="good")
    bad.verified = cast("list[float]", None)
    swept.now += 1
    swept.agenda.tick(swept.now)
    assert good.verified == [101.0]
    assert len(broke) == 1
