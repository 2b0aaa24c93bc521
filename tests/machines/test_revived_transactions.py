"""Transactions of an earlier life of the program: known again, answered, cancelled, and over in the end."""
# RFC: 3261

import msgspec
import pytest

from sbc.core.address import Flow, Transport
from sbc.sip.commands import SendMessage
from sbc.sip.message import Response
from sbc.sip.parse import parse_message
from sbc.sip.timing import DEFAULT_TIMING
from sbc.sip.transaction.layer import TransactionLayer
from sbc.sip.transaction.outputs import AckReceived, RequestReceived, ResponseReceived, ResponseStrayed
from sbc.sip.transaction.saved import SavedInvite, SavedServer
from sbc.testing.build import FLOW, HERE, THERE, request, response_to
from sbc.testing.seeds import seeded_ids

TCP = Flow(Transport.TCP, "inside", HERE, THERE, 7)


def layer(seed=0):
    return TransactionLayer(seeded_ids(seed), DEFAULT_TIMING)


def sent(outs):
    return [parse_message(out.data, stream=False) for out in outs if isinstance(out, SendMessage)]


def read(saved):
    return msgspec.msgpack.decode(msgspec.msgpack.encode(saved), type=type(saved))


def received(method="INVITE", *, status=None, now=0.0, flow=FLOW, **options):
    """A request of a peer in one life, perhaps answered; the request, and the next life."""
    before, after, asked = layer(), layer(1), request(method, **options)
    [out] = before.receive_request(asked, flow, now, peer="office", octets=400)
    assert isinstance(out, RequestReceived)
    if status is not None:
        before.respond(out.key, status, now, to_tag="ours")
    saved = before.saved_server(out.key)
    assert isinstance(saved, SavedServer)
    after.revive(read(saved), "me", now + 1.0)
    return asked, out.key, after


def ends(one, at):
    """Nothing is left, and it was not there for ever."""
    assert one.next_deadline() is not None
    while (due := one.next_deadline()) is not None and due <= at:
        one.tick(due)
    assert len(one) == 0
    assert (one.places.total, one.octets.total) == (0, 0)


# --- of a peer --------------------------------------------------------------------------------------------------------


def test_an_invite_is_answered_as_if_nothing_had_been():
    asked, key, after = received(status=180)
    assert sent(after.receive_request(asked, FLOW, 1.0))[0].status == 180
    [final] = sent(after.respond(key, 503, 1.5))
    assert (final.status, final.to.tag, final.via.branch) == (503, "ours", asked.via.branch)
    assert sent(after.receive_request(asked, FLOW, 1.6))[0].status == 503
    assert sent(after.tick(2.0))[0].status == 503
    assert after.receive_request(request("ACK", to_tag="ours"), FLOW, 2.1) == []
    ends(after, 60.0)


def test_a_final_response_is_repeated_as_long_as_before():
    asked, _, after = received(status=486)
    assert sent(after.tick(1.5))[0].status == 486
    ends(after, 32.0)
    assert isinstance(after.receive_request(asked, FLOW, 33.0)[0], RequestReceived)


def test_an_answered_invite_is_absorbed_and_its_2xx_can_be_repeated():
    asked, key, after = received(status=200)
    assert after.receive_request(asked, FLOW, 1.0) == []
    assert sent(after.resend(key))[0].status == 200
    [acked] = after.receive_request(request("ACK", to_tag="ours"), FLOW, 1.0)
    assert isinstance(acked, AckReceived)
    ends(after, 32.0)


def test_the_same_invite_by_another_way_is_merged():
    _, _, after = received(status=200)
    other = request("INVITE", branch="z9hG4bKother")
    assert sent(after.receive_request(other, FLOW, 1.0))[0].status == 482


def test_what_is_over_is_not_revived():
    before, after = layer(), layer(1)
    [out] = before.receive_request(request(), FLOW, 0.0)
    before.respond(out.key, 200, 0.0)
    after.revive(before.saved_server(out.key), "me", 40.0)
    assert len(after) == 0


def test_another_request_can_be_answered_too():
    asked, key, after = received("INFO", to_tag="ours")
    assert sent(after.respond(key, 500, 1.0))[0].status == 500
    assert sent(after.receive_request(asked, FLOW, 1.0))[0].status == 500
    ends(after, 40.0)


def test_one_that_nobody_answers_ends_when_its_sender_has_given_up():
    _, _, after = received("INFO", to_tag="ours")
    ends(after, 32.0)


def test_an_answer_goes_by_a_new_connection_where_the_old_one_is_gone():
    """ "The server SHOULD open a connection to the IP address in the "received" parameter", §18.2.2."""
    _, key, after = received(flow=TCP, status=180)
    [out] = after.respond(key, 503, 1.0)
    assert (out.flow.connection, out.flow.remote) == (0, THERE)


def test_an_answer_goes_by_the_connection_on_which_its_request_comes_again():
    asked, key, after = received(flow=TCP, status=180)
    back = Flow(Transport.TCP, "inside", HERE, THERE, 3)
    assert [out.flow for out in after.receive_request(asked, back, 1.0)] == [back]
    assert [out.flow for out in after.respond(key, 503, 1.0)] == [back]


# --- of ours ----------------------------------------------------------------------------------------------------------


def dialled(*, status=None, now=0.0, at=1.0):
    """An INVITE of ours in one life, perhaps with a response; its saved form, and the next life with what it says."""
    before, after = layer(), layer(1)
    asked = request("INVITE", sdp=True, to_tag=None)
    asked = type(asked)("INVITE", asked.uri_text, tuple(f for f in asked.fields if f[0] != "Via"), asked.body)
    _, outs = before.send_request(asked, FLOW, str(HERE), "me", now)
    [invite] = sent(outs)
    if status is not None:
        before.receive_response(response_to(invite, status), now)
    saved = before.saved_invite("me")
    if saved is None:
        return invite, None, after, []
    assert isinstance(saved, SavedInvite)
    return invite, saved, after, sent(after.abandon(read(saved), saved.flow, "me", at))


@pytest.mark.parametrize("status", [None, 100, 180])
def test_an_invite_that_rings_is_cancelled_by_its_own_branch(status):
    invite, saved, after, [cancel] = dialled(status=status)
    assert (cancel.method, cancel.via.branch, cancel.cseq.number) == ("CANCEL", invite.via.branch, invite.cseq.number)
    assert (cancel.header("From"), cancel.header("To"), cancel.call_id) == (
        invite.header("From"), invite.header("To"), invite.call_id,
    )  # fmt: skip
    assert (saved.sent_at is None) is (status is not None)
    ends(after, 100.0)


def test_no_body_is_kept():
    _, saved, _, _ = dialled()
    assert b"v=0" not in saved.head


def test_a_cancel_waits_until_it_cannot_overtake_its_invite():
    _, _, after, said = dialled(at=0.1)
    assert said == []
    assert sent(after.tick(0.4)) == []
    [cancel] = sent(after.tick(0.5))
    assert cancel.method == "CANCEL"
    ends(after, 100.0)


def test_or_until_a_provisional_says_that_it_has_arrived():
    invite, _, after, _ = dialled(at=0.1)
    [cancel] = sent(after.receive_response(response_to(invite, 180), 0.2))
    assert cancel.method == "CANCEL"


@pytest.mark.parametrize("at", [0.1, 1.0])
def test_a_refusal_has_its_ack_and_a_repeated_one_too(at):
    invite, _, after, _ = dialled(at=at)
    final = response_to(invite, 487)
    [ack] = sent(after.receive_response(final, at))
    assert (ack.method, ack.via.branch) == ("ACK", invite.via.branch)
    assert [one.method for one in sent(after.receive_response(final, at + 0.5))] == ["ACK"]
    ends(after, 100.0)


@pytest.mark.parametrize("at", [0.1, 1.0])
def test_an_answer_goes_up(at):
    invite, _, after, _ = dialled(at=at)
    [out] = after.receive_response(response_to(invite, 200), at)
    assert isinstance(out, ResponseReceived)
    assert (out.user, out.request.call_id, out.request.to.tag) == ("me", invite.call_id, None)
    ends(after, 100.0)


def test_the_invite_itself_is_never_sent_again():
    invite, _, after, said = dialled(at=0.1)
    while (due := after.next_deadline()) is not None:
        said += sent(after.tick(due))
    assert {one.method for one in said} == {"CANCEL"}
    assert invite.method == "INVITE"


@pytest.mark.parametrize("status", [200, 486])
def test_one_with_a_final_response_is_not_kept(status):
    _, saved, _, _ = dialled(status=status)
    assert saved is None


def test_it_is_abandoned_once():
    _, saved, after, _ = dialled()
    assert after.abandon(saved, saved.flow, "me", 1.0) == []


# --- strays -----------------------------------------------------------------------------------------------------------


def stray(status, method="INVITE"):
    return response_to(request(method), status)


def test_a_2xx_to_an_invite_that_nobody_knows_goes_up():
    one = layer()
    response = stray(200)
    [out] = one.receive_response(response, 0.0, FLOW)
    assert isinstance(out, ResponseStrayed)
    assert (out.response, out.flow) == (response, FLOW)
    assert isinstance(response, Response)


@pytest.mark.parametrize(("status", "method"), [(180, "INVITE"), (486, "INVITE"), (200, "BYE"), (200, "OPTIONS")])
def test_any_other_stray_is_dropped(status, method):
    assert layer().receive_response(stray(status, method), 0.0, FLOW) == []
