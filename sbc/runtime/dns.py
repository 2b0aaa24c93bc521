"""Asks the DNS for the engine: NAPTR, SRV, A and AAAA, from the name servers of the system (RFC 1035, 2308, 3263).

/etc/hosts goes first. Every look-up is answered within a few seconds, by `LookedUp`, also when nobody answers us; the
engine's loop never waits. It keeps nothing: what an answer is good for, and how long, the engine's locator knows. Used
by `app`.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import dns.asyncbackend
import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.rdtypes.IN.NAPTR
import dns.rdtypes.IN.SRV
import dns.resolver
import dns.ttl
import structlog
import trio

from sbc.core import limits
from sbc.core.address import canonical_ip
from sbc.core.errors import OperatorError
from sbc.runtime.hosts_file import HostsFile
from sbc.sip.commands import LookUp
from sbc.sip.events import LookedUp, NaptrRecord, SrvRecord

ENVIRONMENT: Final = "SBC_DNS"

_PATIENCE_SECONDS: Final = 5.0  # for one look-up, all name servers together
_PER_SERVER_SECONDS: Final = 1.5  # then the next name server is asked, and after the last the first again
_HOSTS_TTL: Final = 10.0  # seconds until a change of the hosts file counts
_NO_SOA_TTL: Final = 30.0  # RFC 2308 §5: what is said without a SOA should not be kept; a little, so as not to flood
_IMPOSSIBLE_TTL: Final = 300.0

Servers = Sequence[tuple[str, int]]

log = structlog.get_logger("dns")


def name_servers(environment: Mapping[str, str]) -> Servers | None:
    """What $SBC_DNS says, `ADDRESS:PORT,…`: name servers instead of those of the system. None: it is not set.

    Raises OperatorError where that is no list of addresses and ports.
    """
    text = environment.get(ENVIRONMENT, "").strip()
    if not text:
        return None
    servers = []
    for one in text.split(","):
        host, _, port = one.strip().rpartition(":")
        address = canonical_ip(host)
        if address is None or not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536):
            raise OperatorError(f"{ENVIRONMENT}: {one.strip()!r} is no ADDRESS:PORT; expected as 127.0.0.53:53")
        servers.append((address, int(port)))
    return servers


class Resolver:
    """`answer` goes to the driver. `servers` instead of those that `conf` names."""

    def __init__(
        self,
        answer: Callable[[LookedUp], None],
        drops: Counter[str],
        *,
        servers: Servers | None = None,
        conf: Path = Path("/etc/resolv.conf"),
        hosts: Path = Path("/etc/hosts"),
    ) -> None:
        self._answer = answer
        self._drops = drops
        self._servers = servers
        self._conf = conf
        self._hosts = HostsFile(hosts)
        self._stamp: tuple[int, int] | None = None
        self._stub = self._configured()
        self._under_way: set[LookUp] = set()
        self._failing: set[str] = set()
        self._limiter = trio.CapacityLimiter(limits.LOOK_UPS_AT_ONCE)
        self._nursery: trio.Nursery | None = None

    @property
    def under_way(self) -> int:
        return len(self._under_way)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            await trio.sleep_forever()

    def look_up(self, asked: LookUp) -> None:
        """What is being looked up is not looked up twice."""
        if asked in self._under_way or self._nursery is None:
            return
        if len(self._under_way) >= limits.LOOK_UPS:
            self._answer(self._failed(asked, "too many look-ups at once"))
            return
        self._under_way.add(asked)
        self._nursery.start_soon(self._look_up, asked)

    async def _look_up(self, asked: LookUp) -> None:
        try:
            event = self._from_hosts(asked) or await self._from_dns(asked)
        finally:
            self._under_way.discard(asked)
        self._answer(event)

    # --- hosts file ---------------------------------------------------------------------------------------------------

    def _from_hosts(self, asked: LookUp) -> LookedUp | None:
        """A name of the file is that one host: the DNS is not asked what services it has either."""
        name = asked.name
        if asked.kind == "SRV":  # _sip._udp.NAME
            name = name.split(".", 2)[-1]
        addresses = self._hosts.addresses(name)
        if addresses is None:
            return None
        if asked.kind not in ("A", "AAAA"):
            return LookedUp(asked.name, asked.kind, ttl=_HOSTS_TTL)
        of_family = tuple(address for address in addresses if (":" in address) == (asked.kind == "AAAA"))
        return LookedUp(asked.name, asked.kind, of_family, ttl=_HOSTS_TTL)

    # --- DNS ----------------------------------------------------------------------------------------------------------

    async def _from_dns(self, asked: LookUp) -> LookedUp:
        reason = f"no answer within {_PATIENCE_SECONDS:g} s"
        with trio.move_on_after(_PATIENCE_SECONDS):
            try:
                async with self._limiter:
                    event = await self._ask(asked)
            except (dns.resolver.NoNameservers, dns.exception.Timeout) as error:
                reason = _reason(error)
            except Exception as error:  # noqa: BLE001  what a stranger's octets do in a library must not end the program
                reason = f"{type(error).__name__}: {error}"
            else:
                self._answered(asked)
                return event
        return self._failed(asked, reason)

    async def _ask(self, asked: LookUp) -> LookedUp:
        """Raises what dnspython raises, where no name server says anything that can be used."""
        try:
            name = dns.name.from_text(asked.name, origin=None)
            if not name.labels or name.labels[0] == b"":
                raise dns.name.EmptyLabel
            name.concatenate(dns.name.root)  # raises NameTooLong
        except (dns.exception.DNSException, UnicodeError):
            return LookedUp(asked.name, asked.kind, ttl=_IMPOSSIBLE_TTL)  # nobody need be asked for what cannot be
        # Names with a dot are whole. One label is a host of the local domains, as in a container or an office.
        is_local = len(name) == 1 and asked.kind in ("A", "AAAA")
        if not is_local:
            name = name.concatenate(dns.name.root)
        for _ in range(limits.CNAMES):
            try:
                found = await self._current().resolve(
                    name,
                    asked.kind,
                    raise_on_no_answer=False,
                    search=is_local,
                    lifetime=_PATIENCE_SECONDS,
                    backend=_BACKEND,
                )
            except dns.resolver.NXDOMAIN as error:
                return LookedUp(asked.name, asked.kind, ttl=_ttl_of_nxdomain(error))
            if found.rrset is not None or found.canonical_name == found.qname:
                return _event(asked, found)
            name, is_local = found.canonical_name, False
        return LookedUp(asked.name, asked.kind, ttl=_NO_SOA_TTL)

    def _current(self) -> dns.asyncresolver.Resolver:
        """The name servers of now: the file is looked at each time, and read when it has changed."""
        if self._servers is None:
            try:
                stat = self._conf.stat()
                stamp = (stat.st_mtime_ns, stat.st_ino)
            except OSError:
                stamp = None
            if stamp != self._stamp:
                self._stamp = stamp
                self._stub = self._configured()
        return self._stub

    def _configured(self) -> dns.asyncresolver.Resolver:
        stub = dns.asyncresolver.Resolver(configure=False)
        if self._servers is not None:
            stub.nameservers = [dns.nameserver.Do53Nameserver(host, port) for host, port in self._servers]
        else:
            try:
                stub.read_resolv_conf(str(self._conf))
            except (dns.exception.DNSException, OSError, ValueError):
                stub.nameservers = ["127.0.0.1"]  # resolv.conf(5): "the default is to use the name server on the local"
        stub.timeout = _PER_SERVER_SECONDS
        stub.cache = None  # ours is the cache; dnspython's goes by the wall clock
        return stub

    # --- for the operator ---------------------------------------------------------------------------------------------

    def _failed(self, asked: LookUp, reason: str) -> LookedUp:
        """Said once per name, until it is answered again."""
        self._drops["dns_failed"] += 1
        if asked.name not in self._failing and len(self._failing) < limits.FAILING_NAMES_SAID:
            self._failing.add(asked.name)
            log.warning("dns.failed", name=asked.name, kind=asked.kind, reason=reason)
        return LookedUp(asked.name, asked.kind, failed=reason)

    def _answered(self, asked: LookUp) -> None:
        if asked.name in self._failing:
            self._failing.discard(asked.name)
            log.info("dns.answered_again", name=asked.name)


_BACKEND: Final = dns.asyncbackend.get_backend("trio")


def _event(asked: LookUp, found: dns.resolver.Answer) -> LookedUp:
    result = found.chaining_result
    ttl = _ttl(result)
    records: list[Any] = [] if found.rrset is None else list(found.rrset)
    match asked.kind:
        case "SRV":
            srv = tuple(SrvRecord(r.priority, r.weight, r.port, _text(r.target)) for r in records)
            return LookedUp(asked.name, asked.kind, srv=srv, ttl=ttl)
        case "NAPTR":
            return LookedUp(asked.name, asked.kind, naptr=tuple(map(_naptr, records)), ttl=ttl)
        case _:
            literals = (canonical_ip(r.address) for r in records)
            addresses = tuple(literal for literal in literals if literal is not None)
            return LookedUp(asked.name, asked.kind, addresses, ttl=ttl)


def _naptr(record: Any) -> NaptrRecord:
    flags, service = record.flags.decode("ascii", "replace"), record.service.decode("ascii", "replace")
    return NaptrRecord(record.order, record.preference, flags, service, _text(record.replacement))


def _text(name: dns.name.Name) -> str:
    """The root stays a dot."""
    return name.to_text(omit_final_dot=True).lower()


def _ttl(result: Any) -> float:
    """The shortest of the chain; of a negative answer what its SOA says (RFC 2308 §5)."""
    ttl = float(result.minimum_ttl)
    return ttl if ttl < dns.ttl.MAX_TTL else _NO_SOA_TTL


def _ttl_of_nxdomain(error: dns.resolver.NXDOMAIN) -> float:
    ttls = [_ttl(response.resolve_chaining()) for response in error.responses().values()]  # type: ignore[no-untyped-call]
    return min(ttls, default=_NO_SOA_TTL)


def _reason(error: dns.exception.DNSException) -> str:
    """What each name server did, in one line."""
    errors = error.kwargs.get("errors") or ()
    said = [f"{server}: {what if isinstance(what, str) else _short(what)}" for server, _, _, what, _ in errors]
    return "; ".join(dict.fromkeys(said)) or _short(error)


def _short(error: object) -> str:
    return str(error) or type(error).__name__
