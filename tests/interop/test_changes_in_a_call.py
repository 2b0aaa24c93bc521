"""SIPp holds, resumes, offers late and offers by UPDATE; the other side follows, and its refusals come back.

RFC 3261 §14, RFC 3264 §8, RFC 3311, RFC 6337 §2 and §5.3.
"""

from typing import Any

import pytest

from .script import T38, Script, sdp, talking_callee, talking_caller

pytestmark = [pytest.mark.interop, pytest.mark.slow]


def test_a_call_is_held_and_resumed_by_its_caller_and_by_its_callee(told):
    pbx, caller = talking_caller()
    carrier, callee = talking_callee()
    version = 1
    for asking, asked in ((caller, callee), (callee, caller)):
        for offer, answer in (("a=sendonly", "a=recvonly"), ("", "")):
            version += 1
            asking.asks("INVITE", body=sdp(version, says=offer))
            asked.gets("INVITE", has=["m=audio", offer or "v=0"], lacks=[] if offer else ["a=sendonly", "a=inactive"])
            asked.says(200, body=sdp(version, says=answer))
            asking.hears(200, has=["m=audio", answer or "v=0"], lacks=[] if answer else ["a=recvonly", "a=inactive"])
            asking.acks()
            asked.gets("ACK")
    caller.hangs_up()
    callee.is_hung_up()
    _is_a_good_call(told(pbx=pbx, carrier_a=carrier))


def test_the_old_way_to_hold_is_understood(told):
    """c=0.0.0.0, RFC 2543."""
    pbx, caller = talking_caller()
    carrier, callee = talking_callee()
    caller.asks("INVITE", body=sdp(2).replace("[media_ip]", "0.0.0.0"))
    callee.gets("INVITE", has=["a=sendonly|a=inactive|c=IN IP4 0.0.0.0"])
    callee.says(200, body=sdp(2, says="a=recvonly"))
    caller.hears(200)
    caller.acks()
    callee.gets("ACK")
    caller.hangs_up()
    callee.is_hung_up()
    _is_a_good_call(told(pbx=pbx, carrier_a=carrier))


def test_an_update_crosses(told):
    pbx, caller = talking_caller()
    carrier, callee = talking_callee()
    caller.asks("UPDATE", body=sdp(2, says="a=sendonly"))
    callee.gets("UPDATE", has=["a=sendonly"])
    callee.says(200, to="UPDATE", body=sdp(2, says="a=recvonly"))
    caller.hears(200, "UPDATE", has=["a=recvonly"])
    caller.hangs_up()
    callee.is_hung_up()
    _is_a_good_call(told(pbx=pbx, carrier_a=carrier))


def test_a_refused_offer_leaves_the_call_as_it_was(told):
    pbx, caller = talking_caller()
    carrier, callee = talking_callee()
    caller.asks("INVITE", body=sdp(2, says="a=sendonly"))
    callee.gets("INVITE", has=["a=sendonly"])
    callee.says(488)
    callee.gets("ACK")
    caller.hears(488)
    caller.acks()
    callee.hangs_up()
    caller.is_hung_up()
    (cdr,) = told(pbx=pbx, carrier_a=carrier)
    assert (cdr["cause"], cdr["ended_by"]) == ("normal", "callee")


def test_an_offer_may_come_late(told):
    """INVITE without SDP: the 200 has the offer, the ACK the answer (RFC 3264 §5, RFC 6337 §2.1 pattern 2)."""
    pbx = Script("pbx")
    caller = pbx.calls()
    carrier = Script("carrier")
    callee = carrier.is_called(lacks=["m=audio"])
    callee.says(180)
    caller.hears(180)
    callee.says(200, body=sdp())
    caller.hears(200, has=["m=audio"])
    caller.acks(body=sdp())
    callee.gets("ACK", has=["m=audio"])
    caller.hangs_up()
    callee.is_hung_up()
    _is_a_good_call(told(pbx=pbx, carrier_a=carrier))


def test_a_peer_that_wants_an_offer_gets_ours_when_there_is_none(told):
    pbx = Script("pbx")
    caller = pbx.calls()
    carrier = Script("carrier")
    callee = carrier.is_called(has=["m=audio"])
    callee.says(180)
    caller.hears(180)
    callee.says(200, body=sdp())
    callee.gets("ACK")
    caller.hears(200, has=["m=audio"])
    caller.acks(body=sdp())
    caller.hangs_up()
    callee.is_hung_up()
    _is_a_good_call(told(pbx=pbx, carrier_c=carrier, number="+13125550000"), egress="carrier-c")


def test_a_re_invite_without_sdp_asks_for_an_offer(told):
    pbx, caller = talking_caller()
    carrier, callee = talking_callee()
    caller.asks("INVITE")
    callee.gets("INVITE", lacks=["m=audio"])
    callee.says(200, body=sdp(2))
    caller.hears(200, has=["m=audio"])
    caller.acks(body=sdp(2))
    callee.gets("ACK", has=["m=audio"])
    caller.hangs_up()
    callee.is_hung_up()
    _is_a_good_call(told(pbx=pbx, carrier_a=carrier))


def test_a_call_becomes_a_fax_and_a_call_again(told):
    pbx, caller = talking_caller()
    carrier, callee = talking_callee()
    callee.asks("INVITE", body=sdp(2, media=T38))
    caller.gets("INVITE", has=["m=image [1-9][0-9]* udptl t38", "T38FaxVersion:0"])
    caller.says(200, body=sdp(2, media=T38))
    callee.hears(200, has=["m=image [1-9][0-9]* udptl t38"])
    callee.acks()
    caller.gets("ACK")
    callee.asks("INVITE", body=sdp(3))
    caller.gets("INVITE", has=["m=audio [1-9]"])
    caller.says(200, body=sdp(3))
    callee.hears(200, has=["m=audio [1-9]"])
    callee.acks()
    caller.gets("ACK")
    callee.hangs_up()
    caller.is_hung_up()
    (cdr,) = told(pbx=pbx, carrier_a=carrier)
    assert (cdr["cause"], cdr["ended_by"]) == ("normal", "callee")


def test_a_fax_that_policy_refuses_leaves_the_call_with_its_sound(told):
    """The PBX hears nothing of it."""
    pbx, caller = talking_caller()
    carrier, callee = talking_callee()
    callee.asks("INVITE", body=sdp(2, media=T38))
    callee.hears(488)
    callee.acks()
    callee.hangs_up()
    caller.is_hung_up()
    (cdr,) = told(pbx=pbx, carrier_c=carrier, number="+13125550001")
    assert (cdr["cause"], cdr["egress"], cdr["ended_by"]) == ("normal", "carrier-c", "callee")


def test_digits_in_info_cross(told):
    pbx, caller = talking_caller()
    carrier, callee = talking_callee()
    for n, digit in enumerate("5#"):
        asking, asked = ((caller, callee), (callee, caller))[n]
        asking.asks("INFO", body=f"Signal={digit}\nDuration=160", kind="application/dtmf-relay")
        asked.gets("INFO", has=["application/dtmf-relay", f"Signal= *{digit}", "Duration= *160"])
        asked.says(200, to="INFO")
        asking.hears(200, "INFO")
    caller.hangs_up()
    callee.is_hung_up()
    _is_a_good_call(told(pbx=pbx, carrier_a=carrier))


def test_a_message_within_a_call_crosses(told):
    pbx, caller = talking_caller()
    carrier, callee = talking_callee()
    callee.asks("MESSAGE", body="One moment", kind="text/plain")
    caller.gets("MESSAGE", has=["Content-Type: *text/plain", "One moment"])
    caller.says(200, to="MESSAGE")
    callee.hears(200, "MESSAGE")
    caller.hangs_up()
    callee.is_hung_up()
    _is_a_good_call(told(pbx=pbx, carrier_a=carrier))


def _is_a_good_call(cdrs: list[dict[str, Any]], *, egress: str = "carrier-a") -> None:
    (cdr,) = cdrs
    assert (cdr["ingress"], cdr["egress"]) == ("office", egress)
    assert (cdr["cause"], cdr["sip_status"], cdr["q850"], cdr["ended_by"]) == ("normal", 200, 16, "caller")
