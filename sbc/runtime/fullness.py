"""Says which table is four fifths full, long before anybody is refused for want of room, and when there is room again.

A ring, where what is oldest makes room, is none of its business. It looks at what engine and runtime say of their
tables; it empties none. Used by `app`.
"""

from collections.abc import Callable, Iterable
from typing import Final

import structlog
import trio

from sbc.core.tables import Table

_SECONDS: Final = 5.0  # between two looks
ALARM_SHARE: Final = 0.8
CALM_SHARE: Final = 0.6  # less than that, and it is over; between the two nothing changes

log = structlog.get_logger("tables")


class Fullness:
    def __init__(self) -> None:
        self._filling: set[str] = set()

    async def run(self, tables: Callable[[], Iterable[Table]], escaped: Callable[[Exception, str], None]) -> None:
        """For ever. `escaped` is told of a bug, which is no reason to look no more."""
        while True:
            try:
                self.look(tables())
            except Exception as error:  # noqa: BLE001 - see above
                escaped(error, "tables")
            await trio.sleep(_SECONDS)

    def look(self, tables: Iterable[Table]) -> None:
        for table in tables:
            if table.is_ring or not table.most:
                continue
            share = table.used / table.most
            if share >= ALARM_SHARE and table.name not in self._filling:
                self._filling.add(table.name)
                log.error("table.filling", alarm=True, table=table.name, used=table.used, most=table.most)
            elif share < CALM_SHARE and table.name in self._filling:
                self._filling.remove(table.name)
                log.info("table.room_again", table=table.name, used=table.used, most=table.most)
