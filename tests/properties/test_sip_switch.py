"""The engine against anything that can arrive: it never raises, and garbage gets one answer at most."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.b2bua.commands import OpenPorts
from sbc.b2bua.events import PortsOpened
from sbc.b2bua.switch import Switch
from sbc.core.address import Address, Flow, Transport
from sbc.policy.load import Source, parse_policy
from sbc.sip.commands import CloseFlow, SendMessage
from sbc.sip.framing import BadFrame, Ping, StreamFramer
from sbc.sip.message import Request
from sbc.sip.parse import ParseError, parse_message
from sbc.testing.seeds import seeded_ids
from sbc.testing.world import POLICY

from .mutation import mutated, mutations_of

OFFICE = Address("10.0.0.5", 5060)
SBC = Address("10.0.0.1", 5060)
SDP = b"v=0\r\no=- 1 1 IN IP4 10.0.0.5\r\ns=-\r\nc=IN IP4 10.0.0.5\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"

OPTIONS = (
    b"OPTIONS sip:10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.5;branch=z9hG4bK1;rport\r\nMax-Forwards: 70\r\n"
    b'From: "A \\"B\\"" <sip:a@10.0.0.5;x=y>;tag=1\r\nTo: <sip:10.0.0.1>\r\nCall-ID: 1@x\r\nCSeq: 7 OPTIONS\r\n'
    b"Accept: application/sdp, text/*;q=0.5\r\nContent-Length: 0\r\n\r\n"
)
INVITE = (
    b"INVITE sip:4155550123@10.0.0.1 SIP/2.0\r\nv: SIP/2.0/UDP 10.0.0.5:5060;branch=z9hG4bK2,\r\n"
    b" SIP/2.0/TCP proxy.example.com;received=192.0.2.4;branch=z9hG4bK3\r\nMax-Forwards: 70\r\n"
    b"f: sip:a@10.0.0.5;tag=2\r\nt: <sip:4155550123@10.0.0.1>\r\ni: 2\r\nCSeq: 1 INVITE\r\n"
    b"m: <sip:a@10.0.0.5;transport=udp>;+x\r\nRecord-Route: <sip:p1;lr>, <sip:p2;lr>\r\nTimestamp: 5\r\n"
    b"P-Asserted-Identity: <tel:+14155550100>\r\nc: application/sdp\r\nl: %d\r\n\r\n%b" % (len(SDP), SDP)
)
BYE = (
    b"BYE sip:x@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.5;branch=z9hG4bK4\r\nFrom: <sip:a@b>;tag=1\r\n"
    b"To: <sip:c@d>;tag=2\r\nCall-ID: 4\r\nCSeq: 2 BYE\r\nReason: Q.850;cause=16\r\nContent-Length: 0\r\n\r\n"
)
RESPONSE = (
    b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK5\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\n"
    b"Call-ID: 5\r\nCSeq: 2 INVITE\r\nContact: <sip:x@y>\r\nContent-Length: 0\r\n\r\n"
)
SEEDS = [OPTIONS, INVITE, BYE, RESPONSE]
SPICE = [
    b"\r\n", b"\r\n ", b"\n", b"\r", b"\0", b'"', b"\\", b"<", b">", b";", b",", b"=", b"?", b"@", b":", b" ", b"\t",
    b"\xff", b"%00", b"%", b"[", b"]", b"[::1]", b"z9hG4bK", b";tag=", b";rport", b";received=", b";lr", b"SIP/2.0",
    b"99999999999", b"-1", b"0", b"ACK", b"CANCEL", b"INVITE", b"sips:", b"tel:", b"*", b"\r\nVia: ",
    b"\r\nl: 0", b"\r\nTo: x",
]  # fmt: skip


@pytest.fixture(scope="module")
def policy():
    return parse_policy([Source("test.yaml", POLICY.encode())])


class Engine:
    """Performs just what is needed for calls to start."""

    def __init__(self, policy):
        self.switch = Switch(policy, seeded_ids())
        self._perform(self.switch.start(0.0))

    def receive(self, data, transport=Transport.UDP, now=0.0):
        connection = 0 if transport is Transport.UDP else 1
        return self._perform(self.switch.receive(data, Flow(transport, "inside", SBC, OFFICE, connection), now))

    def bad_frame(self, frame, now=0.0):
        flow = Flow(Transport.TCP, "inside", SBC, OFFICE, 1)
        return self._perform(self.switch.bad_frame(frame.data, flow, frame.reason, now))

    def _perform(self, commands):
        commands = list(commands)
        for command in commands:
            if isinstance(command, OpenPorts):
                ports = tuple(range(20000, 20000 + 2 * command.pairs, 2))
                self._perform(self.switch.handle(PortsOpened(command.local, ports), 0.0))
            assert getattr(command, "event", "") != "call.crashed", command
        return commands


def messages(commands):
    return [command for command in commands if isinstance(command, SendMessage)]


mutations = mutations_of(SPICE, within=1200, fewest=1, most=8)


@given(st.binary(max_size=400))
def test_noise_is_met_with_silence_or_one_answer(policy, data):
    engine = Engine(policy)
    assert len(messages(engine.receive(data))) <= 1


@given(st.sampled_from(SEEDS), mutations)
def test_a_mutated_message_never_raises_and_what_cannot_be_read_gets_one_answer_at_most(policy, seed, changes):
    engine, data = Engine(policy), mutated(seed, changes)
    commands = engine.receive(data)
    for command in messages(commands):
        assert command.data.count(b"\n") == command.data.count(b"\r\n")
    try:
        parse_message(data, stream=False)
    except ParseError:
        assert len(messages(commands)) <= 1
        assert not engine.switch.calls


@given(st.sampled_from(SEEDS), mutations)
def test_answers_go_to_the_host_that_asked_and_repeat_its_call_id(policy, seed, changes):
    data = mutated(seed, changes)
    try:
        message = parse_message(data, stream=False)
    except ParseError:
        return
    answers = [out for out in messages(Engine(policy).receive(data)) if out.data.startswith(b"SIP/2.0 ")]
    for answer in answers:
        assert answer.flow.remote.host == OFFICE.host
        read = parse_message(answer.data, stream=True)
        assert isinstance(message, Request)
        assert (read.call_id, read.cseq, read.from_) == (message.call_id, message.cseq, message.from_)
        assert read.status == 100 or read.to.tag


@given(st.lists(st.tuples(st.sampled_from(SEEDS), mutations), min_size=1, max_size=3), st.data())
def test_a_stream_of_mutated_messages_gives_the_same_however_it_is_cut(policy, parts, data):
    whole = b"".join(mutated(seed, changes) for seed, changes in parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert _through_a_stream(policy, [whole]) == _through_a_stream(policy, pieces)


def _through_a_stream(policy, pieces):
    engine, framer, out = Engine(policy), StreamFramer(), []
    for piece in pieces:
        for frame in framer.feed(piece, 0.0):
            if isinstance(frame, BadFrame):
                out += engine.bad_frame(frame)
                assert isinstance(out[-1], CloseFlow)
            elif not isinstance(frame, Ping):
                out += engine.receive(frame, Transport.TCP)
    return out


@given(st.sampled_from(SEEDS[:3]), mutations)
def test_whatever_came_every_timer_runs_off_and_nothing_stays(policy, seed, changes):
    engine, data = Engine(policy), mutated(seed, changes)
    engine.receive(data)
    engine.receive(data)
    now = 0.0
    for _ in range(300):
        deadline = engine.switch.next_deadline()
        if deadline is None:
            break
        now = max(now, deadline)
        engine._perform(engine.switch.tick(now))
    assert len(engine.switch.endpoint.layer) == 0
