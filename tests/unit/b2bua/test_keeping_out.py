"""The tables of keeping out are bounded, whatever is at the door."""

from collections import Counter

from sbc.b2bua.keeping_out import KeepingOut
from sbc.core import limits
from sbc.core.address import Address, Flow, Transport
from sbc.testing.world import POLICY, read_policy

ANYWHERE = POLICY.replace(
    "address: sip:10.0.0.5:5060", "registers: true, accept: any, auth: {username: office, password: 0ff1ce}"
)
OUR = Address("10.0.0.1", 5060)
REGISTER = b"REGISTER sip:x SIP/2.0\r\n"


def keeping():
    dropped = Counter()
    one = KeepingOut(read_policy(ANYWHERE), dropped)
    one.start(0.0)
    return one, dropped


def way(n, *, port=5060, connection=0):
    transport = Transport.TCP if connection else Transport.UDP
    host = f"198.{18 + (n >> 16)}.{n >> 8 & 255}.{n & 255}"
    return Flow(transport, "inside", OUR, Address(host, port), connection)


# BOUND: COUNTED_SOURCES
def test_sources_beyond_what_is_counted_are_dropped_within_the_second():
    one, dropped = keeping()
    for n in range(limits.COUNTED_SOURCES + 500):
        one.hears(REGISTER, way(n), 1.0)
    assert one.counted <= limits.COUNTED_SOURCES
    assert dropped["strangers_over_rate"] == limits.COUNTED_SOURCES + 500 - limits.STRANGERS_MESSAGES_PER_SECOND
    assert one.hears(REGISTER, way(limits.COUNTED_SOURCES + 1), 2.0)


# BOUND: PROVED_SOURCES, PROVED_SECONDS
def test_who_has_logged_in_is_known_for_two_hours_and_not_more_than_so_many():
    one, _ = keeping()
    for n in range(limits.PROVED_SOURCES + 10):
        one.has_proved(way(n), 1.0)
    assert one.proved == limits.PROVED_SOURCES
    one.has_proved(way(5, port=7), 1.0 + limits.PROVED_SECONDS)
    assert one.proved == 1
    assert one.users == 1


# BOUND: USERS_MESSAGES_PER_SECOND
def test_an_address_of_users_has_a_larger_rate():
    one, dropped = keeping()
    one.has_proved(way(1), 1.0)
    heard = sum(one.hears(REGISTER, way(1, port=2000 + n), 1.0) for n in range(limits.USERS_MESSAGES_PER_SECOND + 50))
    assert heard == limits.USERS_MESSAGES_PER_SECOND
    assert dropped["stranger_over_rate"] == 50
    assert one.hears(REGISTER, way(1), 1.0)


# BOUND: STRUCK_SOURCES
def test_offences_of_so_many_sources_are_counted():
    one, _ = keeping()
    for n in range(limits.STRUCK_SOURCES + 100):
        one.was_refused(way(n), 1.0, is_answer=True)
    assert one.bans.struck == limits.STRUCK_SOURCES
    assert len(one.bans) == 0
