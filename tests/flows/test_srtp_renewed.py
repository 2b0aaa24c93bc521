"""Keys under which nothing can be sent any more, because nobody knows what was: the peer is offered others, or the call
ends. So it is after a death of all processes (RFC 3711 §9.1; RFC 4568 §7.1.4; RFC 8842 §3.1).
"""
# RFC: 3711, 4568, 8842

import pytest

from sbc.b2bua.events import MediaReplied
from sbc.media import wire
from sbc.sdp import Direction
from sbc.sdp.security import InlineKey
from sbc.testing.secure_sdp import PhoneSrtp
from sbc.testing.world import DID, FAR

from .securing import FINGERPRINT, crypto, ends, first_line, session_of
from .transferring import can_talk

SDES, DTLS = PhoneSrtp(), PhoneSrtp(keying="dtls")
REQUIRED = {"srtp": "required"}
BY_DTLS = {"srtp": {"mode": "required", "keying": "dtls"}}
SIDES = ("ingress", "egress")


def talking(world, *, rules=REQUIRED, srtp=SDES, by="office", has_update=True):
    sbc = world(peers={"office": rules, "carrier": rules})
    sbc.switch.show_fingerprint(FINGERPRINT)
    phones = sbc.office(srtp=srtp), sbc.carrier(srtp=srtp)
    for phone in () if has_update else phones:
        phone.disallows("UPDATE")
    caller, callee = phones if by == "office" else phones[::-1]
    caller.invites(FAR if by == "office" else DID)
    callee.answers()
    return sbc, caller, callee


def spent(sbc, side, *, generation=0):
    put = session_of(sbc)
    sbc.tell(MediaReplied(wire.KeySpent(put.ref, generation or put.generation, 0, side)))
    sbc.run(1.0)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("by", ["office", "carrier"])
def test_its_peer_is_offered_another_key_and_the_other_side_hears_nothing_of_it(world, side, by):
    sbc, *phones = talking(world, by=by)
    n = SIDES.index(side)
    phone, other = phones[n], phones[1 - n]
    before, heard = [crypto(end) for end in ends(sbc)], len(other.call.heard)
    told = first_line(phone.call.remote_sdp)
    spent(sbc, side)
    after = [crypto(end) for end in ends(sbc)]
    assert after[n].send != before[n].send
    assert first_line(phone.call.remote_sdp).keys == (InlineKey(after[n].send.key),) != told.keys
    assert after[1 - n] == before[1 - n]
    assert len(other.call.heard) == heard
    assert [log.event for log in sbc.logs if log.event == "media.rekeyed"] == ["media.rekeyed"]
    assert can_talk(sbc, *phones)
    phone.hangs_up()
    assert sbc.idle()


def test_the_new_key_lasts_as_the_old_one_did(world):
    sbc, office, carrier = talking(world)
    spent(sbc, "egress")
    before = [crypto(end).send for end in ends(sbc)]
    carrier.holds()
    carrier.resumes()
    office.reinvites()
    assert [crypto(end).send for end in ends(sbc)] == before
    office.hangs_up()
    assert sbc.idle()


def test_both_sides_get_another_key_one_after_the_other(world):
    sbc, office, carrier = talking(world)
    before = [crypto(end).send for end in ends(sbc)]
    for side in SIDES:
        spent(sbc, side)  # said again when it is put again
    assert not {end.send.key for end in map(crypto, ends(sbc))} & {one.key for one in before}
    assert can_talk(sbc, office, carrier)
    office.hangs_up()
    assert sbc.idle()


def test_an_offer_of_the_peer_gets_the_new_key_in_its_answer(world):
    sbc, _, carrier = talking(world, has_update=False)
    before = crypto(ends(sbc)[1]).send
    carrier.script.reinvites = 491
    spent(sbc, "egress")
    carrier.script.reinvites = 200
    carrier.holds(Direction.SENDONLY)
    assert crypto(ends(sbc)[1]).send != before
    carrier.hangs_up()
    assert sbc.idle()


def test_who_takes_no_other_key_loses_the_call(world):
    sbc, office, carrier = talking(world, has_update=False)
    carrier.script.reinvites = 488
    spent(sbc, "egress")
    assert sbc.cdr.only.cause == "failed"
    assert office.got("BYE")
    assert sbc.idle()


def test_word_of_a_session_that_was_put_anew_since_changes_nothing(world):
    sbc, office, carrier = talking(world)
    before, heard = [crypto(end) for end in ends(sbc)], len(carrier.call.heard)
    spent(sbc, "egress", generation=session_of(sbc).generation - 1)
    assert [crypto(end) for end in ends(sbc)] == before
    assert len(carrier.call.heard) == heard
    office.hangs_up()
    assert sbc.idle()


def test_word_of_what_is_not_secured_changes_nothing(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    heard = len(carrier.call.heard)
    for side in SIDES:
        spent(sbc, side)
    assert len(carrier.call.heard) == heard
    office.hangs_up()
    assert sbc.idle()


@pytest.mark.parametrize("side", SIDES)
def test_a_handshake_begins_anew_on_another_port_of_ours(world, side):
    sbc, *phones = talking(world, rules=BY_DTLS, srtp=DTLS)
    n = SIDES.index(side)
    before = ends(sbc)
    in_use = sbc.switch.ports.in_use
    spent(sbc, side)
    after = ends(sbc)
    assert after[n].port != before[n].port
    assert after[n].secured.association != before[n].secured.association
    assert after[1 - n] == before[1 - n]
    assert phones[n].call.remote_sdp.media[0].port == after[n].port
    assert sbc.switch.ports.in_use == in_use
    phones[0].hangs_up()
    assert sbc.idle()
