"""Which packets are one digit. Reports come as (timestamp, code, duration, flags: M first, E over), 20 ms apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.media.worker.events import Event
from sbc.media.worker.hearing import SILENCE_SECONDS, Digit, Hearing

SOURCE, OTHER = b"aaaa", b"bbbb"
ONE = [(1000, 1, 160, "M"), (1000, 1, 320, ""), (1000, 1, 480, "E"), (1000, 1, 480, "E"), (1000, 1, 480, "E")]
TWO = [(9000, 2, 160, "M"), (9000, 2, 320, "E"), (9000, 2, 320, "E"), (9000, 2, 320, "E")]


def report(timestamp: int, code: int, duration: int, flags: str) -> Event:
    return Event(code, timestamp, duration, "E" in flags, "M" in flags)


class Ear:
    def __init__(self, rate: int = 8000) -> None:
        self.hearing = Hearing(rate)
        self.now = 100.0
        self.digits: list[tuple[str, int]] = []

    def hear(self, *reports: tuple[int, int, int, str], source: bytes = SOURCE, apart: float = 0.02) -> "Ear":
        for one in reports:
            self.now += apart
            self.digits += [(d.digit, d.milliseconds) for d in self.hearing.take(source, report(*one), self.now)]
        return self

    def wait(self, seconds: float) -> "Ear":
        self.now += seconds
        self.digits += [(d.digit, d.milliseconds) for d in self.hearing.tick(self.now)]
        return self

    @property
    def said(self) -> str:
        return "".join(digit for digit, _ in self.digits)


def test_three_end_packets_are_one_digit_with_its_length() -> None:
    ear = Ear().hear(*ONE)
    assert ear.digits == [("1", 60)]
    assert ear.hearing.begun == 1
    assert ear.hearing.next_deadline() is None


def test_the_same_digit_again_is_another_digit() -> None:
    again = [(timestamp + 2000, *rest) for timestamp, *rest in ONE]
    assert Ear().hear(*ONE, *again).said == "11"  # type: ignore[arg-type]


@pytest.mark.parametrize("lost", range(5))
def test_one_packet_may_be_lost(lost: int) -> None:
    kept = [one for i, one in enumerate(ONE) if i != lost]
    assert Ear().hear(*kept, *TWO).said == "12"


def test_a_digit_of_which_only_one_end_arrives_is_a_digit() -> None:
    assert Ear().hear(ONE[-1]).digits == [("1", 60)]


def test_a_digit_without_an_end_is_over_with_the_next() -> None:
    ear = Ear().hear(*ONE[:2], *TWO)
    assert ear.digits == [("1", 40), ("2", 40)]
    assert ear.hearing.begun == 2


def test_a_digit_without_an_end_is_over_after_a_while() -> None:
    ear = Ear().hear(*ONE[:2])
    assert ear.hearing.next_deadline() == pytest.approx(ear.now + SILENCE_SECONDS)
    assert ear.wait(SILENCE_SECONDS / 2).digits == []
    assert ear.wait(SILENCE_SECONDS / 2 + 0.001).digits == [("1", 40)]
    assert ear.hear(ONE[2]).said == "1", "an end that comes after all says nothing new"


def test_reports_that_overtake_one_another_are_one_digit() -> None:
    shuffled = [ONE[1], ONE[0], ONE[3], ONE[2], ONE[4]]
    assert Ear().hear(*shuffled).digits == [("1", 60)]


def test_late_ends_of_the_digit_before_are_no_digit() -> None:
    assert Ear().hear(*ONE[:4], TWO[0], ONE[4], *TWO[1:]).said == "12"


def test_a_long_digit_in_segments_is_one_digit_with_its_whole_length() -> None:
    """RFC 4733 §2.5.1.3: a report of 0xFFFF without E, then a new timestamp without M."""
    ear = Ear().hear(
        (1000, 5, 800, "M"), (1000, 5, 0xFFFF, ""), (1000 + 0xFFFF, 5, 400, ""), (1000 + 0xFFFF, 5, 800, "E")
    )
    assert ear.digits == [("5", (0xFFFF + 800) // 8)]


def test_a_sender_that_moves_the_timestamp_with_each_report_dials_one_digit() -> None:
    moving = [(timestamp + 160 * i, *rest) for i, (timestamp, *rest) in enumerate(ONE)]
    assert Ear().hear(*moving).said == "1"  # type: ignore[arg-type]


def test_a_sender_that_never_sets_the_marker_dials_each_digit_once() -> None:
    unmarked = [(timestamp, code, duration, flags.replace("M", "")) for timestamp, code, duration, flags in ONE]
    again = [(timestamp + 2000, *rest) for timestamp, *rest in unmarked]
    assert Ear().hear(*unmarked, *again).said == "11"  # type: ignore[arg-type]


def test_digits_of_which_only_the_ends_arrive_are_as_many_digits() -> None:
    assert Ear().hear(ONE[-1], (1000 + 480 + 400, 1, 480, "E")).said == "11"


def test_a_digit_of_which_neither_end_nor_beginning_arrives_is_a_digit() -> None:
    assert Ear().hear(*ONE[:2], (1000 + 480 + 400, 1, 320, "")).wait(1).said == "11"


def test_another_source_dials_digits_of_its_own() -> None:
    assert Ear().hear(*ONE).hear(*ONE, source=OTHER).said == "11"


def test_timestamps_that_begin_anew_after_a_pause_are_no_late_ones() -> None:
    assert Ear().hear(*TWO).wait(6).hear(*ONE).said == "21"


def test_every_digit_has_its_sign_and_what_is_no_digit_is_not_heard() -> None:
    ear = Ear()
    for code in range(256):
        ear.hear((code * 10_000, code, 800, "ME"))
    assert ear.said == "0123456789*#ABCD!"


def test_the_length_follows_the_clock_rate() -> None:
    assert Ear(48_000).hear((0, 9, 4800, "ME")).digits == [("9", 100)]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2**32 - 1), st.integers(0, 20), st.integers(0, 0xFFFF), st.sampled_from(["", "M", "E", "ME"])
        )
    )
)
def test_whatever_comes_no_more_digits_end_than_begin(reports: list[tuple[int, int, int, str]]) -> None:
    ear = Ear().hear(*reports).wait(10)
    assert len(ear.digits) == ear.hearing.begun <= len(reports)
    assert all(isinstance(Digit(*digit), Digit) and digit[1] >= 0 for digit in ear.digits)
