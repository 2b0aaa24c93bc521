"""One call's ladder as data, and its messages as a capture file."""

import json

from sbc.admin.api import answer
from sbc.admin.exchange import Request

from .state import CALL, StillState

STATE = StillState(ladders={CALL.ref: "a ladder"})


def asked(about, ref=CALL.ref):
    return answer(Request("GET", f"/api/v1/calls/{ref}/{about}"), STATE)


def test_a_trace_has_messages_and_notes_in_their_order():
    found = json.loads(asked("trace").body)
    assert (found["ref"], found["running"], found["peers"]) == (CALL.ref, False, {"ingress": "office"})
    message, note = found["entries"]
    assert message == {
        "at": 0.0,
        "time": "2025-01-31T09:00:05.000Z",
        "leg": "ingress",
        "sent": False,
        "label": "INVITE",
        "message": "INVITE sip:x SIP/2.0\r\n\r\n",
        "note": None,
        "local": "192.0.2.1:5060",
        "remote": "192.0.2.9:5060",
        "transport": "udp",
    }
    assert (note["at"], note["note"], note["message"], note["local"]) == (0.25, ["why"], None, None)


def test_a_capture_is_offered_as_a_file_of_the_refs_name():
    reply = asked("pcap")
    assert reply.content_type == "application/vnd.tcpdump.pcap"
    assert reply.headers == (("Content-Disposition", f'attachment; filename="{CALL.ref}.pcap"'),)
    assert reply.body[:4] == bytes.fromhex("d4c3b2a1")
    assert reply.body.endswith(b"\r\n\r\nx"), "what is masked keeps its length"


def test_a_call_that_nobody_remembers_has_neither_and_is_told_how_many_are_remembered():
    for about in ("trace", "pcap"):
        reply = asked(about, "nobody")
        assert reply.status == 404
        assert "2000" in json.loads(reply.body)["detail"]


def asked_of_peer(about, name="carrier-a", accept=""):
    return answer(Request("GET", f"/api/v1/peers/{name}/{about}", accept=accept), STATE)


def test_what_was_said_beside_calls_has_the_shape_of_a_calls_trace():
    found = json.loads(asked_of_peer("trace").body)
    assert (found["peer"], found["peers"]) == ("carrier-a", {"peer": "carrier-a"})
    message, note = found["entries"]
    assert (message["leg"], message["sent"], message["label"]) == ("peer", True, "REGISTER")
    assert note["note"] == ["registration.rejected: 403 Forbidden"]


def test_it_is_drawn_with_the_time_of_day():
    drawn = asked_of_peer("ladder", accept="text/plain").body.decode().splitlines()
    assert drawn[0].split() == ["carrier-a", "sbc"]
    assert drawn[1].startswith("01-31 09:00:05.000  |<--")
    assert json.loads(asked_of_peer("ladder").body)["ladder"].splitlines() == drawn


def test_its_capture_is_a_file_of_the_peers_name():
    reply = asked_of_peer("pcap")
    assert reply.headers == (("Content-Disposition", 'attachment; filename="carrier-a.pcap"'),)
    assert reply.body.endswith(b"\r\n\r\nx"), "what is masked keeps its length"


def test_a_peer_that_nobody_knows_has_none_of_it_and_the_nearest_is_named():
    for about in ("trace", "ladder", "pcap"):
        reply = asked_of_peer(about, "carier-a")
        assert reply.status == 404
        assert "did you mean `carrier-a`?" in json.loads(reply.body)["detail"]
