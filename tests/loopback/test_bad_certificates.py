"""Nine bad certificates against `sbc run`: on each new connection, in both directions, with a call that is going on.

The call was set up over a connection that was lost since; the carrier comes back with a certificate that proves nothing
(RFC 5922 §7). Nothing of the call goes there and nothing is heard from there, and it goes on when he is himself again.
"""
# RFC: 5922 5923

import contextlib
import re
import socket
import ssl

import pytest

from sbc.testing.certificates import Authority, bad_certificates

pytestmark = pytest.mark.loopback

DOMAIN = "sip.carrier.example"
PATIENCE = 10.0
POLICY = """
sbc: {{name: test, data_dir: {data_dir}, admin: "{admin}", stop_after: 1s{sbc}}}
interfaces:
  inside: {{sip: ["udp:{host}.10:5060"], media: {host}.10}}
  outside:
    sip: ["tls:{host}.20:5061"]
    media: {host}.20
    tls: {{certificate: ours.pem, key: ours.key, authorities: ca.pem, revoked: ["sha256:REVOKED"]}}
media: {{ports: {ports}}}
pbxs:
  office: {{interface: inside, address: "sip:{host}.30:5060", dids: ["+14155550100"]}}
trunks:
  carrier:
    interface: outside
    servers: ["sip:{host}.40:5061;transport=tls"]
    tls: {{domain: sip.carrier.example, identity: certificate}}
routes:
  - {{name: out, from: office, to: ["+X."], via: [carrier]}}
"""
SDP = "v=0\r\no=x 1 {n} IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n{more}"
HOLD = "a=sendonly\r\n"  # an offer that changes nothing goes no further
KINDS = tuple(bad_certificates(Authority(), DOMAIN))


def message(start, *lines, body=""):
    described = ("Content-Type: application/sdp",) if body else ()
    return "\r\n".join([start, *lines, *described, f"Content-Length: {len(body)}", "", body]).encode()


def header(text, name):
    return re.search(rf"^{name}: (.*)\r$", text, re.MULTILINE)[1]


class Pbx:
    """One call over UDP."""

    def __init__(self, sock, host):
        self.sock, self.here, self.there = sock, f"{host}.30", f"{host}.10"
        self.answer, self.number = "", 0

    def asks(self, method):
        self.number += method != "ACK"
        uri, to = f"sip:+14155559999@{self.there}", f"<sip:+14155559999@{self.there}>"
        if self.answer:
            uri, to = re.search(r"<([^>]+)>", header(self.answer, "Contact"))[1], header(self.answer, "To")
        body = (
            SDP.format(host=self.here, n=self.number, port=6000, more=HOLD * (self.number > 1))
            if method == "INVITE"
            else ""
        )
        data = message(
            f"{method} {uri} SIP/2.0", f"Via: SIP/2.0/UDP {self.here}:5060;branch=z9hG4bK{method}{self.number}",
            "Max-Forwards: 70", f"From: <sip:+14155550100@{self.here}>;tag=pbx", f"To: {to}", "Call-ID: pbx",
            f"CSeq: {self.number} {method}", f"Contact: <sip:pbx@{self.here}:5060>", body=body,
        )  # fmt: skip
        self.sock.sendto(data, (self.there, 5060))

    def hears(self):
        """The final answer to what it asked last."""
        while True:
            text = self.sock.recv(65_536).decode()
            if header(text, "CSeq").split()[0] == str(self.number) and not text.startswith("SIP/2.0 1"):
                return text

    def is_answered(self):
        self.answer = self.hears()
        assert self.answer.startswith("SIP/2.0 200 "), self.answer
        self.asks("ACK")


class Carrier:
    """A TLS server that shows a certificate of the test's choice, and a client that does."""

    def __init__(self, host, authority, folder):
        self.here, self.there, self.authority, self.folder = f"{host}.40", f"{host}.20", authority, folder
        self.listener = socket.create_server((self.here, 5061))
        self.listener.settimeout(PATIENCE)
        self.connection, self.invite, self.spare = None, "", ""

    def shows(self, issued):
        self.pair = issued.write(self.folder, "carrier")

    def accepts(self):
        plain, _ = self.listener.accept()
        plain.settimeout(PATIENCE)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.pair)
        self.connection, self.spare = self._shaken(plain, context, server_side=True), ""

    def connects(self):
        plain = socket.create_connection((self.there, 5061), PATIENCE, (self.here, 0))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.authority.pem)
        context.load_cert_chain(*self.pair)
        self.connection, self.spare = self._shaken(plain, context, server_hostname="sbc.example"), ""

    def _shaken(self, plain, context, **more):
        try:
            return context.wrap_socket(plain, **more)
        except BaseException:
            plain.close()
            raise

    def reads(self):
        """One message."""
        while "\r\n\r\n" not in self.spare or len(self.spare.partition("\r\n\r\n")[2]) < self._length():
            data = self.connection.recv(65_536)
            if not data:
                return ""
            self.spare += data.decode()
        end = self.spare.index("\r\n\r\n") + 4 + self._length()
        text, self.spare = self.spare[:end], self.spare[end:]
        return text

    def _length(self):
        return int(header(self.spare, "Content-Length"))

    def says(self, data):
        self.connection.sendall(data)

    def answers(self, method):
        text = self.reads()
        assert text.startswith(f"{method} "), text
        to = header(text, "To")
        to += "" if ";tag=" in to else ";tag=carrier"
        lines = [f"{name}: {header(text, name)}" for name in ("Via", "From", "Call-ID", "CSeq")]
        contact = f"Contact: <sip:{self.here}:5061;transport=tls>"
        body = SDP.format(host=self.here, n=1, port=7000, more="") if method == "INVITE" else ""
        self.says(message("SIP/2.0 200 OK", *lines, f"To: {to}", contact, body=body))
        if method == "INVITE":
            self.invite = text
            assert self.reads().startswith("ACK ")

    def bye(self):
        """Of this dialog, by whoever it is."""
        target = re.search(r"<([^>]+)>", header(self.invite, "Contact"))[1]
        return message(
            f"BYE {target} SIP/2.0", f"Via: SIP/2.0/TLS {self.here}:5061;branch=z9hG4bKbye", "Max-Forwards: 70",
            f"From: {header(self.invite, 'To').partition(';tag=')[0]};tag=carrier",
            f"To: {header(self.invite, 'From')}",
            f"Call-ID: {header(self.invite, 'Call-ID')}", "CSeq: 1 BYE",
        )  # fmt: skip

    def closes(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def refused(self, how, data=b""):
        """Nothing is said on this new connection, and nothing heard; in TLS 1.3 an end may only learn it later."""
        try:
            how()
            if data:
                self.says(data)
            return self.connection.recv(65_536) == b""
        except (ssl.SSLError, ConnectionError):
            return True
        finally:
            self.closes()


@pytest.fixture
def authority():
    return Authority()


@pytest.fixture
def bad(authority):
    return bad_certificates(authority, DOMAIN)


@pytest.fixture
def process(start, authority, bad, tmp_path):
    authority.issue("sbc.example").write(tmp_path, "ours")
    (tmp_path / "ca.pem").write_text(authority.pem)
    template = POLICY.replace("REVOKED", bad["revoked"].fingerprint)
    for name in ("ours.pem", "ours.key", "ca.pem"):
        template = template.replace(name, str(tmp_path / name))
    return start(template=template).ready()


@pytest.fixture
def carrier(host, authority, tmp_path):
    carrier = Carrier(host, authority, tmp_path)
    with contextlib.closing(carrier.listener):
        yield carrier
        carrier.closes()


@pytest.fixture
def good(authority):
    return authority.issue(DOMAIN)


@pytest.fixture
def pbx(peer, host):
    return Pbx(peer, host)


def calls(process):
    return process.get("/api/v1/status")["calls"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_in_which_the_carriers_certificate_becomes_bad(process, carrier, pbx, bad, good, kind):
    carrier.shows(good)
    pbx.asks("INVITE")
    carrier.accepts()
    carrier.answers("INVITE")
    pbx.is_answered()
    carrier.closes()

    carrier.shows(bad[kind])
    assert carrier.refused(carrier.connects, carrier.bye())
    pbx.asks("INVITE")
    assert carrier.refused(carrier.accepts)
    assert re.match(r"SIP/2.0 (?!481|408)[45]", pbx.hears())
    pbx.asks("ACK")
    assert calls(process) == 1

    carrier.shows(good)
    pbx.asks("INVITE")
    carrier.accepts()
    carrier.answers("INVITE")
    pbx.is_answered()
    carrier.closes()

    carrier.shows(bad[kind])
    pbx.asks("BYE")
    assert carrier.refused(carrier.accepts)
    assert pbx.hears().startswith("SIP/2.0 200 ")
    process.until(lambda: calls(process) == 0)
    (refused, *_) = process.events("tls.refused")
    print(f"{kind}: {refused['reason']}")
    assert (refused["peer"], refused["alarm"]) == ("carrier", True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_call_neither_comes_from_a_bad_certificate_nor_goes_to_one(process, carrier, pbx, bad, kind):
    carrier.shows(bad[kind])
    options = message(
        "OPTIONS sip:sbc.example SIP/2.0", f"Via: SIP/2.0/TLS {carrier.here}:5061;branch=z9hG4bKo", "Max-Forwards: 70",
        "From: <sip:sip.carrier.example>;tag=1", "To: <sip:sbc.example>", "Call-ID: o", "CSeq: 1 OPTIONS",
    )  # fmt: skip
    for _ in range(2):
        assert carrier.refused(carrier.connects, options)
    pbx.asks("INVITE")
    assert carrier.refused(carrier.accepts)
    assert pbx.hears().startswith("SIP/2.0 5")
    pbx.asks("ACK")
    process.until(lambda: calls(process) == 0)
