"""The folder that holds what must outlive the process: made when absent, private, writable, or a clear refusal.

That no other process uses it is the CDR store's business, which holds the lock. Used by `app`.
"""

import os
from hashlib import blake2b
from pathlib import Path

from sbc.core.errors import OperatorError


def make_data_dir(path: Path, *, is_restart: bool = False) -> Path:
    """Raises OperatorError. An existing folder keeps the mode that the operator gave it. `is_restart`: a disk that has
    failed meanwhile must not keep us down.
    """
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
    if is_restart:
        return path
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        raise OperatorError(f"sbc.data_dir {path}: the file system is mounted read-only; expected one to write to")
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise OperatorError(
            f"sbc.data_dir {path}: no permission to write; expected a folder that user {os.geteuid()} may write to"
        )
    return path


def node_label(name: str, data_dir: Path) -> str:
    """A name for this SBC that no other one of the machine has, and that is the same after a restart.

    `name` alone is not enough: two may be called alike, in two network namespaces or for two customers. A data_dir is
    one program's; so is, with that, what it pins in the kernel.
    """
    where = f"{data_dir.resolve()} {os.stat('/proc/self/ns/net').st_ino}"  # noqa: PTH116 - a magic link, not to be read
    return f"{name}-{blake2b(where.encode(errors='surrogateescape'), digest_size=4).hexdigest()}"
