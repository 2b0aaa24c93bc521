"""Asks a running SBC over its admin API: TCP or Unix socket, found by `--admin`, $SBC_ADMIN or the policy.

Every way to fail is an OperatorError of one line. It prints nothing.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx2

from sbc.admin.address import DEFAULT, UnixAddress, parse_admin_address
from sbc.core.errors import OperatorError

ANSWER_SECONDS: Final = 10.0


class RefusedError(OperatorError):
    """The SBC refused a policy: all that is wrong with it, each with its place, and in the end what that means."""

    def __init__(self, problems: Sequence[str], detail: str) -> None:
        super().__init__("\n".join((*problems, f"sbc: {detail}")))
        self.problems = problems


def find_admin(admin: str | None, policy: Sequence[Path] | None) -> str:
    """The address in the order that the contract names."""
    found = admin or os.environ.get("SBC_ADMIN")
    if found is None and policy:
        from sbc.policy.load import load_policy

        found = load_policy(policy, environment=os.environ).admin
    found = found or DEFAULT
    if found == "off":
        raise OperatorError("this policy says admin: off, so the running SBC cannot be asked")
    return found


def find_token(token_file: Path | None, policy: Sequence[Path] | None) -> str | None:
    """What to show at the door: of the file, else $SBC_ADMIN_TOKEN, else the policy's. None: nothing was found.

    A policy of which this user may not read the secret has none for him.
    """
    if token_file is not None:
        return _fit(_first_line(token_file), str(token_file))
    given = os.environ.get("SBC_ADMIN_TOKEN")
    if given:
        return _fit(given, "$SBC_ADMIN_TOKEN")
    if not policy:
        return None
    from sbc.policy.load import load_policy

    secret = load_policy(policy, environment=os.environ).admin_token
    return None if secret is None else secret.text


def ask(
    address: str,
    path: str,
    query: Mapping[str, str] | None = None,
    *,
    key: str,
    method: str = "GET",
    body: Mapping[str, Any] | None = None,
    token: str | None = None,
) -> dict[str, Any]:
    """The decoded JSON of a successful answer, which is an object that has `key`. `token`: of `find_token`."""
    response, asked = _asked(address, path, query, method, body, token)
    return _decoded(response, asked, key)


def fetch(address: str, path: str, content_type: str, *, token: str | None = None) -> bytes:
    """The octets of a successful answer that is of this type."""
    response, asked = _asked(address, path, None, "GET", None, token)
    if response.is_success and response.headers.get("content-type") == content_type:
        return response.content
    raise _refused(response, _body(response), asked)


def _asked(
    address: str,
    path: str,
    query: Mapping[str, str] | None,
    method: str,
    json: Mapping[str, Any] | None,
    token: str | None,
) -> tuple[httpx2.Response, str]:
    """What came, and whom that was asked, for people."""
    parsed = parse_admin_address(address)
    uds = _existing(parsed) if isinstance(parsed, UnixAddress) else None
    base = "http://localhost" if uds else f"http://{parsed}"
    # No proxy of the environment may stand between an operator and the own machine.
    transport = httpx2.HTTPTransport(uds=uds, trust_env=False)
    try:
        with httpx2.Client(base_url=base, transport=transport, timeout=ANSWER_SECONDS, trust_env=False) as client:
            headers = {} if token is None else {b"Authorization": b"Bearer " + token.encode()}
            response = client.request(method, path, params=query, json=json, headers=headers)
    except httpx2.TimeoutException as error:
        raise OperatorError(f"{parsed}: no answer within {ANSWER_SECONDS:.0f} s") from error
    except (httpx2.TransportError, httpx2.InvalidURL) as error:
        raise OperatorError(f"{parsed}: {_why_unreachable(error)}") from error
    return response, str(parsed)


def path_of(*parts: str) -> str:
    """Below `/api/v1/`; a part stays one part, whatever is in it."""
    return "/api/v1/" + "/".join(quote(part, safe="") for part in parts)


def _first_line(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise OperatorError(f"{path}: the token cannot be read: {reason}") from None
    return lines[0].strip() if lines else ""


def _fit(token: str, where: str) -> str:
    """What cannot stand in a header field is refused here, where nobody prints it."""
    if not token or not token.isprintable() or " " in token:
        raise OperatorError(f"{where}: there is no token in it; expected one line without spaces")
    return token


def _existing(address: UnixAddress) -> str:
    try:
        Path(address.path).stat()
    except OSError as error:
        raise OperatorError(f"{address}: {_why_unreachable(error)}") from error
    return address.path


def _decoded(response: httpx2.Response, address: str, key: str) -> dict[str, Any]:
    body = _body(response)
    if body is not None and response.is_success and key in body:
        return body
    raise _refused(response, body, address)


def _body(response: httpx2.Response) -> dict[str, Any] | None:
    try:
        body = response.json()
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _refused(response: httpx2.Response, body: dict[str, Any] | None, address: str) -> OperatorError:
    if response.status_code == 401:
        if "authorization" in response.request.headers:
            return OperatorError(f"{address}: this is not the token of the policy in force (sbc.admin_token)")
        return OperatorError(f"{address}: the SBC wants a token: --token-file FILE, $SBC_ADMIN_TOKEN or --policy")
    if body is not None and not response.is_success and body.get("problems"):
        return RefusedError([str(line) for line in body["problems"]], str(body.get("detail")))
    if body is not None and not response.is_success and "detail" in body:
        return OperatorError(str(body["detail"]))
    return OperatorError(f"{address}: what answers there (status {response.status_code}) is no sbc")


def _why_unreachable(error: BaseException) -> str:
    cause: BaseException | None = error
    while cause is not None:
        match cause:
            case ConnectionRefusedError():
                return "nobody listens there; is sbc running? (--admin names another address)"
            case FileNotFoundError():
                return "there is no such socket; is sbc running? (--admin names another address)"
            case PermissionError():
                return "this user may not connect to it; ask as root, or as a member of the socket's group"
            case _:
                cause = cause.__cause__ or cause.__context__
    return f"{str(error) or type(error).__name__}; is sbc running there?"
