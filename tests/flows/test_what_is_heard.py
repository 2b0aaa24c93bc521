"""What the media worker counts becomes what the operator sees: one-way audio, strangers' packets, silence, quality."""

import json

import pytest
from msgspec.structs import replace

from sbc.b2bua.events import MediaReplied
from sbc.core.limits import FELL_SILENT_SECONDS, FOREIGN_PACKETS_PER_SECOND, ONE_WAY_PACKETS, ONE_WAY_SECONDS
from sbc.media import wire
from sbc.sdp import Direction
from sbc.testing.world import FAR


def talking(world, **options):
    sbc = world(**options)
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    return sbc, office, carrier


def counted(sbc, ingress=0, egress=0, **of_egress):
    """The worker's regular report, with these packets heard so far."""
    (ref,) = sbc.switch.calls
    (report,) = sbc.media.ask(wire.Query(ref))
    ends = (
        wire.EndCount(received=ingress, engine="kernel"),
        wire.EndCount(received=egress, engine="userland", **of_egress),
    )
    (now,) = report.sessions
    sbc.tell(MediaReplied(wire.Report((replace(now, streams=(wire.StreamCount(*ends),)),))))


def said(sbc, event):
    return [dict(log.fields) for log in sbc.logs if log.event == event]


def live(sbc):
    (view,) = sbc.switch.snapshot(sbc.now).calls
    return view.quality


def goes_on(sbc, office, *, ingress, egress, seconds=ONE_WAY_SECONDS, **of_egress):
    """Two reports, so long apart: packets per second of both sides."""
    counted(sbc)
    sbc.run(seconds)
    counted(sbc, round(ingress * seconds), round(egress * seconds), **of_egress)


def test_one_way_audio_is_said_once_and_named(world):
    sbc, office, _ = talking(world)
    goes_on(sbc, office, ingress=50, egress=0)
    counted(sbc, 1000, 0)
    (line,) = said(sbc, "media.one_way")
    assert (line["peer"], line["foreign_packets"]) == ("carrier", 0)
    assert live(sbc)["one_way"] == "egress"
    assert "one-way audio: nothing is heard from carrier" in sbc.story()
    office.hangs_up()
    assert json.loads(sbc.cdr.only.media)["one_way"] == "egress"
    assert sbc.idle()


def test_one_way_audio_says_where_the_packets_went(world):
    sbc, office, _ = talking(world)
    goes_on(sbc, office, ingress=50, egress=0, foreign=240, foreign_source="192.0.2.66:4000")
    (line,) = said(sbc, "media.one_way")
    assert (line["foreign_packets"], line["source"], line["latching"]) == (240, "192.0.2.66:4000", "address")
    assert "240 packets came from where it may not send, 192.0.2.66:4000 the last (latching address)" in sbc.story()
    office.hangs_up()
    assert sbc.idle()


# BOUND: ONE_WAY_PACKETS
def test_a_call_that_is_over_before_it_was_noticed_has_it_in_its_record(world):
    sbc, office, carrier = talking(world)
    counted(sbc)
    for _ in range(ONE_WAY_PACKETS):
        sbc.hears(carrier, office)
    office.hangs_up()
    assert json.loads(sbc.cdr.only.media)["one_way"] == "egress"
    assert "one-way audio: nothing was heard from carrier" in sbc.story()
    assert not said(sbc, "media.one_way")
    assert sbc.idle()


def test_both_ways_are_no_news(world):
    sbc, office, _ = talking(world)
    goes_on(sbc, office, ingress=50, egress=50)
    assert not said(sbc, "media.one_way")
    office.hangs_up()
    assert "one_way" not in json.loads(sbc.cdr.only.media)
    assert sbc.idle()


def test_a_side_that_is_on_hold_need_not_be_heard(world):
    sbc, office, _ = talking(world)
    office.holds(Direction.SENDONLY)
    goes_on(sbc, office, ingress=50, egress=0)
    assert not said(sbc, "media.one_way")
    office.resumes()
    goes_on(sbc, office, ingress=50, egress=0)  # counts begin anew with the put: what matters is what is heard since
    assert len(said(sbc, "media.one_way")) == 1
    office.hangs_up()
    assert sbc.idle()


# BOUND: ONE_WAY_SECONDS
def test_early_media_is_heard_one_way_and_no_fault(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.rings(sdp=True)
    goes_on(sbc, office, ingress=0, egress=50)
    assert not said(sbc, "media.one_way")
    carrier.answers()
    counted(sbc, 10, 300)
    assert not said(sbc, "media.one_way")
    sbc.run(ONE_WAY_SECONDS)
    counted(sbc, 10, 600)  # the caller has gone silent since the answer
    assert [line["peer"] for line in said(sbc, "media.one_way")] == ["office"]
    office.hangs_up()
    assert sbc.idle()


# BOUND: FELL_SILENT_SECONDS
def test_a_side_that_falls_silent_is_named_once_and_shown_while_it_is(world):
    sbc, office, _ = talking(world)
    goes_on(sbc, office, ingress=50, egress=50)
    sbc.run(4.0)
    counted(sbc, 450, 250)
    assert not said(sbc, "media.fell_silent")
    assert [row["silent_seconds"] for row in live(sbc)["egress"]] == [4]
    sbc.run(FELL_SILENT_SECONDS - 4.0)
    counted(sbc, 750, 250)
    counted(sbc, 760, 250)
    (line,) = said(sbc, "media.fell_silent")
    assert (line["peer"], line["seconds"]) == ("carrier", 10)
    assert "nothing has come from carrier for 10 s" in sbc.story()
    counted(sbc, 770, 251)
    assert [live(sbc)[side][0]["silent_seconds"] for side in ("ingress", "egress")] == [0, 0]
    assert not said(sbc, "media.one_way")
    office.hangs_up()
    assert json.loads(sbc.cdr.only.media)["fell_silent"] == "egress"
    assert sbc.idle()


# BOUND: FELL_SILENT_SECONDS
def test_both_sides_silent_or_on_hold_is_not_falling_silent(world):
    sbc, office, _ = talking(world)
    goes_on(sbc, office, ingress=50, egress=50)
    sbc.run(2 * FELL_SILENT_SECONDS)
    counted(sbc, 250, 250)
    assert [row["silent_seconds"] for row in live(sbc)["egress"]] == [20]
    office.holds(Direction.SENDONLY)
    goes_on(sbc, office, ingress=50, egress=0, seconds=2 * FELL_SILENT_SECONDS)
    assert [row["silent_seconds"] for row in live(sbc)["egress"]] == [0]
    assert not said(sbc, "media.fell_silent")
    office.hangs_up()
    assert "fell_silent" not in json.loads(sbc.cdr.only.media)
    assert sbc.idle()


def test_a_late_packet_takes_nothing_from_a_counter_and_none_is_less_than_lost(world):
    """A fall would look like a restart to whoever computes rates; and a stream may begin with the late ones."""
    sbc, office, _ = talking(world)
    heard = []
    for lost in (-2, 3, 2, 1, 4, 2**31 - 1, -(2**31) + 4):
        counted(sbc, 50, 50, lost=lost)
        heard.append(sbc.switch.snapshot(sbc.now).media.lost)
    assert heard == [0, 3, 3, 3, 4, 2**31 - 1, 2**31 + 4]
    counted(sbc, 50, 50, lost=-1)
    assert live(sbc)["egress"][0]["lost"] == 0
    office.hangs_up()
    assert sbc.idle()


def test_old_news_of_a_relay_that_has_changed_are_passed_over(world):
    sbc, office, _ = talking(world)
    (call,) = sbc.switch.calls.values()
    stream = wire.StreamCount(wire.EndCount(received=9000), wire.EndCount())
    sbc.tell(MediaReplied(wire.Report((wire.SessionCount(call.ref, 0, (stream,)), wire.SessionCount("gone", 1, ())))))
    assert live(sbc)["ingress"] == []
    office.hangs_up()
    assert sbc.idle()


# BOUND: ONE_WAY_PACKETS, FOREIGN_PACKETS_PER_SECOND
def test_packets_of_strangers_are_an_alarm_and_it_is_not_repeated_at_once(world):
    sbc, office, _ = talking(world)
    foreign = 0
    for _ in range(5):
        counted(sbc, egress=ONE_WAY_PACKETS, foreign=foreign)
        sbc.run(2.0)
        foreign += 2 * FOREIGN_PACKETS_PER_SECOND
    (line,) = said(sbc, "media.foreign_packets")
    assert line["alarm"]
    assert (line["peer"], line["per_second"]) == ("carrier", FOREIGN_PACKETS_PER_SECOND)
    assert sbc.switch.snapshot(sbc.now).media.foreign == 8 * FOREIGN_PACKETS_PER_SECOND
    office.hangs_up()
    assert sbc.idle()


def test_who_sprays_many_calls_gets_one_line_and_a_note_in_each_ladder(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    for _ in range(3):
        office.invites(FAR)
        carrier.answers()
    for foreign in (0, 100):
        counts = [wire.StreamCount(wire.EndCount(), wire.EndCount(foreign=foreign, foreign_source="192.0.2.66:9"))]
        for ref in sbc.switch.calls:
            (report,) = sbc.media.ask(wire.Query(ref))
            sbc.tell(MediaReplied(wire.Report((replace(report.sessions[0], streams=tuple(counts)),))))
        sbc.run(2.0)
    (line,) = said(sbc, "media.foreign_packets")
    assert (line["peer"], line["per_second"], line["source"]) == ("carrier", 50, "192.0.2.66:9")
    assert sbc.story().count("50 packets/s come to carrier's port from somebody else") == 3
    for party in list(office.agent.parties):
        office.hangs_up(call=party)
    assert sbc.idle()


# BOUND: FOREIGN_PACKETS_PER_SECOND
def test_a_stray_packet_is_no_alarm(world):
    sbc, office, _ = talking(world)
    counted(sbc)
    sbc.run(2.0)
    counted(sbc, foreign=2 * FOREIGN_PACKETS_PER_SECOND - 2)
    assert not said(sbc, "media.foreign_packets")
    office.hangs_up()
    assert sbc.idle()


def test_quality_is_scored_live_and_in_the_totals(world):
    sbc, office, _ = talking(world)
    counted(sbc, 970, 1000, lost=10, jitter_ms=2.25, jitter_max_ms=4.0, round_trip_ms=40.0, source="127.0.0.40:4000")
    (row,) = live(sbc)["egress"]
    assert (row["packets"], row["lost"], row["jitter_ms"], row["round_trip_ms"]) == (1000, 10, 2.2, 40.0)
    assert 4.2 < row["mos"] < 4.41
    assert (row["engine"], row["source"]) == ("userland", "127.0.0.40:4000")
    view = sbc.switch.snapshot(sbc.now).media
    assert dict(view.packets) == {"inside": 970, "outside": 1000}
    assert view.lost == 10
    assert dict(view.streams) == {"userland": 1, "kernel": 1}
    office.hangs_up()
    assert sbc.idle()


def test_a_score_for_each_stream_is_counted_at_the_end(world):
    sbc, office, carrier = talking(world)
    assert sbc.hears(office, carrier)
    assert sbc.hears(carrier, office)
    office.hangs_up()
    assert sbc.switch.snapshot(sbc.now).media.mos.count == 2
    assert sbc.switch.snapshot(sbc.now).media.setup_seconds.count == 1
    assert [row["mos"] for row in json.loads(sbc.cdr.only.media)["egress"]] == [4.41]
    assert sbc.idle()


def test_sound_before_a_fax_keeps_a_row_of_its_own(world):
    sbc = world()
    office, carrier = sbc.office(fax_port=4004), sbc.carrier(fax_port=4004)
    office.invites(FAR)
    carrier.answers()
    counted(sbc, 900, 1000, lost=10, jitter_ms=2.0)
    carrier.offers_fax()
    counted(sbc, 950, 1200, lost=10)
    assert [row["packets"] for row in live(sbc)["egress"]] == [200]
    office.hangs_up()
    media = json.loads(sbc.cdr.only.media)
    voice, fax = media["egress"]
    assert (voice["codec"], voice["packets"], voice["lost"]) == ("PCMU", 1000, 10)
    assert voice["mos"] > 4.2
    assert fax["codec"] == "t38"
    assert (fax["lost"], fax["mos"]) == (None, None)
    assert [row["codec"] for row in media["ingress"]] == ["PCMU", "t38"]
    assert sbc.idle()


def test_silence_ends_a_call_with_a_cause_of_its_own(world):
    sbc, office, carrier = talking(world)
    sbc.falls_silent(sbc.policy.media.silence_timeout + 1)
    assert (sbc.cdr.only.cause, sbc.cdr.only.ended_by) == ("media_timeout", "sbc")
    assert not office.is_talking
    assert not carrier.is_talking
    assert "no RTP and no RTCP from either side for" in sbc.story()
    assert sbc.idle()


@pytest.mark.parametrize("direction", [Direction.SENDONLY, Direction.INACTIVE])
def test_a_held_call_may_be_silent(world, direction):
    sbc, office, _ = talking(world)
    office.holds(direction)
    sbc.falls_silent(3 * sbc.policy.media.silence_timeout)
    assert office.is_talking
    office.resumes()
    sbc.falls_silent(sbc.policy.media.silence_timeout + 1)
    assert sbc.cdr.only.cause == "media_timeout"
    assert sbc.idle()


def test_a_silence_that_a_hold_has_overtaken_ends_nothing(world):
    sbc, office, _ = talking(world)
    (ref,) = sbc.switch.calls
    office.holds()
    sbc.tell(MediaReplied(wire.Silent(ref, 300.0)))
    assert office.is_talking
    office.hangs_up()
    assert sbc.idle()


def test_a_caller_who_hears_nothing_while_it_rings_is_not_hung_up_on(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.rings(sdp=True)
    (ref,) = sbc.switch.calls
    sbc.tell(MediaReplied(wire.Silent(ref, 300.0)))
    carrier.answers()
    assert office.is_talking
    office.hangs_up()
    assert sbc.idle()


def test_a_pair_whose_former_peer_goes_on_is_not_lent_again(world):
    sbc, office, _ = talking(world)
    pair = office.call.remote_sdp.media[0].port
    office.hangs_up()
    local = sbc.policy.interfaces["inside"].media[0]
    for _ in range(5):
        sbc.run(20.0)
        sbc.tell(MediaReplied(wire.StillHeard(local, pair)))
    taken = sbc.switch.ports.take(local, 63, sbc.now)  # all that are open but one
    assert pair not in taken
    sbc.switch.ports.give_back(local, taken, sbc.now)
    assert sbc.idle()
