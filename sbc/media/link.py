"""What one media worker has been told and has answered, and what waits for it while none runs (sans-IO).

A worker is a number, not a process: it dies and comes back as another process. `media.client` has one `Link` for each.
Sessions that a worker reports and that nobody here has put are orphans: signalling was started again, and their port
pairs are in use until the worker ends them.
"""

from collections import deque

from sbc.core.limits import DIGITS_UNSAID
from sbc.core.tables import Table
from sbc.media import wire
from sbc.media.counting import Key


class Link:
    """`refs`: sessions that live here and are not deleted. `left`: pairs that another worker was given meanwhile.
    `told`: how full its tables are, by the latest answer about all sessions; empty: it has not said.
    """

    __slots__ = (
        "_asked",
        "_digits",
        "_queries",
        "_reported",
        "engine",
        "is_known",
        "is_running",
        "left",
        "orphans",
        "refs",
        "told",
    )

    def __init__(self) -> None:
        self.is_running = False
        self.is_known = False  # it has answered what sessions it has
        self.engine: wire.EngineReady | None = None
        self.refs: set[str] = set()
        self.left: set[Key] = set()
        self.orphans: dict[str, tuple[Key, ...]] = {}
        self.told: tuple[Table, ...] = ()
        self._reported: dict[str, tuple[Key, ...]] = {}  # orphans in the parts of an answer that is not complete
        self._asked: deque[str] = deque()  # queries under way: answers come in this order
        self._queries: dict[str, None] = {}
        self._digits: deque[wire.PlayDigit] = deque(maxlen=DIGITS_UNSAID)

    def started(self) -> None:
        self.lost()
        self.is_running = True
        self.orphans = {}

    def lost(self) -> None:
        self.is_running = False
        self.engine = None
        self.told = ()
        self._asked.clear()
        self._reported.clear()

    @property
    def tables(self) -> tuple[Table, ...]:
        """Of this worker, and what waits here for one."""
        return (*self.told, Table("media_digits_unsaid", len(self._digits), DIGITS_UNSAID, is_ring=True))

    @property
    def is_in_use(self) -> bool:
        """Though we have no session there: by orphans, or its tables are not empty yet, as far as it has said."""
        return bool(self.orphans) or any(table.used for table in self.told)

    def may_say(self, request: wire.Query | wire.PlayDigit) -> bool:
        """False: no worker runs, and the request waits for one."""
        match request, self.is_running:
            case wire.Query(ref=ref), True:
                self._asked.append(ref)
            case wire.Query(ref=ref), _:
                self._queries[ref] = None
            case wire.PlayDigit() as digit, False:
                self._digits.append(digit)
            case _:
                pass
        return self.is_running

    def waiting(self) -> list[wire.Query | wire.PlayDigit]:
        """What has waited for a worker; it waits no longer."""
        waiting: list[wire.Query | wire.PlayDigit] = [wire.Query(ref) for ref in self._queries]
        waiting += self._digits
        self._queries.clear()
        self._digits.clear()
        return waiting

    def reported(self, strangers: dict[str, tuple[Key, ...]], *, last: bool, tables: tuple[Table, ...] = ()) -> None:
        """Part of an answer to the oldest query: sessions that nobody here has put, and how full the tables are."""
        self._reported.update(strangers)
        self.told = tables or self.told
        if not last:
            return
        asked = self._asked.popleft() if self._asked else None
        if asked == "":
            self.orphans = self._reported
            self.is_known = True
        self._reported = {}
