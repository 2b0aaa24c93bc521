"""Messages of the bench's telephones, from templates: what a caller says in a call, and what a callee answers.

No SIP stack, so that one core can offer more than an SBC can serve. Used by `bench_calls` and `bench_load`.
"""

import re
from typing import Final

Address = tuple[str, int]
Headers = dict[bytes, bytes]

_HEADER: Final = re.compile(rb"^(Via|From|To|Call-ID|CSeq|Contact): ([^\r]*)\r$", re.MULTILINE)


def headers_of(message: bytes) -> Headers:
    """Those that the answer to it needs."""
    return dict(_HEADER.findall(message))


def request_after(ok: Headers, method: bytes, cseq: bytes, at: Address) -> bytes:
    """A request of the caller, who is `at`, in the dialog of this 200."""
    branch = b"z9hG4bK" + method + ok[b"Call-ID"].partition(b"@")[0]
    return b"\r\n".join((
        b"%b %b SIP/2.0" % (method, ok[b"Contact"].strip(b"<>")),
        b"Via: SIP/2.0/UDP %b:%d;branch=%b" % (at[0].encode(), at[1], branch),
        b"Max-Forwards: 70",
        b"From: " + ok[b"From"],
        b"To: " + ok[b"To"],
        b"Call-ID: " + ok[b"Call-ID"],
        b"CSeq: %b %b" % (cseq, method),
        b"Content-Length: 0\r\n\r\n",
    ))  # fmt: skip


def response_to(request: Headers, status: bytes, body: bytes, at: Address) -> bytes:
    """`at`: who answers; the address in `body` becomes his."""
    to = request[b"To"] if b"tag=" in request[b"To"] else request[b"To"] + b";tag=carrier"
    body = body.replace(b"127.0.0.30", at[0].encode())
    return b"\r\n".join((
        b"SIP/2.0 %b Fine" % status,
        b"Via: " + request[b"Via"],
        b"From: " + request[b"From"],
        b"To: " + to,
        b"Call-ID: " + request[b"Call-ID"],
        b"CSeq: " + request[b"CSeq"],
        b"Contact: <sip:callee@%b:%d>" % (at[0].encode(), at[1]),
        b"Content-Type: application/sdp",
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body),
    ))  # fmt: skip
