"""Both ends of a call change it at once, or one of them too late (RFC 3261 §14, RFC 5407 §3.2)."""

import pytest

from .script import sdp, talking_callee, talking_caller

pytestmark = [pytest.mark.interop, pytest.mark.slow]


def test_offers_that_meet_in_the_sbc_are_a_matter_of_one_leg(told):
    """The carrier offers while the PBX's offer is on its way to it: both are refused; the PBX sees only a 200."""
    pbx, caller = talking_caller()
    carrier, callee = talking_callee()
    caller.asks("INVITE", body=sdp(2, says="a=sendonly"))
    callee.gets("INVITE", has=["a=sendonly"])
    callee.asks("INVITE", body=sdp(2))
    callee.hears(491)
    callee.acks()
    callee.says(491)
    callee.gets("ACK")
    callee.gets("INVITE", has=["a=sendonly"])  # again, after the time that §14.1 prescribes
    callee.says(200, body=sdp(3, says="a=recvonly"))
    callee.gets("ACK")
    caller.hears(200, has=["a=recvonly"])
    caller.acks()
    caller.hangs_up()
    callee.is_hung_up()
    (cdr,) = told(pbx=pbx, carrier_a=carrier)
    assert (cdr["cause"], cdr["ended_by"]) == ("normal", "caller")


def test_a_491_alone_is_tried_again(told):
    pbx, caller = talking_caller()
    carrier, callee = talking_callee()
    callee.asks("INVITE", body=sdp(2, says="a=sendonly"))
    for _ in range(2):
        caller.gets("INVITE", has=["a=sendonly"])
        caller.says(491)
        caller.gets("ACK")
    caller.gets("INVITE", has=["a=sendonly"])
    caller.says(200, body=sdp(2, says="a=recvonly"))
    caller.gets("ACK")
    callee.hears(200, has=["a=recvonly"])
    callee.acks()
    caller.hangs_up()
    callee.is_hung_up()
    (cdr,) = told(pbx=pbx, carrier_a=carrier)
    assert (cdr["cause"], cdr["ended_by"]) == ("normal", "caller")


def test_a_re_invite_after_bye_gets_481(told):
    """The carrier has hung up; the PBX, which has not seen it yet, wants to hold (RFC 5407 §3.2.2)."""
    pbx, caller = talking_caller()
    carrier, callee = talking_callee()
    callee.hangs_up()
    caller.gets("BYE")
    caller.asks("INVITE", body=sdp(2, says="a=sendonly"))
    caller.hears(481)
    caller.acks()
    caller.says(200, to="BYE")
    (cdr,) = told(pbx=pbx, carrier_a=carrier)
    assert (cdr["cause"], cdr["ended_by"]) == ("normal", "callee")


def test_bye_crosses_a_re_invite(told):
    """The PBX hangs up while the carrier's offer waits for its answer: the offer gets 487, the call ends once."""
    pbx, caller = talking_caller()
    carrier, callee = talking_callee()
    callee.asks("INVITE", body=sdp(2, says="a=sendonly"))
    caller.gets("INVITE")
    caller.asks("BYE")
    caller.hears(200, "BYE")
    callee.hears(487)
    callee.acks()
    callee.is_hung_up()
    caller.says(487)
    caller.gets("ACK")
    (cdr,) = told(pbx=pbx, carrier_a=carrier)
    assert (cdr["cause"], cdr["ended_by"]) == ("normal", "caller")
