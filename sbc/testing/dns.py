"""A name server for tests: real sockets on the loopback, UDP and TCP, with answers and misbehaviour as a test says.

It runs in a thread, so that it serves tests of any kind, also those that start whole processes. Used by tests/runtime,
tests/loopback and tests/interop.
"""

import selectors
import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

_SOA: Final = "ns.test. admin.test. 1 3600 600 86400 {ttl}"
_LOOK_SECONDS: Final = 0.02
_CONNECTION_SECONDS: Final = 2.0

Key = tuple[str, str]  # name without a final dot, type


class DnsServer:
    """`with DnsServer("127.0.0.53") as server:`; it listens on `server.address`, a port of the system's choice.

    What is not in the zone does not exist (NXDOMAIN), or has no such record where the name has others (NODATA); both
    with a SOA that says `negative_ttl`. The tables may be changed at any time.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.negative_ttl = 30
        self.silent: set[str] = set()  # names that are never answered; "*": none is
        self.refusing: dict[str, str] = {}  # name or "*": the RCODE it is answered with, as "SERVFAIL"
        self.delays: dict[str, float] = {}  # name: seconds before it is answered
        self.truncated: set[str] = set()  # names that are answered in full by TCP alone
        self.garbage: set[str] = set()  # names whose answer comes after octets that are none
        self.asked: list[tuple[str, str, str]] = []  # udp or tcp, name, type
        self._zone: dict[Key, tuple[int, tuple[str, ...]]] = {}
        self._udp, self._tcp = _pair(host, port)
        self.address: tuple[str, int] = self._udp.getsockname()[:2]
        self._stopped = threading.Event()
        self._timers: list[threading.Timer] = []
        self._thread = threading.Thread(target=self._serve, name="dns server of a test", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """From now on nobody is here: requests are refused by ICMP and RST."""
        self._stopped.set()
        self._thread.join()
        for timer in self._timers:
            timer.cancel()
            timer.join()
        self._udp.close()
        self._tcp.close()

    def add(self, name: str, kind: str, *records: str, ttl: int = 60) -> None:
        """`add("_sip._udp.carrier.test", "SRV", "10 60 5060 a.carrier.test.")`: records as in a zone file."""
        self._zone[name.lower(), kind] = (ttl, records)

    def remove(self, name: str) -> None:
        for key in [key for key in self._zone if key[0] == name.lower()]:
            del self._zone[key]

    def times_asked(self, name: str, kind: str | None = None) -> int:
        return sum(asked == name.lower() and kind in (None, type_) for _, asked, type_ in tuple(self.asked))

    # --- the thread ---------------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._udp, selectors.EVENT_READ, self._datagram)
            selector.register(self._tcp, selectors.EVENT_READ, self._connection)
            while not self._stopped.is_set():
                for key, _ in selector.select(_LOOK_SECONDS):
                    key.data()

    def _datagram(self) -> None:
        data, source = self._udp.recvfrom(65_535)
        self._take("udp", data, lambda answer: self._udp.sendto(answer, source))

    def _connection(self) -> None:
        connection, _ = self._tcp.accept()
        with connection:
            connection.settimeout(_CONNECTION_SECONDS)
            try:
                (length,) = struct.unpack("!H", connection.recv(2, socket.MSG_WAITALL))
                data = connection.recv(length, socket.MSG_WAITALL)
                self._take("tcp", data, lambda answer: connection.sendall(struct.pack("!H", len(answer)) + answer))
            except (OSError, struct.error):
                return

    def _take(self, transport: str, data: bytes, send: Callable[[bytes], object]) -> None:
        try:
            query = dns.message.from_wire(data)
        except dns.exception.DNSException:
            return
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append((transport, name, kind))
        if self.silent & {name, "*"}:
            return
        answer = self._answer(query, name, kind)
        if transport == "udp" and name in self.truncated:
            answer.answer.clear()
            answer.flags |= dns.flags.TC
        if transport == "udp" and name in self.garbage:
            for rubbish in (b"", b"\0", data[:12], b"\xff" * 600, dns.message.make_query(name, kind).to_wire()):
                send(rubbish)
        if name in self.delays and transport == "udp":
            timer = threading.Timer(self.delays[name], self._send_late, (send, answer.to_wire()))
            self._timers.append(timer)
            timer.start()
        else:
            send(answer.to_wire())

    def _send_late(self, send: Callable[[bytes], object], answer: bytes) -> None:
        if not self._stopped.is_set():
            send(answer)

    def _answer(self, query: dns.message.Message, name: str, kind: str) -> dns.message.Message:
        answer = dns.message.make_response(query, recursion_available=True)
        refusal = self.refusing.get(name) or self.refusing.get("*")
        if refusal is not None:
            answer.set_rcode(dns.rcode.from_text(refusal))
            return answer
        for _ in range(8):  # a CNAME, and what it stands for, in one answer
            if self._add(answer, name, kind):
                return answer
            alias = self._zone.get((name, "CNAME"))
            if alias is None:
                break
            self._add(answer, name, "CNAME")
            name = alias[1][0].lower().removesuffix(".")
        if not any(known == name or known.endswith(f".{name}") for known, _ in self._zone):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        soa = dns.rrset.from_text("test.", self.negative_ttl, "IN", "SOA", _SOA.format(ttl=self.negative_ttl))
        answer.authority.append(soa)
        return answer

    def _add(self, answer: dns.message.Message, name: str, kind: str) -> bool:
        ttl, records = self._zone.get((name, kind), (0, ()))
        if records:
            answer.answer.append(dns.rrset.from_text_list(dns.name.from_text(name), ttl, "IN", kind, records))
        return bool(records)


def _pair(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    """Both sockets at one port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(50):
        tcp = socket.socket(family, socket.SOCK_STREAM)
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tcp.bind((host, port))
        udp = socket.socket(family, socket.SOCK_DGRAM)
        try:
            udp.bind(tcp.getsockname()[:2])
        except OSError:
            tcp.close()
            udp.close()
            if port:
                raise
            continue
        tcp.listen()
        return udp, tcp
    raise OSError(f"no port is free on {host} for both UDP and TCP")
