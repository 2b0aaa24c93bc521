"""SIGTERM and SIGINT: the first drains, the second ends now. SIGHUP: a reload, when there is one.

Used by `app`, which says what draining and ending mean.
"""

import signal
from collections.abc import Callable

import structlog
import trio

log = structlog.get_logger("signals")


async def watch_signals(
    drain: Callable[[], None],
    end_now: Callable[[], None],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    draining = False
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as received:
        task_status.started()
        async for number in received:
            name = signal.Signals(number).name
            if number == signal.SIGHUP:
                log.warning("reload.not_built", text="reload is not built yet; restart to take a changed policy")
            elif draining:
                log.warning("stop.now", signal=name)
                end_now()
            else:
                draining = True
                log.info("stop.drain", signal=name)
                drain()
