"""The arithmetic of `sbc bench media`, and what it prints. What it measures needs namespaces and is not tested here."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.cli import run_command
from sbc.cli.bench_flood import Table, Turn, cost, ratio
from sbc.cli.bench_relays import BARE, DROPPED, FORWARDING, KERNEL, RTPENGINE, USERLAND
from sbc.cli.bench_report import flood_lines, talk_lines
from sbc.cli.bench_rtpengine import bdecode, bencode
from sbc.cli.bench_talk import Heard, Missing, Talk

NAMES = [DROPPED, FORWARDING, KERNEL, BARE, USERLAND, RTPENGINE]


def turn(sender: float, relay: float = 0, *, slowness: float = 1, lost: int = 0) -> Turn:
    """A thousand packets; nanoseconds per packet."""
    return Turn(1000, 1000 - lost, round(sender * slowness * 1000), round(relay * slowness * 1000))


def table(names: list[str] = NAMES, *, slowness: tuple[float, ...] = (1, 1, 1), **more: object) -> Table:
    """3 µs to send; forwarding 1.0, kernel 1.2, bare 1 + 5, userland 1 + 6, rtpengine 1 + 7."""
    costs = {
        DROPPED: (3000, 0),
        FORWARDING: (4000, 0),
        KERNEL: (4200, 0),
        BARE: (4000, 5000),
        USERLAND: (4000, 6000),
        RTPENGINE: (4000, 7000),
    }
    turns = [[turn(*costs[name], slowness=slow) for name in names] for slow in slowness]
    return Table(names, turns, **({"missing": {}, "in_kernel": 1.0} | more))


def line_of(lines: list[str], name: str) -> str:
    return next(line for line in lines if line.startswith(name))


def test_what_sending_costs_is_taken_off_and_the_process_added():
    found = cost(turn(4000, 6000), turn(3000))

    assert (found.kernel, found.process, found.whole) == (1000, 6000, 7000)


def test_turns_of_unequal_length_are_compared_per_packet():
    assert cost(Turn(500, 500, 2_000_000, 0), turn(3000)).kernel == 1000


def test_a_turn_in_which_everything_is_slow_changes_no_ratio():
    assert table(slowness=(1, 5, 1)).ratio(KERNEL, FORWARDING) == pytest.approx(1.2)


def test_the_ratio_is_the_median_of_the_turns():
    assert ratio([1, 2, 90], [1, 1, 1]) == 2


def test_each_relay_has_its_line_with_what_it_is_compared_with():
    lines = flood_lines(table())

    assert "1.00 µs" in line_of(lines, FORWARDING)
    assert f"1.20 × {FORWARDING} (aim 1.3 ×)" in line_of(lines, KERNEL)
    assert f"0.88 × {RTPENGINE} (aim 0.9 ×), 1.17 × {BARE} (aim 1.15 ×)" in line_of(lines, USERLAND)
    assert "(6.00 in the process)" in line_of(lines, USERLAND)
    assert "process" not in line_of(lines, KERNEL)
    assert len(lines) == len(NAMES) - 1


def test_what_could_not_be_measured_says_why_and_the_others_go_on():
    lines = flood_lines(
        table([DROPPED, FORWARDING, USERLAND], missing={KERNEL: "no BPF", RTPENGINE: "not here", BARE: "no"})
    )

    assert line_of(lines, KERNEL).endswith("not measured: no BPF")
    assert line_of(lines, RTPENGINE).endswith("not measured: not here")
    assert "×" not in line_of(lines, USERLAND)


def test_a_run_without_a_finished_turn_says_so():
    assert "no turn was finished" in line_of(flood_lines(table(slowness=())), FORWARDING)


def test_packets_that_did_not_arrive_are_named():
    whole = table()
    whole.turns[1][NAMES.index(USERLAND)] = turn(4000, 6000, lost=3)

    assert f"{USERLAND}: 3 of 3000 packets did not arrive" in flood_lines(whole)


def test_what_is_dropped_on_purpose_is_not_missing():
    whole = table()
    whole.turns[0][0] = turn(3000, lost=1000)

    assert not any("did not arrive" in line for line in flood_lines(whole))


def test_kernel_figures_of_packets_that_went_elsewhere_are_questioned():
    assert any(line.startswith("only 97.5% of the kernel") for line in flood_lines(table(in_kernel=0.975)))


def test_a_kernel_that_hides_what_interrupts_cost_is_recognised():
    whole = table([DROPPED, FORWARDING])
    for each in whole.turns:
        each[1] = turn(3010)

    assert any("interrupts" in line for line in flood_lines(whole))
    assert not any("interrupts" in line for line in flood_lines(table()))


def test_latency_is_read_off_the_buckets():
    heard = Heard(100, 0, [(10, 50), (20, 49), (5000, 1)])

    assert heard.latency(0.5) == pytest.approx(1.05)
    assert heard.latency(0.99) == pytest.approx(2.05)
    assert heard.latency(1.0) == pytest.approx(500.05)
    assert Heard(0, 0, []).latency(0.99) == 0.0


def test_a_talk_says_what_was_lost_and_how_much_later_it_came():
    forwarding = Talk(FORWARDING, 1000, 50_000, Heard(1000, 0, [(30, 1000)]))
    kernel = Talk(KERNEL, 1000, 49_990.4, Heard(998, 1, [(35, 998)]), userland=[4, 5, 9], process=20_000)

    lines = "\n".join(talk_lines(kernel, forwarding))

    assert "49990 packets/s" in lines
    assert "1000 packets, 2 lost, 1 late or doubled; 0.02 µs CPU each in the process" in lines
    assert "+0.5 µs beside forwarding" in lines
    assert "5 packets of it, at most 9" in lines
    assert "beside" not in "\n".join(talk_lines(forwarding, forwarding))
    assert talk_lines(Missing(KERNEL, "no BPF"), None)[0].endswith("not measured: no BPF")


def test_a_packet_that_waits_longer_than_is_counted_makes_no_difference_up():
    forwarding = Talk(FORWARDING, 1000, 50_000, Heard(1000, 0, [(30, 1000)]))
    slow = Talk(USERLAND, 1000, 50_000, Heard(1000, 0, [(1_000_000, 1000)]))

    line = talk_lines(slow, forwarding)[0]

    assert line.endswith("or more")
    assert "beside" not in line


BENCODABLE = st.recursive(
    st.binary() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.binary(), inner), max_leaves=20
)


@given(BENCODABLE)
def test_what_is_bencoded_reads_back(value):
    assert bdecode(bencode(value)) == value


@given(st.binary() | st.text("deil:0123456789-").map(str.encode))
def test_what_is_not_bencoded_is_a_value_error(data):
    with contextlib.suppress(ValueError):
        bdecode(data)


def test_a_dictionary_is_bencoded_in_order():
    assert bencode({b"b": 1, b"a": [b"x", {}]}) == b"d1:al1:xdee1:bi1ee"


@pytest.mark.parametrize("line", ["bench sound", "bench media --calls 0", "bench media --seconds 601"])
def test_wrong_usage_is_refused(line, capsys):
    assert run_command(line.split()) == 2
    assert capsys.readouterr().err
