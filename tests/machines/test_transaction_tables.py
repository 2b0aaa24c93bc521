"""What holds for the tables of all four transactions, and for the machines that read them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.core.address import Flow, Transport
from sbc.core.timers import TimerTable
from sbc.sip.build import cancel_for, echo_of
from sbc.sip.commands import SendMessage
from sbc.sip.timing import DEFAULT_TIMING
from sbc.sip.transaction import client, invite_client, invite_server, server
from sbc.sip.transaction.outputs import TransactionFailed
from sbc.testing.build import FLOW, HERE, THERE, request, response_to

MODULES = {m.__name__.rpartition(".")[2]: m for m in (invite_client, invite_server, client, server)}
TCP = Flow(Transport.TCP, "inside", HERE, THERE, 7)

# The edges as the RFCs draw them: figures 5 to 8 of RFC 3261 with the corrections of RFC 6026, and CANCEL of §9.1.
EDGES = {
    "invite_client": """
        calling: timer A > calling, timer B > terminated, 1xx > proceeding, 2xx > accepted, 300-699 > completed,
            transport failed > terminated, cancel > calling, CANCEL waiting
        calling, CANCEL waiting: timer A > calling, CANCEL waiting, timer B > terminated, 1xx > cancelling,
            2xx > accepted, 300-699 > completed, transport failed > terminated
        proceeding: 1xx > proceeding, 2xx > accepted, 300-699 > completed, transport failed > terminated,
            cancel > cancelling
        cancelling: 2xx > accepted, 300-699 > completed, 64*T1 after CANCEL > terminated, transport failed > terminated
        accepted: 2xx > accepted, timer M > terminated
        completed: 300-699 > completed, timer D > terminated, transport failed > terminated
        of an earlier life: T1 after INVITE > cancelling, 1xx > cancelling, 2xx > accepted, 300-699 > completed
    """,
    "invite_server": """
        proceeding: INVITE > proceeding, send 1xx > proceeding, send 2xx > accepted, send 300-699 > completed
        completed: INVITE > completed, ACK > confirmed, timer G > completed, timer H > terminated,
            transport failed > terminated
        confirmed: timer I > terminated
        accepted: send 2xx > accepted, ACK > accepted, timer L > terminated
    """,
    "client": """
        trying: timer E > trying, timer F > terminated, 1xx > proceeding, 200-699 > completed,
            transport failed > terminated
        proceeding: timer E > proceeding, timer F > terminated, 1xx > proceeding, 200-699 > completed,
            transport failed > terminated
        completed: timer K > terminated
    """,
    "server": """
        trying: send 1xx > proceeding, send 200-699 > completed, 64*T1 without final > terminated
        proceeding: request > proceeding, send 1xx > proceeding, send 200-699 > completed,
            64*T1 without final > terminated, transport failed > terminated
        completed: request > completed, timer J > terminated, transport failed > terminated
    """,
}


def drawn(text):
    """Rows `state: input > state, …` of a drawing; commas also stand within one state's name."""
    text = text.replace("calling, CANCEL waiting", "calling CANCEL waiting")
    text = text.replace("of an earlier life", "calling of an earlier life")
    rows = set()
    for line in text.replace(",\n", ", ").strip().splitlines():
        state, _, edges = line.partition(":")
        for edge in edges.split(","):
            input_, _, target = edge.partition(">")
            rows.add((state.strip(), input_.strip(), target.strip()))
    return {tuple(re.sub("^calling (?=CANCEL|of)", "calling, ", part) for part in row) for row in rows}


@pytest.fixture(params=MODULES)
def name(request):
    return request.param


def test_every_state_has_an_answer_to_every_input(name):
    module = MODULES[name]
    assert set(module.TABLE) == {(state, input_) for state in module.State for input_ in module.Input}


def test_the_edges_are_those_of_the_rfcs(name):
    rows = MODULES[name].TABLE.items()
    edges = {(str(s), str(i), str(t)) for (s, i), (action, t) in rows if action is not None or s is not t}
    assert edges == drawn(EDGES[name])


def test_nothing_leaves_terminated(name):
    module = MODULES[name]
    assert {module.TABLE[module.State.TERMINATED, input_] for input_ in module.Input} == {
        (None, module.State.TERMINATED)
    }


def test_every_state_is_reached_and_every_live_one_left(name):
    module = MODULES[name]
    reached = {next(iter(module.State))}
    if name == "invite_client":
        reached.add(invite_client.State.ABANDONED)  # what another life of the program begins with
    while True:
        more = {target for (state, _), (_, target) in module.TABLE.items() if state in reached}
        if more <= reached:
            break
        reached |= more
    assert reached == set(module.State)


def make(name, flow):
    if name == "invite_client":
        invite = request("INVITE")
        return invite_client.InviteClient(("b", "INVITE"), invite, "via", b"INVITE", flow, "me", DEFAULT_TIMING)
    if name == "client":
        return client.Client(("b", "OPTIONS"), request("OPTIONS"), "via", b"OPTIONS", flow, "me", DEFAULT_TIMING)
    if name == "invite_server":
        invite = request("INVITE")
        echo = echo_of(invite, THERE)
        return invite_server.InviteServer(("k",), None, invite, echo, flow, DEFAULT_TIMING)
    bye = request("BYE")
    return server.Server(("k",), None, bye, echo_of(bye, THERE), flow, DEFAULT_TIMING)


def feed(name, machine, what, status, now):
    """One input that the outside can give; which ones there are depends on the machine."""
    if what == "fail":
        return machine.fail("refused", now)
    if what == "tick":
        return machine.tick(now)
    if name.endswith("client"):
        if what == "cancel":
            return machine.cancel(cancel_for(machine.request), now) if name == "invite_client" else []
        return machine.receive(response_to(machine.request, status), now)
    if what == "cancel":
        return machine.send(status, f"{status}".encode(), now)
    method = "ACK" if status >= 300 and name == "invite_server" else machine.request.method
    return machine.receive(request(method), now)


steps = st.lists(
    st.tuples(
        st.sampled_from(("message", "message", "cancel", "tick", "tick", "fail")),
        st.sampled_from((100, 180, 200, 302, 486, 603)),
        st.sampled_from((0.0, 0.1, 0.5, 4.0, 32.0)),
    ),
    max_size=25,
)


@given(st.sampled_from(sorted(MODULES)), st.sampled_from((FLOW, TCP)), steps)
def test_whatever_comes_one_failure_at_most_is_reported_and_the_end_is_silent(name, flow, script):
    machine, now, failures = make(name, flow), 0.0, 0
    machine.start(now)
    for what, status, wait in script:
        now += wait
        was_over = machine.is_terminated
        outs = feed(name, machine, what, status, now)
        failures += sum(isinstance(out, TransactionFailed) for out in outs)
        if was_over:
            assert outs == []
            assert machine.next_deadline() is None
    assert failures <= 1


@given(st.sampled_from(sorted(MODULES)), st.sampled_from((FLOW, TCP)), steps)
def test_whatever_came_silence_ends_every_transaction_but_an_invite_that_is_still_undecided(name, flow, script):
    machine, now = make(name, flow), 0.0
    machine.start(now)
    for what, status, wait in script:
        now += wait
        feed(name, machine, what, status, now)
    for _ in range(200):
        deadline = machine.next_deadline()
        if deadline is None:
            break
        now = max(now, deadline)
        machine.tick(now)
    assert machine.is_terminated or (name.startswith("invite") and machine.state == "proceeding")


@given(st.sampled_from(sorted(MODULES)), st.sampled_from((FLOW, TCP)), steps)
def test_ticks_that_come_early_or_twice_do_nothing(name, flow, script):
    machine, now = make(name, flow), 0.0
    machine.start(now)
    for what, status, wait in script:
        now += wait
        feed(name, machine, what, status, now)
        machine.tick(now)
        state = machine.state
        assert machine.tick(now) == []
        assert machine.state is state


@given(st.sampled_from(sorted(MODULES)), steps)
def test_over_a_reliable_transport_time_alone_sends_nothing(name, script):
    machine, now = make(name, TCP), 0.0
    machine.start(now)
    for what, status, wait in script:
        now += wait
        outs = feed(name, machine, what, status, now)
        if what == "tick":
            assert not any(isinstance(out, SendMessage) for out in outs)


def test_timers_that_are_due_together_fire_in_the_order_of_their_deadlines():
    timers = TimerTable()
    timers.set("late", 2.0)
    timers.set("early", 1.0)
    assert timers.pop_due(3.0) == ["early", "late"]
