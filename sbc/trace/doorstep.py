"""What was said at the door before a call began: INVITEs that were challenged, so that its ladder begins with them.

A challenge is answered without keeping any state, and most of what is challenged by strangers never becomes a call. So
only the latest are kept, few of them. Used by the switch, which shows them to the recorder when the call begins.
"""

import re
from typing import Final

from sbc.core import limits
from sbc.core.address import Flow
from sbc.trace.recorder import Recorder

_CALL_ID: Final = re.compile(rb"\n(?:call-id|i)[ \t]*:[ \t]*([^\r\n]+)", re.IGNORECASE)
_MESSAGES_PER_CALL: Final = 8

_Row = tuple[float, bool, bytes, Flow]
_Key = tuple[str, bytes]


class Doorstep:
    __slots__ = ("_known", "_octets")

    def __init__(self) -> None:
        self._known: dict[_Key, list[_Row]] = {}  # by source host and Call-ID
        self._octets = 0

    def __len__(self) -> int:
        return len(self._known)

    def said(self, at: float, sent: bool, data: bytes, flow: Flow, *, begins: bool = True) -> None:  # noqa: FBT001
        """`begins`: keep it even if nothing of its call is known yet."""
        key = _key_of(data, flow)
        rows = None if key is None else self._known.get(key)
        if key is None or (rows is None and not begins) or (rows is not None and len(rows) >= _MESSAGES_PER_CALL):
            return
        self._known.setdefault(key, []).append((at, sent, data, flow))
        self._octets += len(data)
        while len(self._known) > limits.TRACE_AT_THE_DOOR or self._octets > limits.TRACE_OCTETS_AT_THE_DOOR:
            self._forget(next(iter(self._known)))

    def enters(self, ref: str, data: bytes, flow: Flow, recorder: Recorder) -> None:
        """The INVITE `data` has become this call."""
        key = _key_of(data, flow)
        rows = None if key is None else self._known.get(key)
        if key is None or rows is None:
            return
        self._forget(key)
        for at, sent, said, way in rows:
            recorder.message(ref, at, "ingress", sent, said, way)

    def _forget(self, key: _Key) -> None:
        self._octets -= sum(len(row[2]) for row in self._known.pop(key))


def _key_of(data: bytes, flow: Flow) -> _Key | None:
    found = _CALL_ID.search(data)
    return None if found is None else (flow.remote.host, found[1].strip())
