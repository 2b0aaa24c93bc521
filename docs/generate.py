"""Writes the pages of docs/reference that follow from the code. `--check` fails where one is stale.

Deviations and causes are made here; the policy reference and the state diagrams beside what they describe, the metrics,
the RFCs and the limits in `metrics.py`, `rfcs.py` and `bounds.py`.
"""

import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import bounds
import metrics
import rfcs

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"


def deviations() -> str:
    """Every `# Deviation:` comment, with its place."""
    rows = []
    for path in sorted((ROOT / "sbc").rglob("*.py")):
        lines = path.read_text("utf-8").splitlines()
        for at, line in enumerate(lines):
            marker = re.search(r"(?:#\s*)?Deviation: (.*)", line)
            if marker is None:
                continue
            text = [marker[1]]
            for following in lines[at + 1 :]:
                stripped = following.strip()
                if not stripped or stripped.startswith(('"""', "def ", "class ", "@")):
                    break
                if "#" in line and not stripped.startswith("#"):
                    break
                text.append(stripped.lstrip("# "))
            rows.append(f"| `{path.relative_to(ROOT)}` | {' '.join(text).rstrip()} |")
    return "\n".join([
        "# Deviations",
        "",
        "Where this program knowingly leaves an RFC, and why. From the comments in the code, by `docs/generate.py`.",
        "",
        "| where | what and why |",
        "|---|---|",
        *rows,
        "",
    ])  # fmt: skip


def causes() -> str:
    """The CDR's `cause` column."""
    from sbc.core.cause import Cause

    rows = [f"| `{cause}` | {cause.status} | {cause.q850} |" for cause in Cause]
    return "\n".join([
        "# Causes",
        "",
        "The values of `cause` in a call record, the SIP status that an unanswered caller gets, and the Q.850 cause",
        "when nothing more exact is known: what a peer itself says, crosses. Made by `docs/generate.py`.",
        "",
        "| cause | SIP status | Q.850 |",
        "|---|---|---|",
        *rows,
        "",
    ])  # fmt: skip


def pages() -> dict[str, Callable[[], str]]:
    found: dict[str, Callable[[], str]] = {
        "deviations.md": deviations,
        "causes.md": causes,
        "metrics.md": metrics.page,
        "rfcs.md": rfcs.page,
        "limits.md": bounds.page,
    }
    from sbc.policy.reference import render

    found["policy.md"] = render
    if importlib.util.find_spec("sbc.sip.transaction.diagram") is not None:
        from sbc.sip.transaction import diagram

        found["state-diagrams.md"] = diagram.page
    return found


def main() -> int:
    stale = []
    for name, make in pages().items():
        page, text = REFERENCE / name, make()
        if page.exists() and page.read_text("utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in sys.argv:
            page.write_text(text, "utf-8")
    if stale:
        print(("stale: " if "--check" in sys.argv else "written: ") + ", ".join(stale))
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
