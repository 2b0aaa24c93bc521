"""Carriers that die in every way: the second trunk rings in time, nobody is left ringing, nothing is billed twice."""

import pytest

from sbc.testing.world import FAR, OUTSIDE, POLICY

WATCH = "health: {options: 30s, retry: 5s, timeout: 4s, fall: 3, rise: 2}"


def two_carriers(*, first="", second="", outbound=""):
    """`carrier` and `spare`, with more keys in each and in the outbound route."""
    return (
        POLICY.replace('servers: ["sip:198.51.100.7:5060"]', f'servers: ["sip:198.51.100.7:5060"]{first}')
        .replace(
            "routes:\n",
            f"  spare: {{interface: outside, servers: ['sip:198.51.100.8:5060']{second}}}\nroutes:\n",
        )
        .replace("via: [carrier]", f"via: [carrier, spare]{outbound}")
    )


def three(world, policy):
    sbc = world(policy)
    return sbc, sbc.office(), sbc.carrier(), sbc.phone("second.carrier.net", "198.51.100.8:5060", through=OUTSIDE)


def ring_time(sbc, phone, *, at_most):
    """When the phone heard its INVITE, after now."""
    begun = sbc.now
    phone.waits_for("INVITE", at_most=at_most)
    return sbc.now - begun


def finish(sbc, office, second):
    second.answers()
    assert second.is_talking
    assert [heard for heard in office.heard if heard == "200 INVITE"] == ["200 INVITE"]
    office.hangs_up()
    record = sbc.cdr.only
    assert (record.cause, record.egress) == ("normal", "spare")
    assert not [view for view in sbc.switch.snapshot(sbc.now).paths if view.used]
    return record


def test_silence(world):
    sbc, office, first, second = three(world, two_carriers(first=", no_reply: 2s"))
    first.ignores()
    office.invites(FAR)
    assert ring_time(sbc, second, at_most=2.2) > 1.9
    record = finish(sbc, office, second)
    assert [attempt.cause for attempt in record.attempts] == ["no_reply", "normal"]
    assert sbc.idle()


def test_a_port_that_is_closed(world):
    sbc, office, first, second = three(world, two_carriers())
    first.dies()
    office.invites(FAR)
    ring_time(sbc, second, at_most=0.1)
    assert [attempt.cause for attempt in finish(sbc, office, second).attempts] == ["unreachable", "normal"]
    assert sbc.idle()


@pytest.mark.parametrize("fields", [(), (("Retry-After", "30"),)])
def test_a_503(world, fields):
    sbc, office, first, second = three(world, two_carriers())
    office.invites(FAR)
    first.refuses(503, fields=fields)
    ring_time(sbc, second, at_most=0.1)
    assert [attempt.sip_status for attempt in finish(sbc, office, second).attempts] == [503, 200]
    assert sbc.idle()


@pytest.mark.parametrize("value", ["\N{SUPERSCRIPT TWO}", "3\N{SUPERSCRIPT TWO}", "9" * 400, "-1", "", ";"])
def test_a_503_whose_retry_after_is_no_number_is_a_503(world, value):
    sbc, office, first, second = three(world, two_carriers())
    office.invites(FAR)
    first.refuses(503, fields=(("Retry-After", value),))
    ring_time(sbc, second, at_most=0.1)
    assert [attempt.sip_status for attempt in finish(sbc, office, second).attempts] == [503, 200]
    assert sbc.idle()


def test_100_and_then_silence(world):
    sbc, office, first, second = three(world, two_carriers(first=", no_progress: 3s"))
    office.invites(FAR)
    assert ring_time(sbc, second, at_most=3.2) > 2.9
    assert first.got("INVITE", "CANCEL")
    finish(sbc, office, second)
    assert sbc.idle()


def test_an_answer_that_crosses_the_cancel_is_ended_at_once(world):
    sbc, office, first, second = three(world, two_carriers(first=", no_progress: 3s, call_paths: 1"))
    office.invites(FAR)
    with sbc.net.holding(first.agent):
        first.answers()
        sbc.run(3.1)
    sbc.run(0.5)
    assert first.got("INVITE", "ACK", "BYE")
    finish(sbc, office, second)
    assert sbc.idle()


def test_a_path_stays_taken_until_the_cancelled_carrier_has_said_its_last_word(world):
    sbc, office, first, second = three(world, two_carriers(first=", no_progress: 3s, call_paths: 1"))
    first.ignores("CANCEL")
    office.invites(FAR)
    second.waits_for("INVITE", at_most=3.2)

    def used():
        return {view.trunk: view.used for view in sbc.switch.snapshot(sbc.now).paths}

    assert used() == {"carrier": 1, "spare": 1}
    first.wakes()
    sbc.run(5.0)
    assert used() == {"carrier": 0, "spare": 1}
    finish(sbc, office, second)
    assert sbc.idle()


def test_the_last_one_left_has_timer_b(world):
    sbc, office, first, second = three(world, two_carriers(first=f", no_reply: 2s, {WATCH}", second=f", {WATCH}"))
    second.ignores()
    sbc.run(60.0)  # its probes find it down
    first.ignores("INVITE")
    office.invites(FAR)
    sbc.run(31.0)
    assert not office.got(408)
    sbc.run(2.0)
    assert office.got(408)
    assert [attempt.peer for attempt in sbc.cdr.only.attempts] == ["carrier"]
    second.wakes()
    assert sbc.idle()


def test_a_carrier_that_is_known_to_be_down_is_passed_over_at_once(world):
    sbc, office, first, second = three(world, two_carriers(first=f", {WATCH}", second=f", {WATCH}"))
    first.ignores()
    sbc.run(60.0)
    office.invites(FAR)
    ring_time(sbc, second, at_most=0.1)
    assert [attempt.peer for attempt in finish(sbc, office, second).attempts] == ["spare"]
    first.wakes()
    sbc.run(30.0)
    office.invites(FAR)
    ring_time(sbc, first, at_most=0.1)
    first.answers()
    office.hangs_up()
    assert sbc.idle()


def test_every_carrier_down_is_said_at_once(world):
    sbc, office, first, second = three(world, two_carriers(first=f", {WATCH}", second=f", {WATCH}"))
    first.ignores()
    second.ignores()
    sbc.run(60.0)
    office.invites(FAR)
    assert office.got(503)
    record = sbc.cdr.only
    assert (record.cause, record.egress, record.attempts) == ("unreachable", "carrier", ())
    assert b"Retry-After" not in b"".join(sbc.net.sent_to(office.name))
    first.wakes()
    second.wakes()
    assert sbc.idle()


def test_calls_in_progress_do_not_notice(world):
    sbc, office, first, _second = three(world, two_carriers(first=f", {WATCH}"))
    office.invites(FAR)
    first.answers()
    first.ignores("OPTIONS")
    sbc.run(120.0)
    assert not sbc.switch.relations.health.is_peer_usable("carrier")
    assert first.is_talking
    assert sbc.hears(office, first)
    office.hangs_up()
    first.wakes()
    assert sbc.idle()


def test_a_route_may_go_on_after_busy_and_stop_at_503(world):
    policy = two_carriers(outbound=", continue_on: [486], stop_on: [503]")
    sbc, office, first, second = three(world, policy)
    office.invites(FAR)
    first.refuses(486)
    second.refuses(486)
    assert office.got(486)
    office.invites(FAR)
    first.refuses(503)
    assert office.got(503)
    assert [len(record.attempts) for record in sbc.cdr] == [2, 1]
    assert sbc.idle()


def test_weights_spread_the_calls(world):
    policy = two_carriers().replace(
        "via: [carrier, spare]", "via: [{to: carrier, weight: 30}, {to: spare, weight: 70}]"
    )
    sbc, office, first, second = three(world, policy)
    for phone in (first, second):
        phone.answers_by_itself(after=0.1, rings=None, hangs_up_after=0.1)
    for _ in range(100):
        office.invites(FAR)
        sbc.run(1.0)
    share = sum(record.egress == "spare" for record in sbc.cdr)
    assert 55 <= share <= 85
    assert sbc.idle()


def test_the_other_server_of_a_full_trunk_is_tried_with_the_path_that_the_call_has(world):
    """The first says 100 and no more, and does not even end what was cancelled."""
    policy = POLICY.replace(
        '["sip:198.51.100.7:5060"]',
        '["sip:198.51.100.7:5060", "sip:198.51.100.8:5060"], call_paths: 1, no_progress: 3s',
    )
    sbc, office, first, second = three(world, policy)
    first.ignores("CANCEL")
    office.invites(FAR)
    second.waits_for("INVITE", at_most=3.2)
    assert {view.trunk: view.used for view in sbc.switch.snapshot(sbc.now).paths} == {"carrier": 1}
    second.answers()
    first.wakes()
    office.hangs_up()
    assert [(attempt.peer, attempt.cause) for attempt in sbc.cdr.only.attempts] == [
        ("carrier", "no_reply"),
        ("carrier", "normal"),
    ]
    assert sbc.idle()
