"""Server-sent events (HTML, section 9.2.6): what one reader must be told of the picture that all readers share.

A picture is taken once a second for all; a reader that comes late, or misses some, is told the difference to what it
was told last. Nothing is queued for anybody. Pure; `runtime.http_events` takes pictures and sends.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from sbc.admin.alarm_views import alarm_objects
from sbc.admin.bans import ban_objects
from sbc.admin.peer_views import limit_object, path_object, paths_of, pbx_objects, trunk_objects
from sbc.admin.state import AdminState
from sbc.admin.views import call_object, status_object
from sbc.core import limits

CONTENT_TYPE: Final = "text/event-stream"
KEEP_ALIVE: Final = b": still here\n\n"


class Picture(Struct, frozen=True):
    """JSON texts. `state`: by the member's name, what is compared and what is sent. `calls`: the newest, by ref."""

    state: Mapping[str, tuple[bytes, bytes]]
    calls: Mapping[str, bytes]
    total: int


def take_picture(state: AdminState) -> Picture:
    engine = state.glance(limits.STREAMED_CALLS)
    status = status_object(engine, state.runtime())
    paths = [path_object(path, engine, state.now()) for path in paths_of(engine)]
    members: dict[str, Any] = {
        "trunks": trunk_objects(engine),
        "pbxs": pbx_objects(engine),
        # Who holds them is a question for GET paths: of 10,000 calls it would be most of the picture.
        "paths": [{key: value for key, value in path.items() if key != "holders"} for path in paths],
        "limits": [limit_object(limit) for limit in engine.limits],
        "alarms": alarm_objects(state),
        "bans": {"bans": ban_objects(engine, limits.STREAMED_BANS), "total": len(engine.bans)},
    }
    texts = {name: msgspec.json.encode(value) for name, value in members.items()}
    still = {key: value for key, value in status.items() if key != "uptime_seconds"}
    return Picture(
        {"status": (msgspec.json.encode(still), msgspec.json.encode(status))}
        | {name: (text, text) for name, text in texts.items()},
        {call.ref: msgspec.json.encode(call_object(call)) for call in engine.calls},
        engine.running,
    )


class Told:
    """What one reader was told."""

    def __init__(self) -> None:
        self._picture: Picture | None = None

    def news(self, picture: Picture) -> bytes:
        """The events that bring this reader up to date; nothing where it is."""
        last, self._picture = self._picture, picture
        return _state_event(last, picture) + _calls_event(last, picture)


def _state_event(last: Picture | None, picture: Picture) -> bytes:
    """Members that have changed; in the first all."""
    known = {} if last is None else last.state
    changed = [
        b'"%b":%b' % (name.encode(), text)
        for name, (compared, text) in picture.state.items()
        if name not in known or known[name][0] != compared
    ]
    return _event(b"state", b"{%b}" % b",".join(changed)) if changed else b""


def _calls_event(last: Picture | None, picture: Picture) -> bytes:
    known = {} if last is None else last.calls
    changed = [text for ref, text in picture.calls.items() if known.get(ref) != text]
    gone = [ref for ref in known if ref not in picture.calls]
    if last is not None and not changed and not gone and last.total == picture.total:
        return b""
    return _event(
        b"calls",
        b'{"reset":%b,"calls":[%b],"gone":%b,"total":%d,"shown":%d}'
        % (
            b"true" if last is None else b"false",
            b",".join(changed),
            msgspec.json.encode(gone),
            picture.total,
            len(picture.calls),
        ),
    )


def _event(name: bytes, data: bytes) -> bytes:
    """JSON has no line breaks in it, so one data line is enough."""
    return b"event: %b\ndata: %b\n\n" % (name, data)
