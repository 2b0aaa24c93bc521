"""Third parties: a bridge or a controller that moves a call's media about by offers which it has from elsewhere.

RFC 3725 (flow I and its kin), RFC 4579: re-INVITEs without an offer, another end of the same leg, several streams.
"""

import pytest

from sbc.core.address import Address
from sbc.sdp import Direction, parse_sdp, serialize_sdp
from sbc.sip.message import Request
from sbc.sip.parse import parse_message
from sbc.testing.byhand import ByHand
from sbc.testing.world import DID, FAR

MIXER = Address("10.0.0.60", 6000)
GATEWAY = Address("198.51.100.60", 6000)


PLAIN = {"office": {"transcode": "off"}, "carrier": {"transcode": "off"}}  # `hears` speaks PCMU alone


def call_between(world, *, caller="office", options=None, **more):
    sbc = world(**{"peers": PLAIN, **more})
    office, carrier = sbc.office(**(options or {})), sbc.carrier(**(options or {}))
    one, other = (office, carrier) if caller == "office" else (carrier, office)
    one.invites(FAR if caller == "office" else DID)
    other.answers()
    return sbc, office, carrier


def pair(office, carrier, name):
    return (office, carrier) if name == "office" else (carrier, office)


def both_hear(sbc, one, other):
    return sbc.hears(one, other) and sbc.hears(other, one)


def kinds(party):
    return [(media.kind, media.port != 0) for media in party.remote_sdp.media]


def ends(sbc, phone):
    phone.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    return sbc.idle()


# --- a bridge asks for an offer ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("caller", ["office", "carrier"])
@pytest.mark.parametrize("bridge", ["office", "carrier"])
def test_a_bridge_asks_for_an_offer_and_answers_with_its_mixer(world, caller, bridge):
    sbc, office, carrier = call_between(world, caller=caller)
    one, other = pair(office, carrier, bridge)
    one.agent.media = MIXER if bridge == "office" else GATEWAY
    one.reinvites(sdp=False)
    assert both_hear(sbc, one, other)
    assert ends(sbc, other)


@pytest.mark.parametrize("bridge", ["office", "carrier"])
def test_also_where_the_peers_are_always_to_have_offers(world, bridge):
    convert = {"delayed_offer": "convert"}
    sbc, office, carrier = call_between(world, peers={"office": convert, "carrier": convert})
    one, other = pair(office, carrier, bridge)
    one.agent.media = MIXER if bridge == "office" else GATEWAY
    asked = other.call.heard.count("INVITE")
    one.reinvites(sdp=False)
    sbc.run(1.0)
    assert other.call.heard.count("INVITE") == asked  # not for an offer, and it need not hear of one that fits
    assert both_hear(sbc, one, other)
    assert ends(sbc, other)


@pytest.mark.parametrize("bridge", ["office", "carrier"])
def test_the_asked_side_refuses_to_offer_and_the_session_stays(world, bridge):
    sbc, office, carrier = call_between(world)
    one, other = pair(office, carrier, bridge)
    other.answers_reinvites(488)
    one.reinvites(sdp=False)
    assert one.got(488)
    assert both_hear(sbc, one, other)
    other.answers_reinvites(200)
    one.reinvites(sdp=False)
    assert both_hear(sbc, one, other)
    assert ends(sbc, one)


@pytest.mark.parametrize("bridge", ["office", "carrier"])
def test_a_held_party_is_brought_into_a_conference(world, bridge):
    sbc, office, carrier = call_between(world)
    one, other = pair(office, carrier, bridge)
    one.holds()
    assert other.direction is Direction.SENDONLY
    one.call.talk.wish = type(one.call.talk.wish)()  # it will answer as one who holds nobody
    one.agent.media = MIXER if bridge == "office" else GATEWAY
    one.reinvites(sdp=False)
    one.resumes()
    assert both_hear(sbc, one, other)
    assert ends(sbc, one)


def test_both_sides_ask_each_other_at_once(world):
    sbc, office, carrier = call_between(world)
    for phone in (office, carrier):
        phone.retries_glare()
    office.agent.calling.reinvite(office.call, sbc.now, sdp=False)
    carrier.agent.calling.reinvite(carrier.call, sbc.now, sdp=False)
    office._settle()
    carrier._settle()
    sbc.run(20.0)
    assert office.is_talking
    assert carrier.is_talking
    assert both_hear(sbc, office, carrier)
    assert ends(sbc, office)


def test_a_bridge_that_hangs_up_instead_of_answering(world):
    sbc, office, carrier = call_between(world)
    office.never_acks()
    office.reinvites(sdp=False)
    office.hangs_up()
    sbc.run(5.0)
    assert not carrier.is_talking
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


# --- another end of the same leg --------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["INVITE", "UPDATE"])
@pytest.mark.parametrize("caller", ["office", "carrier"])
@pytest.mark.parametrize("changer", ["office", "carrier"])
def test_another_telephone_takes_the_call_over_behind_its_pbx(world, caller, changer, by):
    """Another address, other codecs, another name, the same dialog."""
    sbc, office, carrier = call_between(world, caller=caller)
    one, other = pair(office, carrier, changer)
    number = "+14155550107" if changer == "office" else "+442079460107"
    one.agent.media = MIXER if changer == "office" else GATEWAY
    one.changes(codecs=("PCMA",), by=by, fields=(("P-Asserted-Identity", f"<sip:{number}@{one.address.host}>"),))
    assert other.call.remote_sdp.media[0].formats == ("8",)
    assert number in (other.last(by).header("P-Asserted-Identity") or "")
    assert both_hear(sbc, one, other)
    assert ends(sbc, other)


@pytest.mark.parametrize("changer", ["office", "carrier"])
def test_with_a_contact_of_its_own(world, changer):
    sbc, office, carrier = call_between(world)
    one, other = pair(office, carrier, changer)
    one.agent.media = MIXER if changer == "office" else GATEWAY
    one.changes_contact("10.0.0.5:5071" if changer == "office" else "198.51.100.7:5071", by="INVITE")
    assert both_hear(sbc, one, other)
    other.changes(codecs=("PCMU",))
    assert both_hear(sbc, one, other)
    assert ends(sbc, other)


def test_a_call_that_moves_through_a_whole_house(world):
    sbc, office, carrier = call_between(world)
    for n in range(1, 12):
        office.agent.media = Address(f"10.0.0.{100 + n}", 4000 + 2 * n)
        if n % 3 == 0:
            office.reinvites(sdp=False)
        else:
            office.changes(codecs=(("PCMU",), ("PCMA",))[n % 2], by=("INVITE", "UPDATE")[n % 2])
        assert both_hear(sbc, office, carrier), n
    ports = {media.port for media in carrier.call.remote_sdp.media}
    assert len(ports) == 1
    assert ends(sbc, carrier)


def test_early_media_of_one_and_the_answer_of_another(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.progresses()
    carrier.agent.media = GATEWAY
    carrier.answers()
    assert both_hear(sbc, office, carrier)
    assert ends(sbc, office)


# --- a controller between two calls -----------------------------------------------------------------------------------


def test_click_to_dial(world):
    """RFC 3725 §4.4 seen from a border: first one call without an offer, then another with what that has offered."""
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR, sdp=False)
    carrier.answers()
    assert carrier.is_talking
    assert both_hear(sbc, office, carrier)
    office.reinvites(sdp=False)
    assert both_hear(sbc, office, carrier)
    assert ends(sbc, office)


def test_a_controller_that_wants_media_to_bypass_it_is_refused_our_own_address(world):
    """Both of its calls are ours: our port would be told to send to our port, which is never done. Its calls stay."""
    sbc, office, carrier = call_between(world)
    office.invites("+442079460002")
    carrier.answers()
    first, second = office.calls
    theirs = second.remote_sdp
    office.agent.line.spoil = lambda body: serialize_sdp(
        type(theirs)(parse_sdp(body).origin, theirs.name, theirs.connection, theirs.lines, theirs.media)
    )
    office.reinvites(call=first)
    assert first.last_status == 488
    office.agent.line.spoil = None
    assert sbc.hears(office, carrier, hearing=first, speaking=carrier.calls[0])
    assert sbc.hears(office, carrier, hearing=second, speaking=carrier.calls[1])
    for call in (first, second):
        office.hangs_up(call=call)
    assert [record.cause for record in sbc.cdr] == ["normal", "normal"]
    assert sbc.idle()


# --- several streams --------------------------------------------------------------------------------------------------

VIDEO = {"video_port": 5000}


@pytest.mark.parametrize("by", ["INVITE", "UPDATE"])
@pytest.mark.parametrize("adder", ["office", "carrier"])
def test_video_comes_goes_and_comes_back(world, adder, by):
    sbc = world()
    office, carrier = sbc.office(**VIDEO), sbc.carrier(**VIDEO)
    office.invites(FAR)
    carrier.answers()
    one, other = pair(office, carrier, adder)
    one.removes_video(by=by)
    assert kinds(other.call) == [("audio", True), ("video", False)]
    one.adds_video(by=by)
    assert kinds(other.call) == [("audio", True), ("video", True)]
    assert both_hear(sbc, one, other)
    assert ends(sbc, other)


@pytest.mark.parametrize("adder", ["office", "carrier"])
def test_a_bridge_asks_one_with_video_for_an_offer(world, adder):
    sbc, office, carrier = call_between(world, options=VIDEO)
    one, other = pair(office, carrier, adder)
    one.agent.media = MIXER if adder == "office" else GATEWAY
    one.reinvites(sdp=False)
    assert kinds(one.call) == [("audio", True), ("video", True)]
    assert both_hear(sbc, one, other)
    assert ends(sbc, other)


def test_one_side_knows_no_video(world):
    sbc = world()
    office, carrier = sbc.office(**VIDEO), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    assert kinds(office.call) == [("audio", True), ("video", False)]
    carrier.reinvites(sdp=False)
    assert both_hear(sbc, office, carrier)
    assert ends(sbc, carrier)


def test_streams_that_nobody_knows_keep_their_places(world):
    """An m= line of any kind crosses, and a refused one stays refused."""
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    hand = ByHand(sbc, carrier)
    office.agent.line.spoil = lambda body: body + b"m=application 7000 TCP/BFCP *\r\na=floorctrl:c-s\r\n"
    office.invites(FAR)
    office.agent.line.spoil = None
    invite = hand.requests("INVITE")[-1]
    assert [media.kind for media in parse_sdp(invite.body).media] == ["audio", "application"]
    answer = (
        b"v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n"
        b"m=audio 4000 RTP/AVP 0\r\nm=application 0 TCP/BFCP *\r\n"
    )
    hand.replies(200, body=answer)
    heard = [parse_message(data, stream=False) for data in sbc.net.sent_to(office.name)]
    final = next(m for m in heard if not isinstance(m, Request) and m.status == 200)
    assert [(media.kind, media.port != 0) for media in parse_sdp(final.body).media] == [
        ("audio", True),
        ("application", False),
    ]
    office.hangs_up()
    hand.replies(200, to=hand.requests("BYE")[-1])
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle(but=("phones", "complaints"))


@pytest.mark.parametrize("bridge", ["office", "carrier"])
def test_on_a_bad_network(world, chaos, bridge):
    sbc, office, carrier = call_between(world, **chaos)
    one, other = pair(office, carrier, bridge)
    for phone in (office, carrier):
        phone.retries_glare()
    sbc.run(40.0)
    for n in range(4):
        if not (one.is_talking and other.is_talking):
            break
        one.agent.media = Address(MIXER.host if bridge == "office" else GATEWAY.host, 6000 + 2 * n)
        one.reinvites(sdp=n % 2 == 1)
        sbc.run(40.0)
    if one.is_talking and other.is_talking:
        assert both_hear(sbc, one, other)
        one.hangs_up()
    assert sbc.idle(after=160.0)
    assert len(sbc.cdr) == 1
