"""Who one talks with, as the other side tells it: in the answer, and when somebody else is there (RFC 4916)."""
# RFC: 4916

import pytest

from sbc.sip.message import Request
from sbc.sip.parse import parse_message
from sbc.testing.byhand import ByHand
from sbc.testing.world import DID, FAR, POLICY

BOB = "+14155550102"
CARA = "+442079460077"
MOBILE = "+14155559999"
SCREENED = {"office": {"caller_id": {"mode": "screen", "default": DID}}}


def asserts(number, host="192.0.2.99"):
    return (("P-Asserted-Identity", f'"Desk 4" <sip:{number}@{host}>'),)


def told(sbc, phone):
    """(method or status, P-Asserted-Identity) of every message to a phone, its first INVITE apart, that has one."""
    read = [parse_message(data, stream=False) for data in sbc.net.sent_to(phone.name)]
    return [
        (m.method if isinstance(m, Request) else m.status, m.header("P-Asserted-Identity"))
        for m in read
        if m.header("P-Asserted-Identity") and not (isinstance(m, Request) and m.to.tag is None)
    ]


def talking(world, *, caller="office", **options):
    sbc = world(**options)
    office, carrier = sbc.office(), sbc.carrier()
    one, other = (office, carrier) if caller == "office" else (carrier, office)
    one.invites(FAR if caller == "office" else DID)
    other.answers()
    return sbc, office, carrier


def ends(sbc, phone, **options):
    phone.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    return sbc.idle(**options)


def test_the_answer_tells_who_has_answered(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.rings()
    carrier.answers(fields=asserts(CARA))
    assert told(sbc, office) == [(200, f'"Desk 4" <sip:{CARA}@10.0.0.1>')]
    assert ends(sbc, office)


def test_a_carrier_is_told_of_numbers_that_the_pbx_owns(world):
    sbc = world(peers=SCREENED)
    office, carrier = sbc.office(), sbc.carrier()
    carrier.invites(DID)
    office.answers(fields=asserts(BOB))
    carrier.invites(DID)
    office.answers(fields=asserts(MOBILE), call=office.calls[-1])
    assert told(sbc, carrier) == [(200, f"<sip:{BOB}@203.0.113.1>")]
    for call in carrier.calls:
        carrier.hangs_up(call=call)
    assert len(sbc.cdr) == 2
    assert sbc.idle()


@pytest.mark.parametrize("who", [FAR, "anonymous"])
def test_who_was_called_is_no_news(world, who):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers(fields=asserts(who) if who == FAR else ())
    assert told(sbc, office) == []
    assert ends(sbc, office)


def test_who_withholds_his_number_is_not_shown(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers(fields=(*asserts(CARA), ("Privacy", "id")))
    assert told(sbc, office) == [(200, '"Anonymous" <sip:anonymous@anonymous.invalid>')]
    assert CARA not in "".join([data.decode("latin-1") for data in sbc.net.sent_to(office.name)])
    assert ends(sbc, office)


def test_what_a_180_tells_the_200_tells_again_because_a_180_may_be_lost(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    hand = ByHand(sbc, carrier)
    office.invites(FAR)
    hand.replies(180, fields=asserts(CARA))
    hand.replies(200, sdp=True, fields=asserts(CARA))
    name = f'"Desk 4" <sip:{CARA}@10.0.0.1>'
    assert told(sbc, office) == [(180, name), (200, name)]
    office.hangs_up()
    hand.replies(200, to=hand.requests("BYE")[-1])
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle(but=("phones",))


@pytest.mark.parametrize("by", ["INVITE", "UPDATE"])
@pytest.mark.parametrize("caller", ["office", "carrier"])
@pytest.mark.parametrize("sender", ["office", "carrier"])
def test_somebody_else_is_told_of_once(world, caller, sender, by):
    sbc, office, carrier = talking(world, caller=caller)
    one, other, number = (office, carrier, BOB) if sender == "office" else (carrier, office, CARA)
    for codecs in (("PCMU",), ("PCMA",), ("PCMU",)):
        one.changes(codecs=codecs, by=by, fields=asserts(number))
    name = f"<sip:{number}@203.0.113.1>" if sender == "office" else f'"Desk 4" <sip:{number}@10.0.0.1>'
    assert told(sbc, other) == [(by, name)]
    assert ends(sbc, other)


@pytest.mark.parametrize("caller", ["office", "carrier"])
@pytest.mark.parametrize("sender", ["office", "carrier"])
def test_an_update_without_an_offer_tells_of_it_too(world, caller, sender):
    sbc, office, carrier = talking(world, caller=caller)
    one, other, number = (office, carrier, BOB) if sender == "office" else (carrier, office, CARA)
    for _ in range(3):
        one.updates(sdp=False, fields=asserts(number))
    assert one.got("200 UPDATE", "200 UPDATE", "200 UPDATE")
    assert [what for what, _ in told(sbc, other)] == ["UPDATE"]
    assert ends(sbc, one)


def test_a_peer_without_update_hears_of_it_with_the_next_offer(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    carrier.disallows("UPDATE")
    office.invites(FAR)
    carrier.answers()
    office.updates(sdp=False, fields=asserts(BOB))
    assert told(sbc, carrier) == []
    office.holds()
    office.changes(codecs=("PCMU",), fields=asserts(BOB))
    assert told(sbc, carrier) == [("INVITE", f"<sip:{BOB}@203.0.113.1>")]
    assert ends(sbc, office)


@pytest.mark.parametrize("sender", ["office", "carrier"])
def test_there_and_back_again(world, sender):
    """A call is passed on within a PBX, and comes back to who had it first."""
    sbc, office, carrier = talking(world)
    one, other = (office, carrier) if sender == "office" else (carrier, office)
    first, second = (DID, BOB) if sender == "office" else (FAR, CARA)
    for number, codecs in ((second, ("PCMU",)), (first, ("PCMA",)), (second, ("PCMU",))):
        one.changes(codecs=codecs, fields=asserts(number))
    assert [number for _, text in told(sbc, other) for number in (first, second) if number in text] == [
        second,
        first,
        second,
    ]
    assert ends(sbc, one)


def test_who_was_told_of_is_known_when_signalling_has_died_meanwhile(world):
    """He is no news then, and who had the call first is, when he is back."""
    sbc, office, carrier = talking(world)
    carrier.changes(codecs=("PCMU",), fields=asserts(CARA))
    sbc.signalling_dies()
    sbc.signalling_lives(after=0.5)
    for number, codecs in ((CARA, ("PCMA",)), (FAR, ("PCMU",))):
        carrier.changes(codecs=codecs, fields=asserts(number))
    assert [text for _, text in told(sbc, office)] == [f'"Desk 4" <sip:{one}@10.0.0.1>' for one in (CARA, FAR)]
    assert ends(sbc, office)


def test_a_refresh_that_says_nothing_changes_nothing(world):
    sbc, office, carrier = talking(world)
    carrier.changes(codecs=("PCMU",), fields=asserts(CARA))
    carrier.reinvites()
    carrier.updates(sdp=False)
    carrier.changes(codecs=("PCMA",))
    carrier.changes(codecs=("PCMU",), fields=asserts(CARA))
    assert [what for what, _ in told(sbc, office)] == ["INVITE"]
    assert ends(sbc, carrier)


def test_a_carrier_does_not_hear_of_numbers_that_are_not_the_pbxs(world):
    sbc, office, carrier = talking(world, peers=SCREENED)
    office.changes(codecs=("PCMU",), fields=asserts(MOBILE))
    office.updates(sdp=False, fields=asserts("201"))
    assert told(sbc, carrier) == []
    assert "UPDATE" not in carrier.heard
    assert ends(sbc, carrier)


def test_numbers_are_written_as_each_peer_wants_them(world):
    policy = POLICY.replace("servers: [", "numbers: {called: national, caller: national}, servers: [", 1)
    sbc = world(policy)
    office, carrier = sbc.office(), sbc.carrier()
    carrier.invites("4155550100")
    office.answers(fields=asserts(BOB))
    carrier.changes(codecs=("PCMU",), fields=asserts("2125550188"))
    assert told(sbc, carrier) == [(200, "<sip:4155550102@203.0.113.1>")]
    assert told(sbc, office) == [("INVITE", '"Desk 4" <sip:+12125550188@10.0.0.1>')]
    assert ends(sbc, carrier)


def test_policy_may_keep_it_from_a_peer(world):
    sbc = world(peers={"office": {"headers": {"remove": ["P-Asserted-Identity"]}}})
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers(fields=asserts(CARA))
    carrier.changes(codecs=("PCMU",), fields=asserts("+442079460078"))
    assert told(sbc, office) == []
    assert ends(sbc, carrier)


def test_while_the_other_side_changes_the_session(world):
    """An UPDATE that offers nothing waits for nobody."""
    sbc, office, carrier = talking(world)
    office.answers_reinvites(None)
    carrier.holds()
    carrier.updates(sdp=False, fields=asserts(CARA))
    assert ("UPDATE", f'"Desk 4" <sip:{CARA}@10.0.0.1>') in told(sbc, office)
    office.answers()
    carrier.resumes()
    office.answers()
    assert ends(sbc, carrier)


@pytest.mark.parametrize("text", ['"', "<sip:>", "<tel:>", "Bob", "<sip:@10.0.0.5>", "<sip:\x07@x>"])
def test_an_identity_that_cannot_be_read_is_none(world, text):
    sbc, office, carrier = talking(world)
    carrier.changes(codecs=("PCMU",), fields=(("P-Asserted-Identity", text),))
    assert told(sbc, office) == []
    assert ends(sbc, carrier)
