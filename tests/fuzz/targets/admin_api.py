"""Requests to the admin API: a path, a query and a body; whatever they are, an answer. The lines of the input are
method, path with query, Accept, and the rest the body.
"""

from urllib.parse import parse_qsl

from sbc.admin import api
from sbc.admin.exchange import Order, Reply, Request
from tests.unit.admin.state import StillState

INSTRUMENTED = ("sbc.admin", "sbc.cdr.filters", "sbc.cdr.format", "sbc.cdr.span")
ACCEPTS = ()
SEEDS = (
    b"GET\n/api/v1/calls?limit=5\n*/*\n",
    b"GET\n/api/v1/cdrs?since=2026-01-01&until=2026-01-02T00:00:00Z&trunk=a&number=%2B1&limit=10&next=1\n\n",
    b"GET\n/api/v1/report?timezone=Europe/Berlin&since=2026-02-30\n\n",
    b'POST\n/api/v1/drain?deadline=10m\n\n{"deadline": "5s"}',
    b"GET\n/api/v1/why?from=office&to=%2B44&caller=1\ntext/plain\n",
    b'POST\n/api/v1/testcall\n\n{"peer": "office", "to": "+1"}',
    b"DELETE\n/api/v1/calls/a\n\n", b"GET\n/metrics\n\n", b"GET\n/api/v1/history?minutes=60\n\n",
    b"HEAD\n/api/v1/peers/x/ladder\n\n",
    b"POST\n/api/v1/trunks/../busyout\n\n", b"GET\n/api/v1/cdrs?last=99999999999999999999&cause=%00\n\n",
)  # fmt: skip
WORDS = (b"/api/v1/", b"calls", b"cdrs", b"trunks", b"peers", b"since=", b"until=", b"limit=", b"next=", b"timezone=",
b"minutes=", b"deadline=",
         b"..", b"%00", b"%2e", b"-1", b"1e9", b"2026-01-01", b"{", b"}", b"null", b"/etc/passwd")  # fmt: skip


def check(data):
    method, path, accept, body = [*data.split(b"\n", 3), b"", b"", b"", b""][:4]
    path, _, query = path.decode("utf-8", "replace").partition("?")
    pairs = tuple(parse_qsl(query, keep_blank_values=True, errors="replace"))
    request = Request(method.decode("latin-1"), path, pairs, accept.decode("latin-1"), body)
    answer = api.answer(request, StillState())
    if isinstance(answer, Order):
        answer = answer.reply(StillState())
    if isinstance(answer, Reply):
        assert 200 <= answer.status < 600
        assert all("\n" not in value and "\r" not in value for _, value in answer.headers)
