"""What is known of peers outlives signalling: who is dead, has asked for peace, is registered, is banned."""

import itertools

import pytest

from sbc.b2bua.events import BanOrdered, BusyOutOrdered, ClockSet, LiftOrdered
from sbc.core.address import Transport
from sbc.core.commands import StoreState
from sbc.peering.registration import SPREAD
from sbc.testing.names import Names
from sbc.testing.world import FAR, WALL_AT_ZERO

from .test_bans import bans
from .test_dead_trunks import WATCH, three, two_carriers
from .test_limits import limited
from .test_registrar import AOR as PBX_AOR
from .test_registrar import Story as PbxStory
from .test_registration import AOR, Story, policy

WATCHED = two_carriers(first=f", {WATCH}")


def peer(sbc, name="carrier"):
    return next(view for view in sbc.switch.snapshot(sbc.now).peers if view.name == name)


def servers(sbc):
    return [(server.state, server.since) for server in peer(sbc).servers]


def goes_to_the_second(sbc, office, second):
    begun = sbc.now
    office.invites(FAR)
    second.waits_for("INVITE", at_most=0.1)
    second.answers()
    office.hangs_up()
    assert sbc.cdr[-1].egress == "spare"
    assert [attempt.peer for attempt in sbc.cdr[-1].attempts] == ["spare"]
    assert sbc.now - begun < 1.0


# --- health -----------------------------------------------------------------------------------------------------------


def test_a_dead_trunk_stays_dead_and_comes_back_when_it_answers(world):
    sbc, office, first, second = three(world, WATCHED)
    sbc.run(40.0)
    first.dies()
    sbc.run(90.0)
    before = peer(sbc)
    assert before.state == "down"
    for _ in range(3):
        sbc.signalling_lives(after=2.0)
        assert (peer(sbc).state, peer(sbc).since, servers(sbc)) == ("down", before.since, [("down", before.since)])
        goes_to_the_second(sbc, office, second)
        sbc.run(33.0)
    said = [log for log in sbc.logs if log.event == "peer.down"]
    assert len(said) == 4  # whoever looks at the alarms of a new life sees it
    first.revives()
    sbc.run(20.0)
    assert peer(sbc).state == "up"
    sbc.signalling_lives(after=2.0)
    assert peer(sbc).state == "up"
    assert sbc.idle()


def test_the_failures_of_a_trunk_are_counted_over_a_death(world):
    """Three in a row take it down: two before, one after."""
    sbc, _, first, _ = three(world, WATCHED)
    sbc.run(40.0)
    first.dies()
    assert sbc.net.run_while(
        lambda: b"failures\x02" not in sbc.kept["health/carrier/udp/198.51.100.7:5060"], at_most=90
    )
    assert peer(sbc).state == "up"
    sbc.signalling_lives()
    sbc.run(5.5)
    assert peer(sbc).state == "down"
    assert sbc.idle()


def test_a_trunk_that_has_asked_for_peace_has_it_until_its_time_is_over(world):
    sbc, office, first, second = three(world, two_carriers(first=f", {WATCH}"))
    sbc.run(40.0)
    office.invites(FAR)
    first.refuses(503, fields=(("Retry-After", "60"),))
    second.answers()
    [(_, asked_at)] = servers(sbc)
    office.hangs_up()
    assert servers(sbc) == [("suspended", asked_at)]
    sbc.run(20.0)
    sbc.signalling_lives(after=5.0)
    assert servers(sbc) == [("suspended", asked_at)]
    goes_to_the_second(sbc, office, second)
    sbc.run(asked_at + 59.0 - sbc.now)
    assert peer(sbc).state == "down"
    sbc.run(1.5)
    assert peer(sbc).state == "up"
    assert sbc.idle()


def test_peace_that_was_over_while_nobody_lived_is_over(world):
    sbc, office, first, second = three(world, two_carriers(first=f", {WATCH}"))
    sbc.run(40.0)
    office.invites(FAR)
    first.refuses(503, fields=(("Retry-After", "60"),))
    second.answers()
    office.hangs_up()
    sbc.signalling_dies()
    sbc.signalling_lives(after=70.0)
    sbc.run(1.0)
    assert peer(sbc).state == "up"
    assert sbc.idle()


@pytest.mark.parametrize("health", ["passive", "off"])
def test_a_policy_that_watches_otherwise_after_the_restart_leaves_nobody_dead_for_ever(world, health):
    sbc, _, first, _ = three(world, WATCHED)
    sbc.run(40.0)
    first.dies()
    sbc.run(90.0)
    sbc.signalling_dies()
    first.revives()
    sbc.signalling_lives(two_carriers(first=f", health: {health}"))
    sbc.run(10.0)
    assert peer(sbc).state == "up"
    assert sbc.idle()


def test_what_is_known_of_a_trunk_that_is_gone_is_forgotten(world):
    sbc, _, first, _ = three(world, WATCHED)
    sbc.run(40.0)
    first.dies()
    sbc.run(90.0)
    sbc.signalling_lives(WATCHED.replace("198.51.100.7", "198.51.100.9"))
    assert peer(sbc).state == "up"
    sbc.run(90.0)
    assert not [key for key in sbc.kept if "198.51.100.7" in key]
    sbc.signalling_lives(WATCHED.replace("carrier", "other"))
    assert not [key for key in sbc.kept if key.startswith("health/carrier")]
    assert sbc.idle()


@pytest.mark.parametrize("value", [b"", b"\xff", b"\x81\xa5state\xa4dead", b"\x80"])
def test_what_was_kept_of_a_trunk_and_cannot_be_read_is_as_new(world, value):
    sbc = world(WATCHED, kept={"health/carrier/udp/198.51.100.7:5060": value, "health/": value, "health/x/y": value})
    sbc.carrier()
    assert [state for state, _ in servers(sbc)] == ["unknown"]
    sbc.run(40.0)
    assert peer(sbc).state == "up"
    assert not [key for key in sbc.kept if key in ("health/", "health/x/y")]
    assert sbc.idle()


def test_a_trunk_that_is_well_is_not_written_down_again_and_again(world):
    sbc, _, _, _ = three(world, WATCHED)
    sbc.run(40.0)
    commands = []
    perform = sbc.host.perform
    sbc.host.perform = lambda some, now: (commands.extend(some), perform(some, now))[1]
    sbc.run(3_600.0)
    assert [one for one in commands if isinstance(one, StoreState)] == []
    assert sbc.idle()


# --- registrations ----------------------------------------------------------------------------------------------------


def test_a_restart_is_no_storm_of_registers(world):
    story = Story(world).run(1.0)
    for _ in range(10):
        story.sbc.signalling_lives(after=1.0)
        story.run(5.0)
    assert story.state == "registered"
    assert [one.status for one in story.registrar.registers] == [200]
    story.run(1_200.0)
    times = [one.at for one in story.registrar.registers]
    assert all(480.0 <= after - before <= 540.0 for before, after in itertools.pairwise(times))
    story.ends()


def test_a_binding_that_runs_out_soon_is_refreshed_in_time(world):
    story = Story(world).run(1.0)
    story.sbc.signalling_dies()
    story.sbc.signalling_lives(after=580.0)
    assert story.state == "registered"
    story.run(SPREAD)
    assert len(story.registrar.registers) == 2
    assert story.is_bound()


def test_a_binding_that_has_run_out_meanwhile_is_made_anew_at_once(world):
    story = Story(world).run(1.0)
    story.sbc.signalling_dies()
    story.sbc.signalling_lives(after=700.0)
    story.run(0.1)
    assert [one.status for one in story.registrar.registers] == [200, 200]
    assert story.state == "registered"


def test_whose_connection_has_gone_registers_by_a_new_one_soon(world):
    story = Story(world, policy(servers="'sip:198.51.100.7:5060;transport=tcp'"), transport=Transport.TCP).run(10.0)
    story.sbc.signalling_lives(after=0.5)
    assert story.state == "registered"
    story.run(SPREAD + 0.1)
    assert [one.status for one in story.registrar.registers] == [200, 200]
    story.ends()


def test_a_trunk_that_is_rejected_is_asked_when_its_time_comes_and_gets_no_calls_before(world):
    story = Story(world)
    story.registrar.rejects(403)
    story.run(5.0)
    assert story.state == "rejected"
    count = len(story.registers_to())
    story.sbc.signalling_lives(after=2.0)
    assert (story.state, peer(story.sbc).state) == ("rejected", "excluded")
    assert story.alarms()[-1] == "registration.rejected"
    story.run(500.0)
    assert len(story.registers_to()) == count
    story.run(120.0)
    assert len(story.registers_to()) > count


def test_whom_nobody_answers_is_not_asked_more_often_because_of_deaths(world):
    story = Story(world)
    story.carrier.dies()
    story.run(300.0)
    assert story.state == "failing"
    for _ in range(10):
        story.sbc.signalling_lives(after=1.0)
        assert story.state == "failing"
    story.carrier.revives()
    story.run(600.0)
    assert story.state == "registered"


@pytest.mark.parametrize(
    "changed",
    [
        policy(register=", keepalive: 20s"),
        policy().replace("outside: {", "outside: {advertise: {sip: 203.0.113.77}, "),
        policy(servers="'sip:198.51.100.7:5062'"),
    ],
    ids=["register", "advertise", "server"],
)
def test_what_is_registered_otherwise_after_the_restart_is_registered_at_once(world, changed):
    story = Story(world).run(1.0)
    story.sbc.signalling_lives(changed)
    story.run(0.1)
    assert [
        log for log in story.sbc.logs if log.event == "registration.kept" and ("trunk", "carrier") in log.fields
    ] == []
    assert len(story.registers_to()) == 2 or story.state == "failing"


def test_a_registrar_that_is_found_by_name_is_not_asked_again_only_because_the_name_is(world):
    names = Names({"sip.carrier.example": ["198.51.100.7"]})
    story = Story(world, policy(servers="'sip:sip.carrier.example'"), names=names).run(1.0)
    story.sbc.signalling_lives(after=1.0)
    story.run(10.0)
    assert story.state == "registered"
    assert len(story.registrar.registers) == 1


@pytest.mark.parametrize("value", [b"", b"\xff", b"\x80", b"\x81\xa5state\xa4dead"])
def test_a_registration_that_was_kept_and_cannot_be_read_is_made_anew(world, value):
    story = Story(world, kept={"registered/carrier": value, "registered/gone": value}).run(1.0)
    assert story.state == "registered"
    assert "registered/gone" not in story.sbc.kept
    assert story.is_bound()
    assert story.registrar.contacts(AOR, story.sbc.now)
    story.ends()


# --- minutes ----------------------------------------------------------------------------------------------------------


def test_the_minutes_of_a_day_are_spent_however_often_signalling_dies(world):
    """A call of three minutes, killed every four seconds: its minutes are spent."""
    sbc = world(limited("minutes_per_day: 3"))
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    for _ in range(50):
        sbc.run(3.9)
        sbc.signalling_lives(after=0.1)
    (usage,) = sbc.switch.snapshot(sbc.now).limits
    assert usage.minutes_today == pytest.approx(200.0 / 60, abs=0.01)
    office.hangs_up()
    sbc.run(5.0)
    office.invites(FAR)
    assert office.got(503)
    assert sbc.cdr[-1].cause == "rate_limited"
    assert sbc.idle()


# --- bindings, bans, orders -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [-3_600.0, 3_600.0])
def test_no_step_of_the_wall_clock_before_a_death_loses_a_binding_or_lifts_a_ban(world, step):
    story = PbxStory(world)
    story.pbx.registers(PBX_AOR, expires=600)
    story.sbc.tell(BanOrdered("192.0.2.70", 1_800.0, ""))
    (binding,) = story.bindings()
    story.sbc.tell(ClockSet(WALL_AT_ZERO + step))
    story.sbc.run(1.0)
    story.sbc.signalling_lives(after=1.0)
    assert [one.expires_at for one in story.bindings()] == [binding.expires_at]
    assert story.is_called()
    story.sbc.run(1_700.0)
    assert bans(story.sbc) == ["192.0.2.70"]
    story.sbc.run(100.0)
    assert bans(story.sbc) == []
    assert story.sbc.idle()


def test_a_ban_that_is_lifted_stays_lifted(world):
    story = PbxStory(world)
    story.sbc.tell(BanOrdered("192.0.2.70", 1_800.0, ""))
    story.sbc.signalling_lives()
    story.sbc.tell(LiftOrdered("192.0.2.70"))
    story.sbc.signalling_lives()
    assert bans(story.sbc) == []
    assert story.sbc.idle()


def test_an_order_is_as_old_as_it_is(world):
    sbc = world()
    sbc.run(100.0)
    sbc.tell(BusyOutOrdered("carrier", on=True))
    sbc.run(100.0)
    sbc.signalling_lives(after=5.0)
    assert (peer(sbc).state, peer(sbc).since) == ("busyout", sbc.now - 105.0)
    assert sbc.idle()
