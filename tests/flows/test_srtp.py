"""SRTP on either side of a call, with whatever is on the other one: who may offer and answer what (RFC 4568, 5763)."""

import base64
import json

import pytest

from sbc.b2bua.events import MediaReplied
from sbc.core.limits import FORGED_PACKETS
from sbc.media import wire
from sbc.sdp.security import KEY_OCTETS
from sbc.testing.byhand import ByHand
from sbc.testing.secure_sdp import PhoneSrtp
from sbc.testing.world import DID, FAR

from .securing import FINGERPRINT, crypto, described, ends, line_of, session_of

SDES, SDES_BESIDE = PhoneSrtp(), PhoneSrtp(required=False)
DTLS, DTLS_BESIDE = PhoneSrtp(keying="dtls"), PhoneSrtp(required=False, keying="dtls")
OF_PHONE = {"off": None, "optional": SDES_BESIDE, "required": SDES}
PHONES = {"plain": None, "beside": SDES_BESIDE, "sdes": SDES, "dtls": DTLS, "dtls beside": DTLS_BESIDE}
SDP = (("Content-Type", "application/sdp"),)
BOTH = {"keying": ["sdes", "dtls"]}


def a_world(world, office=None, carrier=None):
    """`office`, `carrier`: what the policy says of their srtp."""
    rules = {"office": office or "off", "carrier": carrier or "off"}
    made = world(peers={name: {"srtp": rule} for name, rule in rules.items()})
    made.switch.show_fingerprint(FINGERPRINT)
    return made


def is_secured(end):
    return end.secured is not None


def takes(mode, phone):
    """Whether a peer with this rule and this phone may talk."""
    if mode == "off":
        return phone in ("plain", "beside", "dtls beside")
    return phone != "plain" or mode == "optional"


@pytest.mark.parametrize("caller", PHONES)
@pytest.mark.parametrize("callee", ["off", "optional", "required"])
@pytest.mark.parametrize("mode", ["off", "optional", "required"])
def test_what_a_caller_may_offer_and_that_each_side_is_for_itself(world, mode, caller, callee):
    office_rule = mode if mode == "off" else {"mode": mode, **BOTH}
    sbc = a_world(world, office_rule, callee)
    office, carrier = sbc.office(srtp=PHONES[caller]), sbc.carrier(srtp=OF_PHONE[callee])
    office.invites(FAR)
    if not takes(mode, caller):
        assert office.call.status == 488
        assert not carrier.calls
    else:
        carrier.answers()
        ingress, egress = ends(sbc)
        assert is_secured(ingress) is (mode != "off" and caller != "plain")
        assert is_secured(egress) is (callee != "off")
        assert isinstance(ingress.secured, wire.Dtls) is (is_secured(ingress) and caller.startswith("dtls"))
        assert sbc.hears(carrier, office)
        assert sbc.hears(office, carrier)
        office.hangs_up()
    assert sbc.idle()


# RFC: 8643
@pytest.mark.parametrize("callee", PHONES)
@pytest.mark.parametrize("mode", ["off", "optional", "required"])
@pytest.mark.parametrize("keying", ["sdes", "dtls"])
def test_what_a_callee_may_answer(world, mode, callee, keying):
    sbc = a_world(world, "off", mode if mode == "off" else {"mode": mode, "keying": keying})
    office, carrier = sbc.office(), sbc.carrier(srtp=PHONES[callee])
    office.invites(FAR)
    is_dtls_phone = callee.startswith("dtls")
    fits = callee != "plain" and is_dtls_phone is (keying == "dtls")
    is_good = {"off": callee not in ("sdes", "dtls"), "optional": fits or callee not in ("sdes", "dtls")}
    if is_good.get(mode, fits):
        carrier.answers()
        ingress, egress = ends(sbc)
        assert not is_secured(ingress)
        assert is_secured(egress) is (mode != "off" and fits)
        assert isinstance(egress.secured, wire.Dtls) is (is_secured(egress) and is_dtls_phone)
        office.hangs_up()
    else:
        carrier.refuses(488)
        assert office.call.status == 488
    assert sbc.idle()


# RFC: 4568
def test_our_offer_has_a_line_for_each_suite_with_a_key_of_its_own_and_secured_rtp(world):
    sbc = a_world(world, "off", "required")
    office, carrier = sbc.office(), sbc.carrier(srtp=SDES)
    office.invites(FAR)
    carrier.rings()
    media = carrier.call.remote_sdp.media[0]
    assert media.security.proto == "RTP/SAVP"
    assert [(line.tag, line.suite) for line in media.security.crypto] == list(enumerate(KEY_OCTETS, 1))
    assert [len(line.keys[0].key) for line in media.security.crypto] == list(KEY_OCTETS.values())
    assert len({line.keys[0].key for line in media.security.crypto}) == len(KEY_OCTETS)
    carrier.answers()
    office.hangs_up()
    assert sbc.idle()


# RFC: 4568
def test_the_answer_has_the_one_line_that_was_taken_with_its_tag_and_another_key(world):
    sbc = a_world(world, {"mode": "required", "suites": "AES_CM_128_HMAC_SHA1_32"}, "off")
    office, carrier = sbc.office(srtp=SDES), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    line = line_of(office.call.remote_sdp)
    assert (line.tag, line.suite) == (2, "AES_CM_128_HMAC_SHA1_32")
    ingress, egress = ends(sbc)
    theirs = office.call.local_sdp.media[0].security.crypto[1].keys[0].key
    assert crypto(ingress) == wire.Crypto(line.suite, wire.MasterKey(line.keys[0].key), (wire.MasterKey(theirs),))
    assert egress.secured is None
    office.hangs_up()
    assert sbc.idle()


def test_both_sides_have_keys_of_their_own_and_neither_sees_the_others(world):
    sbc = a_world(world, "required", "required")
    office, carrier = sbc.office(srtp=SDES), sbc.carrier(srtp=SDES)
    carrier.invites(DID)
    office.answers()
    ingress, egress = ends(sbc)
    keys = [key for end in (ingress, egress) for key in (crypto(end).send, *crypto(end).receive)]
    assert len(set(keys)) == 4
    told = {phone: {key.key for line in phone.call.remote_sdp.media[0].security.crypto for key in line.keys}
            for phone in (office, carrier)}  # fmt: skip
    assert not told[office] & told[carrier]
    of_carrier = {key.key for line in carrier.call.local_sdp.media[0].security.crypto for key in line.keys}
    assert not told[office] & of_carrier
    office.hangs_up()
    assert sbc.idle()


# RFC: 5763
def test_with_dtls_we_begin_and_show_the_fingerprint_of_our_certificate(world):
    sbc = a_world(world, {"mode": "required", "keying": "dtls"}, {"mode": "required", "keying": "dtls"})
    office, carrier = sbc.office(srtp=DTLS), sbc.carrier(srtp=DTLS)
    office.invites(FAR)
    carrier.answers()
    answer, offer = office.call.remote_sdp.media[0].security, carrier.call.remote_sdp.media[0].security
    assert (answer.proto, answer.dtls.setup, answer.dtls.fingerprints) == ("UDP/TLS/RTP/SAVP", "active", (FINGERPRINT,))
    assert (offer.proto, offer.dtls.setup, offer.dtls.fingerprints) == ("UDP/TLS/RTP/SAVP", "actpass", (FINGERPRINT,))
    ingress, egress = ends(sbc)
    assert ingress.secured.active
    assert not egress.secured.active  # the callee has said that it begins
    assert ingress.secured.fingerprints == office.call.local_sdp.media[0].security.dtls.fingerprints
    office.hangs_up()
    assert sbc.idle()


@pytest.mark.parametrize("callers", ["dtls", "off"])
def test_where_no_worker_can_do_dtls_it_is_neither_taken_nor_offered(world, callers):
    rule = {"mode": "required", "keying": "dtls"}
    sbc = a_world(world, rule if callers == "dtls" else "off", rule)
    sbc.tell(MediaReplied(wire.EngineReady("userland", "", dtls="pyOpenSSL is not installed")))
    office = sbc.office(srtp=DTLS if callers == "dtls" else None)
    office.invites(FAR)
    assert office.call.status == 488
    assert sbc.idle(but=["errors"])


def test_a_delayed_offer_of_srtp_is_answered_in_the_ack(world):
    sbc = a_world(world, "required", "required")
    office, carrier = sbc.office(srtp=SDES), sbc.carrier(srtp=SDES)
    office.invites(FAR, sdp=False)
    carrier.answers()
    ingress, egress = ends(sbc)
    assert crypto(ingress).receive
    assert crypto(egress).receive
    assert sbc.hears(office, carrier)
    office.hangs_up()
    assert sbc.idle()


def test_a_plain_answer_where_srtp_is_required_ends_the_attempt(world):
    sbc = a_world(world, "off", "required")
    office, carrier = sbc.office(), sbc.carrier(srtp=SDES)
    office.invites(FAR)
    carrier.agent.bench.voice = type(carrier.agent.bench.voice)(carrier.agent.media, ("PCMU",), srtp=None)
    carrier.refuses(488)
    assert office.call.status == 488
    assert sbc.idle()


def test_a_fax_is_refused_where_srtp_is_required_because_nothing_encrypts_it(world):
    sbc = a_world(world, "off", "required")
    office, carrier = sbc.office(fax_port=4400), sbc.carrier(srtp=SDES, fax_port=4400)
    office.invites(FAR)
    carrier.answers()
    office.offers_fax()
    assert office.call.last_status == 488
    carrier.offers_fax()
    assert carrier.call.last_status == 488
    assert sbc.hears(office, carrier)
    office.hangs_up()
    assert sbc.idle()


def test_ladder_api_and_record_say_by_what_each_side_is_encrypted_and_no_key(world):
    sbc = a_world(world, "off", {"mode": "required", "suites": "AEAD_AES_256_GCM"})
    office, carrier = sbc.office(), sbc.carrier(srtp=PhoneSrtp(suites=("AEAD_AES_256_GCM",)))
    office.invites(FAR)
    carrier.answers()
    [view] = sbc.switch.snapshot(sbc.now).calls
    assert [str(line).endswith(", SRTP AEAD_AES_256_GCM by SDES") for _, line in view.media] == [False, True]
    assert sbc.hears(office, carrier)
    key = base64.b64encode(line_of(carrier.call.local_sdp).keys[0].key).decode()
    office.hangs_up()
    rows = json.loads(sbc.cdr.only.media)
    assert rows["egress"][0]["srtp"] == "AEAD_AES_256_GCM by SDES"
    assert "srtp" not in rows["ingress"][0]
    assert "media with carrier: SRTP AEAD_AES_256_GCM by SDES" in sbc.story()
    assert key not in sbc.story()
    assert any(key.encode() in sent.data for sent in sbc.net.log)
    assert sbc.idle()


# BOUND: FORGED_PACKETS
def test_forged_packets_are_an_alarm_once_in_a_call(world):
    sbc = a_world(world, "off", "required")
    office, carrier = sbc.office(), sbc.carrier(srtp=SDES)
    office.invites(FAR)
    carrier.answers()
    put = session_of(sbc)
    for n in (FORGED_PACKETS - 1, FORGED_PACKETS, 10_000):
        count = wire.StreamCount(wire.EndCount(), wire.EndCount(forged=n))
        sbc.tell(MediaReplied(wire.Report((wire.SessionCount(put.ref, put.generation, (count,)),))))
    [line] = [log for log in sbc.logs if log.event == "media.forged"]
    assert (line.level, dict(line.fields)["peer"], dict(line.fields)["packets"]) == (
        "warning",
        "carrier",
        FORGED_PACKETS,
    )
    assert dict(line.fields)["alarm"]
    assert f"{FORGED_PACKETS} packets for carrier are not by its keys" in sbc.story()
    assert office.is_talking
    office.hangs_up()
    assert sbc.idle()


KEY = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"
SUITE = "AES_CM_128_HMAC_SHA1_80"


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [f"1 {SUITE} inline:{KEY[:-1]}"],
        [f"1 {SUITE} inline:{KEY}AAAA"],
        [f"1 {SUITE} inline:{KEY[:-2]}!!"],
        [f"1 AEAD_AES_128_GCM inline:{KEY}"],
        [f"1 {SUITE} inline:{KEY}", f"1 {SUITE} inline:{KEY}"],
        [f"1 {SUITE} inline:{KEY} UNENCRYPTED_SRTP"],
        [f"1 {SUITE} inline:{KEY} UNAUTHENTICATED_SRTP"],
        [f"{n} {SUITE} inline:{KEY}" for n in range(500)],
        ["x" * 4000],
    ],
    ids=["none", "short", "long", "no base64", "of another suite", "one tag", "plain", "unsigned", "500", "endless"],
)
@pytest.mark.parametrize("rule", ["optional", "required"])
def test_an_offer_of_srtp_with_nothing_that_can_be_used_gets_488(world, rule, lines):
    sbc = a_world(world, rule, "off")
    office, carrier = sbc.office(), sbc.carrier()
    hand = ByHand(sbc, office)
    hand.sends("INVITE", f"sip:{FAR}@10.0.0.1", body=described_by(lines), fields=SDP)
    assert hand.statuses()[-1] == 488
    assert not carrier.agent.parties
    hand.sends("ACK", f"sip:{FAR}@10.0.0.1", to_tag=hand.our_tag)
    assert KEY[:20] not in sbc.story()
    assert sbc.idle()


@pytest.mark.parametrize("fault", ["our own key", "another tag", "another suite", "two lines", "no line", "plain"])
def test_an_answer_that_breaks_the_agreement_ends_the_call(world, fault):
    sbc = a_world(world, "off", "required")
    office, carrier = sbc.office(), sbc.carrier()
    hand = ByHand(sbc, carrier)
    office.invites(FAR)
    invite = hand.requests("INVITE")[0]
    ours = described(invite.body).media[0].security.crypto[0]
    mine = f"{ours.tag} {ours.suite} inline:{KEY}"
    lines = {
        "our own key": [f"{ours.tag} {ours.suite} inline:{base64.b64encode(ours.keys[0].key).decode()}"],
        "another tag": [f"77 {ours.suite} inline:{KEY}"],
        "another suite": [f"{ours.tag} AES_CM_128_HMAC_SHA1_32 inline:{KEY}"],
        "two lines": [mine, f"2 AES_CM_128_HMAC_SHA1_32 inline:{KEY}"],
        "no line": [],
        "plain": [],
    }[fault]
    body = described_by(lines, "198.51.100.7")
    hand.replies(200, body=body.replace(b"SAVP", b"AVP") if fault == "plain" else body)
    assert office.call.status == 488
    for request in hand.requests("BYE"):
        hand.replies(200, to=request)
    assert sbc.idle()


def test_a_broken_agreement_within_a_call_ends_it_and_the_ladder_says_why(world):
    sbc = a_world(world, "off", "required")
    office, carrier = sbc.office(), sbc.carrier()
    hand = ByHand(sbc, carrier)
    office.invites(FAR)
    ours = described(hand.requests("INVITE")[0].body).media[0].security.crypto[0]
    body = described_by([f"{ours.tag} {ours.suite} inline:{KEY}"], "198.51.100.7")
    hand.replies(200, body=body)
    office.holds()
    hand.replies(200, body=body.replace(b"SAVP", b"AVP"))
    for request in hand.requests("BYE"):
        hand.replies(200, to=request)
    assert "what carrier says to a change of the call cannot be used: plain RTP in the answer" in sbc.story()
    assert sbc.idle()


def described_by(lines, host="10.0.0.5"):
    head = ["v=0", f"o=- 7 1 IN IP4 {host}", "s=-", f"c=IN IP4 {host}", "t=0 0", "m=audio 4000 RTP/SAVP 0"]
    return "\r\n".join([*head, *[f"a=crypto:{line}" for line in lines], ""]).encode()
