"""A PBX that has registered from behind a NAT: its Contact is an address that nobody reaches, and its place may change
while it talks.
"""

import pytest
from msgspec.structs import replace

from sbc.core.address import Transport
from sbc.testing.phone import address_of
from sbc.testing.world import DID, FAR, INSIDE, POLICY

ACCOUNT = "auth: {username: office, password: 0ff1ce}"
ANYWHERE = POLICY.replace("address: sip:10.0.0.5:5060", f"registers: true, accept: any, {ACCOUNT}")
PRIVATE = "192.168.1.10:5060"


def behind_nat(world, policy=ANYWHERE, **options):
    """The PBX's Contact and SDP name its private address; the NAT shows it as 10.0.0.77:5099."""
    sbc = world(policy)
    pbx = sbc.phone("pbx-77.office.internal", "10.0.0.77:5099", through=INSIDE, user=DID, **options)
    pbx.has_credentials("office", "0ff1ce")
    binding = pbx.registers("sip:office@10.0.0.1")
    return sbc, pbx, sbc.carrier(), binding


def hide(pbx, binding):
    """From now on its calls and its registration name the private address."""
    me = pbx.agent.line.identity
    pbx.agent.line.identity = Hidden(me)
    pbx.unregisters()
    binding.contact = f"sip:{me.user}@{PRIVATE}"
    pbx.refreshes(expires=600)


class Hidden:
    """Behind a NAT: nobody reaches its Contact."""

    def __init__(self, identity):
        self._identity = identity

    def __getattr__(self, name):
        return getattr(self._identity, name)

    @property
    def contact(self):
        name, value = self._identity.contact
        return name, value.replace(str(self._identity.address), PRIVATE)


def test_calls_both_ways_and_what_follows_in_them_go_through_the_nat(world):
    sbc, pbx, carrier, binding = behind_nat(world)
    hide(pbx, binding)
    carrier.invites(DID)
    pbx.answers()
    carrier.holds()
    carrier.hangs_up()
    assert pbx.got("INVITE", "ACK", "INVITE", "ACK", "BYE")
    pbx.invites(FAR)
    carrier.answers()
    carrier.holds()
    carrier.hangs_up()
    assert pbx.got(200, "INVITE", "ACK", "BYE")
    assert [record.cause for record in sbc.cdr] == ["normal", "normal"]
    assert sbc.idle()


def test_an_answer_that_crosses_the_cancel_is_ended_through_the_nat(world):
    sbc, pbx, carrier, binding = behind_nat(world)
    hide(pbx, binding)
    carrier.invites(DID)
    pbx.rings()
    with sbc.net.holding(pbx.agent):
        pbx.answers()
        carrier.cancels()
    sbc.run(1.0)
    assert pbx.got("INVITE", "ACK", "BYE")
    assert sbc.cdr.only.cause == "cancelled"
    assert sbc.idle()


def test_an_answer_that_comes_when_the_call_is_forgotten_is_ended_through_the_nat(world):
    """The CANCEL's 487 never came, and the record is long on disk."""
    sbc, pbx, carrier, binding = behind_nat(world)
    hide(pbx, binding)
    carrier.invites(DID)
    pbx.rings()
    pbx.ignores("CANCEL")
    carrier.cancels()
    sbc.run(10.0)
    assert sbc.switch.is_idle
    pbx.answers()
    sbc.run(1.0)
    assert pbx.got("INVITE", "ACK", "BYE")
    pbx.wakes()
    assert sbc.idle()


def move(sbc, pbx, address):
    """The NAT gives it another place: what it sends comes from there."""
    me = pbx.agent.line.identity._identity
    sbc.net.attach(pbx.agent, (Transport.UDP, address_of(address)))
    pbx.agent.line.identity = Hidden(replace(me, address=address_of(address)))


def places(sbc, method):
    return [str(sent.target) for sent in sbc.net.log if sent.sender == "sbc" and sent.data.startswith(method)]


@pytest.mark.parametrize("who", ["caller", "callee"])
@pytest.mark.parametrize("by", ["a request of the call", "its registration"])
def test_a_place_that_changes_within_a_call_is_noticed(world, who, by):
    sbc, pbx, carrier, binding = behind_nat(world)
    hide(pbx, binding)
    if who == "callee":
        carrier.invites(DID)
        pbx.answers()
    else:
        pbx.invites(FAR)
        carrier.answers()
    move(sbc, pbx, "10.0.0.77:6001")
    if by == "its registration":
        pbx.refreshes(expires=600)
    else:
        pbx.holds()
    carrier.hangs_up()
    assert places(sbc, b"BYE") == ["10.0.0.77:6001"]
    assert pbx.call.stage == "ended"
    assert sbc.idle()


@pytest.mark.parametrize("who", ["caller", "callee"])
@pytest.mark.parametrize("contact", ["public", "private"])
def test_a_broken_connection_does_not_keep_the_call_from_going_on(world, who, contact):
    sbc, pbx, carrier, binding = behind_nat(world, transport=Transport.TCP)
    if contact == "private":
        hide(pbx, binding)
    if who == "callee":
        carrier.invites(DID)
        pbx.answers()
    else:
        pbx.invites(FAR)
        carrier.answers()
    sbc.net.reset(pbx.agent)
    pbx.refreshes(expires=600)
    carrier.holds()
    assert carrier.is_talking
    carrier.hangs_up()
    assert pbx.got("INVITE", "ACK", "BYE")
    assert pbx.call.stage == "ended"
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()
