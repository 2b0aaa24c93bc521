"""Calls over TLS: who is known by his certificate, connections that are lost, and what a connection must prove."""

import pytest

from sbc.core.address import Transport
from sbc.testing.world import CARRIER, DID, FAR

OUTSIDE = "203.0.113.1:5061"
FAR_END = "198.51.100.7:5061"
POLICY = """
sbc: {name: test, data_dir: /nowhere, country: US}
interfaces:
  inside: {sip: [udp:10.0.0.1:5060, tls:10.0.0.1:5061], media: 10.0.0.1}
  outside: {sip: [udp:203.0.113.1:5060, tls:203.0.113.1:5061], media: 203.0.113.1}
pbxs:
  office: {interface: inside, address: sip:10.0.0.5:5060, dids: ["+14155550100-+14155550199"]}
trunks:
  carrier: {interface: outside, servers: ["sip:198.51.100.7:5061;transport=tls"], domain: carrier.example}
routes:
  - {name: outbound, from: office, to: [national, "+44X."], via: [carrier]}
  - {name: inbound, from: carrier, to: dids}
"""
CERTIFICATE = {"carrier": {"tls": {"identity": "certificate"}}}


def by_tls(sbc, *, certificate="carrier.example", address=FAR_END, name="softswitch-3.carrier.net"):
    return sbc.phone(
        name, address, through=OUTSIDE, user=FAR, transport=Transport.TLS, certificate=certificate, side="outside"
    )


def in_the_clear(sbc):
    return sbc.phone("softswitch-9.carrier.net", CARRIER, through="203.0.113.1:5060", user=FAR)


def from_us(sbc, phone, start=""):
    sent = [sent for sent in sbc.net.log if sent.sender == "sbc" and sent.receiver == phone.name]
    return [one for one in sent if one.data.startswith(start.encode())]


# --- who is who -------------------------------------------------------------------------------------------------------


def test_a_call_to_a_trunk_by_tls(world):
    """Via, Contact and the profile that the connection has proved; one connection for all of the call."""
    sbc = world(POLICY)
    office, carrier = sbc.office(), by_tls(sbc)
    office.invites(FAR)
    carrier.rings()
    carrier.answers()
    assert sbc.hears(office, carrier)
    office.hangs_up()
    sent = from_us(sbc, carrier)
    assert {one.transport for one in sent} == {Transport.TLS}
    invite = carrier.last("INVITE")
    assert invite.header("Via").startswith(f"SIP/2.0/TLS {OUTSIDE};branch=")
    assert str(invite.contacts[0].uri).endswith(f"@{OUTSIDE};transport=tls")
    assert sbc.net.streams.of("sbc")[0].ends[0].flow.proved == ("carrier",)
    assert len(sbc.net.streams.of("sbc")) == 1
    assert sbc.idle()


def test_a_call_from_a_trunk_by_tls(world):
    sbc = world(POLICY)
    office, carrier = sbc.office(), by_tls(sbc)
    carrier.invites(DID)
    office.answers()
    assert sbc.hears(carrier, office)
    office.hangs_up()
    assert carrier.got("BYE")
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_who_speaks_by_tls_alone_is_a_stranger_by_udp(world):
    sbc = world(POLICY)
    sbc.office()
    sbc.inject(
        b"INVITE sip:+14155550100@203.0.113.1 SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bKa\r\n"
        b"From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nContact: <sip:a@198.51.100.7>\r\n"
        b"Content-Length: 0\r\n\r\n",
        in_the_clear(sbc),
    )
    assert sbc.net.sent_by("sbc") == []
    assert sbc.switch.endpoint.dropped["unknown_source"] == 1
    assert sbc.idle()


def test_another_certificate_gets_no_call(world):
    """The connection is closed before a request has gone out, and the hunt goes on."""
    sbc = world(POLICY)
    office, carrier = sbc.office(), by_tls(sbc, certificate="other.example")
    office.invites(FAR)
    assert office.got(503)
    assert from_us(sbc, carrier) == []
    assert sbc.cdr.only.cause == "unreachable"
    assert sbc.idle()


def test_a_trunk_that_is_known_by_its_address_calls_without_a_certificate_and_is_called_by_its_name(world):
    sbc = world(POLICY, peers={"carrier": {"tls": {"identity": "address"}}})
    office, carrier = talking(sbc, certificate="")
    assert sbc.hears(office, carrier)
    carrier.hangs_up()
    office.invites(FAR)
    assert office.got(503)  # where we connect, it must show who it is
    assert [record.cause for record in sbc.cdr] == ["normal", "unreachable"]
    assert sbc.idle()


def test_a_trunk_that_must_prove_itself_is_nobody_without_its_certificate(world):
    sbc = world(POLICY, peers=CERTIFICATE)
    sbc.office()
    carrier = by_tls(sbc, certificate="other.example")
    carrier.agent.line.outbound = carrier.through
    carrier.invites(DID)
    sbc.run(1)
    assert from_us(sbc, carrier) == []
    assert sbc.switch.calls == {}
    carrier.cancels()
    sbc.run(40)


def test_a_trunk_that_must_prove_itself_and_does(world):
    sbc = world(POLICY, peers=CERTIFICATE)
    office, carrier = sbc.office(), by_tls(sbc)
    carrier.invites(DID)
    office.answers()
    carrier.hangs_up()
    assert sbc.cdr.only.ingress == "carrier"
    assert sbc.idle()


TWO = (
    POLICY.replace(
        "routes:",
        "  spare: {interface: outside, servers: ['sip:198.51.100.7:5061;transport=tls'], domain: spare.example, "
        "tls: {identity: certificate}}\nroutes:",
    )
    .replace(
        'servers: ["sip:198.51.100.7:5061;transport=tls"], domain: carrier.example',
        "servers: ['sip:198.51.100.7:5061;transport=tls'], domain: carrier.example, tls: {identity: certificate}",
    )
    .replace("from: carrier, to: dids", "from: [carrier, spare], to: dids")
)


def test_trunks_at_one_source_are_told_apart_by_their_certificates(world):
    for certificate, name in (("carrier.example", "carrier"), ("spare.example", "spare")):
        sbc = world(TWO)
        office, far = sbc.office(), by_tls(sbc, certificate=certificate)
        far.invites(DID)
        office.answers()
        far.hangs_up()
        assert sbc.cdr.only.ingress == name
        assert sbc.idle()


ANYWHERE = POLICY.replace(
    "trunks:",
    "  home: {interface: outside, registers: true, accept: any, "
    "tls: {identity: certificate, domain: home.example}, dids: ['+14155550200']}\ntrunks:",
).replace("from: office", "from: [office, home]")


def test_a_certificate_from_any_address(world):
    sbc = world(ANYWHERE)
    carrier = by_tls(sbc)
    home = sbc.phone(
        "home-4.lan", "192.0.2.77:5061", through=OUTSIDE, user="+14155550200", transport=Transport.TLS,
        certificate="home.example", side="outside",
    )  # fmt: skip
    home.invites(FAR)
    carrier.answers()
    carrier.hangs_up()
    assert home.got("BYE")
    assert sbc.cdr.only.ingress == "home"
    assert sbc.idle(but=("leaks",))


def test_no_certificate_from_any_address_is_nobody(world):
    sbc = world(ANYWHERE)
    by_tls(sbc)
    home = sbc.phone(
        "home-4.lan", "192.0.2.77:5061", through=OUTSIDE, user="+14155550200", transport=Transport.TLS, side="outside"
    )
    home.invites(FAR)
    sbc.run(2)
    assert from_us(sbc, home) == []
    assert sbc.switch.calls == {}


# --- connections that are lost ----------------------------------------------------------------------------------------


def talking(sbc, *, certificate="carrier.example"):
    office, carrier = sbc.office(), by_tls(sbc, certificate=certificate)
    carrier.invites(DID)
    office.answers()
    return office, carrier


# RFC: 5923
def test_a_request_in_a_dialog_goes_by_the_connection_that_the_peer_uses(world):
    """The trunk has connected, and every request to it goes by that connection."""
    sbc = world(POLICY)
    office, carrier = talking(sbc)
    office.holds()
    office.hangs_up()
    assert carrier.got("INVITE", "BYE")
    assert len(sbc.net.streams.of("sbc")) == 1
    assert sbc.idle()


@pytest.mark.parametrize("who", ["carrier", "office"])
def test_what_a_peer_has_opened_carries_no_request_of_ours_where_the_policy_says_so(world, who):
    """Its own requests come by it and are answered there; ours go by one connection, which we have opened."""
    sbc = world(POLICY, peers={"carrier": {"tls": {"reuse": "false"}}})
    office, carrier = talking(sbc)
    office.holds()
    carrier.holds()
    office.resumes()
    carrier.resumes()
    (carrier if who == "carrier" else office).hangs_up()
    assert carrier.got("INVITE", "INVITE")
    theirs, ours = (one.ends for one in sbc.net.streams.of("sbc"))
    assert (theirs[1].host, ours[0].host, ours[0].flow.proved) == ("sbc", "sbc", ("carrier",))
    by = {True: theirs[0].flow.local.port, False: 5061}  # their end of it
    assert all(one.target.port == by[one.data.startswith(b"SIP/2.0")] for one in from_us(sbc, carrier))
    assert sbc.idle()


# RFC: 5923
def test_a_lost_connection_is_opened_anew_within_the_dialog(world):
    """RFC 5923 §8.2: "the server MUST open a new connection to the resolved address"."""
    sbc = world(POLICY)
    office, carrier = talking(sbc)
    sbc.net.reset(carrier.agent)
    sbc.settle()
    office.holds()
    ours = [one for one in sbc.net.streams.of("sbc") if one.ends[0].host == "sbc"]
    assert [one.ends[0].flow.proved for one in ours] == [("carrier",)]
    assert carrier.last("INVITE").header("Via").startswith("SIP/2.0/TLS")
    office.resumes()
    office.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_a_new_connection_within_the_dialog_must_prove_the_same(world):
    """Whoever answers at the address of the Contact now: he gets neither the BYE nor anything else."""
    sbc = world(POLICY)
    office, carrier = talking(sbc)
    sbc.proofs.certificates[carrier.name] = ("evil.example",)
    sbc.net.reset(carrier.agent)
    before = len(from_us(sbc, carrier))
    office.hangs_up()
    assert len(from_us(sbc, carrier)) == before
    sbc.run(40)
    assert sbc.switch.calls == {}
    assert sbc.cdr.only.cause == "normal"


@pytest.mark.parametrize("by", ["INVITE", "UPDATE"])
def test_an_offer_to_whoever_proves_nothing_is_refused_and_the_call_goes_on(world, by):
    """RFC 3261 §8.1.3.1: a transport error counts as a 503, which is neither of the two that end a dialog."""
    sbc = world(POLICY)
    office, carrier = talking(sbc)
    sbc.proofs.certificates[carrier.name] = ("evil.example",)
    sbc.net.reset(carrier.agent)
    before = len(from_us(sbc, carrier))
    office.holds(by=by)
    assert office.call.heard[-1].startswith("503")
    assert len(from_us(sbc, carrier)) == before
    sbc.proofs.certificates[carrier.name] = ("carrier.example",)
    office.holds(by=by)
    assert office.call.heard[-1].startswith("200")
    office.hangs_up()
    assert carrier.got("BYE")
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


@pytest.mark.parametrize("by", ["INVITE", "UPDATE"])
@pytest.mark.parametrize("comes_back", [True, False])
def test_a_refresh_that_reaches_nobody_is_tried_again_until_the_session_expires(world, by, comes_back):
    sbc = world(POLICY.replace("domain: carrier.example", "domain: carrier.example, session_timer: {expires: 300s}"))
    office, carrier = sbc.office(), by_tls(sbc)
    if by == "INVITE":
        carrier.disallows("UPDATE")
    carrier.uses_session_timer(300, refresher="uac")
    office.invites(FAR)
    carrier.answers()
    sbc.run(1)
    sbc.proofs.certificates[carrier.name] = ("evil.example",)
    sbc.net.reset(carrier.agent)
    sbc.run(160)
    assert office.is_talking
    if comes_back:
        sbc.proofs.certificates[carrier.name] = ("carrier.example",)
    sbc.run(600)
    assert office.is_talking == comes_back
    if comes_back:
        office.hangs_up()
    assert len(from_us(sbc, carrier, "UPDATE" if by == "UPDATE" else "INVITE")) >= comes_back
    sbc.run(40)
    assert sbc.switch.calls == {}


# RFC: 5923
def test_a_request_on_its_way_is_sent_again_when_its_connection_breaks(world):
    sbc = world(POLICY)
    office, carrier = talking(sbc)
    with sbc.net.holding(carrier.name):
        office.hangs_up()
        sbc.net.reset(carrier.agent)
    sbc.run(1)
    assert carrier.got("BYE")
    assert sbc.idle()


def test_a_contact_in_the_clear_does_not_bring_a_request_in_the_clear(world):
    """The peer speaks by TLS alone: its Contact without a transport means TLS to us."""
    sbc = world(POLICY)
    office, carrier = sbc.office(), by_tls(sbc)
    office.invites(FAR)
    carrier.answers()
    carrier.changes_contact(CARRIER)
    sbc.net.reset(carrier.agent)
    office.hangs_up()
    assert {sent.transport for sent in from_us(sbc, carrier)} == {Transport.TLS}
    sbc.run(40)
    assert sbc.switch.calls == {}


# RFC: 5923
def test_our_via_offers_the_connection(world):
    sbc = world(POLICY)
    office, carrier = sbc.office(), by_tls(sbc)
    office.invites(FAR)
    carrier.refuses(486)
    assert carrier.last("INVITE").header("Via").endswith(";rport;alias")
    assert sbc.idle()


def test_an_answer_that_crosses_the_cancel_is_ended_where_it_came_from(world):
    """ACK and BYE of a call that is gone, over the connection that has proved who answered."""
    sbc = world(POLICY)
    office, carrier = sbc.office(), by_tls(sbc)
    office.invites(FAR)
    carrier.rings()
    with sbc.net.holding(carrier.name):
        office.cancels()
        carrier.answers()
    assert carrier.got("ACK", "BYE")
    assert {sent.transport for sent in from_us(sbc, carrier)} == {Transport.TLS}
    assert len(sbc.net.streams.of("sbc")) == 1
    assert sbc.idle()


def test_nothing_of_either_side_crosses_over_tls(world):
    """Names, addresses, tags and Call-IDs, in every octet that was sent: `idle` looks for them; and no listener's."""
    sbc = world(POLICY)
    office, carrier = talking(sbc)
    office.holds()
    office.resumes()
    carrier.hangs_up()
    inside = b"".join(sent.data for sent in from_us(sbc, office))
    outside = b"".join(sent.data for sent in from_us(sbc, carrier))
    assert b"203.0.113.1" not in inside
    assert b"carrier.example" not in inside
    assert b"10.0.0." not in outside
    assert sbc.idle()


def without_the_trunk():
    kept = [line for line in POLICY.splitlines() if "carrier" not in line and line != "trunks:"]
    return "\n".join(kept).replace("routes:", "routes: [{name: none, reject: 404}]") + "\n"


def test_a_reload_that_takes_the_trunk_away_leaves_its_call_and_its_connection(world):
    sbc = world(POLICY)
    office, carrier = talking(sbc)
    sbc.reload(without_the_trunk())
    office.holds()
    carrier.hangs_up()
    assert office.got("BYE")
    assert sbc.cdr.only.cause == "normal"
    assert len(sbc.net.streams.of("sbc")) == 1
    assert sbc.idle()


def test_a_trunk_that_is_taken_away_cannot_connect_again(world):
    sbc = world(POLICY)
    sbc.office()
    carrier = by_tls(sbc)
    sbc.reload(without_the_trunk())
    assert not sbc.switch.knows("outside", "198.51.100.7", 40_000, Transport.TLS)
    carrier.invites(DID)
    sbc.run(2)
    assert from_us(sbc, carrier) == []
