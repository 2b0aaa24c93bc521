"""Who knows the names of a dialog that is not his: nobody takes over, changes or ends other people's calls."""

import pytest

from sbc.testing.byhand import ByHand
from sbc.testing.referring import refer_to_replacing
from sbc.testing.world import FAR, INSIDE, OUTSIDE, POLICY

TWO_ACCOUNTS = (
    POLICY.replace(
        "address: sip:10.0.0.5:5060", "registers: true, accept: any, auth: {username: office, password: 0ff1ce}"
    )
    .replace(
        "trunks:\n",
        "  branch: {interface: inside, registers: true, accept: any, auth: {username: branch, password: x9}}\n"
        "trunks:\n",
    )
    .replace("from: office", "from: [office, branch]")
)

OTHER = "interface: outside, servers: ['sip:198.51.100.8:5060'], methods: [INVITE, UPDATE, REFER, INFO, MESSAGE]"


def two_accounts(world, **options):
    """Two customers who log in at the same door, of whom the first talks with somebody abroad."""
    sbc = world(TWO_ACCOUNTS, **options)
    office, carrier = sbc.office(), sbc.carrier()
    branch = sbc.phone("branch.internal", "192.0.2.80:5060", through=INSIDE, user="21")
    office.has_credentials("office", "0ff1ce")
    branch.has_credentials("branch", "x9")
    office.invites(FAR)
    carrier.answers()
    return sbc, office, branch, carrier


def test_another_account_at_the_same_door_takes_no_call_over_by_names_that_it_has_stolen(world):
    sbc, office, branch, carrier = two_accounts(world)
    branch.invites(FAR, replaces=office.call.replaces)
    sbc.run(1)
    assert branch.call.status == 481
    assert office.is_talking
    assert sbc.hears(office, carrier)
    office.hangs_up()
    assert sbc.idle()


def test_the_same_account_may_take_it_over_from_elsewhere(world):
    sbc, office, branch, carrier = two_accounts(world)
    branch.has_credentials("office", "0ff1ce")
    branch.invites(FAR, replaces=office.call.replaces)
    sbc.run(1)
    assert (office.call.stage, branch.is_talking) == ("ended", True)
    branch.hangs_up()
    assert carrier.got("BYE")
    assert sbc.idle()


def test_another_account_transfers_no_call_that_it_has_stolen_the_names_of(world):
    sbc, office, branch, carrier = two_accounts(world)
    branch.invites(FAR)
    carrier.answers()
    branch.refers(refer_to_replacing(office.call))
    sbc.run(1)
    assert branch.call.referrals[-1].status == 603
    assert office.is_talking
    office.hangs_up()
    branch.hangs_up()
    assert sbc.idle()


@pytest.mark.parametrize("method", ["BYE", "INVITE", "UPDATE", "REFER", "INFO", "MESSAGE"])
def test_a_trunk_says_nothing_in_the_dialog_of_a_pbx(world, method):
    sbc = world(POLICY.replace("routes:\n", f"  other: {{{OTHER}}}\nroutes:\n"))
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    theirs, heard = office.call, list(carrier.heard)
    mallory = ByHand(sbc, sbc.phone("softswitch-4.other.net", "198.51.100.8:5060", through=OUTSIDE))
    names = {"call_id": theirs.call_id, "from_tag": theirs.local_tag, "to_tag": theirs.remote_tag}
    mallory.sends(method, **names, cseq=9_999, sdp=method == "INVITE")
    assert mallory.statuses(method) == [481]
    assert office.is_talking
    assert carrier.heard == heard
    office.hangs_up()
    assert sbc.idle(but=["leaks"])  # what it says itself comes back to it


@pytest.mark.parametrize(("who", "status"), [("branch", 200), ("office", 405)])
def test_within_a_call_each_account_has_its_own_methods_whoever_it_says_that_it_is(world, who, status):
    texts = {"methods": ["INVITE", "MESSAGE"]}
    sbc, office, branch, carrier = two_accounts(world, peers={"branch": texts, "carrier": texts})
    branch.invites(FAR)
    carrier.answers()
    phone = office if who == "office" else branch
    claims = (("Authorization", 'Digest username="branch", realm="test", nonce="n", uri="sip:x", response="0"'),)
    phone.requests("MESSAGE", fields=(("Content-Type", "text/plain"), *claims), body=b"hello")
    assert f"{status} MESSAGE" in phone.heard
    office.hangs_up()
    branch.hangs_up()
    assert sbc.idle()
