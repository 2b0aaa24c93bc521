"""What a test call showed, in words: what is good, what is not, and whose fault it may be."""

import pytest
from msgspec.structs import replace

from sbc.cli.testcall import is_loopback, is_same_number
from sbc.cli.testcall_report import Back, Heard, Outcome, heard, lines
from sbc.cli.tone import Ear, Voice

GOOD = Heard("out to in", 250, 250, 250, 0, 0.0, 0.2, 4.4, "PCMU", 252)
BACK = Back(1.8, "ref-in", "carrier-a", "+14155550155", "+14155550100")
OUTCOME = Outcome(
    "carrier-a",
    "+14155550100",
    "+14155550155",
    "office",
    ref="ref-out",
    answered_after=1.2,
    back=BACK,
    heard=(GOOD, replace(GOOD, way="in to out")),
    digits="1234",
    paths=("carrier-a outbound", "carrier-a inbound"),
)
FAILED = Outcome("carrier-a", "+14155550100", "+14155550155", "office", ref="ref-out", status=403, cause="rejected")


def told(outcome):
    return "\n".join(lines(outcome))


def test_a_good_call_says_so_and_where_to_look_further():
    text = told(OUTCOME)

    assert OUTCOME.is_good
    assert "out to in: heard 250 of 252 packets, 0 % lost, jitter 0.2 ms, MOS 4.4, PCMU" in text
    assert "digits: 1234 arrived" in text
    assert "call paths held: carrier-a outbound, carrier-a inbound" in text
    assert "sbc trace ref-out" in text
    assert "sbc trace ref-in" in text
    assert text.endswith("good: out and back in, and audio was heard both ways.")


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (heard("in to out", Ear(600), 252), "in to out: nothing came  NOT HEARD"),
        (replace(GOOD, way="in to out", tone=100, sound=100), "heard 100 of 252 packets"),
        (replace(GOOD, way="in to out", tone=0, sound=0), "NOT HEARD"),
        (replace(GOOD, way="in to out", tone=0, sound=250), "BAD"),
    ],
)
def test_one_way_audio_is_not_good(one, said):
    outcome = replace(OUTCOME, heard=(GOOD, one))

    assert not outcome.is_good
    assert said in told(outcome)
    assert told(outcome).endswith("audio was NOT heard as it should be.")


def test_a_call_that_somebody_else_answered_has_not_come_back():
    outcome = replace(OUTCOME, back=None, heard=(replace(GOOD, sent=None),))

    assert not outcome.is_good
    assert "did NOT come back in" in told(outcome)


def test_a_number_that_is_not_ours_is_good_when_anything_is_heard():
    outcome = replace(OUTCOME, comes_back_from=None, back=None, digits=None, heard=(replace(GOOD, sent=None, tone=0),))

    assert outcome.is_good
    assert told(outcome).endswith("good: answered and heard.")
    silent = replace(outcome, heard=(replace(GOOD, sent=None, tone=0, sound=0),))
    assert not silent.is_good
    assert "NOT HEARD" in told(silent)


def test_a_refusal_names_status_and_cause_what_each_server_said_and_a_hint():
    text = told(
        replace(FAILED, attempts=("carrier-a sip:192.0.2.1, called 4155550100: 403, rejected",), early_packets=40)
    )

    assert text.startswith("not answered: 403, rejected\n  carrier-a sip:192.0.2.1, called 4155550100: 403, rejected\n")
    assert "40 packets of early media were heard" in text
    assert "hint: the carrier forbids it" in text
    assert text.endswith("the call was NOT answered.")


def test_a_call_that_came_back_and_failed_here_is_no_fault_of_the_carrier():
    text = told(replace(FAILED, status=488, refused_back="488 failed, sbc trace ref-in"))

    assert "it came back in, and ended here: 488 failed, sbc trace ref-in" in text
    assert "hint" not in text


def test_silence_from_the_carrier_is_said_too():
    assert told(replace(FAILED, status=0)).startswith("not answered, and nothing was said about it")


def test_digits_that_did_not_arrive_are_said_but_audio_decides():
    outcome = replace(OUTCOME, digits="13")

    assert "digits: 1234 did NOT arrive: `13` was heard" in told(outcome)
    assert outcome.is_good


def test_callers_of_the_number_meanwhile_are_named():
    assert "not ours, left to office: a call from +1" in told(replace(OUTCOME, turned_away=("a call from +1",)))


def test_what_was_heard_is_counted_from_the_ear():
    voice, ear = Voice(1, 400), Ear(400)
    for n in range(50):
        ear.take(voice.packet(), n * 0.02)

    one = heard("out to in", ear, voice.sent)
    assert (one.packets, one.tone, one.sound, one.sent, one.codec) == (50, 50, 50, 50, "PCMU")
    assert one.is_good


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("+14155550100", "4155550100", True),
        ("+14155550100", "14155550100", True),
        ("0100", "+14155550100", True),
        ("+14155550100", "+14155550101", False),
        ("anonymous", "+14155550100", False),
        ("", "+14155550100", False),
        ("100", "+14155550100", False),
    ],
)
def test_a_number_is_known_in_other_forms(one, other, is_same):
    assert is_same_number(one, other) is is_same
    assert is_same_number(other, one) is is_same


@pytest.mark.parametrize(
    ("host", "here"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("192.0.2.1", False), ("sbc.lan", False)],
)
def test_only_this_machine_is_here(host, here):
    assert is_loopback(host) is here
