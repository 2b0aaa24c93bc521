"""SIPp as the PBX and SIPp as the carrier: many calls, each with its record, and nothing left behind."""

import pytest

from .children import is_full, until
from .namespaces import CARRIER, INSIDE, OUTSIDE, PBX
from .node import Node, ms_between
from .sipp import Sipp

pytestmark = [pytest.mark.interop, pytest.mark.slow]

HOLD_MS = 200
# Timers B, F and H (RFC 3261 §17) are seven INVITEs and eleven of all else. SIPp gives up after six and eight, and one
# call in some thousands loses all of those where a fifth is lost each way.
PATIENT = ("-max_invite_retrans", "6", "-max_non_invite_retrans", "10")


def records_are_right(node: Node, calls: int, *, hold_within_ms: tuple[int, int]) -> None:
    until(lambda: len(node.cdrs()) == calls, "the records")
    cdrs, attempts = node.cdrs(), node.attempts()
    assert len(attempts) == calls
    by_ref = {attempt["ref"]: attempt for attempt in attempts}
    for cdr in cdrs:
        assert {name: cdr[name] for name in EXPECTED} == EXPECTED
        low, high = hold_within_ms
        assert low <= cdr["billable_ms"] <= high, cdr
        assert abs(ms_between(cdr["answered_at"], cdr["ended_at"]) - cdr["billable_ms"]) <= 20, cdr
        assert cdr["started_at"] <= (cdr["ringing_at"] or cdr["answered_at"]) <= cdr["answered_at"] <= cdr["ended_at"]
        attempt = by_ref[cdr["ref"]]
        assert {name: attempt[name] for name in ATTEMPT} == ATTEMPT
        assert attempt["server"] == f"sip:{node.carrier}:5060"
        assert attempt["call_id"] == cdr["egress_call_id"]
    ids = [cdr["ingress_call_id"] for cdr in cdrs] + [cdr["egress_call_id"] for cdr in cdrs]
    assert len(set(ids)) == 2 * calls


EXPECTED = {
    "ingress": "office", "egress": "carrier-a", "route": "outbound", "caller": "+14155550100",
    "called": "+14155559999", "called_as_sent": "+14155559999", "sip_status": 200, "q850": 16, "ended_by": "caller",
    "cause": "normal", "emergency": 0, "disaster": 0,
}  # fmt: skip
ATTEMPT = {"n": 1, "peer": "carrier-a", "called_as_sent": "+14155559999", "sip_status": 200, "cause": "normal"}


def test_every_call_of_a_busy_pbx_goes_through_and_leaves_only_its_record(node, started, tmp_path):
    calls, rate = (2000, 100) if is_full() else (300, 100)
    sbc = node()
    carrier = started(Sipp("carrier", "uas", tmp_path, local=sbc.carrier, calls=calls))
    pbx = started(
        Sipp("pbx", "uac", tmp_path, local=sbc.pbx, remote=f"{sbc.inside}:5060", calls=calls, rate=rate)
    )  # fmt: skip
    assert pbx.child.wait(60 + calls / rate) == 0, pbx.errors
    assert (pbx.successful, pbx.failed, pbx.errors) == (calls, 0, "")

    sbc.is_idle_within(40)
    assert carrier.child.wait(40) == 0, carrier.errors
    assert (carrier.successful, carrier.failed, carrier.errors) == (calls, 0, "")
    print(f"{calls} calls at {rate}/s, {pbx.retransmissions} retransmissions")
    records_are_right(sbc, calls, hold_within_ms=(HOLD_MS - 20, HOLD_MS + 800))
    assert sbc.complaints() == []


@pytest.mark.root
def test_every_call_reaches_its_end_though_a_fifth_of_all_sip_packets_is_lost(namespaces, node, started, tmp_path):
    calls, rate = (2000, 100) if is_full() else (100, 20)
    sbc = node(
        inside=INSIDE, outside=OUTSIDE, pbx=PBX, carrier=CARRIER, prefix=namespaces.enter("sbc"),
        trunk_more="no_reply: 32s",
    )  # fmt: skip
    namespaces.lose(20)
    # SIPp counts a call twice when its last message is lost; so the carrier takes more calls than there are.
    carrier = started(
        Sipp(
            "carrier",
            "uas_lossy",
            tmp_path,
            local=CARRIER,
            calls=2 * calls,
            prefix=namespaces.enter("carrier"),
            more=PATIENT,
        )
    )
    pbx = started(
        Sipp(
            "pbx",
            "uac",
            tmp_path,
            local=PBX,
            remote=f"{INSIDE}:5060",
            calls=calls,
            rate=rate,
            prefix=namespaces.enter("pbx"),
            more=PATIENT,
        )
    )
    assert pbx.child.wait(120 + calls / rate) == 0, pbx.errors
    print(f"{calls} calls at {rate}/s, {pbx.retransmissions} retransmissions by the PBX\n{namespaces.lost()}")
    assert (pbx.successful, pbx.failed, pbx.errors) == (calls, 0, "")
    sbc.is_idle_within(75)
    assert carrier.errors == ""
    assert sbc.complaints() == []
    records_are_right(sbc, calls, hold_within_ms=(HOLD_MS - 20, 40_000))
