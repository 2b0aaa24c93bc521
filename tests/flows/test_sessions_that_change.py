"""What becomes of a session while the call goes on: hold in all its forms, codecs by policy, video, fax.

RFC 3264 §8 (changes, §8.3.2 payload types, §8.4 hold), RFC 6337 §5.3 (hold with another hold), RFC 3362 (T.38).
Every change is tried from both sides, by re-INVITE and by UPDATE.
"""
# RFC: 3264

import pytest

from sbc.sdp import Direction, direction_of
from sbc.testing.byhand import ByHand
from sbc.testing.world import FAR, POLICY

S, R, SR, NO = Direction.SENDONLY, Direction.RECVONLY, Direction.SENDRECV, Direction.INACTIVE
BY = pytest.mark.parametrize("by", ["INVITE", "UPDATE"])
WHO = pytest.mark.parametrize("who", ["office", "carrier"])


def talking(world, *, policy=POLICY, who="office", office=None, carrier=None, **options):
    """`who` is the one that changes something: it comes first of the two."""
    sbc = world(policy)
    one, other = sbc.office(**options, **(office or {})), sbc.carrier(**options, **(carrier or {}))
    one.invites(FAR)
    other.answers()
    return sbc, *((one, other) if who == "office" else (other, one))


def ends(sbc, one):
    one.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def hear_each_other(sbc, one, other):
    return sbc.hears(one, other) and sbc.hears(other, one)


def streams(phone):
    """What a phone was told last: kind and whether it is alive, of each m= line."""
    return [(media.kind, media.port > 0) for media in phone.call.remote_sdp.media]


def formats(phone, i=0):
    return phone.call.remote_sdp.media[i].formats


# --- hold -------------------------------------------------------------------------------------------------------------


@BY
@WHO
@pytest.mark.parametrize(("asked", "answered"), [(S, R), (NO, NO), (R, S)])
def test_hold_by_direction(world, who, by, asked, answered):
    sbc, one, other = talking(world, who=who)
    one.holds(asked, by=by)
    assert (other.direction, one.direction) == (asked, answered)
    one.resumes(by=by)
    assert (other.direction, one.direction) == (SR, SR)
    assert hear_each_other(sbc, one, other)
    ends(sbc, one)


@BY
@WHO
def test_hold_by_a_zero_address_is_told_as_a_direction(world, who, by):
    """ "c=0.0.0.0 … its usage for putting a call on hold is no longer recommended", RFC 3264 §8.4."""
    sbc, one, other = talking(world, who=who)
    one.holds(SR, old=True, by=by)
    assert other.direction in (S, NO)
    assert b"0.0.0.0" not in b"".join(sbc.net.sent_to(other.name))
    one.resumes(by=by)
    assert (other.direction, one.direction) == (SR, SR)
    assert hear_each_other(sbc, one, other)
    ends(sbc, one)


@BY
@WHO
@pytest.mark.parametrize("first", ["one", "other"])
def test_both_hold_and_either_resumes_first(world, who, by, first):
    """Nobody hears anything until both have resumed, and then both do."""
    sbc, one, other = talking(world, who=who)
    one.holds(by=by)
    other.holds(by=by)
    assert (one.direction, other.direction) in ((NO, NO), (S, NO), (NO, S), (R, NO))
    earlier, later = (one, other) if first == "one" else (other, one)
    earlier.resumes(by=by)
    later.resumes(by=by)
    sbc.run(1.0)
    assert {one.direction, other.direction} <= {SR, S, R}
    earlier.resumes(by=by)  # "its own" wish was hidden by the other's hold
    assert (one.direction, other.direction) == (SR, SR)
    assert hear_each_other(sbc, one, other)
    ends(sbc, one)


@BY
def test_a_second_hold_of_the_same_side_changes_its_kind(world, by):
    sbc, one, other = talking(world)
    for asked in (S, NO, S, R):
        one.holds(asked, by=by)
        assert other.direction is asked
    one.resumes(by=by)
    assert hear_each_other(sbc, one, other)
    ends(sbc, one)


def test_hold_within_the_first_invite(world):
    """A phone that calls with "sendonly" plays music to whom it calls; the answer may only receive."""
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    hand = ByHand(sbc, office)
    body = (
        b"v=0\r\no=- 1 1 IN IP4 10.0.0.5\r\ns=-\r\nc=IN IP4 10.0.0.5\r\nt=0 0\r\n"
        b"m=audio 4000 RTP/AVP 0\r\na=sendonly\r\n"
    )
    hand.sends("INVITE", f"sip:{FAR}@10.0.0.1", body=body, fields=(("Content-Type", "application/sdp"),))
    carrier.answers()
    assert carrier.direction is S
    assert b"a=recvonly" in hand.heard[-1].body
    hand.sends("ACK", to_tag=hand.our_tag, cseq=1)
    hand.sends("BYE", to_tag=hand.our_tag, cseq=2)
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_a_hold_of_one_stream_of_two(world):
    sbc, office, carrier = talking(world, video_port=4010)
    hand = ByHand(sbc, office)
    party = office.call
    body = (
        b"v=0\r\no=- 77 9 IN IP4 10.0.0.5\r\ns=-\r\nc=IN IP4 10.0.0.5\r\nt=0 0\r\n"
        b"m=audio 4000 RTP/AVP 0\r\na=sendrecv\r\nm=video 4010 RTP/AVP 102\r\na=rtpmap:102 H264/90000\r\na=inactive\r\n"
    )
    theirs = {"call_id": party.call_id, "from_tag": party.local_tag, "to_tag": party.remote_tag}
    uri = str(party.target)
    hand.sends(
        "INVITE", uri, cseq=party.local_seq + 1, body=body, fields=(("Content-Type", "application/sdp"),), **theirs
    )
    told = carrier.call.remote_sdp
    assert [direction_of(told, media) for media in told.media] == [SR, NO]
    hand.sends("ACK", uri, cseq=party.local_seq + 1, **theirs)
    hand.sends("BYE", uri, cseq=party.local_seq + 2, **theirs)
    office.agent.bench.end(party, 200)
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


# --- codecs -----------------------------------------------------------------------------------------------------------

PLAIN = POLICY.replace("office: {", "office: {transcode: off, ").replace("carrier: {", "carrier: {transcode: off, ")
PCMA_ONLY = PLAIN.replace("carrier: {", "carrier: {codecs: [PCMA, telephone-event], ")
PCMA_FIRST = POLICY.replace("carrier: {", "carrier: {codecs: {order: [PCMA]}, ")
G722_OFFICE = PLAIN.replace("office: {", "office: {codecs: {allow: [PCMU, PCMA, telephone-event]}, ")


def test_a_peer_is_offered_only_what_it_may_have(world):
    sbc, office, carrier = talking(world, policy=PCMA_ONLY)
    assert carrier.call.remote_sdp.media[0].formats == ("8", "101")
    assert formats(office)[0] == "8"
    assert "0" not in formats(office)
    ends(sbc, office)


def test_a_peer_that_may_have_less_offers_less(world):
    sbc, office, carrier = talking(world, policy=PCMA_ONLY)
    carrier.offers_codecs("PCMU", "PCMA")
    assert formats(office) == ("8",)
    office.offers_codecs("PCMU", "PCMA", by="UPDATE")
    assert formats(carrier) == ("8",)
    ends(sbc, office)


@WHO
@BY
def test_a_change_to_codecs_that_are_not_allowed_is_refused_and_the_session_stays(world, who, by):
    sbc, one, other = talking(world, policy=PCMA_ONLY, who=who)
    one.offers_codecs("PCMU", by=by)
    assert one.got(f"488 {by}" if by == "UPDATE" else 488)
    assert other.call.heard[-1] in ("ACK", "200")
    one.offers_codecs("PCMA", by=by)
    assert formats(other) == ("8",)
    ends(sbc, one)


def test_order_puts_first_what_the_peer_prefers(world):
    sbc, office, carrier = talking(world, policy=PCMA_FIRST)
    assert formats(carrier)[0] == "8"
    carrier.holds()
    assert formats(office)[0] in ("0", "8")
    office.resumes()
    ends(sbc, office)


def test_a_codec_that_one_side_may_not_have_is_never_offered_to_it(world):
    sbc, office, carrier = talking(world, policy=G722_OFFICE, codecs=("G722", "PCMU", "telephone-event"))
    assert "9" not in formats(carrier)
    carrier.offers_codecs("G722", "PCMU")
    assert formats(office) == ("0",)
    ends(sbc, office)


@WHO
def test_each_side_keeps_its_own_payload_types(world, who):
    """A number keeps its meaning on its side (RFC 3264 §8.3.2), whatever the other side calls the same codec."""
    codecs = ("opus", "PCMU", "telephone-event")
    sbc, one, other = talking(
        world, who=who, codecs=codecs, office={"numbers": {"opus": 96}}, carrier={"numbers": {"opus": 111}}
    )
    one.holds()
    other.reinvites()
    other.offers_codecs("opus", "PCMU")
    one.resumes()
    other.resumes()
    sbc.run(1.0)
    assert hear_each_other(sbc, one, other)
    ends(sbc, one)


def test_a_delayed_offer_within_the_call_is_by_policy_too(world):
    sbc, office, carrier = talking(world, policy=PCMA_ONLY)
    office.reinvites(sdp=False)
    assert formats(office)[0] == "8"
    assert "0" not in formats(office)
    carrier.reinvites(sdp=False)
    assert "0" not in formats(carrier)
    ends(sbc, office)


# --- video ------------------------------------------------------------------------------------------------------------


@BY
@WHO
def test_video_comes_and_goes(world, who, by):
    sbc, one, other = talking(world, who=who, video_port=4010)
    one.removes_video(by=by)
    assert streams(other) == [("audio", True), ("video", False)]
    assert sbc.switch.snapshot(sbc.now).ports == 2
    one.adds_video(by=by)
    assert streams(other) == [("audio", True), ("video", True)]
    assert streams(one) == [("audio", True), ("video", True)]
    assert sbc.switch.snapshot(sbc.now).ports == 4
    other.removes_video(by=by)
    assert streams(one) == [("audio", True), ("video", False)]
    assert hear_each_other(sbc, one, other)
    ends(sbc, one)


@BY
@WHO
@pytest.mark.parametrize("status", [200, 488, 603])
def test_video_that_is_not_wanted(world, who, by, status):
    """Refused as a stream by a port of 0, or as a whole by a status."""
    own = {"office": {"video_port": 4010}} if who == "office" else {"carrier": {"video_port": 4010}}
    sbc, one, other = talking(world, who=who, **own) if who == "carrier" else talking(world, who=who)
    if who == "office":
        one.agent.bench.voice = one.agent.voice.__class__(one.agent.media, one.agent.voice.codecs, 4010)
    other.answers_reinvites(status)
    other.answers_updates(status)
    one.adds_video(by=by)
    if status == 200:
        assert streams(one) == [("audio", True), ("video", False)]
        assert sbc.switch.snapshot(sbc.now).ports == 2
    else:
        assert one.got(f"{status} {by}" if by == "UPDATE" else status)
        assert streams(one)[0] == ("audio", True)
    other.answers_reinvites(200)
    other.answers_updates(200)
    other.holds(by=by)
    other.resumes(by=by)
    assert hear_each_other(sbc, one, other)
    ends(sbc, one)


def test_many_streams_that_come_and_go_cost_no_ports(world):
    sbc, office, carrier = talking(world, video_port=4010)
    for _ in range(20):
        office.removes_video()
        carrier.adds_video()
    assert sbc.switch.snapshot(sbc.now).ports == 4
    ends(sbc, office)


# --- fax --------------------------------------------------------------------------------------------------------------

REFUSED = {
    "asked": POLICY.replace("carrier: {", "carrier: {t38: refuse, "),
    "asking": POLICY.replace("office: {", "office: {t38: refuse, "),
}


@BY
@WHO
@pytest.mark.parametrize("beside", [False, True])
def test_fax_and_back_to_voice(world, who, by, beside):
    sbc, one, other = talking(world, who=who, fax_port=4030)
    one.offers_fax(beside=beside, by=by)
    alive = [kind for kind, is_alive in streams(other) if is_alive]
    assert alive == ["image"]
    assert [kind for kind, is_alive in streams(one) if is_alive] == ["image"]
    one.returns_to_voice(by=by)
    assert [kind for kind, is_alive in streams(other) if is_alive] == ["audio"]
    assert sbc.switch.snapshot(sbc.now).ports == 2
    assert hear_each_other(sbc, one, other)
    ends(sbc, one)


@WHO
def test_the_other_one_returns_to_voice(world, who):
    sbc, one, other = talking(world, who=who, fax_port=4030)
    one.offers_fax()
    other.returns_to_voice()
    assert [kind for kind, is_alive in streams(one) if is_alive] == ["audio"]
    assert hear_each_other(sbc, one, other)
    ends(sbc, one)


@BY
@WHO
@pytest.mark.parametrize("status", [488, 606, 415])
def test_fax_that_the_other_side_refuses(world, who, by, status):
    """The voice goes on, so that the fax can be tried in it."""
    sbc, one, other = talking(world, who=who, fax_port=4030)
    other.answers_reinvites(status)
    other.answers_updates(status)
    one.offers_fax(by=by)
    assert one.got(f"{status if status != 415 else 488} {by}" if by == "UPDATE" else (status if status != 415 else 488))
    other.answers_reinvites(200)
    other.answers_updates(200)
    assert hear_each_other(sbc, one, other)
    one.holds(by=by)
    one.resumes(by=by)
    assert hear_each_other(sbc, one, other)
    ends(sbc, one)


@WHO
def test_fax_that_the_other_side_does_not_know(world, who):
    """It answers 488, as it must: nothing would be left."""
    options = {"office": {"fax_port": 4030}} if who == "office" else {"carrier": {"fax_port": 4030}}
    sbc, one, other = talking(world, who=who, **options)
    one.offers_fax()
    assert one.got(488)
    assert hear_each_other(sbc, one, other)
    ends(sbc, one)


@BY
@WHO
@pytest.mark.parametrize("refuser", ["asked", "asking"])
def test_fax_that_the_policy_refuses(world, who, by, refuser):
    """`t38: refuse`: 488 at once, by us; the other side hears nothing of it."""
    sbc, one, other = talking(world, policy=REFUSED[refuser], who=who, fax_port=4030)
    heard = len(other.call.heard)
    one.offers_fax(by=by)
    assert one.got(f"488 {by}" if by == "UPDATE" else 488)
    assert len(other.call.heard) == heard
    assert hear_each_other(sbc, one, other)
    one.holds(by=by)
    one.resumes(by=by)
    assert hear_each_other(sbc, one, other)
    ends(sbc, one)


def test_a_call_that_begins_as_fax(world):
    sbc = world()
    office, carrier = sbc.office(fax_port=4030), sbc.carrier(fax_port=4030)
    hand = ByHand(sbc, office)
    body = (
        b"v=0\r\no=- 1 1 IN IP4 10.0.0.5\r\ns=-\r\nc=IN IP4 10.0.0.5\r\nt=0 0\r\n"
        b"m=image 4030 udptl t38\r\na=T38FaxVersion:0\r\n"
    )
    hand.sends("INVITE", f"sip:{FAR}@10.0.0.1", body=body, fields=(("Content-Type", "application/sdp"),))
    carrier.answers()
    assert streams(carrier) == [("image", True)]
    assert b"T38FaxVersion:0" in hand.heard[-1].body
    hand.sends("ACK", to_tag=hand.our_tag, cseq=1)
    hand.sends("BYE", to_tag=hand.our_tag, cseq=2)
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


@BY
def test_fax_offers_of_both_sides_at_once(world, by):
    """Both gateways have heard the tones: glare, and then one fax."""
    sbc, office, carrier = talking(world, fax_port=4030)
    with sbc.net.holding("sbc"):
        office.offers_fax(by=by)
        carrier.offers_fax(by=by)
    sbc.run(20.0)
    assert streams(office) == [("image", True)]
    assert streams(carrier) == [("image", True)]
    office.returns_to_voice()
    assert hear_each_other(sbc, office, carrier)
    ends(sbc, office)
