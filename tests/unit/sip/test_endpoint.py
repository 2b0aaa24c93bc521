"""The SIP stack behind one door: octets and orders in, commands and reports out."""

import pytest

from sbc.core import limits
from sbc.core.address import Address, Flow, Transport
from sbc.core.commands import Log
from sbc.sip.commands import (
    Adopt,
    CancelRequest,
    CloseFlow,
    KeepAlive,
    LookUp,
    ResendResponse,
    Respond,
    SendAck,
    SendMessage,
    SendRequest,
)
from sbc.sip.endpoint import Endpoint
from sbc.sip.events import FlowFailed, LookedUp, SrvRecord
from sbc.sip.locate import Local
from sbc.sip.message import Request
from sbc.sip.parse import parse_message
from sbc.sip.serialize import serialize
from sbc.sip.transaction.outputs import CancelReceived, RequestReceived, ResponseReceived, TransactionFailed
from sbc.testing.build import FLOW, HERE, THERE, request, response_to

from .messages import request as octets

PEER = "sip:192.0.2.9:5060"
TCP = Flow(Transport.TCP, "inside", HERE, THERE, 7)


@pytest.fixture
def endpoint(ids):
    local = Local(HERE, "sbc.example.com:5060")
    locals_ = {("inside", Transport.UDP, False): local, ("inside", Transport.TCP, False): local}
    return Endpoint(locals_, ids, "Server 1")


def ours(method="OPTIONS", **options):
    made = request(method, **options)
    return Request(method, made.uri_text, tuple(f for f in made.fields if f[0] not in ("Via", "Contact")), made.body)


def order(method="OPTIONS", user="me", next_hop=PEER, contact=None, **options):
    return SendRequest(user, ours(method, **options), "inside", next_hop, contact)


def sent(outs):
    return [parse_message(out.data, stream=False) for out in outs if isinstance(out, SendMessage)]


def arrive(endpoint, message, now=0.0, flow=FLOW):
    return endpoint.receive(serialize(message), flow, now)[1]


# --- what comes in ----------------------------------------------------------------------------------------------------


def test_a_request_goes_up_and_its_answer_goes_back_with_our_name(endpoint):
    [up] = arrive(endpoint, request("OPTIONS"))
    assert isinstance(up, RequestReceived)
    [answer] = sent(endpoint.perform(Respond(up.key, 200, fields=(("Allow", "INVITE"),)), 0.1))
    assert (answer.status, answer.reason, answer.header("Server"), answer.header("Allow")) == (
        200, "OK", "Server 1", "INVITE",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("flow", "user", "contact"),
    [
        (FLOW, "abc", "<sip:abc@sbc.example.com:5060>"),
        (FLOW, "", "<sip:sbc.example.com:5060>"),
        (TCP, "abc", "<sip:abc@sbc.example.com:5060;transport=tcp>"),
    ],
)
def test_our_contact_says_how_we_are_reached_on_that_flow(endpoint, flow, user, contact):
    [up] = arrive(endpoint, request("INVITE"), flow=flow)
    [answer] = sent(endpoint.perform(Respond(up.key, 200, "ours", contact=user), 0.1))
    assert answer.headers("Contact") == [contact]


def test_100_names_nobody(endpoint):
    [up] = arrive(endpoint, request("INVITE"))
    [answer] = sent(endpoint.perform(Respond(up.key, 100), 0.0))
    assert (answer.header("Server"), answer.header("Contact"), answer.to.tag) == (None, None, None)


def test_what_cannot_be_read_is_answered_without_keeping_state(endpoint):
    message, [out] = endpoint.receive(octets(CSeq="1 BYE"), FLOW, 0.0)
    assert message is None
    answer = parse_message(out.data, stream=False)
    assert (answer.status, answer.reason, answer.header("Server")) == (400, "CSeq Method Mismatch", "Server 1")
    assert answer.to.tag
    assert (len(endpoint.layer), endpoint.dropped["unreadable"]) == (0, 1)


@pytest.mark.parametrize(
    "data",
    [b"", b"\r\n", b"garbage", octets(line="ACK sip:b@c SIP/2.0"), octets(line="SIP/2.0 999 No")],
    ids=["empty", "blank", "garbage", "ACK", "response"],
)
def test_what_deserves_no_answer_gets_none(endpoint, data):
    assert endpoint.receive(data, FLOW, 0.0) == (None, [])


def test_a_bad_frame_is_answered_and_the_stream_closed(endpoint):
    outs = endpoint.bad_frame(octets("Content-Length: 7"), TCP)
    assert [answer.status for answer in sent(outs)] == [400]
    assert outs[-1] == CloseFlow(TCP)
    assert endpoint.bad_frame(b"garbage", TCP) == [CloseFlow(TCP)]


def test_the_report_of_a_cancel_names_the_user_who_adopted_the_invite(endpoint):
    [up] = arrive(endpoint, request("INVITE"))
    endpoint.perform(Adopt(up.key, "call 1"), 0.0)
    outs = arrive(endpoint, request("CANCEL"), 0.1)
    assert [out.user for out in outs if isinstance(out, CancelReceived)] == ["call 1"]


def test_the_last_response_is_sent_again_on_order(endpoint):
    [up] = arrive(endpoint, request("INVITE"))
    first = endpoint.perform(Respond(up.key, 200, "ours"), 0.0)
    assert endpoint.perform(ResendResponse(up.key), 0.5) == first


def test_a_peer_cannot_make_counters_by_inventing_methods(endpoint):
    for n in range(50):
        arrive(endpoint, request(f"X{n}", branch=f"z9hG4bK{n}"))
    assert {method for _, method, _ in endpoint.counts} == {"other"}
    assert endpoint.counts["received", "other", ""] == 50


# --- what goes out ----------------------------------------------------------------------------------------------------


def test_a_request_of_ours_gets_via_contact_and_our_name(endpoint):
    outs = endpoint.perform(order("INVITE", contact="abc"), 0.0)
    assert outs[0].flow == FLOW
    [invite] = sent(outs)
    assert invite.via.host == "sbc.example.com"
    assert invite.headers("Contact") == ["<sip:abc@sbc.example.com:5060>"]
    assert invite.header("User-Agent") == "Server 1"


def test_its_response_comes_back_with_its_user(endpoint):
    [options] = sent(endpoint.perform(order(user="u"), 0.0))
    [out] = arrive(endpoint, response_to(options, 200), 0.1)
    assert (type(out), out.user) == (ResponseReceived, "u")


def test_over_tcp_a_connection_is_still_to_be_found(endpoint):
    [out] = endpoint.perform(order(next_hop=f"{PEER};transport=tcp"), 0.0)
    assert out.flow == Flow(Transport.TCP, "inside", HERE, THERE, 0)


def test_an_ack_is_sent_and_repeated_for_the_2xx(endpoint):
    [invite] = sent(endpoint.perform(order("INVITE"), 0.0))
    answer = response_to(invite, 200)
    arrive(endpoint, answer, 0.1)
    [ack] = endpoint.perform(SendAck("me", ours("ACK", to_tag="to-1"), "inside", PEER), 0.2)
    assert arrive(endpoint, answer, 0.6) == [ack]


def test_a_failed_flow_is_reported_to_who_waits_on_it(endpoint):
    endpoint.perform(order(), 0.0)
    [out] = endpoint.handle(FlowFailed(FLOW, "refused"), 0.1)
    assert (type(out), out.user, out.why) == (TransactionFailed, "me", "transport")


def test_what_cannot_be_located_fails_at_once(endpoint):
    [out] = endpoint.perform(order("INVITE", next_hop="tel:911"), 0.0)
    assert (type(out), out.user, out.key, out.why) == (TransactionFailed, "me", ("", "INVITE"), "transport")
    assert endpoint.perform(SendAck("me", ours("ACK"), "inside", "tel:911"), 0.0) == []
    assert endpoint.dropped["ack_unlocated"] == 1


# --- names ------------------------------------------------------------------------------------------------------------


NAME = "sip:gw.example.com:5060"
A = LookedUp("gw.example.com", "A", ("192.0.2.9",))


def test_requests_to_a_name_wait_for_one_look_up(endpoint):
    assert endpoint.perform(order(user=1, next_hop=NAME), 0.0) == [LookUp("gw.example.com", "A")]
    assert endpoint.perform(order(user=2, next_hop=NAME), 0.0) == []
    outs = endpoint.handle(A, 0.3)
    assert [(out.user, out.flow) for out in outs] == [(1, FLOW), (2, FLOW)]
    assert [type(out) for out in endpoint.perform(order(user=3, next_hop=NAME), 0.4)] == [SendMessage]


def test_a_request_waits_for_as_many_answers_as_it_takes(endpoint):
    endpoint.perform(order(next_hop="sip:gw.example.com;transport=tcp"), 0.0)
    assert endpoint.handle(LookedUp("gw.example.com", "A"), 0.1) == []
    srv = (SrvRecord(1, 0, 5070, "a.example.com"),)
    outs = endpoint.handle(LookedUp("_sip._tcp.gw.example.com", "SRV", srv=srv), 0.2)
    assert outs == [LookUp("a.example.com", "A")]
    assert endpoint.handle(LookedUp("b.example.com", "A", ("192.0.2.7",)), 0.3) == []
    [out] = endpoint.handle(LookedUp("a.example.com", "A", ("192.0.2.9",)), 0.4)
    assert out.flow.remote == Address("192.0.2.9", 5070)


def test_a_name_without_addresses_fails_who_waits(endpoint):
    endpoint.perform(order(next_hop=NAME), 0.0)
    [out] = endpoint.handle(LookedUp("gw.example.com", "A"), 0.3)
    assert (type(out), out.user, out.why) == (TransactionFailed, "me", "transport")


def test_an_old_answer_serves_while_a_new_one_is_fetched(endpoint):
    endpoint.handle(A, 0.0)
    outs = endpoint.perform(order(next_hop=NAME), 61.0)
    assert [type(out) for out in outs] == [SendMessage]
    assert endpoint.next_deadline() <= 61.0
    assert LookUp("gw.example.com", "A") in endpoint.tick(61.0)
    endpoint.handle(LookedUp("gw.example.com", "A", ("192.0.2.10",)), 61.1)
    [out] = endpoint.perform(order(user=2, next_hop=NAME), 61.2)
    assert out.flow.remote == Address("192.0.2.10", 5060)


@pytest.mark.parametrize("steps", [1, 100])
def test_a_look_up_that_nobody_answers_fails_who_waits(endpoint, steps):
    endpoint.perform(order("INVITE", next_hop=NAME), 0.0)
    endpoint.perform(SendAck("them", ours("ACK"), "inside", NAME), 0.0)
    outs = []
    for step in range(1, steps + 1):
        outs += endpoint.tick(limits.NAME_WAIT_SECONDS * step / steps)
    [failed] = [out for out in outs if isinstance(out, TransactionFailed)]
    assert (failed.user, failed.key, failed.why) == ("me", ("", "INVITE"), "transport")
    assert endpoint.dropped["ack_unlocated"] == 1


def test_a_request_goes_out_as_soon_as_what_is_missing_counts_as_failed(endpoint):
    """A resolver that never answers for NAPTR and SRV does not keep a request from the addresses until it fails."""
    endpoint.perform(order(next_hop="sip:gw.example.com"), 0.0)
    assert endpoint.handle(A, 0.1) == []
    assert endpoint.tick(limits.LOOK_UP_SECONDS - 0.1) == []
    outs = endpoint.tick(limits.LOOK_UP_SECONDS)
    assert [out.flow for out in outs if isinstance(out, SendMessage)] == [FLOW]


def test_steps_that_take_long_each_do_not_add_up(endpoint):
    """However many answers are needed: the request has waited long enough at one moment."""
    endpoint.perform(order(next_hop="sip:gw.example.com;transport=tcp"), 0.0)
    srv = (SrvRecord(1, 0, 5070, "a.example.com"),)
    endpoint.handle(LookedUp("_sip._tcp.gw.example.com", "SRV", srv=srv), 5.9)
    assert endpoint.tick(limits.NAME_WAIT_SECONDS - 0.1) == []
    assert endpoint.next_deadline() == limits.NAME_WAIT_SECONDS
    assert [type(out) for out in endpoint.tick(limits.NAME_WAIT_SECONDS)] == [TransactionFailed]
    assert endpoint.handle(LookedUp("a.example.com", "A", ("192.0.2.9",)), 9.0) == []


# BOUND: REQUESTS_AWAITING_NAMES
def test_requests_that_wait_are_bounded(endpoint, monkeypatch):
    """Half of them for names that a peer has made up; those of the policy's servers have all."""
    monkeypatch.setattr(limits, "REQUESTS_AWAITING_NAMES", 4)
    for n in range(2):
        endpoint.perform(order(user=n, next_hop=f"sip:{n}.example.com"), 0.0)
    [out] = endpoint.perform(order(user=5, next_hop="sip:0.example.com"), 0.0)
    assert (type(out), out.user) == (TransactionFailed, 5)
    endpoint.watch([(NAME, "inside")], 0.0)
    for n in range(6, 8):
        assert endpoint.perform(order(user=n, next_hop=NAME), 0.0) == []
    [out] = endpoint.perform(order(user=8, next_hop=NAME), 0.0)
    assert (type(out), out.user) == (TransactionFailed, 8)
    assert (endpoint.waiting, endpoint.dropped["names_full"]) == (4, 2)


def test_an_invite_that_is_cancelled_while_its_name_is_looked_up_is_never_sent_and_reported_over(endpoint):
    endpoint.perform(order("INVITE", next_hop=NAME), 0.0)
    [out] = endpoint.perform(CancelRequest("me"), 0.1)
    assert (type(out), out.user) == (TransactionFailed, "me")
    assert endpoint.handle(A, 0.2) == []
    assert endpoint.perform(CancelRequest("me"), 0.3) == []


def test_servers_of_the_policy_are_looked_up_at_once_and_their_news_told(endpoint):
    assert endpoint.watch([(NAME, "inside"), (PEER, "inside")], 0.0) == [LookUp("gw.example.com", "A")]
    outs = endpoint.handle(A, 0.1)
    assert [out.event for out in outs if isinstance(out, Log)] == ["dns.found"]
    news = endpoint.news()
    assert (news.servers, news.addresses) == (((NAME, "inside"),), {"gw.example.com": ("192.0.2.9",)})
    assert endpoint.next_deadline() == pytest.approx(0.1 + 54.0)
    assert endpoint.tick(55.0) == [LookUp("gw.example.com", "A")]


# --- ways that are given ----------------------------------------------------------------------------------------------


def test_a_request_goes_by_the_flow_that_it_names_whatever_its_next_hop(endpoint):
    made = SendRequest("me", ours("INVITE"), "inside", NAME, "abc", TCP)
    [out] = endpoint.perform(made, 0.0)
    assert out.flow == TCP
    assert sent([out])[0].headers("Contact") == ["<sip:abc@sbc.example.com:5060;transport=tcp>"]


def test_a_flow_by_a_listener_that_is_gone_fails(endpoint):
    gone = Flow(Transport.UDP, "elsewhere", HERE, THERE)
    [out] = endpoint.perform(SendRequest("me", ours("INVITE"), "elsewhere", PEER, None, gone), 0.0)
    assert (type(out), out.user, out.why) == (TransactionFailed, "me", "transport")


def test_a_keep_alive_is_a_pair_of_line_ends(endpoint):
    assert endpoint.perform(KeepAlive(TCP), 0.0) == [SendMessage(TCP, b"\r\n\r\n")]


# --- time -------------------------------------------------------------------------------------------------------------


def test_time_is_that_of_the_transactions(endpoint):
    assert endpoint.next_deadline() is None
    first = endpoint.perform(order(), 0.0)
    assert endpoint.next_deadline() == 0.5
    assert endpoint.tick(0.5) == first


def test_a_peer_cannot_make_counters_by_statuses_and_methods_of_its_own(endpoint):
    """Whatever it says, there are as many series as methods and statuses that RFCs have."""
    [sent] = endpoint.perform(order("OPTIONS"), 0.0)
    asked = parse_message(sent.data, stream=False)
    for status in range(100, 700):
        data = serialize(response_to(asked, status))
        endpoint.receive(data, FLOW, 0.1)
        endpoint.receive(data.replace(b"OPTIONS", b"ODD%d" % status), FLOW, 0.1)
    received = {key for key in endpoint.counts if key[0] == "received"}
    assert {method for _, method, _ in received} == {"OPTIONS", "other"}
    assert len(received) < 2 * 90
    assert ("received", "OPTIONS", "4xx") in received
