"""SIPp holds, resumes, offers late and offers by UPDATE; the other side follows, and its refusals come back."""

import pytest

from .script import Script, sdp

pytestmark = [pytest.mark.interop, pytest.mark.slow]


def answered() -> Script:
    """A carrier that rings and answers; its dialog is `script.dialog`."""
    script = Script("carrier")
    dialog = script.is_called()
    dialog.says(180)
    dialog.says(200, body=sdp())
    dialog.gets("ACK")
    return script, dialog


def called() -> Script:
    script = Script("pbx")
    dialog = script.calls(body=sdp())
    dialog.hears(180)
    dialog.hears(200, has=["m=audio"])
    dialog.acks()
    return script, dialog


def test_a_held_call_is_resumed(told):
    pbx, caller = called()
    carrier, callee = answered()
    for version, (offer, answer) in enumerate([("a=sendonly", "a=recvonly"), ("a=sendrecv", "a=sendrecv")], 2):
        caller.asks("INVITE", body=sdp(version, says=offer))
        callee.gets("INVITE", has=[offer] if version == 2 else [], lacks=["a=sendonly"] if version == 3 else [])
        callee.says(200, body=sdp(version, says=answer))
        caller.hears(200, has=[answer] if version == 2 else [], lacks=["a=recvonly"] if version == 3 else [])
        caller.acks()
        callee.gets("ACK")
    caller.hangs_up()
    callee.is_hung_up()
    (cdr,) = told(pbx=pbx, carrier_a=carrier)
    assert (cdr["cause"], cdr["sip_status"], cdr["ended_by"]) == ("normal", 200, "caller")
