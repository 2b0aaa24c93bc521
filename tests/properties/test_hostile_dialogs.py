"""Calls and subscriptions whose ends may send anything within their dialogs, at any moment: requests of any method and
answers to ours, with spoilt header fields and bodies. The engine never needs its crash barrier, and keeps nothing.
"""

from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbc.b2bua.commands import OpenPorts
from sbc.b2bua.events import CdrDurable, DrainOrdered, PortsOpened
from sbc.b2bua.switch import Switch
from sbc.cdr.record import CallRecord
from sbc.core.address import Address, Flow, Transport
from sbc.policy.load import Source, parse_policy
from sbc.sip.commands import SendMessage
from sbc.sip.message import Request, Response
from sbc.sip.parse import parse_message
from sbc.testing.seeds import seeded_ids

from .mutation import mutated, mutations_of

MORE = (
    "methods: [INVITE, UPDATE, INFO, REFER, MESSAGE, SUBSCRIBE, NOTIFY, PUBLISH, OPTIONS], "
    "events: [refer, message-summary, dialog, presence], transfer: %s, redirect: follow, t38: pass"
)
POLICY = f"""
sbc: {{name: hq}}
interfaces:
  inside: {{sip: [udp:10.0.0.1:5060], media: 10.0.0.1}}
  outside: {{sip: [udp:203.0.113.1:5060], media: 203.0.113.1}}
pbxs:
  office: {{interface: inside, address: sip:10.0.0.5, dids: ["+14155550100-+14155550199"], {MORE % "terminate"}}}
trunks:
  carrier: {{interface: outside, servers: ["sip:198.51.100.7"], {MORE % "pass"}, delayed_offer: pass}}
routes:
  - {{name: help, from: office, to: emergency, emergency: true, via: [carrier]}}
  - {{name: in, from: [carrier, office], to: dids}}
  - {{name: out, from: [office, carrier], via: [carrier]}}
"""
OFFICE, CARRIER = "office", "carrier"
DID, FAR = "+14155550100", "+442079460001"
ADDRESSES = {OFFICE: "10.0.0.5", CARRIER: "198.51.100.7"}
OURS = {OFFICE: "10.0.0.1", CARRIER: "203.0.113.1"}
FLOWS = {
    OFFICE: Flow(Transport.UDP, "inside", Address("10.0.0.1", 5060), Address("10.0.0.5", 5060)),
    CARRIER: Flow(Transport.UDP, "outside", Address("203.0.113.1", 5060), Address("198.51.100.7", 5060)),
}
SDP = (
    b"v=0\r\no=- 1 1 IN IP4 10.0.0.5\r\ns=-\r\nc=IN IP4 10.0.0.5\r\nt=0 0\r\n"
    b"m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n"
)
OTHER_SDP = SDP.replace(b"1 1 IN", b"1 2 IN") + b"a=sendonly\r\nm=image 4002 udptl t38\r\n"
DIALOGS = (
    b'<?xml version="1.0"?><dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info" version="1" state="full" '
    b'entity="sip:a@10.0.0.5"><dialog id="x" call-id="c" local-tag="1" remote-tag="2"><state>confirmed</state>'
    b"<!-- 10.0.0.5 --></dialog></dialog-info>"
)
# %b is the Replaces of a dialog that there is.
REFERS = (
    b"Refer-To: <sip:+14155550101@10.0.0.1?Replaces=%b&Subject=a>\r\n"
    b'Referred-By: <sip:+14155550100@x>;cid="a@b"\r\nRefer-Sub: true\r\n'
)
NOTIFIES = (
    b"Event: dialog\r\nSubscription-State: active;expires=60;reason=giveup;retry-after=3\r\n"
    b"Content-Type: application/dialog-info+xml\r\n"
)
# Of each method what gives it a meaning.
TAILS = {
    "INVITE": (b"Session-Expires: 1800;refresher=uac\r\nMin-SE: 90\r\nSupported: timer, 100rel\r\n", SDP),
    "UPDATE": (b"Session-Expires: 90;refresher=uas\r\nAllow: UPDATE, INVITE\r\nSupported: timer\r\n", OTHER_SDP),
    "PRACK": (b"RAck: 1 1 INVITE\r\n", b""),
    "BYE": (b"Reason: Q.850;cause=16, SIP;cause=200\r\n", b""),
    "CANCEL": (b"Reason: SIP;cause=200\r\n", b""),
    "ACK": (b"", SDP),
    "INFO": (b"Info-Package: a\r\nContent-Type: application/dtmf-relay\r\n", b"Signal=5\r\nDuration=160\r\n"),
    "MESSAGE": (b"Content-Type: text/plain;charset=utf-8\r\nExpires: 60\r\nSubject: x\r\n", b"hello"),
    "REFER": (REFERS, b""),
    "NOTIFY": (NOTIFIES, DIALOGS),
    "SUBSCRIBE": (b"Event: dialog;id=1\r\nExpires: 600\r\nAccept: application/dialog-info+xml\r\n", b""),
    "PUBLISH": (b"Event: presence\r\nExpires: 600\r\nSIP-If-Match: x\r\n", b""),
    "OPTIONS": (b"Accept: */*\r\n", b""),
}  # fmt: skip
COMMON = (
    b"Session-ID: 0123456789abcdef0123456789abcdef;remote=00000000000000000000000000000000\r\n"
    b"User-to-User: 56a390f3d2b7;encoding=hex;purpose=x\r\nP-Early-Media: sendrecv\r\nAlert-Info: <urn:alert:a:b>\r\n"
    b"Privacy: id\r\nP-Asserted-Identity: <sip:+14155550101@x>\r\nRecv-Info: a\r\n"
)
ANSWERED = (
    b"Contact: <sip:b@10.0.0.5>;isfocus\r\nSession-Expires: 1800;refresher=uas\r\nMin-SE: 90\r\nAllow: UPDATE\r\n"
    b"Require: 100rel, timer\r\nRSeq: 1\r\nExpires: 600\r\nSIP-ETag: x\r\nMin-Expires: 60\r\nRetry-After: 1\r\n"
    b"Refer-Sub: false\r\nAccept: text/plain\r\n"
)
SPICE = [
    b"\r\n", b"\r\n ", b'"', b"\\", b"<", b">", b";", b",", b"=", b"?", b"@", b":", b" ", b"\t", b"\xff", b"\0",
    b"%00", b"%0d%0a", b"%", b"*", b"[::1]", b"99999999999999", b"-1", b"0", b"1", b"4294967296", b"2147483647",
    b"tel:", b"sips:", b";early-only", b";to-tag=", b";from-tag=0", b";refresher=uac", b";refresher=uas",
    b";expires=0", b";id=", b";remote=", b"terminated", b"pending", b"noresource", b"refer", b"message-summary",
    b"message/sipfrag", b"SIP/2.0 200 OK", b"application/sdp", b"&", b"&#", b"<![CDATA[", b"<!--", b"-->", b"]]>",
    b"m=audio 0 RTP/AVP 0\r\n", b"a=inactive\r\n", b"+14155550100", b"+1900", b"911", b"anonymous", b"100rel", b"timer",
    b"\r\nEvent: refer", b"\r\nRequire: 100rel", b"\r\nMin-SE: 9999999999", b"\r\nSession-Expires: 1", b"\r\nAllow:",
    b"\r\nContact: *", b"\r\nContact: <sip:x>", b"\r\nReplaces: a;to-tag=b;from-tag=c", b"\r\nSupported:",
    b"\xef\xbc\x91",
]  # fmt: skip

mutations = mutations_of(SPICE, within=700, most=3)
who = st.sampled_from([OFFICE, CARRIER])
methods = st.sampled_from(sorted(TAILS))
statuses = st.sampled_from([100, 180, 183, 199, 200, 202, 302, 401, 405, 408, 422, 423, 481, 488, 489, 491, 500, 603])
ordinary = st.just([])
said = st.one_of(ordinary, mutations)

request = st.tuples(st.just("request"), who, methods, said, st.booleans(), st.integers(0, 5))
answer = st.tuples(st.just("answer"), who, statuses, said, st.booleans(), st.integers(0, 5))
begins = st.tuples(st.just("begins"), who, methods, said, st.booleans(), st.integers(0, 5))
passes = st.tuples(st.just("time"), st.sampled_from([0.5, 3.0, 33.0, 900.0]))
steps = st.lists(st.one_of(request, request, answer, answer, begins, passes), max_size=10)


@pytest.fixture(scope="module")
def policy():
    return parse_policy([Source("test.yaml", POLICY.encode())])


def own_address(text, peer):
    return text.replace(ADDRESSES[OFFICE].encode(), ADDRESSES[peer].encode())


class Ends:
    """The engine, and two peers that know every dialog that they are in, and every request that they have not answered.

    `dialogs`: of each peer, as (Call-ID, its own tag, ours). `asked`: of each peer. `open`: requests that were not
    spoilt and have no final response.
    """

    def __init__(self, policy):
        self.switch = Switch(policy, seeded_ids())
        self.now, self.n = 0.0, 100
        self.dialogs = {OFFICE: [], CARRIER: []}
        self.asked = {OFFICE: [], CARRIER: []}
        self.open = set()
        self.invited = {OFFICE: 0, CARRIER: 0}  # the number of the last INVITE of each
        self.perform(self.switch.start(0.0))

    def perform(self, commands):
        for command in commands:
            assert getattr(command, "event", "") != "call.crashed", command
            match command:
                case OpenPorts():
                    ports = tuple(range(20000, 20000 + 2 * command.pairs, 2))
                    self.perform(self.switch.handle(PortsOpened(command.local, ports), self.now))
                case SendMessage(flow, data):
                    self.heard(OFFICE if flow.interface == "inside" else CARRIER, data)
            record = getattr(command, "record", None)
            if isinstance(record, CallRecord):
                self.perform(self.switch.handle(CdrDurable(record.ref), self.now))

    def heard(self, peer, data):
        assert b"\n" not in data.partition(b"\r\n\r\n")[0].replace(b"\r\n", b"")
        other = ADDRESSES[CARRIER if peer == OFFICE else OFFICE].encode()
        assert other not in data
        message = parse_message(data, stream=False)
        if isinstance(message, Request):
            self.asked[peer] = [*self.asked[peer][-5:], message]
            self.knows(peer, (message.call_id, "z", message.from_.tag))
        elif isinstance(message, Response) and message.status >= 200:
            self.open.discard((message.call_id, message.cseq.number, message.cseq.method))
        if isinstance(message, Response) and message.to.tag:
            self.knows(peer, (message.call_id, message.from_.tag, message.to.tag))

    def knows(self, peer, dialog):
        if dialog not in self.dialogs[peer]:
            self.dialogs[peer].append(dialog)

    def receive(self, peer, data):
        self.perform(self.switch.receive(data, FLOWS[peer], self.now))

    def replaces(self, peer):
        """The dialog that this peer has heard of last but one, as it names it."""
        call_id, tag, ours = self.dialogs[peer][-2:][0] if self.dialogs[peer] else ("c", "1", "2")
        return f"{call_id};to-tag={ours};from-tag={tag}"

    def asks(self, peer, method, changes, *, body, dialog, replaces=False):
        """A request within a dialog, or one that begins something where that is None."""
        self.n += 1
        number = self.invited[peer] if method in ("ACK", "CANCEL") else self.n
        branch = number if method == "CANCEL" else self.n
        if method == "INVITE":
            self.invited[peer] = number
        call_id, tag, ours = (f"c{self.n}", f"t{self.n}", None) if dialog is None else dialog
        tail, text = TAILS[method]
        if b"%b" in tail:
            tail %= quote(self.replaces(peer)).encode()
        if replaces:
            tail += f"Replaces: {self.replaces(peer)}\r\n".encode()
        if not body and method != "REFER":
            text = b""
        if text in (SDP, OTHER_SDP) and text:
            tail += b"Content-Type: application/sdp\r\n"
        own, us = ADDRESSES[peer], OURS[peer]
        user = FAR if peer == OFFICE else DID
        to = f"<sip:{user}@{us}>" + ("" if ours is None else f";tag={ours}")
        tail, text = own_address(tail, peer), own_address(text, peer)
        head = (
            f"{method} sip:{user}@{us} SIP/2.0\r\nVia: SIP/2.0/UDP {own}:5060;branch=z9hG4bK{branch}\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:+14155550100@{own}>;tag={tag}\r\nTo: {to}\r\nCall-ID: {call_id}\r\n"
            f"CSeq: {number} {method}\r\nContact: <sip:me@{own}>\r\n"
        ).encode()
        if not changes and method != "ACK":
            self.open.add((call_id, number, method))
        spoilt = mutated(tail + COMMON + b"Content-Length: %d\r\n\r\n" % len(text) + text, changes)
        self.receive(peer, head + spoilt)

    def replies(self, peer, status, changes, *, body, which):
        """To a request that is not answered yet."""
        if not self.asked[peer]:
            return
        asked = self.asked[peer][-1 - which % len(self.asked[peer])]
        echo = "".join([f"{n}: {v}\r\n" for n, v in asked.fields if n in ("Via", "From", "Call-ID", "CSeq")])
        to = asked.header("To") + ("" if asked.to.tag else ";tag=z")
        text = own_address(SDP, peer) if body else b""
        tail = own_address(ANSWERED, peer) + (b"Content-Type: application/sdp\r\n" if body else b"") + COMMON
        tail = mutated(tail + b"Content-Length: %d\r\n\r\n" % len(text) + text, changes)
        self.receive(peer, f"SIP/2.0 {status} X\r\n{echo}To: {to}\r\n".encode() + tail)

    def does(self, step):
        match step:
            case ("time", seconds):
                self.passes(seconds)
            case ("begins", peer, method, changes, body, which):
                self.asks(peer, method, changes, body=body, dialog=None, replaces=method == "INVITE" and which > 2)
            case ("answer", peer, status, changes, body, which):
                self.replies(peer, status, changes, body=body, which=which)
            case (_, peer, method, changes, body, which):
                known = self.dialogs[peer]
                self.asks(peer, method, changes, body=body, dialog=known[which % len(known)] if known else None)

    def passes(self, seconds):
        until = self.now + seconds
        for _ in range(5_000):
            deadline = self.switch.next_deadline()
            if deadline is None or deadline > until:
                break
            self.now = max(self.now, deadline)
            self.perform(self.switch.tick(self.now))
        else:
            raise AssertionError("it never rests")
        self.now = until

    def leave_nothing(self):
        """Everybody falls silent, and the operator ends what is left."""
        self.perform(self.switch.handle(DrainOrdered(self.now, is_final=True), self.now))
        self.passes(200.0)
        context = self.switch._context
        left = (self.switch.calls, context.dialogs, context.session_ids, self.switch.beside._machines)
        assert [dict(table) for table in left] == [{}, {}, {}, {}]
        assert not context.moves
        assert sum(view.used for view in self.switch.relations.paths.views(0.0)) == 0
        assert self.switch.ports.in_use == 0
        assert not self.open


def calling(ends, *, until):
    """The office calls the carrier; as far as that."""
    ends.asks(OFFICE, "INVITE", [], body=True, dialog=None)
    if until == "ringing":
        ends.replies(CARRIER, 183, [], body=True, which=0)
    if until == "talking":
        ends.replies(CARRIER, 200, [], body=True, which=0)
        ends.asks(OFFICE, "ACK", [], body=False, dialog=ends.dialogs[OFFICE][-1])


@settings(deadline=None)
@given(st.sampled_from(["trying", "ringing", "talking"]), steps)
def test_nothing_within_a_call_needs_the_crash_barrier(policy, until, told):
    ends = Ends(policy)
    calling(ends, until=until)
    for step in told:
        ends.does(step)
    ends.leave_nothing()


@settings(deadline=None)
@given(st.sampled_from(["INVITE", "REFER", "UPDATE"]), said, steps)
def test_nothing_within_two_calls_that_may_become_one_needs_it(policy, method, changes, told):
    ends = Ends(policy)
    calling(ends, until="talking")
    calling(ends, until="talking")
    replaces = method == "INVITE"
    ends.asks(
        OFFICE, method, changes, body=True, dialog=None if replaces else ends.dialogs[OFFICE][-1], replaces=replaces
    )
    for step in told:
        ends.does(step)
    ends.leave_nothing()


@settings(deadline=None)
@given(who, said, st.booleans(), steps)
def test_nothing_within_a_subscription_needs_it(policy, peer, changes, notified, told):
    ends = Ends(policy)
    ends.asks(peer, "SUBSCRIBE", changes, body=False, dialog=None)
    other = OFFICE if peer == CARRIER else CARRIER
    if notified and ends.dialogs[other]:
        ends.asks(other, "NOTIFY", [], body=True, dialog=ends.dialogs[other][-1])
    for step in told:
        ends.does(step)
    ends.leave_nothing()
