"""Posts alarms and emergency calls to the operator's webhook (`sbc.alerts.webhook`), one JSON object each.

`{"event": …, "at": …, "node": …}` and the fields of the log line. `Alert` commands of the engine go out as they are:
the person who is woken by an emergency call needs its caller. Every other alarm is a log line with `alarm`, and shows
telephone numbers as the log does.

An alarm of one event and subject (peer, trunk, address …) that comes again within five minutes is not posted but
counted, and the next post says `repeated`; what clears it (`peer.up` for `peer.down`) is posted as well, and then the
alarm is new. What cannot be posted is tried again after 1, 2, 4 … 60 s for an hour. Nothing ever waits for it. Used by
`app`.
"""

import math
import threading
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

import msgspec
import structlog
import trio

from sbc.core import limits
from sbc.core.commands import Alert
from sbc.runtime.logging import masked, printable

QUIET_SECONDS: Final = 300.0
PATIENCE_SECONDS: Final = 3_600.0  # for one post, from when it was said
LONGEST_PAUSE_SECONDS: Final = 60.0
_POST_SECONDS: Final = 10.0  # for the webhook's answer
_FIELD_CHARACTERS: Final = 2_000
# Answers that mean: later. Any other 4xx or 3xx means this post, or this URL, and will be the same in an hour.
_LATER: Final = frozenset({408, 425, 429})
_SUBJECTS: Final = ("peer", "trunk", "pbx", "local", "host", "path", "worker", "where")
# Which line says that an alarm is over. One that is posted once for all subjects (`""`) is cleared for all of them.
CLEARED_BY: Final[Mapping[str, tuple[str, ...]]] = {
    "peer.up": ("peer.down",),
    "registration.registered": ("registration.rejected", "registration.failing"),
    "cdr.stored_again": ("cdr.not_stored",),
    "state.stored_again": ("state.not_stored",),
    "media.worker_started": ("media.worker_not_started", "media.worker_died", "media.worker_killed"),
}

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
    """`perform` is for the engine's commands, `notice` for log lines, from any thread. `webhook` None: nothing."""

    def __init__(
        self,
        node: str,
        webhook: str | None,
        drops: Counter[str],
        *,
        wall: Callable[[], float] = time.time,
        open_client: OpenClient | None = None,
    ) -> None:
        self._node = node
        self._webhook = webhook
        self._drops = drops
        self._wall = wall
        self._open_client = open_client or _open_httpx
        self._queue: deque[_Post] = deque()
        self._posted: dict[tuple[str, str], _Posted] = {}
        self._lock = threading.Lock()
        self._token: trio.lowlevel.TrioToken | None = None
        self._wake = trio.Event()
        self._is_posting = False

    # --- what is to be posted -----------------------------------------------------------------------------------------

    def perform(self, command: Alert) -> None:
        """Every one: it is an event of its own, with its own reference."""
        if self._webhook is not None:
            self._add(command.event, {key: _plain(value) for key, value in command.fields})

    def notice(self, event: str, fields: Mapping[str, Any]) -> None:
        """A line of the log. Nothing for the webhook in most of them, which costs two look-ups."""
        if fields.get("alarm"):
            self._raise(event, fields)
        elif event in CLEARED_BY:
            self._clear(event, fields)

    def set_webhook(self, webhook: str | None) -> None:
        """After a reload: what still waits goes to the new one."""
        self._webhook = webhook
        if webhook is None:
            with self._lock:
                self._queue.clear()
                self._posted.clear()
        self._wake.set()

    def _raise(self, event: str, fields: Mapping[str, Any]) -> None:
        if self._webhook is None:
            return
        subject, now = _subject(fields), self._wall()
        with self._lock:
            last = self._posted.get((event, subject))
            if last is not None and 0 <= now - last.at < QUIET_SECONDS:
                last.repeated += 1
                return
            self._posted.pop((event, subject), None)
            self._posted[event, subject] = _Posted(now)  # the latest last
            if len(self._posted) > limits.ALERT_SUBJECTS:
                del self._posted[next(iter(self._posted))]
        shown = _shown(fields)
        if last is not None and last.repeated:
            shown["repeated"] = last.repeated
        self._add(event, shown)

    def _clear(self, event: str, fields: Mapping[str, Any]) -> None:
        """Told to whoever was told of the alarm."""
        subject = _subject(fields)
        with self._lock:
            found = [self._posted.pop((alarm, subject), None) for alarm in CLEARED_BY[event]]
        if any(found) and self._webhook is not None:
            self._add(event, _shown(fields))

    def _add(self, event: str, fields: Mapping[str, Any]) -> None:
        at = self._wall()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1000):03d}Z"
        head = {"event": event, "at": stamp, "node": self._node}
        post = _Post(event, at, msgspec.json.encode({**head, **fields, **head}))
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
        client: Client | None = None
        try:
            while True:
                post = await self._next()
                client = client or await self._open_client()
                self._is_posting = True
                try:
                    await self._post(client, post)
                finally:
                    self._is_posting = False
        finally:
            if client is not None:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + 1.0):
                    await client.aclose()

    async def _next(self) -> "_Post":
        while True:
            self._wake = trio.Event()
            with self._lock:
                if self._queue:
                    return self._queue.popleft()
            await self._wake.wait()

    async def _post(self, client: Client, post: "_Post") -> None:
        """Until it is taken, or nobody needs it any more."""
        failures = 0
        while (webhook := self._webhook) is not None:
            reason, is_final = await _try(client, webhook, post)
            if not reason:
                if failures:
                    log.info("alerts.posted_again", what=post.event, failures=failures)
                return
            failures += 1
            if is_final or self._wall() - post.at > PATIENCE_SECONDS:
                self._drop(post, reason)
                return
            if failures == 1:
                log.warning("alerts.not_posted", what=post.event, reason=reason)
            self._wake = trio.Event()
            with trio.move_on_after(min(2.0 ** (failures - 1), LONGEST_PAUSE_SECONDS)):
                await self._webhook_changed(webhook)

    async def _webhook_changed(self, old: str) -> None:
        while self._webhook == old:
            await self._wake.wait()
            self._wake = trio.Event()


class _Post(msgspec.Struct, frozen=True):
    event: str
    at: float  # wall
    body: bytes


class _Posted(msgspec.Struct):
    at: float  # wall
    repeated: int = 0


async def _try(client: Client, webhook: str, post: _Post) -> tuple[str, bool]:
    """Why it was not taken (empty: it was), and whether that will never change."""
    reason = f"no answer within {_POST_SECONDS:g} s"
    with trio.move_on_after(_POST_SECONDS):
        try:
            answer = await client.post(webhook, content=post.body, headers={"Content-Type": "application/json"})
        except Exception as error:  # noqa: BLE001 - whatever a network, a certificate or a library has to say
            # Not its text: that may hold the URL, which often is a secret.
            return type(error).__name__, False
        status = answer.status_code
        if 200 <= status < 300:
            return "", True
        return f"the webhook said {status}", 300 <= status < 500 and status not in _LATER
    return reason, False


async def _open_httpx() -> Client:
    """Slow to import, and reads every certificate authority: in a thread, and only where something is to be posted."""
    return await trio.to_thread.run_sync(_make_httpx)


def _make_httpx() -> Client:
    import httpx2  # noqa: PLC0415

    return httpx2.AsyncClient(timeout=_POST_SECONDS)


def _subject(fields: Mapping[str, Any]) -> str:
    """What an alarm is about. A call's reference is none: the next call's alarm is the same alarm."""
    return next((f"{key} {fields[key]}" for key in _SUBJECTS if fields.get(key) not in (None, "")), "")


def _shown(fields: Mapping[str, Any]) -> dict[str, Any]:
    shown = {key: masked(key, value) for key, value in fields.items() if key != "alarm" and value is not None}
    return {key: _plain(value) for key, value in shown.items()}


def _plain(value: object) -> Any:
    """What JSON has; text that is no UTF-8 or would be too long for a post is made such."""
    if value is None or isinstance(value, bool) or (isinstance(value, int) and abs(value) < 2**63):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return printable(str(value))[:_FIELD_CHARACTERS]
