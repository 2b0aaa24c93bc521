"""Masked recordings: they replay, and hold nothing of who called whom, of keys, of digits and of passwords."""

import base64
import os
import re

import pytest

from sbc.b2bua.events import MediaReplied, StateRestored
from sbc.media import wire
from sbc.runtime.recording import frames
from sbc.runtime.recording.frames import KEY, Life
from sbc.runtime.recording.masking import MaskError, Masking, _Pair
from sbc.runtime.recording.pseudonyms import Pseudonyms
from sbc.runtime.recording.replaying import Difference, Replay
from sbc.testing.replayed import recorded_worlds
from sbc.testing.world import DID, FAR, POLICY, World

HEAD = Life(frames.FORMAT, 1, "", "", "", 0.0)
SECURED = POLICY.replace('"sip:198.51.100.7:5060"]', '"sip:198.51.100.7:5060"], srtp: required')
ASKED = POLICY.replace("dids:", "auth: {username: office, password: 0pensesame}, dids:")


def masked(tape, fresh=os.urandom):
    return list(Masking(b"k" * 32, fresh).life(HEAD, iter(tape.frames())))


def differences(made):
    return [result for result in Replay(made[0]).run(made[1:]) if isinstance(result, Difference)]


def octets(made):
    return b"".join(frames.encode(frame) for frame in made)


def a_call(policy=POLICY, ask=lambda _office: None, **options):
    """One that is answered and ended, and its tape."""
    with recorded_worlds() as tapes:
        sbc = World(policy, **options)
        office, carrier = sbc.office(), sbc.carrier()
        ask(office)
        office.invites(FAR)
        carrier.answers()
        office.presses("7") if policy is POLICY else None
        office.hangs_up()
        assert sbc.idle()
    return tapes[0], sbc


def test_a_masked_recording_replays_and_names_nobody():
    tape, _ = a_call()
    made = masked(tape)
    assert made[0].masked
    assert not differences(made)
    for number in (FAR, DID):
        assert number.encode() not in octets(made)
        assert number.encode() in octets(tape.frames())


def test_it_takes_the_same_course():
    tape, _ = a_call()
    steps = [[type(frame), frame.now] for frame in tape.frames() if isinstance(frame, frames.Step)]
    assert steps == [[type(frame), frame.now] for frame in masked(tape) if isinstance(frame, frames.Step)]


def test_what_differs_after_all_is_no_masked_recording():
    tape, _ = a_call()
    whole = tape.frames()
    at = next(n for n, frame in enumerate(whole) if isinstance(frame, frames.Received))
    with pytest.raises(MaskError, match="only what replays"):
        list(Masking(b"k", os.urandom).life(HEAD, iter([*whole[:at], *whole[at + 1 :]])))


def test_a_policy_that_numbers_are_needed_for_is_said():
    tape, _ = a_call(POLICY.replace('"+44X."', '"+44207946X."'))
    with pytest.raises(MaskError, match="masked, it orders"):
        masked(tape)


def test_digits_that_were_dialled_are_not_in_it():
    tape, _ = a_call()
    dialled = re.compile(rb"Signal ?= ?([0-9])")
    assert set(dialled.findall(octets(tape.frames()))) == {b"7"}
    assert set(dialled.findall(octets(masked(tape)))) == {b"0"}


def test_keys_of_both_sides_are_others():
    with recorded_worlds() as tapes:
        sbc = World(SECURED)
        office, _ = sbc.office(), sbc.carrier()
        office.invites(FAR)
        sbc.run(1.0)
        office.cancels()
        assert sbc.idle()
    [tape] = tapes
    whole, made = octets(tape.frames()), octets(masked(tape))
    keys = set(re.findall(rb"inline:([A-Za-z0-9+/=]{16,})", whole))
    assert keys
    assert not [key for key in keys if key in made]
    drawn = [one for frame in tape.frames() for one in getattr(frame, "drawn", ()) if one.startswith(KEY)]
    assert drawn
    assert not [one for one in drawn if one.encode() in made]
    assert not differences(masked(tape))


def test_who_has_logged_in_logs_in_with_another_password():
    tape, sbc = a_call(ASKED, lambda office: office.has_credentials("office", "0pensesame"))
    assert sbc.cdr.only.cause == "normal"
    made = masked(tape)
    assert not differences(made)
    assert b"0pensesame" not in octets(made)
    responses = re.compile(rb'response="([0-9a-f]{32})"')
    real = set(responses.findall(octets(tape.frames())))
    assert real
    assert not real & set(responses.findall(octets(made)))


def test_calls_of_before_the_recording_cannot_be_masked():
    replayed = Masking(b"k", os.urandom)
    tape, _ = a_call()
    whole = tape.frames()
    at = next(n for n, frame in enumerate(whole) if isinstance(frame, frames.Handled) and frame.name == "StateRestored")
    outcome = whole[at].outcome
    whole[at] = frames.handled(StateRestored((("call/x", b"\x00 no call"),)), whole[at].now, (), outcome)
    with pytest.raises(MaskError, match="before"):
        list(replayed.life(HEAD, iter(whole)))


# --- pseudonyms -------------------------------------------------------------------------------------------------------


def test_all_forms_of_a_number_get_the_same_end():
    says = Pseudonyms(b"k")
    said = [says.message(b"sip:%s@x" % form).decode() for form in (b"+14155550100", b"4155550100", b"0014155550100")]
    ends = {text.partition("@")[0][-7:] for text in said}
    assert len(ends) == 1
    assert ends != {"5550100"}
    assert said[0].startswith("sip:+1415")


def test_no_two_numbers_become_one():
    says = Pseudonyms(b"k")
    made = {says.message(b"sip:+1415%07d@x" % n) for n in range(5_550_000, 5_560_000)}
    assert len(made) == 10_000


def test_numbers_of_the_policy_keep_their_order():
    says = Pseudonyms(b"k")
    says.learn_policy(b"+14155550100-+14155550199")
    said = [says.text(b"+1415555%04d" % n) for n in (100, 199)]
    assert [text[-4:] for text in said] == [b"0100", b"0199"]
    assert said[0][:-4] == said[1][:-4] != b"+1415555"


@pytest.mark.parametrize("kept", [b"911", b"sip:1000@x", b"CSeq: 4155550100 INVITE", b"branch=z9hG4bK14155550100"])
def test_what_is_no_telephone_number_stays(kept):
    says = Pseudonyms(b"k")
    assert says.message(kept) == kept


def test_names_of_people_are_as_long_and_say_nothing():
    says = Pseudonyms(b"k")
    head = 'From: "Zoë O\'Hara" <sip:x@y>;tag=1\r\nt: Bob Smith <sip:z@y>\r\nSubject: about Ann\r\n'.encode()
    said = says.message(head)
    assert len(said) == len(head)
    assert not [name for name in (b"Zo", b"Hara", b"Bob", b"Smith", b"Ann") if name in said]
    assert b"<sip:x@y>;tag=1" in said


def test_a_key_is_said_alike_each_time_and_as_long():
    says = Pseudonyms(b"k")
    key = base64.b64encode(bytes(range(30)))
    line = b"m\r\n\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + key + b"|2^31\r\n"
    said = says.message(line)
    assert said == says.message(line) != line
    assert len(said) == len(line)
    assert len(base64.b64decode(said.partition(b"inline:")[2].partition(b"|")[0])) == 30


def test_a_digit_heard_by_a_worker_is_another_one():
    pair = _Pair(Masking(b"k", os.urandom), HEAD)
    heard = pair._event(MediaReplied(wire.DigitHeard("r", 0, "ingress", "7", 100)))
    assert heard.reply.digit == "0"


def test_calls_that_outlive_signalling_are_masked_over_all_lives():
    with recorded_worlds() as tapes:
        sbc = World(SECURED.replace("srtp: required", "srtp: optional"))
        office, carrier = sbc.office(), sbc.carrier()
        office.invites(FAR)
        carrier.answers()
        sbc.signalling_dies()
        sbc.signalling_lives()
        sbc.run(5.0)
        office.hangs_up()
        assert sbc.idle()
    assert len(tapes) == 2
    masking = Masking(b"k" * 32, os.urandom)
    lives = [list(masking.life(HEAD, iter(tape.frames()))) for tape in tapes]
    assert not [life for life in lives if differences(life)]
    assert FAR.encode() not in octets(lives[1])
    whole = octets(tapes[0].frames())
    keys = {base64.b64decode(key) for key in re.findall(rb"inline:([A-Za-z0-9+/=]{16,})", whole)}
    assert keys
    assert b"call/" in octets(lives[1])
    assert not [key for key in keys if key in octets(lives[1]) or key[:16] in octets(lives[1])]
