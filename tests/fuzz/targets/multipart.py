"""Bodies of several parts: what is accepted can be put together and taken apart again. The type is the first line."""

from sbc.sip.errors import ParseError
from sbc.sip.multipart import join, parts_of, session_of, with_session
from tests.fuzz import seeds

INSTRUMENTED = ("sbc.sip.multipart", "sbc.sip.params", "sbc.sip.headers.names")
ACCEPTS = (ParseError,)
_PARTS = (
    b"--b\r\nContent-Type: application/sdp\r\n\r\n%b\r\n--b\r\nContent-ID: <a@b>\r\n\r\n<p/>\r\n--b--\r\n" % seeds.SDP
)
SEEDS = (
    b"multipart/mixed;boundary=b\r\n" + _PARTS,
    b'multipart/related; boundary="b"\r\npreamble\r\n' + _PARTS + b"epilogue",
    b"application/sdp\r\n" + seeds.SDP,
    b"multipart/mixed;boundary=b\r\n--b\r\n\r\n\r\n--b \r\n\r\n--b--",
)
WORDS = (
    b"--b",
    b"--b--",
    b"\r\n",
    b"boundary=",
    b"Content-Type: ",
    b"Content-Disposition: session",
    b"multipart/mixed",
)


def check(data):
    kind, _, body = data.partition(b"\r\n")
    parts = parts_of(body, kind.decode("utf-8", "surrogateescape"))
    session_of(parts)
    kind, joined = join(with_session(parts, b"v=0\r\n"), "nobodyforesaw")
    if b"--nobodyforesaw" not in body:
        again = parts_of(joined, kind)
        assert session_of(again) == b"v=0\r\n"
        assert [part.body for part in again] == [part.body for part in with_session(parts, b"v=0\r\n")]
