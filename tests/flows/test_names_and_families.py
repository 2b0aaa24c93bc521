"""Host names in the policy, IPv6 on one side, and addresses that only the world outside sees."""

from sbc.testing.world import DID, FAR, INSIDE, POLICY

NAMED = POLICY.replace("sip:198.51.100.7:5060", "sip:trunk.carrier.example")
IPV6 = (
    POLICY.replace("udp:203.0.113.1:5060, tcp:203.0.113.1:5060", "'udp:[2001:db8::1]:5060'")
    .replace("media: 203.0.113.1", "media: '2001:db8::1'")
    .replace("sip:198.51.100.7:5060", "sip:[2001:db8:7::7]:5060")
)
BEHIND_NAT = POLICY.replace(
    "tcp:203.0.113.1:5060], media: 203.0.113.1}",
    "tcp:203.0.113.1:5060], media: 203.0.113.1, advertise: {sip: 'sbc.example.com:5060', media: 192.0.2.200}}",
)


def test_a_server_named_by_host_name_is_called_and_may_speak(world):
    sbc = world(NAMED, names={"trunk.carrier.example": ["198.51.100.7"]})
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    assert carrier.call.called == FAR
    office.hangs_up()
    carrier.invites(DID)
    office.answers()
    carrier.hangs_up()
    assert [record.cause for record in sbc.cdr] == ["normal", "normal"]
    assert sbc.idle()


def test_a_name_without_address_ends_the_attempt(world):
    sbc = world(NAMED)
    office = sbc.office()
    office.invites(FAR)
    sbc.run(1.0)
    assert office.got(503)
    assert sbc.cdr.only.cause == "unreachable"
    assert sbc.idle()


def test_from_ipv4_to_ipv6_and_back(world):
    sbc = world(IPV6)
    office = sbc.office()
    carrier = sbc.phone("softswitch-3.carrier.net", "[2001:db8:7::7]:5060", through="[2001:db8::1]:5060", user=FAR)
    office.invites(FAR)
    carrier.rings()
    carrier.answers()
    assert b"c=IN IP6 2001:db8::1" in carrier.call.invite.body
    assert sbc.hears(office, carrier)
    assert sbc.hears(carrier, office)
    carrier.holds()
    carrier.resumes()
    office.hangs_up()
    carrier.invites(DID)
    office.answers()
    office.hangs_up()
    assert [record.cause for record in sbc.cdr] == ["normal", "normal"]
    assert sbc.idle()


def test_behind_static_nat_the_advertised_addresses_are_shown(world):
    sbc = world(BEHIND_NAT)
    office, carrier = sbc.office(), sbc.carrier()
    carrier.agent.knows("sbc.example.com", "203.0.113.1")
    office.invites(FAR)
    carrier.answers()
    invite = carrier.call.invite
    assert invite.via.host == "sbc.example.com"
    assert "sbc.example.com" in invite.header("Contact")
    assert b"c=IN IP4 192.0.2.200" in invite.body
    assert b"203.0.113.1" not in b"".join(sbc.net.sent_to(carrier.name))
    carrier.holds()
    carrier.hangs_up()
    assert office.got(200, "INVITE", "ACK", "BYE")
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_number_forms_of_each_peer(world):
    forms = POLICY.replace("dids:", "numbers: {called: national, caller: e164}, dids:").replace(
        'servers: ["sip:198.51.100.7:5060"]', 'servers: ["sip:198.51.100.7:5060"], numbers: e164-bare'
    )
    sbc = world(forms)
    office, carrier = sbc.office(), sbc.carrier()
    office.invites("2125550123")
    assert carrier.call.called == "12125550123"
    carrier.refuses(486)
    carrier.invites(DID)
    assert office.call.called == DID[2:]
    office.refuses(486)
    assert [(record.called, record.called_as_sent) for record in sbc.cdr] == [
        ("+12125550123", "12125550123"),
        (DID, DID[2:]),
    ]
    assert sbc.idle()


def test_the_inside_address_of_the_default_world():
    assert INSIDE.partition(":")[0] in POLICY
