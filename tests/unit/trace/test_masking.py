"""What nobody may read in a trace."""

import pytest

from sbc.trace.masking import MASKED, masked
from sbc.trace.recorder import Recorder

INFO = b"INFO sip:a@b SIP/2.0\r\nContent-Type: application/dtmf-relay\r\n\r\nSignal=7\r\nDuration=160\r\n"


@pytest.mark.parametrize(
    "data",
    [
        INFO,
        INFO.replace(b"\r\n", b"\n"),
        INFO.replace(b"Content-Type", b"c"),
        INFO.replace(b"INFO ", b"info "),
        INFO.replace(b"dtmf-relay", b"x-unheard-of"),
        INFO.replace(b"INFO", b"NOTIFY").replace(b"dtmf-relay", b"kpml-response+xml"),
        INFO.replace(b"INFO", b"MESSAGE").replace(b"application/dtmf-relay", b"audio/telephone-event"),
        INFO.replace(b"INFO", b"MESSAGE")
        .replace(b"application/dtmf-relay", b"multipart/mixed;boundary=x")
        .replace(b"Signal", b"--x\r\nContent-Type: application/dtmf-relay\r\n\r\nSignal"),
        INFO.replace(b"INFO sip:a@b SIP/2.0", b"SIP/2.0 200 OK"),
    ],
)
def test_digits_are_not_shown(data):
    shown = masked(data)
    assert b"Signal" not in shown
    assert b"7" not in shown
    assert shown.endswith(MASKED)


@pytest.mark.parametrize("name", [b"Authorization", b"proxy-authorization", b"AUTHORIZATION"])
def test_credentials_are_not_shown(name):
    data = b"BYE sip:a@b SIP/2.0\r\n" + name + b': Digest username="acme",\r\n response="d41d8cd9"\r\nTo: x\r\n\r\n'
    assert masked(data) == b"BYE sip:a@b SIP/2.0\r\n" + name + b": (not shown)\r\nTo: x\r\n\r\n"


@pytest.mark.parametrize(
    "data",
    [
        b"INVITE sip:a@b SIP/2.0\r\nContent-Type: application/sdp\r\n\r\na=rtpmap:101 telephone-event/8000\r\n",
        b"INFO sip:a@b SIP/2.0\r\nContent-Length: 0\r\n\r\n",
        b"INFO",
        b"",
    ],
)
def test_the_rest_stays_the_same_object(data):
    assert masked(data) is data


def test_whoever_reads_a_tape_reads_it_masked():
    recorder = Recorder()
    recorder.message("a", 1.0, "ingress", False, INFO)
    recorder.message("a", 1.0, "egress", True, INFO)
    assert [b"Signal" in (entry.data or b"") for entry in recorder.entries("a")] == [False, False]
