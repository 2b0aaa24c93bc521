"""What several units' tests share."""

import pytest

from sbc.cdr.record import AttemptRecord, CallRecord

EPOCH = 1_738_314_000.0  # 2025-01-31T09:00:00Z


@pytest.fixture
def epoch():
    return EPOCH


@pytest.fixture
def record():
    """Makes call records: a plain answered call, changed where a test cares."""
    return make_record


def make_record(ref, **changes):
    attempt = AttemptRecord(
        1, "carrier-a", "sip:127.0.0.40:5060", "+442079460000", EPOCH, None, 200, "normal", f"out-{ref}"
    )
    fields = {
        "ingress": "office",
        "egress": "carrier-a",
        "route": "outbound",
        "caller": "+14155550100",
        "called": "+442079460000",
        "called_as_sent": "+442079460000",
        "started_at": EPOCH,
        "ringing_at": EPOCH + 1.0,
        "answered_at": EPOCH + 5.25,
        "ended_at": EPOCH + 65.5,
        "billable_ms": 60_250,
        "sip_status": 200,
        "q850": 16,
        "ended_by": "caller",
        "cause": "normal",
        "emergency": False,
        "disaster": False,
        "media": '{"ingress":[],"egress":[]}',
        "ingress_call_id": f"in-{ref}",
        "egress_call_id": f"out-{ref}",
        "attempts": (attempt,),
    }
    return CallRecord(ref=ref, **(fields | changes))
