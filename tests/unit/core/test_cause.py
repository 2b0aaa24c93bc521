import pytest

from sbc.core.cause import Cause, cause_of_status, q850_of_status


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_has_a_status_and_a_q850_value(cause):
    assert 200 <= cause.status < 700
    assert 1 <= cause.q850 <= 127
    assert cause is Cause.NORMAL or cause.status >= 400


@pytest.mark.parametrize("status", range(300, 700))
def test_every_failure_status_has_a_cause_and_a_q850_value(status):
    assert cause_of_status(status) is not Cause.NORMAL
    assert 1 <= q850_of_status(status) <= 127


@pytest.mark.parametrize(
    ("status", "cause", "q850"),
    [
        (486, Cause.BUSY, 17),
        (600, Cause.BUSY, 17),
        (480, Cause.NO_ANSWER, 18),
        (404, Cause.NOT_FOUND, 1),
        (487, Cause.CANCELLED, 16),
        (503, Cause.FAILED, 41),
        (603, Cause.REJECTED, 21),
        (408, Cause.NO_ANSWER, 102),
        (499, Cause.FAILED, 31),
    ],
)
def test_statuses_map_as_rfc_3398_has_them(status, cause, q850):
    assert (cause_of_status(status), q850_of_status(status)) == (cause, q850)


def test_success_is_normal_clearing():
    assert q850_of_status(200) == 16


def test_full_paths_are_no_circuit_available():
    assert (Cause.PATHS_FULL.status, Cause.PATHS_FULL.q850) == (503, 34)
