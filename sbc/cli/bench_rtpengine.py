"""Debian's rtpengine as a yardstick: started without its kernel module, told of calls over its ng protocol.

The protocol is a cookie, a space and a bencoded dictionary, in UDP datagrams, answered the same way. Used by `sbc bench
media`; nothing else in this program speaks to rtpengine.
"""

import contextlib
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from sbc.cli.bench_lab import Middle, UnavailableError

_PROGRAM: Final = "rtpengine"
_NG: Final = ("127.0.0.1", 2223)
_START_SECONDS: Final = 5.0
_ANSWER_SECONDS: Final = 2.0
_MEDIA: Final = re.compile(rb"^m=audio (\d+) ", re.MULTILINE)
_Address = tuple[str, int]


@contextlib.contextmanager
def rtpengine(middle: Middle, one_cpu: Sequence[str]) -> Iterator[tuple[int, socket.socket]]:
    """Its process id and a socket to say things on. `one_cpu`: the words before a command that is to stay on its CPU.

    Threads are as many as it likes: one, two and four cost the same here. Raises UnavailableError.
    """
    if shutil.which(_PROGRAM) is None:
        raise UnavailableError("no rtpengine here (Debian: rtpengine-daemon)")
    words = [
        *(_PROGRAM, "--config-file=none", "--foreground", "--log-stderr", "--log-level=3", "--table=-1"),
        *(f"--interface=in/{middle.inside}", f"--interface=out/{middle.outside}"),
        *(f"--listen-ng={_NG[0]}:{_NG[1]}", "--port-min=20000", "--port-max=59999"),
    ]
    with middle.namespace.entered():
        ng = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    command = middle.namespace.command([*one_cpu, *words])
    with (
        ng,
        subprocess.Popen(  # noqa: S603 - our own words
            command, pass_fds=[middle.namespace.fd], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process,
    ):
        try:
            _await(ng, process)
            yield process.pid, ng
        finally:
            process.kill()


def place(ng: socket.socket, call: int, caller: _Address, callee: _Address) -> tuple[int, int]:
    """One call, offer and answer: at which ports rtpengine hears the caller and the callee. Raises UnavailableError."""
    about: dict[bytes, object] = {
        b"ICE": b"remove",
        b"call-id": b"call-%d" % call,
        b"flags": [b"trust-address"],
        b"from-tag": b"a",
        b"replace": [b"origin", b"session-connection"],
    }
    offered = _ask(ng, about | {b"command": b"offer", b"direction": [b"in", b"out"], b"sdp": _sdp(caller)})
    answered = _ask(ng, about | {b"command": b"answer", b"to-tag": b"b", b"sdp": _sdp(callee)})
    return _port(answered), _port(offered)


def _await(ng: socket.socket, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + _START_SECONDS
    ng.settimeout(0.2)
    ng.connect(_NG)
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(ConnectionRefusedError, TimeoutError, UnavailableError):
            _ask(ng, {b"command": b"ping"})
            ng.settimeout(_ANSWER_SECONDS)
            return
        time.sleep(0.05)
    raise UnavailableError("rtpengine does not start here")


def _ask(ng: socket.socket, request: Mapping[bytes, object]) -> Mapping[bytes, object]:
    cookie = b"%d" % time.monotonic_ns()
    ng.send(cookie + b" " + bencode(request))
    while True:
        data = ng.recv(65_535)
        heard, _, body = data.partition(b" ")
        if heard == cookie:
            break
    answer = bdecode(body)
    if not isinstance(answer, dict) or answer.get(b"result") not in (b"ok", b"pong"):
        raise UnavailableError(f"rtpengine says {body[:200].decode('ascii', 'replace')}")
    return answer


def _port(answer: Mapping[bytes, object]) -> int:
    sdp = answer.get(b"sdp")
    found = _MEDIA.search(sdp) if isinstance(sdp, bytes) else None
    if found is None:
        raise UnavailableError("rtpengine answers without a port")
    return int(found[1])


def _sdp(address: _Address) -> bytes:
    host, port = address
    lines = ("v=0", f"o=- 1 1 IN IP4 {host}", "s=-", f"c=IN IP4 {host}", "t=0 0", f"m=audio {port} RTP/AVP 8", "")
    return "\r\n".join(lines).encode()


def bencode(value: object) -> bytes:
    """bytes, int, list and dict of bytes keys, sorted as the format asks."""
    match value:
        case bytes():
            return b"%d:%b" % (len(value), value)
        case int():
            return b"i%de" % value
        case list():
            return b"l" + b"".join(map(bencode, value)) + b"e"
        case dict():
            return b"d" + b"".join(bencode(key) + bencode(value[key]) for key in sorted(value)) + b"e"
        case _:
            raise TypeError(f"bencode has no {type(value).__name__}")


def bdecode(data: bytes) -> object:
    """The value that `data` begins with. Raises ValueError."""
    try:
        return _value(data, 0)[0]
    except (IndexError, RecursionError, TypeError) as error:
        raise ValueError("not bencoded") from error


def _value(data: bytes, at: int) -> tuple[object, int]:
    kind = data[at : at + 1]
    if kind == b"i":
        end = data.index(b"e", at)
        return int(data[at + 1 : end]), end + 1
    if kind in (b"l", b"d"):
        values, at = _values(data, at + 1)
        return (values if kind == b"l" else dict(zip(values[::2], values[1::2], strict=True))), at
    colon = data.index(b":", at)
    end = colon + 1 + int(data[at:colon])
    if end > len(data):
        raise ValueError("not bencoded: cut short")
    return data[colon + 1 : end], end


def _values(data: bytes, at: int) -> tuple[list[object], int]:
    values: list[object] = []
    while data[at] != ord("e"):
        value, at = _value(data, at)
        values.append(value)
    return values, at + 1
