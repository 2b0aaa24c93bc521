"""Certificates while the program runs: files that have changed are put in force, and what expires is said in time.

New certificates, keys, authorities and revocation lists come in by a reload of the policy, as if it had been ordered;
but only where the policy itself is as it was read, for a half-edited one must not come in by the way. Files are looked
at once a minute, in a thread; one that is gone ends nothing, but the next start would fail. What peers have shown
counts as well as what is ours. Used by `app`.
"""

import math
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final, Protocol

import structlog
import trio

from sbc.policy.load import Stamp, stamp_of
from sbc.policy.model import Interface, Peer
from sbc.policy.protection import KeyPair
from sbc.runtime.revocation_ends import RevocationEnds, date
from sbc.runtime.tls_contexts import expiry_of

LOOK_SECONDS: Final = 60.0
EARLY_SECONDS: Final = 21 * 86_400.0  # before the end of a certificate: time enough to get another one
_SAID_AGAIN_SECONDS: Final = 86_400.0
_SETTLED_SECONDS: Final = 2.0  # a certificate and its key are seldom written at one moment
_SETTLING: Final = 10  # times that

log = structlog.get_logger("certificates")


class PolicyOfFiles(Protocol):
    @property
    def interfaces(self) -> Mapping[str, Interface]: ...
    @property
    def peers(self) -> Mapping[str, Peer]: ...
    @property
    def files(self) -> Mapping[str, Stamp]: ...
    @property
    def certificate_files(self) -> Mapping[str, Stamp]: ...


class CertificateWatch:
    """`policy`: the one in force, asked each time. `shown`: when certificates of peers end, by profile. `reload`: of
    the policy; it says itself what came of it.
    """

    def __init__(
        self,
        policy: Callable[[], PolicyOfFiles],
        shown: Mapping[str, float],
        reload: Callable[[], Awaitable[object]],
        *,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._policy = policy
        self._shown = shown
        self._reload = reload
        self._wall = wall
        self._tried: Mapping[str, Stamp] = {}
        self._away: list[str] = []  # files that cannot be read; said
        self._ours: dict[str, float] = {}
        self._said: dict[str, tuple[str, float]] = {}  # event, and when it was said last, by certificate
        self._lists = RevocationEnds()
        self._changed = trio.Event()

    def expiries(self) -> tuple[tuple[str, float], ...]:
        """Every certificate that matters, with its end in seconds since 1970. Those of peers are `peer NAME`."""
        return (*self._ours.items(), *((f"peer {name}", ends) for name, ends in list(self._shown.items())))

    def list_expiries(self) -> tuple[tuple[str, float], ...]:
        """The end of each authority's revocation list, likewise."""
        return self._lists.expiries()

    def policy_changed(self) -> None:
        """There may be other certificates: they are looked at at once."""
        self._changed.set()

    async def run(self) -> None:
        while True:
            try:
                await self._look()
            except Exception:  # neither a file nor a date is a reason to end calls
                log.exception("engine.failure", alarm=True, where="certificates")
            with trio.move_on_after(LOOK_SECONDS):
                await self._changed.wait()
            self._changed = trio.Event()

    async def _look(self) -> None:
        policy = self._policy()
        self._ours = await trio.to_thread.run_sync(_ends_of, policy)
        await trio.to_thread.run_sync(self._lists.read, policy)
        self._say_what_ends()
        self._lists.say(self._wall())
        if policy.certificate_files or self._away:
            await self._look_at_files(policy)

    # --- files that have changed ----------------------------------------------------------------------------------

    async def _look_at_files(self, policy: PolicyOfFiles) -> None:
        now = await _stamps(policy.certificate_files)
        if None in now.values():
            now = await _settled(now)
        self._say_what_is_away([name for name, stamp in now.items() if stamp is None])
        if now in (policy.certificate_files, self._tried):
            return
        now = await _settled(now)
        if None in now.values() or now == policy.certificate_files or policy is not self._policy():
            return  # they are being written, or somebody was quicker
        self._tried = now
        names = [name for name, stamp in now.items() if stamp != policy.certificate_files[name]]
        if await _stamps(policy.files) != policy.files:
            log.warning(
                "certificates.waiting",
                files=", ".join(names),
                reason="the policy was changed as well; a reload puts both in force",
            )
            return
        log.info("certificates.changed", files=", ".join(names))
        await self._reload()

    def _say_what_is_away(self, names: list[str]) -> None:
        if names and names != self._away:
            log.error("certificates.away", alarm=True, files=", ".join(names))
        elif self._away and not names:
            log.info("certificates.there_again")
        self._away = names

    # --- what ends ------------------------------------------------------------------------------------------------

    def _say_what_ends(self) -> None:
        now = self._wall()
        expiries = dict(self.expiries())
        for name, ends in expiries.items():
            self._say(name, ends, now)
        for name in self._said.keys() - expiries.keys():
            del self._said[name]
            log.info("certificate.unused", certificate=name)

    def _say(self, name: str, ends: float, now: float) -> None:
        event = "certificate.expired" if ends <= now else "certificate.expires"
        if ends - now > EARLY_SECONDS:
            if self._said.pop(name, None) is not None:
                log.info("certificate.renewed", certificate=name, ends=date(ends))
            return
        before, said_at = self._said.get(name, ("", -math.inf))
        if before == event and now - said_at < _SAID_AGAIN_SECONDS:
            return
        self._said[name] = event, now
        days = max(0, int((ends - now) // 86_400))
        if event == "certificate.expired":
            log.error("certificate.expired", alarm=True, certificate=name, ends=date(ends))
        else:
            log.warning("certificate.expires", alarm=True, certificate=name, ends=date(ends), days=days)


def _ends_of(policy: PolicyOfFiles) -> dict[str, float]:
    return {pair.name: _end_of(pair) for pair in _pairs(policy)}


def _pairs(policy: PolicyOfFiles) -> Iterator[KeyPair]:
    for interface in policy.interfaces.values():
        yield from interface.tls.pairs
    for peer in policy.peers.values():
        if peer.tls.pair is not None:
            yield peer.tls.pair


@lru_cache(maxsize=1_024)
def _end_of(pair: KeyPair) -> float:
    return expiry_of(pair)


async def _stamps(of: Mapping[str, Stamp]) -> dict[str, Stamp]:
    names = list(of)
    return await trio.to_thread.run_sync(lambda: {name: _stamp(name) for name in names})


def _stamp(name: str) -> Stamp:
    return stamp_of(Path(name)) if os.access(name, os.R_OK) else None


async def _settled(stamps: dict[str, Stamp]) -> dict[str, Stamp]:
    for _ in range(_SETTLING):
        await trio.sleep(_SETTLED_SECONDS)
        before, stamps = stamps, await _stamps(stamps)
        if stamps == before:
            break
    return stamps
