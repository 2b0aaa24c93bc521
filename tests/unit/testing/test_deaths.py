"""Phones that answer OPTIONS so or so, die, and come back."""

from sbc.core.address import Transport
from sbc.core.limits import CONNECT_SECONDS
from sbc.testing.net import Network
from sbc.testing.phone import Phone
from sbc.testing.seeds import seeded_ids

ALICE, BOB = "192.0.2.1:5060", "192.0.2.2:5060"


def phones(transport=Transport.UDP):
    net, ids = Network(), seeded_ids()
    alice = Phone(net, "alice", ALICE, ids, through=BOB, transport=transport)
    return net, alice, Phone(net, "bob", BOB, ids, through=ALICE, transport=transport)


def test_options_are_answered_as_told():
    net, alice, bob = phones()
    alice.asks("OPTIONS")
    bob.answers_options(503, retry_after=7)
    alice.asks("OPTIONS")
    assert b"Retry-After: 7\r\n" in net.sent_by("bob")[-1]
    bob.answers_options()
    alice.asks("OPTIONS")
    bob.ignores("OPTIONS")
    alice.asks("OPTIONS")
    net.run(33)
    assert alice.heard == ["200 OPTIONS", "503 OPTIONS", "200 OPTIONS", "timeout"]


def test_a_dead_process_refuses_at_once_and_is_back_when_revived():
    _, alice, bob = phones()
    bob.dies()
    alice.asks("OPTIONS")
    assert alice.heard == ["transport"]
    bob.revives()
    alice.asks("OPTIONS")
    assert alice.heard == ["transport", "200 OPTIONS"]


def test_a_dead_machine_says_nothing():
    net, alice, bob = phones()
    bob.dies(silently=True)
    alice.asks("OPTIONS")
    assert alice.heard == []
    net.run(33)
    assert alice.heard == ["timeout"]
    bob.revives()
    alice.asks("OPTIONS")
    assert alice.heard[-1] == "200 OPTIONS"


# BOUND: CONNECT_SECONDS
def test_over_streams_a_dead_process_resets_and_a_dead_machine_times_out():
    net, alice, bob = phones(Transport.TCP)
    bob.ignores("INVITE")
    alice.invites("bob")
    assert net.streams.of("alice")
    bob.dies()
    assert not net.streams.of("alice")
    net.settle()
    assert alice.call.status == 503
    bob.revives()
    bob.dies(silently=True)
    before = net.now
    alice.asks("OPTIONS")
    assert alice.heard[-1] == "transport"
    assert net.now - before >= CONNECT_SECONDS


def test_calls_of_the_dead_are_lost():
    net, alice, bob = phones()
    alice.invites("bob")
    bob.answers()
    bob.dies()
    assert bob.agent.is_idle
    bob.revives()
    alice.hangs_up()
    assert alice.got("481 BYE")
    net.run(100)
    assert alice.agent.is_idle
    assert bob.agent.is_idle
