"""UPDATE, glare and everything that changes in a session, between two phones (RFC 3311, RFC 3264 §8, RFC 3261 §14)."""

import pytest

from sbc.sdp import Direction
from sbc.testing.party import Stage

BOTH = pytest.mark.parametrize("by", ["INVITE", "UPDATE"])


def kinds(party):
    return [(media.kind, media.port != 0) for media in party.remote_sdp.media]


@BOTH
def test_hold_and_resume(pair, by):
    two = pair()
    alice, bob = two.talk()
    alice.holds(by=by)
    assert (alice.direction, bob.direction) == (Direction.RECVONLY, Direction.SENDONLY)
    alice.resumes(by=by)
    assert (alice.direction, bob.direction) == (Direction.SENDRECV, Direction.SENDRECV)
    assert alice.call.version == 3
    bob.hangs_up()
    assert two.is_over()


def test_the_old_hold(pair):
    two = pair()
    alice, bob = two.talk()
    alice.holds(old=True)
    assert bob.call.remote_sdp.connection.address == "0.0.0.0"
    assert bob.direction is Direction.SENDONLY
    alice.resumes()
    assert bob.direction is Direction.SENDRECV
    bob.hangs_up()
    assert two.is_over()


@BOTH
def test_a_refused_offer_changes_nothing_but_the_version(pair, by):
    two = pair()
    alice, bob = two.talk()
    bob.answers_reinvites(488)
    bob.answers_updates(488)
    alice.holds(by=by)
    assert bob.direction is Direction.SENDRECV
    bob.answers_reinvites(200)
    bob.answers_updates(200)
    (alice.reinvites if by == "INVITE" else alice.updates)()
    assert (alice.direction, bob.direction) == (Direction.SENDRECV, Direction.SENDRECV)
    assert alice.call.version == 3
    alice.hangs_up()
    assert two.is_over()


@pytest.mark.parametrize("status", [504, 500, 405])
def test_an_update_can_be_refused_in_any_way(pair, status):
    two = pair()
    alice, bob = two.talk()
    bob.answers_updates(status)
    alice.updates(sdp=False)
    assert alice.got(f"{status} UPDATE")
    alice.hangs_up()
    assert two.is_over()


def test_an_update_in_an_early_dialog(pair):
    two = pair()
    two.alice.uses_100rel()
    two.bob.uses_100rel()
    two.alice.invites("bob")
    two.bob.progresses(reliably=True)
    two.alice.updates()
    two.bob.holds(by="UPDATE")
    assert two.alice.direction is Direction.SENDONLY
    assert two.alice.call.stage is Stage.RINGING
    two.bob.answers()
    two.alice.hangs_up()
    assert two.is_over()


def test_updates_that_cross_get_491_and_are_made_again(pair):
    two = pair()
    alice, bob = two.talk()
    with two.net.holding(bob.agent):
        alice.holds(by="UPDATE")
        bob.updates()
    assert alice.got("491 UPDATE")
    assert bob.got("491 UPDATE")
    two.net.run(5.0)
    assert alice.got("491 UPDATE", "200 UPDATE")
    assert bob.got("491 UPDATE", "200 UPDATE")
    assert bob.direction is Direction.SENDONLY
    alice.hangs_up()
    assert two.is_over()


def test_reinvites_that_cross_get_491_and_the_owner_of_the_call_id_waits_longer(pair):
    two = pair()
    alice, bob = two.talk()
    start = two.net.now
    with two.net.holding(bob.agent):
        alice.holds()
        bob.holds()
    two.net.run(5.0)
    again = {s.sender: s.at - start for s in two.net.log if s.data.startswith(b"INVITE")}
    assert 0.0 <= again["bob"] <= 2.1
    assert 2.1 <= again["alice"] <= 4.1
    assert (alice.direction, bob.direction) == (Direction.INACTIVE, Direction.SENDONLY)
    alice.hangs_up()
    assert two.is_over()


def test_glare_can_be_left_alone(pair):
    two = pair()
    alice, bob = two.talk()
    alice.retries_glare(wanted=False)
    bob.retries_glare(wanted=False)
    with two.net.holding(bob.agent):
        alice.holds()
        bob.holds()
    two.net.run(10.0)
    assert alice.call.heard.count("491") == 1
    assert alice.direction is Direction.SENDRECV
    alice.hangs_up()
    assert two.is_over()


@BOTH
def test_video_comes_and_goes_and_keeps_its_place(pair, by):
    two = pair(video_port=4002)
    alice, bob = two.alice, two.bob
    alice.invites("bob")
    bob.answers()
    alice.removes_video(by=by)
    assert kinds(bob.call) == [("audio", True), ("video", False)]
    bob.adds_video(by=by)
    assert kinds(alice.call) == [("audio", True), ("video", True)]
    alice.hangs_up()
    assert two.is_over()


@pytest.mark.parametrize("beside", [False, True])
def test_a_fax_and_back(pair, beside):
    two = pair(fax_port=4004)
    alice, bob = two.talk()
    bob.offers_fax(beside=beside)
    assert kinds(alice.call) == ([("audio", False), ("image", True)] if beside else [("image", True)])
    alice.returns_to_voice()
    assert ("audio", True) in kinds(bob.call)
    alice.hangs_up()
    assert two.is_over()


def test_who_has_no_fax_refuses_one(pair):
    two = pair(fax_port=4004)
    alice, bob = two.talk()
    alice.agent.bench.voice = alice.agent.voice.__class__(alice.agent.media, ("PCMU",))
    bob.offers_fax()
    assert bob.got(488)
    assert kinds(bob.call) == [("audio", True)]
    bob.reinvites()
    assert bob.got(488, 200)
    alice.hangs_up()
    assert two.is_over()


def test_another_codec(pair):
    two = pair()
    alice, bob = two.talk()
    alice.offers_codecs("PCMA")
    assert bob.call.remote_sdp.media[0].formats == ("8",)
    assert alice.call.remote_sdp.media[0].formats == ("8",)
    alice.hangs_up()
    assert two.is_over()


def test_payload_types_are_a_phones_own_choice(pair):
    two = pair(codecs=("opus", "telephone-event"), numbers={"opus": 107, "telephone-event": 96})
    alice, bob = two.talk()
    assert bob.call.remote_sdp.media[0].formats == ("107", "96")
    alice.hangs_up()
    assert two.is_over()


def test_a_new_contact_is_where_the_next_request_goes(pair):
    two = pair()
    alice, bob = two.talk()
    alice.changes_contact("192.0.2.1:5070")
    bob.requests("INFO")
    assert str(next(s for s in two.net.log if s.data.startswith(b"INFO")).target) == "192.0.2.1:5070"
    alice.changes_contact("192.0.2.1:5080", by="UPDATE")
    bob.hangs_up()
    assert str(next(s for s in two.net.log if s.data.startswith(b"BYE")).target) == "192.0.2.1:5080"
    assert two.is_over()


def test_what_allow_does_not_name_must_not_come(pair):
    two = pair()
    two.bob.disallows("UPDATE")
    alice, bob = two.talk()
    alice.updates(sdp=False)
    assert alice.got("405 UPDATE")
    assert bob.agent.complaints == ["UPDATE, which our Allow does not name"]


def test_acks_can_come_late_and_200s_once_more(pair):
    two = pair()
    two.alice.never_acks()
    alice, bob = two.talk()
    two.net.run(2.0)
    assert not bob.got("ACK")
    alice.acks()
    assert bob.got("ACK")
    bob.repeats_200()
    assert [data[:3] for data in two.net.sent_by("alice")].count(b"ACK") == 2
    alice.hangs_up()
    assert two.is_over()


def test_redirection(pair):
    two = pair()
    two.alice.invites("bob")
    two.bob.redirects("sip:carol@192.0.2.3", "sip:dave@192.0.2.4")
    assert two.alice.got(302)
    assert two.net.sent_by("bob")[-1].count(b"Contact: <sip:") == 2
    assert two.is_over()


def test_a_phone_that_has_rebooted_knows_nothing_of_its_calls(pair):
    two = pair()
    alice, bob = two.talk()
    bob.reboots()
    alice.holds()
    assert alice.got(481)
    alice.hangs_up()
    assert two.is_over()
