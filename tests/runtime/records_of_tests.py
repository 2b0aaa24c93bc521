"""A call record that says nothing but whose it is. Used by the tests of what keeps and copies records."""

from sbc.cdr.record import CallRecord


def record(ref):
    return CallRecord(
        ref=ref, ingress="office", egress=None, route=None, caller="1", called="2", called_as_sent=None,
        started_at=0.0, ringing_at=None, answered_at=None, ended_at=1.0, billable_ms=0, sip_status=404, q850=1,
        ended_by="sbc", cause="no_route", emergency=False, disaster=False, media=None, ingress_call_id="x",
        egress_call_id=None,
    )  # fmt: skip
