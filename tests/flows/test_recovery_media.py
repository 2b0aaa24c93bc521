"""What was heard of a call goes on when signalling dies: counts, silence, ports, and what a dead worker knew."""

import json

import pytest

from sbc.b2bua.events import MediaReplied, PortsLost
from sbc.b2bua.journal import decode
from sbc.core.limits import COUNTS_KEPT_SECONDS
from sbc.media import wire
from sbc.testing.world import FAR


def talking(world, **options):
    sbc = world(**options)
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    return sbc, office, carrier


def talk(sbc, *phones, times=1):
    for _ in range(times):
        assert sbc.hears(*phones)
        assert sbc.hears(*phones[::-1])
    for news in sbc.media.poll():
        sbc.tell(MediaReplied(news))


def packets(sbc):
    media = json.loads(sbc.cdr.only.media)
    return [row["packets"] for side in ("ingress", "egress") for row in media[side]]


def test_the_session_is_the_same_and_the_ports_are_too(world):
    sbc, office, _ = talking(world)
    [ref] = sbc.media.sessions
    before, in_use = sbc.media.worker.session(ref), sbc.switch.ports.in_use
    sbc.signalling_dies()
    sbc.signalling_lives()
    assert sbc.media.worker.session(ref) == before
    assert sbc.switch.ports.in_use == in_use == 2
    office.hangs_up()
    assert sbc.idle()


def test_no_other_call_gets_its_ports(world):
    sbc, office, _ = talking(world)
    [ref] = sbc.media.sessions
    [stream] = sbc.media.worker.session(ref).streams
    sbc.signalling_dies()
    sbc.signalling_lives()
    pool = sbc.switch.ports
    for end in (stream.ingress, stream.egress):
        taken = []
        while (port := pool.take(end.local, 1, sbc.now)) is not None:
            taken += port
        assert taken
        assert end.port not in taken
        pool.give_back(end.local, taken, sbc.now)
    office.hangs_up()
    assert sbc.idle()


def test_counts_are_those_of_the_whole_life(world):
    sbc, office, carrier = talking(world)
    talk(sbc, office, carrier, times=3)
    sbc.signalling_dies()
    sbc.signalling_lives()
    talk(sbc, office, carrier, times=4)
    office.hangs_up()
    one, other = packets(sbc)
    assert (one, other) == (7, 7)
    assert sbc.idle()


def test_where_everything_dies_counts_go_on_from_what_was_written_down(world):
    sbc, office, carrier = talking(world)
    talk(sbc, office, carrier, times=3)
    sbc.run(COUNTS_KEPT_SECONDS + 1.0)
    talk(sbc, office, carrier)
    sbc.run(1.0)
    sbc.everything_dies()
    sbc.signalling_lives()
    talk(sbc, office, carrier, times=2)
    office.hangs_up()
    assert packets(sbc) == [6, 6]
    assert sbc.idle()


# BOUND: COUNTS_KEPT_SECONDS
def test_what_is_counted_is_written_down_once_in_a_while_and_not_with_each_report(world):
    sbc, office, carrier = talking(world)
    [ref] = sbc.media.sessions
    values = []
    for _ in range(100):
        talk(sbc, office, carrier)
        sbc.run(2.0)
        values.append(bytes(decode(sbc.kept[f"call/{ref}"]).media.listening))
    assert 200 // COUNTS_KEPT_SECONDS <= len(set(values)) <= 10
    office.hangs_up()
    assert sbc.idle()


@pytest.mark.parametrize("after", [1.0, 40.0, 300.0])
def test_who_talks_on_is_not_found_silent(world, after):
    sbc, office, carrier = talking(world)
    talk(sbc, office, carrier, times=3)
    sbc.signalling_dies()
    sbc.signalling_lives(after=after)
    for _ in range(20):
        talk(sbc, office, carrier)
        sbc.run(2.0)
    assert not [log for log in sbc.logs if log.event in ("media.one_way", "media.fell_silent")]
    office.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_a_call_whose_ports_somebody_else_has_by_now_ends(world):
    sbc, office, carrier = talking(world)
    [ref] = sbc.media.sessions
    [stream] = sbc.media.worker.session(ref).streams
    sbc.run(1.0)
    sbc.everything_dies()
    sbc.signalling_lives()
    sbc.tell(PortsLost(stream.egress.local, (stream.egress.port,), "somebody has it"))
    assert office.got("BYE")
    assert carrier.got("BYE")
    assert sbc.cdr.only.cause == "failed"
    assert sbc.idle()


def test_a_worker_that_died_as_well_is_told_the_session_again(world):
    sbc, office, carrier = talking(world)
    sbc.signalling_dies()
    sbc.media.kill()
    sbc.signalling_lives()
    talk(sbc, office, carrier)
    assert isinstance(sbc.media.worker.session(sbc.media.sessions[0]), wire.PutSession)
    office.hangs_up()
    assert sbc.idle()


@pytest.mark.parametrize("converts", [False, True])
@pytest.mark.parametrize("after", range(1, 8))
def test_an_answer_that_comes_in_the_ack_reaches_the_callee_whenever_signalling_died(world, after, converts):
    """The callee's 2xx was acknowledged without one (RFC 3261 §13.2.2.4): it is offered what the caller answers."""
    sbc = world(peers={"carrier": {"delayed_offer": "convert"}} if converts else None)
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR, sdp=False)
    sbc.signalling_dies(after=after)
    carrier.answers()
    sbc.signalling_lives(after=0.3)
    sbc.run(20.0)
    assert sbc.hears(office, carrier)
    assert sbc.hears(carrier, office)
    office.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_an_answer_that_never_comes_ends_the_call(world):
    """The ACK that was to bring it cannot have come unnoticed before we died; and the callee waits for it, too."""
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.never_acks()
    office.invites(FAR, sdp=False)
    carrier.answers()
    sbc.signalling_dies()
    sbc.signalling_lives(after=0.3)
    sbc.run(60.0)
    assert office.call.stage == carrier.call.stage == "ended"
    assert sbc.cdr.only.ref
    assert sbc.idle(but=["complaints"])
