"""Session-ID of the two ends of a call (RFC 7989), new kind and old."""
# RFC: 7989

import re

from sbc.b2bua.session_ids import SessionIds
from sbc.core.ids import IdSource
from sbc.sip.build import ack_for_failure, cancel_for
from sbc.sip.headers.session_id import NIL
from sbc.sip.message import Request, Response

A, B, C = "a" * 32, "b" * 32, "c" * 32


def _request(value=None, method="INVITE"):
    return Request(method, "sip:x@y", () if value is None else (("Session-ID", value),))


def _response(value=None, status=200):
    return Response(status, "", () if value is None else (("Session-ID", value),))


def _ids():
    return SessionIds(IdSource(lambda n: b"\x5a" * n))


def _talking():
    ids = _ids()
    ids.take(0, _request(f"{A};remote={NIL}"))
    ids.fields_for(1, 0)
    ids.take(1, _response(f"{B};remote={A}"))
    return ids


def _told(ids, leg, other, status=0):
    fields = ids.fields_for(leg, other, status)
    assert [name for name, _ in fields] == ["Session-ID"][: len(fields)]
    return fields[0][1] if fields else None


def test_where_nobody_uses_it_there_is_none():
    ids = _ids()
    ids.take(0, _request())
    assert _told(ids, 1, 0) is None
    ids.take(1, _response())
    assert _told(ids, 0, 1, 200) is None


def test_both_ends_learn_of_each_other():
    ids = _ids()
    ids.take(0, _request(f"{A};remote={NIL}"))
    assert _told(ids, 1, 0) == f"{A};remote={NIL}"
    assert _told(ids, 0, 1, 180) == f"{NIL};remote={A}"
    ids.take(1, _response(f"{B};remote={A}", 180))
    assert _told(ids, 0, 1, 180) == f"{B};remote={A}"
    assert _told(ids, 1, 0) == f"{A};remote={B}"


def test_an_end_that_has_none_gets_one_and_keeps_it():
    ids = _ids()
    ids.take(0, _request(f"{A};remote={NIL}"))
    assert _told(ids, 1, 0) == f"{A};remote={NIL}"
    ids.take(1, _response())
    made = _told(ids, 0, 1, 200)
    assert re.fullmatch(rf"[0-9a-f]{{12}}4[0-9a-f]{{3}}8[0-9a-f]{{15}};remote={A}", made)
    assert _told(ids, 0, 1) == made
    assert _told(ids, 1, 0) == f"{A};remote={made[:32]}"


def test_a_caller_without_one_gets_one_when_the_callee_has_one():
    ids = _ids()
    ids.take(0, _request())
    assert _told(ids, 1, 0) is None
    ids.take(1, _response(f"{B};remote={NIL}"))
    assert _told(ids, 0, 1, 200).startswith(f"{B};remote=")
    assert _told(ids, 1, 0).endswith(f";remote={B}")


def test_another_fork_is_another_end():
    ids = _talking()
    ids.take(1, _response(f"{C};remote={A}"))
    assert _told(ids, 0, 1, 200) == f"{C};remote={A}"


def test_a_new_identifier_counts_once_its_request_is_accepted():
    ids = _talking()
    ids.take(1, _request(f"{C};remote={A}"))
    assert _told(ids, 0, 1) == f"{B};remote={A}"
    assert _told(ids, 1, 0, 488) == f"{A};remote={C}"
    assert _told(ids, 1, 0) == f"{A};remote={B}"
    ids.take(1, _request(f"{C};remote={A}"))
    assert _told(ids, 1, 0, 100) == f"{A};remote={C}"
    assert _told(ids, 1, 0, 200) == f"{A};remote={C}"
    assert _told(ids, 0, 1) == f"{C};remote={A}"


def test_what_says_nothing_changes_nothing():
    ids = _talking()
    for value in (None, "garbage", f"{NIL};remote={A}", "A" * 31):
        ids.take(1, _response(value))
        ids.take(1, _request(value))
    ids.take(1, _request(f"{C};remote={A}", "CANCEL"))
    assert _told(ids, 1, 0, 200) == f"{A};remote={B}"
    assert _told(ids, 0, 1) == f"{B};remote={A}"


def test_an_old_caller_hears_the_one_identifier_that_it_knows():
    ids = _ids()
    ids.take(0, _request(A))
    assert _told(ids, 1, 0) == f"{A};remote={NIL}"
    ids.take(1, _response(f"{B};remote={A}"))
    assert _told(ids, 0, 1, 200) == A
    assert _told(ids, 1, 0) == f"{A};remote={B}"
    ids.take(0, _request(C))
    assert _told(ids, 1, 0) == f"{A};remote={B}"


def test_an_old_callee_that_drops_the_nil_hears_one_identifier():
    ids = _ids()
    ids.take(0, _request(f"{A};remote={NIL}"))
    ids.fields_for(1, 0)
    ids.take(1, _response(A))
    assert _told(ids, 1, 0) == A


def test_an_old_callee_that_echoes_hears_its_echo():
    ids = _ids()
    ids.take(0, _request(f"{A};remote={NIL}"))
    ids.fields_for(1, 0)
    ids.take(1, _response(f"{A};remote={NIL}"))
    assert _told(ids, 1, 0) == f"{A};remote={NIL}"
    assert _told(ids, 0, 1, 200).endswith(f";remote={A}")


def test_a_standard_peer_stays_one_where_it_forgets_the_remote():
    ids = _talking()
    ids.take(1, _request(B))
    assert _told(ids, 1, 0, 200) == f"{A};remote={B}"


def test_a_cancel_and_the_ack_of_a_failure_repeat_what_the_invite_had():
    ids = _ids()
    ids.take(0, _request(f"{A};remote={NIL}"))
    invite = Request("INVITE", "sip:x@y", (("CSeq", "1 INVITE"), *ids.fields_for(1, 0)))
    assert cancel_for(invite).header("Session-ID") == f"{A};remote={NIL}"
    assert f"Session-ID: {A};remote={NIL}\r\n".encode() in ack_for_failure(invite, "v", _response(status=486))


def test_a_leg_takes_its_end_along_into_another_call():
    ids, other = _talking(), _ids()
    other.take(1, _request(f"{C};remote={NIL}"))
    ids.move(2, other, 1)
    assert _told(ids, 0, 2) == f"{C};remote={A}"
    assert _told(ids, 2, 0) == f"{A};remote={C}"
    assert _told(other, 1, 0) is None
