"""Kamailio record-routes between the SBC and the carrier's telephone: requests in the dialog go through it."""

import pytest

from .children import until
from .kamailio import Kamailio
from .sipp import Sipp

pytestmark = [pytest.mark.interop, pytest.mark.slow]

CALLS = 3


@pytest.fixture
def behind(net) -> str:
    """The carrier's telephone. The SBC could reach it directly, but should not."""
    return f"{net}.50"


def test_requests_of_a_call_to_the_carrier_follow_its_route_set(node, behind, started, tmp_path):
    sbc = node()
    proxy = started(Kamailio(tmp_path, address=sbc.carrier, sbc=sbc.outside, behind=behind))
    phone = started(Sipp("phone", "uas", tmp_path, local=behind, calls=CALLS, rate=10, more=["-trace_msg"]))
    pbx = started(Sipp("pbx", "uac", tmp_path, local=sbc.pbx, remote=f"{sbc.inside}:5060", calls=CALLS, rate=10))
    assert pbx.child.wait() == 0, pbx.errors
    until(lambda: proxy.followed(sbc.outside).count("BYE") == CALLS, "the BYEs", story=lambda: proxy.child.log)
    assert sorted(proxy.followed(sbc.outside)) == ["ACK"] * CALLS + ["BYE"] * CALLS
    assert proxy.strays == []
    heard = phone.received()
    assert [message.method for message in heard].count("BYE") == CALLS
    assert {message.top_via for message in heard} == {sbc.carrier}
    until(lambda: len(sbc.cdrs()) == CALLS, "the records")
    assert {cdr["cause"] for cdr in sbc.cdrs()} == {"normal"}


def test_a_bye_from_the_pbx_follows_the_route_set_of_a_call_from_the_carrier(node, behind, started, tmp_path):
    sbc = node()
    proxy = started(Kamailio(tmp_path, address=sbc.carrier, sbc=sbc.outside, behind=behind))
    pbx = started(Sipp("pbx", "uas_hangs_up", tmp_path, local=sbc.pbx, calls=CALLS, rate=10))
    phone = started(
        Sipp(
            "phone", "uac_waits", tmp_path, local=behind, remote=f"{sbc.carrier}:5060", calls=CALLS, rate=10,
            number="+14155550100", caller="+14155557777", more=["-trace_msg"],
        )
    )  # fmt: skip
    assert phone.child.wait() == 0, phone.errors
    assert pbx.child.wait() == 0, pbx.errors
    assert proxy.followed(behind) == ["ACK"] * CALLS
    assert proxy.followed(sbc.outside) == ["BYE"] * CALLS
    assert proxy.strays == []
    assert {message.top_via for message in phone.received() if message.method == "BYE"} == {sbc.carrier}
    until(lambda: len(sbc.cdrs()) == CALLS, "the records")
    for cdr in sbc.cdrs():
        assert (cdr["ingress"], cdr["egress"], cdr["route"]) == ("carrier-a", "office", "inbound")
        assert (cdr["cause"], cdr["ended_by"], cdr["sip_status"]) == ("normal", "callee", 200)
