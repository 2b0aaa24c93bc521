"""SIPS URIs (RFC 5630): what is asked for by one goes over TLS, all the way, or not at all."""

from sbc.core.address import Flow, Transport
from sbc.testing.world import DID, FAR

INSIDE = "10.0.0.1:5061"
OUTSIDE = "203.0.113.1:5061"
POLICY = """
sbc: {name: test, data_dir: /nowhere, country: US}
interfaces:
  inside: {sip: [udp:10.0.0.1:5060, tls:10.0.0.1:5061], media: 10.0.0.1}
  outside: {sip: [udp:203.0.113.1:5060, tls:203.0.113.1:5061], media: 203.0.113.1}
pbxs:
  office:
    interface: inside
    address: sip:10.0.0.5:5061;transport=tls
    tls: {domain: office.example}
    dids: ["+14155550100-+14155550199"]
trunks:
  carrier: {interface: outside, servers: ["SERVER"], domain: carrier.example}
routes:
  - {name: outbound, from: office, to: [national, "+44X."], via: [carrier]}
  - {name: inbound, from: carrier, to: dids}
"""
BY_SIPS = POLICY.replace("SERVER", "sips:198.51.100.7:5061")
BY_TLS = POLICY.replace("SERVER", "sip:198.51.100.7:5061;transport=tls")
IN_THE_CLEAR = POLICY.replace("SERVER", "sip:198.51.100.7:5060")


def office_of(sbc):
    return sbc.phone(
        "pbx-77.office.internal", "10.0.0.5:5061", through=INSIDE, user=DID, transport=Transport.TLS,
        certificate="office.example",
    )  # fmt: skip


def carrier_of(sbc, *, tls=True):
    port, transport = (5061, Transport.TLS) if tls else (5060, Transport.UDP)
    return sbc.phone(
        "softswitch-3.carrier.net", f"198.51.100.7:{port}", through=f"203.0.113.1:{port}", user=FAR,
        transport=transport, certificate="carrier.example",
    )  # fmt: skip


def asks_by_sips(sbc, office, contact="sips:{user}@10.0.0.5:5061"):
    """An INVITE to a SIPS URI, octet by octet: the phones of the tests know none."""
    shown = contact.format(user=DID)
    text = (
        f"INVITE sips:{FAR}@10.0.0.1:5061 SIP/2.0\r\nVia: SIP/2.0/TLS 10.0.0.5:5061;branch=z9hG4bKbyhand1\r\n"
        f"From: <sips:{DID}@10.0.0.5>;tag=one\r\nTo: <sips:{FAR}@10.0.0.1>\r\nCall-ID: sips-1\r\nCSeq: 1 INVITE\r\n"
        f"Max-Forwards: 70\r\nContact: <{shown}>\r\nContent-Length: 0\r\n\r\n"
    )
    flow = Flow(Transport.TLS, "", office.address, office.through)
    sbc.net._send_on_stream(office.agent, flow, text.encode())
    sbc.settle()


def answers_to(sbc, office):
    return [sent.data.decode() for sent in sbc.net.log if sent.sender == "sbc" and sent.receiver == office.name]


# RFC: 5630
def test_a_sips_server_is_asked_for_by_sips_uris(world):
    """Request-URI, To, From and Contact; no transport parameter (§5.1.1)."""
    sbc = world(BY_SIPS)
    office, carrier = office_of(sbc), carrier_of(sbc)
    office.invites(FAR)
    carrier.answers()
    invite = carrier.last("INVITE")
    assert invite.uri_text == f"sips:{FAR}@carrier.example"
    assert invite.header("To") == f"<sips:{FAR}@carrier.example>"
    assert "<sips:" in invite.header("From")
    (contact,) = invite.contacts
    assert (contact.uri.scheme, contact.uri.host, contact.uri.port, contact.uri.params) == (
        "sips",
        "203.0.113.1",
        5061,
        (),
    )
    office.hangs_up()
    assert sbc.idle()


# RFC: 5630
def test_a_call_to_a_sips_uri_goes_on_as_one_over_tls(world):
    sbc = world(BY_TLS)
    office, carrier = office_of(sbc), carrier_of(sbc)
    asks_by_sips(sbc, office)
    assert carrier.last("INVITE").uri_text.startswith("sips:")
    assert carrier.last("INVITE").contacts[0].uri.scheme == "sips"
    carrier.rings()
    ringing = [text for text in answers_to(sbc, office) if text.startswith("SIP/2.0 180")]
    assert "Contact: <sips:" in ringing[0]
    carrier.refuses(486)
    assert any(text.startswith("SIP/2.0 486") for text in answers_to(sbc, office))


# RFC: 5630
def test_a_call_to_a_sips_uri_does_not_go_on_in_the_clear(world):
    """§5.3: 480, with Warning 380."""
    sbc = world(IN_THE_CLEAR)
    office, carrier = office_of(sbc), carrier_of(sbc, tls=False)
    asks_by_sips(sbc, office)
    (final,) = [text for text in answers_to(sbc, office) if not text.startswith("SIP/2.0 100")]
    assert final.startswith("SIP/2.0 480")
    assert 'Warning: 380 sbc "SIPS Not Allowed"\r\n' in final
    assert carrier.heard == []
    assert sbc.cdr.only.sip_status == 480


# RFC: 5630
def test_a_sips_uri_with_a_sip_contact_is_a_bad_request(world):
    """§5.1.2."""
    sbc = world(BY_TLS)
    office, carrier = office_of(sbc), carrier_of(sbc)
    asks_by_sips(sbc, office, contact="sip:{user}@10.0.0.5:5061;transport=tls")
    (final,) = answers_to(sbc, office)
    assert final.startswith("SIP/2.0 400")
    assert carrier.heard == []


# RFC: 5630
def test_a_redirection_of_a_call_to_a_sips_uri_into_the_clear_is_not_followed(world):
    """§5.3: "the proxy MUST NOT recurse on the response"."""
    sbc = world(BY_TLS, peers={"carrier": {"redirect": "follow"}})
    office, carrier = office_of(sbc), carrier_of(sbc)
    asks_by_sips(sbc, office)
    carrier.redirects("sip:+14155550101@carrier.example")
    assert office.heard == []
    assert answers_to(sbc, office)[-1].startswith("SIP/2.0 502")


# RFC: 5630
def test_a_redirection_to_a_sips_uri_goes_on_as_one(world):
    """§5.1.1: "the UAC does not replace it with a SIP Request-URI"."""
    sbc = world(BY_TLS, peers={"carrier": {"redirect": "follow"}})
    office, carrier = office_of(sbc), carrier_of(sbc)
    office.invites(FAR)
    carrier.redirects("sips:+14155550101@carrier.example")
    assert office.last("INVITE").uri_text == "sips:+14155550101@10.0.0.5:5061"


# RFC: 5630
def test_a_sips_aor_is_registered_by_sips_uris(world):
    """§5.1.1.1."""
    account = "auth: {username: acme, password: s3cret}, register: {aor: 'sips:acme@carrier.example', keepalive: 0s}"
    sbc = world(BY_SIPS.replace("domain: carrier.example", account))
    carrier = carrier_of(sbc)
    carrier.becomes_registrar()
    sbc.run(10)
    register = carrier.last("REGISTER")
    assert register.uri_text == "sips:carrier.example"
    assert register.header("To") == "<sips:acme@carrier.example>"
    assert register.contacts[0].uri.scheme == "sips"
    assert sbc.idle(but=("deadline",))
