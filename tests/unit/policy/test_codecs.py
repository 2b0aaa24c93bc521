# ruff: noqa: E501 (tables of exact texts)
"""The codecs of a peer: names as RTP has them, what is allowed, what stands first."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.policy.codecs import codec
from sbc.policy.model import CodecRules
from sbc.policy.problems import UnfitError


def trunk(codecs: str, more: str = "") -> str:
    return f"trunks:\n  x: {{interface: outside, servers: sip:h, codecs: {codecs}{more}}}\n"


NAMES = [
    ("PCMA", "pcma"),
    ("pcmu", "pcmu"),
    ("0", "pcmu"),
    ("8", "pcma"),
    ("08", "pcma"),
    ("13", "cn"),
    ("11", "l16/44100"),
    ("6", "dvi4/16000"),
    ("opus/48000/2", "opus/48000"),
    ("L16/16000", "l16/16000"),
    ("G722/8000", "g722/8000"),
    ("AMR-WB", "amr-wb"),
    ("Telephone-Event", "telephone-event"),
    ("x-nobodys-own", "x-nobodys-own"),
]


@pytest.mark.parametrize(("text", "name"), NAMES, ids=[text for text, _ in NAMES])
def test_a_codec_in_every_form(text, name):
    assert codec(text) == name


@given(st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,12}(/(8000|16000|48000))?", fullmatch=True))
def test_a_name_that_was_read_is_read_as_itself(text):
    try:
        name = codec(text)
    except UnfitError:
        return
    assert codec(name) == name


@given(st.text(max_size=80))
def test_any_text_is_a_codec_in_lower_case_or_unfit(text):
    try:
        name = codec(text)
    except UnfitError:
        return
    assert name == name.lower()
    assert name.isascii()


RULES = [
    ("[PCMA, PCMU, telephone-event]", CodecRules(("pcma", "pcmu", "telephone-event"), ("pcma", "pcmu", "telephone-event"))),
    ("{allow: [opus, telephone-event]}", CodecRules(("opus", "telephone-event"), ())),
    ("{order: G722}", CodecRules((), ("g722",))),
    (
        "{allow: [l16, opus/48000, telephone-event], order: [opus, l16/44100]}",
        CodecRules(("l16", "opus/48000", "telephone-event"), ("opus", "l16/44100")),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("text", "rules"), RULES, ids=[text for text, _ in RULES])
def test_a_list_allows_and_orders_and_a_mapping_says_which(load, well, text, rules):
    policy = load(well, trunk(text), "routes: [{to: dids}]")
    assert policy.peers["x"].codecs == rules
    assert policy.warnings == ()


WRONG = [
    ("[96]", "b.yaml:2:52: 96 is no static payload type; expected a codec's RTP name: the number varies per call"),
    ("[127, PCMA]", "b.yaml:2:52: 127 is no static payload type; expected a codec's RTP name: the number varies per call"),
    ("ulaw", "b.yaml:2:51: `ulaw` is not what RTP calls it; expected PCMU"),
    ("[PCMA, rfc2833]", "b.yaml:2:58: `rfc2833` is not what RTP calls it; expected telephone-event"),
    ("[t38]", "b.yaml:2:52: `t38` is no RTP codec; expected the key `t38`"),
    ("[G722/16000]", "b.yaml:2:52: `G722/16000` is in no SDP; expected G722, whose RTP clock is 8000 (RFC 3551 §4.5.2)"),
    ("[a b]", "b.yaml:2:52: `a b` is no codec; expected its RTP name, such as PCMA, opus or L16/44100"),
    ("[PCMA, pcma]", "b.yaml:2:58: the codec `pcma` is listed twice; expected it once; first at b.yaml:2:52"),
    ("[]", "b.yaml:2:51: an empty list; expected at least one element"),
    ("{}", "b.yaml:2:51: `codecs` says nothing; expected a list, or a mapping of allow and order"),
    ("{first: PCMA}", "b.yaml:2:52: unknown key `first` in `codecs`; expected one of allow, order"),
    (
        "{allow: [PCMA, telephone-event], order: [PCMA, PCMU]}",
        "b.yaml:2:98: `pcmu` is in `order` but not in `allow`; expected it in both",
    ),
    (
        "{allow: [telephone-event, PCMA, PCMA], order: [PCMA, PCMA]}",
        "b.yaml:2:104: the codec `pcma` is listed twice; expected it once; first at b.yaml:2:98",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("text", "error"), WRONG, ids=[text for text, _ in WRONG])
def test_no_codecs(errors, well, text, error):
    assert error in errors(well, trunk(text))


def test_one_bad_name_in_allow_makes_nothing_of_order_look_wrong(errors, well):
    (found,) = errors(well, trunk("{allow: [ulaw, PCMA], order: PCMU}", ", dtmf: info"))
    assert "`ulaw` is not what RTP calls it" in found


@pytest.mark.parametrize(
    ("codecs", "warnings"),
    [
        ("[PCMX, telephone-event]", ["b.yaml:2:52: `pcmx` is no codec that we know; did you mean `PCMU`?"]),
        ("{order: [opsu/48000]}", ["b.yaml:2:60: `opsu` is no codec that we know; did you mean `opus`?"]),
        ("{order: [PCMU, G729, iLBC, L16/16000, x-nobodys-own]}", []),
    ],
)
def test_a_codec_that_looks_like_a_slip_of_the_pen_is_a_warning(load, well, codecs, warnings):
    found = [str(warning) for warning in load(well, trunk(codecs)).warnings]
    assert [warning for warning in found if "no codec that we know" in warning] == warnings
