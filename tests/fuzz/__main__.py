"""`python -m tests.fuzz [TARGET …] [--seconds N] [--keep]`: fuzz each target for so long, and print what came of it."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.fuzz import target as targets
from tests.fuzz.run import Campaign, keep


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description="Coverage-guided fuzzing of what we read."
    )
    parser.add_argument(
        "targets", nargs="*", metavar="TARGET", help=f"one of {', '.join(targets.names())}; all if none"
    )
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    parser.add_argument("--keep", action="store_true", help="keep what reached new code in the corpus")
    given = parser.parse_args()
    unknown = set(given.targets) - set(targets.names())
    if unknown:
        parser.error(f"no target {', '.join(sorted(unknown))}")
    print(Campaign.HEADING)
    failed = 0
    for name in given.targets or targets.names():
        with tempfile.TemporaryDirectory(prefix=f"sbc-fuzz-{name}-") as folder:
            campaign = Campaign(name, Path(folder), seconds=given.seconds)
            print(campaign.run(), flush=True)
            if campaign.failed:
                print(campaign.story, flush=True)
            elif given.keep:
                keep(campaign)
            failed += campaign.failed
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
