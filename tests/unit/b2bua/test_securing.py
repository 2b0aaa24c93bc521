"""One side's SRTP: which keys are in force, which are still let in, and when a DTLS association is a new one."""

import random

import pytest

from sbc.b2bua.securing import Securing, agreed
from sbc.core.ids import IdSource
from sbc.media import wire
from sbc.policy.protection import SrtpRules
from sbc.sdp.model import Media, SdpError, Session
from sbc.sdp.security import CryptoLine, DtlsSetup, InlineKey, Security

SUITE, OTHER = "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"
FINGERPRINT, THEIRS, NEW = ("sha-256", "AA"), ("sha-256", "BB"), ("sha-256", "CC")
PLACE, ELSEWHERE = wire.Remote("198.51.100.7", 4000, 4001), wire.Remote("198.51.100.7", 5000, 5001)


def securing(mode="required", keying=("sdes",), suites=(SUITE, OTHER)):
    return Securing(SrtpRules(mode, keying, suites), IdSource(random.Random(1).randbytes), FINGERPRINT)


def key(letter):
    return InlineKey(letter.encode() * 30)


def sdes(*letters, proto="RTP/SAVP", suite=SUITE, tag=1):
    return Security(proto, (CryptoLine(tag, suite, tuple(key(letter) for letter in letters)),))


def dtls(fingerprint=THEIRS, setup="active", tls_id=""):
    return Security("UDP/TLS/RTP/SAVP", dtls=DtlsSetup((fingerprint,), setup, tls_id))


def media(security=None, port=4000, kind="audio", proto="RTP/AVP"):
    return Media(kind, port, proto, ("0",), None, (), security)


def session(*streams):
    return Session("- 1 1 IN IP4 198.51.100.7", "-", None, ("t=0 0",), streams)


def received(end):
    return [one.key[:1].decode() for one in end.receive]


# RFC: 4568
def test_a_new_key_of_the_far_end_stands_last_and_the_one_before_is_let_in_until_the_next():
    side, ours = securing(), media(sdes("s"))
    assert received(side.end(0, (ours, media(sdes("a"))), PLACE)) == ["a"]
    assert received(side.end(0, (ours, media(sdes("a"))), PLACE)) == ["a"]
    assert received(side.end(0, (ours, media(sdes("b"))), PLACE)) == ["a", "b"]
    assert received(side.end(0, (ours, media(sdes("b"))), PLACE)) == ["a", "b"]
    assert received(side.end(0, (ours, media(sdes("c"))), PLACE)) == ["b", "c"]


def test_after_a_rejected_change_the_old_key_is_the_current_one_again():
    side, ours = securing(), media(sdes("s"))
    side.end(0, (ours, media(sdes("a"))), PLACE)
    side.end(0, (ours, media(sdes("b"))), PLACE)
    assert received(side.end(0, (ours, media(sdes("a"))), PLACE)) == ["b", "a"]


def test_a_key_of_ours_that_is_new_keeps_what_is_let_in():
    side = securing()
    side.end(0, (media(sdes("s")), media(sdes("a"))), PLACE)
    end = side.end(0, (media(sdes("t")), media(sdes("a"))), PLACE)
    assert (end.send.key, received(end)) == (b"t" * 30, ["a"])


def test_with_another_suite_nothing_of_the_one_before_is_let_in():
    side = securing()
    side.end(0, (media(sdes("s")), media(sdes("a"))), PLACE)
    ends = media(sdes("t", suite=OTHER)), media(sdes("b", suite=OTHER))
    assert received(side.end(0, ends, PLACE)) == ["b"]


def test_keys_of_forks_are_not_let_in_once_the_call_is_up():
    side, ours = securing(), media(sdes("s"))
    side.end(0, (ours, media(sdes("a"))), PLACE)
    side.established()
    assert received(side.end(0, (ours, media(sdes("b"))), PLACE)) == ["b"]


def test_several_keys_with_identifiers_are_all_let_in():
    both = CryptoLine(1, SUITE, (InlineKey(b"a" * 30, b"\1"), InlineKey(b"b" * 30, b"\2")))
    end = securing().end(0, (media(sdes("s")), media(Security("RTP/SAVP", (both,)))), PLACE)
    assert end.receive == (wire.MasterKey(b"a" * 30, b"\1"), wire.MasterKey(b"b" * 30, b"\2"))


@pytest.mark.parametrize("told", [None, media(), media(sdes("s"))])
def test_where_srtp_is_required_nothing_is_let_in_until_it_is_agreed_upon(told):
    side = securing()
    end = side.end(0, (told, None), PLACE)
    assert isinstance(end, wire.Crypto)
    assert end.receive == ()
    assert side.end(0, (told, None), PLACE) == end


def test_where_it_is_optional_plain_rtp_is_agreed_upon_by_an_answer_without_keys():
    assert securing("optional").end(0, (media(sdes("s", proto="")), media()), PLACE) is None


@pytest.mark.parametrize(
    ("change", "count"),
    [
        ({}, 0),
        ({"fingerprint": NEW}, 1),
        ({"setup": "passive"}, 1),
        ({"tls_id": "abc3de65cddef001be82"}, 1),
    ],
)
def test_what_makes_a_dtls_association_a_new_one(change, count):
    side, ours = securing(keying=("dtls",)), media(dtls(FINGERPRINT, "actpass"))
    before = side.end(0, (ours, media(dtls())), PLACE)
    assert (before.active, before.fingerprints) == (False, (THEIRS,))
    assert side.end(0, (ours, media(dtls(**change))), PLACE).association == before.association + count


def test_another_place_is_another_association_unless_its_name_says_that_it_is_not():
    for tls_id, count in (("", 1), ("abc3de65cddef001be82", 0)):
        side, ends = securing(keying=("dtls",)), (media(dtls(FINGERPRINT, "actpass")), media(dtls(tls_id=tls_id)))
        before = side.end(0, ends, PLACE).association
        assert side.end(0, ends, ELSEWHERE).association == before + count


def test_one_who_holds_by_being_nowhere_has_the_same_association_when_he_comes_back():
    side, ends = securing(keying=("dtls",)), (media(dtls(FINGERPRINT, "actpass")), media(dtls()))
    before = side.end(0, ends, PLACE)
    assert side.end(0, ends, None) == side.end(0, ends, PLACE) == before
    assert side.end(0, ends, None) != side.end(0, ends, ELSEWHERE)


def test_another_target_with_the_same_certificate_has_no_keys_yet():
    ids, rules = IdSource(random.Random(1).randbytes), SrtpRules("required", ("dtls",), (SUITE,))
    ends = media(dtls(FINGERPRINT, "actpass")), media(dtls())
    one, other = [Securing(rules, ids, FINGERPRINT).end(0, ends, PLACE) for _ in range(2)]
    assert one.association != other.association


# RFC: 5763
@pytest.mark.parametrize(("told", "said"), [("actpass", "active"), ("passive", "active"), ("active", "passive")])
def test_who_offers_the_same_certificate_again_keeps_the_role_that_he_has(told, said):
    side = securing(keying=("dtls",))
    ours, theirs = session(media(dtls(FINGERPRINT, told))), session(media(dtls(setup=said)))
    before = side.end(0, (ours.media[0], theirs.media[0]), PLACE)
    offer = session(media(dtls(setup="actpass")))
    [answer] = side.answers(offer, ours, theirs)
    assert answer.dtls.setup == ("active" if before.active else "passive")
    assert side.end(0, (media(answer), offer.media[0]), PLACE) == before
    [answer] = side.answers(session(media(dtls(NEW, "actpass"))), ours, theirs)
    assert answer.dtls.setup == "active"


def test_of_many_keys_with_identifiers_no_more_are_let_in_than_are_tried():
    side, ours = securing(), media(sdes("s"))
    side.end(0, (ours, media(sdes("a", "b", "c", "d"))), PLACE)
    assert received(side.end(0, (ours, media(sdes("e", "f", "g"))), PLACE)) == ["d", "e", "f", "g"]


# RFC: 5763
@pytest.mark.parametrize(
    ("told", "said", "active"),
    [
        ("actpass", "active", False),
        ("actpass", "passive", True),
        ("actpass", "", True),
        ("active", "actpass", True),
        ("active", "passive", True),
        ("passive", "active", False),
        ("passive", "", False),
    ],
)
def test_who_begins(told, said, active):
    ends = media(dtls(FINGERPRINT, told)), media(dtls(setup=said))
    assert securing(keying=("dtls",)).end(0, ends, PLACE).active is active


@pytest.mark.parametrize(
    ("offered", "answered"), [("actpass", "active"), ("passive", "active"), ("active", "passive"), ("", "passive")]
)
def test_whose_turn_it_is_in_our_answers(offered, answered):
    [answer] = securing(keying=("dtls",)).answers(session(media(dtls(setup=offered))), None, None)
    assert answer.dtls == DtlsSetup((FINGERPRINT,), answered)


@pytest.mark.parametrize(
    ("told", "said", "is_good"),
    [
        ("actpass", "active", True),
        ("actpass", "actpass", False),
        ("active", "actpass", True),
        ("passive", "actpass", True),
        ("active", "holdconn", False),
    ],
)
def test_an_answer_has_to_say_who_begins_unless_our_offer_did(told, said, is_good):
    side, offer, answer = (
        securing(keying=("dtls",)),
        session(media(dtls(FINGERPRINT, told))),
        session(media(dtls(setup=said))),
    )
    if is_good:
        side.check_answer(offer, answer)
    else:
        with pytest.raises(SdpError, match=f"a=setup:{said} in the answer"):
            side.check_answer(offer, answer)


def test_all_answers_to_one_offer_are_the_same():
    side, offer = securing(), session(media(sdes("a")))
    assert side.answers(offer, None, None) is side.answers(offer, None, None)
    assert side.answers(session(media(sdes("a"))), None, None) != side.answers(offer, None, None)


def test_the_first_line_that_both_have_is_taken_in_the_order_of_the_offer():
    lines = (
        CryptoLine(3, "AEAD_AES_128_GCM", (key("x"),)),
        CryptoLine(5, OTHER, (key("a"),)),
        CryptoLine(7, SUITE, (key("b"),)),
    )
    [answer] = securing().answers(session(media(Security("RTP/SAVP", lines))), None, None)
    assert [(line.tag, line.suite) for line in answer.crypto] == [(5, OTHER)]


def test_a_key_of_ours_that_comes_back_is_none():
    side = securing()
    told = session(media(sdes("s")))
    with pytest.raises(SdpError):
        side.admitted(session(media(sdes("s"))), told)
    with pytest.raises(SdpError):
        side.check_answer(told, session(media(sdes("s"))))


def test_of_several_streams_those_that_are_plain_are_refused_and_the_others_stay():
    offer = session(media(sdes("a")), media(), media(kind="image", proto="udptl"), media(port=0))
    assert [one.port for one in securing().admitted(offer, None).media] == [4000, 0, 0, 0]
    assert securing("optional").admitted(offer, None) is offer


def test_an_offer_that_follows_keeps_protocol_tags_and_keys():
    side = securing()
    first = side.offering(session(media()), None)
    assert side.offering(session(media()), first) == first
    video = side.offering(session(media(), media(kind="video")), first)
    assert video.media[0] == first.media[0]
    assert video.media[1].security.crypto != first.media[0].security.crypto
    assert side.offering(session(media(proto="RTP/AVPF")), first).media[0].security.proto == "RTP/SAVPF"


def test_who_has_once_had_feedback_is_offered_it_again_though_the_other_side_has_none():
    side = securing()
    was = side.offering(session(media(proto="RTP/AVPF")), None)
    assert was.media[0].security.proto == "RTP/SAVPF"
    assert side.offering(session(media()), was).media[0].security.proto == "RTP/SAVPF"


def test_nothing_shows_a_key():
    assert "ssss" not in repr(
        (media(sdes("s")), agreed(sdes("s"), sdes("a")), securing().end(0, (media(sdes("s")), media(sdes("a"))), PLACE))
    )
