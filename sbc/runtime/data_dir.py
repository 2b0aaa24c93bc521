"""The folder that holds what must outlive the process: made when absent, private, writable, or a clear refusal.

That no other process uses it is the CDR store's business, which holds the lock. Used by `app`.
"""

import os
from pathlib import Path

from sbc.core.errors import OperatorError


def make_data_dir(path: Path) -> Path:
    """Raises OperatorError. An existing folder keeps the mode that the operator gave it."""
    try:
        # umask could only take away, and what is in it tells who called whom.
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError as error:
        raise OperatorError(f"sbc.data_dir {path}: is not a folder; expected a folder, or nothing yet") from error
    except OSError as error:
        raise OperatorError(
            f"sbc.data_dir {path}: cannot be made: {(error.strerror or str(error)).lower()}; "
            f"make it, owned by the user that runs sbc, or give another one"
        ) from error
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        raise OperatorError(f"sbc.data_dir {path}: the file system is mounted read-only; expected one to write to")
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise OperatorError(
            f"sbc.data_dir {path}: no permission to write; expected a folder that user {os.geteuid()} may write to"
        )
    return path
