"""Health of servers: what is asked when, what brings one up, down or into suspension, and what is said of it."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from sbc.core.address import Address, Flow, Transport
from sbc.core.commands import Log, StoreState
from sbc.peering.health import SLOT_SECONDS, HealthTable, PeerChanged
from sbc.peering.health_pings import Pings
from sbc.peering.health_state import LIVE_SECONDS
from sbc.peering.hop import Hop
from sbc.peering.views import PingView
from sbc.policy.model import Health, Peer, Server
from sbc.sip.commands import SendRequest
from sbc.testing.build import response_to
from sbc.testing.seeds import seeded_ids
from sbc.testing.timeline import run_until

HERE = Address("192.0.2.1", 5060)
HEALTH = Health(options=30.0, retry=5.0, timeout=4.0, fall=3, rise=2)
PASSIVE = Health(passive=True, retry=5.0, fall=2, rise=2)


def hop_at(last, transport=Transport.UDP, port=5060, peer="carrier"):
    host = f"203.0.113.{last}"
    flow = Flow(transport, "outside", HERE, Address(host, port))
    return Hop(peer, Server(host, port, transport, f"sip:{host}"), flow)


A, B = hop_at(1), hop_at(2)


def peer_with(health=HEALTH, name="carrier", **changes):
    return Peer(name=name, kind="trunk", interface="outside", servers=(A.server, B.server), health=health, **changes)


class Table(HealthTable):
    """With what is wanted often: `now` moves on, `said` remembers everything."""

    def __init__(self, hops=(A,), health=HEALTH, **changes):
        super().__init__(seeded_ids())
        self.now = 0.0
        self.said = []
        self.asked = []
        self.peer = peer_with(health, **changes)
        self.note(self.set_hops(self.peer, hops, 0.0))

    def note(self, outs):
        self.said += [out for out in outs if not isinstance(out, SendRequest)]
        self.asked += [out for out in outs if isinstance(out, SendRequest)]
        return outs

    def until(self, end):
        """Time passes and nobody answers."""
        found = run_until(self, self.now, end)
        self.now = end
        self.note([out for _, out in found])
        return found

    def answer(self, status=200, request=None, delay=0.01, **fields):
        self.now += delay
        order = request or self.asked[-1]
        response = response_to(_with_via(order.request), status, fields=tuple(fields.items()))
        return self.note(self.take_response(order.user, response, order.flow, self.now))

    def next_probe(self):
        """Lets time pass to the next OPTIONS; when it was sent."""
        before = len(self.asked)
        while len(self.asked) == before:
            self.now = max(self.now, self.next_deadline())
            self.note(self.tick(self.now))
        return self.now

    def live(self, status=None, hop=A, retry_after=None, after=2.0):
        self.now += after
        return self.note(self.heard("carrier", hop.flow, self.now, status, retry_after))

    def fails(self, hop=A, why="no reply to a call"):
        self.now += 0.1
        return self.note(self.failed(hop, why, self.now))

    def come_up(self):
        for _ in range(HEALTH.rise):
            self.next_probe()
            self.answer()
        assert self.state() == "up"
        return self

    def go_down(self):
        for _ in range(HEALTH.fall):
            self.fails()
        assert self.state() == "down"
        return self

    def state(self, hop=A):
        return self.view(hop).state

    def view(self, hop=A):
        return next(view for view in self.servers("carrier") if view.address == str(hop))

    @property
    def events(self):
        return [out.event for out in self.said if isinstance(out, Log)]

    @property
    def changes(self):
        return [out.usable for out in self.said if isinstance(out, PeerChanged)]


def _with_via(request):
    via = ("Via", "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKx")
    return replace(request, fields=(via, *request.fields), cache={})


# --- probes -----------------------------------------------------------------------------------------------------------


def test_the_question_names_the_server_and_nobody_else():
    table = Table()
    table.next_probe()
    [order] = table.asked
    request = order.request
    assert (request.method, request.uri_text) == ("OPTIONS", "sip:203.0.113.1:5060")
    assert request.header("From").startswith("<sip:203.0.113.1:5060>;tag=")
    assert request.header("To") == "<sip:203.0.113.1:5060>"
    assert (order.user, order.interface, order.flow, order.contact) == (("health", "carrier", 1), "outside", A.flow, "")
    assert request.header("Accept") == "application/sdp"
    assert request.header("Max-Forwards") == "70"
    assert request.header("Via") is None


def test_a_peer_with_a_domain_is_asked_by_that():
    table = Table(domain="carrier.example")
    table.next_probe()
    assert table.asked[0].request.uri_text == "sip:carrier.example"
    assert table.asked[0].flow == A.flow


def test_at_the_start_each_server_is_asked_within_a_second_and_is_usable_before():
    table = Table(hops=[hop_at(n) for n in range(1, 101)])
    assert table.is_peer_usable("carrier")
    assert table.is_usable(A)
    at = [now for now, _ in table.until(1.3)]
    assert len(at) == 100
    assert len({order.flow for order in table.asked}) == 100
    assert max(at) <= 1.2
    assert min(at) < 0.2


def test_a_thousand_servers_are_no_burst():
    table = Table(hops=[hop_at(n % 250, port=5060 + n // 250) for n in range(1000)])
    at = [now for now, out in table.until(3.0) if isinstance(out, SendRequest)]
    assert len(at) == 1000
    gaps = [later - earlier for earlier, later in itertools.pairwise(at)]
    assert min(gaps) >= SLOT_SECONDS - 1e-6


def test_an_answering_server_is_up_after_rise_and_then_asked_every_interval():
    table = Table()
    first = table.next_probe()
    table.answer()
    assert table.state() == "unknown"
    second = table.next_probe()
    assert 4.4 < second - first <= 5.0
    table.answer()
    assert table.state() == "up"
    assert table.view().why == "200 to OPTIONS"
    assert 26.9 < table.next_probe() - second <= 30.0
    assert table.events == ["server.up"]


@pytest.mark.parametrize("status", [200, 401, 404, 405, 481, 500, 603])
def test_any_reply_proves_that_it_is_there(status):
    table = Table()
    for _ in range(2):
        table.next_probe()
        table.answer(status)
    assert table.state() == "up"


def test_a_provisional_reply_to_a_probe_is_none_yet():
    table = Table().come_up()
    table.next_probe()
    table.answer(100)
    asked = len(table.asked)
    table.until(table.now + 4.0)
    assert len(table.asked) == asked
    table.next_probe()
    assert table.state() == "up"
    assert not table._servers["carrier", Transport.UDP, A.flow.remote].is_settled


def test_silence_is_a_failure_after_the_timeout_and_fall_of_them_take_it_down():
    table = Table().come_up()
    first = table.next_probe()
    table.said.clear()
    table.until(first + 40.0)
    [log, changed, alarm] = [out for out in table.said if not isinstance(out, StoreState)][:3]
    assert log == Log(
        "warning",
        "server.down",
        (
            ("peer", "carrier"),
            ("server", "sip:203.0.113.1"),
            ("address", "udp:203.0.113.1:5060"),
            ("why", "no answer to OPTIONS within 4 s; 3 failures in a row"),
        ),
    )
    assert isinstance(changed, PeerChanged)
    assert not changed.usable
    assert (alarm.level, alarm.event, alarm.fields[0]) == ("error", "peer.down", ("alarm", True))
    assert first + 4 + 2 * 4.5 <= table.view().since <= first + 4 + 2 * 5.0
    assert not table.is_usable(A)
    assert not table.is_peer_usable("carrier")


def test_a_refused_probe_fails_at_once():
    table = Table().come_up()
    first = table.next_probe()
    for _ in range(3):
        table.note(table.take_failure(table.asked[-1].user, "connection refused", table.now))
        if table.state() == "up":
            table.next_probe()
    assert table.state() == "down"
    assert table.view().since - first <= 10.0


def test_a_server_that_is_down_is_up_again_after_rise():
    table = Table().come_up().go_down()
    table.said.clear()
    table.next_probe()
    table.answer()
    assert table.state() == "down"
    table.next_probe()
    table.answer()
    assert table.state() == "up"
    assert table.events == ["server.up", "peer.up"]
    assert table.changes == [True]
    assert table.since("carrier") == table.now


def test_one_failure_begins_the_row_of_successes_anew():
    table = Table().come_up().go_down()
    table.next_probe()
    table.answer()
    table.next_probe()
    table.until(table.now + 4.0)
    table.next_probe()
    table.answer()
    assert table.state() == "down"


def test_a_late_answer_is_proof_of_life():
    table = Table()
    table.next_probe()
    order = table.asked[-1]
    table.until(table.now + 4.5)
    table.answer(request=order)
    table.next_probe()
    table.answer()
    assert table.state() == "up"


def test_the_end_of_a_transaction_that_was_given_up_counts_no_second_time():
    table = Table().come_up()
    table.next_probe()
    number = table.asked[-1].user
    table.until(table.now + 4.1)
    for _ in range(5):
        assert table.take_failure(number, "timeout", table.now) == []
    assert table.state() == "up"


# --- 503 --------------------------------------------------------------------------------------------------------------


def test_503_to_a_probe_suspends_and_one_other_reply_brings_it_back():
    table = Table().come_up()
    table.next_probe()
    table.answer(503)
    assert (table.state(), table.view().why) == ("suspended", "503 to OPTIONS")
    assert table.changes == [False]
    sent = table.now
    assert table.next_probe() - sent <= 5.0
    table.answer(503)
    table.next_probe()
    table.answer(200)
    assert table.state() == "up"
    assert table.events == ["server.up", "server.suspended", "peer.down", "server.up", "peer.up"]


def test_503_to_a_probe_with_retry_after_ends_by_itself():
    table = Table().come_up()
    table.next_probe()
    table.answer(503, **{"Retry-After": "3"})
    suspended_at = table.now
    table.until(suspended_at + 2.9)
    assert table.state() == "suspended"
    table.until(suspended_at + 3.1)
    assert table.state() == "up"


def test_a_suspended_server_that_falls_silent_is_down():
    table = Table().come_up()
    table.next_probe()
    table.answer(503)
    table.until(table.now + 40.0)
    assert table.state() == "down"


@pytest.mark.parametrize(("asked", "kept"), [(0.0, 1.0), (20.0, 20.0), (1e9, 600.0)])
def test_503_to_a_call_with_retry_after_suspends_for_so_long_whatever_probes_say(asked, kept):
    table = Table().come_up()
    table.live(503, retry_after=asked)
    assert table.state() == "suspended"
    end = table.now + kept
    while table.next_deadline() < end - 0.1:
        table.next_probe()
        if table.now < end - 0.1:
            table.answer(200)
            assert table.state() == "suspended"
    table.until(end + 0.1)
    assert table.state() == "up"


def test_503_to_calls_without_retry_after_counts_towards_fall():
    table = Table().come_up()
    for _ in range(2):
        table.live(503)
        table.live(200)  # to a BYE: the server is there, and still takes no calls
        assert table.state() == "up"
    table.live(503)
    assert (table.state(), table.view().why) == ("suspended", "503 to 3 calls in a row")
    held_until = table.now + HEALTH.options
    while table.next_deadline() < held_until:
        table.next_probe()
        if table.now < held_until:
            table.answer()
            assert table.state() == "suspended"
        else:
            table.answer()
    if table.state() == "suspended":
        table.next_probe()
        table.answer()
    assert table.state() == "up"


@pytest.mark.parametrize("between", ["ringing", "time"])
def test_the_row_of_503s_ends_with_a_call_that_is_served_and_with_time(between):
    table = Table().come_up()
    table.live(503)
    table.live(503)
    if between == "ringing":
        table.live(180)
    table.live(503, after=2.0 if between == "ringing" else 31.0)
    assert table.state() == "up"


# --- calls and live traffic -------------------------------------------------------------------------------------------


def test_failing_calls_count_and_bring_the_next_probe_forward():
    table = Table().come_up()
    table.fails()
    failed_at = table.now
    assert table.next_probe() - failed_at <= 5.0
    assert table.state() == "up"
    table.fails(why="connection refused")
    table.fails()
    assert (table.state(), table.view().why) == ("down", "no reply to a call; 3 failures in a row")


def test_calls_and_probes_count_in_one_row():
    table = Table().come_up()
    table.fails()
    table.fails()
    table.next_probe()
    table.until(table.now + 4.1)
    assert table.state() == "down"


def test_a_server_that_answers_calls_needs_no_probe():
    table = Table().come_up()
    for _ in range(20):
        asked = len(table.asked)
        table.until(table.now + 25.0)
        assert table.live(200, after=0.0) == []
        assert len(table.asked) == asked
    heard_at = table.now
    assert table.next_probe() - heard_at == HEALTH.options


def test_requests_do_not_replace_probes_because_they_do_not_show_that_we_reach_it():
    table = Table().come_up()
    probed_at = table.now
    for _ in range(4):
        table.live(None, after=6.0)
    assert table.next_probe() - probed_at <= HEALTH.options


def test_a_request_from_a_server_that_is_down_has_it_asked_at_once():
    table = Table().come_up().go_down()
    table.next_probe()
    table.until(table.now + 4.1)
    table.live(None, after=0.5)
    asked_at = table.now
    assert table.next_probe() == asked_at
    table.answer()
    asked = len(table.asked)
    for _ in range(100):
        table.live(None, after=0.001)
    table.until(table.now + 0.5)
    assert len(table.asked) == asked  # a chatty server is not asked more than once a second


def test_answers_to_calls_bring_a_server_up_one_in_a_second():
    table = Table().come_up().go_down()
    for _ in range(10):
        table.live(200, after=0.01)  # copies of one response
    assert table.state() == "down"
    table.live(180)
    assert table.state() == "up"


def test_100_says_nothing_of_the_server():
    table = Table().come_up().go_down()
    for _ in range(10):
        table.live(100)
    assert table.state() == "down"


def test_a_connection_that_the_peer_opened_is_known_by_its_host_if_that_is_one_server():
    tcp = hop_at(1, Transport.TCP)
    table = Table(hops=(tcp,), health=PASSIVE)
    opened = Flow(Transport.TCP, "outside", HERE, Address("203.0.113.1", 40000), 7)
    for now in (10.0, 20.0):
        table.heard("carrier", opened, now)
    assert table.state(tcp) == "up"

    other = hop_at(1, Transport.TCP, port=5070)
    table = Table(hops=(tcp, other), health=PASSIVE)
    for now in (10.0, 20.0):
        table.heard("carrier", opened, now)
    assert {table.state(tcp), table.state(other)} == {"unknown"}


def test_strangers_to_the_table_change_nothing():
    table = Table()
    unknown = hop_at(99)
    assert table.heard("carrier", unknown.flow, 1.0, 503) == []
    assert table.heard("nobody", A.flow, 1.0) == []
    assert table.failed(unknown, "x", 1.0) == []
    assert table.take_failure(("health", "carrier", 99), "x", 1.0) == []
    assert table.is_usable(unknown)
    assert table.is_peer_usable("nobody")
    assert table.servers("nobody") == ()
    assert table.since("nobody") == 0.0


# --- several servers --------------------------------------------------------------------------------------------------


def test_the_peer_is_down_with_its_last_server_and_up_with_its_first():
    table = Table(hops=(A, B))
    for _ in range(3):
        table.fails(A)
    assert table.changes == []
    for _ in range(3):
        table.fails(B)
    assert table.changes == [False]
    assert table.events == ["server.down", "server.down", "peer.down"]
    for _ in range(2):
        table.live(200, hop=B)
    assert table.changes == [False, True]
    assert table.events[-2:] == ["server.up", "peer.up"]


def test_new_addresses_are_asked_known_ones_keep_their_state_and_gone_ones_are_forgotten():
    table = Table(hops=(A,)).come_up().go_down()
    table.said.clear()
    table.note(table.set_hops(table.peer, (A, B), table.now))
    assert [view.state for view in table.servers("carrier")] == ["down", "unknown"]
    assert table.changes == [True]
    assert table.events == []  # nobody has answered yet
    table.until(table.now + 1.1)
    assert {order.flow for order in table.asked} >= {B.flow}

    table.set_hops(table.peer, (B,), table.now)
    assert [view.address for view in table.servers("carrier")] == [str(B)]
    table.set_hops(table.peer, (), table.now)
    assert table.is_peer_usable("carrier")
    assert table.next_deadline() is None
    assert (table._servers, table._probes) == ({}, {})


def test_the_same_addresses_again_are_no_reason_to_ask():
    table = Table().come_up()
    probed_at = table.now
    for _ in range(20):
        table.note(table.set_hops(table.peer, (A,), table.now))
        table.until(table.now + 1.0)
    assert table.next_probe() - probed_at > 26.9

    table.answer()
    table.note(table.set_hops(peer_with(Health(options=60.0)), (A,), table.now))
    changed_at = table.now
    assert table.next_probe() - changed_at <= 1.0  # other rules: asked by them soon


def test_a_peer_that_is_forgotten_leaves_nothing():
    table = Table(hops=(A, B))
    table.next_probe()
    table.forget("carrier")
    table.forget("carrier")
    assert table.take_failure(table.asked[-1].user, "timeout", table.now) == []
    assert (table.servers("carrier"), table.next_deadline()) == ((), None)
    assert (table._servers, table._probes, table._peers) == ({}, {}, {})


def test_a_reload_that_ends_the_watching_lets_nobody_stay_down():
    table = Table().come_up().go_down()
    table.note(table.set_hops(peer_with(None), (A,), table.now))
    assert table.state() == "unknown"
    assert table.is_peer_usable("carrier")
    assert table.next_deadline() is None


# --- without probes ---------------------------------------------------------------------------------------------------


def test_a_peer_without_health_is_looked_at_and_never_out_of_service():
    table = Table(health=None)
    assert table.next_deadline() is None
    table.live(200)
    assert table.state() == "up"
    for _ in range(10):
        table.fails()
        table.live(503, retry_after=60.0)
        assert table.is_usable(A)
    assert table.is_peer_usable("carrier")
    assert table.changes == []
    assert table.events == ["server.up"]
    table.fails()
    assert table.view().why == "no reply to a call"
    assert table.next_deadline() is None


def test_a_passive_server_is_never_asked_and_gets_a_trial_after_retry():
    table = Table(health=PASSIVE)
    table.fails()
    table.fails()
    assert table.state() == "down"
    down_at = table.now
    table.until(down_at + 4.9)
    assert not table.is_usable(A)
    table.until(down_at + 5.0)
    assert table.state() == "unknown"
    table.fails()  # one is enough now: it is the third in a row
    assert table.state() == "down"
    table.until(table.now + 5.0)
    table.live(None)
    table.live(200)
    assert table.state() == "up"
    assert table.events == ["server.down", "peer.down", "server.down", "server.up", "peer.up"]
    assert table.changes == [False, True, False, True]
    assert table.asked == []


def test_a_passive_server_that_says_503_is_tried_again():
    table = Table(health=PASSIVE)
    table.live(503)
    table.live(503)
    assert table.state() == "suspended"
    table.until(table.now + 5.0)
    assert table.state() == "unknown"


# --- the operator's ping ----------------------------------------------------------------------------------------------


def test_a_ping_asks_every_server_and_tells_milliseconds():
    table = Table(hops=(A, B))
    orders = table.ping("carrier", "t1", 10.0)
    assert [order.flow for order in orders] == [A.flow, B.flow]
    assert [(view.status, view.milliseconds) for view in table.pings()] == [(None, None)] * 2
    table.now = 10.0
    table.answer(request=orders[0], delay=0.0125)
    table.tick(14.0)
    assert table.pings() == (
        PingView("t1", "sip:203.0.113.1", "udp:203.0.113.1:5060", 200, 12.5, "OK"),
        PingView("t1", "sip:203.0.113.2", "udp:203.0.113.2:5060", 0, None, "no answer"),
    )
    assert table.state(B) == "unknown"


def test_a_ping_that_cannot_be_sent_says_why():
    table = Table()
    [order] = table.ping("carrier", "t1", 1.0)
    table.take_failure(order.user, "no route to host", 1.0)
    [view] = table.pings()
    assert (view.status, view.why) == (0, "no route to host")


def test_a_ping_to_a_peer_without_addresses_says_so():
    table = Table(hops=())
    assert table.ping("carrier", "t1", 1.0) == []
    [view] = table.pings()
    assert (view.token, view.status, view.why) == ("t1", 0, "no server address is known")


# BOUND: PINGS
def test_the_table_of_pings_is_bounded_and_forgotten_ones_harm_nobody(monkeypatch):
    monkeypatch.setattr("sbc.core.limits.PINGS", 3)
    pings = Pings()
    for number in range(10):
        pings.asked(number, PingView(str(number), "", "", None, None), 0.0, 4.0)
    assert [view.token for view in pings.views()] == ["7", "8", "9"]
    pings.answered(1, 200, "OK", 1.0)
    pings.failed(1, "x")
    pings.answered(9, 200, "OK", 1.0)
    pings.failed(9, "x")
    pings.tick(4.0)
    assert [view.status for view in pings.views()] == [0, 0, 200]
    assert pings.next_deadline() is None


# --- whatever happens -------------------------------------------------------------------------------------------------

IDLE = ("down", "suspended")  # what time alone may end
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["wait", "answer", "refuse", "503", "fail", "live", "request", "live 503", "reload", "ping"]),
        st.floats(0.0, 12.0),
    ),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(STEPS, st.integers(1, 4), st.integers(1, 4), st.booleans())
def test_whatever_happens_states_are_earned_and_deadlines_lie_ahead(steps, fall, rise, passive):
    table = Table(health=Health(passive=passive, fall=fall, rise=rise))
    failures = successes = 0
    live_at = 0.0
    for step, wait in steps:
        before, end = table.state(), table.now + wait
        while (at := table.next_deadline()) is not None and at <= end:
            table.now = max(table.now, at)
            was, pending = table.state(), set(table._probes)
            table.note(table.tick(table.now))
            following = table.next_deadline()
            assert following is None or following > table.now
            if pending - set(table._probes):  # given up
                failures, successes = failures + 1, 0
            assert was == table.state() or (table.state(), failures >= fall) == ("down", True) or was in IDLE
            before = table.state()
        table.now = end
        pending = next(iter(table._probes), None)
        order = next((one for one in table.asked if one.user[2] == pending), None)
        if step == "answer" and order:
            table.answer(200, order, delay=0.0)
        elif step == "503" and order:
            table.answer(503, order, delay=0.0)
        elif step == "refuse" and order:
            table.note(table.take_failure(order.user, "refused", table.now))
        elif step == "fail":
            table.note(table.failed(A, "silence", table.now))
        elif step == "live":
            table.live(200, after=0.0)
        elif step == "request":
            table.live(None, after=0.0)
        elif step == "live 503":
            table.live(503, after=0.0)
        elif step == "reload":
            table.note(table.set_hops(table.peer, (A,), table.now))
        elif step == "ping":
            table.ping("carrier", "t", table.now)
        is_success = (step == "answer" and order) or step == "live" or (step == "request" and passive)
        is_failure = step == "fail" or (step == "refuse" and order)
        if is_success:
            successes += 1
            if step == "answer" or table.now - live_at >= LIVE_SECONDS:
                failures, live_at = 0, table.now
        if step == "503" and order:
            failures = 0
        if is_failure:
            failures, successes = failures + 1, 0
        after = table.state()
        if before != "up" and after == "up" and before != "suspended":
            assert is_success
            assert successes >= rise
        if before != "down" and after == "down":
            assert failures >= fall
        assert table.is_usable(A) == (after not in ("down", "suspended"))
        assert table.is_peer_usable("carrier") == table.is_usable(A)
        assert len(table._probes) <= 1
    assert len(table.asked) <= 2 + table.now  # no storm: at most one a second, whatever happens
    assert not (passive and table.asked)
