from hypothesis import given
from hypothesis import strategies as st

from sbc.policy.dids import DidTable
from sbc.policy.engine import Policy
from sbc.policy.model import DidRange, Peer, RejectWith, Settings
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


def plan(table, dialled):
    found = table.find(US.read(dialled))
    return [step.status for step in found.plan] if found else None


def own(first, last, status):
    return DidRange(first, last, "office", disaster=(RejectWith(status),))


def test_a_narrower_range_with_its_own_plan_wins_and_its_neighbours_keep_theirs():
    wide, narrow = own("+14155550100", "+14155550199", 480), own("+14155550150", "+14155550150", 486)
    for table in (DidTable([wide, narrow]), DidTable([narrow, wide])):
        assert [plan(table, f"+1415555{n}") for n in ("0100", "0149", "0150", "0151", "0199", "0200")] == [
            [480], [480], [486], [480], [480], None,
        ]  # fmt: skip


def test_a_narrower_range_without_a_plan_has_that_of_the_wider_one():
    table = DidTable([own("100", "199", 480), DidRange("150", "159", "office")])
    assert plan(table, "155") == [480]


def test_a_wider_range_without_a_plan_takes_none_away():
    table = DidTable([DidRange("100", "199", "office"), own("150", "159", 486)])
    assert [plan(table, n) for n in ("149", "150", "159", "160")] == [[], [486], [486], []]


def test_of_ranges_of_equal_width_the_first_written_gives_the_plan():
    table = DidTable([own("100", "149", 480), own("120", "169", 486)])
    assert [plan(table, n) for n in ("119", "130", "150")] == [[480], [480], [486]]


def test_leading_zeros_and_a_plus_make_another_number():
    table = DidTable(
        [DidRange("0100", "0199", "zero"), DidRange("1100", "1199", "one"), DidRange("+100", "+199", "plus")]
    )
    assert [owner(table, n) for n in ("0150", "1150", "+150", "150", "2150")] == ["zero", "one", "plus", None, None]


def test_a_pbx_owns_its_numbers_for_itself_however_they_are_written():
    peers = [Peer(name, "pbx", "inside", ()) for name in ("office", "branch")]
    policy = Policy(Settings(), peers=peers, dids=[DidRange("+14155550100", "+14155550199", "office")])
    assert [policy.owns_for("office", n) for n in ("+14155550123", "4155550123", "415-555-0123")] == [True] * 3
    assert [policy.owns_for("office", n) for n in ("+14155550200", "anonymous", "")] == [False] * 3
    assert not policy.owns_for("branch", "+14155550123")


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=12), st.integers(0, 99))
def test_the_sweep_finds_what_a_search_of_all_ranges_finds(ends, number):
    ranges = [
        DidRange(f"{min(pair):02}", f"{max(pair):02}", "office", disaster=(RejectWith(400 + n),) if n % 2 else ())
        for n, pair in enumerate(ends)
    ]
    holding = [r for r in ranges if int(r.first) <= number <= int(r.last)]
    planned = sorted((r for r in holding if r.disaster), key=lambda r: int(r.last) - int(r.first))
    expected = [planned[0].disaster[0].status] if planned else [] if holding else None
    assert plan(DidTable(ranges), f"{number:02}") == expected


@given(st.lists(st.integers(100, 999), unique=True, min_size=2, max_size=20), st.integers(100, 999))
def test_bisection_finds_what_a_search_finds(ends, number):
    ends = sorted(ends)[: len(ends) // 2 * 2]
    ranges = [DidRange(str(a), str(b), f"pbx{a}") for a, b in zip(ends[::2], ends[1::2], strict=True)]
    expected = next((r.pbx for r in ranges if int(r.first) <= number <= int(r.last)), None)
    assert owner(DidTable(ranges), str(number)) == expected
