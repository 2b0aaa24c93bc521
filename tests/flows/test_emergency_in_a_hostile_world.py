"""Help is reached whatever stands in the way of other calls: bans, rates, shares, overload, rules of encryption, and
targets that nobody else may name.

Who is not known to be anybody, by source, transport or proof, is a stranger whatever he calls: a source that may not
speak by UDP may be forged there.
"""

import pytest

from sbc.b2bua.events import BanOrdered, LiftOrdered
from sbc.core import limits
from sbc.core.address import Transport
from sbc.testing.secure_sdp import PhoneSrtp
from sbc.testing.world import DID, FAR, INSIDE, POLICY

from .knocking import HELPING, STRANGER, bans, credentials, dropped, flow, message, nonce_from, said
from .securing import FINGERPRINT, ends
from .test_overload import overload

SDES, DTLS = PhoneSrtp(), PhoneSrtp("dtls")
HELP = "  - {name: help, from: office, to: ['911'], emergency: true, via: [carrier]}\n"
KNOWN = POLICY.replace("routes:\n", f"routes:\n{HELP}")
# Two from anywhere, the second of which may call for help.
SECOND = "  second: {interface: inside, registers: true, accept: any, auth: {username: second, password: s3c0nd}}\n"
BOTH = HELPING.replace("trunks:\n", f"{SECOND}trunks:\n").replace(
    "from: office, to: ['911']", "from: second, to: ['911']"
)


def helped(sbc, office, carrier):
    """A call for help gets through, and all of it is served."""
    office.invites("911")
    assert office.call.status < 300, office.call.status
    carrier.answers()
    assert office.is_talking
    assert sbc.switch.has_emergencies
    office.hangs_up()
    assert carrier.calls[-1].stage == "ended"
    assert sbc.cdr[-1].cause == "normal"


def both(sbc):
    return sbc.office(), sbc.carrier()


# --- gates of a peer --------------------------------------------------------------------------------------------------


def test_beyond_the_rate_of_its_peer(world):
    sbc = world(KNOWN, peers={"office": {"rate": 1}})
    office, carrier = both(sbc)
    office.invites(FAR)
    carrier.refuses(486)
    office.invites(FAR)
    assert office.call.status == 503
    helped(sbc, office, carrier)
    assert sbc.idle()


def test_when_its_peers_share_of_everything_is_used_up(world, monkeypatch):
    sbc = world(KNOWN)
    office, carrier = both(sbc)
    office.invites(FAR)
    carrier.answers()
    ordinary = office.call
    layer = sbc.switch.endpoint.layer
    layer.places.take("office", limits.TRANSACTIONS // 2)
    layer.octets.take("office", limits.TRANSACTION_OCTETS // 2)
    monkeypatch.setattr(limits, "CALLS", 1)
    office.invites(FAR)
    assert office.call.status == 503
    helped(sbc, office, carrier)
    office.hangs_up(call=ordinary)
    sbc.run(40.0)
    layer.places.give_back("office", limits.TRANSACTIONS // 2)
    layer.octets.give_back("office", limits.TRANSACTION_OCTETS // 2)
    assert sbc.idle()


def test_while_everything_else_is_shed(world):
    sbc = world(KNOWN)
    office, carrier = both(sbc)
    overload(sbc)
    office.invites(FAR)
    assert office.call.status == 503
    helped(sbc, office, carrier)
    assert sbc.idle()


# --- encryption -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trunk", ["off", "required"])
@pytest.mark.parametrize(("mode", "phone"), [("required", None), ("off", SDES), ("off", DTLS), ("off", None)])
def test_with_media_that_its_callers_srtp_does_not_allow(world, mode, phone, trunk):
    sbc = world(KNOWN, peers={"office": {"srtp": mode}, "carrier": {"srtp": trunk}})
    sbc.switch.show_fingerprint(FINGERPRINT)
    office, carrier = sbc.office(srtp=phone), sbc.carrier(srtp=None if trunk == "off" else SDES)
    if mode == "required" or phone is not None:
        office.invites(FAR)
        assert office.call.status == 488
    office.invites("911")
    carrier.answers()
    assert office.is_talking
    ingress, egress = ends(sbc)
    assert (ingress.secured is not None) is (phone is not None)
    assert (egress.secured is not None) is (trunk != "off")
    assert sbc.hears(carrier, office)
    assert sbc.hears(office, carrier)
    office.holds()
    office.resumes()
    carrier.holds()
    assert office.is_talking
    office.hangs_up()
    assert sbc.cdr[-1].cause == "normal"
    assert sbc.idle()


def plainly(body):
    """What a phone describes, without what it has of SRTP."""
    lines = [line for line in body.split(b"\r\n") if not line.startswith((b"a=crypto", b"a=fingerprint", b"a=setup"))]
    return b"\r\n".join(lines).replace(b"UDP/TLS/", b"").replace(b"RTP/SAVP", b"RTP/AVP")


@pytest.mark.parametrize("keying", ["sdes", "dtls"])
@pytest.mark.parametrize("how", ["answer", "offer"])
def test_who_helps_in_plain_rtp_is_heard_whatever_his_srtp_says(world, how, keying):
    """Somebody has picked up: nobody hangs up on him because his equipment has no SRTP. RFC 6881 ED-58: "If TLS session
    establishment is not available or fails, the call MUST be retried without TLS".
    """
    sbc = world(KNOWN, peers={"carrier": {"srtp": {"mode": "required", "keying": keying}}})
    sbc.switch.show_fingerprint(FINGERPRINT)
    office, carrier = sbc.office(), sbc.carrier(srtp=PhoneSrtp(False, keying))
    carrier.agent.line.spoil = plainly
    office.invites("911", sdp=how == "answer")
    assert carrier.last("INVITE").body == b"" or b"SAVP" in carrier.last("INVITE").body
    carrier.answers()
    assert office.is_talking
    assert carrier.is_talking
    assert [end.secured for end in ends(sbc)] == [None, None]
    assert sbc.hears(carrier, office)
    assert sbc.hears(office, carrier)
    office.holds()
    office.resumes()
    assert b"SAVP" not in carrier.last("INVITE").body  # what it has not is not asked for again
    carrier.holds()
    carrier.resumes()
    assert sbc.hears(office, carrier)
    sbc.signalling_dies()
    sbc.signalling_lives(after=0.5)
    office.holds()
    office.resumes()
    assert sbc.hears(carrier, office)
    office.hangs_up()
    assert len(sbc.cdr[-1].attempts) == 1
    assert sbc.cdr[-1].cause == "normal"
    assert sbc.idle()


def test_early_media_of_who_helps_is_heard_in_plain_rtp(world):
    sbc = world(KNOWN, peers={"carrier": {"srtp": "required"}})
    office, carrier = sbc.office(), sbc.carrier(srtp=PhoneSrtp(required=False))
    carrier.agent.line.spoil = plainly
    office.invites("911")
    carrier.progresses()
    assert sbc.hears(carrier, office)
    carrier.answers()
    assert sbc.hears(office, carrier)
    office.hangs_up()
    assert sbc.idle()


@pytest.mark.parametrize("status", [415, 488, 606])
def test_who_refuses_srtp_is_asked_for_help_without_it_when_nobody_else_is_left(world, status):
    """Who has SRTP is asked before."""
    spare = "  spare: {interface: outside, servers: sip:198.51.100.8, srtp: required}\n"
    policy = KNOWN.replace("trunks:\n", f"trunks:\n{spare}").replace(
        "emergency: true, via: [carrier]", "emergency: true, via: [carrier, spare]"
    )
    sbc = world(policy, peers={"carrier": {"srtp": "required"}})
    office, carrier = both(sbc)
    other = sbc.phone("gw.spare.net", "198.51.100.8:5060", through="203.0.113.1:5060", user=FAR)
    office.invites("911")
    carrier.refuses(status)
    assert b"SAVP" in other.last("INVITE").body
    other.refuses(503)
    assert b"SAVP" not in carrier.last("INVITE").body
    carrier.answers()
    assert office.is_talking
    assert sbc.hears(carrier, office)
    office.hangs_up()
    assert [one.sip_status for one in sbc.cdr[-1].attempts] == [status, 503, 200]
    assert sbc.idle()


def test_who_refuses_plain_rtp_too_ends_the_hunt(world):
    sbc = world(KNOWN, peers={"carrier": {"srtp": "required"}})
    office, carrier = both(sbc)
    office.invites("911")
    carrier.refuses(488)
    carrier.refuses(488)
    assert office.call.status == 488
    assert len(sbc.cdr[-1].attempts) == 2
    assert sbc.idle()


def test_any_other_call_gets_no_plain_rtp_where_srtp_is_required(world):
    policy = KNOWN.replace("{name: outbound,", "{name: outbound, continue_on: [488],")
    sbc = world(policy, peers={"carrier": {"srtp": "required"}})
    office = sbc.office()
    carrier = sbc.carrier(srtp=PhoneSrtp(required=False))
    carrier.agent.line.spoil = plainly
    office.invites(FAR)
    carrier.answers()
    assert office.call.status == 488
    office.invites(FAR)
    carrier.refuses(488)
    assert office.call.status == 488
    assert len(sbc.cdr[-1].attempts) == 1
    sbc.run(40.0)
    assert sbc.idle()


# --- who comes from anywhere ------------------------------------------------------------------------------------------


def invite(n, contact, fields=""):
    data = message("INVITE", n=n, to="911", fields=fields)
    return data if contact is None else data.replace(b"<sip:office@192.0.2.66>", b"<sip:office@%b>" % contact.encode())


@pytest.mark.parametrize("contact", ["127.0.0.1", "0.0.0.0", "localhost", "10.0.0.1"])
def test_with_a_contact_that_nobody_else_may_have(world, contact):
    """Some telephones write such a Contact until they know their address; nothing is sent there in any case."""
    sbc = world(HELPING)
    other = message("INVITE", n=7).replace(b"<sip:office@192.0.2.66>", b"<sip:office@%b>" % contact.encode())
    is_hostile = contact != "10.0.0.1"
    assert (said(sbc, other, flow()) == []) is is_hostile
    (challenge,) = said(sbc, invite(1, contact), flow())
    assert challenge.data.startswith(b"SIP/2.0 401")
    assert dropped(sbc, "hostile_target") == is_hostile
    assert sbc.idle()


def test_behind_a_banned_address_where_somebody_has_logged_in_by_whoever_may_call_it(world):
    sbc = world(BOTH)
    nonce = nonce_from(sbc, flow())
    said(sbc, message(n=3, fields=credentials(nonce, "0ff1ce")), flow())
    sbc.tell(BanOrdered(STRANGER, 600.0, "a test"))
    assert bans(sbc) == [STRANGER]
    fields = credentials("x", user="second", method="INVITE", to="911")
    (challenge,) = said(sbc, message("INVITE", n=4, to="911", fields=fields), flow(port=7777))
    assert challenge.data.startswith(b"SIP/2.0 401")
    sbc.tell(LiftOrdered(STRANGER))


def test_when_the_share_of_those_from_anywhere_is_used_up_by_whoever_may_call_it(world):
    """Transactions are counted by the first whom a source may be."""
    sbc = world(BOTH)
    carrier = sbc.carrier()
    second = sbc.phone("second", "192.0.2.70:5060", through=INSIDE, user=DID)
    second.has_credentials("second", "s3c0nd")
    layer = sbc.switch.endpoint.layer
    layer.places.take("office", limits.TRANSACTIONS // 2)
    second.invites(FAR)
    assert second.call.status == 503
    second.invites("911")
    carrier.answers()
    assert second.is_talking
    second.hangs_up()
    sbc.run(40.0)
    layer.places.give_back("office", limits.TRANSACTIONS // 2)
    assert sbc.idle()


# --- who is nobody ----------------------------------------------------------------------------------------------------


def test_not_by_a_transport_that_the_policy_does_not_know_its_caller_by(world):
    sbc = world(
        KNOWN.replace("sip:10.0.0.5:5060", "'sip:10.0.0.5:5060;transport=tcp'"), peers={"office": {"transports": "tcp"}}
    )
    forged = sbc.office()
    forged.invites("911")
    sbc.run(40.0)
    assert sbc.net.sent_to(forged.name) == []
    office = sbc.phone("pbx", "10.0.0.5:5062", through=INSIDE, transport=Transport.TCP)
    helped(sbc, office, sbc.carrier())
    assert sbc.idle()
