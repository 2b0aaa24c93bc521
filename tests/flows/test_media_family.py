"""Which media address of an interface a leg gets: of the family that its peer signals over, or else asks for in SDP.

IPv4 on one side and IPv6 on the other is a call like any other, in descriptions, holds and packets.
"""

import pytest

from sbc.core.address import Address
from sbc.sdp import describe, serialize_sdp
from sbc.testing.build import sdp_of
from sbc.testing.byhand import ByHand
from sbc.testing.world import DID, FAR, POLICY

DUAL = POLICY.replace(
    "outside: {sip: [udp:203.0.113.1:5060, tcp:203.0.113.1:5060], media: 203.0.113.1}",
    "outside: {sip: ['udp:203.0.113.1:5060', 'udp:[2001:db8::1]:5060'], media: [203.0.113.1, '2001:db8::1']}",
).replace('["sip:198.51.100.7:5060"]', "['sip:[2001:db8:7::7]:5060']")


BOTH_WAYS = DUAL.replace("['sip:[", "['sip:198.51.100.7:5060', 'sip:[")
SDP = (("Content-Type", "application/sdp"),)
V6 = "2001:db8:7::7"


def v6_carrier(sbc, name="softswitch-3.carrier.net"):
    return sbc.phone(name, f"[{V6}]:5060", through="[2001:db8::1]:5060", user=FAR)


def address(phone):
    connection = phone.call.remote_sdp.connection
    return connection.address_type, connection.address


@pytest.mark.parametrize("holder", ["office", "carrier"])
@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("caller", ["office", "carrier"])
def test_ipv4_on_one_side_and_ipv6_on_the_other(world, caller, holder, old):
    """`old`: who holds says so by an address of its own family, 0.0.0.0 or ::; the other is told it in words."""
    sbc = world(DUAL)
    office, carrier = sbc.office(), v6_carrier(sbc)
    one, other = (office, carrier) if caller == "office" else (carrier, office)
    one.invites(FAR if caller == "office" else DID)
    other.answers()
    assert (address(office), address(carrier)) == (("IP4", "10.0.0.1"), ("IP6", "2001:db8::1"))
    assert sbc.hears(office, carrier)
    assert sbc.hears(carrier, office)
    one, other = (office, carrier) if holder == "office" else (carrier, office)
    one.holds(old=old)
    assert other.direction.is_hold
    assert (address(office), address(carrier)) == (("IP4", "10.0.0.1"), ("IP6", "2001:db8::1"))
    one.resumes()
    assert sbc.hears(office, carrier)
    assert sbc.hears(carrier, office)
    assert b" IP4 " not in b"".join(line for data in sbc.net.sent_to(carrier.name) for line in _origins(data))
    office.hangs_up()
    assert sbc.idle()


def _origins(data):
    return [line for line in data.split(b"\r\n") if line.startswith((b"o=", b"c="))]


def test_a_server_whose_name_has_an_ipv6_address_alone(world):
    named = DUAL.replace("[2001:db8:7::7]:5060", "gw.carrier.net:5060")
    sbc = world(named, names={"gw.carrier.net": [V6]})
    office, carrier = sbc.office(), v6_carrier(sbc)
    office.invites(FAR)
    carrier.answers()
    assert address(carrier) == ("IP6", "2001:db8::1")
    assert sbc.hears(office, carrier)
    office.hangs_up()
    assert sbc.idle()


def test_the_next_server_of_another_family_gets_media_of_that(world):
    sbc = world(BOTH_WAYS)
    office, first, second = sbc.office(), sbc.carrier(), v6_carrier(sbc, "softswitch-4.carrier.net")
    office.invites(FAR)
    first.refuses(503)
    second.answers()
    assert b"c=IN IP4 203.0.113.1" in first.call.invite.body
    assert address(second) == ("IP6", "2001:db8::1")
    assert sbc.hears(second, office)
    office.hangs_up()
    assert sbc.idle()


def test_what_is_advertised_stands_for_the_address_of_its_family_alone(world):
    sbc = world(BOTH_WAYS.replace("'2001:db8::1']}", "'2001:db8::1'], advertise: {media: 192.0.2.200}}"))
    office, first, second = sbc.office(), sbc.carrier(), v6_carrier(sbc, "softswitch-4.carrier.net")
    office.invites(FAR)
    first.refuses(503)
    second.answers()
    assert b"c=IN IP4 192.0.2.200" in first.call.invite.body
    assert address(second) == ("IP6", "2001:db8::1")
    office.hangs_up()
    assert sbc.idle(but=["leaks"])


@pytest.mark.parametrize("is_delayed", [False, True])
def test_a_peer_that_signals_over_ipv4_and_has_media_on_ipv6(world, is_delayed):
    """Its offer says so, and the interface has an address of that family."""
    sbc = world(BOTH_WAYS)
    office, carrier = sbc.office(), sbc.carrier()
    carrier.agent.media = Address(V6, 4000)
    if is_delayed:
        office.invites(FAR, sdp=False)
        carrier.answers()
    else:
        carrier.invites(DID)
        office.answers()
    assert address(carrier) == ("IP6", "2001:db8::1")
    assert sbc.hears(office, carrier)
    assert sbc.hears(carrier, office)
    carrier.holds()
    carrier.resumes()
    office.hangs_up()
    assert sbc.idle()


def test_media_of_a_family_that_the_interface_has_not(world):
    """A call without sound helps nobody: 488, and the caller of a hunt hears of it."""
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    carrier.agent.media = Address(V6, 4000)
    carrier.invites(DID)
    assert carrier.got(488)
    office.invites(FAR)
    carrier.answers()
    assert office.got(488)
    assert [record.cause for record in sbc.cdr] == ["failed", "failed"]
    assert sbc.idle()


def test_a_change_to_such_an_address_is_refused_and_the_call_goes_on(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    before = carrier.agent.media
    carrier.agent.media = Address(V6, 4000)
    carrier.reinvites()
    assert carrier.got(488)
    carrier.agent.media = before
    assert sbc.hears(office, carrier)
    office.hangs_up()
    assert sbc.idle()


def test_a_refused_stream_may_name_any_address(world):
    sbc = world()
    hand = ByHand(sbc, sbc.office())
    carrier = sbc.carrier()
    body = serialize_sdp(describe("10.0.0.5", 4000)) + b"m=video 0 RTP/AVP 96\r\nc=IN IP6 2001:db8:7::9\r\n"
    hand.sends("INVITE", f"sip:{FAR}@10.0.0.1", body=body, fields=SDP)
    carrier.answers()
    hand.sends("ACK", to_tag=hand.our_tag)
    assert carrier.is_talking
    carrier.hangs_up()
    hand.replies(200, to=hand.requests("BYE")[0])
    assert sbc.idle()


def test_an_ipv6_peer_whose_via_is_a_name(world):
    sbc = world(DUAL)
    office = sbc.office()
    carrier = sbc.phone("softswitch-3.carrier.net", "[2001:db8:7::7]:5060", through="[2001:db8::1]:5060", user=FAR)
    hand = ByHand(sbc, carrier)
    named = Address("softswitch-3.carrier.net", 5060)
    hand.sends(
        "INVITE",
        f"sip:{DID}@[2001:db8::1]",
        source=named,
        contact="sip:[2001:db8:7::7]:5060",
        body=sdp_of("2001:db8:7::7"),
        fields=(("Content-Type", "application/sdp"),),
    )
    office.answers()
    assert b"c=IN IP6 2001:db8::1" in hand.heard[-1].body
    hand.sends("ACK", to_tag=hand.our_tag)
    assert sbc.switch.snapshot(sbc.now).calls[0].state == "answered"
    office.hangs_up()
    hand.replies(200, to=hand.requests("BYE")[0])
    assert sbc.idle(but=["leaks"])
