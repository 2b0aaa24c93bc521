"""A TLS transport of ours on loopback, and its peers, which speak `trio.SSLStream`. For the tests of this folder."""

import contextlib
import socket
import ssl
import tempfile
from collections import Counter
from pathlib import Path

import trio

from sbc.core.address import Address, Flow, Transport
from sbc.policy.engine import Policy
from sbc.policy.model import Interface, Listener, Peer, Server, Settings
from sbc.policy.protection import InterfaceTls, PeerTls, Trust
from sbc.runtime.sockets import close_all, open_listeners
from sbc.runtime.tcp import TcpTransport
from sbc.runtime.tls_gate import TlsGate
from sbc.runtime.tls_rules import TlsRules
from sbc.sip.events import FlowClosed
from sbc.testing.certificates import Authority

DOMAIN = "sip.carrier.example"
OURS = "sbc.example"
AUTHORITY = Authority()
TRUST = Trust(authorities=AUTHORITY.pem)
OUR_PAIR = AUTHORITY.issue(OURS).pair("ours.pem")
GOOD = AUTHORITY.issue(DOMAIN)
_OPTIONS = b"OPTIONS sip:sbc@127.0.0.1 SIP/2.0\r\nContent-Length: %d\r\n\r\n%b"


def message(body=b""):
    return _OPTIONS % (len(body), body)


class FakeDriver:
    """Echoes whole messages through the transport."""

    def __init__(self):
        self.received, self.bad_frames, self.failed, self.closed = [], [], [], []
        self.on_receive = lambda data, flow: self.tcp.send(data, flow)  # noqa: PLW0108 - there is no tcp yet

    def receive(self, data, flow):
        self.received.append((data, flow))
        self.on_receive(data, flow)

    def bad_frame(self, data, flow, reason):
        self.bad_frames.append((data, reason))

    def handle(self, event):
        (self.closed if isinstance(event, FlowClosed) else self.failed).append(event)


def trunk(name="carrier", *, host="127.0.0.1", tls=None, kind="trunk", **changes):
    tls = tls or PeerTls(domains=(DOMAIN,))
    given = {"accept": (f"{host}/32",), "transports": frozenset((Transport.TLS,)), "tls": tls} | changes
    return Peer(name, kind, "outside", (Server(host, 5061, Transport.TLS),), **given)


def anybody():
    """A PBX that may come from anywhere."""
    return trunk("anybody", kind="pbx", accept=(), accepts_any=True, tls=PeerTls())


class Rig:
    def __init__(self, port, opened, policy):
        self.local = Address("127.0.0.1", port)
        self.opened = opened
        self.clients = []  # that a test may forget to close
        self.drops = Counter()
        self.driver = FakeDriver()
        self.rules = TlsRules(policy)
        self.rules.prepare(policy)
        self.gate = TlsGate(self.rules, self.drops, trio.current_time)
        self.tcp = self.driver.tcp = TcpTransport(
            opened, self.driver, self.knows, self.drops, trio.current_time, self.gate
        )

    def knows(self, interface, host, port, transport):
        return bool(self.rules.policy.tls_candidates(interface, host, port))

    def reload(self, policy):
        before = self.rules.policy.tls_profiles
        self.rules.prepare(policy)
        self.rules.set_policy(policy)
        self.tcp.judge_again(before)

    def flow_to(self, port, profile="carrier", host="127.0.0.1"):
        return Flow(Transport.TLS, "outside", self.local, Address(host, port), proved=(profile,))

    @property
    def flows(self):
        return [flow for _, flow in self.driver.received]


def policy_of(port, *peers, pairs=(OUR_PAIR,), trust=TRUST):
    listener = Listener(Transport.TLS, Address("127.0.0.1", port))
    interface = Interface("outside", (listener,), ("127.0.0.1",), tls=InterfaceTls(pairs, trust))
    return Policy(Settings(), interfaces=(interface,), peers=peers or (trunk(),))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.asynccontextmanager
async def running(*peers, **changes):
    port = free_port()
    policy = policy_of(port, *peers, **changes)
    opened = open_listeners(policy.interfaces.values())
    rig = Rig(port, opened, policy)
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(rig.tcp.run)
            rig.tcp.listen()
            yield rig
            nursery.cancel_scope.cancel()
    finally:
        close_all(opened)
        for stream in rig.clients:
            stream.socket.close()


# --- the other side ---------------------------------------------------------------------------------------------------


def context_of(issued=None, *, is_server, authority=AUTHORITY, needs_client=False):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if is_server else ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=authority.pem)
    if is_server and needs_client:
        context.verify_mode = ssl.CERT_REQUIRED
    if issued is not None:
        with tempfile.TemporaryDirectory() as folder:
            context.load_cert_chain(*issued.write(Path(folder), "peer"))
    return context


async def connect(rig, issued=None, *, context=None, source="127.0.0.1", name=OURS):
    """A client's stream; its handshake is done with the first octet."""
    stream = await connect_plain(rig, source)
    context = context or context_of(issued, is_server=False)
    return trio.SSLStream(stream, context, server_hostname=name, https_compatible=False)


async def connect_plain(rig, source="127.0.0.1"):
    sock = trio.socket.socket()
    await sock.bind((source, 0))
    await sock.connect((rig.local.host, rig.local.port))
    stream = trio.SocketStream(sock)
    rig.clients.append(stream)
    return stream


async def echoed(stream, body=b"hello"):
    """Whether what we send comes back."""
    try:
        with trio.fail_after(5):
            await stream.send_all(message(body))
            return await receive(stream, len(message(body))) == message(body)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return False


async def receive(stream, octets):
    data = b""
    with trio.fail_after(5):
        while len(data) < octets:
            some = await stream.receive_some()
            if not some:
                break
            data += some
    return data


async def until(condition, seconds=5):
    with trio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110 - it waits for the kernel
            await trio.sleep(0.001)


class Carrier:
    """A server of one certificate at a time. `streams`: what was accepted, after the handshake."""

    def __init__(self, listener, context):
        self.listener, self.context = listener, context
        self.port = listener.socket.getsockname()[1]
        self.plain = []
        self.streams, self.attempts, self.done, self.names = [], 0, 0, []

    async def run(self):
        async with trio.open_nursery() as nursery:
            while True:
                stream = await self.listener.accept()
                self.attempts += 1
                self.plain.append(stream)
                nursery.start_soon(self._shake, stream)

    async def _shake(self, stream):
        self.context.sni_callback = lambda _object, name, _context: self.names.append(name)
        secured = trio.SSLStream(stream, self.context, server_side=True, https_compatible=False)
        try:
            await secured.do_handshake()
            self.streams.append(secured)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            with contextlib.suppress(trio.BrokenResourceError):
                await stream.send_all(secured._outgoing.read())  # the alert; trio leaves it out
            await trio.aclose_forcefully(stream)
        self.done += 1


@contextlib.asynccontextmanager
async def serving(issued, **changes):
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    server = Carrier(listeners[0], context_of(issued, is_server=True, **changes))
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.run)
            yield server
            nursery.cancel_scope.cancel()
    finally:
        for stream in (*server.plain, server.listener):
            stream.socket.close()
