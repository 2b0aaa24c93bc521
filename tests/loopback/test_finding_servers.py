"""`sbc run` with a trunk that has a name, and a name server of the test's own: over real sockets, in real time."""

import os
import re
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sbc.testing.dns import DnsServer

pytestmark = [pytest.mark.loopback, pytest.mark.slow]

PATIENCE = 20.0
POLICY = """
sbc: {{name: test, data_dir: {folder}/data, admin: "unix:{folder}/admin", stop_after: 1s}}
interfaces:
  inside: {{sip: ["udp:{host}.10:5060"], media: {host}.10}}
  outside: {{sip: ["udp:{host}.20:5060"], media: {host}.20}}
media: {{ports: 21000-21099}}
pbxs:
  office: {{interface: inside, address: "sip:{host}.30:5060", dids: ["+14155550100"]}}
trunks:
  carrier: {{interface: outside, servers: ["sip:carrier.test"], no_reply: 1s}}
  nowhere: {{interface: outside, servers: ["sip:nowhere.test"]}}
  slow: {{interface: outside, servers: ["sip:slow.test"]}}
routes:
  - {{name: nowhere, from: office, to: ["900X."], via: [nowhere]}}
  - {{name: slow, from: office, to: ["901X."], via: [slow]}}
  - {{name: out, from: office, to: ["+X."], via: [carrier]}}
"""
SDP = "v=0\r\no=- 1 1 IN IP4 {0}\r\ns=-\r\nc=IN IP4 {0}\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n"


@pytest.fixture
def host():
    """A corner of 127/8 of our own, for tests that run side by side."""
    return f"127.{os.getpid() % 200 + 20}.{os.getpid() // 200 % 250 + 1}"


@pytest.fixture
def dns(host):
    with DnsServer(f"{host}.53") as server:
        server.add("carrier.test", "NAPTR", '10 10 "s" "SIP+D2U" "" _sip._udp.carrier.test.', ttl=1)
        server.add("_sip._udp.carrier.test", "SRV", "10 0 5060 a.carrier.test.", "20 0 5070 b.carrier.test.", ttl=1)
        server.add("a.carrier.test", "A", f"{host}.40", ttl=1)
        server.add("b.carrier.test", "A", f"{host}.41", ttl=1)
        server.silent |= {"slow.test", "_sip._udp.slow.test"}
        yield server


class Talk:
    """A socket each for the PBX and for the carrier's second server; the first refuses, because nobody is there."""

    def __init__(self, host, log):
        self.host, self.log, self.calls = host, log, 0
        self.pbx, self.carrier = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        self.pbx.bind((f"{host}.30", 5060))
        self.carrier.bind((f"{host}.41", 5070))

    def close(self):
        self.pbx.close()
        self.carrier.close()

    def dials(self, number):
        self.calls += 1
        me, n = f"{self.host}.30", self.calls
        body = SDP.format(me)
        head = (
            f"INVITE sip:{number}@{self.host}.10 SIP/2.0\r\nVia: SIP/2.0/UDP {me}:5060;branch=z9hG4bK{n}\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:+14155550100@{me}>;tag=f{n}\r\nTo: <sip:{number}@{self.host}.10>\r\n"
            f"Call-ID: call-{n}\r\nCSeq: 1 INVITE\r\nContact: <sip:office@{me}>\r\n"
            f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self.pbx.sendto((head + body).encode(), (f"{self.host}.10", 5060))
        return f"call-{n}"

    def hears(self, one, *words, within=PATIENCE):
        """The next message with all of these, and who sent it."""
        deadline = time.monotonic() + within
        while (left := deadline - time.monotonic()) > 0:
            one.settimeout(left)
            try:
                data, source = one.recvfrom(65535)
            except TimeoutError:
                break
            text = data.decode()
            if all(word in text for word in words):
                return text, source
        raise AssertionError(f"nothing with {words} within {within} s\n{self.log.read_text()}")

    def talks(self, number="+442079460001", within=1.0):
        """A whole call by the carrier's second server; how long it took to ring there."""
        begun = time.monotonic()
        call_id = self.dials(number)
        invite, source = self.hears(self.carrier, "INVITE sip:", within=within)
        took = time.monotonic() - begun
        body = SDP.format(f"{self.host}.41")
        self.carrier.sendto(_answer(invite, "200 OK", f"<sip:{self.host}.41:5070>", body), source)
        ok, _ = self.hears(self.pbx, "SIP/2.0 200", call_id, "1 INVITE")
        self.pbx.sendto(_follow(ok, "ACK", 1), (f"{self.host}.10", 5060))
        self.hears(self.carrier, "ACK sip:")
        self.pbx.sendto(_follow(ok, "BYE", 2), (f"{self.host}.10", 5060))
        bye, source = self.hears(self.carrier, "BYE sip:")
        self.carrier.sendto(_answer(bye, "200 OK"), source)
        self.hears(self.pbx, "SIP/2.0 200", call_id, "2 BYE")
        return took

    def is_refused(self, call_id, within):
        refusal, _ = self.hears(self.pbx, "SIP/2.0 503", call_id, within=within)
        self.pbx.sendto(
            _follow(refusal, "ACK", 1, f"sip:x@{self.host}.10", "z9hG4bK" + call_id[5:]), (f"{self.host}.10", 5060)
        )


def _lines(message, *names):
    found = re.findall(rf"^((?:{'|'.join(names)}): .*)\r$", message, re.MULTILINE)
    return "".join(f"{line}\r\n" for line in found)


def _answer(request, status, contact="", body=""):
    head = f"SIP/2.0 {status}\r\n" + _lines(request, "Via", "From", "Call-ID", "CSeq")
    to = _lines(request, "To").removesuffix("\r\n")
    head += to + ("" if ";tag=" in to else ";tag=callee") + "\r\n"
    head += f"Contact: {contact}\r\nContent-Type: application/sdp\r\n" if body else ""
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def _follow(response, method, number, uri="", branch=""):
    uri = uri or re.search(r"^Contact: <(.*)>", response, re.MULTILINE)[1]
    via = re.search(r"^Via: (SIP/2.0/UDP [\d.:]+)", response, re.MULTILINE)[1]
    branch = branch or f"z9hG4bK{method}{time.monotonic_ns()}"
    return (
        f"{method} {uri} SIP/2.0\r\nVia: {via};branch={branch}\r\nMax-Forwards: 70\r\n"
        f"{_lines(response, 'From', 'To', 'Call-ID')}CSeq: {number} {method}\r\nContent-Length: 0\r\n\r\n"
    ).encode()


@pytest.fixture
def sbc(tmp_path, host, dns):
    policy, log = tmp_path / "policy.yaml", tmp_path / "stderr"
    policy.write_text(POLICY.format(host=host, folder=tmp_path))
    root = Path(__file__).resolve().parents[2]
    with log.open("wb") as stderr:
        child = subprocess.Popen(
            [sys.executable, "-m", "sbc", "run", str(policy), "--log-format", "json"],
            stderr=stderr,
            stdin=subprocess.DEVNULL,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(root), "SBC_DNS": f"{host}.53:{dns.address[1]}"},
        )
    talk = Talk(host, log)
    try:
        deadline = time.monotonic() + PATIENCE
        while "sbc: ready " not in log.read_text():
            assert child.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        yield talk
    finally:
        talk.close()
        child.terminate()
        child.wait(PATIENCE)


def attempts(sbc):
    """Servers and causes of the last call, as its record has them."""
    path = sbc.log.parent / "data" / "cdr.db"
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with sqlite3.connect(path) as database:
            found = database.execute(
                "SELECT server, attempt.cause FROM attempt JOIN cdr USING (ref) "
                "WHERE ingress_call_id = ? ORDER BY n", (f"call-{sbc.calls}",)
            ).fetchall()  # fmt: skip
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("no record")


def test_the_first_server_is_dead_and_the_second_rings_within_a_tenth_of_a_second(sbc, host):
    took = sbc.talks()
    print(f"refused by the first, ringing at the second after {took * 1000:.1f} ms")
    assert took < 0.1
    (first, why), (second, end) = attempts(sbc)
    assert (why, end) == ("unreachable", "normal")
    assert f"{host}.40" in first
    assert f"{host}.41" in second


def test_the_resolver_dies_and_calls_go_on(sbc, dns):
    sbc.talks()
    asked = dns.times_asked("a.carrier.test")
    dns.stop()
    time.sleep(8.0)  # the records have lived for 1 s, by our floor for 5
    assert asked >= 1
    assert sbc.talks() < 0.1


def test_names_that_do_not_exist_and_names_that_nobody_answers_hold_up_nobody(sbc, dns):
    begun = time.monotonic()
    sbc.is_refused(sbc.dials("9005550000"), within=1.0)
    assert time.monotonic() - begun < 0.5, "NXDOMAIN is an answer"
    waiting = sbc.dials("9015550000")
    for _ in range(3):
        assert sbc.talks() < 0.5
    sbc.is_refused(waiting, within=9.0)


def test_a_carrier_that_moves_is_found_again(sbc, dns, host):
    dns.add("_sip._udp.carrier.test", "SRV", "10 0 5060 gone.carrier.test.", ttl=1)
    dns.add("gone.carrier.test", "A", f"{host}.40", ttl=1)
    time.sleep(6.0)
    sbc.is_refused(sbc.dials("+442079460001"), within=2.0)
    dns.add("_sip._udp.carrier.test", "SRV", "10 0 5070 b.carrier.test.", ttl=1)
    time.sleep(6.0)
    assert sbc.talks() < 0.1
