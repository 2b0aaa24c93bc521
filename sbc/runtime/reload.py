"""A reload: the same policy files read again, and put in force whole or not at all. Calls are not touched by it.

What is needed for the new policy is opened before anything is changed. What a running program has taken for good is
named, and needs a restart. Reading happens in a thread. Ordered by SIGHUP and by `POST /api/v1/reload`; used by `app`.
"""

import contextlib
import gc
import sys
from collections.abc import Callable, Iterator
from typing import Final, Protocol

import structlog
import trio

from sbc.core.errors import OperatorError
from sbc.policy.changes import Changes, changes_between
from sbc.policy.engine import Policy
from sbc.policy.load import PolicyError
from sbc.policy.model import FIXED

_SWITCH_SECONDS: Final = 0.0005  # the interpreter's own is 5 ms

log = structlog.get_logger("reload")


class Prepared(Protocol):
    """A policy for which everything is open. One of the two, at once."""

    def put_in_force(self) -> None: ...
    def drop(self) -> None: ...


class Reloader:
    """`load` reads the files, and may block; `prepare` opens what a policy needs, or raises OperatorError with a line
    for each problem, and then nothing stays open.
    """

    def __init__(self, policy: Policy, load: Callable[[], Policy], prepare: Callable[[Policy], Prepared]) -> None:
        self._policy = policy
        self._load = load
        self._prepare = prepare
        self._one_at_a_time = trio.Lock()

    async def reload(self) -> list[str] | Changes:
        """All problems, and then nothing has changed; or what has changed."""
        async with self._one_at_a_time:
            try:
                return await self._reload()
            except Exception as error:
                log.exception("reload.failed")
                return self._refused([_bug(error)])

    async def _reload(self) -> list[str] | Changes:
        try:
            with _considerately():
                policy, changes = await trio.to_thread.run_sync(self._read)
        except PolicyError as error:
            return self._refused([str(problem) for problem in error.problems])
        problems = list(needs_restart(self._policy, policy))
        try:
            prepared = self._prepare(policy)
        except OperatorError as error:
            return self._refused([*problems, *str(error).splitlines()])
        if problems:
            prepared.drop()
            return self._refused(problems)
        return self._taken(policy, changes, prepared)

    async def again(self) -> list[str]:
        """The policy in force once more, because what is laid over it has changed. All problems, and then nothing has;
        none: it is done.
        """
        async with self._one_at_a_time:
            try:
                self._prepare(self._policy).put_in_force()
            except OperatorError as error:
                return str(error).splitlines()
            except Exception as error:
                log.exception("reload.failed")
                return [_bug(error)]
            return []

    def _read(self) -> tuple[Policy, Changes]:
        policy = self._load()
        return policy, changes_between(self._policy, policy)

    def _taken(self, policy: Policy, changes: Changes, prepared: Prepared) -> Changes:
        self._policy = policy
        for warning in policy.warnings:
            log.warning("policy.warning", text=str(warning))
        prepared.put_in_force()
        log.info("reload.done", peers=len(policy.peers), routes=len(policy.routes), changes=changes.text)
        return changes

    def _refused(self, problems: list[str]) -> list[str]:
        """Nobody may be looking: a signal is answered by nothing but the log and an alarm, one for all of them."""
        for n, problem in enumerate(problems):
            log.error("reload.refused", **({"alarm": True, "problems": len(problems)} if n == 0 else {}), text=problem)
        return problems


def _bug(error: Exception) -> str:
    """Whoever has ordered it, a signal too: no bug in it ends calls."""
    return f"the reload was broken off: {error!r}; this is a bug of the SBC, its log says more"


@contextlib.contextmanager
def _considerately() -> Iterator[None]:
    """A thread reads thousands of lines, and the engine has the same interpreter: it gets its turn ten times as often,
    and the collector does not look at everything while as much again is being made.
    """
    interval, collects = sys.getswitchinterval(), gc.isenabled()
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.disable()
    try:
        yield
    finally:
        sys.setswitchinterval(interval)
        if collects:
            gc.enable()


def needs_restart(old: Policy, new: Policy) -> Iterator[str]:
    """What differs and cannot be changed while the program runs, a line each, with its place where it is written."""
    before, after = _fixed(old), _fixed(new)
    for key in FIXED:
        if before[key] != after[key]:
            at = new.settings.places.get(key)
            place = "" if at is None else f"{at}: "
            yield f"{place}{key}: `{after[key]}` instead of `{before[key]}` needs a restart"


def _fixed(policy: Policy) -> dict[str, str | int]:
    media = policy.media
    ports = f"{media.first_port}-{media.last_port}"
    return dict(zip(FIXED, (policy.name, policy.data_dir, policy.admin, ports, media.workers), strict=True))
