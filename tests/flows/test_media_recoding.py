"""Telephones that have no law of G.711 in common talk all the same, and neither hears of the other's.

What crosses is looked at packet by packet: in which payload type it comes, and in which it goes.
"""

import pytest

from sbc.core.address import Address
from sbc.media.wire import Transcoding
from sbc.sdp import Direction, describe, media_remotes, serialize_sdp
from sbc.testing.byhand import ByHand
from sbc.testing.media import Packet
from sbc.testing.world import DID, FAR

from .transferring import BRANCH, POLICY, refers

A_LAW = {"codecs": ("PCMA", "telephone-event")}
MU_LAW = {"codecs": ("PCMU", "telephone-event")}
BOTH = {"codecs": ("PCMU", "PCMA", "telephone-event")}
OFF = {"transcode": "off"}


def talking(world, office, carrier, *, caller="office", **options):
    sbc = world(**options)
    pbx, trunk = sbc.office(**office), sbc.carrier(**carrier)
    one, other = (pbx, trunk) if caller == "office" else (trunk, pbx)
    one.invites(FAR if caller == "office" else DID)
    other.answers()
    return sbc, pbx, trunk


def formats(phone):
    return phone.call.remote_sdp.media[0].formats


def arrives(sbc, speaker, listener, number):
    """The payload type in which the listener gets what the speaker sends in this one; None: not at all."""
    target, source = (media_remotes(phone.call.remote_sdp)[0] for phone in (speaker, listener))
    sbc._tones += 1
    data = bytes([0x80, number]) + sbc._tones.to_bytes(2) + bytes(4) + bytes([1, 2, 3, number]) + bytes(160)
    out = sbc.media.relay(Packet(Address(target.host, target.port), speaker.agent.media, data))
    return next((p.data[1] for p in out if p.remote == listener.agent.media and p.local.port == source.port), None)


def said(law):
    return serialize_sdp(describe("198.51.100.7", 4000, (law, "telephone-event")))


def recodings(sbc):
    [ref] = sbc.media.worker.sessions
    return sbc.media.worker.session(ref).streams[0].transcodings


@pytest.mark.parametrize("caller", ["office", "carrier"])
def test_each_is_told_its_own_law(world, caller):
    sbc, office, carrier = talking(world, A_LAW, MU_LAW, caller=caller)
    one, other = (office, carrier) if caller == "office" else (carrier, office)
    assert formats(one) == (("8", "101") if one is office else ("0", "101"))
    assert formats(other) == (("8", "0", "101") if one is office else ("0", "8", "101"))
    assert arrives(sbc, office, carrier, 8) == 0
    assert arrives(sbc, carrier, office, 0) == 8
    assert arrives(sbc, office, carrier, 101) == 101
    carrier.hangs_up()
    assert sbc.idle()


@pytest.mark.parametrize("holder", ["office", "carrier"])
def test_hold_and_resume(world, holder):
    sbc, office, carrier = talking(world, A_LAW, MU_LAW)
    one, other = (office, carrier) if holder == "office" else (carrier, office)
    before = recodings(sbc)
    one.holds()
    assert (other.direction, one.direction) == (Direction.SENDONLY, Direction.RECVONLY)
    assert recodings(sbc) == before
    other.reinvites()
    one.resumes()
    assert arrives(sbc, office, carrier, 8) == 0
    assert arrives(sbc, carrier, office, 0) == 8
    one.hangs_up()
    assert sbc.idle()


@pytest.mark.parametrize("by", ["INVITE", "UPDATE"])
@pytest.mark.parametrize("who", ["office", "carrier"])
def test_an_offer_that_changes_nothing_is_no_news_to_the_other(world, who, by):
    sbc, office, carrier = talking(world, A_LAW, MU_LAW)
    one, other = (office, carrier) if who == "office" else (carrier, office)
    one.reinvites()  # what it has offered or answered before was in other words
    before = recodings(sbc)
    said = list(other.call.heard)
    one.reinvites() if by == "INVITE" else one.updates()
    assert other.call.heard == said
    assert recodings(sbc) == before
    assert one.call.last_status == 200
    office.hangs_up()
    assert sbc.idle()


def test_a_codec_that_both_have_wins(world):
    sbc, office, carrier = talking(world, A_LAW, BOTH)
    assert formats(carrier) == ("8", "0", "101")
    assert formats(office) == ("8", "101")
    assert arrives(sbc, office, carrier, 8) == 8
    assert arrives(sbc, carrier, office, 8) == 8
    assert arrives(sbc, carrier, office, 0) == 8  # its answer had both
    office.hangs_up()
    assert sbc.idle()


def test_and_so_does_another_codec(world):
    sbc, office, carrier = talking(world, {"codecs": ("G722", "PCMA")}, {"codecs": ("G722",)})
    assert formats(carrier) == ("9", "8", "0")
    assert formats(office) == ("9",)
    assert recodings(sbc) == ()
    office.hangs_up()
    assert sbc.idle()


def test_both_laws_on_both_sides_are_left_as_they_are(world):
    sbc, office, carrier = talking(world, BOTH, BOTH)
    assert formats(carrier) == ("0", "8", "101")
    assert recodings(sbc) == ()
    office.hangs_up()
    assert sbc.idle()


def test_a_peer_for_which_it_is_off_is_offered_nothing_else(world):
    sbc = world(peers={"carrier": OFF})
    office, carrier = sbc.office(**A_LAW), sbc.carrier(**MU_LAW)
    office.invites(FAR)
    carrier.waits_for("INVITE")
    assert carrier.call.remote_sdp.media[0].formats == ("8", "101")
    carrier.refuses(488)
    assert office.got(488)
    carrier.invites(DID)
    office.answers()  # but the office may
    assert arrives(sbc, carrier, office, 0) == 8
    office.hangs_up()
    assert sbc.idle()


def test_rules_that_leave_no_law_in_common(world):
    """Both telephones have both laws; the one side may use A-law alone, the other µ-law."""
    rules = {"office": {"codecs": ["PCMA", "telephone-event"]}, "carrier": {"codecs": ["PCMU", "telephone-event"]}}
    sbc, office, carrier = talking(world, BOTH, BOTH, peers=rules)
    assert (formats(office), formats(carrier)) == (("8", "101"), ("0", "101"))
    assert arrives(sbc, office, carrier, 8) == 0
    assert arrives(sbc, carrier, office, 0) == 8
    carrier.holds()
    carrier.resumes()
    assert arrives(sbc, carrier, office, 0) == 8
    office.hangs_up()
    assert sbc.idle()


def test_a_law_that_a_peer_may_not_have_is_not_offered_to_it(world):
    sbc, office, carrier = talking(world, A_LAW, BOTH, peers={"carrier": {"codecs": ["PCMA", "telephone-event"]}})
    assert formats(carrier) == ("8", "101")
    office.hangs_up()
    assert sbc.idle()


def test_what_the_asked_peer_prefers_does_not_come_before_what_both_have(world):
    sbc, office, carrier = talking(world, A_LAW, BOTH, peers={"carrier": {"codecs": {"order": ["PCMU"]}}})
    assert formats(carrier) == ("8", "0", "101")
    office.hangs_up()
    assert sbc.idle()


@pytest.mark.parametrize("convert", [False, True])
def test_an_invite_without_an_offer(world, convert):
    sbc = world(peers={"carrier": {"delayed_offer": "convert"}} if convert else None)
    office, carrier = sbc.office(**A_LAW), sbc.carrier(**MU_LAW)
    office.invites(FAR, sdp=False)
    carrier.answers()
    sbc.run(1.0)
    assert "8" in formats(office)
    assert "0" in formats(carrier)
    assert arrives(sbc, office, carrier, 8) == 0
    assert arrives(sbc, carrier, office, 0) == 8
    office.hangs_up()
    assert sbc.idle()


def test_a_converted_offer_between_rules_that_have_no_law_in_common(world):
    rules = {"office": {"codecs": ["PCMA"]}, "carrier": {"codecs": ["PCMU"], "delayed_offer": "convert"}}
    sbc = world(peers=rules)
    office, carrier = sbc.office(**BOTH), sbc.carrier(**BOTH)
    office.invites(FAR, sdp=False)
    carrier.answers()
    sbc.run(1.0)
    assert arrives(sbc, office, carrier, 8) == 0
    assert arrives(sbc, carrier, office, 0) == 8
    office.hangs_up()
    assert sbc.idle()


def test_a_reinvite_without_an_offer(world):
    sbc, office, carrier = talking(world, A_LAW, MU_LAW)
    for phone in (office, carrier):
        phone.reinvites(sdp=False)
        assert arrives(sbc, office, carrier, 8) == 0
        assert arrives(sbc, carrier, office, 0) == 8
    office.hangs_up()
    assert sbc.idle()


def test_forks_of_different_laws(world):
    sbc = world()
    office, carrier = sbc.office(**A_LAW), sbc.carrier()
    hand = ByHand(sbc, carrier)
    office.invites(FAR)
    hand.replies(183, tag="a", body=said("PCMU"))
    assert recodings(sbc) == (
        Transcoding("ingress", 8, "PCMA", 0, "PCMU"),
        Transcoding("egress", 0, "PCMU", 8, "PCMA"),
    )
    hand.replies(200, tag="b", body=said("PCMA"))
    assert recodings(sbc) == ()
    assert formats(office) == ("8", "101")
    office.hangs_up()
    hand.replies(200, to=hand.requests("BYE")[-1])
    assert sbc.idle()


def test_it_begins_and_ends_with_a_change_of_codecs(world):
    sbc, office, carrier = talking(world, BOTH, BOTH)
    office.offers_codecs("PCMA")
    carrier.offers_codecs("PCMU")
    assert arrives(sbc, carrier, office, 0) in (0, 8)
    office.offers_codecs("PCMU", "PCMA")
    carrier.offers_codecs("PCMU", "PCMA")
    assert recodings(sbc) == ()
    office.hangs_up()
    assert sbc.idle()


def test_the_other_way_of_numbering_events_is_rewritten_beside_it(world):
    sbc, office, carrier = talking(
        world, A_LAW, {**MU_LAW, "numbers": {"telephone-event": 96}}, caller="carrier"
    )  # fmt: skip
    carrier.holds()
    carrier.resumes()
    [one, other] = recodings(sbc)
    assert {one, other} == {
        Transcoding("ingress", 0, "PCMU", 8, "PCMA"),
        Transcoding("egress", 8, "PCMA", 0, "PCMU"),
    }
    assert sbc.dials(office, "5")
    assert sbc.dials(carrier, "6")
    office.hangs_up()
    assert sbc.idle()


def transferred(world, office, carrier, branch):
    """The carrier has called the office, which transfers it to the branch."""
    sbc = world(policy=POLICY % "terminate")
    third = sbc.phone("pbx-88.branch.internal", "10.0.0.6:5060", through="10.0.0.1:5060", user=BRANCH, **branch)
    ann, caller = sbc.office(**office), sbc.carrier(**carrier)
    caller.invites(DID)
    ann.answers()
    before = recodings(sbc)
    refers(ann)
    third.answers()
    sbc.run(2)
    return sbc, caller, third, before


def test_a_transfer_to_a_telephone_with_both_laws_ends_it(world):
    sbc, carrier, branch, before = transferred(world, A_LAW, MU_LAW, BOTH)
    assert len(before) == 2
    assert formats(branch)[0] == "0"
    assert formats(carrier)[0] == "0"
    assert arrives(sbc, carrier, branch, 0) == 0
    assert arrives(sbc, branch, carrier, 0) == 0
    carrier.hangs_up()
    assert sbc.idle()


@pytest.mark.parametrize("office", [BOTH, MU_LAW])
def test_a_transfer_to_a_telephone_with_the_other_law_begins_it(world, office):
    sbc, carrier, branch, before = transferred(world, office, MU_LAW, A_LAW)
    assert "ingress" not in [recoding.side for recoding in before]
    assert arrives(sbc, carrier, branch, 0) == 8
    assert arrives(sbc, branch, carrier, 8) == 0
    branch.holds()
    branch.resumes()
    assert arrives(sbc, branch, carrier, 8) == 0
    branch.hangs_up()
    assert sbc.idle()


def test_a_transfer_between_telephones_that_had_it_each_with_the_first(world):
    """What is said by A-law on both sides is recoded no more."""
    sbc, carrier, branch, before = transferred(world, MU_LAW, A_LAW, A_LAW)
    assert len(before) == 2
    assert arrives(sbc, carrier, branch, 8) == 8
    assert arrives(sbc, branch, carrier, 8) == 8
    carrier.hangs_up()
    assert sbc.idle()
