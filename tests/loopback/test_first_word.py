"""A callee that speaks the moment it answers, and a caller the moment it hears so, are heard from the start."""

import os
import re
import socket
import subprocess
import sys
import time

import pytest

from sbc.cli import bench_calls, bench_messages
from sbc.cli.bench_engine import SDP, bench_invite

pytestmark = pytest.mark.loopback

INSIDE, OUTSIDE, PBX, CARRIER = (
    ("127.79.0.10", 5060),
    ("127.79.0.20", 5060),
    ("127.79.0.30", 5060),
    ("127.79.0.40", 5060),
)
CALLS = 40
ANSWER_SECONDS = 0.02  # nobody answers faster than this


@pytest.fixture
def sbc(tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text(bench_calls.POLICY.replace("127.77.", "127.79."))
    log = tmp_path / "log"
    with log.open("wb") as stderr:
        child = subprocess.Popen(
            [sys.executable, "-m", "sbc", "run", str(policy)],
            stderr=stderr,
            env=os.environ | {"STATE_DIRECTORY": str(tmp_path / "data")},
        )
    try:
        bench_calls._await_ready(child, log)
        yield child
    finally:
        child.terminate()
        child.wait(20)


@pytest.fixture
def peers():
    opened = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(4)]
    for one, address in zip(opened, (PBX, CARRIER, (PBX[0], 4000), (CARRIER[0], 4000)), strict=True):
        one.bind(address)
        one.settimeout(2.0)
    yield opened
    for one in opened:
        one.close()


def headers(message):
    return bench_messages.headers_of(message)


def media_port(message):
    return int(re.search(rb"m=audio (\d+)", message)[1])


def until(one, *words):
    while True:
        message = one.recv(65535)
        if all(word in message for word in words):
            return message


def here(message):
    return message.replace(b"127.77.", b"127.79.").replace(b"127.0.0.30", PBX[0].encode())


def test_no_first_word_is_lost(sbc, peers):
    pbx, carrier, pbx_rtp, carrier_rtp = peers
    for n in range(CALLS):
        word = bytes((128, 0, 0, n)) + bytes(168)
        pbx.sendto(here(bench_invite(n)).replace(b"127.0.0.10", INSIDE[0].encode()), INSIDE)
        invite = until(carrier, b"INVITE sip")
        time.sleep(ANSWER_SECONDS)
        carrier.sendto(here(bench_messages.response_to(headers(invite), b"200", SDP, CARRIER)), OUTSIDE)
        carrier_rtp.sendto(word, (OUTSIDE[0], media_port(invite)))
        ok = until(pbx, b"SIP/2.0 200", b"1 INVITE")
        pbx_rtp.sendto(word, (INSIDE[0], media_port(ok)))
        pbx.sendto(here(bench_messages.request_after(headers(ok), b"ACK", b"1", PBX)), INSIDE)
        assert pbx_rtp.recv(2000) == word, f"the callee's first word of call {n}"
        assert carrier_rtp.recv(2000) == word, f"the caller's first word of call {n}"
        pbx.sendto(here(bench_messages.request_after(headers(ok), b"BYE", b"2", PBX)), INSIDE)
        bye = until(carrier, b"BYE sip")
        carrier.sendto(here(bench_messages.response_to(headers(bye), b"200", b"", CARRIER)), OUTSIDE)
        until(pbx, b"SIP/2.0 200", b"2 BYE")
