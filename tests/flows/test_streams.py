"""Several streams, streams refused, no offer at all, and calls over TCP."""

import pytest

from sbc.core.address import Transport
from sbc.sdp import Direction
from sbc.testing.net import Conditions
from sbc.testing.party import Stage
from sbc.testing.world import CARRIER, DID, FAR, OFFICE, POLICY


def test_video_that_the_callee_has_too(world):
    sbc = world()
    office, carrier = sbc.office(video_port=4010), sbc.carrier(video_port=4020)
    office.invites(FAR)
    carrier.answers()
    assert [media.port > 0 for media in office.call.remote_sdp.media] == [True, True]
    assert len({media.port for media in office.call.remote_sdp.media}) == 2
    assert sbc.switch.snapshot(sbc.now).ports == 4
    office.hangs_up()
    assert sbc.idle()


def test_refused_video_stays_refused_and_audio_is_heard(world):
    sbc = world()
    office, carrier = sbc.office(video_port=4010), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    assert [media.kind for media in office.call.remote_sdp.media] == ["audio", "video"]
    assert office.call.remote_sdp.media[1].port == 0
    assert sbc.hears(office, carrier)
    office.holds()
    assert office.call.remote_sdp.media[1].port == 0
    assert office.direction is Direction.RECVONLY
    office.resumes()
    office.hangs_up()
    assert sbc.idle()


@pytest.mark.parametrize("way", ["out", "in"])
def test_an_invite_without_offer(world, way):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    caller, callee = (office, carrier) if way == "out" else (carrier, office)
    caller.invites(FAR if way == "out" else DID, sdp=False)
    callee.rings()
    callee.answers()
    assert caller.is_talking
    assert sbc.hears(office, carrier)
    assert sbc.hears(carrier, office)
    callee.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_a_description_that_names_our_own_ports_is_refused(world):
    """Media must never loop (media.md, "Never loop")."""
    sbc = world()
    office = sbc.office()
    office.agent.media = office.agent.media.__class__("203.0.113.1", 20000)
    office.invites(FAR)
    assert office.call.stage is Stage.ENDED
    assert office.call.status == 488
    assert sbc.idle()


OVER_TCP = POLICY.replace("sip:198.51.100.7:5060", "sip:198.51.100.7:5060;transport=tcp").replace(
    "address: sip:10.0.0.5:5060", "address: 'sip:10.0.0.5:5060;transport=tcp'"
)


@pytest.mark.parametrize("pieces", [False, True])
@pytest.mark.parametrize("ender", ["office", "carrier"])
def test_a_call_over_tcp(world, pieces, ender):
    sbc = world(OVER_TCP, conditions=Conditions(pieces=pieces))
    office, carrier = sbc.office(transport=Transport.TCP), sbc.carrier(transport=Transport.TCP)
    office.invites(FAR)
    carrier.rings()
    carrier.answers()
    assert sbc.hears(office, carrier)
    office.holds()
    carrier.resumes()
    (office if ender == "office" else carrier).hangs_up()
    assert {sent.transport for sent in sbc.net.log} == {Transport.TCP}
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_from_tcp_to_udp(world):
    sbc = world(POLICY.replace("address: sip:10.0.0.5:5060", "address: 'sip:10.0.0.5:5060;transport=tcp'"))
    office, carrier = sbc.office(transport=Transport.TCP), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    carrier.hangs_up()
    carrier.invites(DID)
    office.answers()
    office.hangs_up()
    assert len(sbc.cdr) == 2
    assert sbc.idle()


def test_a_connection_that_breaks_is_opened_again(world):
    sbc = world(OVER_TCP)
    office, carrier = sbc.office(transport=Transport.TCP), sbc.carrier(transport=Transport.TCP)
    office.invites(FAR)
    carrier.answers()
    sbc.net.reset(carrier.agent)
    sbc.run(5.0)
    assert office.is_talking
    office.hangs_up()
    sbc.run(1.0)
    assert carrier.got("ACK", "BYE")
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_addresses_of_the_default_policy_are_what_the_phones_have():
    assert OFFICE.partition(":")[0] in POLICY
    assert CARRIER.partition(":")[0] in POLICY


@pytest.mark.parametrize("end", ["answer", "refusal"])
def test_a_response_whose_connection_is_gone_is_sent_on_a_new_one(world, end):
    """RFC 3261 §18.2.2: to the source address, at the port that Via names."""
    sbc = world(OVER_TCP)
    office, carrier = sbc.office(transport=Transport.TCP), sbc.carrier(transport=Transport.TCP)
    office.invites(FAR)
    carrier.rings()
    sbc.net.reset(office.agent)
    sbc.run(1.0)
    if end == "refusal":
        carrier.refuses(486)
        assert office.got(180, 486)
    else:
        carrier.answers()
        assert office.got(180, 200)
        carrier.hangs_up()
        assert office.got("BYE")
    assert sbc.idle()


def test_who_says_once_more_that_it_takes_no_video_is_told_of_none(world):
    """What it was told last was an offer with video; said again as an answer, that would take a refused stream."""
    sbc = world()
    office, carrier = sbc.office(video_port=4002), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    office.holds()
    carrier.holds(Direction.RECVONLY)
    assert [bool(media.port) for media in carrier.call.remote_sdp.media] == [True, False]
    office.hangs_up()
    assert sbc.idle()
