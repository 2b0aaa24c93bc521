"""What a fraudster tries by transfers, redirections and replacements: other people's names, and ways around limits."""

import pytest

from sbc.core import limits
from sbc.testing.referring import refer_to_replacing
from sbc.testing.world import DID, POLICY, with_peers

from .transferring import ABROAD, BRANCH, called, refers, three
from .transferring import POLICY as TRANSFERS

ANN = "+14155550101"
FORGED = "+18005550199"
MOBILE = "+14155559999"
OTHER_MOBILE = "+14155558888"


def seen_by(sbc, phone):
    """Every octet that this phone was ever sent."""
    return b"".join(sbc.net.sent_to(phone.name)).decode("latin-1")


# --- whose number is shown --------------------------------------------------------------------------------------------


def test_who_takes_a_call_over_shows_only_a_number_of_his_pbx(world):
    sbc, office, _, branch = three(world)
    office.invites(BRANCH)
    branch.answers()
    office.invites(BRANCH, caller=FORGED, replaces=office.call)
    sbc.run(1)
    assert office.is_talking
    assert FORGED not in seen_by(sbc, branch)
    branch.hangs_up()
    assert {record.caller for record in sbc.cdr} == {DID}
    assert sbc.idle()


def test_who_may_not_call_under_a_foreign_number_takes_no_call_over_under_it(world):
    policy = (TRANSFERS % "terminate").replace("mode: screen,", "mode: screen, on_fail: reject,")
    sbc = world(policy=policy)
    branch = sbc.phone("pbx-88.branch.internal", "10.0.0.6:5060", through="10.0.0.1:5060", user=BRANCH)
    office = sbc.office()
    office.invites(BRANCH)
    branch.answers()
    desk = office.call
    office.invites(BRANCH, caller=FORGED, replaces=desk)
    assert office.call.status == 403
    assert (desk.stage, branch.call.stage) == ("talking", "talking")
    branch.hangs_up()
    assert sbc.idle()


def test_who_withholds_his_number_withholds_it_when_he_transfers_what_he_was_joined_with(world):
    """The branch calls Ann, anonymously; she joins it with somebody abroad, whom it sends on to Bob."""
    policy = with_peers(TRANSFERS % "terminate", {"branch": {"transfer": "terminate"}})
    sbc = world(policy=policy)
    branch = sbc.phone("pbx-88.branch.internal", "10.0.0.6:5060", through="10.0.0.1:5060", user=BRANCH)
    office, carrier = sbc.office(), sbc.carrier()
    carrier.invites(DID)
    office.answers()
    first = office.call
    branch.invites(DID, caller=BRANCH, fields=(("Privacy", "id"),))
    office.answers()
    second = office.call
    refers(office, party=first, to=refer_to_replacing(second))
    sbc.run(1)
    refers(branch, ANN)
    sbc.run(1)
    invite = office.last("INVITE")
    assert invite.header("From").startswith('"Anonymous"')
    assert BRANCH not in seen_by(sbc, office)
    assert BRANCH not in seen_by(sbc, carrier)
    office.answers()
    carrier.hangs_up()
    assert sbc.idle()


# --- limits -----------------------------------------------------------------------------------------------------------

# The office may send calls on to mobiles; how many, and for how long, is limited.
LIMITED = (
    POLICY.replace("routes:\n", "routes:\n  - {name: mobile, from: office, to: ['+1X.'], via: [carrier], %s}\n")
    .replace("name: inbound, from: carrier", "name: inbound, from: [carrier]")
)  # fmt: skip


def sent_on(sbc, carrier, office, *, to=MOBILE):
    """Somebody calls the office, whose PBX sends the call on by a 302: what becomes of the call that he made."""
    carrier.invites(DID)
    made = carrier.call
    office.redirects(f"sip:{to}@10.0.0.5")
    return made


@pytest.mark.parametrize("limit", ["limits: {call_paths: 1}", "limits: {cps: 1}"])
def test_a_302_is_no_way_around_the_limits_of_the_route_that_it_takes(world, limit):
    sbc = world(LIMITED % limit)
    office, carrier = sbc.office(), sbc.carrier()
    first = sent_on(sbc, carrier, office)
    carrier.answers(call=carrier.calls[-1])
    second = sent_on(sbc, carrier, office, to=OTHER_MOBILE)
    assert second.stage == "ended"
    assert OTHER_MOBILE not in seen_by(sbc, carrier)
    carrier.hangs_up(call=first)
    assert sbc.idle()


@pytest.mark.parametrize("limit", ["call_paths: 1", "minutes_per_day: 1"])
def test_a_302_is_no_way_around_the_limits_of_the_pbx_that_sends_it(world, limit):
    sbc = world(LIMITED % "continue_on: [503]", peers={"office": {"limits": yaml_of(limit)}})
    office, carrier = sbc.office(), sbc.carrier()
    first = sent_on(sbc, carrier, office)
    carrier.answers(call=carrier.calls[-1])
    sbc.run(61)
    second = sent_on(sbc, carrier, office, to=OTHER_MOBILE)
    assert second.stage == "ended"
    assert OTHER_MOBILE not in seen_by(sbc, carrier)
    carrier.hangs_up(call=first)
    assert sbc.idle()


def yaml_of(limit):
    name, value = limit.split(": ")
    return {name: int(value)}


def test_what_a_302_has_sent_on_lasts_no_longer_than_its_route_allows(world):
    sbc = world(LIMITED % "limits: {max_duration: 10m}")
    office, carrier = sbc.office(), sbc.carrier()
    first = sent_on(sbc, carrier, office)
    carrier.answers(call=carrier.calls[-1])
    sbc.run(601)
    assert first.stage == "ended"
    assert sbc.cdr.only.cause == "rate_limited"
    assert sbc.idle()


def test_limits_that_a_302_has_used_are_given_back(world):
    sbc = world(LIMITED % "limits: {call_paths: 1}")
    office, carrier = sbc.office(), sbc.carrier()
    for number in (MOBILE, OTHER_MOBILE):
        made = sent_on(sbc, carrier, office, to=number)
        carrier.answers(call=carrier.calls[-1])
        assert made.stage == "talking"
        carrier.hangs_up(call=made)
        sbc.run(1)
    assert sbc.idle()


# --- who is there now -------------------------------------------------------------------------------------------------


def test_who_talks_shows_only_numbers_of_his_pbx_to_another_pbx(world):
    sbc, office, _, branch = three(world)
    office.invites(BRANCH)
    branch.answers()
    office.updates(sdp=False, fields=(("P-Asserted-Identity", f'"Bank" <sip:{FORGED}@10.0.0.5>'),))
    sbc.run(1)
    assert FORGED not in seen_by(sbc, branch)
    office.updates(sdp=False, fields=(("P-Asserted-Identity", f"<sip:{ANN}@10.0.0.5>"),))
    sbc.run(1)
    assert ANN in seen_by(sbc, branch)
    office.hangs_up()
    assert sbc.idle()


def test_who_answers_shows_only_numbers_of_his_pbx_to_another_pbx(world):
    sbc, office, _, branch = three(world)
    branch.invites(DID)
    office.answers(fields=(("P-Asserted-Identity", f"<sip:{FORGED}@10.0.0.5>"),))
    assert FORGED not in seen_by(sbc, branch)
    branch.hangs_up()
    assert sbc.idle()


# --- records ----------------------------------------------------------------------------------------------------------


# BOUND: CDR_QUEUE
def test_nobody_is_called_by_a_transfer_while_there_is_no_room_for_a_record(world, monkeypatch):
    monkeypatch.setattr(limits, "CDR_QUEUE", 1)
    sbc, office, carrier, branch = called(world)
    sbc.disk_is_full = True
    office.invites(ABROAD)
    carrier.refuses(486)
    sbc.run(2)
    office.transfers(BRANCH, call=office.calls[0])
    sbc.run(2)
    assert office.calls[0].progress[-1] == 503
    assert branch.heard == []
    sbc.disk_is_full = False
    sbc.disk_has_room()
    carrier.hangs_up(call=carrier.calls[0])
    assert sbc.idle()


# --- call paths -------------------------------------------------------------------------------------------------------


def test_a_trunk_that_takes_its_calls_over_holds_a_call_path_for_each(world):
    policy = with_peers(TRANSFERS % "terminate", {"carrier": {"transfer": "terminate", "call_paths": 1}})
    sbc = world(policy=policy)
    office, carrier = sbc.office(), sbc.carrier()
    carrier.invites(DID)
    office.answers()
    for _ in range(3):
        carrier.invites(DID, replaces=carrier.call)
        sbc.run(1)
        assert carrier.is_talking
    (path,) = [path for path in sbc.switch.snapshot(sbc.now).paths if path.trunk == "carrier"]
    assert path.used == 1
    carrier.invites(DID)
    assert carrier.call.stage == "ended"
    office.hangs_up()
    assert sbc.idle()
