"""What the media worker is told of where packets may come from: latching by the peer, and each new description once."""
# RFC: 7362

import pytest

from sbc.core.address import Address
from sbc.testing.world import DID, FAR

from .transferring import BRANCH, POLICY, refers

NAT = {"latching": "nat", "media_from": ["198.51.100.0/24", "192.0.2.7"]}
STRICT = {"latching": "strict"}


def talking(world, **options):
    sbc = world(**options)
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    return sbc, office, carrier


def stream(sbc):
    [ref] = sbc.media.worker.sessions
    return sbc.media.worker.session(ref).streams[0]


def epochs(sbc):
    return stream(sbc).ingress.epoch, stream(sbc).egress.epoch


@pytest.mark.parametrize("caller", ["office", "carrier"])
def test_each_end_has_the_latching_of_its_peer(world, caller):
    sbc = world(peers={"office": STRICT, "carrier": NAT})
    office, carrier = sbc.office(), sbc.carrier()
    one, other = (office, carrier) if caller == "office" else (carrier, office)
    one.invites(FAR if caller == "office" else DID)
    early = stream(sbc)
    other.answers()
    for known in (early, stream(sbc)):
        inside, outside = (
            (known.ingress, known.egress) if caller == "office" else (known.egress, known.ingress)
        )  # fmt: skip
        assert (inside.latching, inside.media_from) == ("strict", ())
        assert (outside.latching, outside.media_from) == ("nat", ("198.51.100.0/24", "192.0.2.7/32"))
    one.hangs_up()
    assert sbc.idle()


def test_a_set_up_is_one_description(world):
    sbc, _, carrier = talking(world)
    assert epochs(sbc) == (0, 0)
    carrier.hangs_up()
    assert sbc.idle()


def test_early_media_and_the_same_in_the_answer_are_one(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.progresses()
    carrier.answers()
    assert epochs(sbc) == (0, 0)
    carrier.hangs_up()
    assert sbc.idle()


@pytest.mark.parametrize("by", ["INVITE", "UPDATE"])
def test_a_hold_is_a_new_description_of_both(world, by):
    sbc, office, _ = talking(world)
    office.holds(by=by)
    assert epochs(sbc) == (1, 1)
    office.resumes(by=by)
    assert epochs(sbc) == (2, 2)
    office.hangs_up()
    assert sbc.idle()


@pytest.mark.parametrize("who", ["office", "carrier"])
def test_a_refresh_is_none(world, who):
    sbc, office, carrier = talking(world)
    phone = office if who == "office" else carrier
    phone.reinvites()  # after an answer, its offer is in its own words
    before = epochs(sbc)
    phone.reinvites()
    phone.updates()
    assert epochs(sbc) == before
    phone.hangs_up()
    assert sbc.idle()


@pytest.mark.parametrize("who", ["office", "carrier"])
def test_the_same_words_in_a_new_version_are_one(world, who):
    """A telephone behind NAT that has another address there now cannot say it otherwise."""
    sbc, office, carrier = talking(world)
    phone, other = (office, carrier) if who == "office" else (carrier, office)
    phone.reinvites()
    before, heard = epochs(sbc), list(other.call.heard)
    phone.call.talk.version += 1
    phone.reinvites()
    mine = 0 if who == "office" else 1
    assert epochs(sbc)[mine] == before[mine] + 1
    assert epochs(sbc)[1 - mine] == before[1 - mine]
    assert other.call.heard == heard
    phone.reinvites()
    assert epochs(sbc)[mine] == before[mine] + 1
    phone.hangs_up()
    assert sbc.idle()


def test_an_offer_that_is_refused_is_none(world):
    sbc, office, carrier = talking(world)
    before = epochs(sbc)
    carrier.script.reinvites = 488
    office.holds()
    assert epochs(sbc) == before
    office.hangs_up()
    assert sbc.idle()


def test_another_address_is_one(world):
    sbc, office, _ = talking(world)
    office.agent.media = Address("10.0.0.44", 4400)
    office.reinvites()
    assert epochs(sbc)[0] == 1
    assert stream(sbc).ingress.remote.host == "10.0.0.44"
    office.hangs_up()
    assert sbc.idle()


TWO = POLICY.replace('["sip:198.51.100.7:5060"]', '["sip:198.51.100.7:5060", "sip:198.51.100.8:5060"]')


def test_the_next_target_of_a_hunt_on_the_same_port_is_one(world):
    """Its early media has been heard there from the one before."""
    sbc = world(TWO % "terminate")
    office, carrier = sbc.office(), sbc.carrier()
    spare = sbc.phone("softswitch-4.carrier.net", "198.51.100.8:5060", through="203.0.113.1:5060", user=FAR)
    office.invites(FAR)
    carrier.waits_for("INVITE")
    first = stream(sbc).egress
    carrier.refuses(503)
    spare.answers()
    assert stream(sbc).egress.port == first.port
    assert stream(sbc).egress.epoch > first.epoch
    assert sbc.hears(spare, office)
    office.hangs_up()
    assert sbc.idle()


def test_an_end_that_goes_to_another_call_never_counts_back(world):
    sbc = world(POLICY % "terminate")
    branch = sbc.phone("pbx-88.branch.internal", "10.0.0.6:5060", through="10.0.0.1:5060", user=BRANCH)
    office, carrier = sbc.office(), sbc.carrier()
    carrier.invites(DID)
    office.answers()
    carrier.holds()
    carrier.resumes()
    before = stream(sbc).ingress
    refers(office)
    branch.answers()
    sbc.run(2)
    after = stream(sbc)
    [kept] = [end for end in (after.ingress, after.egress) if end.port == before.port and end.local == before.local]
    assert kept.epoch >= before.epoch == 2
    assert sbc.hears(branch, carrier)
    carrier.hangs_up()
    assert sbc.idle()
