"""A dialog that was set up over TLS stays there, whatever transport its peer's Contact has forgotten: with the keys of
its media in every description, nothing of it may go out in the clear.
"""

import re

import pytest

from sbc.core.address import Transport
from sbc.sdp.serialize import serialize_sdp
from sbc.testing.addresses import address_of
from sbc.testing.secure_sdp import PhoneSrtp
from sbc.testing.world import CARRIER, DID, FAR

from .test_tls import FAR_END, OUTSIDE, POLICY, from_us, in_the_clear

MIXED = {"carrier": {"transports": ["udp", "tls"], "srtp": "required"}}
TIMED = {"carrier": {**MIXED["carrier"], "session_timer": {"expires": "120s", "min": "90s"}}}
PLACES = [CARRIER, FAR_END]  # its port of UDP; that of TLS, without `transport=tls`


def secured_carrier(sbc, contact=CARRIER):
    """It is reached by TLS, listens to UDP too, and its Contact does not say which."""
    carrier = sbc.phone(
        "softswitch-3.carrier.net", FAR_END, through=OUTSIDE, user=FAR, transport=Transport.TLS,
        certificate="carrier.example", side="outside", srtp=PhoneSrtp(),
    )  # fmt: skip
    if contact == FAR_END:
        carrier.agent.line.contact_at = address_of(contact)
    else:
        carrier.changes_contact(contact, by=None)
    return carrier


def talking(world, by, *, peers=MIXED, contact=CARRIER):
    sbc = world(POLICY, peers=peers)
    office, carrier = sbc.office(), secured_carrier(sbc, contact)
    if by == "office":
        office.invites(FAR)
        carrier.answers()
    else:
        carrier.invites(DID)
        office.answers()
    sbc.settle()
    assert office.is_talking
    assert carrier.is_talking
    return sbc, office, carrier


def is_all_by_tls(sbc, carrier):
    sent = from_us(sbc, carrier)
    return bool(sent) and {one.transport for one in sent} == {Transport.TLS}


@pytest.mark.parametrize("by", ["office", "carrier"])
@pytest.mark.parametrize("contact", PLACES)
def test_requests_in_a_dialog_over_tls_go_by_tls_whatever_the_contact_says(world, by, contact):
    sbc, office, carrier = talking(world, by, contact=contact)
    office.holds()
    office.resumes()
    assert carrier.heard.count("INVITE") >= 2
    office.hangs_up()
    sbc.run(1.0)
    assert carrier.got("BYE")
    assert is_all_by_tls(sbc, carrier)
    assert sbc.idle()


@pytest.mark.parametrize("by", ["office", "carrier"])
def test_so_they_do_when_the_peers_connection_is_lost(world, by):
    sbc, office, carrier = talking(world, by)
    sbc.net.reset(carrier.agent)
    office.holds()
    office.resumes()
    assert carrier.direction == "sendrecv"
    office.hangs_up()
    sbc.run(1.0)
    assert carrier.got("BYE")
    assert is_all_by_tls(sbc, carrier)
    assert sbc.idle()


@pytest.mark.parametrize("by", ["office", "carrier"])
def test_so_they_do_after_a_death_of_signalling(world, by):
    sbc, office, carrier = talking(world, by)
    sbc.run(40.0)
    sbc.signalling_dies()
    sbc.signalling_lives(after=0.5)
    before = carrier.heard.count("INVITE")
    office.holds()
    office.resumes()
    assert carrier.heard.count("INVITE") > before
    office.hangs_up()
    sbc.run(1.0)
    assert carrier.got("BYE")
    assert is_all_by_tls(sbc, carrier)
    assert sbc.idle()


@pytest.mark.parametrize("by", ["office", "carrier"])
def test_nothing_goes_out_in_the_clear_where_the_next_life_speaks_no_tls(world, by):
    """Its policy has no listener for it any more: requests fail, and no key is told."""
    sbc, office, carrier = talking(world, by)
    sbc.run(40.0)
    sbc.signalling_dies()
    plain = re.sub(r", tls:[0-9.]+:5061", "", POLICY).replace(
        '5061;transport=tls"]', '5060;transport=udp"], srtp: required'
    )
    sbc.signalling_lives(plain, after=0.5)
    office.holds()
    assert office.call.last_status == 503
    office.hangs_up()
    sbc.run(40.0)
    assert is_all_by_tls(sbc, carrier)


@pytest.mark.parametrize("by", ["office", "carrier"])
@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_so_they_do_when_a_target_refresh_brings_such_a_contact(world, by, method):
    sbc = world(POLICY, peers=MIXED)
    office, carrier = sbc.office(), secured_carrier(sbc)
    carrier.agent.line.contact_at = None  # until now it has named TLS
    if by == "office":
        office.invites(FAR)
        carrier.answers()
    else:
        carrier.invites(DID)
        office.answers()
    carrier.changes_contact("198.51.100.7:5070", by=method)
    office.holds()
    office.resumes()
    office.hangs_up()
    sbc.run(1.0)
    assert carrier.got("BYE")
    assert is_all_by_tls(sbc, carrier)
    assert sbc.idle()


def test_so_does_a_session_refresh_of_ours(world):
    sbc = world(POLICY, peers=TIMED)
    office, carrier = sbc.office(), secured_carrier(sbc)
    carrier.supports("timer")
    carrier.disallows("UPDATE")
    office.invites(FAR)
    carrier.answers()
    sbc.run(300.0)
    assert carrier.is_talking
    assert carrier.heard.count("INVITE") > 1
    assert is_all_by_tls(sbc, carrier)
    office.hangs_up()
    assert sbc.idle()


def by_udp(sbc, carrier, clear, method, *, offers):
    """A request of the carrier in its dialog, but by UDP; all that is said to it."""
    party = carrier.call
    party.local_seq += 1
    body = serialize_sdp(party.local_sdp) if offers else b""
    lines = [
        f"{method} {party.target} SIP/2.0",
        f"Via: SIP/2.0/UDP {CARRIER};branch=z9hG4bKudp",
        f"From: {party.local};tag={party.local_tag}",
        f"To: {party.remote};tag={party.remote_tag}",
        f"Call-ID: {party.call_id}",
        f"CSeq: {party.local_seq} {method}",
        f"Contact: <sip:{FAR}@{CARRIER}>",
        "Max-Forwards: 70",
        *(["Content-Type: application/sdp"] if body else []),
        f"Content-Length: {len(body)}",
    ]
    sbc.inject("\r\n".join([*lines, "", ""]).encode() + body, clear)
    return [one.data for one in from_us(sbc, clear)]


# RFC: 4568
@pytest.mark.parametrize("by", ["office", "carrier"])
@pytest.mark.parametrize(("method", "offers"), [("INVITE", True), ("INVITE", False), ("UPDATE", True)])
def test_nobody_is_answered_with_keys_by_udp_in_a_dialog_over_tls(world, by, method, offers):
    """§8.3: "encryption of the encapsulating payload" whenever a master key is in it."""
    sbc, office, carrier = talking(world, by, contact=FAR_END)
    clear = in_the_clear(sbc)
    told = by_udp(sbc, carrier, clear, method, offers=offers)
    assert told[-1].startswith(b"SIP/2.0 488 ")
    assert b"this dialog is over TLS" in told[-1]
    assert carrier.is_talking
    assert office.is_talking
    office.holds()
    office.hangs_up()
    sbc.run(40.0)
    assert carrier.got("BYE")
    assert is_all_by_tls(sbc, carrier)
    assert not any(b"a=crypto" in one.data for one in from_us(sbc, clear))
    assert sbc.idle()


def test_what_has_no_keys_is_answered_where_it_came_from(world):
    """A peer that is careless about transports can still refresh its session, and leave."""
    sbc, _, carrier = talking(world, "carrier", contact=FAR_END)
    clear = in_the_clear(sbc)
    assert by_udp(sbc, carrier, clear, "UPDATE", offers=False)[-1].startswith(b"SIP/2.0 200 ")
    assert by_udp(sbc, carrier, clear, "BYE", offers=False)[-1].startswith(b"SIP/2.0 200 ")
    assert sbc.cdr.only.cause == "normal"


def test_a_subscription_stays_on_tls_too(world):
    """What is notified says who calls whom."""
    extra = {"methods": ["SUBSCRIBE", "NOTIFY"], "events": ["message-summary"]}
    sbc = world(POLICY, peers={"carrier": {**extra, "transports": ["udp", "tls"]}, "office": extra})
    office, carrier = sbc.office(), secured_carrier(sbc)
    carrier.subscribes("message-summary", DID)
    office.notifies(b"Messages-Waiting: yes\r\n")
    sbc.net.reset(carrier.agent)
    office.notifies(b"Messages-Waiting: no\r\n")
    assert carrier.heard.count("NOTIFY") >= 2
    assert is_all_by_tls(sbc, carrier)


def test_so_does_one_of_a_notifier(world):
    extra = {"methods": ["SUBSCRIBE", "NOTIFY"], "events": ["message-summary"]}
    sbc = world(POLICY, peers={"carrier": {**extra, "transports": ["udp", "tls"]}, "office": extra})
    office, carrier = sbc.office(), secured_carrier(sbc)
    office.subscribes("message-summary", FAR)
    carrier.notifies(b"Messages-Waiting: yes\r\n")
    before = carrier.heard.count("SUBSCRIBE")
    office.resubscribes()
    assert carrier.heard.count("SUBSCRIBE") > before
    assert is_all_by_tls(sbc, carrier)
