"""What a death of signalling leaves of a transfer: who is told, which legs are there, what they hold."""

from sbc.b2bua.events import HangUpOrdered
from sbc.testing.referring import refer_to_replacing
from sbc.testing.world import DID, FAR

from .transferring import ABROAD, called, can_talk, refers


def lives_again(sbc):
    sbc.signalling_dies()
    sbc.signalling_lives(after=0.3)


def transferred(world):
    """Attended: the caller at the carrier talks with the branch, and the office has gone."""
    sbc, office, carrier, branch = called(world)
    first = office.call
    office.holds()
    branch.invites(DID)
    office.answers()
    refers(office, party=first, to=refer_to_replacing(office.call))
    sbc.run(1)
    carrier.holds()  # so that it is written down who has gone
    carrier.resumes()
    return sbc, office, carrier, branch


def test_a_goodbye_of_a_leg_that_had_closed_comes_again(world):
    """Its number is nobody else's, and the call goes on."""
    sbc, office, carrier, branch = transferred(world)
    [first, second] = office.agent.parties
    lives_again(sbc)
    for party in (first, second):
        request = party.request("BYE", party.local_seq + 1, (), b"")
        via = f"SIP/2.0/UDP 10.0.0.5:5060;branch=z9hG4bKbyhand{party.n}late"
        sbc.inject(_octets(request, via), office)
    sbc.run(1)
    assert not [log for log in sbc.logs if log.level == "error"]
    assert can_talk(sbc, branch, carrier)
    carrier.hangs_up()
    assert branch.got("BYE")
    assert sbc.idle()


def _octets(request, via):
    head = [f"BYE {request.uri_text} SIP/2.0", f"Via: {via}"]
    head += [f"{name}: {value}" for name, value in request.fields if name not in ("Via", "Content-Length")]
    return ("\r\n".join([*head, "Content-Length: 0"]) + "\r\n\r\n").encode()


def test_a_transfer_after_the_death_gets_legs_of_its_own(world):
    sbc, office, carrier, branch = transferred(world)
    lives_again(sbc)
    refers(branch, DID)
    office.answers()
    sbc.run(1)
    assert can_talk(sbc, office, carrier)
    office.hangs_up()
    assert carrier.got("BYE")
    assert len(sbc.cdr) == 3
    assert sbc.idle()


def test_an_operator_ends_it_by_the_ref_that_was_taken_in(world):
    sbc, _office, carrier, branch = transferred(world)
    [view] = sbc.switch.snapshot(sbc.now).calls
    [taken_in] = sbc.switch.call_view(view.ref).joined
    lives_again(sbc)
    sbc.tell(HangUpOrdered(taken_in))
    assert carrier.got("BYE")
    assert branch.got("BYE")
    assert sbc.idle()


def test_who_was_about_to_leave_gives_his_path_back(world):
    """Two at the carrier talk with one another; the office, which has brought them together, goes."""
    sbc, office, carrier, _ = called(world)
    first = office.call
    office.invites(ABROAD)
    carrier.answers()
    office.ignores("NOTIFY", "BYE")
    refers(office, party=first, to=refer_to_replacing(office.call))
    sbc.run(1)
    before = [len(path.holders) for path in sbc.switch.snapshot(sbc.now).paths if path.trunk == "carrier"]
    lives_again(sbc)
    office.wakes()
    sbc.run(5)
    assert [len(path.holders) for path in sbc.switch.snapshot(sbc.now).paths if path.trunk == "carrier"] == before
    carrier.hangs_up()
    assert sbc.idle(but=["complaints"])


def test_a_path_of_an_attempt_that_was_given_up_is_free_when_that_has_ended(world):
    policy = (
        "sbc: {name: test, data_dir: /nowhere, country: US}\n"
        "interfaces:\n"
        "  inside: {sip: [udp:10.0.0.1:5060], media: 10.0.0.1}\n"
        "  outside: {sip: [udp:203.0.113.1:5060], media: 203.0.113.1}\n"
        "pbxs: {office: {interface: inside, address: sip:10.0.0.5:5060, dids: ['+14155550100-+14155550199']}}\n"
        "trunks:\n"
        "  first: {interface: outside, servers: ['sip:198.51.100.7:5060'], call_paths: 1, no_progress: 5s}\n"
        "  second: {interface: outside, servers: ['sip:198.51.100.8:5060']}\n"
        "routes: [{name: outbound, from: office, to: ['+44X.'], via: [first, second]}]\n"
    )
    sbc = world(policy)
    office = sbc.office()
    one = sbc.carrier()
    other = sbc.phone("other.carrier2.net", "198.51.100.8:5060", through="203.0.113.1:5060", user=FAR)
    office.invites(FAR)
    one.ignores("CANCEL")
    sbc.run(6)
    other.answers()
    sbc.run(1)
    lives_again(sbc)
    one.wakes()
    sbc.run(60)
    assert [len(path.holders) for path in sbc.switch.snapshot(sbc.now).paths if path.trunk == "first"] == [0]
    office.hangs_up()
    assert sbc.idle(but=["complaints"])


def test_who_asked_for_a_transfer_hears_that_it_was_given_up(world):
    sbc, office, carrier, branch = called(world)
    referral = refers(office)
    branch.rings()
    sbc.run(2)
    lives_again(sbc)
    sbc.run(5)
    assert referral.progress[-1] == 503
    assert branch.got("CANCEL")
    assert can_talk(sbc, office, carrier)
    again = refers(office)  # and may ask for it again, in the same dialog, by an id of its own
    branch.answers()
    sbc.run(1)
    assert again.progress[-1] == 200
    carrier.hangs_up()
    assert sbc.idle()


def test_who_was_about_to_be_told_of_a_transfer_that_was_made_is_told(world):
    sbc, office, carrier, branch = called(world)
    referral = refers(office)
    branch.rings()
    sbc.run(2)
    office.ignores("NOTIFY")
    branch.answers()
    sbc.run(0.1)
    sbc.signalling_dies()
    office.wakes()
    sbc.signalling_lives(after=0.3)
    assert referral.progress[-1] == 200
    assert office.call.stage == "ended"
    assert can_talk(sbc, branch, carrier)
    carrier.hangs_up()
    assert sbc.idle()


def test_the_end_of_a_transfer_that_has_crossed_crosses(world):
    """The carrier carries it out, by a call through us, which is cut off while it is set up; so he says."""
    sbc, office, carrier, branch = called(world, "pass")
    referral = refers(office)
    sbc.run(1)
    lives_again(sbc)
    sbc.run(2)
    assert branch.got("CANCEL")
    assert carrier.call.status == 503
    assert referral.progress[-1] == 503
    office.hangs_up()
    assert sbc.idle()
