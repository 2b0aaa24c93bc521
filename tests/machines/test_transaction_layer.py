"""What belongs to which transaction, and what becomes of that which belongs to none (RFC 3261 §8.2.2.2, §9.2, §17)."""

import pytest

from sbc.core import limits
from sbc.core.address import Address, Flow, Transport
from sbc.sip.commands import SendMessage
from sbc.sip.message import Request, Response
from sbc.sip.parse import parse_message
from sbc.sip.transaction.layer import TransactionLayer
from sbc.sip.transaction.outputs import (
    AckReceived,
    CancelReceived,
    RequestReceived,
    ResponseReceived,
    TransactionFailed,
)
from sbc.testing.build import FLOW, HERE, request, response_to
from sbc.testing.timeline import run_until

SENT_BY = "192.0.2.1:5060"
OTHER = Flow(Transport.UDP, "inside", HERE, Address("192.0.2.10", 5060))


@pytest.fixture
def layer(ids):
    return TransactionLayer(ids)


def ours(method="INVITE", **options):
    """A request of ours, as it is before the layer puts a Via on it."""
    made = request(method, **options)
    return Request(method, made.uri_text, tuple(f for f in made.fields if f[0] != "Via"), made.body)


def take(layer, message, now=0.0, flow=FLOW):
    """The key of a new request that went up."""
    [out] = layer.receive_request(message, flow, now)
    assert isinstance(out, RequestReceived)
    return out.key


def send(layer, message=None, user="me", flow=FLOW, now=0.0):
    """The request as the peer gets it."""
    _, [out] = layer.send_request(message or ours(), flow, SENT_BY, user, now)
    assert out.flow == flow
    return parse_message(out.data, stream=False)


def sent(outs):
    return [parse_message(out.data, stream=False) for out in outs if isinstance(out, SendMessage)]


def statuses(outs):
    return [message.status for message in sent(outs) if isinstance(message, Response)]


def methods(outs):
    return [message.method for message in sent(outs) if isinstance(message, Request)]


# --- matching requests ------------------------------------------------------------------------------------------------


def test_a_repetition_goes_to_its_transaction_and_not_up(layer):
    invite = request("INVITE")
    key = take(layer, invite)
    layer.respond(key, 180, 0.1, to_tag="ours")
    assert statuses(layer.receive_request(invite, FLOW, 0.5)) == [180]
    assert len(layer) == 1


@pytest.mark.parametrize(
    "other",
    [{"branch": "z9hG4bKother"}, {"source": Address("192.0.2.9", 5070)}, {"source": Address("192.0.2.99", 5060)}],
    ids=["branch", "sent-by port", "sent-by host"],
)
def test_branch_and_sent_by_make_the_difference(layer, other):
    first = take(layer, request("OPTIONS", from_tag="one"))
    assert take(layer, request("OPTIONS", from_tag="two", **other)) != first


def test_the_method_is_part_of_the_match(layer):
    assert take(layer, request("INVITE")) != take(layer, request("OPTIONS"))


@pytest.mark.parametrize("branch", ["z9hG4bK", "1", "oldstyle"], ids=["the bare cookie", "a digit", "no cookie"])
def test_without_a_branch_to_rely_on_requests_match_as_in_rfc_2543(layer, branch):
    first = request("INVITE", branch=branch, call_id="one")
    key = take(layer, first)
    assert layer.receive_request(request("INVITE", branch=branch, call_id="one"), FLOW, 0.1) == []
    layer.respond(key, 486, 0.2, to_tag="ours")
    assert take(layer, request("INVITE", branch=branch, call_id="two")) != key
    assert take(layer, request("INVITE", branch=branch, call_id="one", cseq=2)) != key
    assert layer.receive_request(request("ACK", branch=branch, call_id="one", to_tag="ours"), FLOW, 0.3) == []
    assert run_until(layer, 0.3, 0.9) == [], "the ACK has stopped timer G"


def test_an_rfc_2543_cancel_finds_its_invite(layer):
    key = take(layer, request("INVITE", branch="1"))
    outs = layer.receive_request(request("CANCEL", branch="1"), FLOW, 0.1)
    assert statuses(outs) == [200]
    assert [out.key for out in outs if isinstance(out, CancelReceived)] == [key]


# --- merged requests --------------------------------------------------------------------------------------------------


def test_the_same_request_by_two_ways_is_482(layer):
    take(layer, request("INVITE", branch="z9hG4bKa"))
    assert statuses(layer.receive_request(request("INVITE", branch="z9hG4bKb"), FLOW, 0.1)) == [482]


@pytest.mark.parametrize("other", [{"call_id": "two"}, {"from_tag": "two"}, {"cseq": 2}, {"to_tag": "in-dialog"}])
def test_requests_that_differ_in_what_8_2_2_2_names_are_not_merged(layer, other):
    take(layer, request("INVITE", branch="z9hG4bKa"))
    take(layer, request("INVITE", branch="z9hG4bKb", **other))


def test_once_the_first_is_over_the_second_is_a_new_one(layer):
    key = take(layer, request("OPTIONS", branch="z9hG4bKa"))
    layer.respond(key, 200, 0.0)
    run_until(layer, 0.0, 40.0)
    assert len(layer) == 0
    take(layer, request("OPTIONS", branch="z9hG4bKb"), 40.0)


# --- responses to requests --------------------------------------------------------------------------------------------


def test_all_responses_but_100_have_one_to_tag(layer):
    key = take(layer, request("INVITE"))
    tags = [sent(layer.respond(key, status, 0.0))[0].to.tag for status in (100, 180, 183, 200)]
    assert tags[0] is None
    assert tags[1]
    assert len(set(tags[1:])) == 1


def test_a_to_tag_that_the_request_had_stays(layer):
    key = take(layer, request("BYE", to_tag="theirs"))
    assert sent(layer.respond(key, 200, 0.0, to_tag="ours"))[0].to.tag == "theirs"


def test_responses_to_what_is_gone_go_nowhere(layer):
    assert layer.respond(("gone",), 200, 0.0) == []
    assert layer.resend(("gone",)) == []
    assert layer.flow_of(("gone",)) is None


def test_a_2xx_is_sent_again_on_request(layer):
    key = take(layer, request("INVITE"))
    assert layer.resend(key) == []
    first = layer.respond(key, 200, 0.0, to_tag="ours")
    assert layer.resend(key) == first


def test_a_flood_is_answered_503_and_leaves_nothing(layer, monkeypatch):
    monkeypatch.setattr(limits, "TRANSACTIONS", 1)
    known = request("OPTIONS", call_id="one", branch="z9hG4bKa")
    key = take(layer, known)
    for method in ("OPTIONS", "INVITE", "CANCEL"):
        assert statuses(layer.receive_request(request(method, call_id="two", branch="z9hG4bKb"), FLOW, 0.1)) == [503]
    assert len(layer) == 1
    assert statuses(layer.respond(key, 200, 0.2)) == [200]
    assert statuses(layer.receive_request(known, FLOW, 0.3)) == [200]


# --- CANCEL of theirs -------------------------------------------------------------------------------------------------


def test_a_cancel_is_answered_and_reported_with_its_invites_user(layer):
    key = take(layer, request("INVITE"))
    layer.adopt(key, "call 1")
    ringing = sent(layer.respond(key, 180, 0.0, to_tag="ours"))[0]
    outs = layer.receive_request(request("CANCEL"), FLOW, 0.1)
    assert statuses(outs) == [200]
    assert sent(outs)[0].cseq.method == "CANCEL"
    assert sent(outs)[0].to.tag == ringing.to.tag, "SHOULD be the same, §9.2"
    [report] = [out for out in outs if isinstance(out, CancelReceived)]
    assert (report.user, report.key) == ("call 1", key)
    assert layer.taken_by == "call 1"


def test_a_repeated_cancel_is_answered_again_and_reported_once(layer):
    take(layer, request("INVITE"))
    layer.receive_request(request("CANCEL"), FLOW, 0.1)
    again = layer.receive_request(request("CANCEL"), FLOW, 0.6)
    assert statuses(again) == [200]
    assert len(again) == 1


def test_a_cancel_without_its_invite_is_481(layer):
    take(layer, request("INVITE"))
    assert statuses(layer.receive_request(request("CANCEL", branch="z9hG4bKother"), FLOW, 0.1)) == [481]


@pytest.mark.parametrize("status", [200, 486])
def test_a_cancel_that_comes_too_late_is_answered_and_changes_nothing(layer, status):
    key = take(layer, request("INVITE"))
    layer.respond(key, status, 0.0)
    outs = layer.receive_request(request("CANCEL"), FLOW, 0.1)
    assert statuses(outs) == [200]
    assert not [out for out in outs if isinstance(out, CancelReceived)]


# --- ACK --------------------------------------------------------------------------------------------------------------


def test_the_ack_of_a_failure_ends_its_invite_and_does_not_go_up(layer):
    key = take(layer, request("INVITE"))
    layer.respond(key, 486, 0.0, to_tag="ours")
    assert layer.receive_request(request("ACK", to_tag="ours"), FLOW, 0.1) == []
    assert run_until(layer, 0.1, 40.0) == []
    assert len(layer) == 0


@pytest.mark.parametrize("branch", ["z9hG4bKnew", "z9hG4bKtest1"], ids=["own branch", "the INVITE's branch"])
def test_the_ack_of_a_2xx_goes_up_whatever_its_branch(layer, branch):
    key = take(layer, request("INVITE"))
    layer.respond(key, 200, 0.0, to_tag="ours")
    ack = request("ACK", to_tag="ours", branch=branch)
    [out] = layer.receive_request(ack, FLOW, 0.1)
    assert isinstance(out, AckReceived)
    assert out.request is ack


# --- requests of ours -------------------------------------------------------------------------------------------------


def test_a_request_of_ours_has_one_via_with_a_new_branch_and_rport(layer):
    first, second = send(layer, user=1), send(layer, user=2)
    assert [via.host for via in first.vias] == ["192.0.2.1"]
    assert first.via.rport == ""
    assert first.via.branch.startswith("z9hG4bK")
    assert first.via.branch != second.via.branch


def test_a_response_finds_its_request_by_branch_and_cseq_method(layer):
    invite, options = send(layer, ours("INVITE"), 1), send(layer, ours("OPTIONS"), 2)
    [out] = layer.receive_response(response_to(options, 200), 0.1)
    assert (type(out), out.user) == (ResponseReceived, 2)
    [out] = layer.receive_response(response_to(invite, 180), 0.1)
    assert (type(out), out.user) == (ResponseReceived, 1)
    assert layer.taken_by == 1


def test_stray_responses_are_dropped(layer):
    invite = send(layer)
    other_branch = request("INVITE", branch="z9hG4bKnobody")
    other_method = request("BYE", branch=invite.via.branch)
    for stray in (response_to(other_branch, 200), response_to(other_method, 200)):
        assert layer.receive_response(stray, 0.1) == []
        assert layer.taken_by is None


def test_a_response_with_two_vias_was_not_meant_for_us(layer):
    fields = (("Via", "SIP/2.0/UDP 192.0.2.77;branch=z9hG4bKx"),)
    assert layer.receive_response(response_to(send(layer), 200, fields=fields), 0.1) == []


def test_a_failed_flow_fails_what_nobody_has_answered_on_it(layer):
    send(layer, ours("INVITE"), 1)
    send(layer, ours("BYE"), 2)
    send(layer, ours("INVITE", call_id="elsewhere"), 3, OTHER)
    ringing = send(layer, ours("INVITE", call_id="ringing"), 4)
    layer.receive_response(response_to(ringing, 180), 0.1)
    outs = layer.fail_flow(FLOW, "connection refused", 0.2)
    assert {(out.user, out.why, out.detail) for out in outs} == {
        (1, "transport", "connection refused"),
        (2, "transport", "connection refused"),
    }
    assert layer.fail_flow(FLOW, "connection refused", 0.3) == []
    assert layer.fail_flow(Flow(Transport.UDP, "outside", HERE, OTHER.remote), "refused", 0.3) == [], "another network"
    assert layer.fail_flow(Flow(Transport.TCP, "inside", HERE, OTHER.remote), "refused", 0.3) == [], "another transport"
    assert len(layer) == 2


# --- CANCEL of ours ---------------------------------------------------------------------------------------------------


def test_cancel_repeats_what_9_1_names_and_waits_for_a_provisional(layer):
    invite = send(layer)
    assert layer.cancel("me", 0.1, 'SIP;cause=200;text="elsewhere"') == []
    [cancel] = sent(layer.receive_response(response_to(invite, 100), 0.2))
    assert (cancel.method, cancel.uri_text, cancel.cseq.number) == ("CANCEL", invite.uri_text, invite.cseq.number)
    for name in ("Via", "From", "To", "Call-ID"):
        assert cancel.headers(name) == invite.headers(name)
    assert cancel.header("Reason") == 'SIP;cause=200;text="elsewhere"'
    assert cancel.header("Contact") is None


def test_how_a_cancel_fares_is_not_reported(layer):
    invite = send(layer)
    layer.receive_response(response_to(invite, 180), 0.1)
    [cancel] = sent(layer.cancel("me", 0.2))
    assert layer.receive_response(response_to(cancel, 200), 0.3) == []
    [out] = [out for out in layer.receive_response(response_to(invite, 487), 0.4) if isinstance(out, ResponseReceived)]
    assert out.response.status == 487


def test_a_cancel_without_any_answer_is_one_failure_that_of_the_invite(layer):
    invite = send(layer)
    layer.receive_response(response_to(invite, 180), 0.0)
    layer.cancel("me", 0.0)
    outs = [(at, out) for at, out in run_until(layer, 0.0, 100.0) if not isinstance(out, SendMessage)]
    assert [(at, type(out), out.key[1], out.heard) for at, out in outs] == [(32.0, TransactionFailed, "INVITE", True)]
    assert len(layer) == 0


def test_a_flow_that_fails_under_a_cancel_is_not_reported(layer):
    invite = send(layer)
    layer.receive_response(response_to(invite, 180), 0.1)
    layer.cancel("me", 0.2)
    assert layer.fail_flow(FLOW, "refused", 0.3) == []


def test_cancel_of_what_is_not_there_or_is_answered_does_nothing(layer):
    assert layer.cancel("nobody", 0.0) == []
    layer.receive_response(response_to(send(layer), 486), 0.1)
    assert layer.cancel("me", 0.2) == []


# --- ACK of ours ------------------------------------------------------------------------------------------------------


def acknowledge(layer, tag):
    [out] = layer.send_ack(ours("ACK", to_tag=tag), FLOW, SENT_BY, "me")
    return out


def test_the_ack_of_a_2xx_has_its_own_branch_and_is_repeated_for_each_repeated_2xx(layer):
    invite = send(layer)
    answer = response_to(invite, 200)
    layer.receive_response(answer, 0.1)
    ack = acknowledge(layer, "to-1")
    assert parse_message(ack.data, stream=False).via.branch != invite.via.branch
    for at in (0.6, 1.6, 32.0):
        assert layer.receive_response(answer, at) == [ack]


def test_another_forks_2xx_goes_up(layer):
    invite = send(layer)
    layer.receive_response(response_to(invite, 200), 0.1)
    acknowledge(layer, "to-1")
    [out] = layer.receive_response(response_to(invite, 200, to_tag="to-2"), 0.2)
    assert (type(out), out.response.to.tag) == (ResponseReceived, "to-2")


def test_after_timer_m_a_repeated_2xx_is_a_stray(layer):
    answer = response_to(send(layer), 200)
    layer.receive_response(answer, 0.0)
    run_until(layer, 0.0, 32.0)
    assert layer.receive_response(answer, 32.1) == []
    assert len(layer) == 0


# --- nothing stays ----------------------------------------------------------------------------------------------------


def test_after_every_timer_nothing_is_left(layer):
    for n, status in enumerate((100, 200, 302, 486, 603)):
        key = take(layer, request("INVITE", branch=f"z9hG4bKi{n}", call_id=f"i{n}"))
        layer.respond(key, status if status > 100 else 500, 0.0)
        key = take(layer, request("OPTIONS", branch=f"z9hG4bKo{n}", call_id=f"o{n}"))
        if status > 100:
            layer.respond(key, status, 0.0)
        layer.receive_response(response_to(send(layer, ours("INVITE"), ("i", n)), max(status, 200)), 0.0)
        layer.receive_response(response_to(send(layer, ours("OPTIONS"), ("o", n)), status), 0.0)
    run_until(layer, 0.0, 100.0)
    assert len(layer) == 0
    assert layer.next_deadline() is None
    assert layer._merges == {}
    assert layer._invites == {}


def test_all_that_a_stream_has_been_answered_is_over_in_one_turn(layer):
    """A flood that comes faster than turns do would pile it up, until its sender has no place left."""
    stream = Flow(Transport.TCP, "inside", HERE, OTHER.remote, 7)
    count = 4 * limits.TRANSACTIONS_DUE_AT_ONCE
    for n in range(count):
        asked = request("OPTIONS", branch=f"z9hG4bKs{n}", call_id=f"s{n}")
        layer.respond(take(layer, asked, flow=stream), 200, 0.0)
    assert len(layer) == count
    assert layer.tick(0.01) == []
    assert len(layer) == 0
    assert layer.next_deadline() is None


def test_of_those_that_have_something_to_say_so_many_have_their_turn(layer, monkeypatch):
    monkeypatch.setattr(limits, "TRANSACTIONS_DUE_AT_ONCE", 4)
    for n in range(10):
        send(layer, ours("OPTIONS", branch=f"z9hG4bKs{n}", call_id=f"s{n}"), user=n)
    assert [len(layer.tick(0.5)) for _ in range(4)] == [4, 4, 2, 0]
