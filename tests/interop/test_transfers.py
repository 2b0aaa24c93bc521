"""A PBX, played by SIPp, transfers: blind, after asking, by Replaces; the rest of the world hears what it must.

RFC 3515, RFC 3891, RFC 5589.
"""
# RFC: 5589

from typing import Any

import pytest

from .script import Dialog, Script, sdp, talking_callee, talking_caller

pytestmark = [pytest.mark.interop, pytest.mark.slow]

TARGET = "+12125550000"  # at carrier-b
CALLED = "+14155559999"
RING_MS = 1300  # NOTIFYs of one transfer are at least a second apart (RFC 3515 §3.10)
FRAGMENT = "message/sipfrag"


def test_a_blind_transfer(told, border):
    """REFER: we call the target by the PBX's routes, tell the PBX how it goes, connect, and let the PBX go."""
    pbx, caller = talking_caller()
    _is_referred(caller, f"<sip:{TARGET}@[remote_ip]>")
    caller.is_notified(100)
    caller.is_notified(180)
    caller.is_notified(200, last=True)
    caller.is_hung_up()
    carrier, callee = talking_callee()  # its media go on to and from where they did: it sees nothing at all
    carrier.waits(RING_MS + 500)
    callee.hangs_up()
    target, called = talking_callee(rings_ms=RING_MS, lacks=["secret-pbx", "Refer-To"])
    called.is_hung_up()
    cdrs = told(pbx=pbx, carrier_a=carrier, carrier_b=target, calls=2)
    _both_calls_are_billed(cdrs)
    story = border.ladder(cdrs[0]["ref"]) + border.ladder(cdrs[1]["ref"])
    assert f"office transfers to {TARGET}" in story


def test_a_held_call_is_resumed_with_the_target_of_its_transfer(told):
    pbx, caller = talking_caller()
    caller.asks("INVITE", body=sdp(2, says="a=sendonly"))
    caller.hears(200, has=["a=recvonly"])
    caller.acks()
    _is_referred(caller, f"<sip:{TARGET}@[remote_ip]>")
    caller.is_notified(100)
    caller.is_notified(180)
    caller.is_notified(200, last=True)
    caller.is_hung_up()
    carrier, callee = talking_callee()
    callee.gets("INVITE", has=["a=sendonly"])
    callee.says(200, body=sdp(2, says="a=recvonly"))
    callee.gets("ACK")
    callee.gets("UPDATE", has=["m=audio [1-9]"], lacks=["a=sendonly", "a=inactive"])
    callee.says(200, to="UPDATE", body=sdp(3))
    callee.waits(300)
    callee.hangs_up()
    target, called = talking_callee(rings_ms=RING_MS, lacks=["a=sendonly", "a=inactive"])
    called.is_hung_up()
    _both_calls_are_billed(told(pbx=pbx, carrier_a=carrier, carrier_b=target, calls=2))


def test_a_blind_transfer_to_somebody_busy_gives_the_call_back(told):
    pbx, caller = talking_caller()
    _is_referred(caller, f"<sip:{TARGET}@[remote_ip]>")
    caller.is_notified(100)
    caller.is_notified(486, last=True)
    caller.hangs_up()
    carrier, callee = talking_callee()
    callee.is_hung_up()
    target = Script("target")
    called = target.is_called()
    called.says(486)
    called.gets("ACK")
    cdrs = told(pbx=pbx, carrier_a=carrier, carrier_b=target, calls=2)
    assert sorted((cdr["called"], cdr["sip_status"]) for cdr in cdrs) == [(TARGET, 486), (CALLED, 200)]


def test_a_transfer_to_where_no_route_leads_fails_and_the_call_goes_on(told):
    """What the PBX may not dial, it may not have dialled."""
    pbx, caller = talking_caller()
    _is_referred(caller, "<sip:+33123456789@[remote_ip]>")
    caller.is_notified(100)
    caller.is_notified(404, last=True)
    caller.hangs_up()
    carrier, callee = talking_callee()
    callee.is_hung_up()
    cdrs = told(pbx=pbx, carrier_a=carrier, calls=2)
    assert sorted((cdr["called"], cdr["sip_status"]) for cdr in cdrs) == [(CALLED, 200), ("+33123456789", 404)]


def test_an_attended_transfer(told, border):
    """The PBX holds one call, talks to a second callee, and joins both: Refer-To with Replaces (RFC 5589 §7)."""
    pbx, first = talking_caller()
    first.asks("INVITE", body=sdp(2, says="a=sendonly"))
    first.hears(200, has=["a=recvonly"])
    first.acks()
    second = pbx.calls(body=sdp(), to=TARGET)
    second.hears(180)
    second.hears(200)
    second.acks()
    _is_referred(first, f"<sip:{TARGET}@[remote_ip]?Replaces={second.named_in_uri()}>")
    first.is_notified(200, last=True)
    first.is_hung_up()
    second.is_hung_up()
    carrier, callee = talking_callee()
    callee.gets("INVITE", has=["a=sendonly"])
    callee.says(200, body=sdp(2, says="a=recvonly"))
    callee.gets("ACK")
    callee.gets("UPDATE", has=["m=audio [1-9]"], lacks=["a=sendonly", "a=inactive"])
    callee.says(200, to="UPDATE", body=sdp(3))
    callee.waits(300)
    callee.hangs_up()
    target, called = talking_callee()
    called.is_hung_up()
    _both_calls_are_billed(told(pbx=pbx, carrier_a=carrier, carrier_b=target, calls=2))


def test_another_telephone_of_the_pbx_takes_the_call(told):
    """INVITE with Replaces (RFC 3891 §3): the carrier talks on and sees nothing of it."""
    pbx, first = talking_caller()
    second = pbx.calls(f"Replaces: {first.named()}", "Require: replaces", body=sdp())
    second.hears(200, has=["m=audio [1-9]"])
    second.acks()
    first.is_hung_up()
    second.gets("UPDATE", has=["P-Asserted-Identity: *<sip:.14155559999@"], lacks=["m=audio"])  # to whom it talks now
    second.says(200, to="UPDATE")
    second.hangs_up()
    carrier, callee = talking_callee()
    callee.is_hung_up()
    cdrs = told(pbx=pbx, carrier_a=carrier, calls=2)
    assert [(cdr["cause"], cdr["sip_status"], cdr["ingress"]) for cdr in cdrs] == [("normal", 200, "office")] * 2


def test_a_carrier_transfers_nobody(told):
    """`transfer: refuse`, as it is for trunks: toll fraud begins with a REFER. The PBX hears nothing of it."""
    pbx, caller = talking_caller()
    carrier, callee = talking_callee()
    callee.asks("REFER", f"Refer-To: <sip:{TARGET}@[remote_ip]>")
    callee.hears(603, "REFER")
    callee.hangs_up()
    caller.is_hung_up()
    (cdr,) = told(pbx=pbx, carrier_a=carrier)
    assert (cdr["cause"], cdr["ended_by"]) == ("normal", "callee")


def _is_referred(dialog: Dialog, to: str) -> None:
    dialog.asks("REFER", f"Refer-To: {to}", "Referred-By: <sip:[me]@[local_ip]>")
    dialog.hears(202, "REFER")


def _both_calls_are_billed(cdrs: list[dict[str, Any]]) -> None:
    first, second = sorted(cdrs, key=lambda cdr: cdr["called"] == TARGET)
    assert (first["ingress"], first["egress"], first["called"]) == ("office", "carrier-a", CALLED)
    assert (second["ingress"], second["egress"], second["called"]) == ("office", "carrier-b", TARGET)
    assert [(cdr["cause"], cdr["sip_status"]) for cdr in cdrs] == [("normal", 200)] * 2


def test_a_transfer_that_is_passed_on(told):
    """`transfer: pass`: the carrier is asked to call, and calls by its own routes."""
    branch, caller = talking_caller()
    caller.asks("REFER", f"Refer-To: <sip:{TARGET}@[remote_ip]>")
    caller.hears(202, "REFER")
    caller.is_notified(100)
    caller.is_notified(200, last=True)
    caller.is_hung_up()
    carrier, callee = talking_callee()
    callee.gets("REFER", has=[r"Refer-To: .*\+12125550000@"], lacks=["secret-branch"])
    callee.says(202, to="REFER")
    for state, line in (("active", "100 Trying"), ("terminated;reason=noresource", "200 OK")):
        callee.asks("NOTIFY", "Event: refer", f"Subscription-State: {state}", body=f"SIP/2.0 {line}", kind=FRAGMENT)
        callee.hears(200, "NOTIFY")
    callee.hangs_up()
    told(branch=branch, carrier_a=carrier)
