"""Reason phrases."""

import pytest

from sbc.sip.status import reason_phrase


@pytest.mark.parametrize(
    ("status", "phrase"),
    [
        (100, "Trying"),
        (487, "Request Terminated"),
        (199, "Early Dialog Terminated"),
        (499, "Request Failure"),
        (799, "Unknown"),
    ],
)
def test_every_status_has_a_phrase(status, phrase):
    assert reason_phrase(status) == phrase
