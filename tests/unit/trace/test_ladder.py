import pytest

from sbc.trace.ladder import draw, label_of, moves
from sbc.trace.recorder import Entry

SDP = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"


def message(start: str, cseq: str = "1 INVITE", body: bytes = b"", extra: str = "") -> bytes:
    kind = "Content-Type: application/sdp\r\n" if body else ""
    return f"{start}\r\nCSeq: {cseq}\r\n{extra}{kind}\r\n".encode() + body


INVITE = message("INVITE sip:1@example.com SIP/2.0", body=SDP)
TRYING = message("SIP/2.0 100 Trying")
OK = message("SIP/2.0 200 OK", body=SDP)
BYE = message("BYE sip:1@example.com SIP/2.0", "2 BYE")


def test_plain_call_is_drawn_with_both_legs_and_its_notes():
    entries = [
        Entry(10.0, "ingress", False, INVITE, None),
        Entry(10.0, "ingress", True, TRYING, None),
        Entry(10.001, "", False, None, ("routes.yaml:9:3: outbound: matched", "hunt: carrier-a")),
        Entry(10.001, "egress", True, INVITE, None),
        Entry(10.25, "egress", False, OK, None),
        Entry(10.25, "ingress", True, OK, None),
        Entry(12.5, "egress", True, BYE, None),
    ]
    assert draw(entries).splitlines() == [
        "         ingress peer                           sbc                                egress peer",
        "   0.000  |------------- INVITE sdp ------------>|                                      |",
        "   0.000  |<------- 100 Trying (INVITE) ---------|                                      |",
        "   0.001  |                                      * routes.yaml:9:3: outbound: matched   |",
        "          |                                      * hunt: carrier-a                      |",
        "   0.001  |                                      |------------- INVITE sdp ------------>|",
        "   0.250  |                                      |<------- 200 OK (INVITE) sdp ---------|",
        "   0.250  |<------- 200 OK (INVITE) sdp ---------|                                      |",
        "   2.500  |                                      |---------------- BYE ---------------->|",
    ]


def test_a_narrow_terminal_gets_narrow_lanes_and_wrapped_notes():
    entries = [
        Entry(10.0, "ingress", False, INVITE, None),
        Entry(10.001, "", False, None, ("routes.yaml:9:3: outbound: no match: the call is not from office", "hunt: a")),
        Entry(10.001, "egress", True, INVITE, None),
    ]
    assert draw(entries, width=72).splitlines() == [
        "         ingress peer                  sbc                   egress peer",
        "   0.000  |--------- INVITE sdp ------->|                             |",
        "   0.001  |                             * routes.yaml:9:3: outbound: no",
        "          |                             *   match: the call is not from",
        "          |                             *   office                    |",
        "          |                             * hunt: a                     |",
        "   0.001  |                             |--------- INVITE sdp ------->|",
    ]


@pytest.mark.parametrize("width", [1, 20, 40])
def test_a_terminal_too_narrow_for_any_ladder_gets_the_narrowest(width):
    entries = [Entry(0.0, "ingress", False, INVITE, None), Entry(0.0, "egress", True, INVITE, None)]
    assert {len(line) for line in draw(entries, width=width).splitlines()[1:]} == {10 + 1 + 2 * 19}


def test_a_wide_terminal_gets_no_wider_lanes():
    entries = [Entry(0.0, "ingress", False, INVITE, None), Entry(0.0, "", False, None, "a note " * 9)]
    assert draw(entries, width=200) == draw(entries)


def test_each_attempt_has_its_own_column():
    entries = [
        Entry(0.0, "ingress", False, INVITE, None),
        Entry(0.0, "egress", True, INVITE, None),
        Entry(4.0, "egress-2", True, INVITE, None),
    ]
    lines = draw(entries).splitlines()
    assert lines[3].index(">") > lines[2].index(">")
    assert len({line.rindex("|") for line in lines[1:]}) == 1
    assert lines[0].split("  ")[-1].strip() == "egress peer 2"


def test_heads_are_the_peers_where_they_are_known():
    entries = [
        Entry(0.0, "ingress", False, INVITE, None),
        Entry(0.0, "egress-3", True, INVITE, None),
        Entry(4.0, "egress", True, INVITE, None),
    ]
    known = {"ingress": "pbx", "egress": "carrier-a", "egress-2": "never-spoken-to", "egress-3": "carrier-b"}
    assert draw(entries, peers=known).splitlines()[0].split() == ["pbx", "sbc", "carrier-b", "carrier-a"]
    half = draw(entries, peers={"egress": "carrier-a"}).splitlines()[0]
    assert half.split() == ["ingress", "peer", "sbc", "egress", "peer", "carrier-a"]


def test_a_leg_without_a_message_yet_has_its_head():
    entries = [Entry(0.0, "ingress", False, INVITE, None)]
    assert draw(entries, peers={"ingress": "pbx", "egress": "carrier-a"}).splitlines()[0].split() == [
        "pbx",
        "sbc",
        "carrier-a",
    ]
    assert draw(entries, peers={"ingress": "pbx"}).splitlines()[0].split() == ["pbx", "sbc", "egress", "peer"]


def test_a_long_head_is_cut_so_that_all_stand_over_their_lines():
    entries = [Entry(0.0, "ingress", False, INVITE, None), Entry(0.0, "egress", True, INVITE, None)]
    head = draw(entries, peers={"ingress": "p" * 99, "egress": "c\x1b" * 50}).splitlines()[0]
    assert head.split()[1] == "sbc"
    assert head.count("...") == 2
    assert "\x1b" not in head


def test_a_repeated_message_is_marked():
    entries = [Entry(0.0, "ingress", False, INVITE, None), Entry(0.5, "ingress", False, INVITE, None)]
    lines = draw(entries).splitlines()
    assert "(again)" not in lines[1]
    assert "(again)" in lines[2]


def test_a_long_label_is_cut_and_its_mark_is_not():
    told = message("SIP/2.0 183 Session Progress", body=SDP)
    longer = message("SIP/2.0 480 Temporarily Unavailable")
    entries = [Entry(at, "ingress", True, data, None) for at in (0.0, 0.5) for data in (told, longer)]
    lines = [line.split("|")[1] for line in draw(entries).splitlines()[1:]]
    assert "183 Session Progress (INVITE) sdp" in lines[0]
    assert "480 Temporarily Unavailable (IN..." in lines[1]
    assert [line.count("(again)") for line in lines] == [0, 0, 1, 1]
    assert {len(line) for line in lines} == {38}


def test_direction_of_the_first_stream_is_shown_unless_it_is_sendrecv():
    assert label_of(INVITE) == "INVITE sdp"
    assert label_of(message("SIP/2.0 200 OK", body=SDP + b"a=recvonly\r\n")) == "200 OK (INVITE) sdp recvonly"
    held = SDP.replace(b"c=IN IP4 192.0.2.1", b"c=IN IP4 0.0.0.0")
    assert label_of(message("INVITE sip:1@example.com SIP/2.0", body=held)) == "INVITE sdp sendonly"


def test_unreadable_sdp_is_said_and_not_raised():
    assert label_of(message("SIP/2.0 183 Session Progress", body=b"v=?")) == "183 Session Progress (INVITE) sdp?"


def sipfrag(method: str, body: bytes, kind: str = "message/sipfrag;version=2.0") -> bytes:
    start = f"{method} sip:1@example.com SIP/2.0\r\nCSeq: 3 {method}\r\nContent-Type: {kind}\r\n\r\n"
    return start.encode() + body


def test_a_notify_about_a_refer_shows_its_status():
    assert label_of(sipfrag("NOTIFY", b"SIP/2.0 180 Ringing\r\n")) == "NOTIFY 180"
    assert label_of(sipfrag("NOTIFY", b"SIP/2.0 200\r\n", "Message/SIPfrag")) == "NOTIFY 200"
    for body in (b"", b"180", b"SIP/2.0 1800", b"SIP/2.0 999 x", b"\x00"):
        assert label_of(sipfrag("NOTIFY", body)) == "NOTIFY"
    assert label_of(sipfrag("NOTIFY", b"SIP/2.0 180 Ringing\r\n", "text/plain")) == "NOTIFY"
    assert label_of(sipfrag("INFO", b"SIP/2.0 180 Ringing\r\n")) == "INFO"


def test_a_request_that_replaces_somebody_says_so():
    to = "Refer-To: <sip:2@example.com?Replaces=a%40b%3Bto-tag%3D1%3Bfrom-tag%3D2>\r\n"
    assert label_of(message("REFER sip:1@example.com SIP/2.0", "3 REFER", extra=to)) == "REFER replaces"
    short = "r: <sip:2@example.com?Subject=x&replaces=a%3Bto-tag%3D1%3Bfrom-tag%3D2>\r\n"
    assert label_of(message("REFER sip:1@example.com SIP/2.0", "3 REFER", extra=short)) == "REFER replaces"
    blind = "Refer-To: <sip:2@example.com>\r\nReplaces: x\r\n"
    assert label_of(message("REFER sip:1@example.com SIP/2.0", "3 REFER", extra=blind)) == "REFER"
    named = "Replaces: a@b;to-tag=1;from-tag=2\r\n"
    assert label_of(message("INVITE sip:1@example.com SIP/2.0", body=SDP, extra=named)) == "INVITE replaces sdp"
    assert label_of(message("SIP/2.0 200 OK", body=SDP, extra=named)) == "200 OK (INVITE) sdp"


def test_nonsense_is_drawn_without_anything_that_a_terminal_obeys():
    for data in (b"", b"\r\n\r\n", b"\x1b[2J\x00\xff sip:1 SIP/2.0\r\n\r\n"):
        drawn = draw([Entry(0.0, "ingress", False, data, None)])
        assert "\x1b" not in drawn
        assert "\x00" not in drawn


def test_credentials_are_not_drawn():
    secret = 'Authorization: Digest username="u", response="5ccc069c403ebaf9f0171e9517f40e41"\r\n'
    drawn = draw([Entry(0.0, "ingress", False, message("INVITE sip:a:pw@b SIP/2.0", extra=secret), None)])
    assert "5ccc" not in drawn
    assert "pw" not in drawn


def test_moves_say_which_leg_and_which_way():
    entries = [Entry(0.0, "ingress", False, INVITE, None), Entry(0.0, "egress", True, INVITE, None)]
    assert moves(entries) == ["ingress > INVITE sdp", "egress < INVITE sdp"]


def test_nothing_draws_nothing():
    assert draw([]) == ""


def arrow(at, leg, sent, data):
    return Entry(at, leg, sent, data, None)


def test_a_hundred_legs_are_drawn_each_in_a_column_of_its_own():
    entries = [arrow(0.0, "ingress", False, INVITE)]
    entries += [arrow(n / 10, "egress" if n == 1 else f"egress-{n}", True, INVITE) for n in range(1, 101)]
    lines = draw(entries).splitlines()
    assert len(lines) == 102
    assert len({line.rstrip("|").rstrip().index(">") for line in lines[2:]}) == 100


@pytest.mark.parametrize(
    "hostile",
    [
        b"",
        b"\r\n\r\n",
        b"\x00" * 50,
        b"\xff\xfe\x9b2J \x1b]0;x\x07 SIP/2.0\r\n\r\n",
        b"SIP/2.0 200 \x1b[31m\xe2\x80\xae\r\nCSeq: 1 \x1b[2J\r\n\r\n",
        b"INVITE " + b"x" * 60_000,
        b"INVITE sip:a SIP/2.0\r\nContent-Type: application/sdp\r\n\r\n" + b"m=" * 30_000,
        b"NOTIFY sip:a SIP/2.0\r\nContent-Type: message/sipfrag\r\n\r\nSIP/2.0 " + b"9" * 30_000,
    ],
)
def test_whatever_a_peer_sends_each_entry_is_one_line_that_moves_no_cursor(hostile):
    drawn = draw([arrow(0.0, "ingress", False, INVITE), arrow(0.1, "egress", True, hostile)])
    assert drawn.count("\n") == 3
    assert all(char.isprintable() for line in drawn.split("\n") for char in line)
    assert max(map(len, drawn.splitlines())) < 130


def test_a_note_that_a_peer_has_written_moves_no_cursor():
    drawn = draw([arrow(0.0, "ingress", False, INVITE), Entry(0.1, "", False, None, "why: \x1b[2J\x85\u2028x\u202e")])
    assert all(char.isprintable() for line in drawn.split("\n") for char in line)


def test_line_breaks_before_a_message_do_not_hide_what_it_is():
    assert label_of(b"\r\n\r\nBYE sip:a@b SIP/2.0\r\n\r\n") == "BYE"
