"""The process of signalling dies in a world, and another one begins: what is gone, and what outlives it."""

from sbc.b2bua.events import BusyOutOrdered
from sbc.core.address import Transport
from sbc.testing.world import CARRIER, DID, FAR, POLICY

OVER_TCP = POLICY.replace(f"sip:{CARRIER}", f"sip:{CARRIER};transport=tcp")


def test_what_was_kept_is_known_to_the_next_life(world):
    sbc = world()
    office = sbc.office()
    sbc.tell(BusyOutOrdered("carrier", on=True))
    sbc.signalling_dies()
    sbc.signalling_lives(after=1.0)
    office.invites(FAR)
    assert (sbc.cdr.only.cause, office.call.status) == ("operator", 503)
    assert sbc.idle()


def test_media_goes_on_while_nobody_signals(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    sbc.signalling_dies()
    sbc.run(60.0)
    assert sbc.hears(office, carrier)
    assert sbc.hears(carrier, office)


def test_datagrams_wait_in_the_socket_until_somebody_reads_it(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    sbc.signalling_dies()
    office.invites(FAR)
    sbc.run(2.0)
    assert office.heard == []
    sbc.signalling_lives()
    assert carrier.got("INVITE")
    carrier.answers()
    office.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_connections_are_reset_and_new_ones_wait(world):
    sbc = world(OVER_TCP)
    office, carrier = sbc.office(), sbc.carrier(transport=Transport.TCP)
    carrier.invites(DID)
    office.refuses(486)
    [before] = sbc.net.streams.of("sbc")
    sbc.signalling_dies()
    assert not sbc.net.streams.has(before)
    carrier.invites(DID)
    assert carrier.call.heard == []
    sbc.signalling_lives(after=1.0)
    office.refuses(486)
    assert carrier.call.status == 486
    assert sbc.idle()


def test_it_can_die_between_any_two_commands(world):
    """Of the datagrams of one step those before its death have gone out, and the others never."""
    seen = []
    for after in range(1, 20):
        sbc = world()
        office, carrier = sbc.office(), sbc.carrier()
        sbc.signalling_dies(after=after)
        office.invites(FAR)
        seen.append((office.heard, carrier.heard))
        if carrier.heard:
            break
    assert sbc.lives.is_dead
    assert sorted(map(str, seen), key=len) == list(map(str, seen))
    assert (seen[0], seen[-2], seen[-1]) == (([], []), (["100 INVITE"], []), (["100 INVITE"], ["INVITE"]))


def test_a_power_cut_leaves_what_the_disk_had(world):
    sbc = world()
    sbc.tell(BusyOutOrdered("carrier", on=True))
    sbc.run(0.06)
    sbc.tell(BusyOutOrdered("carrier", on=False))
    sbc.everything_dies(late=0.05)
    assert list(sbc.kept) == ["busyout/carrier"]
    assert sbc.media.sessions == ()
    sbc.signalling_lives(after=30.0)
    office = sbc.office()
    office.invites(FAR)
    assert sbc.cdr.only.cause == "operator"
    assert sbc.idle()


def test_while_all_is_dead_its_ports_refuse(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    sbc.everything_dies()
    office.invites(FAR)
    sbc.run(1.0)
    assert office.call.heard == ["unreachable"] or office.call.status >= 400
    sbc.signalling_lives()
    office.invites(FAR)
    carrier.answers()
    carrier.hangs_up()
    assert sbc.idle()


def test_a_record_is_lost_with_the_process_or_only_the_news_of_it(world):
    for records_lost, left in ((True, 0), (False, 1)):
        sbc = world()
        sbc.cdr_seconds = 0.05
        office, carrier = sbc.office(), sbc.carrier()
        office.invites(FAR)
        carrier.answers()
        office.hangs_up()
        assert list(sbc.cdr) == []
        sbc.signalling_dies(records_lost=records_lost)
        assert len(sbc.cdr) == left


def test_a_record_takes_its_time_until_it_is_durable(world):
    sbc = world()
    sbc.cdr_seconds = 0.05
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    office.hangs_up()
    assert [call.state for call in sbc.switch.snapshot(sbc.now).calls] == ["ending"]
    sbc.run(0.05)
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()
