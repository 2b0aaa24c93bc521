"""RTCP: read in bounds, changed in place without a move, and what hides names finds none left the second time."""

from sbc.media.worker.names import hide_names
from sbc.media.worker.rtcp import RoundTrip, SenderReport, read_reports

INSTRUMENTED = ("sbc.media.worker.rtcp", "sbc.media.worker.names")
ACCEPTS = ()
_SR = bytes.fromhex("81c8000c") + bytes(range(24)) + bytes(24)
_SDES = bytes.fromhex("81ca0006") + b"\0\0\0\7" + b"\1\14user@10.0.0.\0\0\0\0\0\0"
SEEDS = (
    _SR,
    _SR + _SDES,
    _SDES,
    b"\x81\xcb\0\2\0\0\0\7\3bye",
    b"\x80\xcc\0\2\0\0\0\1name",
    bytes.fromhex("81cd0003") + bytes(12),
)
WORDS = (b"\x80\xc8", b"\x81\xc9", b"\x81\xca", b"\x81\xcb", b"\xff\xff", b"\1\377")


def check(data):
    reports = read_reports(memoryview(data), len(data))
    assert len(reports) <= 64
    trip = RoundTrip()
    for report in reports:
        if isinstance(report, SenderReport):
            trip.passed(report.ntp_middle, 1.0)
        else:
            trip.heard(report, 2.0)
    buffer = bytearray(data + b"guard")
    size = hide_names(buffer, len(data), b"ref")
    assert 0 <= size <= len(data)
    assert len(buffer) == len(data) + 5
    assert buffer[len(data) :] == b"guard"
    assert hide_names(buffer, size, b"ref") <= size
