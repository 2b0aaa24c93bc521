"""An interface of ours loses its address or its link: its peers leave the hunt at once, and are back at once."""

import pytest

from sbc.b2bua.events import InterfaceChanged, PolicyChanged
from sbc.testing.world import DID, FAR, POLICY, read_policy

TWO = (
    POLICY.replace("pbxs:", "  second: {sip: [udp:192.0.2.1:5060], media: 192.0.2.1}\npbxs:")
    .replace("routes:", "  spare: {interface: second, servers: ['sip:192.0.2.9:5060']}\nroutes:")
    .replace("via: [carrier]", "via: [carrier, spare]")
)
PROBED = {"carrier": {"health": {"options": "30s", "retry": "5s", "timeout": "4s", "fall": "3", "rise": "2"}}}
WHY = "interface outside: 203.0.113.1 is gone"
GONE = InterfaceChanged("outside", ("203.0.113.1",), "203.0.113.1 is gone")
BACK = InterfaceChanged("outside", ())


def spare_of(sbc):
    return sbc.phone("spare.example", "192.0.2.9:5060", through="192.0.2.1:5060")


def peer(sbc, name="carrier"):
    return next(view for view in sbc.switch.snapshot(sbc.now).peers if view.name == name)


def said(sbc, event):
    return [log for log in sbc.logs if log.event == event]


def test_calls_go_elsewhere_at_once_and_back_at_once(world):
    sbc = world(TWO)
    office, carrier, spare = sbc.office(), sbc.carrier(), spare_of(sbc)
    sbc.tell(GONE)
    office.invites(FAR)
    spare.answers()
    assert sbc.net.sent_to(carrier.name) == []
    office.hangs_up()
    sbc.tell(BACK)
    office.invites(FAR)
    carrier.answers()
    office.hangs_up()
    assert sbc.idle()


def test_the_peer_is_down_and_says_why_and_one_alarm_is_raised(world):
    sbc = world(TWO)
    sbc.tell(GONE)
    assert (peer(sbc).state, peer(sbc).why) == ("down", WHY)
    assert {server.why for server in peer(sbc).servers} == {WHY}
    assert peer(sbc, "spare").state == "up"
    [alarm] = said(sbc, "interface.down")
    assert dict(alarm.fields) == {"alarm": True, "interface": "outside", "why": "203.0.113.1 is gone"}
    assert said(sbc, "peer.down") == []
    sbc.tell(BACK)
    assert peer(sbc).state == "up"
    assert len(said(sbc, "interface.up")) == 1
    assert sbc.idle()


def test_what_is_said_twice_is_logged_once(world):
    sbc = world(TWO)
    for event in (GONE, GONE, BACK, BACK):
        sbc.tell(event)
    assert (len(said(sbc, "interface.down")), len(said(sbc, "interface.up"))) == (1, 1)
    assert sbc.idle()


def test_a_call_that_is_up_is_left_alone(world):
    sbc = world(TWO)
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    sbc.tell(GONE)
    sbc.tell(BACK)
    carrier.hangs_up()
    assert office.call.stage == "ended"
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_a_call_without_another_way_ends_with_the_reason_in_its_ladder(world):
    sbc = world(POLICY)
    office = sbc.office()
    sbc.tell(GONE)
    office.invites(FAR)
    assert sbc.cdr.only.cause == "unreachable"
    assert f"carrier is passed over: {WHY}" in sbc.story()
    assert sbc.idle()


def test_nobody_is_probed_meanwhile_and_soon_afterwards(world):
    sbc = world(TWO, peers=PROBED)
    carrier = sbc.carrier()
    sbc.run(40.0)
    assert peer(sbc).state == "up"
    sbc.tell(GONE)
    before = len(sbc.net.sent_to(carrier.name))
    sbc.run(600.0)
    assert len(sbc.net.sent_to(carrier.name)) == before
    sbc.tell(BACK)
    assert peer(sbc).state == "up"
    sbc.run(2.0)
    assert len(sbc.net.sent_to(carrier.name)) == before + 1
    assert sbc.idle()


def test_who_was_down_before_must_answer_first(world):
    sbc = world(TWO, peers=PROBED)
    sbc.run(60.0)
    assert peer(sbc).state == "down"
    carrier = sbc.carrier()
    sbc.tell(GONE)
    sbc.tell(BACK)
    assert peer(sbc).state == "down"
    sbc.run(30.0)
    assert peer(sbc).state == "up"
    assert sbc.net.sent_to(carrier.name)
    assert sbc.idle()


def test_the_pbxs_of_the_interface_are_out_too(world):
    sbc = world(POLICY)
    carrier = sbc.carrier()
    sbc.tell(InterfaceChanged("inside", ("10.0.0.1",), "link eth0 is down"))
    carrier.invites(DID)
    assert sbc.cdr.only.sip_status == 480
    assert peer(sbc, "office").why == "interface inside: link eth0 is down"
    assert sbc.idle()


@pytest.mark.parametrize("missing", [("198.18.0.1",), ("198.18.0.1", "203.0.113.1")])
def test_media_that_is_gone_is_as_bad_as_signalling(world, missing):
    sbc = world(POLICY.replace("media: 203.0.113.1", "media: 198.18.0.1"))
    sbc.tell(InterfaceChanged("outside", missing, "198.18.0.1 is gone"))
    assert peer(sbc).state == "down"
    assert sbc.idle()


def test_of_two_families_one_may_be_lost(world):
    both = POLICY.replace(
        "sip: [udp:203.0.113.1:5060, tcp:203.0.113.1:5060], media: 203.0.113.1",
        "sip: [udp:203.0.113.1:5060, 'udp:[2001:db8::1]:5060'], media: [203.0.113.1, '2001:db8::1']",
    )
    sbc = world(both)
    sbc.tell(InterfaceChanged("outside", ("2001:db8::1",), "2001:db8::1 is gone"))
    assert peer(sbc).state == "up"
    assert len(said(sbc, "interface.down")) == 1
    sbc.tell(GONE)
    assert peer(sbc).state == "down"
    assert sbc.idle()


def test_a_registration_is_refreshed_when_we_are_back(world):
    sbc = world(POLICY, peers={"carrier": {"register": {"aor": "sip:+14155550100@carrier.net"}}})
    sbc.run(40.0)
    registered = [data for data in sbc.net.sent_by(sbc.host) if data.startswith(b"REGISTER")]
    sbc.tell(GONE)
    sbc.run(10.0)
    sbc.tell(BACK)
    sbc.run(6.0)
    assert len([data for data in sbc.net.sent_by(sbc.host) if data.startswith(b"REGISTER")]) > len(registered)
    assert sbc.idle()


def test_a_reload_without_the_interface_ends_its_alarm(world):
    sbc = world(TWO)
    sbc.tell(InterfaceChanged("second", ("192.0.2.1",), "192.0.2.1 is gone"))
    sbc.reload(POLICY)
    assert len(said(sbc, "interface.up")) == 1
    assert sbc.idle()


def test_an_interface_that_the_policy_does_not_have_is_nobodys(world):
    sbc = world(POLICY)
    sbc.tell(InterfaceChanged("elsewhere", ("192.0.2.1",), "x"))
    assert said(sbc, "interface.down") == []
    assert sbc.idle()


def test_a_reload_during_an_outage_keeps_it(world):
    sbc = world(TWO)
    sbc.tell(GONE)
    sbc.tell(PolicyChanged(read_policy(TWO)))
    assert peer(sbc).why == WHY
    assert sbc.idle()


def test_a_trunk_found_by_name_may_speak_after_a_reload(world):
    named = POLICY.replace("sip:198.51.100.7:5060", "sip:sip.carrier.net:5060")
    sbc = world(named, names={"sip.carrier.net": ["198.51.100.7"]})
    sbc.run(5.0)
    sbc.reload(named)
    assert sbc.switch.knows("outside", "198.51.100.7", 5060)
    assert sbc.idle()
