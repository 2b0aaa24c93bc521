"""What an SBC that a test has killed leaves in the machine's memory, for a next start that does not come."""

import contextlib
import sqlite3
from pathlib import Path

from sbc.runtime.state_file import IDENTITY, STATE_FILE
from sbc.runtime.supervisor.shared_memory import FOLDER, PREFIX


def forget_memory(folder: Path) -> None:
    """Of every `data_dir` below this folder."""
    asked = "SELECT value FROM about WHERE key = ?"
    for path in folder.rglob(STATE_FILE):
        with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(path)) as file:
            for (identity,) in file.execute(asked, (IDENTITY,)).fetchall():
                Path(FOLDER, f"{PREFIX}{identity.hex()}").unlink(missing_ok=True)
