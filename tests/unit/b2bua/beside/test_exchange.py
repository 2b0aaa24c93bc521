"""One request and its one answer, across: MESSAGE, PUBLISH, OPTIONS, and NOTIFY of messages waiting."""
# RFC: 4320, 4321

import pytest

from sbc.b2bua.beside.publications import Publication
from sbc.core import limits
from sbc.policy.model import Peer, Register
from sbc.testing.build import request
from sbc.testing.world import DID, FAR, POLICY

TEXT = (("Content-Type", "text/plain"),)
SPARE = "  spare: {interface: outside, servers: ['sip:198.51.100.8:5060']}\n"
TWO_TRUNKS = POLICY.replace("routes:\n", f"{SPARE}routes:\n").replace("via: [carrier]", "via: [carrier, spare]")
ACCOUNT = POLICY.replace('sip:198.51.100.7:5060"]}', 'sip:198.51.100.7:5060"], auth: {username: acme, password: s}}')
CHALLENGE = (("WWW-Authenticate", 'Digest realm="carrier.example", nonce="n1", algorithm=MD5, qop="auth"'),)
PRESENCE = (("Event", "presence"),)


def statuses(outs):
    return [out.status for out in outs if hasattr(out, "status")]


def test_a_message_crosses_with_ids_of_our_own_and_its_answer_comes_back(desk):
    it = desk()
    it.asks("MESSAGE", fields=TEXT, body=b"hello")
    assert it.last.method == "MESSAGE"
    assert it.last.body == b"hello"
    assert it.last.uri_text == f"sip:{FAR}@198.51.100.7:5060"
    assert it.last.header("From").startswith(f"<sip:{DID}@198.51.100.7>;tag=")
    assert it.last.call_id != "desk-1"
    assert it.last.from_.tag != "from-1"
    assert it.last.header("CSeq") == "1 MESSAGE"
    assert it.last.max_forwards == 69
    assert it.last.header("Content-Type") == "text/plain"
    assert it.last.header("Allow") is None
    assert it.sent[0].contact is None  # RFC 3428 §4
    assert statuses(it.answered(200)) == [200]
    assert it.answers[0].contact is None
    assert it.answers[0].body == b""
    assert it.is_idle()


def test_202_to_a_message_says_that_it_is_stored_and_crosses(desk):
    it = desk()
    it.asks("MESSAGE", fields=TEXT, body=b"hello")
    assert statuses(it.answered(202)) == [202]


def test_a_message_without_a_route_is_refused(desk):
    it = desk()
    it.asks("MESSAGE", uri="sip:+999@10.0.0.1:5060")
    assert it.statuses == [404]
    assert it.sent == []
    assert it.is_idle()


def test_a_message_that_has_come_too_far_is_refused(desk):
    it = desk()
    it.asks("MESSAGE", max_forwards=0)
    assert it.statuses == [483]
    assert it.sent == []


def test_who_may_not_be_shown_as_caller_sends_no_message(desk):
    it = desk(
        POLICY.replace(
            "address: sip:10.0.0.5:5060", "address: sip:10.0.0.5:5060, caller_id: {mode: screen, on_fail: reject}"
        )
    )
    it.asks("MESSAGE", sender="sip:+15005550006@10.0.0.5")
    assert it.statuses == [403]
    assert it.sent == []


@pytest.mark.parametrize("status", [404, 480, 486, 500, 600, 603])
def test_a_refusal_crosses(desk, status):
    it = desk()
    it.asks("MESSAGE")
    assert statuses(it.answered(status)) == [status]
    assert it.is_idle()


def test_a_redirection_never_crosses(desk):
    it = desk()
    it.asks("MESSAGE")
    it.answered(302, contact="sip:secret@198.51.100.99")
    assert it.statuses == [502]
    assert "secret" not in str(it.answers[0].fields)


def test_405_names_what_its_sender_may_use_instead(desk):
    it = desk()
    it.asks("MESSAGE")
    it.answered(405, fields=(("Allow", "INVITE, X-OURS"),))
    assert it.statuses == [405]
    allow = dict(it.answers[0].fields)["Allow"].split(", ")
    assert "INVITE" in allow
    assert "MESSAGE" not in allow
    assert "X-OURS" not in allow


def test_retry_after_crosses_without_its_comment(desk):
    it = desk()
    it.asks("MESSAGE")
    it.answered(480, fields=(("Retry-After", "120 (I am at 198.51.100.9)"),))
    assert dict(it.answers[0].fields)["Retry-After"] == "120"


@pytest.mark.parametrize("method", ["MESSAGE", "PUBLISH", "NOTIFY", "SUBSCRIBE"])
def test_a_body_that_nobody_here_can_read_is_415_with_what_can_cross(desk, method):
    it = desk()
    fields = (("Event", "message-summary"), ("Content-Type", "application/x-secret"))
    it.asks(method, fields=fields, body=b"at 10.0.0.5")
    assert it.statuses == [415]
    assert "text/plain" in dict(it.answers[0].fields)["Accept"]
    assert it.sent == []


def test_a_message_keeps_its_date_where_it_expires(desk):
    it = desk()
    date = ("Date", "Sat, 13 Nov 2010 23:29:00 GMT")
    it.asks("MESSAGE", fields=(("Expires", "60"), date))
    assert (it.last.header("Expires"), it.last.header("Date")) == ("60", date[1])
    it.asks("MESSAGE", fields=(date,))
    assert it.last.header("Date") is None


# --- who is tried -----------------------------------------------------------------------------------------------------


def test_a_503_lets_the_next_trunk_have_it(desk):
    it = desk(TWO_TRUNKS)
    it.asks("MESSAGE")
    it.answered(503)
    assert it.answers == []
    assert it.last.uri_text == f"sip:{FAR}@198.51.100.8:5060"
    assert it.sent[0].request.call_id != it.last.call_id
    it.answered(200)
    assert it.statuses == [200]
    assert it.is_idle()


def test_silence_lets_the_next_trunk_have_it_and_the_first_is_too_late_then(desk):
    it = desk(TWO_TRUNKS)
    it.asks("MESSAGE")
    it.waits(4.0)
    assert len(it.sent) == 2
    assert it.answered(200, n=0) == []
    it.answered(200)
    assert it.statuses == [100, 200]
    assert it.is_idle()


def test_a_100_makes_it_wait_for_that_server(desk):
    it = desk(TWO_TRUNKS)
    it.asks("MESSAGE")
    it.answered(100)
    it.waits(10.0)
    assert len(it.sent) == 1
    it.answered(200)
    assert it.statuses == [100, 200]


def test_who_waits_is_told_100_when_his_timer_e_has_reached_t2_and_not_before(desk):
    it = desk()
    it.asks("MESSAGE")
    it.waits(3.4)
    assert it.statuses == []
    it.waits(0.2)
    assert it.statuses == [100]


@pytest.mark.parametrize(("side", "status"), [("inside", 504), ("outside", 480)])
def test_silence_is_answered_before_the_sender_gives_up_and_never_408(desk, side, status):
    it = desk()
    it.asks("MESSAGE", side=side)
    it.waits(31.9)
    assert it.statuses == [100, status]
    assert it.fails() == []
    assert it.is_idle()


@pytest.mark.parametrize(("side", "status"), [("inside", 503), ("outside", 480)])
def test_a_peer_that_cannot_be_reached(desk, side, status):
    it = desk()
    it.asks("MESSAGE", side=side)
    it.fails("transport")
    assert it.statuses == [status]
    assert it.is_idle()


def test_a_busied_out_trunk_is_not_asked(desk):
    it = desk()
    it.context.relations.order("busyout", "carrier", 0.0, on=True)
    it.asks("MESSAGE")
    assert it.statuses == [503]
    assert it.sent == []


# --- challenges -------------------------------------------------------------------------------------------------------


def test_a_challenge_of_the_trunk_is_answered_with_its_account(desk):
    it = desk(ACCOUNT)
    it.asks("MESSAGE", fields=TEXT, body=b"hello")
    it.answered(401, fields=CHALLENGE)
    assert it.answers == []
    assert 'username="acme"' in it.last.header("Authorization")
    assert it.last.header("CSeq") == "2 MESSAGE"
    assert it.last.body == b"hello"
    assert it.sent[0].request.call_id == it.last.call_id
    it.answered(200)
    assert it.statuses == [200]


def test_a_challenge_from_elsewhere_is_not_answered(desk):
    it = desk(ACCOUNT)
    it.asks("MESSAGE")
    it.answered(401, fields=CHALLENGE, genuine=False)
    assert len(it.sent) == 1
    assert it.statuses == [403]


def test_a_challenge_never_crosses(desk):
    it = desk()
    it.asks("MESSAGE")
    it.answered(407, fields=(("Proxy-Authenticate", 'Digest realm="carrier.example", nonce="n"'),))
    assert it.statuses == [403]
    assert it.answers[0].fields == ()


# --- PUBLISH ----------------------------------------------------------------------------------------------------------


def published(it, *, tag="theirs-1", expires="600"):
    it.asks("PUBLISH", fields=(*PRESENCE, ("Expires", "3600"), *TEXT), body=b"open")
    it.answered(200, fields=(("SIP-ETag", tag), ("Expires", expires)))
    return dict(it.answers[-1].fields)["SIP-ETag"]


def test_publish_crosses_with_its_event_and_the_entity_tag_is_ours(desk):
    it = desk()
    ours = published(it)
    assert it.last.header("Event") == "presence"
    assert it.last.header("Expires") == "3600"
    assert it.last.header("SIP-If-Match") is None
    assert ours != "theirs-1"
    assert dict(it.answers[0].fields)["Expires"] == "600"


def test_a_refresh_names_the_servers_own_tag_and_gets_a_new_one_of_ours(desk):
    it = desk()
    ours = published(it)
    it.asks("PUBLISH", fields=(*PRESENCE, ("SIP-If-Match", ours)))
    assert it.last.header("SIP-If-Match") == "theirs-1"
    it.answered(200, fields=(("SIP-ETag", "theirs-2"), ("Expires", "600")))
    again = dict(it.answers[-1].fields)["SIP-ETag"]
    it.asks("PUBLISH", fields=(*PRESENCE, ("SIP-If-Match", again)))
    assert it.last.header("SIP-If-Match") == "theirs-2"
    it.answered(200, fields=(("SIP-ETag", "theirs-3"), ("Expires", "600")))
    it.asks("PUBLISH", fields=(*PRESENCE, ("SIP-If-Match", ours)))
    assert it.statuses[-1] == 412


def test_a_refresh_goes_to_the_server_that_keeps_the_publication(desk):
    it = desk(TWO_TRUNKS)
    it.asks("PUBLISH", fields=PRESENCE, body=b"")
    it.answered(503)
    it.answered(200, fields=(("SIP-ETag", "of-spare"), ("Expires", "600")))
    ours = dict(it.answers[-1].fields)["SIP-ETag"]
    it.asks("PUBLISH", fields=(*PRESENCE, ("SIP-If-Match", ours)))
    assert it.last.uri_text == f"sip:{FAR}@198.51.100.8:5060"


def test_a_tag_that_nobody_gave_is_412(desk):
    it = desk()
    it.asks("PUBLISH", fields=(*PRESENCE, ("SIP-If-Match", "unknown")))
    assert it.statuses == [412]
    assert it.sent == []


def test_a_tag_is_of_its_publisher_and_its_package_alone(desk):
    it = desk()
    ours = published(it)
    it.asks("PUBLISH", fields=(("Event", "dialog"), ("SIP-If-Match", ours)))
    it.asks("PUBLISH", side="outside", fields=(*PRESENCE, ("SIP-If-Match", ours)))
    assert it.statuses[-2:] == [412, 412]


def test_two_tags_are_a_bad_request(desk):
    it = desk()
    it.asks("PUBLISH", fields=(*PRESENCE, ("SIP-If-Match", "one, two")))
    assert it.statuses == [400]


def test_a_publication_that_nobody_refreshed_is_forgotten(desk):
    it = desk()
    ours = published(it)
    it.waits(601)
    it.asks("PUBLISH", fields=(*PRESENCE, ("SIP-If-Match", ours)))
    assert it.statuses[-1] == 412
    assert it.beside.publications == 0


def test_what_was_removed_is_forgotten(desk):
    it = desk()
    ours = published(it)
    it.asks("PUBLISH", fields=(*PRESENCE, ("SIP-If-Match", ours), ("Expires", "0")))
    it.answered(200, fields=(("SIP-ETag", "gone"), ("Expires", "0")))
    for tag in (ours, dict(it.answers[-1].fields)["SIP-ETag"]):
        it.asks("PUBLISH", fields=(*PRESENCE, ("SIP-If-Match", tag)))
        assert it.statuses[-1] == 412


def test_412_of_the_server_crosses_and_the_tag_is_forgotten(desk):
    it = desk()
    ours = published(it)
    it.asks("PUBLISH", fields=(*PRESENCE, ("SIP-If-Match", ours)))
    it.answered(412)
    assert it.statuses[-1] == 412
    assert it.beside.publications == 0


def test_423_says_how_long_would_do(desk):
    it = desk()
    it.asks("PUBLISH", fields=(*PRESENCE, ("Expires", "1")))
    it.answered(423, fields=(("Min-Expires", "60"),))
    assert it.statuses == [423]
    assert dict(it.answers[0].fields)["Min-Expires"] == "60"


@pytest.mark.parametrize("tag", ["", "no token", "x" * 300])
def test_a_tag_that_is_none_is_not_given_on(desk, tag):
    it = desk()
    it.asks("PUBLISH", fields=PRESENCE)
    it.answered(200, fields=(("SIP-ETag", tag), ("Expires", "60")))
    assert it.statuses == [200]
    assert "SIP-ETag" not in dict(it.answers[0].fields)
    assert it.beside.publications == 0


def publication(peer):
    return Publication(peer, "presence", "theirs", None, 50.0)


def test_who_publishes_most_loses_its_oldest(desk, monkeypatch):
    monkeypatch.setattr(limits, "PUBLICATIONS", 3)
    store = desk().beside._publications
    [victim] = [store.published(publication("office"), "")]
    flood = [store.published(publication("carrier"), "") for _ in range(9)]
    assert store.find(victim, "office", "presence", 0.0) is not None
    assert [store.find(tag, "carrier", "presence", 0.0) is None for tag in flood] == [True] * 7 + [False] * 2
    assert store.find(victim, "carrier", "presence", 0.0) is None, "it is another's"
    store.forget_expired(100.0)
    assert len(store) == 0


# BOUND: PUBLICATIONS
def test_publications_are_bounded(desk, monkeypatch):
    monkeypatch.setattr(limits, "PUBLICATIONS", 3)
    it = desk()
    tags = [published(it, tag=f"t{n}") for n in range(5)]
    assert it.beside.publications == 3
    it.asks("PUBLISH", fields=(*PRESENCE, ("SIP-If-Match", tags[0])))
    assert it.statuses[-1] == 412


# --- events, and what is not relayed ----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["PUBLISH", "SUBSCRIBE", "NOTIFY"])
@pytest.mark.parametrize("fields", [(), (("Event", "check-sync"),), (("Event", ";;"),), (("Event", "refer"),)])
def test_an_event_that_the_peer_may_not_use_is_489(desk, method, fields):
    it = desk()
    it.asks(method, fields=fields)
    assert it.statuses == [489]
    assert "message-summary" in dict(it.answers[0].fields)["Allow-Events"]
    assert it.sent == []


def test_messages_waiting_are_notified_without_a_subscription(desk):
    it = desk()
    body = b"Messages-Waiting: yes\r\nVoice-Message: 2/0\r\n"
    fields = (("Event", "message-summary"), ("Content-Type", "application/simple-message-summary"))
    it.asks("NOTIFY", side="outside", fields=(*fields, ("Subscription-State", "active")), body=body)
    assert it.last.uri_text == f"sip:{DID}@10.0.0.5:5060"
    assert it.last.header("Event") == "message-summary"
    assert it.last.header("Subscription-State") == "active"
    assert it.last.body == body
    it.answered(200)
    assert it.statuses == [200]
    assert it.is_idle()


def test_other_notifications_need_a_subscription(desk):
    it = desk()
    it.asks("NOTIFY", side="outside", fields=(("Event", "presence"), ("Subscription-State", "active")))
    assert it.statuses == [481]


@pytest.mark.parametrize(("method", "status"), [("INFO", 481), ("REFER", 403), ("UPDATE", 481)])
def test_what_has_no_meaning_outside_a_dialog_is_refused(desk, method, status):
    it = desk()
    it.asks(method)
    assert it.statuses == [status]
    assert it.sent == []


# BOUND: EXCHANGES
def test_exchanges_are_bounded(desk, monkeypatch):
    monkeypatch.setattr(limits, "EXCHANGES", 4)
    it = desk()
    for _ in range(3):
        it.asks("MESSAGE")
    assert it.statuses == [503], "half of it is the most that one peer may have"
    for _ in range(3):
        it.asks("MESSAGE", side="outside")
    assert it.statuses == [503, 503]
    assert it.beside.exchanges == 4
    assert it.context.dropped == {"exchanges_full": 2}


# --- OPTIONS ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "relayed"),
    [
        ("sip:10.0.0.1:5060", False),  # us
        (f"sip:{FAR}@10.0.0.1", True),
        ("sip:ping@10.0.0.1", False),  # nobody whom a route reaches
        ("tel:+442079460001", False),
    ],
)
def test_options_about_somebody_whom_a_route_reaches_are_relayed(desk, uri, relayed):
    it = desk(POLICY.replace("address: sip:10.0.0.5:5060", "address: sip:10.0.0.5:5060, methods: [INVITE, OPTIONS]"))
    office = it.policy.peers["office"]
    assert it.beside.relays_options(request("OPTIONS", to=uri), office) is relayed


def test_options_of_a_peer_without_a_list_of_methods_are_answered_here(desk):
    it = desk()
    assert not it.beside.relays_options(request("OPTIONS", to=f"sip:{FAR}@10.0.0.1"), it.policy.peers["office"])


def test_options_at_the_user_of_our_registration_are_our_own_affair(desk):
    it = desk()
    methods, register = frozenset({"INVITE", "OPTIONS"}), Register(DID, "carrier.example")
    trunk = Peer("carrier", "trunk", "outside", (), register=register, methods=methods)
    assert it.beside.relays_options(request("OPTIONS", to="sip:+14155550101@203.0.113.1"), trunk)
    assert not it.beside.relays_options(request("OPTIONS", to=f"sip:{DID}@203.0.113.1"), trunk)


def test_options_are_answered_with_what_we_can_and_not_what_they_can(desk):
    it = desk()
    it.asks("OPTIONS")
    it.answered(200, fields=(("Allow", "X-THEIRS"), ("Accept", "x/theirs")), body=b"v=0\r\n")
    [answer] = it.answers
    assert answer.status == 200
    assert "INVITE" in dict(answer.fields)["Allow"]
    assert "THEIRS" not in str(answer.fields).upper()
    assert answer.contact == ""
    assert answer.body == b""


# BOUND: PUBLICATION_SECONDS
def test_a_publication_is_remembered_for_a_day_at_most(desk):
    it = desk()
    it.asks("PUBLISH", fields=(*PRESENCE, ("Expires", "999999")))
    it.answered(200, fields=(("SIP-ETag", "theirs"), ("Expires", "999999")))
    assert it.beside.publications == 1
    it.now = limits.PUBLICATION_SECONDS + 1.0
    it.asks("PUBLISH", fields=PRESENCE)
    assert it.beside.publications == 0
