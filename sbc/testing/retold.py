"""A recorded call told to a world again: its peers say what they said, when they said it. `sbc replay --as-test` writes
such stories.

What a peer repeats of what the SBC has sent (tags, Call-IDs, Via, Contact) is another text in each run; in a story it
stands as `{N.tag}`, meaning that of the Nth message which the SBC sent in this call, counted without those that came
again. Requests beside the call (OPTIONS, REGISTER) are answered by 200, since no story is about them.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from sbc.b2bua.events import Event
from sbc.core.address import Address, Flow, Transport
from sbc.sip.commands import CloseFlow, SendMessage
from sbc.testing.net import Host
from sbc.testing.world import World

_PLACEHOLDER: Final = re.compile(r"\{([0-9]{1,4})\.([A-Za-z-]{1,20})\}")
_BESIDE: Final = (b"OPTIONS ", b"REGISTER ")
_COPIED: Final = ("Via", "From", "To", "Call-ID", "CSeq", "Contact")
_TAG: Final = re.compile(r";tag=([^;>\s]+)")
_URI: Final = re.compile(r"<([^>]*)>")


class Retold:
    """`receives`, `happens` and `ends` in the order of their times, which count from the call's first message."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._zero = world.now
        self._sent: list[dict[str, str]] = []
        self._seen: set[bytes] = set()
        self._passes_on = world.net.perform
        world.net.perform = self._perform  # type: ignore[method-assign]

    def receives(self, at: float, way: str, message: str) -> None:
        """`way`: as `udp inside 10.0.0.1:5060 from 10.0.0.5:5060`, for streams with the connection's number behind."""
        self._until(at)
        text = _PLACEHOLDER.sub(self._said, message)
        data = (text if "\r\n" in text else text.replace("\n", "\r\n")).encode("utf-8", "surrogateescape")
        self._inject(data, flow_of(way))

    def happens(self, at: float, event: Event) -> None:
        self._until(at)
        self._world.tell(event)

    def ends(self, at: float) -> None:
        """Time goes on until then."""
        self._until(at)

    def _until(self, at: float) -> None:
        self._world.net.run_until(max(self._zero + at, self._world.now))

    def _inject(self, data: bytes, flow: Flow) -> None:
        world = self._world
        world.net.perform(world.host, world.host.receive(data, flow, world.now))

    def _perform(self, host: Host, commands: Sequence[SendMessage | CloseFlow]) -> None:
        if host is not self._world.host:
            self._passes_on(host, commands)
            return
        for command in commands:
            if isinstance(command, CloseFlow):
                continue
            if command.data.startswith(_BESIDE):
                self._inject(_well(command.data), command.flow)
            elif command.data not in self._seen:
                self._seen.add(command.data)
                self._sent.append(parts_of(command.data))

    def _said(self, found: "re.Match[str]") -> str:
        n, part = int(found[1]), found[2]
        if not 0 < n <= len(self._sent):
            raise AssertionError(f"the SBC has sent {len(self._sent)} messages, and the story wants its {n}th")
        if part not in self._sent[n - 1]:
            raise AssertionError(f"the {n}th message that the SBC sent has no {part}")
        return self._sent[n - 1][part]


def flow_of(way: str) -> Flow:
    """`transport interface local from remote [connection]`."""
    transport, interface, local, _, remote, *rest = way.split()
    return Flow(Transport(transport), interface, _address(local), _address(remote), int(rest[0]) if rest else 0)


def way_of(flow: Flow) -> str:
    number = f" {flow.connection}" if flow.connection else ""
    return f"{flow.transport} {flow.interface} {flow.local} from {flow.remote}{number}"


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return Address(host.strip("[]"), int(port))


def header_lines(data: bytes) -> list[str]:
    """Of a message that the SBC has sent, which folds no line."""
    return data.partition(b"\r\n\r\n")[0].decode("utf-8", "surrogateescape").split("\r\n")


def parts_of(data: bytes) -> dict[str, str]:
    """What a peer may repeat of a message of ours: whole fields, and what identifies the dialog in them.

    `tag`: ours, from From of a request and To of a response. `contact`: the URI in our Contact.
    """
    first, *lines = header_lines(data)
    fields: dict[str, list[str]] = {}
    for line in lines:
        fields.setdefault(line.partition(":")[0], []).append(line)
    parts = {name: "\n".join(found) for name, found in fields.items() if name in _COPIED}
    own = "To" if first.startswith("SIP/2.0") else "From"
    tag = _TAG.search(_value(fields, own))
    if tag is not None:
        parts["tag"] = tag[1]
    contact = _URI.search(_value(fields, "Contact"))
    if contact is not None:
        parts["contact"] = contact[1]
    for name in ("Call-ID", "RSeq", "CSeq"):
        if name in fields:
            parts[{"Call-ID": "call-id", "RSeq": "rseq", "CSeq": "cseq"}[name]] = _value(fields, name).split(" ")[0]
    return parts


def _value(fields: dict[str, list[str]], name: str) -> str:
    return fields.get(name, [""])[0].partition(":")[2].strip()


def _well(request: bytes) -> bytes:
    lines = [line for line in header_lines(request) if line.partition(":")[0] in _COPIED]
    return "\r\n".join(["SIP/2.0 200 OK", *_with_tag(lines), "Expires: 3600", "Content-Length: 0", "", ""]).encode()


def _with_tag(lines: Iterable[str]) -> list[str]:
    return [f"{line};tag=well" if line.startswith("To:") and ";tag=" not in line else line for line in lines]
