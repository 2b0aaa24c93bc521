"""The report that explains a bill, over the admin API: a question for the store, asked in a thread.

It knows which peers are PBXs now and leaves them out: no carrier bills them. A trunk that has left the policy stays in.
"""

from sbc.admin.exchange import AskStore, Reply, Request, json_reply
from sbc.admin.state import AdminState
from sbc.cdr.report import make_report
from sbc.cdr.span import span_of
from sbc.cdr.store import CdrReader
from sbc.policy import testcall


def report(request: Request, state: AdminState, _name: str) -> AskStore:
    query = dict(request.query)
    engine = state.glance(0)  # of 10,000 calls a whole snapshot takes a tenth of a second, and is not needed
    now = state.now() + engine.wall_at_zero
    trunk = query.get("trunk") or None
    # The telephone of test calls is a PBX while one lasts.
    pbxs = frozenset({testcall.NAME, *(peer.name for peer in engine.peers if peer.kind == "pbx")})

    def question(reader: CdrReader) -> Reply:
        span = span_of(query.get("since"), query.get("until"), query.get("timezone"), now)  # reads the table of zones
        legs = reader.legs(span.since / 1000, span.until / 1000, trunk)
        return json_reply(make_report(legs, span.since, span.until, span.zone, pbxs if trunk is None else frozenset()))

    return AskStore(question)
