"""A PBX that registers with us: its calls, its numbers, its restarts and ours."""
# RFC: 6140

import pytest

from sbc.core.address import Transport
from sbc.sip.events import FlowClosed
from sbc.sip.message import Request
from sbc.sip.parse import parse_message
from sbc.testing.world import DID, FAR, INSIDE, POLICY, World

OFFICE = "address: sip:10.0.0.5:5060"
ACCOUNT = "auth: {username: office, password: 0ff1ce}"
REGISTERING = POLICY.replace(OFFICE, f"registers: true, accept: [10.0.0.5/32], {ACCOUNT}")
ANYWHERE = POLICY.replace(OFFICE, f"registers: true, accept: any, {ACCOUNT}")
WITH_PLAN = REGISTERING.replace("to: dids}", "to: dids, disaster: [{forward: '+14155559999', via: [carrier]}]}")
AOR = "sip:office@10.0.0.1"
SECOND_DID = "+14155550142"


class Story:
    def __init__(self, world, policy=REGISTERING, *, address="10.0.0.5:5060", password="0ff1ce", **options):
        self.sbc = world(policy)
        self.pbx = self.sbc.phone("pbx-77.office.internal", address, through=INSIDE, user=DID, **options)
        self.pbx.has_credentials("office", password)
        self.carrier = self.sbc.carrier()

    def bindings(self):
        (office,) = [peer for peer in self.sbc.switch.snapshot(self.sbc.now).peers if peer.name == "office"]
        return office.bindings

    def invite(self):
        """The last INVITE that the PBX got."""
        messages = [parse_message(data, stream=False) for data in self.sbc.net.sent_to(self.pbx.name)]
        return [m for m in messages if isinstance(m, Request) and m.method == "INVITE"][-1]

    def is_called(self, did=DID):
        """A call from outside to this DID reaches the PBX and both hear each other."""
        self.carrier.invites(did)
        self.pbx.answers()
        heard = self.sbc.hears(self.carrier, self.pbx)
        self.carrier.hangs_up()
        return heard


def test_a_pbx_registers_and_its_calls_find_it(world):
    story = Story(world)
    binding = story.pbx.registers(AOR, expires=600)
    assert binding.is_registered
    assert binding.granted == 600
    assert story.is_called()
    assert story.invite().uri_text.startswith(f"sip:{DID}@10.0.0.5:5060")
    assert story.is_called(SECOND_DID)
    assert story.invite().uri_text.startswith(f"sip:{SECOND_DID}@10.0.0.5:5060")
    assert story.sbc.idle()


def test_a_pbx_that_registered_calls_out(world):
    story = Story(world)
    story.pbx.registers(AOR)
    story.pbx.invites(FAR)
    story.carrier.answers()
    assert story.sbc.hears(story.pbx, story.carrier)
    story.pbx.hangs_up()
    assert story.sbc.cdr.only.cause == "normal"
    assert story.sbc.idle()


def test_a_wrong_password_binds_nothing(world):
    story = Story(world, password="guess")
    assert story.pbx.registers(AOR).status == 401
    assert story.bindings() == ()
    assert story.sbc.idle()


def test_another_pbxs_number_is_not_to_be_had(world):
    story = Story(world)
    assert story.pbx.registers("sip:+14155559999@10.0.0.1").status == 404
    assert story.bindings() == ()
    assert story.sbc.idle()


def test_a_number_of_its_own_takes_its_own_calls_only(world):
    story = Story(world)
    story.pbx.registers(f"sip:{SECOND_DID}@10.0.0.1")
    assert story.is_called(SECOND_DID)
    story.carrier.invites(DID)
    assert story.carrier.call.status >= 400
    assert story.sbc.idle()


def test_a_bulk_registration_takes_every_did_in_e164(world):
    story = Story(world)
    assert story.pbx.registers(AOR, gin=True).is_registered
    for did in (DID, SECOND_DID):
        assert story.is_called(did)
        assert story.invite().uri_text == f"sip:{did}@10.0.0.5:5060"
    assert story.sbc.idle()


def test_too_short_an_expiry_is_told_the_shortest(world):
    story = Story(world)
    binding = story.pbx.registers(AOR, expires=30)
    assert (binding.status, binding.shortest) == (423, 60)
    story.pbx.refreshes(expires=60)
    assert binding.is_registered
    assert story.sbc.idle()


@pytest.mark.parametrize("way", ["removed", "expired"])
def test_without_a_binding_its_numbers_are_out_of_reach_and_a_new_one_brings_them_back(world, way):
    story = Story(world)
    story.pbx.registers(AOR, expires=60)
    if way == "removed":
        story.pbx.unregisters()
    else:
        story.sbc.run(61.0)
    assert story.bindings() == ()
    story.carrier.invites(DID)
    assert story.carrier.call.status >= 400
    story.pbx.refreshes(expires=600)
    assert story.is_called()
    assert story.sbc.idle()


def test_without_a_binding_the_disaster_plan_takes_the_call(world):
    story = Story(world, WITH_PLAN)
    mobile = story.carrier
    caller = story.sbc.phone("caller.carrier.net", "198.51.100.7:5070", through="203.0.113.1:5060", user="+14085550000")
    caller.invites(DID)
    mobile.answers()
    assert caller.is_talking
    caller.hangs_up()
    record = story.sbc.cdr.only
    assert (record.disaster, record.egress, record.called_as_sent) == (True, "carrier", "+14155559999")
    assert story.sbc.idle()


def test_bindings_survive_a_restart_of_ours(world):
    story = Story(world)
    story.pbx.registers(AOR, expires=600)
    kept = dict(story.sbc.kept)
    assert story.sbc.idle()
    again = World(REGISTERING, seed=5, kept=kept)
    pbx = again.phone("pbx-77.office.internal", "10.0.0.5:5060", through=INSIDE, user=DID)
    carrier = again.carrier()
    carrier.invites(DID)
    pbx.answers()
    assert again.hears(carrier, pbx)
    carrier.hangs_up()
    assert again.idle()


def test_a_pbx_behind_a_nat_is_reached_where_its_register_came_from(world):
    """Its Contact names an address that nobody can reach."""
    story = Story(world)
    binding = story.pbx.registers(AOR)
    binding.contact = "sip:office@192.168.1.10:5060"
    story.pbx.unregisters()
    story.pbx.refreshes(expires=600)
    assert [(b.contact, b.address) for b in story.bindings()][-1] == (
        "sip:office@192.168.1.10:5060",
        "udp:10.0.0.5:5060",
    )
    assert story.is_called()
    assert story.sbc.idle()


def test_a_pbx_that_may_come_from_anywhere_is_known_by_its_account(world):
    story = Story(world, ANYWHERE, address="10.0.0.77:5099")
    assert story.pbx.registers(AOR).is_registered
    assert story.is_called()
    assert story.invite().uri_text.startswith(f"sip:{DID}@10.0.0.77:5099")
    assert story.sbc.idle()


def test_over_tcp_calls_come_through_the_connection_of_the_registration(world):
    story = Story(world, transport=Transport.TCP)
    story.pbx.registers(AOR)
    (binding,) = story.bindings()
    assert binding.contact.startswith("sip:+14155550100@10.0.0.5:5060")
    assert binding.address != "tcp:10.0.0.5:5060"  # the port that it opened the connection from
    assert story.is_called()
    targets = {f"tcp:{sent.target}" for sent in story.sbc.net.log if sent.receiver == story.pbx.name}
    assert targets == {binding.address}
    assert story.sbc.idle()


def test_a_broken_connection_leaves_the_contacts_address(world):
    story = Story(world, transport=Transport.TCP)
    story.pbx.registers(AOR)
    story.sbc.net.reset(story.pbx.agent)
    assert [binding.address for binding in story.bindings()] == ["tcp:10.0.0.5:5060"]
    assert story.is_called()
    assert story.sbc.idle()


def test_a_pbx_that_dies_is_reached_again_when_it_registers_again(world):
    story = Story(world)
    story.pbx.registers(AOR)
    story.pbx.dies()
    story.carrier.invites(DID)
    assert story.carrier.call.status >= 400
    story.pbx.revives()
    story.pbx.registers(AOR)
    assert story.is_called()
    assert story.sbc.idle()


def test_over_tcp_a_connection_that_is_closed_in_order_is_not_called_on(world):
    story = Story(world, transport=Transport.TCP)
    story.pbx.registers(AOR)
    [bound] = story.sbc.switch.relations.registrar.bindings_for("office", DID)
    story.sbc.tell(FlowClosed(bound.flow))
    assert [binding.address for binding in story.bindings()] == ["tcp:10.0.0.5:5060"]
    assert story.sbc.idle()


def test_a_wrong_password_is_said_once_a_minute(world):
    story = Story(world, password="wrong")
    for _ in range(3):
        story.pbx.registers(AOR)
        story.sbc.run(25.0)
    said = [dict(log.fields) for log in story.sbc.logs if log.event == "auth.refused"]
    assert [(line["peer"], line["refused"]) for line in said] == [("office", 1)]
    assert said[0]["source"] == "10.0.0.5:5060"
    story.sbc.run(60.0)
    story.pbx.registers(AOR)
    assert [dict(log.fields)["refused"] for log in story.sbc.logs if log.event == "auth.refused"] == [1, 3]
    assert story.bindings() == ()
    assert story.sbc.idle()
