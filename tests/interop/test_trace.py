"""What Wireshark's tshark and sngrep make of our captures and copies: both legs of a call, every message whole."""

import json
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from sbc.core.address import Address, Flow, Transport
from sbc.trace.pcap import capture
from sbc.trace.recorder import Recorder

from .children import Child, program, until
from .sipp import Sipp

pytestmark = [pytest.mark.interop]

CHECKS = ("ip.check_checksum:TRUE", "udp.check_checksum:TRUE", "tcp.check_checksum:TRUE")
OURS = {4: "192.0.2.1", 6: "2001:db8::1"}
THEIRS = {4: "192.0.2.9", 6: "2001:db8::9"}
SDP = b"v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
CRYPTO = b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj|2^20|1:32\r\n"


def dissected(file: Path, fields: Sequence[str], only: str = "") -> list[list[str]]:
    """What tshark says of each frame, checksums looked at."""
    argv = [program("tshark"), "-n", "-r", str(file), "-T", "fields"]
    argv += [part for check in CHECKS for part in ("-o", check)]
    argv += [part for field in fields for part in ("-e", field)]
    argv += ["-Y", only] if only else []
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [line.split("\t") for line in done.stdout.splitlines()]


def faults(file: Path) -> list[list[str]]:
    """Frames that tshark calls malformed or wrong."""
    return dissected(file, ["frame.number", "_ws.expert.message"], "_ws.malformed || _ws.expert.severity >= 0x600000")


def message(method: str, n: int, more: bytes = b"", body: bytes = b"", kind: bytes = b"application/sdp") -> bytes:
    return (
        f"{method} sip:+14155559999@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK{n}\r\n"
        f"Max-Forwards: 70\r\nFrom: <sip:a@192.0.2.9>;tag=1\r\nTo: <sip:b@192.0.2.1>\r\nCall-ID: one\r\n"
        f"CSeq: {n} {method}\r\nContact: <sip:a@192.0.2.9>\r\n"
    ).encode() + more + b"Content-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (kind, len(body), body)  # fmt: skip


SECRETS = (
    message("INVITE", 50, b'Authorization: Digest username="acme", realm="hq",\r\n response="6629fae4"\r\n', SDP),
    message("INFO", 51, body=b"Signal=7\r\nDuration=160\r\n", kind=b"application/dtmf-relay"),
    message("NOTIFY", 52, body=b"<?xml version='1.0'?><kpml-response digits='4711'/>",
            kind=b"application/kpml-response+xml"),
    message("INFO", 53, body=b"--x\r\nContent-Type: application/dtmf-relay\r\n\r\nSignal=7\r\n--x--\r\n",
            kind=b"multipart/mixed;boundary=x"),
    message("INVITE", 54, body=SDP + CRYPTO),
)  # fmt: skip


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
def test_tshark_reads_every_message_however_long_and_finds_no_fault(transport, family, tmp_path):
    flow = Flow(transport, "outside", Address(OURS[family], 5060), Address(THEIRS[family], 5060))
    recorder = Recorder()
    texts = [message("INVITE", n, b"X-Long: " + b"y" * size + b"\r\n", SDP) for n, size in enumerate((1, 1400, 9000))]
    for n, text in enumerate((*texts, *SECRETS)):
        recorder.message("r", n / 10, "ingress", n % 2 == 1, text, flow)
    file = tmp_path / "call.pcap"
    file.write_bytes(capture(recorder.entries("r", keeps_length=True), 1.7e9))

    assert faults(file) == []
    source = "ip.src" if family == 4 else "ipv6.src"
    read = dissected(file, [source, "sip.Method", "sip.CSeq.seq", "sip.Content-Length", "frame.time_epoch"], "sip")
    assert [int(row[2]) for row in read] == [0, 1, 2, 50, 51, 52, 53, 54]
    assert [row[0] for row in read] == [(THEIRS, OURS)[n % 2][family] for n in range(8)]
    assert [row[1] for row in read] == ["INVITE"] * 4 + ["INFO", "NOTIFY", "INFO", "INVITE"]
    assert [round(float(row[4]) - 1.7e9, 3) for row in read] == [n / 10 for n in range(8)]
    for secret in (b"6629fae4", b"Signal", b"4711", b"d0Rm"):
        assert secret not in file.read_bytes()


def placed(node, started, tmp_path, calls: int) -> list[str]:
    """So many calls through the SBC; their refs."""
    started(Sipp("carrier", "uas", tmp_path, local=node.carrier, calls=calls))
    pbx = started(Sipp("pbx", "uac", tmp_path, local=node.pbx, remote=f"{node.inside}:5060", calls=calls))
    assert pbx.child.wait(30) == 0, pbx.errors
    until(lambda: len(node.cdrs()) == calls, "call records")
    return [cdr["ref"] for cdr in node.cdrs()]


def test_both_legs_of_a_call_are_in_the_file_that_sbc_trace_writes(node, started, tmp_path):
    sbc = node()
    (ref,) = placed(sbc, started, tmp_path, 1)
    file = tmp_path / "call.pcap"
    said = sbc.says("trace", ref, "--pcap", str(file))
    assert str(file) in said

    assert faults(file) == []
    read = dissected(file, ["ip.src", "ip.dst", "_ws.col.Info"], "sip")
    legs = {frozenset(row[:2]) for row in read}
    assert legs == {frozenset((sbc.pbx, sbc.inside)), frozenset((sbc.outside, sbc.carrier))}
    for source, target in ((sbc.pbx, sbc.inside), (sbc.outside, sbc.carrier)):
        requests = [row[2].split()[1] for row in read if row[:2] == [source, target] and row[2].startswith("Request")]
        assert requests == ["INVITE", "ACK", "BYE"]

    trace = sbc.ask(f"calls/{ref}/trace")
    assert len(read) == sum(entry["message"] is not None for entry in trace["entries"])
    shown = sbc.says("trace", ref)
    assert shown.startswith(
        f"call {ref}, over\n+14155550100 of office called +14155559999 at carrier-a, route outbound\n"
    )
    assert "answered by carrier-a" in shown
    assert "media from office" in shown


def is_heard(host: str, port: int) -> bool:
    """Somebody has the UDP port; it is not tried, so that nobody is in its way."""
    place = f"{socket.inet_aton(host)[::-1].hex()}:{port:04x}".upper()
    return place in Path("/proc/net/udp").read_text()


def test_sngrep_finds_both_legs_of_each_call_in_the_copy_that_hep_sends(node, started, tmp_path, net):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as reserved:
        reserved.bind((f"{net}.1", 0))
        port = reserved.getsockname()[1]
    file = tmp_path / "heard.pcap"
    homer = [program("sngrep"), "-F", "-N", "-q", "-L", f"udp:{net}.1:{port}", "-O", str(file)]
    sngrep = started(Child("sngrep", homer, tmp_path))
    until(lambda: is_heard(f"{net}.1", port), "sngrep to listen", 20, lambda: sngrep.log)
    sbc = node()
    sbc.write(f"sbc: {{hep: {{server: 'udp:{net}.1:{port}', password: s3cret}}}}")
    sbc.says("reload")
    refs = placed(sbc, started, tmp_path, 3)

    messages = sum(entry["message"] is not None for ref in refs for entry in sbc.ask(f"calls/{ref}/trace")["entries"])
    until(lambda: file.exists() and len(dissected(file, ["frame.number"], "sip")) >= messages, "sngrep to hear it all",
          10, lambda: sngrep.log)  # fmt: skip
    read = dissected(file, ["ip.src", "ip.dst", "sip.Call-ID"], "sip")
    assert len(read) == messages
    cdrs = sbc.cdrs()
    ids = {cdr["ingress_call_id"] for cdr in cdrs} | {cdr["egress_call_id"] for cdr in cdrs}
    assert {row[2] for row in read} == ids
    assert len(ids) == 6
    assert 'reason="hep"' not in sbc.metrics()
    assert sngrep.is_running, json.dumps(sngrep.log)
