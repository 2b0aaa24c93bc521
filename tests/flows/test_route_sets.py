"""A record-routing proxy of the carrier: every request within the dialog follows the route set, loose or strict."""

import pytest

from sbc.testing.phone import address_of
from sbc.testing.proxy import Proxy
from sbc.testing.world import DID, FAR, OUTSIDE, POLICY

PROXY = "198.51.100.1:5060"
SWITCH = "198.51.100.7:5060"
BEHIND = POLICY.replace("sip:198.51.100.7:5060", "sip:198.51.100.1:5060")


def behind_a_proxy(world, *, strict):
    sbc = world(BEHIND)
    office = sbc.office()
    carrier = sbc.phone("softswitch-3.carrier.net", SWITCH, through=PROXY, user=FAR, side="outside")
    proxy = Proxy(
        sbc.net, "proxy", address_of(PROXY), target=address_of(SWITCH), back=address_of(OUTSIDE), strict=strict
    )
    return sbc, office, carrier, proxy


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("ender", ["office", "carrier"])
def test_outbound_call_through_the_proxy(world, strict, ender):
    sbc, office, carrier, proxy = behind_a_proxy(world, strict=strict)
    office.invites(FAR)
    carrier.rings()
    carrier.answers()
    office.holds()
    carrier.resumes()
    (office if ender == "office" else carrier).hangs_up()
    assert proxy.errors == []
    assert proxy.seen == ["INVITE", "ACK", "INVITE", "ACK", "INVITE", "ACK", "BYE"]
    assert {sent.receiver for sent in sbc.net.log if sent.sender == "sbc"} == {office.name, "proxy"}
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("ender", ["office", "carrier"])
def test_inbound_call_through_the_proxy(world, strict, ender):
    sbc, office, carrier, proxy = behind_a_proxy(world, strict=strict)
    carrier.invites(DID, domain="203.0.113.1")
    office.answers()
    office.holds()
    (office if ender == "office" else carrier).hangs_up()
    assert proxy.errors == []
    assert {sent.receiver for sent in sbc.net.log if sent.sender == "sbc"} == {office.name, "proxy"}
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_cancel_and_failure_ack_go_the_way_of_their_invite(world):
    sbc, office, carrier, proxy = behind_a_proxy(world, strict=False)
    office.invites(FAR)
    carrier.rings()
    office.cancels()
    assert carrier.got("INVITE", "CANCEL")
    assert proxy.seen == ["INVITE", "CANCEL", "ACK"]
    assert proxy.errors == []
    assert sbc.idle()


def test_record_route_of_one_side_is_not_shown_to_the_other(world):
    sbc, office, carrier, _proxy = behind_a_proxy(world, strict=False)
    office.invites(FAR)
    carrier.answers()
    assert b"198.51.100.1" not in b"".join(sbc.net.sent_to(office.name))
    assert b"Record-Route" not in b"".join(sbc.net.sent_to(office.name))
    office.hangs_up()
    assert sbc.idle()
