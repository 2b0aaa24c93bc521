"""Two phones that call each other directly: the kit is tested without the SBC."""

import pytest

from sbc.core.address import Address, Transport
from sbc.sdp import Direction
from sbc.testing.net import Conditions, Network
from sbc.testing.party import Stage
from sbc.testing.phone import Phone, address_of
from sbc.testing.proxy import Proxy
from sbc.testing.seeds import seeded_ids

ALICE, BOB, PROXY = "192.0.2.1:5060", "192.0.2.2:5060", "192.0.2.9:5060"


def phones(transport=Transport.UDP, **options):
    net = Network(**options)
    ids = seeded_ids(options.get("seed", 0))
    alice = Phone(net, "alice", ALICE, ids, through=BOB, transport=transport)
    bob = Phone(net, "bob", BOB, ids, through=ALICE, transport=transport)
    return net, alice, bob


def is_over(net, *phones):
    net.run(100.0)
    assert [phone.agent.complaints for phone in phones] == [[]] * len(phones)
    assert all(phone.agent.is_idle for phone in phones)
    assert net.next_event() is None


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
def test_caller_hangs_up(transport):
    net, alice, bob = phones(transport)
    alice.invites("bob")
    bob.rings()
    bob.answers()
    assert alice.is_talking
    assert bob.is_talking
    alice.hangs_up()
    assert alice.got(100, 180, 200, "200 BYE")
    assert bob.got("INVITE", "ACK", "BYE")
    is_over(net, alice, bob)


def test_callee_hangs_up():
    net, alice, bob = phones()
    alice.invites("bob")
    bob.answers()
    bob.hangs_up()
    assert alice.got(200, "BYE")
    assert bob.got("INVITE", "ACK", "200 BYE")
    is_over(net, alice, bob)


def test_caller_cancels():
    net, alice, bob = phones()
    alice.invites("bob")
    bob.rings()
    alice.cancels()
    assert alice.got(180, 487)
    assert bob.got("INVITE", "CANCEL")
    assert alice.call.status == bob.call.status == 487
    is_over(net, alice, bob)


def test_200_that_crosses_a_cancel_is_acked_and_byed():
    net, alice, bob = phones()
    alice.invites("bob")
    bob.rings()
    with net.holding(bob.agent):
        bob.answers()
        alice.cancels()
    net.settle()
    assert alice.got(200, "200 BYE")
    assert bob.got("INVITE", "ACK", "BYE")
    is_over(net, alice, bob)


def test_callee_is_busy():
    net, alice, bob = phones()
    alice.invites("bob")
    bob.refuses(486)
    assert alice.got(486)
    assert alice.call.stage is Stage.ENDED
    assert bob.call.status == 486
    is_over(net, alice, bob)


def test_nobody_is_there():
    net, alice, bob = phones()
    bob.ignores()
    alice.invites("bob")
    alice.waits_for("timeout")
    assert alice.call.status == 408
    is_over(net, alice)


def test_a_lost_ack_makes_the_callee_repeat_its_200():
    net, alice, bob = phones()
    net.loses("ACK", times=3)
    alice.invites("bob")
    bob.answers()
    assert not bob.got("ACK")
    bob.waits_for("ACK")
    assert net.sent_by("bob").count(net.sent_by("bob")[-1]) == 4
    bob.hangs_up()
    is_over(net, alice, bob)


def test_a_caller_that_never_acks_is_hung_up_on():
    net, alice, bob = phones()
    alice.never_acks()
    alice.invites("bob")
    bob.answers()
    net.run(31.0)
    assert bob.is_talking
    bob.waits_for("no ack")
    assert alice.got("BYE")
    is_over(net, alice, bob)


def test_a_lost_bye_is_repeated():
    net, alice, bob = phones()
    alice.invites("bob")
    bob.answers()
    net.loses("BYE", times=4)
    alice.hangs_up()
    assert bob.is_talking
    bob.waits_for("BYE")
    is_over(net, alice, bob)


def test_hold_and_resume_change_direction_and_version():
    net, alice, bob = phones()
    alice.invites("bob")
    bob.answers()
    assert (alice.direction, bob.direction) == (Direction.SENDRECV, Direction.SENDRECV)
    alice.holds()
    assert (alice.direction, bob.direction) == (Direction.RECVONLY, Direction.SENDONLY)
    alice.resumes()
    assert (alice.direction, bob.direction) == (Direction.SENDRECV, Direction.SENDRECV)
    assert alice.call.version == 3
    bob.holds(Direction.INACTIVE)
    assert (alice.direction, bob.direction) == (Direction.INACTIVE, Direction.INACTIVE)
    bob.hangs_up()
    is_over(net, alice, bob)


def test_a_refused_reinvite_leaves_the_call_as_it_was():
    net, alice, bob = phones()
    alice.invites("bob")
    bob.answers()
    bob.script.reinvites = 488
    alice.holds()
    assert alice.got(200, 488)
    assert alice.is_talking
    alice.hangs_up()
    is_over(net, alice, bob)


def test_late_offer_is_answered_in_the_ack():
    net, alice, bob = phones()
    alice.invites("bob", sdp=False)
    bob.answers()
    assert alice.direction is Direction.SENDRECV
    assert bob.direction is Direction.SENDRECV
    alice.hangs_up()
    is_over(net, alice, bob)


def test_early_media():
    net, alice, bob = phones()
    alice.invites("bob")
    bob.progresses()
    assert alice.got(183)
    assert alice.direction is Direction.SENDRECV
    bob.answers()
    bob.hangs_up()
    is_over(net, alice, bob)


def test_a_phone_that_answers_by_itself():
    net, alice, bob = phones()
    bob.answers_by_itself(after=5.0, hangs_up_after=30.0)
    alice.invites("bob")
    alice.waits_for(180, 200, "BYE")
    assert net.now == pytest.approx(1035.0, abs=0.1)
    is_over(net, alice, bob)


def test_options_in_and_out_of_a_dialog():
    net, alice, bob = phones()
    alice.asks("OPTIONS")
    assert alice.heard == ["200 OPTIONS"]
    alice.invites("bob")
    bob.answers()
    bob.requests("OPTIONS")
    assert bob.got("200 OPTIONS")
    alice.hangs_up()
    is_over(net, alice, bob)


def test_a_bye_for_no_call_of_ours_gets_481():
    _net, alice, bob = phones()
    alice.invites("bob")
    bob.answers()
    bob.agent.parties.clear()
    alice.hangs_up()
    assert alice.got("481 BYE")


@pytest.mark.parametrize("strict", [False, True])
def test_a_record_routing_proxy_stays_in_the_way(strict):
    net = Network()
    ids = seeded_ids()
    alice = Phone(net, "alice", ALICE, ids, through=PROXY)
    bob = Phone(net, "bob", BOB, ids, through=PROXY)
    proxy = Proxy(net, "proxy", address_of(PROXY), target=bob.address, back=alice.address, strict=strict)
    alice.invites("bob")
    bob.answers()
    bob.holds()
    alice.hangs_up()
    assert proxy.errors == []
    assert proxy.seen == ["INVITE", "ACK", "INVITE", "ACK", "BYE"]
    assert {sent.receiver for sent in net.log if sent.sender == "alice"} == {"proxy"}
    is_over(net, alice, bob)


@pytest.mark.parametrize("seed", range(20))
def test_a_call_reaches_its_end_on_a_bad_network(seed):
    bad = Conditions(delay=0.005, jitter=0.02, loss=0.3, duplicate=0.1, reorder=0.3)
    net, alice, bob = phones(seed=seed, conditions=bad)
    bob.answers_by_itself(after=2.0)
    alice.invites("bob")
    alice.waits_for(200)
    bob.waits_for("ACK")
    alice.hangs_up()
    bob.waits_for("BYE")
    is_over(net, alice, bob)


@pytest.mark.parametrize("seed", range(20))
def test_a_cancelled_call_reaches_its_end_on_a_bad_network(seed):
    bad = Conditions(delay=0.005, jitter=0.02, loss=0.3, duplicate=0.1, reorder=0.3)
    net, alice, bob = phones(seed=seed, conditions=bad)
    bob.script.rings = 180
    alice.invites("bob")
    alice.cancels()
    net.run(100.0)
    assert alice.call.stage is Stage.ENDED
    assert bob.call.stage is Stage.ENDED
    is_over(net, alice, bob)


def test_a_move_that_is_not_possible_says_what_the_phone_has_heard():
    _net, _alice, bob = phones()
    with pytest.raises(AssertionError, match="bob waited"):
        bob.answers()


def test_a_strict_peer_complains():
    _net, alice, bob = phones()
    alice.invites("bob")
    bob.answers()
    alice.call.local_seq -= 1
    alice.requests("INFO")
    assert bob.agent.complaints == [f"INFO: CSeq {alice.call.local_seq} after {alice.call.local_seq}"]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1:5070", Address("192.0.2.1", 5070)),
        ("192.0.2.1", Address("192.0.2.1", 5060)),
        ("[2001:db8::1]:5070", Address("2001:db8::1", 5070)),
        ("[2001:db8::1]", Address("2001:db8::1", 5060)),
        ("2001:db8::1", Address("2001:db8::1", 5060)),
    ],
)
def test_addresses_as_text(text, address):
    assert address_of(text) == address
