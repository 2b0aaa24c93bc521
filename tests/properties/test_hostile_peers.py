"""The engine with peers that log in, register, come from anywhere or are carriers with accounts, against anything that
their credentials, identities, bindings and challenges may hold: it never raises, keeps nothing, and gives nothing away.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.b2bua.commands import OpenPorts
from sbc.b2bua.events import CdrDurable, PortsOpened
from sbc.b2bua.switch import Switch
from sbc.cdr.record import CallRecord
from sbc.core.address import Address, Flow, Transport
from sbc.core.commands import StoreState
from sbc.policy.load import Source, parse_policy
from sbc.sip.auth.digest import Terms, digest_response
from sbc.sip.commands import SendMessage
from sbc.sip.headers.credentials import digests_in
from sbc.sip.message import Request
from sbc.sip.parse import ParseError, parse_message
from sbc.testing.seeds import seeded_ids

from .mutation import mutated, mutations_of

POLICY = """
sbc: {name: hq}
interfaces:
  inside: {sip: [udp:10.0.0.1:5060], media: 10.0.0.1}
  outside: {sip: [udp:203.0.113.1:5060], media: 203.0.113.1}
pbxs:
  office:
    interface: inside
    registers: true
    accept: any
    auth: {username: office, password: 0ff1ce, algorithms: [sha-256, md5]}
    dids: ["+14155550100-+14155550199"]
    caller_id: {mode: screen, default: "+14155550100"}
  branch:
    {interface: inside, registers: true, accept: any, auth: {username: branch, password: x9}, dids: ["+14155550200"]}
trunks:
  carrier:
    interface: outside
    servers: ["sip:198.51.100.7:5060"]
    auth: {username: acme, password: s3cret}
    register: {aor: "sip:acme@198.51.100.7"}
    health: {options: 30s}
routes:
  - {name: help, from: office, to: emergency, emergency: true, via: [carrier]}
  - {name: bar, to: premium, reject: 403}
  - {name: out, from: [office, branch], via: [carrier]}
  - {name: in, from: carrier, to: dids, disaster: [{forward: "+14155559999", via: [carrier]}]}
"""
CHALLENGED = ("INVITE", "REGISTER", "MESSAGE", "SUBSCRIBE", "PUBLISH", "NOTIFY")
LONG_ENOUGH = b"Subject: %b\r\n" % (b"x" * 400)  # for its challenge, which is no longer than the request
PASSWORDS = (b"0ff1ce", b"s3cret")
PBX = Flow(Transport.UDP, "inside", Address("10.0.0.1", 5060), Address("192.0.2.66", 5060))
CARRIER = Flow(Transport.UDP, "outside", Address("203.0.113.1", 5060), Address("198.51.100.7", 5060))
SDP = b"v=0\r\no=- 1 1 IN IP4 192.0.2.66\r\ns=-\r\nc=IN IP4 192.0.2.66\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
PIDF = (
    b"--b\r\nContent-Type: application/sdp\r\n\r\n%b\r\n--b\r\nContent-Type: application/pidf+xml\r\n\r\n<p/>\r\n--b--"
    % SDP
)

HEAD = (
    b"Via: SIP/2.0/UDP 192.0.2.66:5060;branch=z9hG4bK%d;rport\r\nMax-Forwards: 70\r\n"
    b"From: <sip:+14155550100@x>;tag=a\r\nTo: <sip:%b@10.0.0.1>\r\nCall-ID: x@y\r\nCSeq: %d %b\r\n"
)
REGISTER_FIELDS = (
    b"Contact: <sip:office@192.0.2.66;transport=udp>;q=0.5;expires=600, <sip:192.0.2.67;bnc>;expires=60\r\n"
    b"Path: <sip:p1;lr>, <sip:p2;lr>\r\nSupported: path, gin\r\nRequire: gin\r\nExpires: 300\r\n"
)
INVITE_FIELDS = (
    b'Contact: <sip:office@192.0.2.66>\r\nP-Asserted-Identity: "A" <sip:+14155550101@x>, <tel:+1-415-555-0102>\r\n'
    b"P-Preferred-Identity: <sip:+14155550103@x;user=phone>\r\nPrivacy: id;critical\r\n"
    b"Diversion: <sip:+14155550104@x>;reason=user-busy;counter=2;privacy=full\r\n"
    b"History-Info: <sip:+14155550105@x?Reason=SIP%3Bcause%3D302&Privacy=history>;index=1\r\n"
    b"History-Info: <sip:b@x;cause=302>;index=1.1\r\n"
    b"Geolocation: <cid:a@b>\r\nGeolocation-Routing: yes\r\n"
)
CHALLENGE = (
    b'WWW-Authenticate: Digest realm="c", nonce="n,\\"o\\"", algorithm=MD5, qop="auth,auth-int", opaque="5", '
    b"stale=false\r\n"
)
SPICE = [
    b"\r\n", b"\r\n ", b'"', b"\\", b"<", b">", b";", b",", b"=", b"?", b"@", b":", b" ", b"\t", b"\xff",
    b"%00", b"%", b"%2B", b"*", b"[::1]", b"99999999999999", b"-1", b"0", b"tel:", b"sips:", b";bnc", b";lr",
    b";expires=0", b";q=2", b"+1900", b"911", b"anonymous", b".invalid", b"Digest ", b"Basic ", b"auth-int",
    b"-sess", b"stale=true", b"realm=", b'nonce=""', b"\xef\xbc\x91", b";index=1.1.1", b"?Privacy=x", b"&",
    b"--b", b"--b--", b"\r\nContact: *", b"\r\nExpires: 0", b"\r\nMin-Expires: 7200", b"\r\nRetry-After: 9",
    b"\r\nContent-Type: multipart/mixed;boundary=b",
]  # fmt: skip

mutations = mutations_of(SPICE, within=900, most=6)


@pytest.fixture(scope="module")
def policy():
    return parse_policy([Source("test.yaml", POLICY.encode())])


class Engine:
    """Performs what is needed for calls and registrations; every octet that it sends is looked at."""

    def __init__(self, policy):
        self.switch = Switch(policy, seeded_ids())
        self.now = 0.0
        self.n = 0
        self.to_carrier, self.kept = [], {}
        self.perform(self.switch.start(0.0))

    def receive(self, data, flow):
        return self.perform(self.switch.receive(data, flow, self.now))

    def perform(self, commands):
        sent = []
        for command in commands:
            assert getattr(command, "event", "") != "call.crashed", command
            match command:
                case OpenPorts():
                    ports = tuple(range(20000, 20000 + 2 * command.pairs, 2))
                    self.perform(self.switch.handle(PortsOpened(command.local, ports), self.now))
                case StoreState(key, value):
                    self.kept[key] = value
                case SendMessage(flow, data):
                    assert not any(password in data for password in PASSWORDS)
                    head = data.partition(b"\r\n\r\n")[0]  # a location in the body is its caller's
                    assert head.count(b"\n") == head.count(b"\r\n")
                    sent.append(command)
                    if flow.interface == "outside" and not data.startswith((b"SIP/2.0", b"\r\n")):
                        self.to_carrier.append(data)
            record = getattr(command, "record", None)
            if isinstance(record, CallRecord):
                self.perform(self.switch.handle(CdrDurable(record.ref), self.now))
        return sent

    def challenge(self):
        """What a stranger is asked for."""
        self.n += 1
        data = b"REGISTER sip:10.0.0.1 SIP/2.0\r\n" + HEAD % (self.n, b"office", self.n, b"REGISTER")
        (answer,) = self.receive(data + LONG_ENOUGH + b"Content-Length: 0\r\n\r\n", PBX)
        return digests_in(parse_message(answer.data, stream=False), "WWW-Authenticate")[-1]

    def asks(self, method, user, fields, *, branch, body=b""):
        """A request with good credentials."""
        asked = self.challenge()
        realm, nonce = asked.value("realm"), asked.value("nonce")
        uri = f"sip:{user}@10.0.0.1"
        terms = Terms(method, uri, realm, nonce, qop="auth", nc="00000001", cnonce="c")
        response = digest_response(terms, "office", "0ff1ce")
        given = (
            f'Authorization: Digest username="office", realm="{realm}", nonce="{nonce}", uri="{uri}", qop=auth, '
            f'nc=00000001, cnonce="c", response="{response}"\r\n'
        ).encode()
        self.n += 1
        head = HEAD % (branch, b"office" if method == "REGISTER" else user.encode(), self.n, method.encode())
        size = b"Content-Length: %d\r\n\r\n" % len(body)
        return self.receive(f"{method} {uri} SIP/2.0\r\n".encode() + head + given + fields + size + body, PBX)

    def answers(self, status, changes, *, but=()):
        """The carrier answers the last request that it got, with a mutated tail."""
        requests = [data for data in self.to_carrier if not data.startswith(but or b"-")]
        if not requests:
            return
        request = parse_message(requests[-1], stream=False)
        echo = b"".join(
            f"{name}: {value}\r\n".encode()
            for name, value in request.fields
            if name in ("Via", "From", "Call-ID", "CSeq")
        )
        to = f"To: {request.header('To')};tag=z\r\nContact: {request.header('Contact') or '<sip:c@198.51.100.7>'}\r\n"
        tail = mutated(to.encode() + CHALLENGE + b"Expires: 600\r\n", changes)
        self.receive(b"SIP/2.0 %d X\r\n" % status + echo + tail + b"Content-Length: 0\r\n\r\n", CARRIER)

    def runs_off(self):
        """Everybody falls silent: calls and transactions end; only the registration goes on trying."""
        for _ in range(2_000):
            deadline = self.switch.next_deadline()
            if deadline is None or deadline > 30_000:
                break
            self.now = max(self.now, deadline)
            self.perform(self.switch.tick(self.now))
            if self.now > 600 and not self.switch.calls:
                break
        assert not self.switch.calls
        assert sum(view.used for view in self.switch.relations.paths.views(0.0)) == 0


@given(mutations, mutations)
def test_any_registration_leaves_bindings_that_can_be_called_or_none(policy, changes, others):
    engine = Engine(policy)
    for n, change in enumerate((changes, others)):
        answers = engine.asks("REGISTER", "10.0.0.1", mutated(REGISTER_FIELDS, change), branch=1000 + n)
        assert len(answers) <= 1
    assert set(engine.kept) <= {"register/carrier", "binding/office/office"}
    bindings = engine.switch.relations.registrar.bindings_for("office", "+14155550100")
    assert len(bindings) <= 10
    for binding in bindings:
        assert binding.flow.remote == PBX.remote
    invite = b"INVITE sip:+14155550100@203.0.113.1 SIP/2.0\r\n" + HEAD % (2000, b"+14155550100", 1, b"INVITE")
    sent = engine.receive(invite + b"Contact: <sip:c@198.51.100.7>\r\nContent-Length: 0\r\n\r\n", CARRIER)
    assert all(one.flow.remote in (PBX.remote, CARRIER.remote) for one in sent)
    engine.runs_off()


@given(
    st.sampled_from(["+442079460001", "911", "+19005550100", "21"]),
    mutations,
    st.sampled_from(
        [
            (b"", b""),
            (b"Content-Type: application/sdp\r\n", SDP),
            (b"Content-Type: multipart/mixed;boundary=b\r\n", PIDF),
        ]
    ),
    mutations,
    st.lists(st.tuples(st.sampled_from([100, 183, 200, 302, 401, 407, 403, 423, 503]), mutations), max_size=4),
)
def test_any_call_of_a_pbx_and_any_answer_to_it_ends(policy, user, changes, body, on_body, answers):
    engine = Engine(policy)
    kind, octets = body
    engine.asks("INVITE", user, mutated(INVITE_FIELDS + kind, changes), branch=1000, body=mutated(octets, on_body))
    for status, change in answers:
        engine.answers(status, change, but=b"OPTIONS")
    for data in engine.to_carrier:
        message = parse_message(data, stream=False)
        assert isinstance(message, Request)
        assert b"192.0.2.66" not in data.partition(b"\r\n\r\n")[0]
        if message.method == "INVITE":
            assert "1900" not in message.uri_text
    engine.runs_off()


@given(st.lists(st.tuples(st.sampled_from([200, 301, 401, 407, 403, 423, 503]), mutations), min_size=1, max_size=5))
def test_any_answer_of_a_registrar_leaves_a_registration_that_goes_on(policy, answers):
    engine = Engine(policy)
    for status, change in answers:
        engine.answers(status, change, but=(b"INVITE", b"OPTIONS"))
    (view,) = [p.registration for p in engine.switch.snapshot(engine.now).peers if p.name == "carrier"]
    assert view.state in ("registering", "registered", "failing", "rejected")
    assert view.next_at is not None or view.state == "registering"
    assert engine.switch.next_deadline() <= engine.now + 7 * 86_400


@given(mutations, st.sampled_from(CHALLENGED))
def test_any_credentials_of_a_stranger_get_one_answer_at_most_and_leave_nothing(policy, changes, method):
    engine = Engine(policy)
    asked = engine.challenge()
    before = len(engine.switch.endpoint.layer)
    given = (
        f'Authorization: Digest username="office", realm="hq", nonce="{asked.value("nonce")}", uri="sip:1@10.0.0.1", '
        'qop=auth, nc=00000001, cnonce="c", response="0123456789abcdef0123456789abcdef"\r\n'
    ).encode()
    head = HEAD % (77, b"1", 77, method.encode())
    data = (
        method.encode() + b" sip:1@10.0.0.1 SIP/2.0\r\n" + head + mutated(given, changes) + b"Content-Length: 0\r\n\r\n"
    )
    sent = engine.receive(data, PBX)
    assert len(sent) <= 1
    assert len(engine.switch.endpoint.layer) == before
    assert not engine.switch.calls
    for one in sent:
        assert one.flow.remote == PBX.remote
        assert parse_message(one.data, stream=False).status == 401


@given(mutations, st.sampled_from(["BYE", "OPTIONS", "CANCEL", "ACK", "REFER", "INFO", "UPDATE", "PRACK", "X"]))
def test_what_may_not_come_from_anywhere_is_never_answered(policy, changes, method):
    engine = Engine(policy)
    data = method.encode() + b" sip:1@10.0.0.1 SIP/2.0\r\n" + HEAD % (77, b"1", 77, method.encode())
    data = mutated(data + b"Content-Length: 0\r\n\r\n", changes)
    try:
        message = parse_message(data, stream=False)
    except ParseError:
        message = None
    if isinstance(message, Request) and message.method in CHALLENGED:
        return
    before = len(engine.switch.endpoint.layer)
    assert engine.receive(data, PBX) == []
    assert len(engine.switch.endpoint.layer) == before
