import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.core.errors import OperatorError
from sbc.policy.numbers import Number, NumberPlan, is_country

US = NumberPlan("US")
GB = NumberPlan("GB")
DE = NumberPlan("DE")
IT = NumberPlan("IT")
NL = NumberPlan("NL")


@pytest.mark.parametrize(
    ("plan", "dialled", "e164"),
    [
        (US, "+14155550123", "+14155550123"),
        (US, "4155550123", "+14155550123"),
        (US, "14155550123", "+14155550123"),
        (US, "415-555-0123", "+14155550123"),
        (US, "+1 (415) 555.0123", "+14155550123"),
        (US, "011442079460000", "+442079460000"),
        (GB, "02079460000", "+442079460000"),
        (GB, "0014155550123", "+14155550123"),
        (GB, "2079460000", "+442079460000"),
        (DE, "030123456", "+4930123456"),
        (IT, "0612345678", "+390612345678"),
    ],
)
def test_a_number_is_read_by_the_countrys_plan(plan, dialled, e164):
    assert plan.read(dialled).e164 == e164


@pytest.mark.parametrize(
    ("plan", "dialled"),
    [
        (US, "100"),
        (US, "911"),
        (US, "5550123"),
        (US, "1155550123"),
        (US, "94155550123"),
        (DE, "1000"),
        (DE, "112"),
        (GB, "2001"),
        (US, "+0123456789"),
        (US, "+1234567890123456"),
        (US, "+12"),
    ],
)
def test_extensions_and_short_codes_have_no_e164_form_and_pass_as_dialled(plan, dialled):
    number = plan.read(dialled)
    assert number.e164 == ""
    assert {plan.write(number, form) for form in ("e164", "e164-bare", "national", "national-1")} == {dialled}


@pytest.mark.parametrize(
    "user", ["alice", "a-b.c", "", "+", "*67", "anonymous", "+1x", "٣٤٥", "1" * 33, "+" + "9" * 200]
)
def test_what_is_no_number_passes_as_it_is(user):
    number = US.read(user)
    assert number == Number(user)
    assert US.write(number, "last-4") == user
    assert US.words(number) == frozenset()


@pytest.mark.parametrize(
    ("plan", "form", "own", "foreign"),
    [
        (US, "e164", "+14155550123", "+442079460000"),
        (US, "e164-bare", "14155550123", "442079460000"),
        (US, "national", "4155550123", "011442079460000"),
        (US, "national-1", "14155550123", "011442079460000"),
        (US, "last-4", "0123", "0000"),
        (GB, "national", "2079460000", "0014155550123"),
        (GB, "national-1", "02079460000", "0014155550123"),
        (IT, "national", "0612345678", "0014155550123"),
        (IT, "national-1", "0612345678", "0014155550123"),
    ],
)
def test_each_form_of_numbers_at_home_and_abroad(plan, form, own, foreign):
    ours = {US: "+14155550123", GB: "+442079460000", IT: "+390612345678"}[plan]
    theirs = "+442079460000" if plan is US else "+14155550123"
    assert plan.write(plan.read(ours), form) == own
    assert plan.write(plan.read(theirs), form) == foreign


def test_bare_reads_digits_as_e164_first():
    assert US.read("442079460000", bare=True).e164 == "+442079460000"
    assert US.read("14155550123", bare=True).e164 == "+14155550123"
    assert US.read("442079460000").e164 == ""


def test_bare_falls_back_to_the_plan():
    assert US.read("011442079460000", bare=True).e164 == "+442079460000"
    assert US.read("100", bare=True).e164 == ""


@pytest.mark.parametrize(
    ("plan", "dialled", "words"),
    [
        (US, "4155550123", {"national"}),
        (US, "18005551234", {"national"}),
        (US, "19005551234", {"national", "premium"}),
        (US, "+18762345678", {"international"}),
        (US, "+442079460000", {"international"}),
        (US, "911", {"emergency"}),
        (GB, "999", {"emergency"}),
        (GB, "112", {"emergency"}),
        (GB, "09098790000", {"national", "premium"}),
        (US, "100", set()),
        (US, "+999123456", {"international"}),
        (US, "9005551234", {"national", "premium"}),
        (NL, "09001234", {"national", "premium"}),
        (NL, "0900123456", {"national", "premium"}),
        (DE, "09001234567", {"national", "premium"}),
        (DE, "110", {"emergency"}),
        (DE, "0190123456", {"national"}),
    ],
)
def test_words_follow_the_countrys_plan(plan, dialled, words):
    assert plan.words(plan.read(dialled)) == words


@pytest.mark.parametrize("area", ["242", "246", "264", "268", "284", "441", "473", "649", "758", "767", "809", "876"])
def test_islands_that_share_our_calling_code_are_abroad(area):
    for dialled in (f"{area}5550100", f"1{area}5550100", f"+1{area}5550100"):
        assert US.words(US.read(dialled)) == {"international"}


def test_neighbours_who_share_our_calling_code_are_abroad_and_toll_free_numbers_are_at_home():
    canada = NumberPlan("CA")
    assert US.words(US.read("4165550100")) == canada.words(canada.read("2125550100")) == {"international"}
    assert canada.words(canada.read("4165550100")) == canada.words(canada.read("8005550100")) == {"national"}


@pytest.mark.parametrize(
    ("dialled", "words"),
    [
        ("+190055512349", {"national", "premium"}),
        ("+1900555123499999", {"premium"}),
        ("1900555123499", {"premium"}),
        ("90055512349", {"premium"}),
        ("01144207946000012345678", {"international"}),
        ("011999123456", {"international"}),
        ("0118816512345678901", {"international"}),
        ("+442079460000123456", {"international"}),
    ],
)
def test_digits_too_many_do_not_get_past_a_bar(dialled, words):
    assert US.words(US.read(dialled)) == words


@pytest.mark.parametrize(
    ("plan", "dialled"), [(US, "01144"), (DE, "0012"), (DE, "00123"), (US, "94155550123"), (US, "1900"), (US, "0")]
)
def test_extensions_and_outside_lines_are_neither_abroad_nor_premium(plan, dialled):
    assert plan.words(plan.read(dialled)) == frozenset()


@given(st.from_regex(r"[2-9][0-9]{9}", fullmatch=True), st.sampled_from(["e164", "national", "national-1"]))
def test_what_is_written_in_a_form_reads_as_the_same_number(ten, form):
    number = US.read(ten)
    assert number.e164 == "+1" + ten
    assert US.read(US.write(number, form)).e164 == number.e164


@given(st.text(max_size=60))
def test_any_user_part_is_read_and_written_without_a_crash(user):
    for plan in (US, DE):
        number = plan.read(user)
        plan.words(number)
        for form in ("e164", "e164-bare", "national", "national-1", "last-4"):
            plan.write(number, form)
        assert number.e164 == "" or number.e164[1:].isdecimal()


@given(st.from_regex(r"\+?[0-9]{1,32}", fullmatch=True))
def test_any_digits_are_read_without_a_crash_and_e164_is_a_fixed_point(digits):
    for plan in (US, GB, DE, IT):
        for bare in (False, True):
            e164 = plan.read(digits, bare=bare).e164
            assert e164 == "" or plan.read(e164).e164 == e164


# BOUND: REMEMBERED_NUMBERS
def test_what_is_remembered_is_bounded():
    plan = NumberPlan("US")
    for n in range(10_000):
        plan.words(plan.read(f"{n:05d}"))
    assert len(plan._read) <= 8_192
    assert len(plan._words) <= 8_192


def test_countries_are_those_with_a_plan():
    assert is_country("US")
    assert not is_country("UK")
    assert not is_country("XX")


def test_parameters_behind_a_number_are_no_part_of_it():
    assert US.read("+14155550123;npdi;rn=+12125550100") == Number("+14155550123", "+14155550123", is_numeric=True)
    assert US.read("alice;x=1") == Number("alice;x=1")


# BOUND: REMEMBERED_NUMBER_CHARACTERS
def test_a_user_part_beyond_all_numbers_is_not_remembered():
    plan = NumberPlan("US")
    plan.read("a" * 65)
    assert not plan._read


def test_a_plan_needs_a_country():
    with pytest.raises(OperatorError, match="`XX` is no country"):
        NumberPlan("XX")


def test_the_prefix_for_calls_abroad_is_the_countrys():
    assert NumberPlan("AU").write(US.read("+14155550123"), "national") == "001114155550123"
    assert NumberPlan("RU").write(US.read("+14155550123"), "national") == "81014155550123"


@pytest.mark.parametrize(
    ("dialled", "words"),
    [
        ("0019005550100", {"premium"}),
        ("0001144", set()),
        ("00442079460000", {"international"}),
        ("00449098790123", {"international", "premium"}),
        ("19005550100" + "9" * 10, {"premium"}),
        ("01119005550100" + "9" * 10, {"premium"}),
        ("+19005550100" + "9" * 18, {"premium"}),
        ("011449098790123" + "9" * 15, {"international", "premium"}),
    ],
)
def test_another_countrys_prefix_and_digits_without_end_hide_nothing_from_a_bar(dialled, words):
    plan = NumberPlan("US")
    assert plan.words(plan.read(dialled)) == words


@pytest.mark.parametrize(
    "dialled",
    [
        "+1900555010a", "1900FLOWERS", "+1_900_5550100", "+1900/5550100", "+19005550100,,,1", "+19005550100#",
        "+1+9005550100", "*6719005550100", "#31#19005550100", "１９００５５５０１００", "+1\u2010900\u20105550100",
        "+1x900y5550100", "'+19005550100", "+1" + "x" * 500 + "9005550100", "+19005550100x" + "9" * 40,
        "\udcff+19005550100",
    ],
)  # fmt: skip
def test_a_disguised_number_is_seen_through(dialled):
    plan = NumberPlan("US")
    number = plan.read(dialled)
    assert not number.is_numeric
    assert any("premium" in plan.words(one) for one in plan.disguised(number))


@pytest.mark.parametrize(
    "dialled", ["", "+", "alice", "bob900", "christophe", "john.smith", "x+19005550100", "+14155550100"]
)
def test_a_name_and_a_plain_number_are_no_disguise(dialled):
    plan = NumberPlan("US")
    assert plan.disguised(plan.read(dialled)) == ()
