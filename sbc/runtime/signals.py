"""SIGTERM and SIGINT: the first drains, the second ends now. SIGHUP reloads the policy, but not while draining.
SIGUSR2, the supervisor's: leave the calls to the next life.

Used by `app`, which says what draining, ending and reloading mean.
"""

import signal
from collections.abc import Awaitable, Callable

import structlog
import trio

log = structlog.get_logger("signals")


async def watch_signals(
    drain: Callable[[], None],
    end_now: Callable[[], None],
    reload: Callable[[], Awaitable[object]],
    leave: Callable[[], None],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    draining = False
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2) as received:
        async with trio.open_nursery() as nursery:
            task_status.started()
            async for number in received:
                name = signal.Signals(number).name
                if number == signal.SIGHUP:
                    if not draining:
                        nursery.start_soon(reload)  # a stop must not wait for it
                elif number == signal.SIGUSR2:
                    log.info("stop.leave")
                    leave()
                elif draining:
                    log.warning("stop.now", signal=name)
                    end_now()
                else:
                    draining = True
                    log.info("stop.drain", signal=name)
                    drain()
