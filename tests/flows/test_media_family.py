"""Which media address of an interface a leg gets: one of the family that its peer signals over, whatever Via says."""

from sbc.core.address import Address
from sbc.testing.build import sdp_of
from sbc.testing.byhand import ByHand
from sbc.testing.world import DID, FAR, POLICY

DUAL = POLICY.replace(
    "outside: {sip: [udp:203.0.113.1:5060, tcp:203.0.113.1:5060], media: 203.0.113.1}",
    "outside: {sip: ['udp:203.0.113.1:5060', 'udp:[2001:db8::1]:5060'], media: [203.0.113.1, '2001:db8::1']}",
).replace('["sip:198.51.100.7:5060"]', "['sip:[2001:db8:7::7]:5060']")


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
