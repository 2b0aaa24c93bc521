"""Which running SBC a command asks, with what token, and whether its answer is shown as JSON: four options, one value.

Every asking command takes one: `def calls(*, sbc: RunningSbc = LOCAL)`. Light to import, since `sbc --help` does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Parameter


@dataclass(frozen=True)  # as cyclopts reads options from a dataclass
class Running:
    admin: Annotated[
        str | None,
        Parameter(name="--admin", help="The running SBC: HOST:PORT, [v6]:PORT or unix:PATH. Default: $SBC_ADMIN, else "
                  "what --policy says, else 127.0.0.1:8088."),
    ] = None  # fmt: skip
    policy: Annotated[
        list[Path] | None, Parameter(name="--policy", help="Take address and token from this policy; may be repeated.")
    ] = None
    token_file: Annotated[
        Path | None,
        Parameter(name="--token-file", help="The API's token is the first line of this file. Default: "
                  "$SBC_ADMIN_TOKEN, else what --policy says."),
    ] = None  # fmt: skip
    json: Annotated[bool, Parameter(name="--json", show_default=False, help="The API's answer instead of a table.")] = (
        False
    )

    def ask(
        self,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        key: str,
        method: str = "GET",
        body: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The decoded JSON of a successful answer, an object that has `key`; else OperatorError."""
        from sbc.cli.client import ask, find_admin, find_token

        address, token = find_admin(self.admin, self.policy), find_token(self.token_file, self.policy)
        return ask(address, path, query, key=key, method=method, body=body, token=token)

    def fetch(self, path: str, content_type: str) -> bytes:
        """The octets of a successful answer of this type; else OperatorError."""
        from sbc.cli.client import fetch, find_admin, find_token

        address, token = find_admin(self.admin, self.policy), find_token(self.token_file, self.policy)
        return fetch(address, path, content_type, token=token)


RunningSbc = Annotated[Running, Parameter(name="*")]
LOCAL: Final = Running()
