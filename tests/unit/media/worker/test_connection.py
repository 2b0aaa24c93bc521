"""When the socket of an end is connected, and when no longer. With real sockets: tests/loopback."""

from dataclasses import dataclass

import pytest

from sbc.media import wire

from .rig import CARRIER, EVENTS, INSIDE, OUTSIDE, PBX, STREAM, Plugs, Rig, Socket, egress, ingress, rtp

ELSEWHERE = ("192.0.2.30", 4444)
STRANGER = ("203.0.113.66", 1)


@dataclass
class Connected:
    rig: Rig
    plugs: Plugs
    inside: Socket
    outside: Socket


@pytest.fixture
def one() -> Connected:
    rig = Rig()
    return Connected(rig, rig.plugs(), rig.sockets[INSIDE, 20000], rig.sockets[OUTSIDE, 20000])


def test_a_way_that_has_been_as_it_is_for_a_second_is_connected_and_in_another_relied_on(one: Connected) -> None:
    one.rig.put(STREAM)
    one.rig.talks(1, 3)
    one.rig.wait(0.75)
    assert one.inside.peer is None
    one.rig.wait(0.25)
    assert (one.inside.peer, one.outside.peer) == (PBX, CARRIER)
    one.rig.talks(4, 6)
    assert (one.inside.plain, one.outside.plain) == (0, 3), "sources are still looked at"
    one.rig.wait(1.0)
    one.rig.talks(7, 9)
    assert (one.inside.plain, one.outside.plain) == (3, 6)
    assert one.rig.numbers() == list(range(1, 10))
    assert (one.rig.count().ingress.received, one.rig.count().ingress.lost) == (9, 0)


def test_who_is_no_peer_is_heard_aside_and_judged_as_ever(one: Connected) -> None:
    one.rig.put(STREAM)
    one.rig.talks(1, 3)
    one.rig.wait(2.0)
    for source in (STRANGER, ELSEWHERE):
        one.rig.talks(4, 9, source)
    one.rig.talks(4, 6)
    assert one.rig.numbers() == list(range(1, 7))
    assert one.rig.count().ingress.foreign == 12


def test_what_the_kernel_relays_is_not_connected_and_what_it_may_not_is() -> None:
    rig = Rig()
    rig.kernel()
    plugs = rig.plugs()
    rig.put(STREAM)
    rig.talks(1, 5)
    assert rig.count().ingress.engine == "kernel"
    rig.arrives(OUTSIDE, 20000, rtp(1), CARRIER)
    rig.wait(60.0)
    assert plugs.asked == 0
    digits = wire.Stream(STREAM.ingress, STREAM.egress, True, events=(EVENTS, EVENTS), report_digits=("ingress",))
    rig.put(digits)
    rig.talks(6, 8)
    rig.wait(2.0)
    assert rig.sockets[INSIDE, 20000].peer == PBX


def test_what_cannot_be_connected_is_relayed_as_before_and_tried_again_after_a_while(one: Connected) -> None:
    one.plugs.cannot = True
    one.rig.put(STREAM)
    one.rig.talks(1, 3)
    one.rig.wait(10.75)
    assert one.plugs.asked == 2
    one.rig.talks(4, 6)
    one.plugs.cannot = False
    one.rig.wait(10.0)
    one.rig.talks(7, 9)
    assert one.rig.numbers() == list(range(1, 10))
    assert one.outside.plain == 2, "the first one, after a long silence, goes the long way"


def test_when_the_streams_are_wired_anew_it_is_undone_and_done_again(one: Connected) -> None:
    session = one.rig.put(STREAM)
    one.rig.talks(1, 3)
    one.rig.wait(3.0)
    aside = one.inside.aside
    assert aside
    aside.queue.append((rtp(4), STRANGER))
    one.inside.queue.append((rtp(4), PBX))
    one.rig.put(STREAM)
    assert (aside.is_closed, one.inside.peer, one.rig.asides) == (True, None, {})
    one.rig.turn()
    one.rig.talks(5, 6)
    assert one.rig.numbers() == list(range(1, 7))
    assert one.rig.count().ingress.foreign == 1
    one.rig.wait(3.0)
    assert one.inside.peer == PBX
    session.close()
    assert (one.inside.peer, one.outside.peer, one.rig.asides) == (None, None, {})
    one.rig.wait(30.0)
    assert one.inside.peer is None


def test_another_source_that_is_locked_aside_ends_the_reliance_at_once(one: Connected) -> None:
    one.rig.put(ingress(latching="nat", media_from=("192.0.2.0/24",)))
    one.rig.wait(3.0)
    assert one.inside.peer == PBX, "where it is described; it has sent nothing yet"
    for n in range(1, 5):
        one.rig.arrives(INSIDE, 20000, rtp(n), ELSEWHERE)
    one.rig.arrives(INSIDE, 20000, rtp(5), PBX)
    assert one.inside.plain == 0
    one.rig.arrives(OUTSIDE, 20000, rtp(1), CARRIER)
    assert one.rig.numbers(ELSEWHERE) == [1]
    one.rig.wait(3.0)
    assert one.inside.peer == ELSEWHERE
    one.rig.arrives(INSIDE, 20000, rtp(5), ELSEWHERE)
    assert one.rig.numbers() == [1, 2, 3, 4, 5]
    assert one.rig.count().ingress.foreign == 1


def test_one_that_is_heard_from_elsewhere_than_we_send_to_is_left_unconnected(one: Connected) -> None:
    one.rig.put(egress())
    one.rig.talks(1, 6, ELSEWHERE)
    one.rig.wait(30.0)
    one.rig.talks(7, 8, ELSEWHERE)
    assert one.inside.peer is None
    assert one.rig.numbers() == list(range(1, 9))


def test_descriptors_are_given_back_when_they_are_short(one: Connected) -> None:
    one.rig.put(STREAM)
    one.rig.wait(3.0)
    one.plugs.short = True
    one.rig.wait(12.0)
    assert (one.inside.peer, one.rig.asides) == (None, {})
    one.rig.talks(1, 3)
    assert one.rig.numbers() == [1, 2, 3]
