"""How many connections and handshakes peers and strangers may have."""

from sbc.core import limits
from sbc.runtime.stream_bounds import Pace, StreamBounds, Whose


def fill(tally, whose):
    taken = 0
    while tally.take(whose):
        taken += 1
    return taken


# BOUND: CONNECTIONS_PER_PEER
def test_a_peer_has_a_quarter_of_a_listener():
    bounds = StreamBounds()
    assert fill(bounds.connections, Whose("a")) == limits.CONNECTIONS_PER_PEER
    assert fill(bounds.connections, Whose("b")) == limits.CONNECTIONS_PER_PEER
    bounds.connections.give_back(Whose("a"))
    assert fill(bounds.connections, Whose("a")) == 1


# BOUND: CONNECTIONS_OF_STRANGERS, CONNECTIONS_PER_STRANGER
def test_strangers_together_leave_half_of_a_listener_to_peers():
    bounds = StreamBounds()
    per_host = [fill(bounds.connections, Whose(f"192.0.2.{n}", is_stranger=True)) for n in range(100)]
    assert max(per_host) == limits.CONNECTIONS_PER_STRANGER
    assert sum(per_host) == limits.CONNECTIONS_OF_STRANGERS
    assert fill(bounds.connections, Whose("a")) == limits.CONNECTIONS_PER_PEER
    bounds.connections.give_back(Whose("192.0.2.1", is_stranger=True))
    assert fill(bounds.connections, Whose("198.51.100.1", is_stranger=True)) == 1


# BOUND: HANDSHAKES_PER_LISTENER, HANDSHAKES_OF_STRANGERS
def test_handshakes_are_bounded_together_and_of_strangers():
    bounds = StreamBounds()
    of_strangers = sum(fill(bounds.handshakes, Whose(f"192.0.2.{n}", is_stranger=True)) for n in range(100))
    of_peers = sum(fill(bounds.handshakes, Whose(f"peer {n}")) for n in range(100))
    assert of_strangers == limits.HANDSHAKES_OF_STRANGERS
    assert of_strangers + of_peers == limits.HANDSHAKES_PER_LISTENER


def test_a_name_that_is_a_peers_and_a_strangers_is_counted_twice():
    bounds = StreamBounds()
    assert fill(bounds.connections, Whose("192.0.2.1")) == limits.CONNECTIONS_PER_PEER
    assert fill(bounds.connections, Whose("192.0.2.1", is_stranger=True)) == limits.CONNECTIONS_PER_STRANGER


# BOUND: STRANGER_HANDSHAKES_PER_SECOND
def test_strangers_begin_so_many_handshakes_a_second_and_peers_as_many_as_they_like():
    bounds = StreamBounds()
    begun = sum(bounds.begin_handshake(Whose(f"192.0.2.{n}", is_stranger=True), 100.0) for n in range(60))
    assert begun == limits.STRANGER_HANDSHAKES_PER_SECOND
    assert all(bounds.begin_handshake(Whose("a"), 100.0) for _ in range(limits.HANDSHAKES_PER_PEER))
    assert bounds.begin_handshake(Whose("192.0.2.200", is_stranger=True), 100.1)


def test_a_pace_saves_no_more_than_a_second():
    pace = Pace(5)
    assert sum(pace.take(1_000.0) for _ in range(50)) == 5
    assert sum(pace.take(1_000.5) for _ in range(50)) == 2
