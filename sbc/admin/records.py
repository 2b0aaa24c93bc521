"""What the admin API tells of call records: from a query to a question for the store, and from its answer to a reply.

Handlers of `api`'s table. It opens no database: `runtime.http` asks, in a thread.
"""

from sbc.admin.exchange import AskStore, Reply, Request, json_reply, problem
from sbc.admin.state import AdminState
from sbc.cdr.format import parse_time
from sbc.cdr.store import PAGE_RECORDS, PAGE_RECORDS_MAXIMUM, CdrReader, Page


def cdrs(request: Request, _state: AdminState, _name: str) -> Reply | AskStore:
    query = dict(request.query)
    since = query.get("since")
    last = query.get("last")
    try:
        since_at = parse_time(since) if since else None
        limit = _count(last or query.get("limit") or str(PAGE_RECORDS))
    except ValueError as error:
        return problem(400, str(error))
    trunk = query.get("trunk") or None
    after = query.get("next") or None

    def question(reader: CdrReader) -> Reply:
        if last:
            return _page(reader.latest(since=since_at, trunk=trunk, limit=limit))
        return _page(reader.page(since=since_at, trunk=trunk, after=after, limit=limit))

    return AskStore(question)


def _page(page: Page) -> Reply:
    return json_reply({"cdrs": page.cdrs, "next": page.next})


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and 1 <= int(text) <= PAGE_RECORDS_MAXIMUM):
        raise ValueError(f"{text[:40]!r} is not a number of records; expected 1 to {PAGE_RECORDS_MAXIMUM}")
    return int(text)
