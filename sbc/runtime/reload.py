"""A reload: the same policy files read again, and put in force whole or not at all. Calls are not touched by it.

What is bound to sockets, files and processes that are open cannot change while they are: it is named, and needs a
restart. Reading happens in a thread. Ordered by SIGHUP and by `POST /api/v1/reload`; used by `app`.
"""

from collections.abc import Callable, Iterator
from typing import Final

import structlog
import trio
from msgspec.structs import replace

from sbc.policy.engine import Policy
from sbc.policy.load import PolicyError
from sbc.policy.model import MediaSettings

# Settings of the section `sbc` that a running program has taken for good.
_FIXED: Final = ("name", "data_dir", "admin")

log = structlog.get_logger("reload")


class Reloader:
    """`load` reads the files, and may block; `put_in_force` is told of a policy that may be used from now on."""

    def __init__(self, policy: Policy, load: Callable[[], Policy], put_in_force: Callable[[Policy], None]) -> None:
        self._policy = policy
        self._load = load
        self._put_in_force = put_in_force
        self._one_at_a_time = trio.Lock()

    async def reload(self) -> list[str]:
        """All problems, and then nothing has changed; none: it is done."""
        async with self._one_at_a_time:
            try:
                policy = await trio.to_thread.run_sync(self._load)
                problems = list(needs_restart(self._policy, policy))
            except PolicyError as error:
                problems = [str(problem) for problem in error.problems]
            except Exception as error:
                log.exception("reload.failed")
                problems = [f"the policy could not be read: {error!r}; this is a bug of the SBC, its log says more"]
            for problem in problems:
                log.error("reload.refused", text=problem)
            if not problems:
                self._policy = policy
                for warning in policy.warnings:
                    log.warning("policy.warning", text=str(warning))
                self._put_in_force(policy)
                log.info("reload.done", peers=len(policy.peers), routes=len(policy.routes))
            return problems


def needs_restart(old: Policy, new: Policy) -> Iterator[str]:
    """What differs and cannot be changed while the program runs, a line each."""
    for key in _FIXED:
        before, after = getattr(old, key), getattr(new, key)
        if before != after:
            yield f"sbc.{key}: `{after}` instead of `{before}` needs a restart"
    for name in sorted(old.interfaces.keys() - new.interfaces.keys()):
        yield f"interfaces.{name}: taking it away needs a restart"
    for name, interface in new.interfaces.items():
        known = old.interfaces.get(name)
        if known is None:
            yield f"{interface.where or f'interfaces.{name}'}: the new interface {name} needs a restart"
        elif replace(known, where=None) != replace(interface, where=None):
            yield f"{interface.where or f'interfaces.{name}'}: the change of interface {name} needs a restart"
    before, after = old.media, new.media
    if (before.first_port, before.last_port) != (after.first_port, after.last_port):
        yield f"media.ports: {_ports(after)} instead of {_ports(before)} needs a restart"
    if before.workers != after.workers:
        yield f"media.workers: {after.workers} instead of {before.workers} needs a restart"


def _ports(media: MediaSettings) -> str:
    return f"{media.first_port}-{media.last_port}"
