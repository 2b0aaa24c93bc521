"""The DNS of a world in memory: host names with addresses, and SRV and NAPTR records where a story needs them.

It answers `LookUp` at once, or never (`silent`), or with a failure (`failing`). Used by `world` and by unit tests of
whoever looks names up.
"""

from collections import deque
from collections.abc import Mapping, Sequence

from sbc.core.address import canonical_ip
from sbc.sip.commands import LookUp, RecordKind
from sbc.sip.events import LookedUp, NaptrRecord, SrvRecord


class Names(dict[str, Sequence[str]]):
    """Host names (lower case) and their addresses, both families; `srv` and `naptr` add the other records.

    `ttl` (seconds) is that of all answers but for names in `ttls`. Names in `failing` are answered as by a name server
    that is away, those in `silent` never. `asked` are the look-ups, in order, the last thousand.
    """

    def __init__(self, hosts: Mapping[str, Sequence[str]] | None = None) -> None:
        super().__init__(hosts or {})
        self.ttl = 60.0
        self.ttls: dict[str, float] = {}
        self.failing: set[str] = set()
        self.silent: set[str] = set()
        self.asked: deque[LookUp] = deque(maxlen=1000)
        self._srv: dict[str, tuple[SrvRecord, ...]] = {}
        self._naptr: dict[str, tuple[NaptrRecord, ...]] = {}

    def srv(self, name: str, *records: tuple[int, int, int, str]) -> None:
        """As in a zone file: `("_sip._udp.carrier.example", (10, 60, 5060, "a.carrier.example"))`."""
        self._srv[name] = tuple(SrvRecord(*record) for record in records)

    def naptr(self, name: str, *records: tuple[int, int, str, str]) -> None:
        """Order, preference, service, replacement; the flag is "s" as always with SIP (RFC 3263 §4.1)."""
        self._naptr[name] = tuple(
            NaptrRecord(order, preference, "s", service, replacement)
            for order, preference, service, replacement in records
        )

    def answer(self, asked: LookUp) -> LookedUp | None:
        """None: nothing comes."""
        self.asked.append(asked)
        name, kind = asked.name, asked.kind
        if name in self.silent:
            return None
        if name in self.failing:
            return LookedUp(name, kind, failed="SERVFAIL")
        ttl = self.ttls.get(name, self.ttl)
        return LookedUp(
            name,
            kind,
            addresses=self._addresses(name, kind),
            srv=self._srv.get(name, ()) if kind == "SRV" else (),
            naptr=self._naptr.get(name, ()) if kind == "NAPTR" else (),
            ttl=ttl,
        )

    def _addresses(self, name: str, kind: RecordKind) -> tuple[str, ...]:
        if kind not in ("A", "AAAA"):
            return ()
        literals = (canonical_ip(address) for address in self.get(name, ()))
        return tuple(ip for ip in literals if ip is not None and (":" in ip) == (kind == "AAAA"))
