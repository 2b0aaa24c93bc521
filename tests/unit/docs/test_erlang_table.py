"""The table of call paths for minutes in the busy hour is what Erlang's formula says."""

from pathlib import Path

PAGE = Path(__file__).resolve().parents[3] / "docs" / "howto" / "size-call-paths.md"
REFUSED = (0.01, 0.002, 0.001)  # the table's columns


def blocked(paths, erlangs):
    """Erlang B: the share of calls that find all paths taken."""
    share = 1.0
    for n in range(1, paths + 1):
        share = erlangs * share / (n + erlangs * share)
    return share


def test_every_row_is_right():
    rows = [line.strip("|\n ").split("|") for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
    rows = [[float(cell) for cell in row] for row in rows if row[0].strip().isdigit()]
    assert len(rows) >= 10
    for minutes, erlangs, *paths in rows:
        assert erlangs == minutes / 60
        for count, share in zip(paths, REFUSED, strict=True):
            assert blocked(int(count), erlangs) <= share < blocked(int(count) - 1, erlangs), minutes
