"""A trunk that registers, and registrars that restart, forget, refuse, move and are silent: whole SBC, virtual time.

The times are those that docs/explanation/trunks.md promises.
"""

import itertools

import pytest

from sbc.b2bua.events import BusyOutOrdered, DrainOrdered, DrainRevoked, PolicyChanged
from sbc.core.address import Transport
from sbc.peering.registration import Registration
from sbc.policy.load import Source, parse_policy
from sbc.sip.message import Request
from sbc.sip.parse import parse_message
from sbc.testing.names import Names
from sbc.testing.world import DID, FAR, INSIDE, OUTSIDE, POLICY, read_policy

AOR = "sip:+14155550100@carrier.example"
OTHER_AOR = "sip:+14155550101@other.example"
OTHER = (
    "  other: {interface: outside, servers: ['sip:198.51.100.20:5060'],"
    f" register: {{aor: '{OTHER_AOR}', expires: 600s, keepalive: 0s}}}}\n"
)


def policy(servers="'sip:198.51.100.7:5060'", register="", more="", trunks=OTHER):
    """The carrier of POLICY registers, and beside it another trunk that has no part in the story."""
    own = f"servers: [{servers}], register: {{aor: '{AOR}', expires: 600s{register}}}{more}"
    text = POLICY.replace('servers: ["sip:198.51.100.7:5060"]', own).replace("routes:\n", f"{trunks}routes:\n")
    return text.replace("via: [carrier]", "via: [carrier, other]" if trunks else "via: [carrier]")


class Story:
    """The world, the carrier's registrar, and the bystander's."""

    def __init__(self, world, text=None, *, transport=Transport.UDP, **options):
        self.sbc = world(text or policy(), **options)
        self.carrier = self.sbc.carrier(transport=transport)
        self.registrar = self.carrier.becomes_registrar()
        self.other = self.sbc.phone("other.carrier.net", "198.51.100.20:5060", through=OUTSIDE, user="bystander")
        self.bystander = self.other.becomes_registrar()

    def run(self, seconds):
        self.sbc.run(seconds)
        return self

    def view(self, trunk="carrier"):
        (peer,) = [p for p in self.sbc.switch.snapshot(self.sbc.now).peers if p.name == trunk]
        return peer.registration

    @property
    def state(self):
        return self.view().state

    def is_bound(self):
        return bool(self.registrar.contacts(AOR, self.sbc.now))

    def time_until(self, condition, at_most):
        start = self.sbc.now
        assert self.sbc.net.run_while(lambda: not condition(), at_most=at_most)
        took = self.sbc.now - start
        self.sbc.settle()
        return took

    def registers_to(self, phone=None):
        sent = self.sbc.net.sent_to((phone or self.carrier).name)
        messages = [parse_message(data, stream=False) for data in sent if data.strip()]  # keep-alives are empty
        return [m for m in messages if isinstance(m, Request) and m.method == "REGISTER"]

    def alarms(self):
        return [log.event for log in self.sbc.logs if ("alarm", True) in log.fields]

    def ends(self, *but):
        """The bystander has noticed nothing: it registered once, and refreshed when it was due."""
        assert self.view("other").state == "registered"
        times = [one.at for one in self.bystander.registers]
        assert {one.status for one in self.bystander.registers} == {200}
        assert all(480.0 <= after - before <= 540.0 for before, after in itertools.pairwise(times))
        assert self.sbc.idle(but=but)


def test_a_trunk_registers_and_refreshes_with_one_call_id(world):
    story = Story(world).run(1.0)
    assert story.state == "registered"
    assert story.registrar.contacts(AOR, story.sbc.now) == ["sip:+14155550100@203.0.113.1:5060"]
    story.run(3600.0)
    assert 7 <= len(story.registrar.registers) <= 9
    assert len(story.registrar.call_ids) == 1
    assert story.is_bound()
    assert story.alarms() == []
    story.ends()


def test_two_trunks_have_nothing_in_common(world):
    story = Story(world).run(2000.0)
    assert not story.registrar.call_ids & story.bystander.call_ids
    story.ends()


def test_calls_pass_both_ways_over_a_registered_trunk(world):
    story = Story(world).run(1.0)
    office = story.sbc.office()
    story.carrier.invites(DID)
    office.answers()
    office.hangs_up()
    office.invites(FAR)
    story.carrier.answers()
    story.carrier.hangs_up()
    assert [record.cause for record in story.sbc.cdr] == ["normal", "normal"]
    story.ends()


def test_a_bulk_registration_names_no_user(world):
    story = Story(world, policy(register=", gin: true")).run(1.0)
    assert story.registrar.contacts(AOR, story.sbc.now) == ["sip:203.0.113.1:5060;bnc"]
    story.ends()


# --- credentials ------------------------------------------------------------------------------------------------------

ACCOUNT = ", auth: {username: acme, password: s3cret}"


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256", "SHA-512-256"])
@pytest.mark.parametrize("status", [401, 407])
def test_a_challenged_trunk_registers_with_its_account(world, algorithm, status):
    story = Story(world, policy(more=ACCOUNT))
    door = story.carrier.challenges("acme", "s3cret", algorithm=algorithm, status=status)
    story.run(1800.0)
    assert story.state == "registered"
    assert door.challenged == door.accepted
    assert story.is_bound()
    story.ends()


def test_a_wrong_password_is_tried_once_in_ten_minutes(world):
    story = Story(world, policy(more=ACCOUNT))
    door = story.carrier.challenges("acme", "another")
    story.run(1.0)
    assert story.state == "rejected"
    assert len(door.tries) == 1
    assert story.alarms() == ["registration.rejected"]
    story.run(1799.0)
    assert len(door.tries) == 3
    assert story.alarms() == ["registration.rejected"]
    assert b"s3cret" not in b"".join(story.sbc.net.sent_to(story.carrier.name))
    story.ends("errors")


def test_a_nonce_that_is_new_each_time_ends_after_two_tries(world):
    story = Story(world, policy(more=ACCOUNT))
    door = story.carrier.challenges("acme", "s3cret", fresh=True, stale=True)
    story.run(5.0)
    assert len(door.tries) == 2
    assert story.state == "rejected"
    story.ends("errors")


# --- a registrar that restarts, forgets, rejects, moves, is silent ----------------------------------------------------


def test_a_registrar_that_forgets_is_told_again_by_the_next_refresh(world):
    story = Story(world).run(1.0)
    story.registrar.forgets()
    assert story.time_until(story.is_bound, at_most=600.0) <= 540.0
    assert story.alarms() == []
    story.ends()


def test_a_registrar_that_is_down_for_a_minute_is_registered_with_soon_after(world):
    """The keep-alive is refused, and the back-off is short as long as it is young."""
    story = Story(world).run(1.0)
    story.carrier.dies()
    story.run(60.0)
    story.registrar.forgets()
    story.carrier.revives()
    assert story.time_until(story.is_bound, at_most=100.0) <= 60.0
    assert story.alarms() == []  # the binding was good until now
    story.ends()


def test_a_registrar_that_health_sees_come_back_is_registered_with_at_once(world):
    health = ", health: {options: 10s, retry: 5s, timeout: 2s, fall: 2, rise: 2}"
    story = Story(world, policy(register=", keepalive: 0s", more=health)).run(15.0)
    story.carrier.dies(silently=True)
    story.run(60.0)
    story.registrar.forgets()
    story.carrier.revives()
    assert story.time_until(story.is_bound, at_most=100.0) <= 2 * 5.0 + 2.0
    story.ends()


def test_a_registrar_that_stays_away_is_tried_for_ever_with_one_alarm(world):
    story = Story(world).run(1.0)
    story.carrier.dies(silently=True)
    story.run(600.0)
    assert story.state == "failing"
    story.run(2 * 86_400.0)
    assert story.alarms() == ["registration.failing"]
    story.carrier.revives()
    assert story.time_until(story.is_bound, at_most=1000.0) <= 600.0
    assert [log.event for log in story.sbc.logs if log.event.startswith("registration.")][
        -1
    ] == "registration.registered"
    story.ends("errors")


@pytest.mark.parametrize(("silently", "reason"), [(False, "unreachable"), (True, "no reply")])
def test_the_alarm_for_an_expired_binding_says_why_it_was_not_refreshed(world, silently, reason):
    story = Story(world).run(1.0)
    story.carrier.dies(silently=silently)
    story.run(700.0)
    [alarm] = [log for log in story.sbc.logs if log.event == "registration.failing"]
    why = dict(alarm.fields)["why"]
    assert why.startswith("udp:198.51.100.7:5060: ")
    assert why.endswith("; the binding has expired")
    assert reason in why
    story.ends("errors")


def test_a_reason_that_has_passed_is_not_named_when_a_binding_expires(world):
    """The refresh is on its way when the binding ends; that one before failed is another story."""
    story = Story(world)
    story.registrar.longest = 16
    story.registrar.rejects(500)
    story.run(1.0)
    story.registrar.accepts()
    story.run(30.0)
    assert story.state == "registered"
    story.registrar.is_silent()
    story.run(16.0)
    assert story.view().why == "no answer to the refresh in time"
    story.ends("errors")


def test_a_spurious_403_changes_nothing(world):
    story = Story(world).run(1.0)
    story.registrar.rejects(403)
    story.time_until(lambda: len(story.registrar.registers) == 2, at_most=600.0)
    story.registrar.accepts()
    story.run(6.0)
    assert story.registrar.last.status == 200
    assert story.state == "registered"
    assert story.alarms() == []
    story.ends()


def test_a_trunk_that_is_refused_takes_no_calls_until_it_is_taken_again(world):
    story = Story(world)
    story.registrar.rejects(403)
    story.run(1.0)
    office = story.sbc.office()
    office.invites(FAR)
    story.other.answers()
    office.hangs_up()
    assert story.sbc.cdr.only.egress == "other"
    assert not story.carrier.got("INVITE")
    story.registrar.accepts()
    assert story.time_until(story.is_bound, at_most=700.0) <= 600.0
    office.invites(FAR)
    story.carrier.answers()
    office.hangs_up()
    assert story.sbc.cdr[-1].egress == "carrier"
    story.ends("errors")


def restore(story):
    story.sbc.tell(BusyOutOrdered("carrier", on=False))


@pytest.mark.parametrize("busied_out", [False, True])
def test_restore_has_a_rejected_registration_tried_at_once(world, busied_out):
    story = Story(world)
    story.registrar.rejects(403)
    story.run(100.0)
    if busied_out:
        story.sbc.tell(BusyOutOrdered("carrier", on=True))
    story.registrar.accepts()
    restore(story)
    assert story.is_bound()
    assert story.state == "registered"
    story.ends("errors")


def test_restore_of_a_trunk_that_stays_rejected_asks_once_and_alarms_no_more(world):
    story = Story(world)
    story.registrar.rejects(403)
    story.run(100.0)
    count = len(story.registrar.registers)
    restore(story)
    assert len(story.registrar.registers) == count + 1
    assert story.state == "rejected"
    assert story.view().next_at == pytest.approx(story.sbc.now + 600.0, abs=0.1)
    assert story.alarms() == ["registration.rejected"]
    story.ends("errors")


def test_restore_of_a_registered_trunk_sends_nothing_and_of_a_silent_one_no_two_at_once(world):
    story = Story(world).run(1.0)
    restore(story)
    assert len(story.registrar.registers) == 1
    story.registrar.rejects(403)
    story.run(700.0)
    assert story.state == "rejected"
    story.registrar.is_silent()
    count = len(story.registers_to())
    restore(story)
    restore(story)
    sent = {message.cseq.number for message in story.registers_to()[count:]}
    assert len(sent) == 1
    story.ends("errors")


def test_a_silent_registrar_is_left_for_the_next_after_no_reply(world):
    story = Story(world, policy("'sip:198.51.100.7:5060', 'sip:198.51.100.8:5060'"))
    story.registrar.is_silent()
    second = story.sbc.phone("second.carrier.net", "198.51.100.8:5060", through=OUTSIDE, user="second")
    backup = second.becomes_registrar()
    start = story.sbc.now
    story.run(10.0)
    assert story.state == "registered"
    assert 4.0 <= backup.registers[0].at - start <= 4.1
    assert story.view().registrar == "udp:198.51.100.8:5060"
    story.run(1200.0)
    assert len(backup.registers) >= 3  # refreshes stay where the binding is
    backup.is_silent()
    story.registrar.accepts()
    story.time_until(story.is_bound, at_most=600.0)
    assert story.alarms() == []
    story.ends()


@pytest.mark.parametrize("status", [403, 408, 500, 503])
def test_a_registrar_that_refuses_is_left_for_the_next_at_once(world, status):
    story = Story(world, policy("'sip:198.51.100.7:5060', 'sip:198.51.100.8:5060'"))
    story.registrar.rejects(status)
    second = story.sbc.phone("second.carrier.net", "198.51.100.8:5060", through=OUTSIDE, user="second")
    backup = second.becomes_registrar()
    story.run(1.0)
    assert backup.contacts(AOR, story.sbc.now)
    assert story.state == "registered"
    story.ends()


def test_a_retry_after_is_honoured(world):
    story = Story(world)
    story.registrar.is_unavailable(retry_after=120)
    story.run(1.0)
    story.registrar.accepts()
    assert 118.0 <= story.time_until(story.is_bound, at_most=200.0) <= 121.0
    story.ends("errors")


def test_a_registrar_that_moves_is_found_when_the_dns_says_so(world):
    names = Names({"reg.example": ["198.51.100.7"]})
    story = Story(world, policy("'sip:reg.example:5060'"), names=names).run(1.0)
    assert story.state == "registered"
    second = story.sbc.phone("second.carrier.net", "198.51.100.8:5060", through=OUTSIDE, user="second")
    backup = second.becomes_registrar()
    story.carrier.dies(silently=True)
    names["reg.example"] = ["198.51.100.8"]
    moved = story.time_until(lambda: bool(backup.contacts(AOR, story.sbc.now)), at_most=200.0)
    assert moved <= names.ttl + 1.0
    assert story.alarms() == []
    story.ends()


def test_a_shortened_expiry_and_a_minimum_are_taken_over(world):
    story = Story(world)
    story.registrar.longest = 60
    story.run(300.0)
    times = [one.at for one in story.registrar.registers]
    assert all(48.0 <= after - before <= 54.0 for before, after in itertools.pairwise(times))
    story.registrar.longest, story.registrar.shortest = None, 1800
    story.run(100.0)
    assert [one.status for one in story.registrar.registers][-2:] == [423, 200]
    assert story.registrar.last.expires == 1800
    story.ends()


# --- streams ----------------------------------------------------------------------------------------------------------


def test_a_registration_over_tcp_is_made_anew_when_its_connection_breaks(world):
    story = Story(world, policy("'sip:198.51.100.7:5060;transport=tcp'"), transport=Transport.TCP)
    story.run(100.0)
    assert story.state == "registered"
    story.registrar.forgets()
    story.sbc.net.reset(story.carrier.agent)
    assert story.time_until(story.is_bound, at_most=10.0) <= 5.0
    story.ends()


# --- beginning and end ------------------------------------------------------------------------------------------------


def test_a_restart_goes_on_with_the_same_call_id(world):
    story = Story(world).run(1.0)
    before = story.registrar.last
    story.sbc.signalling_lives(after=1.0)
    story.run(600.0)
    assert story.registrar.last.call_id == before.call_id
    assert story.registrar.last.cseq > before.cseq
    story.ends()


def test_only_a_completed_drain_takes_the_binding_away(world):
    story = Story(world).run(1.0)
    story.sbc.tell(DrainOrdered(story.sbc.now + 60.0, is_leaving=True))
    story.run(1.0)
    assert story.state == "unregistered"
    assert story.registrar.last.expires == 0
    assert not story.is_bound()
    count = len(story.registrar.registers)
    story.run(2000.0)
    assert len(story.registrar.registers) == count
    assert story.sbc.idle()


def test_a_drain_that_waits_for_a_call_keeps_the_binding_until_it_is_over(world):
    story = Story(world).run(1.0)
    office = story.sbc.office()
    office.invites(FAR)
    story.carrier.answers()
    story.sbc.tell(DrainOrdered(story.sbc.now + 600.0, is_leaving=True))
    story.run(30.0)
    assert story.is_bound()
    office.hangs_up()
    story.run(0.1)
    assert not story.is_bound()
    assert story.sbc.idle()


def test_a_carrier_that_a_drain_has_left_is_not_registered_with_after_a_death(world):
    story = Story(world).run(1.0)
    story.sbc.tell(DrainOrdered(story.sbc.now + 60.0, is_leaving=True))
    story.run(1.0)
    count = len(story.registrar.registers)
    story.sbc.signalling_dies()
    story.sbc.signalling_lives(after=1.0)
    story.run(2000.0)
    assert len(story.registrar.registers) == count
    assert not story.is_bound()
    story.sbc.tell(DrainRevoked())
    story.run(1.0)
    assert story.is_bound()
    assert story.sbc.idle()


def test_a_carrier_that_was_just_being_left_at_a_death_is_left_by_the_next_life(world):
    story = Story(world).run(1.0)
    with story.sbc.net.holding(story.carrier):
        story.sbc.tell(DrainOrdered(story.sbc.now + 60.0, is_leaving=True))
        story.sbc.signalling_dies()
    story.sbc.signalling_lives(after=1.0)
    story.run(5.0)
    assert not story.is_bound()
    assert story.registrar.last.expires == 0
    assert story.sbc.idle()


def test_a_drain_that_is_taken_back_registers_again(world):
    story = Story(world).run(1.0)
    story.sbc.tell(DrainOrdered(story.sbc.now + 60.0, is_leaving=True))
    story.run(1.0)
    assert not story.is_bound()
    story.sbc.tell(DrainRevoked())
    story.run(1.0)
    assert (story.state, story.is_bound()) == ("registered", True)
    assert len(story.registrar.call_ids) == 1
    story.run(1000.0)
    assert story.is_bound()
    assert story.sbc.idle()


def test_a_drain_that_is_taken_back_while_we_leave_registers_again(world):
    story = Story(world).run(1.0)
    with story.sbc.net.holding(story.carrier):
        story.sbc.tell(DrainOrdered(story.sbc.now + 60.0, is_leaving=True))
        story.sbc.tell(DrainRevoked())
    story.run(5.0)
    assert (story.state, story.is_bound()) == ("registered", True)
    assert story.sbc.idle()


def test_a_drain_that_is_taken_back_in_time_leaves_the_registration_alone(world):
    story = Story(world).run(1.0)
    office = story.sbc.office()
    office.invites(FAR)
    story.carrier.answers()
    story.sbc.tell(DrainOrdered(story.sbc.now + 600.0, is_leaving=True))
    story.sbc.tell(DrainRevoked())
    story.run(30.0)
    assert len(story.registrar.registers) == 1
    office.hangs_up()
    story.run(1.0)
    assert story.is_bound()
    story.ends()


def test_a_reload_that_leaves_the_trunk_alone_sends_nothing(world):
    story = Story(world).run(1.0)
    story.sbc.tell(PolicyChanged(parse_policy([Source("test.yaml", f"# a line more\n{policy()}".encode())])))
    story.run(100.0)
    assert len(story.registrar.registers) == 1
    story.ends()


def test_a_reload_that_changes_the_trunk_registers_at_once_with_the_same_call_id(world):
    story = Story(world).run(1.0)
    changed = policy().replace("expires: 600s}}", "expires: 300s}}", 1)
    story.sbc.tell(PolicyChanged(parse_policy([Source("test.yaml", changed.encode())])))
    story.run(1.0)
    assert [one.expires for one in story.registrar.registers] == [600, 300]
    assert len(story.registrar.call_ids) == 1
    assert story.state == "registered"
    story.ends()


WITHOUT = POLICY.replace("routes:\n", f"{OTHER}routes:\n")
GONE = WITHOUT.replace('servers: ["sip:198.51.100.7:5060"]', "servers: [sip:198.51.100.9:5060]").replace(
    "  carrier:", "  successor:"
)
GONE = GONE.replace("via: [carrier]", "via: [successor]").replace("from: carrier", "from: successor")


@pytest.mark.parametrize("between", [WITHOUT, GONE], ids=["no register", "no trunk"])
@pytest.mark.parametrize("late_status", [400, 500])
def test_a_registration_that_reloads_take_away_and_bring_back_goes_on_with_higher_numbers(world, between, late_status):
    story = Story(world).run(1800.0)
    story.registrar.late_status = late_status
    for _ in range(3):
        story.sbc.tell(PolicyChanged(read_policy(between)))
        story.run(1.0)
        story.sbc.tell(PolicyChanged(read_policy(policy())))
        story.run(1.0)
        assert (story.state, story.registrar.last.status) == ("registered", 200)
    assert len(story.registrar.call_ids) == 1
    numbers = [one.cseq for one in story.registrar.registers]
    assert numbers == sorted(set(numbers))
    assert story.alarms() == []
    story.ends()


def test_an_answer_to_a_registration_that_is_gone_is_not_taken_for_its_successors(world):
    story = Story(world)
    story.registrar.is_silent()
    story.run(1.0)
    story.sbc.tell(PolicyChanged(read_policy(WITHOUT)))
    story.sbc.tell(PolicyChanged(read_policy(policy())))
    story.run(31.5)  # the first REGISTER has timed out, the second has not
    assert story.view().why == "not answered yet"
    story.run(1.0)
    assert "no reply" in story.view().why
    story.ends("errors")


def test_nothing_of_the_inside_shows_in_a_register(world):
    story = Story(world).run(1.0)
    story.sbc.office().asks("OPTIONS")
    (register,) = story.registers_to()
    assert INSIDE.partition(":")[0] not in str(register.fields)
    story.ends()


def test_registration_holds_under_loss(world, chaos):
    story = Story(world, policy(register=", keepalive: 0s"), **chaos)
    story.run(3600.0)
    assert story.state == "registered"
    assert len(story.registrar.call_ids) == 1
    assert story.alarms() == []


def test_what_comes_next_costs_the_same_with_many_registrations(world, monkeypatch):
    """It is asked after every message: with 500 trunks, asking each cost more than the message."""
    trunks = "".join(
        f"  t{i}: {{interface: outside, servers: ['sip:198.51.101.{i}:5060'],"
        f" register: {{aor: 'sip:u{i}@c{i}.example', expires: 600s}}}}\n"
        for i in range(1, 20)
    )
    sbc = world(POLICY.replace("routes:\n", f"{trunks}routes:\n"))
    sbc.run(1.0)
    asked = []
    monkeypatch.setattr(Registration, "next_deadline", lambda _one: asked.append(1))
    assert sbc.switch.next_deadline() is not None
    assert asked == []
