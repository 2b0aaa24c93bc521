"""Two servers of a carrier, two carriers of a route: what is tried next, and when not."""

import pytest

from sbc.testing.world import FAR, OUTSIDE, POLICY

TWO_SERVERS = POLICY.replace('["sip:198.51.100.7:5060"]', '["sip:198.51.100.7:5060", "sip:198.51.100.8:5060"]')
TWO_CARRIERS = POLICY.replace(
    "routes:\n", "  spare: {interface: outside, servers: ['sip:198.51.100.8:5060'], numbers: e164-bare}\nroutes:\n"
).replace("via: [carrier]", "via: [carrier, spare]")


def two(world, policy=TWO_SERVERS):
    sbc = world(policy)
    return sbc, sbc.office(), sbc.carrier(), sbc.phone("second.carrier.net", "198.51.100.8:5060", through=OUTSIDE)


def test_a_silent_first_server_is_left_after_no_reply(world):
    sbc, office, first, second = two(world)
    first.ignores()
    office.invites(FAR)
    sbc.run(3.9)
    assert not second.heard
    sbc.run(0.2)
    assert second.got("INVITE")
    second.answers()
    assert office.got(100, 200)
    office.hangs_up()
    record = sbc.cdr.only
    assert [(a.n, a.server, a.cause) for a in record.attempts] == [
        (1, "sip:198.51.100.7:5060", "no_reply"),
        (2, "sip:198.51.100.8:5060", "normal"),
    ]
    assert record.cause == "normal"
    assert sbc.idle()


@pytest.mark.parametrize("first_gets_an_offer", [True, False])
def test_a_call_without_an_offer_goes_on_to_a_carrier_that_takes_it_otherwise(world, first_gets_an_offer):
    """One carrier never gets an INVITE without an offer; the other one is asked for one."""
    convert = {"carrier" if first_gets_an_offer else "spare": {"delayed_offer": "convert"}}
    sbc = world(TWO_CARRIERS, peers=convert)
    office, first = sbc.office(), sbc.carrier()
    second = sbc.phone("second.carrier.net", "198.51.100.8:5060", through=OUTSIDE)
    office.invites(FAR, sdp=False)
    first.refuses(503)
    second.answers()
    assert [bool(phone.last("INVITE").body) for phone in (first, second)] == [
        first_gets_an_offer,
        not first_gets_an_offer,
    ]
    assert sbc.hears(office, second)
    assert sbc.hears(second, office)
    office.hangs_up()
    assert sbc.idle()


def test_a_first_server_that_wakes_up_late_is_cancelled(world):
    sbc, office, first, second = two(world)
    first.ignores()
    office.invites(FAR)
    sbc.run(4.5)
    second.rings()
    first.wakes()
    sbc.run(5.0)
    assert first.got("INVITE", "CANCEL")
    second.answers()
    assert second.is_talking
    office.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_a_200_of_the_given_up_server_is_acked_and_byed(world):
    sbc, office, first, second = two(world)
    office.invites(FAR)
    with sbc.net.holding(first.agent):
        first.answers()
        sbc.run(25.0)
        second.answers()
    sbc.run(1.0)
    if not second.is_talking:
        pytest.fail("the hunt did not go on")
    assert first.got("INVITE", "ACK", "BYE")
    assert sbc.hears(office, second)
    office.hangs_up()
    assert sbc.idle()


@pytest.mark.parametrize("status", [403, 408, 500, 502, 503, 504])
def test_a_first_server_that_refuses_like_this_is_left(world, status):
    sbc, office, first, second = two(world)
    office.invites(FAR)
    first.refuses(status, fields=(("Retry-After", "60"),))
    second.answers()
    assert office.got(200)
    assert not office.got(status)
    assert b"Retry-After" not in b"".join(sbc.net.sent_to(office.name))
    second.hangs_up()
    assert [a.sip_status for a in sbc.cdr.only.attempts] == [status, 200]
    assert sbc.idle()


@pytest.mark.parametrize("status", [404, 480, 484, 486, 488, 600, 603])
def test_a_first_server_that_refuses_like_this_ends_the_hunt(world, status):
    sbc, office, first, second = two(world)
    office.invites(FAR)
    first.refuses(status)
    assert office.got(status)
    assert second.heard == []
    assert len(sbc.cdr.only.attempts) == 1
    assert sbc.idle()


@pytest.mark.parametrize(("q850", "goes_on"), [(17, False), (1, False), (34, True), (38, True)])
def test_a_q850_reason_overrides_the_status(world, q850, goes_on):
    sbc, office, first, second = two(world)
    office.invites(FAR)
    first.refuses(486 if goes_on else 503, fields=(("Reason", f"Q.850;cause={q850}"),))
    assert bool(second.heard) is goes_on
    if goes_on:
        second.refuses(486)
    assert len(sbc.cdr.only.attempts) == 1 + goes_on
    assert sbc.idle()


def test_the_hunt_stops_once_it_has_rung(world):
    sbc, office, first, second = two(world)
    office.invites(FAR)
    first.rings()
    first.refuses(503)
    assert office.got(180, 503)
    assert second.heard == []
    assert sbc.idle()


def test_all_servers_refuse(world):
    sbc, office, first, second = two(world)
    office.invites(FAR)
    first.refuses(503)
    second.refuses(500)
    assert office.got(500)
    record = sbc.cdr.only
    assert (record.cause, record.sip_status, record.ended_by) == ("failed", 500, "callee")
    assert [a.sip_status for a in record.attempts] == [503, 500]
    assert sbc.idle()


def test_the_second_carrier_gets_numbers_in_its_own_form(world):
    sbc, office, first, second = two(world, TWO_CARRIERS)
    office.invites(FAR)
    first.refuses(503)
    assert first.call.called == FAR
    assert second.call.called == FAR[1:]
    assert second.call.call_id != first.call.call_id
    second.answers()
    office.hangs_up()
    record = sbc.cdr.only
    assert (record.egress, record.called_as_sent) == ("spare", FAR[1:])
    assert [a.peer for a in record.attempts] == ["carrier", "spare"]
    assert sbc.idle()


def test_cancel_during_the_hunt_reaches_the_one_that_is_tried(world):
    sbc, office, first, second = two(world)
    office.invites(FAR)
    first.refuses(503)
    office.cancels()
    assert second.got("INVITE", "CANCEL")
    assert office.got(487)
    assert sbc.cdr.only.cause == "cancelled"
    assert sbc.idle()


def test_a_server_on_tcp_that_refuses_connections_is_left_at_once(world):
    sbc, office, _first, second = two(
        world, TWO_SERVERS.replace("sip:198.51.100.7:5060", "sip:198.51.100.7:5060;transport=tcp")
    )
    office.invites(FAR)
    sbc.run(0.5)
    assert second.got("INVITE")
    second.answers()
    office.hangs_up()
    assert [a.cause for a in sbc.cdr.only.attempts] == ["unreachable", "normal"]
    assert sbc.idle()
