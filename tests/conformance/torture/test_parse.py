"""RFC 4475 at the door: what is let in, what is refused, with which status, and whether it can be answered.

The messages are not part of this repository; they stand beside it in `shared/torture`, with an index that says what
each must get. What a request gets that is let in here (405, 416, 420, 501 ...) is the endpoint's to decide.
"""
# RFC: 4475

import json
from pathlib import Path

import pytest

from sbc.sip.framing import BadFrame, StreamFramer
from sbc.sip.message import Request, Response
from sbc.sip.nameaddr import NameAddr
from sbc.sip.parse import ParseError, parse_message
from sbc.sip.serialize import serialize
from sbc.sip.uri import OtherUri

TORTURE = Path(__file__).resolve().parents[4] / "shared" / "torture"
pytestmark = pytest.mark.skipif(not TORTURE.is_dir(), reason="the RFC 4475 messages are not beside this repository")

# What the INDEX leaves to us: a bad Date is ignored, since nothing here depends on it.
TOLERATED = {"baddate"}
STATUS = {"badvers": 505, "mismatch02": 501}
RESPONSES = {"scalarlg", "bigcode"}
UNANSWERABLE = RESPONSES | {"test"}

_INDEX = TORTURE / "index.json"
_ENTRIES = json.loads(_INDEX.read_text())["rfc4475"] if _INDEX.is_file() else []
NAMES = [Path(entry["file"]).stem for entry in _ENTRIES]
ACCEPTED = [Path(entry["file"]).stem for entry in _ENTRIES if entry["syntax"] == "accept"] + sorted(TOLERATED)
REFUSED = [name for name in NAMES if name not in ACCEPTED]


def octets(name):
    return (TORTURE / "rfc4475" / f"{name}.dat").read_bytes()


def parse(name):
    return parse_message(octets(name), stream=False)


def test_all_messages_are_here():
    assert len(ACCEPTED) + len(REFUSED) == 50


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_is_valid_is_let_in_and_survives_printing(name):
    message = parse(name)
    again = parse_message(serialize(message), stream=True)
    assert serialize(again) == serialize(message)
    assert (again.via, again.from_, again.to, again.cseq) == (message.via, message.from_, message.to, message.cseq)
    assert (again.contacts, again.body) == (message.contacts, message.body)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_invalid_is_refused_and_can_be_answered_if_it_is_a_request(name):
    with pytest.raises(ParseError) as caught:
        parse(name)
    assert caught.value.status == STATUS.get(name, 400)
    assert (caught.value.partial is None) == (name in UNANSWERABLE)


@pytest.mark.parametrize("name", sorted(set(REFUSED) - UNANSWERABLE))
def test_an_answer_can_be_printed_and_repeats_no_broken_via(name):
    with pytest.raises(ParseError) as caught:
        parse(name)
    partial = caught.value.partial
    again = Response(400, caught.value.reason, tuple((key, value) for key, value in partial.fields if key == "Via"))
    assert [str(via) for via in again.vias] == again.headers("Via")
    assert serialize(again)


# --- what single messages are about -----------------------------------------------------------------------------------


def test_wsinv_is_unfolded():
    message = parse("wsinv")
    assert (message.cseq.number, message.max_forwards) == (9, 68)
    assert [via.branch for via in message.vias] == ["390skdjuw", "z9hG4bK9ikj8", "z9hG4bK30239"]
    assert message.from_.display == 'J Rosenberg \\"'
    assert message.contacts[0].display == 'Quoted string ""'
    assert message.header("Unknownheaderwithunusualvalue") == ";;,,;;,;"


def test_intmeth_has_the_whole_alphabet():
    message = parse("intmeth")
    assert message.method == "!interesting-Method0123456789_*+`.%indeed'~"
    assert message.to.display == "BEL:\x07 NUL:\0 DEL:\x7f"
    assert message.from_.tag == "_token~1'+`*%!-."
    assert message.call_id == "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"


def test_esc01_is_not_a_sips_uri():
    uri = parse("esc01").uri
    assert (uri.scheme, uri.host, uri.user_text) == ("sip", "example.net", "sips:user@example.com")


def test_escnull_has_two_contacts():
    one, other = parse("escnull").contacts
    assert not one.uri.equals(other.uri)


def test_esc02_has_two_contacts_and_an_unescaped_method():
    message = parse("esc02")
    assert (message.method, len(message.contacts)) == ("RE%47IST%45R", 2)
    assert message.from_.display == "%Z%45"


def test_longreq_is_not_cut():
    message = parse("longreq")
    assert len(message.vias) == 34
    assert len(octets("longreq")) - len(serialize(message)) < 200


def test_dblreq_is_one_message_in_a_datagram_and_two_in_a_stream():
    assert (parse("dblreq").method, parse("dblreq").body) == ("REGISTER", b"")
    register, invite, rest = StreamFramer().feed(octets("dblreq"), 0.0)
    assert parse_message(register, stream=True).method == "REGISTER"
    assert parse_message(invite, stream=True).method == "INVITE"
    # The INVITE's length is five octets short; what is left of its body cannot be framed.
    assert rest == BadFrame(b"C\r\n\r\n", "missing Content-Length")


def test_semiuri_keeps_the_semicolon_in_the_user():
    uri = parse("semiuri").uri
    assert (uri.user_text, uri.params) == ("user;par=u@example.net", ())


def test_mpart01_has_its_octets():
    assert parse("mpart01").body == octets("mpart01").partition(b"\r\n\r\n")[2][: len(parse("mpart01").body)]
    assert b"\0" in parse("mpart01").body


def test_unknown_schemes_do_not_fail():
    for name in ("unkscm", "novelsc"):
        assert isinstance(parse(name).uri, OtherUri)
    message = parse("unksm2")
    assert [uri.scheme for uri in (message.to.uri, message.from_.uri, message.contacts[0].uri)] == [
        "isbn",
        "http",
        "name",
    ]


def test_regescrt_keeps_the_route_in_the_uri():
    (contact,) = parse("regescrt").contacts
    assert isinstance(contact, NameAddr)
    assert contact.uri.headers == "Route=%3Csip:sip.example.com%3E"


def test_responses_keep_their_phrase():
    assert (parse("unreason").status, parse("noreason").status, parse("noreason").reason) == (200, 100, "")


# --- on a stream ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ncl", "mcl01", "inv2543"])
def test_what_cannot_be_framed_breaks_the_stream_and_can_be_answered(name):
    (frame,) = StreamFramer().feed(octets(name), 0.0)
    assert isinstance(frame, BadFrame)
    with pytest.raises(ParseError) as caught:
        parse_message(frame.data, stream=True)
    assert caught.value.status == 400
    assert caught.value.partial is not None


@pytest.mark.parametrize("name", ["clerr", "baddn"])
def test_what_is_incomplete_waits_for_the_deadline(name):
    framer = StreamFramer()
    assert framer.feed(octets(name), 5.0) == []
    assert framer.deadline == 15.0


@pytest.mark.parametrize("name", NAMES)
def test_every_message_frames_the_same_octet_by_octet(name):
    data = octets(name)
    whole, single = StreamFramer(), StreamFramer()
    assert whole.feed(data, 0.0) == [frame for i in range(len(data)) for frame in single.feed(data[i : i + 1], 0.0)]
    assert whole.deadline == single.deadline


@pytest.mark.parametrize("name", ACCEPTED)
def test_every_request_knows_what_the_endpoint_asks(name):
    message = parse(name)
    if isinstance(message, Request):
        assert message.uri is not None
        assert isinstance((message.require, message.proxy_require, message.accept, message.allow), tuple)
