# ruff: noqa: E501 (tables of exact texts)
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.policy import addresses, values
from sbc.policy.problems import UnfitError


def wrong(parse, text):
    with pytest.raises(UnfitError) as caught:
        parse(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10s", 10.0), ("500ms", 0.5), ("1.5m", 90.0), ("4h", 14_400.0), ("1d", 86_400.0), ("0s", 0.0)],
)
def test_a_duration_has_a_unit(text, seconds):
    assert values.duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["10", "1.5", "0"])
def test_a_bare_number_is_no_duration(text):
    assert wrong(values.duration, text) == f"`{text}` has no unit; expected a number with ms, s, m, h or d, such as 10s"


@pytest.mark.parametrize("text", ["", "s", "-1s", "10 s", "10S", "1e3s", ".5s", "1.s", "10sec", "٣s", "1" * 10 + "s"])
def test_other_texts_are_no_duration(text):
    assert wrong(values.duration, text).startswith(f"`{text}` is not a duration")


def test_a_timer_waits_for_something_and_not_for_ever():
    assert values.timer("1d") == 86_400
    assert wrong(values.timer, "0s") == "`0s` is out of range; expected more than 0s and at most 1d"
    assert wrong(values.timer, "25h") == "`25h` is out of range; expected more than 0s and at most 1d"
    assert values.patience("0s") == 0


@pytest.mark.parametrize(("text", "ports"), [("20000-29999", (20_000, 29_999)), ("1024-1025", (1024, 1025))])
def test_media_ports(text, ports):
    assert values.media_ports(text) == ports


@pytest.mark.parametrize(
    "text", ["", "20000", "29999-20000", "80-90", "1024-70000", "1025-1026", "2000-2000", "a-b", "1-2-3"]
)
def test_no_media_ports(text):
    wrong(values.media_ports, text)


@pytest.mark.parametrize(("text", "point"), [("cs3", 24), ("EF", 46), ("af41", 34), ("va", 44), ("0", 0), ("63", 63)])
def test_a_code_point(text, point):
    assert values.dscp(text) == point


@pytest.mark.parametrize("text", ["", "64", "cs8", "af44", "af51", "-1", "0x10", "063"])
def test_no_code_point(text):
    wrong(values.dscp, text)


def test_a_country_has_a_numbering_plan():
    assert values.country("us") == "US"
    assert wrong(values.country, "UK") == "`UK` is no country with a numbering plan; expected GB"
    assert wrong(values.country, "001").startswith("`001` is no country")


@pytest.mark.parametrize("text", ["200", "399", "700", "4O4", "", "4040"])
def test_only_failures_reject(text):
    assert wrong(values.reject_status, text) == f"`{text}` is no SIP failure; expected a status from 400 to 699"


@pytest.mark.parametrize("text", ["", "-a", "a b", "a" * 65, "a/b", "ä"])
def test_no_name(text):
    assert wrong(values.name, text).startswith(f"`{text}` cannot be a name")


def test_dids_take_numbers_and_ranges_only():
    assert values.did("+14155550100") == ("+14155550100", "+14155550100")
    assert values.did("100-199") == ("100", "199")
    for text in ("+1415555010X", "/1+/", "", "dids", "1-22"):
        wrong(values.did, text)


PARSERS = [
    values.name, values.label, values.path, values.duration, values.timer, values.patience, values.within(0, 32),
    values.reject_status, values.failure_status, values.country, values.flag, values.account, values.number, values.seconds_within("60s", "1d"), addresses.ip_literal, addresses.own_address, addresses.network, addresses.listener, addresses.admin,
    addresses.advertised, addresses.server, addresses.domain,
    addresses.aor, addresses.webhook, addresses.network_or_any, values.media_ports, values.dscp, values.pattern, values.prefix, values.did,
]  # fmt: skip


@given(
    st.sampled_from(PARSERS),
    st.text(max_size=40) | st.from_regex(r"(sip|udp|tcp|unix):[\[\]0-9a-f:.;=@/%-]*", fullmatch=True),
)
def test_any_text_is_a_value_or_says_what_is_wrong(parse, text):
    try:
        parse(text)
    except UnfitError as error:
        parts = (error.wrong, error.expected)
    else:
        return
    assert all(parts)


def test_a_path_is_not_empty():
    assert values.path("./var") == "./var"
    assert wrong(values.path, "") == "an empty path; expected the path of a directory"


def test_patience_ends_after_a_day():
    assert wrong(values.patience, "2d") == "`2d` is out of range; expected 0s to 1d"


@pytest.mark.parametrize("text", ["", "a\tb", "a" * 65])
def test_no_label(text):
    assert wrong(values.label, text) == "this cannot be a name; expected 1 to 64 printable characters"


def test_a_duration_may_have_bounds_of_its_own():
    expires = values.seconds_within("60s", "1d")
    assert expires("60s") == 60
    assert wrong(expires, "59s") == "`59s` is out of range; expected 60s to 1d"


def test_a_flag_is_true_or_false():
    assert values.flag("true")
    assert not values.flag("False")
    assert wrong(values.flag, "on") == "`on` is neither true nor false; expected true or false"


@pytest.mark.parametrize("text", ["299", "700", "48", "4800", "x"])
def test_an_attempt_fails_with_300_to_699(text):
    assert values.failure_status("302") == 302
    assert wrong(values.failure_status, text) == f"`{text}` is no SIP failure; expected a status from 300 to 699"


@pytest.mark.parametrize("text", ["", "alice", "+", "415-555-0100", "4155550100;x", "1" * 33])
def test_a_number_is_digits(text):
    assert values.number("+14155550100") == "+14155550100"
    assert wrong(values.number, text) == f"`{text}` is not a number; expected digits, with or without a plus"
