"""The E-model against values that ITU-T G.107 and G.113 give, and against what must hold of any score."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.media.quality import mos, mouth_to_ear_ms


def test_a_perfect_g711_stream():
    assert mos("PCMU", 0.0, 20.0) == pytest.approx(4.409, abs=0.001)  # R = 93.2


@pytest.mark.parametrize(
    ("codec", "loss", "score"),
    [
        ("PCMA", 0.01, 4.33),  # Ie,eff = 95 * 1 / 26.1 = 3.64: R = 89.56
        ("PCMU", 0.05, 3.92),  # 15.78: R = 77.42
        ("G729", 0.0, 4.10),  # Ie 11: R = 82.2
        ("g729/8000", 0.02, 3.79),  # 11 + 84 * 2 / 21 = 19: R = 74.2
    ],
)
def test_loss_costs_what_the_model_says(codec, loss, score):
    assert mos(codec, loss, 20.0) == pytest.approx(score, abs=0.01)


def test_delay_is_free_up_to_100_ms_and_hurts_beyond():
    assert mos("PCMU", 0.0, 100.0) == mos("PCMU", 0.0, 0.0)
    assert mos("PCMU", 0.0, 150.0) == pytest.approx(4.406, abs=0.001)
    assert mos("PCMU", 0.0, 400.0) == pytest.approx(3.556, abs=0.001)  # Idd 24.1: R = 69.1


@pytest.mark.parametrize("codec", ["opus", "G722", "AMR-WB", "telephone-event", "", "image/t38"])
def test_no_score_without_published_constants(codec):
    assert mos(codec, 0.0, 20.0) is None


@given(st.sampled_from(["PCMU", "PCMA", "G729"]), st.floats(-1, 2), st.floats(0, 1e6))
def test_a_score_is_a_score(codec, loss, delay):
    assert 1.0 <= mos(codec, loss, delay) <= 4.5


@given(st.floats(0, 1), st.floats(0, 1))
def test_more_loss_is_never_better(one, other):
    less, more = sorted((one, other))
    assert mos("PCMU", more, 50.0) <= mos("PCMU", less, 50.0)


def test_delay_counts_half_of_both_round_trips_and_the_jitter_that_is_buffered():
    assert mouth_to_ear_ms(100.0, 10.0) == 20.0 + 50.0 + 20.0
