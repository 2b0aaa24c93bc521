"""Strangers: no answer longer than the question, no memory, no log; rates of peers; places nobody may point us at."""

import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sbc.core import limits
from sbc.sip.commands import SendMessage
from sbc.sip.parse import parse_message
from sbc.testing.world import DID, FAR, INSIDE, POLICY, World

from .knocking import ANYWHERE, dropped, flow, message, said

SEVERAL = ANYWHERE.replace("password: 0ff1ce}", "password: 0ff1ce, algorithms: [sha-512-256, sha-256, md5]}")
RATED = POLICY.replace("address: sip:10.0.0.5:5060", "address: sip:10.0.0.5:5060, rate: 3").replace(
    "routes:\n", "routes:\n  - {name: help, from: office, to: ['911'], emergency: true, via: [carrier]}\n"
)


# --- nothing is amplified ---------------------------------------------------------------------------------------------


WORD = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=30)


@st.composite
def requests(draw):
    """Of a stranger, from bare to long."""
    method = draw(
        st.sampled_from(["INVITE", "REGISTER", "MESSAGE", "SUBSCRIBE", "PUBLISH", "NOTIFY", "OPTIONS", "BYE", "X"])
    )
    host, user, call_id, branch = (draw(WORD) for _ in range(4))
    port, rport = draw(st.sampled_from(["", ":5099"])), draw(st.sampled_from(["", ";rport"]))
    vias = [f"Via: SIP/2.0/UDP {draw(WORD)}.example;branch=z9hG4bK{draw(WORD)}" for _ in range(draw(st.integers(0, 3)))]
    lines = [
        f"{method} sip:{user}@10.0.0.1 SIP/2.0",
        f"Via: SIP/2.0/UDP {host}.example{port};branch=z9hG4bK{branch}{rport}",
        *vias,
        f"{draw(st.sampled_from(['From', 'f']))}: <sip:{user}@x>;tag=a",
        f"{draw(st.sampled_from(['To', 't']))}: <sip:{user}@x>",
        f"Call-ID: {call_id}",
        f"CSeq: 1 {method}",
        *(f"X-{draw(WORD)}: {draw(WORD)}" for _ in range(draw(st.integers(0, 12)))),
        *(
            ["Authorization: " + draw(st.text(max_size=40)).replace("\r", "").replace("\n", "")]
            if draw(st.booleans())
            else []
        ),
    ]
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "replace")


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=requests(), policy=st.sampled_from([ANYWHERE, SEVERAL]))
def test_no_answer_to_a_stranger_is_longer_than_his_request(data, policy):
    sbc = World(policy)
    answers = [one for one in said(sbc, data, flow()) if isinstance(one, SendMessage)]
    assert len(answers) <= 1
    assert all(len(one.data) <= len(data) for one in answers)
    assert all(one.flow.remote.host == flow().remote.host for one in answers)
    assert sbc.switch.snapshot(sbc.now).transactions == 0


def test_a_telephones_register_gets_its_challenge_whole(world):
    sbc = world(SEVERAL)
    (answer,) = said(sbc, message(fields="Supported: path, gruu, outbound\r\n" * 12), flow())
    challenge = parse_message(answer.data, stream=False)
    assert len(challenge.headers("WWW-Authenticate")) == 3
    assert challenge.header("Server") == "sbc"
    assert sbc.idle()


def test_a_short_one_gets_a_shorter_challenge_that_can_be_answered(world):
    sbc = world(SEVERAL)
    (answer,) = said(sbc, message(fields="Supported: path\r\n"), flow())
    challenge = parse_message(answer.data, stream=False)
    assert 0 < len(challenge.headers("WWW-Authenticate")) < 3
    assert "SHA-512-256" in challenge.headers("WWW-Authenticate")[0]
    assert (challenge.status, challenge.cseq.method, challenge.call_id) == (401, "REGISTER", "x1@y")
    assert sbc.idle()


def test_one_that_no_challenge_is_short_enough_for_gets_nothing(world):
    sbc = world(ANYWHERE)
    bare = b"\r\n".join(
        line for line in message().split(b"\r\n") if not line.startswith((b"User-A", b"Allow", b"Contact"))
    )
    assert said(sbc, bare, flow()) == []
    assert dropped(sbc, "would_amplify") == 1
    assert said(sbc, bare, flow(connection=7)) != []  # whose address cannot be forged
    assert sbc.idle()


# --- nothing is kept --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [POLICY, ANYWHERE])
def test_fifty_thousand_sources_leave_no_memory_and_few_lines(world, policy):
    sbc = world(policy)
    data = message("INVITE")

    def flood(first, count):
        for n in range(first, first + count):
            way = flow(f"198.{18 + (n >> 16)}.{n >> 8 & 255}.{n & 255}", 1024 + n % 60_000)
            sbc.switch.receive(data, way, sbc.now + n / 5_000)

    flood(0, 5_000)
    tracemalloc.start()
    flood(5_000, 5_000)
    before = tracemalloc.get_traced_memory()[0]
    lines = len(sbc.logs)
    flood(10_000, 40_000)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 6_000_000
    assert len(sbc.logs) - lines <= 2
    assert sbc.switch.snapshot(sbc.now).transactions == 0
    assert sbc.idle()


# BOUND: STRANGER_MESSAGES_PER_SECOND, STRANGERS_MESSAGES_PER_SECOND
def test_strangers_have_a_rate_each_and_all_together(world):
    sbc = world(ANYWHERE)
    one = [said(sbc, message(n=n), flow()) for n in range(50)]
    assert len([answer for answer in one if answer]) == limits.STRANGER_MESSAGES_PER_SECOND
    many = [said(sbc, message(n=n), flow(f"198.18.{n >> 8}.{n & 255}")) for n in range(1_000)]
    answered = len([answer for answer in many if answer])
    assert answered == limits.STRANGERS_MESSAGES_PER_SECOND - limits.STRANGER_MESSAGES_PER_SECOND
    sbc.run(1.0)
    assert said(sbc, message(n=2_000), flow()) != []
    assert (dropped(sbc, "stranger_over_rate"), dropped(sbc, "strangers_over_rate")) == (30, 1_000 - answered)
    assert sbc.idle()


def test_a_flood_of_strangers_does_not_silence_who_has_logged_in(world):
    sbc = world(ANYWHERE)
    pbx = sbc.phone("worker", "192.0.2.9:5060", through=INSIDE, user=DID)
    pbx.has_credentials("office", "0ff1ce")
    assert pbx.registers(f"sip:{DID}@10.0.0.1").is_registered
    carrier = sbc.carrier()
    for n in range(1_000):
        said(sbc, message(n=n), flow(f"198.18.{n >> 8}.{n & 255}"))
    pbx.invites(FAR)
    carrier.answers()
    assert pbx.is_talking
    pbx.hangs_up()
    assert sbc.cdr.only.cause == "normal"


# --- rates of peers ---------------------------------------------------------------------------------------------------


def statuses(sbc, name, since=0):
    return [parse_message(data, stream=False).status for data in sbc.net.sent_to(name)[since:]]


def test_a_peer_beyond_its_rate_gets_503_without_retry_after_and_without_state(world):
    sbc = world(RATED)
    office = sbc.office()
    for n in range(5):
        sbc.inject(message("OPTIONS", n=n + 1, host="10.0.0.5"), office)
    assert statuses(sbc, office.name) == [200, 200, 200, 503, 503]
    assert b"Retry-After" not in sbc.net.sent_to(office.name)[-1]
    assert dropped(sbc, "peer_over_rate") == 2
    assert sbc.switch.snapshot(sbc.now).transactions == 3
    sbc.run(40.0)
    assert sbc.idle()


def test_help_is_called_beyond_any_rate(world):
    sbc = world(RATED)
    office, carrier = sbc.office(), sbc.carrier()
    for n in range(5):
        sbc.inject(message("OPTIONS", n=n + 1, host="10.0.0.5"), office)
    office.invites("911")
    carrier.answers()
    assert office.is_talking
    office.hangs_up()
    sbc.run(40.0)
    assert sbc.idle()


def test_within_a_call_nothing_counts(world):
    sbc = world(RATED)
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    for n in range(5):
        sbc.inject(message("OPTIONS", n=n + 1, host="10.0.0.5"), office)
    assert statuses(sbc, office.name)[-1] == 503
    office.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    sbc.run(40.0)
    assert sbc.idle()


# --- places that nobody may point us at -------------------------------------------------------------------------------

HOSTILE = [
    "127.0.0.1", "127.1", "0x7f000001", "017700000001", "2130706433", "[::1]", "[::ffff:127.0.0.1]", "[0:0::1]",
    "0.0.0.0", "[::]", "224.0.0.1", "[ff02::1]", "255.255.255.255", "240.0.0.1", "169.254.1.1", "localhost",
]  # fmt: skip


@pytest.mark.parametrize("host", HOSTILE)
def test_a_stranger_whose_contact_points_at_us_gets_nothing(world, host):
    sbc = world(ANYWHERE)
    data = message("INVITE").replace(b"Contact: <sip:office@192.0.2.66>", f"Contact: <sip:office@{host}>".encode())
    assert said(sbc, data, flow()) == []
    assert sbc.idle()


@pytest.mark.parametrize("host", ["127.0.0.1", "224.0.0.1", "255.255.255.255", "10.0.0.1:5060", "203.0.113.1:5060"])
def test_nothing_is_sent_to_a_hostile_contact_of_a_peer(world, host):
    """The callee answers with such a Contact: neither the ACK nor the BYE goes there."""
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.rings()
    sbc.inject(answer_with(host, sbc.net.sent_to(carrier.name)), carrier)
    assert office.is_talking
    sent = orders(sbc, 60.0, office.hangs_up)
    assert {command.flow.remote.host for command in sent} <= {"10.0.0.5", "198.51.100.7"}
    assert dropped(sbc, "hostile_target") + dropped(sbc, "ack_unlocated") > 0
    assert sbc.switch.snapshot(sbc.now).running == 0


def answer_with(host, sent):
    invite = parse_message(next(data for data in sent if data.startswith(b"INVITE")), stream=False)
    echo = "".join(
        f"{name}: {value}\r\n" for name, value in invite.fields if name in ("Via", "From", "Call-ID", "CSeq")
    )
    here = "IN IP4 198.51.100.7"
    body = f"v=0\r\no=- 1 1 {here}\r\ns=-\r\nc={here}\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
    return (
        f"SIP/2.0 200 OK\r\n{echo}To: {invite.header('To')};tag=evil\r\nContact: <sip:x@{host}>\r\n"
        f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def orders(sbc, seconds, step):
    """Every message that is sent while this is done, and for so long afterwards."""
    sent, perform = [], sbc.host.perform

    def watched(commands, now):
        sent.extend(command for command in commands if isinstance(command, SendMessage))
        return perform(commands, now)

    sbc.host.perform = watched
    step()
    sbc.run(seconds)
    return sent
