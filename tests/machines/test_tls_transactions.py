"""Transactions over TLS: what a connection has proved tells it from others, and a lost one is replaced (RFC 5923)."""

import pytest
from msgspec.structs import replace

from sbc.core.address import Address, Flow, Transport
from sbc.sip.commands import SendMessage
from sbc.sip.message import Request
from sbc.sip.parse import parse_message
from sbc.sip.transaction.layer import TransactionLayer
from sbc.sip.transaction.outputs import ConnectionLost, TransactionFailed
from sbc.testing.build import HERE, request, response_to

TO = Flow(Transport.TLS, "outside", HERE, Address("192.0.2.9", 5061), proved=("carrier",))
CAME = Flow(Transport.TLS, "outside", HERE, Address("192.0.2.9", 40_001), 7, ("carrier",))


@pytest.fixture
def layer(ids):
    return TransactionLayer(ids)


def send(layer, method="INVITE", user="me", flow=TO, spare=None):
    made = request(method)
    bare = Request(method, made.uri_text, tuple(f for f in made.fields if f[0] != "Via"), made.body)
    _, [out] = layer.send_request(bare, flow, "203.0.113.1:5061", user, 0.0, spare=spare)
    return parse_message(out.data, stream=True)


# RFC: 5923
def test_a_request_offers_its_connection_for_requests_back(layer):
    via = send(layer).header("Via")
    assert via.startswith("SIP/2.0/TLS 203.0.113.1:5061;branch=z9hG4bK")
    assert via.endswith(";rport;alias")


def test_what_fails_for_one_certificate_fails_for_no_other(layer):
    send(layer, user="a")
    send(layer, user="b", flow=replace(TO, proved=("spare",)))
    outs = layer.fail_flow(TO, "its certificate names nobody", 0.1)
    assert [(out.user, out.detail) for out in outs] == [("a", "its certificate names nobody")]


def test_a_connection_that_breaks_fails_what_went_by_it_unless_it_has_proved_another_profile(layer):
    send(layer, user="a")
    broken = replace(TO, connection=9, proved=("carrier", "other"))
    assert layer.fail_flow(replace(broken, proved=("other",)), "reset", 0.1) == []
    assert [out.user for out in layer.fail_flow(broken, "reset", 0.1)] == ["a"]


def test_a_connection_whose_proof_a_reload_has_judged_anew_is_still_known_by_its_number(layer):
    send(layer, user="a", flow=CAME)
    invite = request("INVITE", call_id="theirs")
    [out] = layer.receive_request(invite, CAME, 0.0)
    layer.respond(out.key, 180, 0.0)
    outs = layer.fail_flow(replace(CAME, proved=("renamed",)), "reset", 0.1)
    assert [type(one) for one in outs] == [TransactionFailed, SendMessage]


# RFC: 5923
@pytest.mark.parametrize("method", ["INVITE", "BYE"])
def test_a_lost_connection_is_replaced_once(layer, method):
    sent = send(layer, method, flow=CAME, spare=TO)
    [out] = layer.fail_flow(CAME, "reset", 0.1)
    assert isinstance(out, SendMessage)
    assert out.flow == TO
    assert parse_message(out.data, stream=True).via.branch == sent.via.branch
    [failed] = layer.fail_flow(TO, "connection refused", 0.2)
    assert isinstance(failed, TransactionFailed)


@pytest.mark.parametrize("method", ["INVITE", "BYE"])
def test_a_request_that_crossed_the_end_of_its_connection_goes_by_another_one(layer, method):
    """Whoever has ended a connection answers nothing there, and need not have read what came last."""
    sent = send(layer, method, flow=CAME, spare=TO)
    other = send(layer, "OPTIONS", flow=replace(CAME, connection=8), spare=TO)
    [again] = layer.close_flow(CAME)
    assert (again.flow, parse_message(again.data, stream=True).via.branch) == (TO, sent.via.branch)
    assert layer.close_flow(CAME) == []
    layer.receive_response(response_to(other, 200), 0.1)
    assert layer.close_flow(replace(CAME, connection=8)) == []


# RFC: 5923
def test_who_sent_before_the_connection_was_open_does_not_take_the_others_chance(layer):
    """The runtime says of a connection that is lost by which flows it was used: first those of before it was open."""
    bye = send(layer, "BYE", flow=replace(TO, connection=7), spare=TO)
    assert layer.fail_flow(TO, "cut off", 0.1) == []
    [again] = layer.fail_flow(replace(TO, connection=7), "cut off", 0.1)
    assert (again.flow, parse_message(again.data, stream=True).via.branch) == (TO, bye.via.branch)


# RFC: 5923
def test_a_cancel_goes_where_the_lost_connection_was_replaced(layer):
    """§8.1: "the client SHOULD open a new connection … and send the CANCEL request or ACK request there instead"."""
    invite = send(layer, flow=CAME, spare=TO)
    layer.receive_response(response_to(invite, 180), 0.1)
    assert not [out for out in layer.fail_flow(CAME, "reset", 0.2) if isinstance(out, SendMessage | ConnectionLost)]
    [cancel] = [out for out in layer.cancel("me", 0.3) if isinstance(out, SendMessage)]
    assert cancel.flow == TO


def test_a_response_goes_to_a_new_connection_that_must_prove_who_asked(layer):
    """RFC 3261 §18.2.2, with the profile of the peer."""
    layer.proof = lambda peer: (f"profile of {peer}",)
    invite = request("INVITE", source=Address("192.0.2.9", 5071))
    [out] = layer.receive_request(invite, replace(CAME, proved=()), 0.0, peer="carrier")
    layer.respond(out.key, 180, 0.1)
    [again] = layer.fail_flow(replace(CAME, proved=()), "reset", 0.2)
    assert again.flow == replace(TO, remote=Address("192.0.2.9", 5071), proved=("profile of carrier",))


# --- whose request it is ----------------------------------------------------------------------------------------------

BACK = replace(CAME, remote=Address("192.0.2.9", 40_002), connection=8)
OTHERS = {
    "another certificate": replace(BACK, connection=9, proved=("other",)),
    "no certificate": replace(BACK, connection=9, proved=()),
    "in the clear": Flow(Transport.TCP, "outside", HERE, Address("192.0.2.9", 40_002), 9),
    "by udp": Flow(Transport.UDP, "outside", HERE, Address("192.0.2.9", 5060)),
}


def begun(layer, flow=CAME):
    invite = request("INVITE", call_id="theirs")
    [out] = layer.receive_request(invite, flow, 0.0)
    layer.adopt(out.key, "call")
    layer.respond(out.key, 180, 0.0)
    return invite, out.key


@pytest.mark.parametrize("other", OTHERS)
def test_who_knows_a_branch_gets_no_answer_that_is_not_his(layer, other):
    invite, key = begun(layer)
    layer.receive_request(invite, OTHERS[other], 0.1)
    [answer] = layer.respond(key, 200, 0.2)
    assert answer.flow == CAME


@pytest.mark.parametrize("other", OTHERS)
def test_who_knows_a_branch_cancels_nothing_that_is_not_his(layer, other):
    begun(layer)
    [answer] = layer.receive_request(request("CANCEL", call_id="theirs"), OTHERS[other], 0.1)
    assert parse_message(answer.data, stream=True).status == 481


def test_a_peer_that_has_connected_anew_gets_its_answer_and_may_cancel(layer):
    for came, back in ((CAME, BACK), (replace(CAME, proved=()), replace(BACK, proved=()))):
        invite, key = begun(layer, came)
        layer.receive_request(invite, back, 0.1)
        assert [out.flow for out in layer.resend(key)] == [back]
        cancelled = layer.receive_request(request("CANCEL", call_id="theirs"), back, 0.2)
        assert [type(out).__name__ for out in cancelled] == ["SendMessage", "CancelReceived"]
        layer = TransactionLayer(layer._ids)


def test_a_peer_whose_connection_was_lost_is_known_when_it_comes_back(layer):
    """Our own attempt to reach it asks for a proof; it comes back as it came."""
    layer.proof = lambda peer: ("carrier",)
    came = replace(CAME, proved=())
    invite, key = begun(layer, came)
    layer.fail_flow(came, "reset", 0.1)
    layer.receive_request(invite, replace(BACK, proved=()), 0.2)
    assert [out.flow.connection for out in layer.resend(key)] == [8]


# RFC: 5923
@pytest.mark.parametrize("method", ["INVITE", "BYE"])
def test_what_went_out_on_a_connection_that_stood_goes_by_a_new_one_when_that_is_lost(layer, method):
    """No number was known for it: whoever is called has said nothing by it yet."""
    sent = send(layer, method, flow=TO, spare=TO)
    [again] = layer.fail_flow(TO, "broken pipe", 0.1, was_open=True)
    assert (again.flow, parse_message(again.data, stream=True).via.branch) == (TO, sent.via.branch)
    [failed] = layer.fail_flow(TO, "broken pipe", 0.2, was_open=True)
    assert isinstance(failed, TransactionFailed)


def test_where_no_connection_can_be_opened_none_is_tried_again(layer):
    send(layer, "INVITE", flow=TO, spare=TO)
    [failed] = layer.fail_flow(TO, "connection refused", 0.1)
    assert isinstance(failed, TransactionFailed)


def test_what_crossed_an_end_in_order_goes_again_though_it_had_no_number(layer):
    sent = send(layer, "BYE", flow=TO, spare=TO)
    [again] = layer.close_flow(CAME, (TO,))
    assert parse_message(again.data, stream=True).via.branch == sent.via.branch
