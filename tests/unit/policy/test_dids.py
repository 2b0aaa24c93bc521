from hypothesis import given
from hypothesis import strategies as st

from sbc.policy.dids import DidTable
from sbc.policy.model import DidRange
from sbc.policy.numbers import NumberPlan

US = NumberPlan("US")


def owner(table, dialled):
    return table.owner(US.read(dialled))


def test_a_did_is_found_however_it_is_dialled():
    table = DidTable([DidRange("+14155550100", "+14155550199", "office")])
    assert [owner(table, text) for text in ("+14155550100", "4155550150", "14155550199", "415-555-0123")] == [
        "office"
    ] * 4
    assert [owner(table, text) for text in ("+14155550099", "+14155550200", "0150", "office", "")] == [None] * 5


def test_extensions_may_be_owned_as_dialled():
    table = DidTable([DidRange("100", "199", "office")])
    assert owner(table, "150") == "office"
    assert owner(table, "200") is None


def test_ranges_of_one_pbx_may_overlap():
    table = DidTable(
        [DidRange("100", "199", "office"), DidRange("150", "150", "office"), DidRange("190", "210", "office")]
    )
    assert [owner(table, str(n)) for n in (100, 150, 151, 189, 205, 210, 211)] == ["office"] * 6 + [None]


@given(st.lists(st.integers(100, 999), unique=True, min_size=2, max_size=20), st.integers(100, 999))
def test_bisection_finds_what_a_search_finds(ends, number):
    ends = sorted(ends)[: len(ends) // 2 * 2]
    ranges = [DidRange(str(a), str(b), f"pbx{a}") for a, b in zip(ends[::2], ends[1::2], strict=True)]
    expected = next((r.pbx for r in ranges if int(r.first) <= number <= int(r.last)), None)
    assert owner(DidTable(ranges), str(number)) == expected
