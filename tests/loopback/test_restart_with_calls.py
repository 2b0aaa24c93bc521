"""A restart into the installed program, processes that are stopped, the death of all: no call that is up ends by it."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

PATIENCE = 20.0

pytestmark = [pytest.mark.loopback, pytest.mark.slow]


def processes(sbc):
    status = sbc.get("/api/v1/status")
    return status["pids"] | {"media": [worker["pid"] for worker in status["media"]]}


def readies(sbc):
    return sum(line.startswith("sbc: ready ") for line in sbc.text.splitlines())


class Peer:
    """One end, by hand, on UDP port 5060 of its address."""

    def __init__(self, host, last, sbc_last):
        self.address = f"{host}.{last}"
        self._sbc = (f"{host}.{sbc_last}", 5060)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((self.address, 5060))
        self._socket.settimeout(PATIENCE)

    def close(self):
        self._socket.close()

    def send(self, *lines, body=""):
        kind = ("Content-Type: application/sdp",) if body else ()
        text = "\r\n".join([*lines, *kind, f"Content-Length: {len(body)}", "", body])
        self._socket.sendto(text.encode(), self._sbc)

    def hears(self, start):
        """The next message that begins so; what comes before is left aside."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            text = self._socket.recv(65536).decode()
            if text.startswith(start):
                return text
        raise AssertionError(f"{start!r} did not come")

    def hears_nothing_of(self, start, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._socket.settimeout(max(end - time.monotonic(), 0.01))
            try:
                text = self._socket.recv(65536).decode()
            except TimeoutError:
                break
            assert not text.startswith(start), text
        self._socket.settimeout(PATIENCE)

    def sdp(self, port=40000):
        return (
            f"v=0\r\no=- 1 1 IN IP4 {self.address}\r\ns=-\r\nc=IN IP4 {self.address}\r\nt=0 0\r\n"
            f"m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
        )


def field(text, name):
    return re.search(rf"^{name}: (.*?)\r$", text, re.MULTILINE | re.IGNORECASE).group(1)


def fields(text, name):
    return [f"{name}: {value}" for value in re.findall(rf"^{name}: (.*?)\r$", text, re.MULTILINE | re.IGNORECASE)]


class Call:
    """From office to carrier, up."""

    def __init__(self, office, carrier, name):
        self.office, self.carrier, self.name = office, carrier, name
        self._ours = f"<sip:+14155550100@{office.address}>;tag=o{name}"
        office.send(
            f"INVITE sip:+442079460001@{office._sbc[0]} SIP/2.0",
            *self._head(self._ours, "<sip:+442079460001@sbc>", 1, "INVITE"),
            f"Contact: <sip:o@{office.address}:5060>", body=office.sdp(),
        )  # fmt: skip
        invite = carrier.hears("INVITE ")
        self.answer(carrier, invite, "200 OK", contact=True, body=carrier.sdp())
        answered = office.hears("SIP/2.0 200")
        self._to = field(answered, "To")
        self._target = re.search(r"<(.*?)>", field(answered, "Contact")).group(1)
        self.ack(1)
        carrier.hears("ACK ")

    def _head(self, from_, to, cseq, method):
        return (
            f"Via: SIP/2.0/UDP {self.office.address}:5060;branch=z9hG4bK{self.name}{cseq}{method}",
            "Max-Forwards: 70", f"From: {from_}", f"To: {to}", f"Call-ID: {self.name}", f"CSeq: {cseq} {method}",
        )  # fmt: skip

    def answer(self, peer, request, status, *, contact=False, body=""):
        to = field(request, "To")
        tag = "" if ";tag=" in to else f";tag=c{self.name}"
        more = [f"Contact: <sip:c@{peer.address}:5060>"] if contact else []
        copied = [f"{name}: {field(request, name)}" for name in ("From", "Call-ID", "CSeq")]
        peer.send(f"SIP/2.0 {status}", *fields(request, "Via"), *copied, f"To: {to}{tag}", *more, body=body)

    def ack(self, cseq):
        self.office.send(f"ACK {self._target} SIP/2.0", *self._head(self._ours, self._to, cseq, "ACK"))

    def hangs_up(self, cseq=2):
        self.office.send(f"BYE {self._target} SIP/2.0", *self._head(self._ours, self._to, cseq, "BYE"))
        self.answer(self.carrier, self.carrier.hears("BYE "), "200 OK")
        assert self.office.hears("SIP/2.0 ").startswith("SIP/2.0 200")


@pytest.fixture
def office(host):
    peer = Peer(host, 30, 10)
    yield peer
    peer.close()


@pytest.fixture
def carrier(host):
    peer = Peer(host, 40, 20)
    yield peer
    peer.close()


def records(sbc):
    return sbc.get("/api/v1/cdrs")["cdrs"]


def ends_once(sbc, call):
    call.hangs_up()
    sbc.until(lambda: records(sbc))
    [record] = records(sbc)
    assert record["cause"] == "normal"


# --- restarts ---------------------------------------------------------------------------------------------------------


def test_a_call_goes_on_over_restarts_in_the_same_process(start, office, carrier):
    sbc = start().ready()
    call = Call(office, carrier, "kept")
    before = processes(sbc)
    for times in (2, 3):
        sbc.process.send_signal(signal.SIGUSR2)
        sbc.until(lambda times=times: readies(sbc) == times)
    after = processes(sbc)
    assert (after["supervisor"], after["media"]) == (before["supervisor"], before["media"])
    assert after["signalling"] != before["signalling"]
    assert sbc.get("/api/v1/status")["calls"] == 1
    assert not sbc.events("child.died")
    assert len(sbc.events("restart.done")) == 2
    carrier.hears_nothing_of("BYE ", 0.3)
    ends_once(sbc, call)


def test_a_call_goes_on_over_a_start_that_follows_a_leaving(start, office, carrier):
    """Another process, on the same data_dir, with nothing but that."""
    first = start().ready()
    call = Call(office, carrier, "left")
    first.process.send_signal(signal.SIGUSR1)
    first.process.send_signal(signal.SIGTERM)
    assert first.ends() == 0
    carrier.hears_nothing_of("BYE ", 0.3)
    sbc = start("two", data_dir=first.settings["data_dir"]).ready()
    assert sbc.get("/api/v1/status")["calls"] == 1
    ends_once(sbc, call)


def test_a_restart_that_is_refused_touches_no_call(start, office, carrier):
    sbc = start().ready()
    call = Call(office, carrier, "same")
    good = sbc.policy.read_text()
    sbc.policy.write_text(good + "nonsense: 5\n")
    before = processes(sbc)
    sbc.process.send_signal(signal.SIGUSR2)
    sbc.until(lambda: sbc.events("restart.refused"))
    assert "nonsense" in sbc.events("restart.refused")[0]["reason"]
    sbc.policy.write_text(good)
    assert processes(sbc) == before
    ends_once(sbc, call)


def test_a_new_one_beside_an_old_one_is_refused(start):
    sbc = start().ready()
    done = subprocess.run(
        [sys.executable, "-m", "sbc", "run", str(sbc.policy)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 1
    assert "in use" in done.stderr
    assert readies(sbc) == 1


# --- deaths -----------------------------------------------------------------------------------------------------------


def test_a_call_goes_on_over_the_death_of_the_supervisor(start, office, carrier):
    first = start().ready()
    call = Call(office, carrier, "orphan")
    first.kill()
    carrier.hears_nothing_of("BYE ", 0.3)
    sbc = start("two", data_dir=first.settings["data_dir"]).ready()
    assert sbc.get("/api/v1/status")["calls"] == 1
    ends_once(sbc, call)


def test_a_call_goes_on_over_a_death_though_the_database_of_records_is_damaged(start, office, carrier):
    sbc = start().ready()
    call = Call(office, carrier, "damaged")
    data_dir = Path(sbc.settings["data_dir"])
    (data_dir / "cdr.db").write_bytes(b"not any more")
    os.kill(processes(sbc)["signalling"], signal.SIGKILL)
    sbc.until(lambda: readies(sbc) == 2)
    sbc.until(lambda: sbc.events("cdr.feed_failing"))
    assert sbc.get("/api/v1/status")["calls"] == 1
    (data_dir / "cdr.db").rename(data_dir / "aside")
    sbc.until(lambda: sbc.events("cdr.fed_again"))
    ends_once(sbc, call)


def test_a_drain_goes_on_over_a_death_and_ends_with_a_restart(start):
    sbc = start().ready()
    sbc.ask("POST", "/api/v1/drain")
    os.kill(processes(sbc)["signalling"], signal.SIGKILL)
    sbc.until(lambda: readies(sbc) == 2)
    assert sbc.get("/api/v1/status")["draining"]
    sbc.process.send_signal(signal.SIGUSR2)
    sbc.until(lambda: readies(sbc) == 3)
    assert not sbc.get("/api/v1/status")["draining"]


# --- stopped processes ------------------------------------------------------------------------------------------------


def stopped(pid, seconds):
    os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("who", ["signalling", "supervisor", "media"])
def test_a_process_that_is_stopped_for_five_seconds_goes_on_as_if_nothing_had_been(start, office, carrier, who):
    sbc = start().ready()
    call = Call(office, carrier, "still")
    before = processes(sbc)
    stopped(before["media"][0] if who == "media" else before[who], 5.0)
    ends_once(sbc, call)
    assert processes(sbc) == before
    assert not [line for line in sbc.text.splitlines() if '"level":"error"' in line]


def test_what_comes_while_signalling_is_stopped_is_answered_and_new_calls_come_through(start, office, carrier):
    sbc = start().ready()
    call = Call(office, carrier, "first")
    pid = processes(sbc)["signalling"]
    os.kill(pid, signal.SIGSTOP)
    time.sleep(1.0)
    call.office.send(f"BYE {call._target} SIP/2.0", *call._head(call._ours, call._to, 2, "BYE"))
    time.sleep(2.0)
    os.kill(pid, signal.SIGCONT)
    call.answer(carrier, carrier.hears("BYE "), "200 OK")
    office.hears("SIP/2.0 200")
    time.sleep(1.0)
    Call(office, carrier, "second").hangs_up()
    sbc.until(lambda: len(records(sbc)) == 2)
    assert Path(f"/proc/{pid}").exists()
