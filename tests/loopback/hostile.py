"""Clients that mean harm to a stream listener, and a PBX and a carrier whose calls must go on meanwhile.

Each kind of client is a function that is given a way to connect and leaves its connections as they are, for the test to
look at; whoever made the connections closes them.
"""

import contextlib
import re
import socket
import ssl
import struct
import time

PATIENCE = 20.0
SDP = "v=0\r\no=- 1 1 IN IP4 {0}\r\ns=-\r\nc=IN IP4 {0}\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
OPTIONS = (
    "OPTIONS sip:{host}.10 SIP/2.0\r\nVia: SIP/2.0/{transport} {host}.66:5060;branch=z9hG4bKhostile{n}\r\n"
    "Max-Forwards: 70\r\nFrom: <sip:a@{host}.66>;tag=1\r\nTo: <sip:{host}.10>\r\nCall-ID: hostile{n}\r\n"
    "CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
)


# --- good ones --------------------------------------------------------------------------------------------------------


class Office:
    """The PBX, over one connection that stays; the carrier answers by UDP."""

    def __init__(self, host, carrier, *, context=None):
        self.host, self.carrier, self.n = host, carrier, 0
        plain = socket.create_connection((f"{host}.10", 5061 if context else 5060), PATIENCE, (f"{host}.30", 0))
        self.transport = "TLS" if context else "TCP"
        self.stream = context.wrap_socket(plain, server_hostname="sbc.example") if context else plain
        self.unread = b""

    def calls(self):
        """One call is set up and ended. Raises TimeoutError where it is not; how long it took, in seconds."""
        began = time.monotonic()
        self.n += 1
        self.says("INVITE", 1, body=SDP.format(f"{self.host}.30"))
        invite = self._carrier_hears(b"INVITE ")
        self._carrier_says(invite, b"200 OK", SDP.format(f"{self.host}.40").encode())
        ok = self.hears(b"SIP/2.0 200", b"1 INVITE")
        tag = re.search(rb"\r\nTo: [^\r]*;tag=([^\r;]+)", ok)[1].decode()
        self.says("ACK", 1, tag=tag)
        self._carrier_hears(b"ACK ")
        self.says("BYE", 2, tag=tag)
        self._carrier_says(self._carrier_hears(b"BYE "), b"200 OK")
        self.hears(b"SIP/2.0 200", b"2 BYE")
        return time.monotonic() - began

    def says(self, method, number, *, tag=None, body=""):
        host = self.host
        lines = [
            f"{method} sip:+442079460001@{host}.10 SIP/2.0",
            f"Via: SIP/2.0/{self.transport} {host}.30:5060;branch=z9hG4bK{self.transport}{self.n}{method}",
            "Max-Forwards: 70",
            f"From: <sip:+14155550100@{host}.30>;tag=office{self.n}",
            f"To: <sip:+442079460001@{host}.10>" + (f";tag={tag}" if tag else ""),
            f"Call-ID: {self.transport}{self.n}@office",
            f"CSeq: {number} {method}",
            f"Contact: <sip:office@{host}.30:5060;transport=tcp>",
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        self.stream.sendall("\r\n".join([*lines, "", body]).encode())

    def hears(self, *words):
        """The next message of this call with these words."""
        words = (*words, f"Call-ID: {self.transport}{self.n}@office".encode())
        while True:
            head, blank, rest = self.unread.partition(b"\r\n\r\n")
            size = int(re.search(rb"Content-Length: (\d+)", head)[1]) if blank else 0
            if not blank or len(rest) < size:
                more = self.stream.recv(65536)
                assert more, "the good connection was closed"
                self.unread += more
                continue
            self.unread = rest[size:]
            if all(word in head for word in words):
                return head + blank + rest[:size]

    def _carrier_hears(self, start):
        while True:
            data, _ = self.carrier.recvfrom(65536)
            if data.startswith(b"OPTIONS"):
                self._carrier_says(data, b"200 OK")
            if data.startswith(start):
                return data

    def _carrier_says(self, request, status, body=b""):
        kept = [line for line in request.partition(b"\r\n\r\n")[0].split(b"\r\n") if _is_echoed(line)]
        kept = [line + b";tag=c" if line.startswith(b"To:") and b";tag=" not in line else line for line in kept]
        kept += [b"Contact: <sip:c@%b.40>" % self.host.encode()]
        kept += [b"Content-Type: application/sdp"] if body else []
        head = b"\r\n".join([b"SIP/2.0 " + status, *kept, b"Content-Length: %d" % len(body), b"", b""])
        self.carrier.sendto(head + body, (f"{self.host}.20", 5060))

    def close(self):
        self.stream.close()


def _is_echoed(line):
    return line.split(b":")[0] in (b"Via", b"From", b"To", b"Call-ID", b"CSeq", b"Record-Route")


def trusting():
    """A client that takes any certificate: what is tested here is the server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Door:
    """By which one source connects to one port; `keep` what is to be closed at last."""

    def __init__(self, host, last, port, keep):
        self.source, self.target, self.keep = (f"{host}.{last}", 0), (f"{host}.10", port), keep

    def __call__(self, window=None):
        """A connection, or a socket that was refused."""
        one = self.keep(socket.socket())
        if window:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        one.settimeout(5.0)
        with contextlib.suppress(OSError):
            one.bind(self.source)
            one.connect(self.target)
        return one

    def secured(self, window=None):
        """Raises OSError where there is no handshake."""
        return self.keep(trusting().wrap_socket(self(window), server_hostname="sbc.example"))


# --- bad ones, over TCP -----------------------------------------------------------------------------------------------


def options(host, n=0, transport="TCP"):
    return OPTIONS.format(host=host, n=n, transport=transport).encode()


def says_nothing(connect, _host):
    for _ in range(50):
        connect()


def one_octet_at_a_time(connect, host):
    streams = [connect() for _ in range(20)]
    for octet in options(host)[:30]:
        for stream in streams:
            with contextlib.suppress(OSError):
                stream.sendall(bytes([octet]))
        time.sleep(0.05)


def endless_header(connect, host):
    head = options(host).partition(b"Content-Length")[0]
    for _ in range(10):
        pour(connect(), head, b"X-More: and more\r\n" * 60, 100)


def huge_length(connect, host):
    for length in (b"4294967296", b"99999", b"-1", b"9" * 300):
        pour(connect(), options(host).replace(b"Length: 0", b"Length: " + length), b"a" * 1_000, 100)


def never_reads(connect, host):
    for i in range(3):
        stream = connect(window=2_048)
        for n in range(300):
            pour(stream, b"", b"".join(options(host, f"{i}x{n}x{m}") for m in range(50)), 1)


def half_closes(connect, host):
    for data in (b"", options(host), options(host)[:100], options(host) + options(host)[:50]):
        for _ in range(10):
            stream = connect()
            with contextlib.suppress(OSError):
                stream.sendall(data)
                stream.shutdown(socket.SHUT_WR)


def garbage(connect, _host):
    for i in range(30):
        octets = b"".join((i * 7919 + n * 104729).to_bytes(5) for n in range(2_000))
        pour(connect(), b"", octets + b"\r\n\r\n", 4)


def many_connections(connect, _host):
    for _ in range(400):
        connect()


def resets(connect, host):
    for n in range(200):
        stream = connect()
        with contextlib.suppress(OSError):
            stream.sendall(options(host)[: n * 2])
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stream.close()


def pour(stream, first, again, times):
    """As much as goes; a connection that is closed meanwhile has done what it should."""
    stream.settimeout(0.2)
    with contextlib.suppress(OSError):
        stream.sendall(first)
        for _ in range(times):
            stream.sendall(again)


OVER_TCP = (
    says_nothing, one_octet_at_a_time, endless_header, huge_length, never_reads, half_closes, garbage, many_connections,
    resets,
)  # fmt: skip

# --- bad ones, over TLS -----------------------------------------------------------------------------------------------


def hello():
    """What a client says first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting().wrap_bio(incoming, outgoing, server_hostname="sbc.example")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def garbage_for_a_hello(connect, _host):
    for first in (
        b"\x16\x03\x01\xff\xff",
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\xff",
        b"\x80\x2e\x01\x00\x02",
        bytes(300),
    ):
        for _ in range(5):
            pour(connect(), first, b"\xff" * 1_000, 20)


def slow_handshake(connect, _host):
    streams = [connect() for _ in range(20)]
    for octet in hello()[:30]:
        for stream in streams:
            with contextlib.suppress(OSError):
                stream.sendall(bytes([octet]))
        time.sleep(0.05)


def sip_without_tls(connect, host):
    for n in range(20):
        pour(connect(), b"", options(host, n), 5)


def old_version(connect, _host):
    """A client that knows nothing newer than TLS 1.1."""
    first = bytearray(hello())
    first[9:11] = b"\x03\x02"  # client_version; without supported_versions, which is spoilt, it is what is meant
    data = bytes(first).replace(b"\x00\x2b\x00", b"\x7a\x7a\x00")
    for _ in range(20):
        pour(connect(), data, b"", 0)


def flood_of_hellos(connect, _host):
    data = hello()
    for _ in range(300):
        pour(connect(), data, b"", 0)


def resets_in_the_handshake(connect, _host):
    data = hello()
    for n in range(100):
        stream = connect()
        with contextlib.suppress(OSError):
            stream.sendall(data[: n * 5])
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stream.close()


def never_reads_within_tls(connect, host):
    for i in range(3):
        with contextlib.suppress(OSError):
            stream = connect.secured(window=4_096)
            pour(stream, b"", b"".join(options(host, f"t{i}x{n}", "TLS") for n in range(50)), 200)


def breaks_off_within_tls(connect, host):
    """Half a message, and then records that nobody can decrypt."""
    for _ in range(10):
        with contextlib.suppress(OSError):
            stream = connect.secured()
            stream.sendall(options(host, transport="TLS")[:80])
            below = connect.keep(socket.socket(fileno=stream.detach()))
            pour(below, b"\x17\x03\x03\x00\x40" + bytes(64), b"\x15\x03\x03\x00\x02\x02\x28", 5)


OVER_TLS = (
    says_nothing, garbage_for_a_hello, slow_handshake, sip_without_tls, old_version, flood_of_hellos,
    resets_in_the_handshake, never_reads_within_tls, breaks_off_within_tls,
)  # fmt: skip
