"""A 3xx in answer to an INVITE: followed by the routes of who redirects, or refused; never shown to the caller."""
# RFC: 5806, 6044, 7044

import pytest

from sbc.b2bua.events import HangUpOrdered
from sbc.sip.parse import parse_message
from sbc.testing.world import DID, FAR, OUTSIDE, POLICY

from .transferring import called, refers

ANN = "+14155550101"
BOB = "+14155550102"
CALLER = "+12125550123"
MOBILE = "+14155559999"
PREMIUM = "+19005550100"

# The PBX may send calls to the US and the UK, to its own people, and nowhere else.
OFFICE = POLICY.replace(
    "routes:\n",
    "routes:\n  - {name: internal, from: office, to: dids}\n  - {name: premium, to: ['+1900X.'], reject: 403}\n",
)
SPARE = OFFICE.replace(
    "routes:\n", "  spare: {interface: outside, servers: ['sip:198.51.100.8:5060'], domain: spare.example}\nroutes:\n"
)
FOLLOWS = {"carrier": {"redirect": "follow"}}


def invites_to(sbc, phone):
    sent = [data for data in sbc.net.sent_to(phone.name) if data.startswith(b"INVITE")]
    return [parse_message(data, stream=False) for data in sent]


def told(invite):
    """From without tag, P-Asserted-Identity, Diversion, History-Info."""
    from_ = str(invite.header("From")).partition(";tag=")[0]
    return from_, invite.header("P-Asserted-Identity"), invite.headers("Diversion"), invite.headers("History-Info")


def hears_no_redirection(phone):
    """No 3xx, and nothing that says that there was one."""
    assert not [heard for heard in phone.heard if heard.startswith("3")]


def attempts(sbc):
    return [(one.peer, one.sip_status) for one in sbc.cdr.only.attempts]


def test_the_pbx_sends_a_call_on_to_a_mobile(world):
    sbc = world(OFFICE)
    office, carrier = sbc.office(), sbc.carrier()
    carrier.invites(DID, caller=CALLER)
    office.redirects(f"sip:{MOBILE}@10.0.0.5")
    carrier.answers(call=carrier.calls[-1])
    assert carrier.calls[-1].called == MOBILE
    assert told(invites_to(sbc, carrier)[0]) == (
        f"<sip:{CALLER}@198.51.100.7>",
        f"<sip:{DID}@198.51.100.7>",
        [f"<sip:{DID}@198.51.100.7>;reason=unconditional;counter=1"],
        [
            f"<sip:{DID}@198.51.100.7?Reason=SIP%3Bcause%3D302>;index=1",
            f"<sip:{MOBILE}@198.51.100.7;cause=302>;index=1.1;mp=1",
        ],
    )
    carrier.hangs_up(call=carrier.calls[0])
    hears_no_redirection(carrier)
    record = sbc.cdr.only
    assert (record.cause, record.egress, record.called, record.called_as_sent) == ("normal", "carrier", DID, MOBILE)
    assert not record.disaster
    assert attempts(sbc) == [("office", 302), ("carrier", 200)]
    assert sbc.idle()


def test_a_call_that_rang_before_is_deflected(world):
    sbc = world(OFFICE)
    office, carrier = sbc.office(), sbc.carrier()
    carrier.invites(DID, caller=CALLER)
    office.rings()
    office.redirects(f"sip:{MOBILE}@10.0.0.5")
    mobile = carrier.calls[-1]
    carrier.rings(call=mobile)
    carrier.answers(call=mobile)
    _, _, diversions, history = told(invites_to(sbc, carrier)[0])
    assert diversions == [f"<sip:{DID}@198.51.100.7>;reason=deflection;counter=1"]
    assert history[-1] == f"<sip:{MOBILE}@198.51.100.7;cause=480>;index=1.1;mp=1"
    assert carrier.got(180, 180, 200, call=carrier.calls[0])
    carrier.hangs_up(call=mobile)
    assert attempts(sbc) == [("office", 302), ("carrier", 200)]
    assert sbc.idle()


def test_a_302_with_a_diversion_says_itself_why(world):
    sbc = world(OFFICE)
    office, carrier = sbc.office(), sbc.carrier()
    said = (
        ("Contact", f"<sip:{MOBILE}@10.0.0.5>"),
        ("Diversion", '"Ann at pbx-77" <sip:ann@pbx-77.office.internal>;reason=do-not-disturb;counter=4'),
    )
    carrier.invites(DID, caller=CALLER)
    office.refuses(302, fields=said)
    carrier.answers(call=carrier.calls[-1])
    _, _, diversions, history = told(invites_to(sbc, carrier)[0])
    assert diversions == [f"<sip:{DID}@198.51.100.7>;reason=do-not-disturb;counter=1"]
    assert history[-1] == f"<sip:{MOBILE}@198.51.100.7;cause=404>;index=1.1;mp=1"
    carrier.hangs_up(call=carrier.calls[0])
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_what_the_call_has_behind_it_is_told_too(world):
    sbc = world(OFFICE)
    office, carrier = sbc.office(), sbc.carrier()
    said = (
        ("Diversion", "<sip:+12125550199@softswitch-3.carrier.net>;reason=user-busy;counter=1"),
        ("History-Info", "<sip:+12125550199@softswitch-3.carrier.net>;index=1"),
        ("History-Info", f"<sip:{DID}@softswitch-3.carrier.net;cause=486>;index=1.1;mp=1"),
    )
    carrier.invites(DID, caller=CALLER, fields=said)
    office.redirects(f"sip:{MOBILE}@10.0.0.5")
    carrier.answers(call=carrier.calls[-1])
    _, _, diversions, history = told(invites_to(sbc, carrier)[0])
    assert diversions == [
        f"<sip:{DID}@198.51.100.7>;reason=unconditional;counter=1",
        "<sip:+12125550199@198.51.100.7>;reason=user-busy;counter=1",
    ]
    assert history == [
        "<sip:+12125550199@198.51.100.7>;index=1",
        f"<sip:{DID}@198.51.100.7;cause=486?Reason=SIP%3Bcause%3D302>;index=1.1;mp=1",
        f"<sip:{MOBILE}@198.51.100.7;cause=302>;index=1.1.1;mp=1.1",
    ]
    carrier.hangs_up(call=carrier.calls[0])
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


@pytest.mark.parametrize("number", ["+882165550100", PREMIUM, "911", "ann", ""])
def test_no_302_dials_what_the_pbx_may_not_dial(world, number):
    sbc = world(OFFICE)
    office, carrier = sbc.office(), sbc.carrier()
    carrier.invites(DID, caller=CALLER)
    office.redirects(f"sip:{number}@198.51.100.7" if number else "sip:198.51.100.7")
    assert carrier.got(100, 502)
    hears_no_redirection(carrier)
    assert "INVITE" not in carrier.heard
    assert attempts(sbc) == [("office", 302)]
    assert sbc.cdr.only.answered_at is None
    assert sbc.idle()


def test_a_trunk_that_redirects_is_not_followed_by_default(world):
    sbc = world(OFFICE)
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.redirects(f"sip:{PREMIUM}@198.51.100.7", f"sip:{MOBILE}@198.51.100.7")
    assert office.got(100, 502)
    hears_no_redirection(office)
    assert len(invites_to(sbc, carrier)) == 1
    assert attempts(sbc) == [("carrier", 302)]
    assert sbc.idle()


def test_a_pbx_may_be_told_not_to_redirect(world):
    sbc = world(OFFICE, peers={"office": {"redirect": "refuse"}})
    office, carrier = sbc.office(), sbc.carrier()
    carrier.invites(DID, caller=CALLER)
    office.redirects(f"sip:{MOBILE}@10.0.0.5")
    assert carrier.got(502)
    assert "INVITE" not in carrier.heard
    assert sbc.idle()


def test_a_trunk_that_may_redirect_goes_by_its_own_routes_and_is_not_vouched_for(world):
    policy = SPARE.replace("routes:\n", "routes:\n  - {name: onward, from: carrier, to: ['+3X.'], via: [spare]}\n")
    sbc = world(policy, peers=FOLLOWS)
    office, carrier = sbc.office(), sbc.carrier()
    spare = sbc.phone("second.carrier.net", "198.51.100.8:5060", through=OUTSIDE)
    office.invites(FAR)
    carrier.redirects("sip:+33155550199@198.51.100.7")
    spare.answers()
    from_, asserted, diversions, _ = told(invites_to(sbc, spare)[0])
    assert from_ == f"<sip:{DID}@spare.example>"
    assert asserted != f"<sip:{FAR}@spare.example>"
    assert diversions == [f"<sip:{FAR}@spare.example>;reason=unconditional;counter=1"]
    office.hangs_up()
    assert attempts(sbc) == [("carrier", 302), ("spare", 200)]
    assert sbc.idle()


def test_several_contacts_are_tried_in_their_order_of_preference(world):
    sbc = world(OFFICE)
    office, carrier = sbc.office(), sbc.carrier()
    contacts = f"<sip:{FAR}@10.0.0.5>;q=0.1, <sip:{PREMIUM}@10.0.0.5>, <sip:{MOBILE}@10.0.0.5>;q=0.8"
    carrier.invites(DID, caller=CALLER)
    office.refuses(300, fields=(("Contact", contacts),))
    assert carrier.calls[-1].called == MOBILE
    carrier.refuses(503, call=carrier.calls[-1])
    assert carrier.calls[-1].called == FAR
    carrier.answers(call=carrier.calls[-1])
    carrier.hangs_up(call=carrier.calls[0])
    assert attempts(sbc) == [("office", 300), ("carrier", 503), ("carrier", 200)]
    assert sbc.idle()


def test_to_another_did_of_its_own(world):
    sbc = world(OFFICE)
    office, carrier = sbc.office(), sbc.carrier()
    carrier.invites(ANN, caller=CALLER)
    office.redirects(f"sip:{BOB}@10.0.0.5")
    office.answers(call=office.calls[-1])
    assert office.calls[-1].called == BOB
    assert told(invites_to(sbc, office)[-1])[2] == [f"<sip:{ANN}@10.0.0.1>;reason=unconditional;counter=1"]
    carrier.hangs_up()
    assert attempts(sbc) == [("office", 302), ("office", 200)]
    assert sbc.idle()


@pytest.mark.parametrize("contact", [f"sip:{ANN}@10.0.0.5", f"sip:{ANN}@10.0.0.77:5070;transport=tcp", f"tel:{ANN}"])
def test_to_itself_ends(world, contact):
    sbc = world(OFFICE)
    office, carrier = sbc.office(), sbc.carrier()
    carrier.invites(ANN, caller=CALLER)
    office.redirects(contact)
    assert carrier.got(502)
    assert attempts(sbc) == [("office", 302)]
    assert sbc.idle()


def test_two_phones_that_point_at_each_other_end(world):
    sbc = world(OFFICE)
    office, carrier = sbc.office(), sbc.carrier()
    carrier.invites(ANN, caller=CALLER)
    office.redirects(f"sip:{BOB}@10.0.0.5")
    office.redirects(f"sip:{ANN}@10.0.0.5", call=office.calls[-1])
    assert carrier.got(502)
    assert attempts(sbc) == [("office", 302), ("office", 302)]
    assert sbc.idle()


# BOUND: REDIRECTS_PER_CALL
def test_a_chain_of_phones_ends(world):
    sbc = world(OFFICE)
    office, carrier = sbc.office(), sbc.carrier()
    carrier.invites(ANN, caller=CALLER)
    for n in range(2, 8):
        office.redirects(f"sip:+141555501{n:02}@10.0.0.5", call=office.calls[-1])
        if carrier.got(502):
            break
    assert len(attempts(sbc)) == 6
    assert carrier.got(502)
    assert sbc.idle()


def test_when_nobody_it_points_at_answers_the_hunt_goes_on(world):
    policy = SPARE.replace("via: [carrier]", "via: [carrier, spare]")
    sbc = world(policy, peers=FOLLOWS)
    office, carrier = sbc.office(), sbc.carrier()
    spare = sbc.phone("second.carrier.net", "198.51.100.8:5060", through=OUTSIDE)
    office.invites(FAR)
    carrier.redirects(f"sip:{ANN}@198.51.100.7")  # which the office owns
    office.refuses(503, call=office.calls[-1])
    spare.answers()
    assert (spare.call.called, told(invites_to(sbc, spare)[0])[2:]) == (FAR, ([], []))
    office.hangs_up(call=office.calls[0])
    assert attempts(sbc) == [("carrier", 302), ("office", 503), ("spare", 200)]
    assert sbc.idle()


def test_busy_where_it_points_at_is_what_the_caller_hears(world):
    sbc = world(OFFICE)
    office, carrier = sbc.office(), sbc.carrier()
    carrier.invites(DID, caller=CALLER)
    office.redirects(f"sip:{MOBILE}@10.0.0.5")
    carrier.refuses(486, call=carrier.calls[-1])
    assert carrier.got(486, call=carrier.calls[0])
    assert attempts(sbc) == [("office", 302), ("carrier", 486)]
    assert sbc.idle()


def test_with_all_call_paths_taken_it_says_so(world):
    sbc = world(OFFICE, peers={"carrier": {"call_paths": 1}})
    office, carrier = sbc.office(), sbc.carrier()
    carrier.invites(DID, caller=CALLER)  # has the only path
    office.redirects(f"sip:{MOBILE}@10.0.0.5")
    full = sbc.policy.peers["carrier"].when_full.outbound
    assert carrier.got(full)
    assert len(carrier.calls) == 1
    assert sbc.cdr.only.cause == "paths_full"
    assert attempts(sbc) == [("office", 302)]
    assert sbc.idle()


def test_the_path_of_who_redirects_serves_who_is_pointed_at(world):
    sbc = world(OFFICE, peers={"carrier": {"call_paths": 1, "redirect": "follow"}})
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.redirects(f"sip:{ANN}@198.51.100.7")
    office.answers(call=office.calls[-1])
    assert [path.used for path in sbc.switch.snapshot(sbc.now).paths] == [0]
    office.hangs_up(call=office.calls[0])
    assert attempts(sbc) == [("carrier", 302), ("office", 200)]
    assert sbc.idle()


def test_the_caller_gives_up_while_the_next_one_rings(world):
    sbc = world(OFFICE)
    office, carrier = sbc.office(), sbc.carrier()
    carrier.invites(DID, caller=CALLER)
    office.redirects(f"sip:{MOBILE}@10.0.0.5")
    carrier.rings(call=carrier.calls[-1])
    carrier.cancels(call=carrier.calls[0])
    assert carrier.got("CANCEL", call=carrier.calls[-1])
    assert carrier.got(487, call=carrier.calls[0])
    assert (sbc.cdr.only.cause, attempts(sbc)) == ("cancelled", [("office", 302), ("carrier", 487)])
    assert sbc.idle()


def test_a_302_without_a_contact_or_with_a_bad_one(world):
    sbc = world(OFFICE)
    office, carrier = sbc.office(), sbc.carrier()
    for contact in ("*", "<mailto:ann@office.example>", "<sip:>", '"'):
        carrier.invites(DID, caller=CALLER)
        office.refuses(302, fields=(("Contact", contact),), call=office.calls[-1])
        sbc.run(1.0)
    carrier.invites(DID, caller=CALLER)
    office.refuses(302, call=office.calls[-1])
    sbc.run(40.0)
    assert [call.status for call in carrier.calls][-1] == 502
    assert all(call.status >= 400 for call in carrier.calls)
    assert len(sbc.cdr) == 5
    assert sbc.idle()


EMERGENCY = SPARE.replace(
    "routes:\n", "routes:\n  - {name: help, emergency: true, to: [emergency], via: [carrier, spare]}\n"
)


def test_an_emergency_goes_on_where_a_trunk_redirects(world):
    sbc = world(EMERGENCY)
    office, carrier = sbc.office(), sbc.carrier()
    spare = sbc.phone("second.carrier.net", "198.51.100.8:5060", through=OUTSIDE)
    office.invites("911")
    carrier.redirects(f"sip:{MOBILE}@198.51.100.7", status=380)
    spare.answers()
    assert spare.call.called == "911"
    hears_no_redirection(office)
    office.hangs_up()
    assert attempts(sbc) == [("carrier", 380), ("spare", 200)]
    assert sbc.idle()


def test_an_emergency_is_sent_where_a_trunk_that_may_says_and_comes_back(world):
    sbc = world(EMERGENCY, peers=FOLLOWS)
    office, carrier = sbc.office(), sbc.carrier()
    spare = sbc.phone("second.carrier.net", "198.51.100.8:5060", through=OUTSIDE)
    office.invites("911")
    carrier.redirects(f"sip:{ANN}@198.51.100.7")
    office.refuses(486, call=office.calls[-1])
    spare.answers()
    assert spare.call.called == "911"
    office.hangs_up(call=office.calls[0])
    assert attempts(sbc) == [("carrier", 302), ("office", 486), ("spare", 200)]
    assert sbc.idle()


@pytest.mark.parametrize("caller_is_reliable", [True, False])
def test_after_early_media_that_was_acknowledged(world, caller_is_reliable):
    """The callee has agreed on a session already; then the phone that it points at agrees on another one."""
    sbc = world(OFFICE)
    office, carrier = sbc.office(), sbc.carrier()
    office.uses_100rel()
    if caller_is_reliable:
        carrier.uses_100rel()
        carrier.script.sees_forks = True
    carrier.invites(ANN, caller=CALLER)
    office.progresses(reliably=True)
    sbc.run(1.0)
    office.redirects(f"sip:{BOB}@10.0.0.5")
    other = office.calls[-1]
    office.rings(call=other)
    office.answers(call=other)
    sbc.run(1.0)
    assert carrier.is_talking
    assert sbc.hears(office, carrier)
    assert sbc.hears(carrier, office)
    hears_no_redirection(carrier)
    carrier.hangs_up()
    assert attempts(sbc) == [("office", 302), ("office", 200)]
    assert sbc.idle()


@pytest.mark.parametrize("convert", ["pass", "convert"])
def test_of_a_call_without_an_offer(world, convert):
    sbc = world(OFFICE, peers={"office": {"delayed_offer": convert}})
    office, carrier = sbc.office(), sbc.carrier()
    carrier.invites(ANN, caller=CALLER, sdp=False)
    office.redirects(f"sip:{BOB}@10.0.0.5")
    office.answers(call=office.calls[-1])
    sbc.run(1.0)
    assert sbc.hears(office, carrier)
    assert sbc.hears(carrier, office)
    carrier.hangs_up()
    assert attempts(sbc) == [("office", 302), ("office", 200)]
    assert sbc.idle()


def test_a_pbx_that_redirects_to_the_caller_rings_him(world):
    """Its own people call each other; who called is pointed at himself."""
    sbc = world(OFFICE)
    office = sbc.office()
    office.invites(BOB, caller=ANN)
    asked = office.calls[-1]
    office.redirects(f"sip:{ANN}@10.0.0.5", call=asked)
    office.refuses(486, call=office.calls[-1])
    assert office.calls[0].status == 486
    assert attempts(sbc) == [("office", 302), ("office", 486)]
    assert sbc.idle()


def test_an_anonymous_caller_stays_so(world):
    sbc = world(OFFICE)
    office, carrier = sbc.office(), sbc.carrier()
    hidden = (("P-Asserted-Identity", f"<sip:{CALLER}@198.51.100.7>"), ("Privacy", "id"))
    carrier.invites(DID, caller="anonymous", domain="anonymous.invalid", fields=hidden)
    office.redirects(f"sip:{MOBILE}@10.0.0.5")
    carrier.answers(call=carrier.calls[-1])
    from_, asserted, diversions, _ = told(invites_to(sbc, carrier)[0])
    assert "anonymous.invalid" in from_
    assert asserted == f"<sip:{DID}@198.51.100.7>"
    assert diversions == [f"<sip:{DID}@198.51.100.7>;reason=unconditional;counter=1"]
    assert CALLER not in str(invites_to(sbc, carrier)[0].fields)
    carrier.hangs_up(call=carrier.calls[0])
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_an_operator_hangs_up_what_was_redirected(world):
    sbc = world(OFFICE)
    office, carrier = sbc.office(), sbc.carrier()
    carrier.invites(DID, caller=CALLER)
    office.redirects(f"sip:{MOBILE}@10.0.0.5")
    carrier.rings(call=carrier.calls[-1])
    sbc.tell(HangUpOrdered(next(iter(sbc.switch.calls))))
    assert carrier.got("CANCEL", call=carrier.calls[-1])
    assert sbc.cdr.only.cause == "operator"
    assert sbc.idle()


@pytest.mark.parametrize("asked", ["office", "carrier"])
def test_a_reinvite_is_not_redirected(world, asked):
    """Only who begins a call can be sent elsewhere: within it this is a refusal, and the session stays."""
    sbc = world(OFFICE, peers=FOLLOWS)
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    one, other = (office, carrier) if asked == "carrier" else (carrier, office)
    other.answers_reinvites(None)
    one.holds()
    other.redirects(f"sip:{MOBILE}@{other.address}")
    assert one.call.last_status == 502
    hears_no_redirection(one)
    assert sbc.hears(office, carrier)
    assert sbc.hears(carrier, office)
    one.hangs_up()
    assert attempts(sbc) == [("carrier", 200)]
    assert sbc.idle()


def test_a_transfer_goes_where_its_target_points_at(world):
    sbc, office, carrier, branch = called(world)
    referral = refers(office)
    branch.redirects("sip:+14155550201@10.0.0.6")
    assert branch.calls[-1].called == "+14155550201"
    branch.answers(call=branch.calls[-1])
    sbc.run(2.0)
    assert referral.progress == [100, 200]
    assert sbc.hears(branch, carrier)
    carrier.hangs_up()
    assert [
        [(one.peer, one.sip_status) for one in record.attempts] for record in sbc.cdr if record.ingress == "office"
    ] == [[("branch", 302), ("branch", 200)]]
    assert len(sbc.cdr) == 2
    assert sbc.idle()


def test_the_transferor_hears_of_no_redirection_that_led_nowhere(world):
    sbc, office, carrier, branch = called(world)
    referral = refers(office)
    branch.redirects("sip:+882165550100@10.0.0.6")
    sbc.run(2.0)
    assert referral.progress == [100, 502]
    assert office.is_talking
    assert carrier.is_talking
    carrier.hangs_up()
    assert len(sbc.cdr) == 2
    assert sbc.idle()


def test_on_a_bad_network(world, chaos):
    sbc = world(OFFICE, **chaos)
    office, carrier = sbc.office(), sbc.carrier()
    carrier.answers_by_itself()
    carrier.invites(DID, caller=CALLER)
    office.redirects(f"sip:{MOBILE}@10.0.0.5")
    carrier.waits_for(200, call=carrier.calls[0])
    carrier.hangs_up(call=carrier.calls[0])
    hears_no_redirection(carrier)
    assert sbc.idle(after=160.0)
    assert attempts(sbc) == [("office", 302), ("carrier", 200)]
