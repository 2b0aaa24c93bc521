"""A trunk that has a name: its servers are found by NAPTR and SRV, tried in order within one call, and kept in mind."""
# RFC: 2782, 3263

from collections import Counter

import pytest

from sbc.core import limits
from sbc.core.address import Transport
from sbc.testing.names import Names
from sbc.testing.world import DID, FAR, OUTSIDE, POLICY

NAMED = POLICY.replace("sip:198.51.100.7:5060", "sip:carrier.test")
DUAL = (
    POLICY.replace("udp:203.0.113.1:5060, tcp:203.0.113.1:5060]", "udp:203.0.113.1:5060, 'udp:[2001:db8::1]:5060']")
    .replace("media: 203.0.113.1", "media: [203.0.113.1, '2001:db8::1']")
    .replace("sip:198.51.100.7:5060", "sip:carrier.test")
)


@pytest.fixture
def names():
    """One carrier: a primary, two that share the rest, found by NAPTR and SRV."""
    names = Names({"a.test": ["198.51.100.1"], "b.test": ["198.51.100.2"], "c.test": ["198.51.100.3"]})
    names.naptr("carrier.test", (10, 10, "SIP+D2U", "_sip._udp.carrier.test"))
    names.srv("_sip._udp.carrier.test", (10, 0, 5060, "a.test"), (20, 60, 5060, "b.test"), (20, 40, 5060, "c.test"))
    return names


def servers(sbc, *lasts):
    return [sbc.phone(f"softswitch-{n}.carrier.net", f"198.51.100.{n}:5060", through=OUTSIDE, user=FAR) for n in lasts]


def call(sbc, office, server):
    office.invites(FAR)
    server.answers()
    assert server.is_talking
    office.hangs_up()


def test_the_server_of_the_best_priority_is_called(world, names):
    sbc = world(NAMED, names=names)
    office, (a, b, c) = sbc.office(), servers(sbc, 1, 2, 3)
    for _ in range(5):
        call(sbc, office, a)
    assert (b.heard, c.heard) == ([], [])
    assert [record.egress for record in sbc.cdr] == ["carrier"] * 5
    assert sbc.idle()


def test_a_refused_and_a_silent_server_are_passed_over_within_the_call(world, names):
    names.srv("_sip._udp.carrier.test", (30, 0, 5060, "c.test"), (10, 0, 5060, "a.test"), (20, 0, 5060, "b.test"))
    sbc = world(NAMED, names=names)
    office, (a, b, c) = sbc.office(), servers(sbc, 1, 2, 3)
    a.dies()
    b.ignores()
    begun = sbc.now
    office.invites(FAR)
    c.waits_for("INVITE", at_most=4.2)
    assert sbc.now - begun > 3.9, "the time that the silent one has"
    c.answers()
    office.hangs_up()
    attempts = sbc.cdr.only.attempts
    assert [attempt.cause for attempt in attempts] == ["unreachable", "no_reply", "normal"]
    assert [f"198.51.100.{n}" in attempts[n - 1].server for n in (1, 2, 3)] == [True] * 3
    assert sbc.idle()


def test_servers_of_one_priority_share_the_calls_by_weight(world, names):
    names.srv("_sip._udp.carrier.test", (20, 60, 5060, "b.test"), (20, 40, 5060, "c.test"))
    sbc = world(NAMED, names=names)
    office, (b, c) = sbc.office(), servers(sbc, 2, 3)
    called = Counter()
    for _ in range(60):
        office.invites(FAR)
        sbc.run(0.1)
        one = b if len(b.agent.parties) > called[b] else c
        called[one] += 1
        one.refuses(486)
    assert called[b] + called[c] == 60
    assert 24 <= called[b] <= 48, "36 are expected; four standard deviations are 15"
    assert sbc.idle()


def test_all_servers_of_a_carrier_may_call_us(world, names):
    sbc = world(NAMED, names=names)
    office, everyone = sbc.office(), servers(sbc, 1, 2, 3)
    for one in everyone:
        one.invites(DID)
        office.answers()
        one.hangs_up()
    assert [record.ingress for record in sbc.cdr] == ["carrier"] * 3
    assert sbc.idle()


def test_a_name_that_does_not_exist_is_refused_at_once(world):
    sbc = world(NAMED)
    office = sbc.office()
    office.invites(FAR)
    sbc.run(0.1)
    assert office.got(503)
    assert sbc.cdr.only.cause == "unreachable"
    assert [log.event for log in sbc.logs if log.event.startswith("dns")] == ["dns.not_found"]
    assert sbc.idle()


def test_a_trunk_without_any_address_is_an_alarm_once_until_it_has_one(world):
    names = Names({})
    sbc = world(NAMED, names=names)
    office, (carrier,) = sbc.office(), servers(sbc, 1)

    def said():
        return [(log.event, dict(log.fields)["why"]) for log in sbc.logs if log.event in {"peer.down", "peer.up"}]

    sbc.run(3600.0)
    office.invites(FAR)
    sbc.run(1.0)
    [(event, why)] = said()
    assert event == "peer.down"
    assert why == "carrier.test has no address"
    names["carrier.test"] = ["198.51.100.1"]
    sbc.run(3600.0)
    assert said()[1:] == [("peer.up", "its servers have an address")]
    call(sbc, office, carrier)
    assert sbc.idle()


def test_a_dead_resolver_stops_no_call(world, names):
    sbc = world(NAMED, names=names)
    office, (a,) = sbc.office(), servers(sbc, 1)
    call(sbc, office, a)
    for name in ("carrier.test", "_sip._udp.carrier.test", "a.test", "b.test", "c.test"):
        names.failing.add(name)
    for _ in range(3):
        sbc.run(4 * 3600.0)
        call(sbc, office, a)
    assert [record.cause for record in sbc.cdr] == ["normal"] * 4
    assert sbc.idle()


def test_a_resolver_that_says_nothing_any_more_stops_no_call(world, names):
    sbc = world(NAMED, names=names)
    office, (a,) = sbc.office(), servers(sbc, 1)
    call(sbc, office, a)
    names.silent |= {"carrier.test", "_sip._udp.carrier.test", "a.test", "b.test", "c.test"}
    sbc.run(3600.0)
    begun = sbc.now
    office.invites(FAR)
    a.waits_for("INVITE", at_most=0.1)
    assert sbc.now - begun < 0.1
    a.refuses(486)
    assert sbc.idle()


def test_a_carrier_that_moves_is_followed_within_its_ttl_and_its_calls_stay_up(world, names):
    sbc = world(NAMED, names=names)
    office, (a, b) = sbc.office(), servers(sbc, 1, 9)
    office.invites(FAR)
    a.answers()
    names["a.test"] = ["198.51.100.9"]
    sbc.run(61.0)
    a.hangs_up()
    assert office.got(200, "BYE"), "the old address may still end its call"
    call(sbc, office, b)
    assert sbc.idle()


# BOUND: NAME_WAIT_SECONDS
def test_a_slow_name_of_one_trunk_delays_no_call_of_another(world, names):
    policy = NAMED.replace(
        "routes:\n",
        "  slow: {interface: outside, servers: ['sip:slow.test']}\n"
        "routes:\n  - {name: dead, from: office, to: ['900XXXXXXX'], via: [slow]}\n",
    )
    names.silent |= {"slow.test", "_sip._udp.slow.test", "_sip._tcp.slow.test"}
    sbc = world(policy, names=names)
    office, (a,) = sbc.office(), servers(sbc, 1)
    office.invites("9005550000")
    waiting = office.call
    for _ in range(3):
        begun = sbc.now
        call(sbc, office, a)
        assert sbc.now - begun < 0.5
    sbc.run(limits.NAME_WAIT_SECONDS)
    assert waiting.status == 503
    assert sorted(record.cause for record in sbc.cdr) == ["normal", "normal", "normal", "unreachable"]
    assert sbc.idle()


def test_the_transport_is_the_server_s_choice(world, names):
    names.naptr(
        "carrier.test", (10, 10, "SIPS+D2T", "_sips._tcp.carrier.test"), (20, 10, "SIP+D2T", "_sip._tcp.carrier.test"),
        (30, 10, "SIP+D2U", "_sip._udp.carrier.test"),
    )  # fmt: skip
    names.srv("_sip._tcp.carrier.test", (10, 0, 5060, "a.test"))
    sbc = world(NAMED, names=names)
    office = sbc.office()
    a = sbc.phone("softswitch-1.carrier.net", "198.51.100.1:5060", through=OUTSIDE, user=FAR, transport=Transport.TCP)
    office.invites(FAR)
    a.answers()
    assert a.call.invite.via.transport == "TCP"
    office.hangs_up()
    assert sbc.idle()


@pytest.mark.parametrize(
    ("addresses", "address", "through", "family"),
    [
        (["2001:db8:7::7"], "[2001:db8:7::7]:5060", "[2001:db8::1]:5060", b"c=IN IP6 2001:db8::1"),
        (["198.51.100.7"], "198.51.100.7:5060", OUTSIDE, b"c=IN IP4 203.0.113.1"),
        (["198.51.100.7", "2001:db8:7::7"], "[2001:db8:7::7]:5060", "[2001:db8::1]:5060", b"c=IN IP6 2001:db8::1"),
    ],
    ids=["IPv6", "IPv4", "both"],
)
def test_media_are_offered_in_the_family_in_which_the_server_was_found(world, addresses, address, through, family):
    sbc = world(DUAL, names={"carrier.test": addresses})
    office, carrier = sbc.office(), sbc.phone("softswitch-3.carrier.net", address, through=through, user=FAR)
    office.invites(FAR)
    carrier.answers()
    assert family in carrier.call.invite.body
    assert sbc.hears(office, carrier)
    assert sbc.hears(carrier, office)
    office.hangs_up()
    assert sbc.idle()


def test_one_family_that_is_dead_leaves_the_other_in_the_same_call(world):
    sbc = world(DUAL, names={"carrier.test": ["198.51.100.7", "2001:db8:7::7"]})
    office = sbc.office()
    six = sbc.phone("softswitch-6.carrier.net", "[2001:db8:7::7]:5060", through="[2001:db8::1]:5060", user=FAR)
    four = sbc.carrier()
    six.dies()
    office.invites(FAR)
    four.answers()
    assert b"c=IN IP4 203.0.113.1" in four.call.invite.body
    assert sbc.hears(office, four)
    office.hangs_up()
    assert sbc.idle()
