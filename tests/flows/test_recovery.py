"""Signalling dies, at any moment, and lives again: calls that are up go on, from either side, to their one record."""

import pytest

from sbc.b2bua import journal
from sbc.b2bua.events import HangUpOrdered
from sbc.core.address import Transport
from sbc.sdp import Direction
from sbc.testing.world import CARRIER, FAR, OFFICE, POLICY, read_policy

OVER_TCP = POLICY.replace(f"sip:{CARRIER}", f"sip:{CARRIER};transport=tcp").replace(
    f"sip:{OFFICE}", f"sip:{OFFICE};transport=tcp"
)
CAPPED = POLICY.replace('servers: ["sip:198.51.100.7:5060"]', 'servers: ["sip:198.51.100.7:5060"], call_paths: 1')


def talking(world, policy=POLICY, **options):
    sbc = world(policy)
    office, carrier = sbc.office(**options), sbc.carrier(**options)
    office.invites(FAR)
    carrier.answers()
    sbc.run(1.0)
    return sbc, office, carrier


def dies_and_lives(sbc, *, after=1.0, **options):
    sbc.signalling_dies()
    sbc.signalling_lives(after=after, **options)


def revived(sbc):
    if sbc.lives.is_dead:
        sbc.signalling_lives(after=0.3)


def ends(sbc, *, cause="normal"):
    """One record, and nothing is left."""
    assert sbc.cdr.only.cause == cause
    assert sbc.idle()
    return sbc.cdr.only


# --- calls that are up ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["office", "carrier"])
def test_a_call_goes_on_and_is_held_resumed_and_ended_from_either_side(world, who):
    sbc, office, carrier = talking(world)
    one, other = (office, carrier) if who == "office" else (carrier, office)
    dies_and_lives(sbc)
    assert sbc.hears(office, carrier)
    assert sbc.hears(carrier, office)
    one.holds()
    assert (one.direction, other.direction) == (Direction.RECVONLY, Direction.SENDONLY)
    one.resumes()
    assert (one.direction, other.direction) == (Direction.SENDRECV, Direction.SENDRECV)
    assert sbc.hears(office, carrier)
    assert sbc.hears(carrier, office)
    one.hangs_up()
    assert other.got("BYE")
    record = ends(sbc)
    assert record.ended_by == ("caller" if who == "office" else "callee")


def test_the_record_has_the_whole_life_of_the_call(world):
    sbc, office, _ = talking(world)
    sbc.run(60.0)
    dies_and_lives(sbc, after=30.0)
    sbc.run(60.0)
    office.hangs_up()
    record = ends(sbc)
    assert record.billable_ms == pytest.approx(151_000, abs=1500)
    assert (record.egress, record.route, record.called) == ("carrier", "outbound", FAR)
    assert [attempt.sip_status for attempt in record.attempts] == [200]


@pytest.mark.parametrize("deaths", [2, 5])
def test_it_may_die_again_and_again(world, deaths):
    sbc, office, carrier = talking(world)
    for n in range(deaths):
        dies_and_lives(sbc, after=2.0)
        (office if n % 2 else carrier).holds()
        (office if n % 2 else carrier).resumes()
    carrier.hangs_up()
    ends(sbc)


def test_a_call_that_was_on_hold_is_on_hold(world):
    sbc, office, carrier = talking(world)
    office.holds()
    dies_and_lives(sbc)
    assert (office.direction, carrier.direction) == (Direction.RECVONLY, Direction.SENDONLY)
    office.resumes()
    assert (office.direction, carrier.direction) == (Direction.SENDRECV, Direction.SENDRECV)
    assert sbc.hears(carrier, office)
    carrier.hangs_up()
    ends(sbc)


def test_over_tcp_requests_go_by_a_new_connection(world):
    sbc = world(OVER_TCP)
    office, carrier = sbc.office(transport=Transport.TCP), sbc.carrier(transport=Transport.TCP)
    office.invites(FAR)
    carrier.answers()
    dies_and_lives(sbc)
    carrier.holds()
    carrier.resumes()
    office.hangs_up()
    ends(sbc)


def test_paths_are_held_again(world):
    sbc, office, carrier = talking(world, CAPPED)
    first = office.call
    dies_and_lives(sbc)
    office.invites(FAR)
    assert office.call.status == 503
    office.hangs_up(call=first)
    sbc.run(1.0)
    office.invites(FAR)
    carrier.answers()
    assert office.call.stage == "talking"
    office.hangs_up()
    assert [record.cause for record in sbc.cdr] == ["paths_full", "normal", "normal"]
    assert sbc.idle()


def test_an_operator_sees_and_ends_it(world):
    sbc, office, carrier = talking(world)
    [before] = sbc.switch.snapshot(sbc.now).calls
    dies_and_lives(sbc)
    [after] = sbc.switch.snapshot(sbc.now).calls
    assert (after.ref, after.state, after.ingress, after.egress, after.caller, after.called, after.route) == (
        before.ref, "answered", "office", "carrier", before.caller, before.called, "outbound"
    )  # fmt: skip
    assert after.started_at == pytest.approx(before.started_at)
    assert after.answered_at == pytest.approx(before.answered_at)
    sbc.tell(HangUpOrdered(after.ref))
    assert office.got("BYE")
    assert carrier.got("BYE")
    ends(sbc, cause="operator")


def test_session_timers_go_on_in_elapsed_time(world):
    sbc, office, carrier = talking(world)
    sbc.run(600.0)
    dies_and_lives(sbc, after=20.0)
    sbc.run(7200.0)
    assert office.call.stage == carrier.call.stage == "talking"
    assert sbc.switch.snapshot(sbc.now).calls
    office.hangs_up()
    ends(sbc)


def test_the_longest_call_is_not_longer_for_it(world):
    policy = POLICY.replace("dids: [", "limits: {max_duration: 10m}, dids: [")
    sbc, office, _ = talking(world, policy)
    sbc.run(400.0)
    dies_and_lives(sbc, after=10.0)
    sbc.run(180.0)
    assert office.call.stage == "talking"
    sbc.run(12.0)
    assert office.call.stage == "ended"
    ends(sbc, cause="rate_limited")


# --- in the middle of something ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", range(1, 20))
def test_it_dies_after_any_command_of_a_call(world, after):
    """Whoever heard that the call is up has a call; nobody rings or talks for ever; there is one record."""
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    carrier.script.rings = 180
    sbc.signalling_dies(after=after)
    office.invites(FAR)
    sbc.run(1.0)
    revived(sbc)
    if any(party.stage == "ringing" for party in carrier.agent.parties):
        carrier.answers()
        revived(sbc)
    sbc.run(40.0)
    revived(sbc)
    sbc.lives.dies_after = None
    for phone in (office, carrier):
        for party in phone.agent.parties:
            if party.stage == "talking":
                phone.hangs_up(call=party)
    assert sbc.idle()
    assert len(sbc.cdr) == 1
    assert len(carrier.agent.parties) <= 1


@pytest.mark.parametrize("after", range(14))
@pytest.mark.parametrize("who", ["office", "carrier"])
def test_it_dies_after_any_command_of_a_hold(world, who, after):
    sbc, office, carrier = talking(world)
    one, other = (office, carrier) if who == "office" else (carrier, office)
    sbc.signalling_dies(after=after)
    one.holds()
    sbc.run(1.0)
    if not sbc.lives.is_dead:
        sbc.signalling_dies()
    sbc.signalling_lives(after=0.3)
    sbc.run(40.0)
    assert (one.call.stage, other.call.stage) == ("talking", "talking")
    one.resumes()
    assert (one.direction, other.direction) == (Direction.SENDRECV, Direction.SENDRECV)
    assert sbc.hears(office, carrier)
    assert sbc.hears(carrier, office)
    other.hangs_up()
    ends(sbc)


@pytest.mark.parametrize("after", range(12))
@pytest.mark.parametrize("who", ["office", "carrier"])
def test_it_dies_after_any_command_of_a_goodbye(world, who, after):
    sbc, office, carrier = talking(world)
    one, other = (office, carrier) if who == "office" else (carrier, office)
    sbc.signalling_dies(after=after)
    one.hangs_up()
    sbc.run(1.0)
    if sbc.lives.is_dead:
        sbc.signalling_lives(after=0.3)
    sbc.run(40.0)
    assert (one.call.stage, other.call.stage) == ("ended", "ended")
    if sbc.lives.is_dead:
        sbc.signalling_lives()
    ends(sbc)


# --- what cannot be read ----------------------------------------------------------------------------------------------


def test_a_value_that_cannot_be_read_ends_its_own_call(world):
    sbc, office, carrier = talking(world)
    office.invites(FAR)
    carrier.answers()
    keys = [key for key in sbc.kept if key.startswith(journal.PREFIX)]
    assert len(keys) == 2
    sbc.signalling_dies()
    sbc.kept.put(keys[0], b"\xff of another age", sbc.now)
    sbc.signalling_lives()
    assert [call.ref for call in sbc.switch.snapshot(sbc.now).calls] == [keys[1].removeprefix(journal.PREFIX)]
    assert [log.event for log in sbc.logs if log.level == "error"] == ["call.not_recovered"]
    assert keys[0] not in sbc.kept
    for party in office.agent.parties:
        office.hangs_up(call=party)
    [lost] = [party for party in carrier.agent.parties if party.stage == "talking"]
    carrier.hangs_up(call=lost)
    assert sbc.idle(but=["errors"])


def test_a_policy_without_its_peer_ends_a_call_cleanly(world):
    spare = POLICY.replace("routes:\n", "  spare: {interface: outside, servers: ['sip:198.51.100.8:5060']}\nroutes:\n")
    sbc, office, carrier = talking(world, spare.replace("via: [carrier]", "via: [carrier]"))
    policy = read_policy(
        spare.replace("  carrier: {", "  other: {")
        .replace("via: [carrier]", "via: [other]")
        .replace("from: carrier", "from: other")
        .replace("198.51.100.7", "198.51.100.9")
    )
    dies_and_lives(sbc, policy=policy)
    assert office.got("BYE")
    assert carrier.got("BYE")
    ends(sbc, cause="failed")


def test_a_hold_that_was_cut_off_and_that_nobody_repeats_is_undone_for_both(world):
    """The carrier believes in it, who wanted it was refused and leaves it at that: both are asked what holds."""
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    office.script.retries_glare = False
    with sbc.net.holding(office.agent):
        sbc.signalling_dies(after=3)  # the carrier has heard of the hold
        office.holds()
    assert b"a=sendonly" in carrier.last("INVITE").body
    sbc.signalling_lives(after=0.5)
    sbc.run(30.0)
    assert b"a=sendonly" not in carrier.last("INVITE").body
    assert office.got("INVITE")
    office.hangs_up()
    assert sbc.idle()


# --- the death of everything ------------------------------------------------------------------------------------------


def test_a_call_whose_end_no_disk_has_is_asked_for_and_ends(world):
    """It holds a call path, and nobody else would notice for hours."""
    sbc, office, carrier = talking(world, CAPPED)
    sbc.run(1.0)
    office.hangs_up()
    sbc.run(0.05)
    sbc.everything_dies(late=0.2)
    sbc.signalling_lives(after=2.0)
    assert [call.state for call in sbc.switch.snapshot(sbc.now).calls] == ["answered"]
    sbc.run(12.0)
    assert sbc.switch.snapshot(sbc.now).calls == ()
    office.invites(FAR)
    carrier.answers()
    office.hangs_up()
    assert sbc.idle(but=["complaints"])


def test_calls_that_are_there_stay_when_they_are_asked(world):
    sbc, office, carrier = talking(world)
    sbc.everything_dies()
    sbc.signalling_lives(after=2.0)
    sbc.run(30.0)
    assert office.call.stage == carrier.call.stage == "talking"
    assert sbc.hears(office, carrier)
    assert sbc.hears(carrier, office)
    carrier.hangs_up()
    ends(sbc)


def test_no_version_of_a_description_is_used_twice_where_a_power_cut_takes_a_hold(world):
    """The carrier has been told to hold by a version that no disk has; the resume must not come by the same one."""
    sbc, office, carrier = talking(world)
    sbc.run(1.0)
    office.holds()
    held = version_told(sbc, carrier)
    sbc.everything_dies(late=0.2)
    sbc.signalling_lives(after=2.0)
    sbc.run(12.0)
    assert version_told(sbc, carrier) > held
    office.hangs_up()
    assert sbc.idle(but=["complaints"])


def version_told(sbc, phone):
    """Of the description that this phone was sent last."""
    told = [data for data in sbc.net.sent_to(phone.name) if b"\r\no=- " in data]
    return int(told[-1].partition(b"\r\no=- ")[2].split()[1])
