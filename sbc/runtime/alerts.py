"""Posts alarms and emergency calls to the operator's webhook (`sbc.alerts.webhook`), one JSON object each.

`{"event": …, "at": …, "node": …}` and the fields of the log line. `Alert` commands of the engine go out as they are:
the person who is woken by an emergency call needs its caller. Every other alarm is a log line with `alarm`, and shows
telephone numbers as the log does.

What is an alarm, what is new and what is over is known by the alarm board (`admin.alarms`), which is fed here, from any
thread. An alarm that is said again is posted every five minutes at most, and says `repeated` then; what clears it
(`peer.up` for `peer.down`) is posted as well. What cannot be posted is tried again after 1, 2, 4 … 60 s for an hour.
Nothing ever waits for it. Used by `app`.
"""

import math
import os
import socket
import ssl
import threading
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

import msgspec
import structlog
import trio

from sbc.admin.alarm_kinds import CLEARS
from sbc.admin.alarms import AlarmBoard
from sbc.admin.state import AlarmView
from sbc.core import limits
from sbc.core.commands import Alert
from sbc.policy.engine import Policy
from sbc.runtime import clock
from sbc.runtime.logging import masked, printable

PATIENCE_SECONDS: Final = 3_600.0  # for one post, from when it was said
LONGEST_PAUSE_SECONDS: Final = 60.0
_POST_SECONDS: Final = 10.0  # for the webhook's answer
_HEADERS: Final[Mapping[str, str]] = {"Content-Type": "application/json"}
_FIELD_CHARACTERS: Final = 2_000
_CAUSES: Final = 16  # of a failure, each beneath the other
# Answers that mean: later. Any other 4xx or 3xx means this post, or this URL, and will be the same in an hour.
_LATER: Final = frozenset({408, 425, 429})
_UNSHOWN: Final = frozenset({"alarm", "exception", "exc_info"})
_NOT_POSTED: Final = ("alerts.not_posted", "")
_ABOUT_OURSELVES: Final = "alerts."  # on the board, but not posted: the webhook is what does not work

log = structlog.get_logger("alerts")


class Answer(Protocol):
    @property
    def status_code(self) -> int: ...


class Client(Protocol):
    """As much of `httpx2.AsyncClient` as is used."""

    async def post(self, url: str, *, content: bytes, headers: Mapping[str, str]) -> Answer: ...
    async def aclose(self) -> None: ...


OpenClient = Callable[[], Awaitable[Client]]


class Alerts:
    """`perform` is for the engine's commands, `notice` for log lines, from any thread. `webhook` None: no posts."""

    def __init__(
        self,
        node: str,
        webhook: str | None,
        drops: Counter[str],
        *,
        is_whole: bool = False,
        wall: Callable[[], float] = time.time,
        now: Callable[[], float] = clock.boot_seconds,
        open_client: OpenClient | None = None,
    ) -> None:
        self._node = node
        self._webhook = webhook
        self._drops = drops
        self._is_whole = is_whole  # telephone numbers
        self._wall = wall
        self._now = now
        self._open_client = open_client or _open_httpx
        self._board = AlarmBoard()
        self._queue: deque[_Post] = deque()
        self._lock = threading.Lock()
        self._token: trio.lowlevel.TrioToken | None = None
        self._wake = trio.Event()
        self._client: Client | None = None
        self._is_posting = False
        self._is_failing = False  # the webhook: its last answer

    # --- what is to be posted -----------------------------------------------------------------------------------------

    def perform(self, command: Alert) -> None:
        """Every one: it is an event of its own, with its own reference."""
        fields = {key: _plain(value) for key, value in command.fields}
        with self._lock:
            self._board.raise_alarm(command.event, fields, self._now(), is_told=self._webhook is not None)
        if self._webhook is not None:
            self._add(command.event, fields)

    def notice(self, event: str, fields: Mapping[str, Any]) -> None:
        """A line of the log. Nothing for the board in most of them, which costs two look-ups."""
        if fields.get("alarm"):
            self._raise(event, fields)
        elif event in CLEARS:
            self._clear(event, fields)

    @property
    def remembered(self) -> int:
        """Alarms on the board, past ones included."""
        return len(self._board)

    def alarms(self) -> tuple[AlarmView, ...]:
        with self._lock:
            return self._board.view(self._now())

    def set_policy(self, policy: Policy) -> None:
        """After a reload: alarms about what is no more are over, and what still waits goes to the new webhook."""
        with self._lock:
            gone = [(one.event, one.subject) for one in self._board.view(self._now()) if _is_gone(one, policy)]
            self._board.forget(gone, self._now())
        self._is_whole = policy.log.numbers == "full"
        self.set_webhook(policy.webhook)

    def set_webhook(self, webhook: str | None) -> None:
        """Who is new is told what is wrong now."""
        before, self._webhook = self._webhook, webhook
        waiting: list[AlarmView] = []
        with self._lock:
            if webhook != before:
                self._is_failing = False
                self._board.forget([_NOT_POSTED], self._now())
            if webhook is None:
                self._queue.clear()
                self._board.nobody_was_told()
            elif before is None:
                waiting = self._board.untold(self._now())
        for alarm in waiting:
            if alarm.event.startswith(_ABOUT_OURSELVES):
                continue
            self._add(alarm.event, dict(alarm.fields))
        self._wake.set()

    def _raise(self, event: str, fields: Mapping[str, Any]) -> None:
        shown = _shown(fields, whole=self._is_whole)
        is_posted = self._webhook is not None and not event.startswith(_ABOUT_OURSELVES)
        with self._lock:
            raised = self._board.raise_alarm(event, shown, self._now(), is_told=is_posted)
        if raised.is_news:
            self._add(event, shown | ({"repeated": raised.repeated} if raised.repeated else {}))

    def _clear(self, event: str, fields: Mapping[str, Any]) -> None:
        """Told to whoever was told of the alarm."""
        with self._lock:
            was_told = self._board.clear(event, fields, self._now())
        if was_told and self._webhook is not None:
            self._add(event, _shown(fields, whole=self._is_whole))

    def _add(self, event: str, fields: Mapping[str, Any]) -> None:
        at = self._wall()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1000):03d}Z"
        head = {"event": event, "at": stamp, "node": self._node}
        post = _Post(event, self._now(), msgspec.json.encode({**head, **fields, **head}))
        with self._lock:
            self._queue.append(post)
            oldest = self._queue.popleft() if len(self._queue) > limits.ALERTS else None
        if oldest is not None:
            self._drop(oldest, "too many wait")
        if self._token is not None:
            try:
                self._token.run_sync_soon(self._wake_up, idempotent=True)
            except trio.RunFinishedError:
                return

    def _wake_up(self) -> None:
        self._wake.set()

    def _drop(self, post: "_Post", reason: str) -> None:
        self._drops["alerts_not_posted"] += 1
        log.warning("alerts.dropped", what=post.event, reason=reason)

    # --- posting ------------------------------------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        return len(self._queue) + self._is_posting

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """One post at a time, in order; until cancelled."""
        self._token = trio.lowlevel.current_trio_token()
        task_status.started()
        try:
            while True:
                post = await self._next()
                self._is_posting = True
                try:
                    await self._post(post)
                finally:
                    self._is_posting = False
        finally:
            if self._client is not None:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + 1.0):
                    await self._client.aclose()

    async def _next(self) -> "_Post":
        while True:
            self._wake = trio.Event()
            with self._lock:
                if self._queue:
                    return self._queue.popleft()
            await self._wake.wait()

    async def _post(self, post: "_Post") -> None:
        """Until it is taken, or nobody needs it any more."""
        failures = 0
        while (webhook := self._webhook) is not None:
            reason, is_final = await self._try(webhook, post)
            if not reason:
                if self._is_failing:
                    self._is_failing = False
                    log.info("alerts.posted_again", what=post.event, failures=failures)
                return
            failures += 1
            if not self._is_failing:
                self._is_failing = True
                log.warning("alerts.not_posted", alarm=True, what=post.event, reason=reason)
            if is_final or self._now() - post.at > PATIENCE_SECONDS:
                self._drop(post, reason)
                return
            self._wake = trio.Event()
            with trio.move_on_after(min(2.0 ** (failures - 1), LONGEST_PAUSE_SECONDS)):
                await self._webhook_changed(webhook)

    async def _try(self, webhook: str, post: "_Post") -> tuple[str, bool]:
        """Why it was not taken (empty: it was), and whether that will never change."""
        reason = f"no answer within {_POST_SECONDS:g} s"
        with trio.move_on_after(_POST_SECONDS):
            try:
                self._client = self._client or await self._open_client()
                answer = await self._client.post(webhook, content=post.body, headers=_HEADERS)
            except Exception as error:  # noqa: BLE001 - whatever a network, a certificate or a library has to say
                return _why(error), False
            status = answer.status_code
            if 200 <= status < 300:
                return "", True
            return f"the webhook said {status}", 300 <= status < 500 and status not in _LATER
        return reason, False

    async def _webhook_changed(self, old: str) -> None:
        while self._webhook == old:
            await self._wake.wait()
            self._wake = trio.Event()


def _why(error: BaseException) -> str:
    """What the system said beneath the library, whose own text may hold the URL, which often is a secret."""
    cause: BaseException | None = error
    for _ in range(_CAUSES):
        match cause:
            case ssl.SSLError():
                return f"TLS: {(getattr(cause, 'reason', None) or 'no reason given').lower().replace('_', ' ')}"
            case socket.gaierror():
                return "its name has no address"
            case OSError(errno=int(number)) if number > 0:
                return os.strerror(number).lower()
            case BaseExceptionGroup():
                cause = cause.exceptions[0]
            case None:
                break
            case _:
                cause = cause.__cause__ or cause.__context__
    return type(error).__name__


class _Post(msgspec.Struct, frozen=True):
    event: str
    at: float  # of the steady clock: one that is set at the boot of a machine makes no alarm an old one
    body: bytes


async def _open_httpx() -> Client:
    """Slow to import, and reads every certificate authority: in a thread, and only where something is to be posted."""
    return await trio.to_thread.run_sync(_make_httpx)


def _make_httpx() -> Client:
    import httpx2  # noqa: PLC0415

    return httpx2.AsyncClient(timeout=_POST_SECONDS)


def _is_gone(alarm: AlarmView, policy: Policy) -> bool:
    """What would have said that it is over is not there any more."""
    kind, _, name = alarm.subject.partition(" ")
    if kind in {"peer", "trunk", "pbx"}:
        peer = policy.peers.get(name)
        return peer is None or (alarm.event.startswith("registration.") and peer.register is None)
    if kind == "local":
        return all(name not in interface.media for interface in policy.interfaces.values())
    return kind == "interface" and name not in policy.interfaces


def _shown(fields: Mapping[str, Any], *, whole: bool) -> dict[str, Any]:
    shown = {
        key: masked(key, value, whole=whole)
        for key, value in fields.items()
        if key not in _UNSHOWN and value is not None
    }
    return {key: _plain(value) for key, value in shown.items()}


def _plain(value: object) -> Any:
    """What JSON has; text that is no UTF-8 or would be too long for a post is made such."""
    if value is None or isinstance(value, bool) or (isinstance(value, int) and abs(value) < 2**63):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return printable(str(value))[:_FIELD_CHARACTERS]
