"""What the admin API tells of call records: from a query to a question for the store, and from its answer to a reply.

Handlers of `api`'s table. It opens no database: `runtime.http` asks, in a thread.
"""

from collections.abc import Mapping
from typing import Final

from sbc.admin.exchange import AskStore, Reply, Request, json_reply, problem
from sbc.admin.state import AdminState
from sbc.cdr.filters import NUMBER_CHARACTERS, Filters
from sbc.cdr.format import parse_time
from sbc.cdr.store import PAGE_RECORDS, PAGE_RECORDS_MAXIMUM, CdrReader, Page
from sbc.core.cause import Cause

_CAUSES: Final = frozenset(str(cause) for cause in Cause)


def cdrs(request: Request, _state: AdminState, _name: str) -> Reply | AskStore:
    query = dict(request.query)
    last = query.get("last")
    try:
        chosen = filters(query)
        limit = _count(last or query.get("limit") or str(PAGE_RECORDS))
    except ValueError as error:
        return problem(400, str(error))
    after = query.get("next") or None

    def question(reader: CdrReader) -> Reply:
        if last:
            return _page(reader.latest(chosen, limit=limit))
        return _page(reader.page(chosen, after=after, limit=limit))

    return AskStore(question)


def filters(query: Mapping[str, str]) -> Filters:
    """ValueError says what is wrong. What is empty is not asked for, as a form sends it."""
    since, until = query.get("since"), query.get("until")
    cause, number = query.get("cause") or None, query.get("number") or None
    if cause is not None and cause not in _CAUSES:
        raise ValueError(f"{cause[:40]!r} is no cause; expected one of {', '.join(sorted(_CAUSES))}")
    if number is not None and len(number) > NUMBER_CHARACTERS:
        raise ValueError(f"a number of {len(number)} characters; expected at most {NUMBER_CHARACTERS}")
    return Filters(
        since=parse_time(since) if since else None,
        until=parse_time(until) if until else None,
        trunk=query.get("trunk") or None,
        number=number,
        cause=cause,
        ref=query.get("ref") or None,
    )


def _page(page: Page) -> Reply:
    return json_reply({"cdrs": page.cdrs, "next": page.next})


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and 1 <= int(text) <= PAGE_RECORDS_MAXIMUM):
        raise ValueError(f"{text[:40]!r} is not a number of records; expected 1 to {PAGE_RECORDS_MAXIMUM}")
    return int(text)
