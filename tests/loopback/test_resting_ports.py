"""The filters of media ports in the real kernel: who is let in, who is not, and what the real worker tells of it."""

import random
import socket
import subprocess
import sys
import time

import pytest

from sbc.media import wire
from sbc.media.mute import listen_to, mute, unmute
from sbc.media.worker.ports import dscp
from sbc.runtime.media_sockets import open_media_socket, open_pairs

pytestmark = pytest.mark.loopback

OURS, FAR, STRANGER = "127.0.0.10", "127.0.0.30", "127.0.0.66"


def reaches(port: socket.socket, host: str, *, source_port: int = 0) -> bool:
    """Loopback delivers before `sendto` returns."""
    with open_media_socket(host, source_port) as far:
        far.sendto(b"anything", port.getsockname()[:2])
        try:
            data, source = port.recvfrom(100)
        except BlockingIOError:
            return False
        assert (data, source[:2]) == (b"anything", far.getsockname()[:2])
        return True


def test_only_the_host_that_is_listened_to_is_heard_whole_and_from_any_port() -> None:
    with open_media_socket(OURS, 0) as port:
        listen_to(port, FAR)
        assert reaches(port, FAR)
        assert reaches(port, FAR)
        assert not reaches(port, STRANGER)
        assert not reaches(port, OURS)
        mute(port)
        assert not reaches(port, FAR)
        unmute(port)
        assert reaches(port, STRANGER)


@pytest.mark.parametrize(
    ("host", "is_heard"),
    [
        ("::1", True),
        ("::2", False),
        ("::1:0:1", False),
        ("0:0:1::1", False),
        ("1::1", False),
        ("2001:db8::1", False),
    ],
)
@pytest.mark.ipv6
def test_ipv6_is_compared_in_all_its_words(host: str, is_heard: bool) -> None:
    with open_media_socket("::1", 0) as port:
        listen_to(port, host)
        assert reaches(port, "::1") == is_heard


def test_a_stranger_does_not_make_a_port_readable() -> None:
    with open_media_socket(OURS, 0) as port, open_media_socket(STRANGER, 0) as stranger:
        listen_to(port, FAR)
        for _ in range(1000):
            stranger.sendto(bytes(172), port.getsockname())
        with pytest.raises(BlockingIOError):
            port.recv(1)


@pytest.mark.parametrize("host", ["pbx.example", "", "127.0.0.1/8"])
def test_what_is_no_address_is_an_error_and_changes_nothing(host: str) -> None:
    with open_media_socket(OURS, 0) as port:
        with pytest.raises(OSError, match="illegal"):
            listen_to(port, host)
        assert reaches(port, STRANGER)


@pytest.mark.parametrize("host", [OURS, pytest.param("::1", marks=pytest.mark.ipv6)])
def test_the_code_point_of_a_socket_is_known(host: str) -> None:
    with open_media_socket(host, 0, dscp=46) as marked, open_media_socket(host, 0) as plain:
        assert (dscp(marked), dscp(plain)) == (46, 0)


@pytest.mark.slow
def test_a_worker_tells_of_the_former_remote_of_a_pair_and_of_nobody_else() -> None:
    """The call is over; its remote goes on for a while, and a stranger sprays. Two seconds and a half, in real time."""
    control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    number = str(theirs.fileno())
    with (
        subprocess.Popen(
            [sys.executable, "-m", "sbc.media.worker", "--control-fd", number], pass_fds=[theirs.fileno()]
        ) as worker,
        control,
        open_media_socket(FAR, 0) as far,
        open_media_socket(STRANGER, 0) as stranger,
    ):
        theirs.close()
        control.settimeout(10)
        pairs = open_pairs(OURS, (20000, 29999), 3, (), random.Random(1).randrange)
        sockets = [one.fileno() for pair in pairs for one in (pair.rtp, pair.rtcp)]
        ports = tuple(pair.port for pair in pairs)
        remote = wire.Remote(FAR, far.getsockname()[1], 0)
        stream = wire.Stream(wire.End(OURS, ports[0], remote), wire.End(OURS, ports[1], remote))
        socket.send_fds(control, [wire.encode(wire.AddPorts(OURS, ports))], sockets)
        for request in (wire.PutSession("a", 1, (stream,)), wire.DeleteSession("a")):
            control.send(wire.encode(request))
        begun, told = time.monotonic(), []
        control.settimeout(0.05)
        while time.monotonic() < begun + 10 and len(told) < 2:
            far.sendto(bytes(172), (OURS, ports[0]))
            for port in ports[1:]:
                stranger.sendto(bytes(172), (OURS, port))
            try:
                reply = wire.decode_reply(control.recv(65_536))
            except TimeoutError:
                continue
            told += [reply] if isinstance(reply, wire.StillHeard) else []
        assert told == [wire.StillHeard(OURS, ports[0])] * 2
        assert time.monotonic() - begun > 2.5
        control.close()
        assert worker.wait(10) == 0
        for pair in pairs:
            pair.close()
