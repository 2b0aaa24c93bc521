"""INFO, MESSAGE, NOTIFY and OPTIONS within a call: what crosses, what is refused, and that the call outlives it all."""
# RFC: 4320, 4321, 6086

import pytest

from sbc.sip.parse import parse_message
from sbc.testing.byhand import ByHand
from sbc.testing.world import DID, FAR, OFFICE

from .transferring import BRANCH, called, refers

TEXT = (("Content-Type", "text/plain"),)
ALL = ["INVITE", "INFO", "MESSAGE", "NOTIFY", "REFER", "UPDATE", "OPTIONS"]
TALKATIVE = {"methods": ALL, "events": ["talk", "hold", "refer"]}


def talking(world, *, caller="office", peers=None, **options):
    """One who has called, and who has answered."""
    sbc = world(peers=peers or {"office": TALKATIVE, "carrier": TALKATIVE}, **options)
    office, carrier = sbc.office(), sbc.carrier()
    one, other = (office, carrier) if caller == "office" else (carrier, office)
    one.invites(FAR if caller == "office" else DID)
    other.answers()
    return sbc, one, other


def answers(sbc, phone, method):
    """The final responses that a phone has had to its requests of this method."""
    read = [parse_message(data, stream=False) for data in sbc.net.sent_to(phone.name)]
    return [m for m in read if not hasattr(m, "uri_text") and m.cseq.method == method and m.status >= 200]


def ends(sbc, phone, *, after=80.0):
    assert phone.is_talking
    phone.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    return sbc.idle(after=after)


@pytest.mark.parametrize("caller", ["office", "carrier"])
@pytest.mark.parametrize("sender", ["caller", "callee"])
def test_a_text_crosses_and_so_does_its_answer(world, caller, sender):
    sbc, one, other = talking(world, caller=caller)
    one, other = (one, other) if sender == "caller" else (other, one)
    other.script.statuses["MESSAGE"] = 202
    one.requests("MESSAGE", fields=(*TEXT, ("Subject", "lunch")), body=b"Soup?")
    heard = other.last("MESSAGE")
    assert (heard.body, heard.header("Subject"), heard.content_type) == (b"Soup?", "lunch", "text/plain")
    assert one.got("202 MESSAGE")
    assert ends(sbc, other)


def test_an_info_of_a_package_crosses_with_its_name(world):
    sbc, office, carrier = talking(world)
    fields = (("Info-Package", "kpml"), ("Content-Disposition", "Info-Package"), *TEXT)
    carrier.requests("INFO", fields=fields, body=b"1")
    heard = office.last("INFO")
    assert (heard.header("Info-Package"), heard.header("Content-Disposition")) == ("kpml", "Info-Package")
    assert ends(sbc, office)


def test_a_package_that_is_not_understood_is_refused_by_who_knows(world):
    sbc, office, carrier = talking(world)
    office.script.statuses["INFO"] = 469
    carrier.requests("INFO", fields=(("Info-Package", "chess"), *TEXT), body=b"e4")
    assert carrier.got("469 INFO")
    assert ends(sbc, carrier)


def test_an_info_without_anything_crosses(world):
    sbc, office, carrier = talking(world)
    office.requests("INFO")
    assert carrier.last("INFO").body == b""
    assert office.got("200 INFO")
    assert ends(sbc, carrier)


@pytest.mark.parametrize("package", ["talk", "hold"])
def test_a_notify_of_a_package_that_policy_knows_crosses_with_its_name(world, package):
    sbc, office, carrier = talking(world)
    fields = (("Event", f"{package};call-id=a84b4c76e66710@{OFFICE}"), ("Subscription-State", "active;expires=60"))
    office.requests("NOTIFY", fields=fields)
    heard = carrier.last("NOTIFY")
    assert (heard.header("Event"), heard.header("Subscription-State")) == (package, "active;expires=60")
    assert office.got("200 NOTIFY")
    assert ends(sbc, carrier)


@pytest.mark.parametrize("event", ["check-sync", "presence", "", "talk talk", None])
def test_a_notify_of_another_package_gets_489_with_those_that_are_known(world, event):
    sbc, office, carrier = talking(world)
    office.requests("NOTIFY", fields=() if event is None else (("Event", event),))
    [refused] = answers(sbc, office, "NOTIFY")
    assert (refused.status, refused.header("Allow-Events")) == (489, "hold, refer, talk")
    assert "NOTIFY" not in carrier.heard
    assert ends(sbc, carrier)


def test_options_is_answered_here_and_crosses_not(world):
    sbc, office, carrier = talking(world)
    office.requests("OPTIONS")
    [answer] = answers(sbc, office, "OPTIONS")
    assert answer.status == 200
    assert "MESSAGE" in answer.allow
    assert "OPTIONS" not in carrier.heard
    assert ends(sbc, carrier)


def test_what_the_senders_policy_does_not_name_gets_405(world):
    sbc, office, carrier = talking(world, peers={"carrier": TALKATIVE})
    office.requests("MESSAGE", fields=TEXT, body=b"Soup?")
    [refused] = answers(sbc, office, "MESSAGE")
    assert refused.status == 405
    assert "MESSAGE" not in refused.allow
    assert "MESSAGE" not in carrier.heard
    assert ends(sbc, carrier)


def test_what_the_hearers_policy_does_not_name_gets_405(world):
    sbc, office, carrier = talking(world, peers={"office": TALKATIVE})
    office.requests("MESSAGE", fields=TEXT, body=b"Soup?")
    [refused] = answers(sbc, office, "MESSAGE")
    assert refused.status == 405
    assert "MESSAGE" not in refused.allow
    assert "MESSAGE" not in carrier.heard
    assert ends(sbc, carrier)


def test_what_the_hearer_itself_does_not_allow_gets_405_and_is_not_sent(world):
    sbc = world(peers={"office": TALKATIVE, "carrier": TALKATIVE})
    office, carrier = sbc.office(), sbc.carrier()
    carrier.disallows("INFO", "MESSAGE")
    office.invites(FAR)
    carrier.answers()
    office.requests("MESSAGE", fields=TEXT, body=b"Soup?")
    office.presses("5")
    assert [m.status for m in answers(sbc, office, "MESSAGE") + answers(sbc, office, "INFO")] == [405, 405]
    assert not {"INFO", "MESSAGE"} & set(carrier.heard)
    assert ends(sbc, carrier)


@pytest.mark.parametrize("status", [405, 501])
def test_405_of_the_hearer_says_what_is_allowed_here(world, status):
    sbc, office, carrier = talking(world)
    carrier.answers_requests("MESSAGE", status)
    office.requests("MESSAGE", fields=TEXT, body=b"Soup?")
    [refused] = answers(sbc, office, "MESSAGE")
    assert refused.status == 405
    assert "MESSAGE" not in refused.allow
    assert ends(sbc, carrier)


@pytest.mark.parametrize("kind", ["application/isup", "text/html", "message/sip", "application/octet-stream", ""])
def test_a_body_that_nobody_here_can_read_gets_415_with_what_can_be(world, kind):
    sbc, office, carrier = talking(world)
    office.requests("INFO", fields=(("Content-Type", kind),) if kind else (), body=b"\x01\x02" + OFFICE.encode())
    [refused] = answers(sbc, office, "INFO")
    assert refused.status in ((415,) if kind else (400, 415))
    if refused.status == 415:
        assert "text/plain" in refused.header("Accept")
    assert "INFO" not in carrier.heard
    assert ends(sbc, carrier)


@pytest.mark.parametrize(
    ("kind", "body"),
    [("application/dtmf-relay", b"Signal=fish\r\n"), ("application/pidf+xml", b"<!DOCTYPE a><presence/>")],
)
def test_a_body_that_is_not_what_it_says_gets_400(world, kind, body):
    sbc, office, carrier = talking(world)
    office.requests("INFO", fields=(("Content-Type", kind),), body=body)
    assert office.got("400 INFO")
    assert "INFO" not in carrier.heard
    assert ends(sbc, carrier)


def test_415_of_the_hearer_says_what_it_takes(world):
    sbc, office, carrier = talking(world)
    hand = ByHand(sbc, carrier)
    office.requests("MESSAGE", fields=TEXT, body=b"Soup?")
    accept = ("Accept", "application/pidf+xml;q=0.5, application/x-acme-softswitch")
    hand.replies(415, to=hand.requests("MESSAGE")[-1], fields=(accept,))
    [refused] = answers(sbc, office, "MESSAGE")
    assert (refused.status, refused.header("Accept")) == (415, "application/sdp, application/pidf+xml")
    carrier.wakes()
    assert ends(sbc, office)


@pytest.mark.parametrize(
    ("answer", "heard"),
    [(481, 500), (408, 500), (404, 500), (480, 500), (302, 500), (403, 403), (488, 488), (603, 603)],
)
def test_a_refusal_ends_no_call(world, answer, heard):
    sbc, office, carrier = talking(world)
    carrier.answers_requests("INFO", answer)
    office.requests("INFO", fields=TEXT, body=b"?")
    assert [m.status for m in answers(sbc, office, "INFO")] == [heard]
    carrier.answers_requests("INFO", 200)
    office.requests("INFO", fields=TEXT, body=b"?")
    assert office.got("200 INFO")
    assert sbc.hears(office, carrier)
    assert ends(sbc, carrier)


def test_a_challenge_is_answered_here_where_there_are_credentials(world):
    peers = {"office": TALKATIVE, "carrier": {**TALKATIVE, "auth": {"username": "acme", "password": "open sesame"}}}
    sbc, office, carrier = talking(world, peers=peers)
    carrier.challenges("acme", "open sesame", methods=("MESSAGE",))
    office.requests("MESSAGE", fields=TEXT, body=b"Soup?")
    assert carrier.heard.count("MESSAGE") >= 1
    assert [m.status for m in answers(sbc, office, "MESSAGE")] == [200]
    assert carrier.last("MESSAGE").body == b"Soup?"
    assert ends(sbc, carrier)


def test_a_challenge_that_nobody_here_can_answer_is_not_shown(world):
    sbc, office, carrier = talking(world)
    carrier.challenges("acme", "open sesame", methods=("MESSAGE",), status=407)
    office.requests("MESSAGE", fields=TEXT, body=b"Soup?")
    [refused] = answers(sbc, office, "MESSAGE")
    assert (refused.status, refused.header("Proxy-Authenticate")) == (403, None)
    assert ends(sbc, carrier)


def test_requests_that_cross_each_other(world):
    sbc, office, carrier = talking(world)
    office_hand, carrier_hand = ByHand(sbc, office), ByHand(sbc, carrier)
    office.requests("MESSAGE", fields=TEXT, body=b"Soup?")
    carrier.requests("MESSAGE", fields=TEXT, body=b"Fish?")
    office.requests("INFO", fields=TEXT, body=b"!")
    office_hand.replies(200, to=office_hand.requests("MESSAGE")[0])
    carrier_hand.replies(202, to=carrier_hand.requests("INFO")[0])
    carrier_hand.replies(603, to=carrier_hand.requests("MESSAGE")[0])
    assert [(m.status, m.cseq.method) for m in answers(sbc, office, "MESSAGE")] == [(603, "MESSAGE")]
    assert [m.status for m in answers(sbc, office, "INFO")] == [202]
    assert [m.status for m in answers(sbc, carrier, "MESSAGE")] == [200]
    office.wakes()
    carrier.wakes()
    assert ends(sbc, office)


@pytest.mark.parametrize("leaver", ["sender", "hearer"])
def test_who_leaves_while_one_is_open_gets_or_gives_487(world, leaver):
    sbc, office, carrier = talking(world)
    carrier.ignores("MESSAGE")
    office.requests("MESSAGE", fields=TEXT, body=b"Soup?")
    (office if leaver == "sender" else carrier).hangs_up()
    assert [m.status for m in answers(sbc, office, "MESSAGE")] == [487]
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


@pytest.mark.parametrize("caller", ["office", "carrier"])
def test_silence_is_told_while_somebody_listens_and_never_as_408(world, caller):
    sbc, one, other = talking(world, caller=caller)
    other.ignores("MESSAGE")
    one.requests("MESSAGE", fields=TEXT, body=b"Soup?")
    sbc.run(3.0)
    assert "100 MESSAGE" not in one.call.heard
    sbc.run(20.0)
    assert "100 MESSAGE" in one.call.heard  # RFC 4320 §4.1
    assert not answers(sbc, one, "MESSAGE")
    sbc.run(60.0)
    assert [m.status for m in answers(sbc, one, "MESSAGE")] == [504]
    assert one.is_talking
    assert other.is_talking
    other.wakes()
    one.requests("MESSAGE", fields=TEXT, body=b"Soup?")
    assert one.got("200 MESSAGE")
    assert ends(sbc, one)


def test_an_answer_after_that_goes_nowhere(world):
    sbc, office, carrier = talking(world)
    hand = ByHand(sbc, carrier)
    office.requests("MESSAGE", fields=TEXT, body=b"Soup?")
    sbc.run(26.0)
    hand.replies(200, to=hand.requests("MESSAGE")[0])
    assert [m.status for m in answers(sbc, office, "MESSAGE")] == [504]
    carrier.wakes()
    assert ends(sbc, office)


# BOUND: OPEN_REQUESTS_PER_LEG
def test_one_more_than_may_be_open_is_put_off(world):
    sbc, office, carrier = talking(world)
    carrier.ignores("MESSAGE")
    for _ in range(17):
        office.requests("MESSAGE", fields=TEXT, body=b"Soup?")
    [refused] = answers(sbc, office, "MESSAGE")
    assert (refused.status, refused.header("Retry-After")) == (500, "5")
    assert (
        len({data.split(b"branch=")[1][:30] for data in sbc.net.sent_to(carrier.name) if b"MESSAGE" in data[:8]}) == 16
    )
    carrier.wakes()
    sbc.run(40.0)
    office.requests("MESSAGE", fields=TEXT, body=b"Soup?")
    assert office.got("200 MESSAGE")
    assert ends(sbc, office)


def test_before_the_answer_it_crosses_in_the_early_dialog(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.rings()
    hand = ByHand(sbc, office)
    invite = parse_message(
        next(data for data in sbc.net.log if data.sender == office.name and data.data.startswith(b"INVITE")).data,
        stream=False,
    )
    ringing = [m for m in hand.heard if m.cseq.method == "INVITE" and m.to.tag]
    hand.sends(
        "INFO",
        str(ringing[-1].contacts[0].uri),
        call_id=invite.call_id,
        from_tag=invite.from_.tag,
        to_tag=ringing[-1].to.tag,
        cseq=invite.cseq.number + 1,
        sender=str(invite.from_.uri),
    )
    assert hand.statuses("INFO") == [200]
    assert "INFO" in carrier.heard
    office.wakes()
    carrier.answers()
    office.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_before_the_answer_the_callee_may_ask_too(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    hand = ByHand(sbc, carrier)
    office.invites(FAR)
    invite = hand.requests("INVITE")[-1]
    hand.replies(183, sdp=True)
    hand.sends(
        "INFO", str(invite.contacts[0].uri), call_id=invite.call_id, from_tag="to-1", to_tag=invite.from_.tag,
        sender=f"sip:{FAR}@198.51.100.7",
    )  # fmt: skip
    assert hand.statuses("INFO") == [200]
    assert "INFO" in office.heard
    hand.replies(486)
    assert office.got(183, 486)
    assert sbc.cdr.only.cause == "busy"
    assert sbc.idle()


@pytest.mark.parametrize("sender", ["branch", "carrier"])
def test_after_a_transfer_they_cross_between_who_is_there_now(world, sender):
    sbc, office, carrier, branch = called(world)
    refers(office)
    branch.answers()
    sbc.run(2.0)
    one, other = (branch, carrier) if sender == "branch" else (carrier, branch)
    one.requests("INFO", fields=TEXT, body=b"hello")
    assert other.last("INFO").body == b"hello"
    assert one.got("200 INFO")
    one.hangs_up()
    assert len(sbc.cdr) == 2
    assert sbc.idle()


def test_one_that_is_open_while_its_hearer_transfers_and_leaves(world):
    """Its hearer is gone, and nobody else has heard of it: it is told so, and the call goes on."""
    sbc, office, carrier, branch = called(world)
    office.ignores("INFO")
    carrier.requests("INFO", fields=TEXT, body=b"hello")
    refers(office)
    branch.answers()
    sbc.run(40.0)
    assert [m.status for m in answers(sbc, carrier, "INFO")] == [504]
    assert branch.is_talking
    assert carrier.is_talking
    carrier.requests("INFO", fields=TEXT, body=b"hello")
    assert carrier.got("200 INFO")
    branch.hangs_up()
    assert len(sbc.cdr) == 2
    assert sbc.idle()


@pytest.mark.parametrize("referred", ["first", "second"])
def test_one_that_is_open_while_two_calls_become_one(world, referred):
    sbc, office, carrier, branch = called(world)
    first = office.call
    office.invites(BRANCH)
    branch.answers()
    second = office.calls[-1]
    office.ignores("INFO")
    carrier.requests("INFO", fields=TEXT, body=b"hello")
    branch.requests("INFO", fields=TEXT, body=b"hello")
    one, other = (first, second) if referred == "first" else (second, first)
    office.transfers(attended=other, call=one)
    sbc.run(40.0)
    assert branch.is_talking
    assert carrier.is_talking
    for phone in (carrier, branch):
        assert [m.status for m in answers(sbc, phone, "INFO")] == [504]
        phone.requests("INFO", fields=TEXT, body=b"hello")
        assert phone.got("200 INFO")
    carrier.hangs_up()
    assert len(sbc.cdr) == 2
    assert sbc.idle()


@pytest.mark.parametrize("sender", ["office", "carrier"])
def test_on_a_bad_network(world, chaos, sender):
    sbc, office, carrier = talking(world, **chaos)
    one, other = (office, carrier) if sender == "office" else (carrier, office)
    one.waits_for("ACK" if sender == "carrier" else 200)
    for n in range(6):
        one.requests("INFO", fields=TEXT, body=str(n).encode())
        sbc.run(20.0)
    if one.is_talking and other.is_talking:
        one.hangs_up()
    assert sbc.idle(after=160.0)
    assert len(sbc.cdr) == 1


def test_nothing_of_a_side_crosses_in_a_request(world):
    sbc, office, carrier = talking(world)
    fields = (
        ("User-Agent", "pbx-77 4.2"),
        ("P-Asserted-Identity", f"<sip:ann@{OFFICE}>"),
        ("Call-Info", "<http://pbx-77.office.internal/ann.png>;purpose=icon"),
        ("X-Node", "pbx-77"),
        ("Subject", "call pbx-77.office.internal back"),
        *TEXT,
    )
    office.requests("MESSAGE", fields=fields, body=b"Soup?")
    heard = carrier.last("MESSAGE")
    names = {name for name, _ in heard.fields}
    assert names.isdisjoint({"P-Asserted-Identity", "Call-Info", "X-Node", "Subject"})
    assert "pbx" not in str(heard.header("User-Agent"))
    assert ends(sbc, office)
