"""RTP through the SBC: none lost, none astray, and calls that outlive their media worker."""

import json
import os
import signal
import time

import pytest

from .children import is_full, until
from .talking import TalkingCalls

pytestmark = [pytest.mark.interop, pytest.mark.slow]

GAP_SECONDS = 1.5  # what a new worker may take on a busy machine; the test prints what it took


def test_fifty_calls_talk_at_once_and_every_packet_gets_where_it_belongs(node):
    sbc = node()
    with TalkingCalls(sbc, 50) as calls:
        assert sbc.status()["calls"] == 50
        calls.talk(30 if is_full() else 8)
    sent = sum(end.sent for end in calls.ends)
    print(f"{sent} packets through the relay, {calls.lost()} lost, {len(calls.astray())} astray")
    assert (calls.lost(), calls.doubled(), calls.astray()) == (0, 0, [])
    until(lambda: sbc.status()["ports"] == 0, "the ports to be free")
    until(lambda: len(sbc.cdrs()) == 50, "50 records")
    for cdr in sbc.cdrs():
        media = json.loads(cdr["media"])
        per_direction = calls.calls[0].ends["pbx"].sent
        assert [stream["packets"] for stream in media["ingress"] + media["egress"]] == [per_direction] * 2, media


def test_calls_go_on_when_the_media_worker_is_killed(node):
    sbc = node()
    with TalkingCalls(sbc, 10) as calls:
        first = sbc.worker_pid()
        killed = time.time() + 1
        calls.talk(5, meanwhile={1: lambda: os.kill(first, signal.SIGKILL)})
        assert sbc.worker_pid() != first
        assert sbc.status()["calls"] == 10
    gaps = [end.longest_gap() for end in calls.ends]
    print(f"media worker killed: the longest gap that a caller heard is {max(gaps) * 1000:.0f} ms, "
          f"the shortest {min(gaps) * 1000:.0f} ms; {calls.lost()} packets lost in {len(gaps)} directions")  # fmt: skip
    assert max(gaps) < GAP_SECONDS
    assert all(end.heard_at[-1] > killed + 3.5 for end in calls.ends)
    assert calls.astray() == []
    until(lambda: len(sbc.cdrs()) == 10, "10 records")
    assert {cdr["cause"] for cdr in sbc.cdrs()} == {"normal"}
