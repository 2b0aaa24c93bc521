"""How long keys last: over refreshes, holds, re-offers, rejections, forks and transfers (RFC 4568 §5.1.4, §7.1.4)."""

import pytest

from sbc.media import wire
from sbc.sdp.parse import parse_sdp
from sbc.testing.byhand import ByHand
from sbc.testing.referring import refer_to_replacing
from sbc.testing.secure_sdp import PhoneSrtp
from sbc.testing.world import DID, FAR

from .securing import crypto, described, ends, first_line, line_of
from .transferring import BRANCH, can_talk, refers
from .transferring import POLICY as THREE

SDES = PhoneSrtp()
REQUIRED = {"srtp": "required"}


def talking(world, *, office=REQUIRED, carrier=REQUIRED, by="office", **options):
    sbc = world(peers={"office": office, "carrier": carrier}, **options)
    phones = sbc.office(srtp=SDES if office else None), sbc.carrier(srtp=SDES if carrier else None)
    caller, callee = phones if by == "office" else phones[::-1]
    caller.invites(FAR if by == "office" else DID)
    callee.answers()
    return sbc, *phones


def keys(sbc):
    return [(crypto(end).suite, crypto(end).send, crypto(end).receive) for end in ends(sbc)]


@pytest.mark.parametrize("by", ["office", "carrier"])
@pytest.mark.parametrize("who", [0, 1])
def test_a_reinvite_that_changes_nothing_keeps_all_keys(world, by, who):
    sbc, *phones = talking(world, by=by)
    asking, other = phones[who], phones[1 - who]
    before, heard = keys(sbc), len(other.call.heard)
    for move in (asking.reinvites, asking.updates):
        move()
        assert asking.call.last_status == 200
    assert keys(sbc) == before
    if asking.call.is_caller:  # the phone that was called says more in an offer than in an answer
        assert len(other.call.heard) == heard
    asking.hangs_up()
    assert sbc.idle()


@pytest.mark.parametrize("who", [0, 1])
@pytest.mark.parametrize("by", ["INVITE", "UPDATE"])
def test_hold_and_resume_keep_all_keys(world, who, by):
    sbc, *phones = talking(world)
    before = keys(sbc)
    phones[who].holds(by=by)
    assert keys(sbc) == before
    phones[who].resumes(by=by)
    assert keys(sbc) == before
    assert can_talk(sbc, *phones)
    phones[who].hangs_up()
    assert sbc.idle()


@pytest.mark.parametrize("who", ["office", "carrier"])
def test_our_refresh_says_the_same_with_the_same_keys(world, who):
    timer = {"session_timer": {"expires": "120s", "min": "90s"}, **REQUIRED}
    sbc = world(peers={"office": timer, "carrier": timer})
    office, carrier = sbc.office(srtp=SDES), sbc.carrier(srtp=SDES)
    refreshed = office if who == "office" else carrier
    refreshed.supports("timer")
    refreshed.disallows("UPDATE")
    office.invites(FAR)
    carrier.answers()
    before, version = keys(sbc), refreshed.call.remote_sdp.origin
    sbc.run(300)
    assert refreshed.got("INVITE", "INVITE") or refreshed.call.heard.count("INVITE") > 1
    assert keys(sbc) == before
    assert refreshed.call.remote_sdp.origin == version
    office.hangs_up()
    assert sbc.idle()


# RFC: 4568
@pytest.mark.parametrize("who", [0, 1])
def test_new_keys_of_one_side_bring_new_ones_of_ours_there_and_nothing_elsewhere(world, who):
    sbc, *phones = talking(world)
    before = keys(sbc)
    phones[who].rekeys()
    after = keys(sbc)
    assert after[1 - who] == before[1 - who]
    _, send, receive = after[who]
    assert send != before[who][1]
    # It goes on with its old key until it has our answer; the new one stands last.
    assert receive[0] == before[who][2][0]
    assert len(receive) == 2
    assert receive[1].key == first_line(phones[who].call.local_sdp).keys[0].key
    assert send.key == line_of(phones[who].call.remote_sdp).keys[0].key
    phones[who].rekeys()
    assert len(keys(sbc)[who][2]) == 2  # what was before that is not good any more
    phones[who].hangs_up()
    assert sbc.idle()


@pytest.mark.parametrize("who", [0, 1])
def test_after_a_rejected_offer_the_old_keys_are_in_force(world, who):
    sbc, *phones = talking(world)
    asking, asked = phones[who], phones[1 - who]
    before = keys(sbc)
    asked.answers_reinvites(488)
    asking.changes(codecs=("PCMA",))
    assert asking.call.last_status == 488
    assert keys(sbc) == before
    asked.answers_reinvites(200)
    asking.holds()
    assert keys(sbc) == before
    asking.hangs_up()
    assert sbc.idle()


def test_a_second_stream_has_keys_of_its_own_and_the_first_keeps_its(world):
    sbc = world(peers={"office": REQUIRED, "carrier": REQUIRED})
    office = sbc.office(srtp=SDES, video_port=4200)
    carrier = sbc.carrier(srtp=SDES, video_port=4200)
    office.invites(FAR, codecs=())
    carrier.answers()
    office.removes_video()
    before = keys(sbc)
    office.adds_video()
    assert keys(sbc) == before
    video = [crypto(end) for end in ends(sbc, 1)]
    seen = {key for suite, send, receive in before for key in (send, *receive)}
    assert not seen & {key for one in video for key in (one.send, *one.receive)}
    office.hangs_up()
    assert sbc.idle()


def test_each_fork_answers_with_its_own_keys_and_the_caller_is_told_of_one_of_ours(world):
    sbc = world(peers={"office": REQUIRED, "carrier": REQUIRED})
    office, carrier = sbc.office(srtp=SDES), sbc.carrier(srtp=SDES)
    hand = ByHand(sbc, carrier)
    office.invites(FAR)
    offered = described(hand.requests("INVITE")[0].body).media[0].security
    hand.replies(183, tag="a", body=answer(offered, "A" * 40, "10.9.9.9"))
    told = line_of(office.call.remote_sdp)
    hand.replies(200, tag="b", body=answer(offered, "B" * 40, "10.9.9.8"), contact="sip:b@198.51.100.9:5070")
    assert line_of(office.call.remote_sdp) == told
    egress = crypto(ends(sbc)[1])
    assert egress.send.key == offered.crypto[0].keys[0].key
    assert [key.key for key in egress.receive] == [bytes.fromhex("041041" * 10)]
    assert office.is_talking
    office.hangs_up()
    assert sbc.idle()


def test_keys_go_with_their_side_when_two_calls_become_one(world):
    srtp = dict.fromkeys(("office", "carrier", "branch"), REQUIRED)
    sbc = world(THREE % "terminate", peers=srtp)
    branch = sbc.phone(
        "pbx-88.branch.internal", "10.0.0.6:5060", through="10.0.0.1:5060", user=BRANCH, srtp=SDES
    )  # fmt: skip
    office, carrier = sbc.office(srtp=SDES), sbc.carrier(srtp=SDES)
    carrier.invites(DID)
    office.answers()
    before = crypto(ends(sbc)[0])
    first = office.call
    office.holds()
    office.invites(BRANCH)
    branch.answers()
    second = office.call
    refers(office, party=first, to=refer_to_replacing(second))
    sbc.run(1)
    assert can_talk(sbc, branch, carrier)
    by_key = {crypto(end).send.key: crypto(end) for end in ends(sbc)}
    assert by_key[before.send.key] == before  # of the carrier, who was asked anew
    [other] = [one for key, one in by_key.items() if key != before.send.key]
    assert other.receive[-1].key == first_line(branch.call.local_sdp).keys[0].key
    carrier.hangs_up()
    assert sbc.idle()


@pytest.mark.parametrize("rule", ["off", "optional", "required"])
def test_a_blind_transfer_to_a_branch_with_other_rules(world, rule):
    sbc = world(THREE % "terminate", peers={"office": REQUIRED, "carrier": REQUIRED, "branch": {"srtp": rule}})
    has = {"off": None, "optional": PhoneSrtp(required=False), "required": SDES}[rule]
    branch = sbc.phone("pbx-88.branch.internal", "10.0.0.6:5060", through="10.0.0.1:5060", user=BRANCH, srtp=has)
    office, carrier = sbc.office(srtp=SDES), sbc.carrier(srtp=SDES)
    carrier.invites(DID)
    office.answers()
    before = crypto(ends(sbc)[0])
    refers(office)
    branch.answers()
    sbc.run(1)
    assert can_talk(sbc, branch, carrier)
    secured = [end.secured for end in ends(sbc)]
    assert before in secured
    assert (None in secured) is (rule == "off")
    carrier.hangs_up()
    assert sbc.idle()


def test_the_next_target_of_a_hunt_gets_keys_of_its_own(world):
    policy = (THREE % "terminate").replace('["sip:198.51.100.7:5060"]', '["sip:198.51.100.7:5060", "sip:198.51.100.8:5060"]')  # fmt: skip  # noqa: E501
    sbc = world(policy, peers={"carrier": REQUIRED})
    office, carrier = sbc.office(), sbc.carrier(srtp=SDES)
    second = sbc.phone("b.carrier.net", "198.51.100.8:5060", through="203.0.113.1:5060", user=FAR, srtp=SDES)
    office.invites(FAR)
    first = first_line(carrier.call.remote_sdp).keys
    carrier.refuses(503)
    second.answers()
    assert first_line(second.call.remote_sdp).keys != first
    assert crypto(ends(sbc)[1]).receive
    office.hangs_up()
    assert sbc.idle()


def answer(offered, key, host):
    line = offered.crypto[0]
    return "\r\n".join([
        "v=0", f"o=- 1 1 IN IP4 {host}", "s=-", f"c=IN IP4 {host}", "t=0 0", "m=audio 4000 RTP/SAVP 0",
        f"a=crypto:{line.tag} {line.suite} inline:{key}", "",
    ]).encode()  # fmt: skip


def test_the_early_relay_of_a_call_lets_nothing_in_without_a_key(world):
    sbc = world(peers={"office": REQUIRED, "carrier": REQUIRED})
    office, carrier = sbc.office(srtp=SDES), sbc.carrier(srtp=SDES)
    office.invites(FAR)
    for end in ends(sbc):
        assert isinstance(end.secured, wire.Crypto)
        assert not end.secured.receive
    carrier.answers()
    office.hangs_up()
    assert parse_sdp(carrier.call.invite.body).media[0].proto == "RTP/SAVP"
    assert sbc.idle()
