"""The tape of what is said with a peer beside calls: what stays, what goes, what is hidden."""

import random

import pytest

from sbc.core import limits
from sbc.core.address import Address, Flow, Transport
from sbc.core.commands import Log
from sbc.trace.ladder import PEER, moves
from sbc.trace.peer_tapes import PeerTapes
from sbc.trace.recorder import Recorder


def flow(host="192.0.2.9"):
    return Flow(Transport.UDP, "outside", Address("192.0.2.1", 5060), Address(host, 5060))


def request(method, n=0, fields=b"", body=b""):
    head = b"%s sip:a SIP/2.0\r\nCall-ID: %d\r\nCSeq: %d %s\r\n" % (method, n, n, method)
    return head + fields + b"\r\n" + body


def response(status, method, fields=b""):
    return b"SIP/2.0 %d Word\r\nCSeq: 1 %s\r\n" % (status, method) + fields + b"\r\n"


CREDENTIALS = b'Authorization: Digest username="a", response="5ec4e7"\r\n'


class Tape:
    """Of the peer `carrier`, that we ask."""

    def __init__(self):
        self.recorder = Recorder()
        self.tapes = PeerTapes(self.recorder)
        self.at = 0.0
        self.n = 0

    def asks(self, method, *statuses, fields=b"", host="192.0.2.9", copies=1, peer="carrier", sent=True):
        self.n += 1
        user = ("health", peer, self.n)
        for _ in range(copies):
            self.tapes.message(user, self.tick(), sent, request(method, self.n, fields), flow(host))
        for status in statuses:
            self.tapes.message(user, self.tick(), not sent, response(status, method), flow(host))
        return user

    def tick(self):
        self.at += 1.0
        return self.at

    def shown(self, peer="carrier"):
        return [line.removeprefix(f"{PEER} ") for line in moves(self.tapes.entries(peer))]

    def numbers(self):
        """Of the requests that are kept."""
        texts = [e.data for e in self.tapes.entries("carrier") if e.data and not e.data.startswith(b"SIP")]
        return [int(text.partition(b"Call-ID: ")[2].partition(b"\r")[0]) for text in texts]


def test_of_what_went_well_the_last_two_stay():
    tape = Tape()
    for _ in range(1000):
        tape.asks(b"OPTIONS", 200)
    assert tape.shown() == ["< OPTIONS", "> 200 Word (OPTIONS)"] * 2
    assert tape.numbers() == [999, 1000]


def test_good_probes_push_out_no_failure_and_no_method_another():
    tape = Tape()
    tape.asks(b"OPTIONS", 503)
    tape.asks(b"REGISTER", 403, fields=CREDENTIALS)
    for _ in range(100):
        tape.asks(b"OPTIONS", 200)
        tape.asks(b"MESSAGE", 405)
    assert tape.numbers()[:2] == [1, 2]


def test_of_what_failed_the_last_six_stay():
    tape = Tape()
    for _ in range(20):
        tape.asks(b"REGISTER", 403)
    assert tape.numbers() == [15, 16, 17, 18, 19, 20]


def test_what_nobody_answers_counts_as_failed():
    tape = Tape()
    for _ in range(4):
        tape.asks(b"OPTIONS")
    for _ in range(10):
        tape.asks(b"OPTIONS", 200)
    assert tape.numbers() == [1, 2, 3, 4, 13, 14]


def test_an_answer_that_took_a_copy_is_not_well_at_once():
    tape = Tape()
    tape.asks(b"OPTIONS", 200, copies=2)
    user = tape.asks(b"OPTIONS", 200)
    tape.tapes.message(user, tape.tick(), True, request(b"OPTIONS", tape.n), flow())  # again, though it was answered
    for _ in range(10):
        tape.asks(b"OPTIONS", 200)
    assert tape.numbers() == [1, 1, 2, 2, 11, 12]


def test_a_challenge_of_who_showed_no_credentials_is_not_a_failure():
    tape = Tape()
    for _ in range(10):
        tape.asks(b"REGISTER", 401)
        tape.asks(b"REGISTER", 200, fields=CREDENTIALS)
    assert tape.numbers() == [17, 18, 19, 20]


def test_a_stale_nonce_is_not_a_failure():
    tape = Tape()
    for _ in range(10):
        user = tape.asks(b"REGISTER", fields=CREDENTIALS)
        stale = response(401, b"REGISTER", b"WWW-Authenticate: Digest nonce=x, stale=true\r\n")
        tape.tapes.message(user, tape.tick(), False, stale, flow())
    assert tape.numbers() == [9, 10]


def test_who_asks_and_who_is_asked_are_kept_apart():
    tape = Tape()
    tape.asks(b"OPTIONS", 200)
    for _ in range(10):
        tape.asks(b"OPTIONS", 200, sent=False)
    assert tape.numbers() == [1, 10, 11]


def test_the_host_that_fails_most_gives_way_first():
    tape = Tape()
    tape.asks(b"REGISTER", 401, fields=CREDENTIALS, host="192.0.2.77")
    for _ in range(50):
        tape.asks(b"REGISTER", 401, fields=CREDENTIALS, host="192.0.2.66")
    assert tape.numbers() == [1, 47, 48, 49, 50, 51]


def test_of_many_copies_the_first_and_the_last_stay_and_it_is_said_how_many_do_not():
    tape = Tape()
    tape.asks(b"OPTIONS", 408, copies=11)
    entries = tape.tapes.entries("carrier")
    assert [entry.at for entry in entries] == [1.0, 2.0, 3.0, 10.0, 10.0, 11.0, 12.0]
    assert [entry.note for entry in entries if entry.data is None] == ["… 6 messages left out …"]


def test_decisions_stand_between_the_messages_where_they_were_made():
    tape = Tape()
    tape.asks(b"REGISTER", 403)
    fields = (("alarm", True), ("trunk", "carrier"), ("why", "403 Word"))
    tape.tapes.log(Log("error", "registration.rejected", fields), tape.at)
    tape.asks(b"REGISTER", 200)
    whole = tape.tapes.entries("carrier")
    assert [entry.note for entry in whole].index("registration.rejected: 403 Word") == 2


def test_lines_about_calls_and_about_nobody_are_no_decisions():
    tape = Tape()
    tape.tapes.log(Log("info", "call.ended", (("ingress", "carrier"),)), 1.0)
    tape.tapes.log(Log("info", "server.up", ()), 1.0)
    tape.tapes.log(Log("info", "request.relayed", (("ingress", "carrier"), ("status", 200))), 1.0)
    assert len(tape.tapes) == 0


def test_of_each_decision_the_last_six_stay():
    tape = Tape()
    tape.tapes.log(Log("error", "registration.rejected", (("trunk", "carrier"),)), 0.0)
    for n in range(50):
        tape.tapes.log(Log("info", "binding.added", (("pbx", "carrier"), ("contact", n))), float(n))
    assert [entry.at for entry in tape.tapes.entries("carrier")] == [0.0, 44.0, 45.0, 46.0, 47.0, 48.0, 49.0]


def test_neither_credentials_nor_passwords_of_contacts_are_shown():
    tape = Tape()
    tape.asks(b"REGISTER", 401, fields=CREDENTIALS)
    contact = ("contact", "sip:a:5ec4e7@192.0.2.9")
    tape.tapes.log(Log("info", "binding.added", (("pbx", "carrier"), contact)), 2.0)
    for keeps_length in (False, True):
        entries = tape.tapes.entries("carrier", keeps_length=keeps_length)
        assert "5ec4e7" not in "".join(str(entry.data) + str(entry.note) for entry in entries)
    full = tape.tapes.entries("carrier", keeps_length=True)[0].data
    assert len(full) == len(request(b"REGISTER", 1, CREDENTIALS))


def test_dialled_digits_are_not_shown():
    tape = Tape()
    user = tape.tapes.new_user("carrier")
    tape.tapes.message(user, 1.0, False, request(b"INFO", 1, b"Content-Type: application/dtmf\r\n", b"4711"), flow())
    (entry,) = tape.tapes.entries("carrier")
    assert b"4711" not in entry.data


# BOUND: TRACE_MESSAGES_PER_PEER
def test_octets_and_messages_of_a_peer_are_bounded_and_what_went_well_goes_first(monkeypatch):
    monkeypatch.setattr(limits, "TRACE_MESSAGES_PER_PEER", 8)
    tape = Tape()
    tape.asks(b"REGISTER", 403)
    for method in (b"MESSAGE", b"NOTIFY", b"PUBLISH", b"SUBSCRIBE", b"OPTIONS"):
        tape.asks(method, 200)
    assert tape.numbers() == [1, 4, 5, 6]


def test_the_largest_messages_fit_one_by_one():
    tape = Tape()
    for n in range(5):
        user = tape.tapes.new_user("carrier")
        tape.tapes.message(user, tape.tick(), False, request(b"MESSAGE", n, body=b"x" * 65_000), flow())
        tape.tapes.message(user, tape.tick(), True, response(405, b"MESSAGE"), flow())
    assert tape.shown() == ["> MESSAGE", "< 405 Word (MESSAGE)"]


# BOUND: TRACE_PEERS
def test_of_too_many_peers_one_without_trouble_makes_room(monkeypatch):
    monkeypatch.setattr(limits, "TRACE_PEERS", 3)
    tape = Tape()
    for name, status in (("ill", 403), ("well", 200), ("worse", 503), ("new", 503)):
        tape.asks(b"OPTIONS", status, peer=name)
    assert [bool(tape.shown(name)) for name in ("ill", "well", "worse", "new")] == [True, False, True, True]
    tape.asks(b"OPTIONS", 503, peer="one more")
    assert tape.shown("one more") == []
    assert len(tape.tapes) == 3


def test_what_belongs_to_no_peer_is_not_kept():
    tape = Tape()
    for user in (None, ("ref", 0, 1), "x", ("beside", "id", 1), (("ref", 0, 1), "tag")):
        tape.tapes.message(user, 1.0, False, request(b"OPTIONS"), flow())
    tape.tapes.message(("health", "carrier", 1), 1.0, False, response(200, b"OPTIONS"), flow())
    assert len(tape.tapes) == 0


def test_a_number_that_is_used_again_begins_another_exchange():
    tape = Tape()
    user = ("register", "carrier", 1)
    for n in (1, 2):
        tape.tapes.message(user, tape.tick(), True, request(b"REGISTER", n), flow())
        tape.tapes.message(user, tape.tick(), False, response(403, b"REGISTER"), flow())
    assert tape.numbers() == [1, 2]
    assert not any(entry.note for entry in tape.tapes.entries("carrier"))


# BOUND: TRACE_PEERS, TRACE_MESSAGES_PER_PEER, TRACE_OCTETS_PER_PEER
@pytest.mark.parametrize("seed", range(20))
def test_whatever_comes_it_stays_within_its_bounds_and_keeps_its_order(seed, monkeypatch):
    monkeypatch.setattr(limits, "TRACE_OCTETS_PER_PEER", 3_000)
    monkeypatch.setattr(limits, "TRACE_MESSAGES_PER_PEER", 30)
    monkeypatch.setattr(limits, "TRACE_PEERS", 4)
    draw, tape, users = random.Random(seed), Tape(), []
    for _ in range(2_000):
        if not users or draw.random() < 0.4:
            users.append((draw.choice(["asked", "health"]), f"p{draw.randrange(6)}", draw.randrange(50)))
        user = draw.choice(users[-8:])
        method = draw.choice([b"OPTIONS", b"REGISTER", b"\xff\x00", b"", b"X%d" % draw.randrange(99)])
        answer = response(draw.choice([100, 200, 401, 503]), b"X")
        data = draw.choice([request(method, 1, b"x" * draw.randrange(900)), answer, b"SIP/"])
        host = f"192.0.2.{draw.randrange(4)}"
        tape.tapes.message(user, tape.tick(), draw.random() < 0.5, data, flow(host))
        if draw.random() < 0.01:
            kept = {f"p{n}" for n in range(6) if draw.random() < 0.5}
            tape.tapes.keep_only(kept)
    assert len(tape.tapes) <= 4
    for n in range(6):
        entries = [entry for entry in tape.tapes.entries(f"p{n}") if entry.data is not None]
        assert len(entries) <= 30
        assert sum(len(entry.data) for entry in entries) <= 3_000
        assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)
    kept = sum(len(kind) for one in tape.tapes._tapes.values() for kind in one.kinds.values())
    assert len(tape.tapes._exchanges) <= kept


def test_a_copy_goes_to_the_capture_server_by_its_call_id_if_there_is_one():
    tape = Tape()
    tape.asks(b"OPTIONS", 200)
    assert tape.recorder.fetch(10) == []
    tape.recorder.lay_out(on=True)
    tape.asks(b"REGISTER", fields=CREDENTIALS)
    ((correlation, entry),) = tape.recorder.fetch(10)
    assert correlation == "2"
    assert b"5ec4e7" not in entry.data
    assert entry.flow == flow()


def test_a_capture_server_gets_answers_to_what_has_left_the_tape_and_what_finds_no_room(monkeypatch):
    tape = Tape()
    tape.recorder.lay_out(on=True)
    users = [tape.asks(b"MESSAGE") for _ in range(7)]
    tape.tapes.message(users[0], tape.tick(), False, response(200, b"MESSAGE"), flow())
    assert len(tape.recorder.fetch(100)) == 8
    monkeypatch.setattr(limits, "TRACE_PEERS", 1)
    tape.asks(b"OPTIONS", 500)
    tape.asks(b"OPTIONS", 200, peer="other")
    assert len(tape.recorder.fetch(100)) == 4
    assert tape.tapes.entries("other") == ()
