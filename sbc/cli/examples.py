"""Where the example policies are: beside the code in a wheel, in the checkout for an editable install."""

from pathlib import Path

import sbc
from sbc.core.errors import OperatorError


def example_policy(name: str) -> Path:
    """The folder of `policies/NAME`."""
    package = Path(sbc.__file__).resolve().parent
    for folder in (package / "_policies" / name, package.parent / "policies" / name):
        if folder.is_dir():
            return folder
    raise OperatorError(f"the example policy {name!r} is missing from this installation of sbc")
