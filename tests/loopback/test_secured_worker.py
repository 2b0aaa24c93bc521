"""SRTP and DTLS-SRTP in the worker's process: over sockets, over its death, and with OpenSSL's own client."""
# RFC: 5764

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from sbc.media import wire
from sbc.media.client import MediaClient
from sbc.media.worker.srtp_memory import BEHIND, OCTETS
from sbc.runtime.media_sockets import Pair, open_pairs
from sbc.testing.dtls import DtlsFar, dtls_identity, fingerprint
from sbc.testing.srtp import CM_80, SecuredFar, master_key, rtp_packet

pytestmark = [pytest.mark.loopback, pytest.mark.slow]

INSIDE, OUTSIDE, PBX, CARRIER = "127.0.0.11", "127.0.0.21", "127.0.0.31", "127.0.0.41"
PATIENCE = 20.0


class Worker:
    """A process that can be killed, and signalling's client."""

    def __init__(self, dtls: wire.DtlsIdentity | None = None) -> None:
        self.client = MediaClient(wire.Configure("secured", "userland", own=(INSIDE, OUTSIDE), dtls=dtls))
        self.memory = os.memfd_create("secured")
        self.pairs: dict[tuple[str, int], Pair] = {}
        for local in (INSIDE, OUTSIDE):
            for pair in open_pairs(local, (20000, 29999), 1, (), lambda below: int.from_bytes(os.urandom(4)) % below):
                self.pairs[local, pair.port] = pair
                self.client.ports_opened(local, [pair.port])
        self.said: list[wire.Reply] = []
        self.start()

    def start(self) -> None:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind("")
        listener.listen(1)
        life, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        fds = {"--listen-fd": listener.fileno(), "--life-fd": theirs.fileno(), "--memory-fd": self.memory}
        words = [word for name, fd in fds.items() for word in (name, str(fd))]
        command = [sys.executable, "-m", "sbc.media.worker", *words]
        self.process = subprocess.Popen(command, pass_fds=fds.values())
        theirs.close()
        self.life, self.listener = life, listener
        self.connect()

    def connect(self) -> None:
        self.control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.settimeout(PATIENCE)
        self.control.connect(self.listener.getsockname())
        running = self.receive()
        assert isinstance(running, wire.Running)
        self.pid = running.pid
        self.deliver(self.client.worker_started(continues=running.continues))

    def die(self) -> None:
        """The child is killed; its parent forks another, on the same sockets and memory."""
        os.kill(self.pid, signal.SIGKILL)
        self.control.close()
        self.client.worker_lost()
        self.connect()

    def receive(self) -> wire.Reply:
        (reply,) = self.client.received(self.control.recv(65_536))
        self.said.append(reply)
        return reply

    def deliver(self, messages) -> None:
        for message in messages:
            pairs = [self.pairs[message.local, port] for port in message.ports]
            fds = [one.fileno() for pair in pairs for one in (pair.rtp, pair.rtcp)]
            socket.send_fds(self.control, [message.data], fds)

    def put(self, stream: wire.Stream) -> None:
        self.deliver(self.client.ask(wire.PutSession("a", 1, (stream,))))

    def await_reply(self, kind: type) -> wire.Reply:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            reply = self.receive()
            if isinstance(reply, kind):
                return reply
        raise AssertionError(f"no {kind}")

    def counts(self) -> wire.StreamCount:
        self.deliver(self.client.ask(wire.Query("a")))
        while True:
            report = self.await_reply(wire.Report)
            for session in report.sessions:
                return session.streams[0]

    def close(self) -> None:
        self.control.close()
        self.listener.close()
        self.life.close()
        assert self.process.wait(PATIENCE) == 0
        os.close(self.memory)
        for pair in self.pairs.values():
            pair.close()


@contextlib.contextmanager
def worker(dtls: wire.DtlsIdentity | None = None) -> Iterator[Worker]:
    one = Worker(dtls)
    try:
        yield one
    finally:
        one.close()


@contextlib.contextmanager
def far_socket(host: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind((host, 0))
        one.settimeout(PATIENCE)
        yield one


def ends(one: Worker, pbx: socket.socket, carrier: tuple[str, int], secured) -> wire.Stream:
    (inside,), (outside,) = ([port for host, port in one.pairs if host == local] for local in (INSIDE, OUTSIDE))
    ingress = wire.End(INSIDE, inside, wire.Remote(*pbx.getsockname(), 0))
    egress = wire.End(OUTSIDE, outside, wire.Remote(*carrier, 0), mux=True, secured=secured)
    return wire.Stream(ingress, egress)


def test_srtp_goes_on_over_the_death_of_the_process():
    keys = [master_key(CM_80, n) for n in (1, 2)]
    carrier = SecuredFar(CM_80, *keys)
    with worker() as one, far_socket(PBX) as at_pbx, far_socket(CARRIER) as at_carrier:
        assert os.fstat(one.memory).st_size == BEHIND + OCTETS
        stream = ends(one, at_pbx, at_carrier.getsockname(), carrier.crypto)
        one.put(stream)
        inside, outside = (INSIDE, stream.ingress.port), (OUTSIDE, stream.egress.port)

        def talk(numbers):
            for n in numbers:
                at_pbx.sendto(rtp_packet(n), inside)
                assert carrier.opened(at_carrier.recv(2048)) == rtp_packet(n)
                at_carrier.sendto(carrier.rtp(rtp_packet(n, ssrc=9)), outside)
                assert at_pbx.recv(2048) == rtp_packet(n, ssrc=9)

        one.counts()
        talk(range(65_400, 65_700))
        one.counts()  # what was sent last is counted by now
        one.die()
        one.counts()
        talk(range(65_700, 65_800))
        replayed = carrier.rtp(rtp_packet(65_800, ssrc=9))
        for _ in range(2):
            at_carrier.sendto(replayed, outside)
        assert at_pbx.recv(2048) == rtp_packet(65_800, ssrc=9)
        deadline = time.monotonic() + PATIENCE
        while not one.counts().egress.replayed and time.monotonic() < deadline:
            pass
        counted = one.counts().egress
        assert (counted.received, counted.replayed, counted.forged, counted.lost) == (401, 1, 0, 0)


def test_what_openssl_loses_is_sent_again():
    """Timers are OpenSSL's own, in real time: the first hello of ours is not answered, the second one is."""
    ours = dtls_identity("ours")
    with worker(ours) as one, far_socket(PBX) as at_pbx, far_socket(CARRIER) as at_carrier:
        far = DtlsFar(ours, active=False)
        stream = ends(one, at_pbx, at_carrier.getsockname(), far.dtls())
        one.put(stream)
        first = at_carrier.recv(4096)
        second = at_carrier.recv(4096)
        assert first[13:] == second[13:]
        theirs = far.receive(second)
        while far.handshake.keys is None:
            for data in theirs:
                at_carrier.sendto(data, (OUTSIDE, stream.egress.port))
            theirs = far.receive(at_carrier.recv(4096))
        for data in theirs:
            at_carrier.sendto(data, (OUTSIDE, stream.egress.port))
        keyed = one.await_reply(wire.Keyed)
        assert keyed.error == ""
        at_carrier.sendto(far.far.rtp(rtp_packet(1)), (OUTSIDE, stream.egress.port))
        assert at_pbx.recv(2048) == rtp_packet(1)


def test_openssl_as_the_far_end(tmp_path):
    """`openssl s_client` shakes hands and tells the keys; SRTP under these crosses."""
    ours, theirs = dtls_identity("ours"), dtls_identity("theirs")
    (tmp_path / "far.pem").write_text(theirs.certificate + theirs.key)
    with worker(ours) as one, far_socket(PBX) as at_pbx, far_socket(CARRIER) as at_carrier:
        stream = ends(one, at_pbx, at_carrier.getsockname(), wire.Dtls(False, (fingerprint(theirs),), (CM_80,)))
        one.put(stream)
        one.counts()
        where = (OUTSIDE, stream.egress.port)
        command = ["openssl", "s_client", "-dtls1_2", "-connect", f"{where[0]}:{where[1]}", "-bind", f"{CARRIER}:0"]
        command += ["-use_srtp", "SRTP_AES128_CM_SHA1_80", "-cert", str(tmp_path / "far.pem")]
        command += ["-keymatexport", "EXTRACTOR-dtls_srtp", "-keymatexportlen", "60"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
            told = b""
            deadline = time.monotonic() + PATIENCE
            while b"Keying material: " not in told and time.monotonic() < deadline:
                told += os.read(client.stdout.fileno(), 65_536)
            assert one.await_reply(wire.Keyed).error == ""
            octets = bytes.fromhex(re.search(rb"Keying material: ([0-9A-F]{120})", told)[1].decode())
            far = SecuredFar(
                CM_80, wire.MasterKey(octets[:16] + octets[32:46]), wire.MasterKey(octets[16:32] + octets[46:60])
            )
            for n in range(4):
                at_carrier.sendto(far.rtp(rtp_packet(n)), where)
            assert at_pbx.recv(2048) == rtp_packet(0)
            at_pbx.sendto(rtp_packet(5), (INSIDE, stream.ingress.port))
            assert far.opened(at_carrier.recv(2048)) == rtp_packet(5)
            client.kill()
