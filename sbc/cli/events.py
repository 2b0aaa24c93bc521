"""The running SBC's event stream as the commands read it: what it says once a second, put together again.

`listen` is the connection, `Seen` what has been told on it (docs/reference/api.md, `GET /api/v1/events`). Every way to
fail is an OperatorError of one line.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

import httpx2

from sbc.admin.address import UnixAddress, parse_admin_address
from sbc.cli.client import find_admin, find_token
from sbc.cli.running import Running
from sbc.core.errors import OperatorError

PATH: Final = "/api/v1/events"
_QUIET_SECONDS: Final = 20.0  # there is a line every 15 s at least
_CONNECT_SECONDS: Final = 5.0

Event = tuple[str, dict[str, Any]]


class Seen:
    """What is known by now. `calls`: the newest ones, by ref; `total`: how many there are."""

    def __init__(self) -> None:
        self.state: dict[str, Any] = {}
        self.calls: dict[str, dict[str, Any]] = {}
        self.total = 0
        self._has_calls = False

    @property
    def is_whole(self) -> bool:
        return self._has_calls and "status" in self.state

    def take(self, event: Event) -> None:
        """Of an event that is not known nothing is taken."""
        name, data = event
        if name == "state":
            self.state.update(data)
        elif name == "calls":
            if data["reset"]:
                self.calls.clear()
            for ref in data["gone"]:
                self.calls.pop(ref, None)
            self.calls.update({call["ref"]: call for call in data["calls"]})
            self.total = data["total"]
            self._has_calls = True


def listen(sbc: Running) -> Iterator[Event]:
    """Until the SBC ends the stream; then it raises, as when there is none."""
    address = parse_admin_address(find_admin(sbc.admin, sbc.policy))
    token = find_token(sbc.token_file, sbc.policy)
    # The shorter question first: it knows the words for everything that can be wrong.
    sbc.ask("/api/v1/status", key="name")
    transport = httpx2.HTTPTransport(uds=address.path if isinstance(address, UnixAddress) else None, trust_env=False)
    base = "http://localhost" if isinstance(address, UnixAddress) else f"http://{address}"
    headers = {"Accept": "text/event-stream"} | ({} if token is None else {"Authorization": f"Bearer {token}"})
    timeout = httpx2.Timeout(_CONNECT_SECONDS, read=_QUIET_SECONDS)
    try:
        with (
            httpx2.Client(base_url=base, transport=transport, timeout=timeout, trust_env=False) as client,
            client.stream("GET", PATH, headers=headers) as response,
        ):
            if response.status_code != httpx2.codes.OK:
                raise OperatorError(f"{address}: no event stream (status {response.status_code})")
            yield from events_in(response.iter_lines())
    except (httpx2.TransportError, ValueError) as error:
        raise OperatorError(f"{address}: the event stream broke off: {str(error) or type(error).__name__}") from error
    raise OperatorError(f"{address}: the SBC ended the event stream")


def events_in(lines: Iterable[str]) -> Iterator[Event]:
    """HTML, section 9.2.6, as far as this SBC uses it: one line of data for each event."""
    name = data = ""
    for line in lines:
        field, _, value = line.partition(":")
        if field == "event":
            name = value.strip()
        elif field == "data":
            data = value.strip()
        elif not line and data:
            yield name, json.loads(data)
            name = data = ""
