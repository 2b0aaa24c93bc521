"""Signalling dies while calls are set up or end: nobody rings or waits for ever, and nothing rings twice."""

import pytest

from sbc.core.address import Transport
from sbc.sip.parse import parse_message
from sbc.testing.world import CARRIER, FAR, OFFICE, POLICY

OVER_TCP = POLICY.replace(f"sip:{CARRIER}", f"sip:{CARRIER};transport=tcp").replace(
    f"sip:{OFFICE}", f"sip:{OFFICE};transport=tcp"
)
TWO = POLICY.replace(
    "trunks:\n", "trunks:\n  spare: {interface: outside, servers: ['sip:198.51.100.8:5060'], no_reply: 2s}\n"
).replace("via: [carrier]", "via: [spare, carrier]")


def calling(world, policy=POLICY, **options):
    sbc = world(policy)
    office, carrier = sbc.office(**options), sbc.carrier(**options)
    office.invites(FAR)
    return sbc, office, carrier


def dies_and_lives(sbc, after=0.5):
    sbc.signalling_dies()
    sbc.signalling_lives(after=after)


def said(sbc, start, *, to):
    """Messages of ours that begin so, whatever became of them."""
    found = [sent.data for sent in sbc.net.log if sent.sender == "sbc" and sent.data.startswith(start.encode())]
    return [parse_message(data, stream=True) for data in found if to in where(sbc, data)]


def where(sbc, data):
    return {str(sent.target) for sent in sbc.net.log if sent.data == data and sent.sender == "sbc"}


def invites(sbc):
    """Different INVITEs that the carrier got."""
    return {one.via.branch for one in said(sbc, "INVITE", to=CARRIER)}


def ends(sbc, cause="internal"):
    assert sbc.cdr.only.cause == cause
    assert sbc.idle()


# --- calls that nobody has answered -----------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_call_that_rings_is_over_for_both(world, transport):
    is_tcp = transport == "tcp"
    sbc, office, carrier = calling(
        world, OVER_TCP if is_tcp else POLICY, **({"transport": Transport.TCP} if is_tcp else {})
    )
    carrier.rings()
    tag = office.call.remote_tag
    dies_and_lives(sbc)
    assert office.call.status == 503
    assert office.call.stage == "ended"
    assert carrier.got("CANCEL")
    assert carrier.call.stage == "ended"
    [final] = {str(one.to): one for one in said(sbc, "SIP/2.0 503", to=OFFICE)}.values()
    assert final.header("Retry-After") is None
    assert final.to.tag == tag
    assert len(invites(sbc)) == 1
    ends(sbc)
    assert (sbc.cdr.only.sip_status, sbc.cdr.only.egress) == (503, "carrier")


# RFC: 3261
def test_the_503_is_repeated_until_its_ack(world):
    sbc, office, carrier = calling(world)
    carrier.rings()
    sbc.net.loses("SIP/2.0 503", to=office.name, times=3)
    dies_and_lives(sbc)
    sbc.run(5.0)
    assert len(said(sbc, "SIP/2.0 503", to=OFFICE)) == 4
    assert office.call.status == 503
    ends(sbc)


def test_an_invite_that_comes_again_begins_no_second_call(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    sbc.net.loses("SIP/2.0", to=office.name, times=2)
    office.invites(FAR)  # it hears nothing, and goes on repeating its INVITE
    dies_and_lives(sbc, after=2.0)
    sbc.run(5.0)
    assert office.call.status == 503
    assert len(invites(sbc)) == 1
    assert [party.stage for party in carrier.agent.parties] == ["ended"]
    ends(sbc)


def test_so_it_is_after_a_second_death(world):
    sbc, office, carrier = calling(world)
    carrier.rings()
    sbc.net.loses("SIP/2.0 503", to=office.name, times=50)
    sbc.net.loses("CANCEL", to=carrier.name, times=50)
    dies_and_lives(sbc)
    sbc.run(1.0)
    sbc.net.loses_no_more()
    dies_and_lives(sbc)
    sbc.run(5.0)
    assert (office.call.status, office.call.stage) == (503, "ended")
    assert carrier.call.stage == "ended"
    assert len(invites(sbc)) == 1
    ends(sbc)


# RFC: 3261
def test_nobody_is_called_again_who_has_not_heard_of_the_call(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    sbc.net.loses("INVITE", to=carrier.name)
    office.invites(FAR)
    dies_and_lives(sbc, after=0.1)
    sbc.run(10.0)
    assert len(said(sbc, "INVITE", to=CARRIER)) == 1
    assert not carrier.agent.parties
    assert office.call.status == 503
    ends(sbc)


# RFC: 3261
def test_no_cancel_overtakes_its_invite(world):
    """ "If no provisional response has been received, the CANCEL request MUST NOT be sent", §9.1: not within T1."""
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    sbc.net.loses("SIP/2.0", by=carrier.name)
    office.invites(FAR)
    dies_and_lives(sbc, after=0.1)
    sbc.run(0.3)
    assert not said(sbc, "CANCEL", to=CARRIER)
    sbc.run(0.2)
    assert said(sbc, "CANCEL", to=CARRIER)
    sbc.run(5.0)
    assert carrier.call.stage == "ended"
    ends(sbc)


@pytest.mark.parametrize("by", ["office", "carrier"])
def test_who_gives_up_meanwhile_is_understood(world, by):
    sbc, office, carrier = calling(world)
    carrier.rings()
    sbc.signalling_dies()
    if by == "office":
        office.cancels()
    else:
        carrier.refuses(486)
    sbc.signalling_lives(after=0.2)
    sbc.run(5.0)
    assert (office.call.stage, carrier.call.stage) == ("ended", "ended")
    assert office.call.status in (487, 503)
    ends(sbc)


# RFC: 3261
@pytest.mark.parametrize("sdp", [True, False])
def test_who_answers_meanwhile_is_hung_up_on(world, sdp):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR, sdp=sdp)
    carrier.rings()
    sbc.signalling_dies()
    carrier.answers()
    sbc.signalling_lives(after=0.2)
    sbc.run(10.0)
    assert carrier.got("ACK", "BYE")
    assert office.call.status == 503
    ends(sbc)


def test_a_call_with_reliable_provisionals_is_over_for_both(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    for phone in (office, carrier):
        phone.uses_100rel()
    office.invites(FAR)
    carrier.progresses(reliably=True)
    sbc.run(1.0)
    dies_and_lives(sbc)
    sbc.run(5.0)
    assert office.call.status == 503
    assert carrier.call.stage == "ended"
    ends(sbc)


def test_who_was_given_up_in_the_hunt_does_not_ring_on(world):
    """His CANCEL was lost with us; the call is answered by another, and goes on."""
    sbc = world(TWO)
    office, carrier = sbc.office(), sbc.carrier()
    spare = sbc.phone("spare.example", "198.51.100.8:5060", through="203.0.113.1:5060", user=FAR)
    sbc.net.loses("SIP/2.0", by=spare.name, times=3)
    sbc.net.loses("CANCEL", to=spare.name, times=20)
    office.invites(FAR)
    sbc.run(2.5)
    carrier.answers()
    spare.rings()
    sbc.run(0.2)
    assert spare.call.stage == "ringing"
    sbc.net.loses_no_more()
    dies_and_lives(sbc)
    sbc.run(5.0)
    assert spare.call.stage == "ended"
    assert (office.call.stage, carrier.call.stage) == ("talking", "talking")
    office.hangs_up()
    ends(sbc, "normal")


def test_a_call_that_waits_for_a_prack_before_its_answer_is_over_for_both(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    for phone in (office, carrier):
        phone.uses_100rel()
    office.invites(FAR)
    sbc.net.loses("PRACK", by=office.name, times=50)
    carrier.progresses(reliably=True)
    carrier.answers()
    sbc.run(0.3)
    assert (office.call.stage, carrier.call.stage) == ("ringing", "talking")
    sbc.net.loses_no_more()
    dies_and_lives(sbc)
    sbc.run(10.0)
    assert (office.call.stage, carrier.call.stage) == ("ended", "ended")
    assert len(sbc.cdr) == 1
    assert sbc.idle()


# --- calls that have just ended ---------------------------------------------------------------------------------------


def test_a_refusal_is_known_when_its_invite_comes_again(world):
    sbc, office, carrier = calling(world)
    sbc.net.loses("SIP/2.0 486", to=office.name, times=50)
    carrier.refuses(486)
    sbc.run(0.1)
    sbc.net.loses_no_more()
    dies_and_lives(sbc)
    sbc.run(5.0)
    assert office.call.status == 486
    assert len(invites(sbc)) == 1
    ends(sbc, "busy")


# RFC: 3261
def test_a_goodbye_that_comes_again_has_its_200(world):
    sbc, office, carrier = calling(world)
    carrier.answers()
    sbc.net.loses("SIP/2.0 200", to=office.name, times=50)
    office.hangs_up()
    sbc.run(0.1)
    sbc.net.loses_no_more()
    dies_and_lives(sbc)
    sbc.run(5.0)
    assert office.got(200, "BYE") or office.call.stage == "ended"
    assert not said(sbc, "SIP/2.0 481", to=OFFICE)
    ends(sbc, "normal")
