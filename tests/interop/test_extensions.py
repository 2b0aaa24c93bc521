"""Reliable provisional responses and session timers: each leg has its own (RFC 3262, RFC 4028)."""
# RFC: 4028

import pytest

from .children import is_full
from .script import Script, sdp, talking_callee, talking_caller

pytestmark = [pytest.mark.interop, pytest.mark.slow]

RELIABLE = "Supported: 100rel"


def test_prack_on_the_callers_leg_alone(told):
    """carrier-b is `reliable: off`; the PBX demands 100rel, and gets it from the SBC."""
    pbx = Script("pbx")
    caller = pbx.calls("Require: 100rel", body=sdp())
    caller.hears(180, has=["Require: .*100rel", "RSeq:"])
    caller.pracks()
    caller.hears(200, "PRACK")
    caller.hears(200, has=["m=audio"])
    caller.acks()
    carrier = Script("carrier")
    callee = carrier.is_called(lacks=["100rel"])
    callee.says(180)
    callee.waits(200)
    callee.says(200, body=sdp())
    callee.gets("ACK")
    caller.hangs_up()
    callee.is_hung_up()
    (cdr,) = told(pbx=pbx, carrier_b=carrier, number="+12125550000")
    assert (cdr["cause"], cdr["egress"], cdr["sip_status"]) == ("normal", "carrier-b", 200)


def test_prack_on_the_callees_leg_alone(told):
    """The carrier sends early media reliably; the PBX has never heard of it."""
    pbx = Script("pbx")
    caller = pbx.calls(body=sdp())
    caller.hears(183, has=["m=audio"], lacks=["RSeq", "Require"])
    caller.hears(200, has=["m=audio"])
    caller.acks()
    carrier = Script("carrier")
    callee = carrier.is_called(has=["Supported: .*100rel"])
    callee.says(183, "Require: 100rel", "RSeq: 4711", body=sdp())
    callee.gets("PRACK", has=["RAck: 4711 [0-9]+ INVITE"])
    callee.says(200, to="PRACK")
    callee.says(200)
    callee.gets("ACK")
    caller.hangs_up()
    callee.is_hung_up()
    (cdr,) = told(pbx=pbx, carrier_a=carrier)
    assert (cdr["cause"], cdr["egress"], cdr["sip_status"]) == ("normal", "carrier-a", 200)


def test_an_interval_below_ninety_seconds_is_refused_with_the_shortest(told):
    """422 and Min-SE (RFC 4028 §5, §6); with 90 s the call goes through, and is one call."""
    pbx = Script("pbx")
    first = pbx.calls("Supported: timer", "Session-Expires: 60", body=sdp())
    first.hears(422, has=["Min-SE: *90"])
    first.acks()
    first.asks("INVITE", "Supported: timer", "Session-Expires: 90", "Min-SE: 90", body=sdp())
    first.hears(180)
    first.hears(200, has=["Session-Expires: *90 *;refresher=ua[cs]", "Require: .*timer|refresher=uas"])
    first.acks()
    carrier, callee = talking_callee(has=["Session-Expires: *1800", "Min-SE: *90|Supported: .*timer"])
    first.asks("UPDATE", "Supported: timer", "Session-Expires: 90;refresher=uac")  # the carrier hears nothing of it
    first.hears(200, "UPDATE", has=["Session-Expires: *90 *;refresher=uac"])
    first.hangs_up()
    callee.is_hung_up()
    (_, cdr) = told(pbx=pbx, carrier_a=carrier, calls=2)
    assert (cdr["cause"], cdr["sip_status"], cdr["ended_by"]) == ("normal", 200, "caller")


def test_a_callee_that_wants_a_longer_interval_gets_it(told, border):
    """422 from the carrier: the same call is asked for again, and the PBX sees nothing of it."""
    pbx, caller = talking_caller()
    carrier = Script("carrier")
    callee = carrier.is_called(has=["Session-Expires: *1800"])
    callee.says(422, "Min-SE: 3600")
    callee.gets("ACK")
    callee.gets("INVITE", has=["Session-Expires: *3600", "Min-SE: *3600"])
    callee.says(180)
    callee.says(200, "Require: timer", "Session-Expires: 3600;refresher=uac", body=sdp())
    callee.gets("ACK")
    caller.hangs_up()
    callee.is_hung_up()
    (cdr,) = told(pbx=pbx, carrier_a=carrier)
    assert (cdr["cause"], cdr["sip_status"]) == ("normal", 200)
    attempts = [attempt for attempt in border.node.attempts() if attempt["ref"] == cdr["ref"]]
    assert [attempt["sip_status"] for attempt in attempts] == [200]


@pytest.mark.parametrize("method", ["UPDATE", "INVITE"])
def test_sessions_are_refreshed_at_half_of_the_shortest_interval(told, method):
    """45 s after the answer the SBC refreshes the carrier's session, and the PBX its own: neither crosses."""
    _takes_long()
    pbx = Script("pbx")
    caller = pbx.calls("Supported: timer", "Session-Expires: 90;refresher=uac", body=sdp())
    caller.hears(180)
    caller.hears(200, has=["Session-Expires: *90 *;refresher=uac", "Require: .*timer"])
    caller.acks()
    carrier = Script("carrier")
    callee = carrier.is_called(has=["Session-Expires: *90", "Supported: .*timer"])
    callee.allows_update = method == "UPDATE"
    callee.says(180)
    callee.says(200, "Require: timer", "Session-Expires: 90;refresher=uac", body=sdp())
    callee.gets("ACK")
    pbx.waits(44_000)
    caller.asks("UPDATE", "Supported: timer", "Session-Expires: 90;refresher=uac")
    caller.hears(200, "UPDATE", has=["Session-Expires: *90 *;refresher=uac"])
    callee.gets(method, has=["Session-Expires: *90 *;refresher=uac"])
    callee.says(200, "Require: timer", "Session-Expires: 90;refresher=uac", to=method,
                body=sdp() if method == "INVITE" else "")  # fmt: skip
    if method == "INVITE":
        callee.gets("ACK")
    pbx.waits(4_000)
    caller.hangs_up()
    callee.is_hung_up()
    (cdr,) = told(pbx=pbx, carrier_c=carrier, number="+13125550002", seconds=70)
    assert (cdr["cause"], cdr["ended_by"]) == ("normal", "caller")
    assert 47_000 < cdr["billable_ms"] < 53_000


def test_a_session_that_nobody_refreshes_ends_with_a_reason(told):
    """The PBX was to refresh, and is gone: 30 s before the interval is over the SBC hangs up on both (RFC 4028 §10)."""
    _takes_long()
    pbx = Script("pbx")
    caller = pbx.calls("Supported: timer", "Session-Expires: 90;refresher=uac", body=sdp())
    caller.hears(180)
    caller.hears(200, has=["Session-Expires: *90 *;refresher=uac"])
    caller.acks()
    caller.is_hung_up(has=["Reason:"])
    carrier, callee = talking_callee()
    callee.is_hung_up(has=["Reason:"])
    (cdr,) = told(pbx=pbx, carrier_a=carrier, seconds=80)
    assert (cdr["cause"], cdr["ended_by"]) == ("session_expired", "sbc")
    assert 58_000 < cdr["billable_ms"] < 63_000


def _takes_long() -> None:
    if not is_full():
        pytest.skip("takes a minute; SBC_TEST_FULL=1 runs it")
