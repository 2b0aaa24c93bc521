"""A reload takes listeners away while calls, transfers, bindings and messages are in all states; nothing is lost."""

import pytest

from sbc.b2bua.events import BusyOutOrdered, DrainOrdered, DrainRevoked, InterfaceChanged
from sbc.core.address import Transport
from sbc.testing.byhand import ByHand
from sbc.testing.referring import refer_to_replacing
from sbc.testing.world import CARRIER, DID, FAR, INSIDE, OUTSIDE, POLICY, with_peers

from .test_listeners_that_a_reload_changes import GONE, MOVED, NEW, sent_to
from .test_subscriptions import WATCHING, subscribed
from .transferring import BRANCH, called, can_talk, refers
from .transferring import POLICY as TRANSFERS

BOTH = [MOVED, GONE]
NAMES = ["moved", "gone"]


@pytest.mark.parametrize("ender", ["office", "carrier"])
@pytest.mark.parametrize("after", BOTH, ids=NAMES)
def test_a_call_is_refreshed_for_an_hour_and_ended_then(world, after, ender):
    sbc = world(POLICY, peers={"carrier": {"session_timer": {"expires": "10m"}}})
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    sbc.reload(after)
    sbc.time_passes(3600)
    assert office.is_talking
    (office if ender == "office" else carrier).hangs_up()
    assert sbc.cdr.only.cause == "normal"
    sbc.time_passes(60)
    assert sbc.switch.removed_listeners == ()
    assert sbc.idle()


@pytest.mark.parametrize("after", BOTH, ids=NAMES)
@pytest.mark.parametrize("caller", ["office", "carrier"])
@pytest.mark.parametrize("how", ["answers", "cancels", "refuses"])
def test_a_call_that_rings(world, after, caller, how):
    sbc = world(POLICY)
    office, carrier = sbc.office(), sbc.carrier()
    one, other = (office, carrier) if caller == "office" else (carrier, office)
    one.invites(FAR if caller == "office" else DID)
    other.rings()
    sbc.reload(after)
    sbc.time_passes(5)
    if how == "answers":
        other.answers()
        sbc.time_passes(100)
        assert sbc.hears(one, other)
        other.hangs_up()
    elif how == "cancels":
        one.cancels()
        assert other.got("INVITE", "CANCEL")
    else:
        other.refuses(486)
        assert one.got(486)
    sbc.time_passes(100)
    assert {str(sent.source) for sent in sent_to(sbc, carrier)} == {OUTSIDE}
    assert sbc.switch.removed_listeners == ()
    assert sbc.idle()


@pytest.mark.parametrize("after", BOTH, ids=NAMES)
@pytest.mark.parametrize("lost", ["ACK", "SIP/2.0 200", "INVITE"])
def test_what_is_lost_is_sent_again_and_taken_on_a_listener_that_leaves(world, after, lost):
    sbc = world(POLICY)
    office, carrier = sbc.office(), sbc.carrier()
    carrier.invites(DID)
    sbc.net.loses(lost, times=2)
    office.answers()
    sbc.reload(after)
    sbc.time_passes(100)
    assert can_talk(sbc, office, carrier)
    office.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_a_listener_that_no_call_goes_by_does_not_wait_for_the_calls_that_are_up(world):
    """As that of a test call's door."""
    sbc = world(POLICY.replace("pbxs:", "  third: {sip: [udp:192.0.2.1:5060], media: 192.0.2.1}\npbxs:"))
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.rings()
    sbc.reload(POLICY)
    sbc.time_passes(5)
    assert [str(place[1]) for place in sbc.switch.removed_listeners] == ["192.0.2.1:5060"]  # it might be tried next
    carrier.answers()
    sbc.time_passes(5)
    assert sbc.switch.removed_listeners == ()
    office.hangs_up()
    assert sbc.idle()


@pytest.mark.parametrize("after", BOTH, ids=NAMES)
def test_a_reinvite_under_way(world, after):
    sbc = world(POLICY)
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    with sbc.net.holding(carrier.name):
        office.holds()
        sbc.reload(after)
    assert can_talk(sbc, office, carrier) or office.call.stage == "talking"
    office.resumes()
    sbc.time_passes(40)
    assert can_talk(sbc, office, carrier)
    carrier.hangs_up()
    assert sbc.idle()


@pytest.mark.parametrize("after", BOTH, ids=NAMES)
@pytest.mark.parametrize("by", ["office", "carrier"])
def test_video_that_is_added_when_the_media_address_is_gone(world, after, by):
    """Its ports are new: on the address of now where there is one; else the call goes on without."""
    sbc = world(POLICY)
    office, carrier = sbc.office(video_port=4010), sbc.carrier(video_port=4020)
    office.invites(FAR)
    carrier.answers()
    (office if by == "office" else carrier).removes_video()
    sbc.reload(after)
    (office if by == "office" else carrier).adds_video()
    sbc.time_passes(10)
    assert can_talk(sbc, office, carrier)
    (office if by == "office" else carrier).hangs_up()
    assert sbc.idle()


@pytest.mark.parametrize("party", ["first", "second"])
@pytest.mark.parametrize("ender", ["carrier", "branch"])
def test_a_transfer_that_brings_together_what_began_before_and_after(world, party, ender):
    sbc, office, carrier, branch = called(world)
    first = office.call
    office.holds()
    sbc.reload(_transfers_moved())
    office.invites(BRANCH)
    branch.answers()
    second = office.call
    one, other = (first, second) if party == "first" else (second, first)
    refers(office, party=one, to=refer_to_replacing(other))
    sbc.time_passes(120)
    assert can_talk(sbc, carrier, branch)
    assert {str(sent.source) for sent in sent_to(sbc, carrier)} == {OUTSIDE}
    sbc.time_passes(600)
    (carrier if ender == "carrier" else branch).hangs_up()
    assert (carrier.call.stage, branch.call.stage) == ("ended", "ended")
    sbc.time_passes(100)
    assert sbc.switch.removed_listeners == ()
    assert sbc.idle()


@pytest.mark.parametrize("party", ["first", "second"])
@pytest.mark.parametrize("ender", ["carrier", "branch"])
def test_a_transfer_that_was_over_before(world, party, ender):
    sbc, office, carrier, branch = called(world)
    first = office.call
    office.holds()
    office.invites(BRANCH)
    branch.answers()
    second = office.call
    one, other = (first, second) if party == "first" else (second, first)
    refers(office, party=one, to=refer_to_replacing(other))
    sbc.time_passes(120)
    sbc.reload(_transfers_moved())
    branch.holds()
    branch.resumes()
    assert can_talk(sbc, carrier, branch)
    (carrier if ender == "carrier" else branch).hangs_up()
    assert {str(sent.source) for sent in sent_to(sbc, carrier)} == {OUTSIDE}
    sbc.time_passes(100)
    assert sbc.switch.removed_listeners == ()
    assert sbc.idle()


def _transfers_moved():
    return (TRANSFERS % "terminate").replace(
        "udp:203.0.113.1:5060, tcp:203.0.113.1:5060], media: 203.0.113.1", "udp:203.0.113.2:5070], media: 203.0.113.2"
    )


def _transfers_gone():
    return "\n".join(
        line
        for line in (TRANSFERS % "terminate").splitlines()
        if "outside" not in line and "via: [carrier]" not in line and line != "trunks:"
    ).replace("from: [carrier, office, branch]", "from: [office, branch]")


@pytest.mark.parametrize("party", ["first", "second"])
@pytest.mark.parametrize("ender", ["carrier", "branch"])
def test_a_transfer_of_who_is_gone(world, party, ender):
    sbc, office, carrier, branch = called(world)
    first = office.call
    office.holds()
    sbc.reload(_transfers_gone())
    office.invites(BRANCH)
    branch.answers()
    second = office.call
    one, other = (first, second) if party == "first" else (second, first)
    refers(office, party=one, to=refer_to_replacing(other))
    sbc.time_passes(120)
    assert can_talk(sbc, carrier, branch)
    (carrier if ender == "carrier" else branch).hangs_up()
    assert (carrier.call.stage, branch.call.stage) == ("ended", "ended")
    assert sbc.idle()


# --- PBXs that have registered ----------------------------------------------------------------------------------------

REGISTERING = POLICY.replace(
    "address: sip:10.0.0.5:5060", "registers: true, accept: any, auth: {username: office, password: 0ff1ce}"
)
TWO_LISTENERS = REGISTERING.replace(
    "udp:10.0.0.1:5060, tcp:10.0.0.1:5060", "udp:10.0.0.1:5060, tcp:10.0.0.1:5060, udp:10.0.0.1:5062"
)


def registered(world, policy, through):
    sbc = world(policy)
    pbx = sbc.phone("pbx-77.office.internal", "10.0.0.5:5060", through=through, user=DID)
    pbx.has_credentials("office", "0ff1ce")
    assert pbx.registers("sip:office@10.0.0.1", expires=600).is_registered
    return sbc, pbx, sbc.carrier()


@pytest.mark.parametrize("ender", ["pbx", "carrier"])
def test_a_call_by_the_second_listener_of_an_interface(world, ender):
    sbc, pbx, carrier = registered(world, TWO_LISTENERS, "10.0.0.1:5062")
    carrier.invites(DID)
    pbx.answers()
    sbc.reload(REGISTERING)
    sbc.time_passes(120)
    assert can_talk(sbc, pbx, carrier)
    (pbx if ender == "pbx" else carrier).hangs_up()
    assert (pbx.call.stage, carrier.call.stage) == ("ended", "ended")
    sbc.time_passes(60)
    assert sbc.switch.removed_listeners == ()
    assert sbc.idle()


@pytest.mark.parametrize("caller", ["pbx", "carrier"])
@pytest.mark.parametrize("ender", ["pbx", "carrier"])
def test_a_call_over_the_connection_of_a_pbx_whose_listener_is_gone(world, caller, ender):
    sbc = world(REGISTERING)
    pbx = sbc.phone("pbx-77.office.internal", "10.0.0.5:5060", through=INSIDE, user=DID, transport=Transport.TCP)
    pbx.has_credentials("office", "0ff1ce")
    assert pbx.registers("sip:office@10.0.0.1", expires=600).is_registered
    carrier = sbc.carrier()
    one, other = (pbx, carrier) if caller == "pbx" else (carrier, pbx)
    one.invites(FAR if caller == "pbx" else DID)
    other.answers()
    sbc.reload(REGISTERING.replace("udp:10.0.0.1:5060, tcp:10.0.0.1:5060", "udp:10.0.0.1:5060"))
    assert bindings(sbc) == ()
    sbc.time_passes(3600)
    carrier.holds()
    carrier.resumes()
    assert can_talk(sbc, pbx, carrier)
    (pbx if ender == "pbx" else carrier).hangs_up()
    assert (pbx.call.stage, carrier.call.stage) == ("ended", "ended")
    sbc.time_passes(60)
    assert sbc.switch.removed_listeners == ()
    assert sbc.idle()


def bindings(sbc):
    return next(view for view in sbc.switch.snapshot(sbc.now).peers if view.name == "office").bindings


def test_a_pbx_that_has_registered_by_an_interface_of_another_name(world):
    sbc, pbx, carrier = registered(world, REGISTERING, INSIDE)
    sbc.reload(REGISTERING.replace("inside", "lan"))
    carrier.invites(DID)
    pbx.answers()
    assert can_talk(sbc, pbx, carrier)
    pbx.hangs_up()
    assert sbc.idle()


def test_a_pbx_that_is_on_another_interface_now(world):
    more = REGISTERING.replace("pbxs:", "  third: {sip: [udp:192.0.2.1:5060], media: 192.0.2.1}\npbxs:")
    sbc, _pbx, carrier = registered(world, more, INSIDE)
    sbc.reload(more.replace("office: {interface: inside", "office: {interface: third"))
    assert bindings(sbc) == ()
    carrier.invites(DID)
    assert sbc.cdr.only.sip_status == 480
    assert sbc.idle()


# --- beside calls -----------------------------------------------------------------------------------------------------

METHODS = "methods: [INVITE, OPTIONS, SUBSCRIBE, NOTIFY, MESSAGE]"


def test_a_message_in_its_hunt(world):
    two = (
        POLICY.replace("address: sip:10.0.0.5:5060", f"address: sip:10.0.0.5:5060, {METHODS}")
        .replace(f'servers: ["sip:{CARRIER}"]', f'servers: ["sip:{CARRIER}"], {METHODS}')
        .replace("pbxs:", "  third: {sip: [udp:192.0.2.1:5060], media: 192.0.2.1}\npbxs:")
    )
    spare = two.replace(
        "routes:", f"  spare: {{interface: third, servers: ['sip:192.0.2.9:5060'], {METHODS}}}\nroutes:"
    ).replace("via: [carrier]", "via: [carrier, spare]")
    sbc = world(spare)
    office, carrier = ByHand(sbc, sbc.office()), ByHand(sbc, sbc.carrier())
    office.sends("MESSAGE", f"sip:{FAR}@10.0.0.1", fields=(("Content-Type", "text/plain"),), body=b"hello")
    sbc.reload(two.replace("  third: {sip: [udp:192.0.2.1:5060], media: 192.0.2.1}\n", ""))
    carrier.replies(503, to=carrier.requests("MESSAGE")[0])
    sbc.time_passes(5)
    assert office.statuses("MESSAGE") != []
    assert sbc.idle()


@pytest.mark.parametrize("side", ["inside", "outside"])
def test_who_has_subscribed_by_a_listener_that_is_gone_is_told_to_subscribe_anew(world, side):
    """Else he waits for an hour for what nobody brings him."""
    story = subscribed(world)
    old, new = ("10.0.0.1", "10.0.0.2") if side == "inside" else ("203.0.113.1", "203.0.113.2")
    story.sbc.reload(WATCHING.replace(old, new))
    last = story.pbx.requests("NOTIFY")[-1]
    assert last.header("Subscription-State") == "terminated;reason=deactivated"
    assert story.carrier.requests("SUBSCRIBE")[-1].header("Expires") == "0"
    story.acknowledges()
    story.accepts(expires=0)
    story.sbc.time_passes(60)
    assert story.sbc.switch.removed_listeners == ()
    assert story.is_over()


def test_a_subscription_by_an_interface_of_another_name_is_not_kept(world):
    story = subscribed(world)
    story.sbc.reload(WATCHING.replace("inside", "lan"))
    story.sbc.time_passes(60)
    assert story.is_over()


def test_a_subscription_goes_on_where_its_listeners_do(world):
    story = subscribed(world)
    story.sbc.reload(WATCHING.replace("media: 203.0.113.1", "media: 203.0.113.1, dscp: {sip: 24}"))
    story.notifies()
    story.acknowledges()
    assert story.is_up()
    story.notifies("terminated;reason=noresource")
    story.acknowledges()
    assert story.is_over()


# --- interfaces that are lost -----------------------------------------------------------------------------------------

HELP = POLICY.replace(
    "routes:\n",
    "  spare: {interface: second, servers: ['sip:192.0.2.9:5060']}\n"
    "routes:\n  - {name: help, from: office, to: ['911', emergency], emergency: true, via: [carrier, spare]}\n",
).replace("pbxs:", "  second: {sip: [udp:192.0.2.1:5060], media: 192.0.2.1}\npbxs:")


def test_an_emergency_call_takes_the_interface_that_is_up_first_and_the_other_one_too(world):
    sbc = world(HELP)
    office, carrier = sbc.office(), sbc.carrier()
    spare = sbc.phone("spare.example", "192.0.2.9:5060", through="192.0.2.1:5060")
    sbc.tell(InterfaceChanged("outside", ("203.0.113.1",), "203.0.113.1 is gone"))
    office.invites("911")
    assert carrier.heard == []
    spare.refuses(503)
    carrier.answers()
    assert office.is_talking
    office.hangs_up()
    assert sbc.idle()


def test_an_emergency_call_is_tried_though_every_interface_is_lost(world):
    sbc = world(HELP)
    office, carrier = sbc.office(), sbc.carrier()
    for name, host in (("outside", "203.0.113.1"), ("second", "192.0.2.1")):
        sbc.tell(InterfaceChanged(name, (host,), f"{host} is gone"))
    office.invites("911")
    carrier.answers()
    assert office.is_talking
    office.hangs_up()
    assert sbc.idle()


def test_the_alarm_of_an_interface_is_raised_once_and_cleared_once_whatever_is_reloaded_meanwhile(world):
    sbc = world(POLICY)
    more = POLICY.replace("udp:203.0.113.1:5060,", "udp:203.0.113.1:5060, udp:203.0.113.9:5060,")
    lost = InterfaceChanged("outside", ("203.0.113.1",), "203.0.113.1 is gone")
    sbc.tell(lost)
    sbc.reload(more)  # one address more: it is not lost as a whole, but its media is
    sbc.tell(lost)
    sbc.reload(MOVED)
    sbc.tell(InterfaceChanged("outside", ()))
    said = [log.event for log in sbc.logs if log.event.startswith("interface.")]
    assert said == ["interface.down", "interface.up"]
    office = sbc.office()
    carrier = sbc.phone("softswitch-3.carrier.net", CARRIER, through=NEW, user=FAR)
    office.invites(FAR)
    carrier.answers()
    office.hangs_up()
    assert sbc.idle()


def test_orders_of_the_operator_outlast_an_outage(world):
    sbc = world(POLICY)
    office, carrier = sbc.office(), sbc.carrier()
    sbc.tell(InterfaceChanged("outside", ("203.0.113.1",), "203.0.113.1 is gone"))
    sbc.tell(BusyOutOrdered("carrier", on=True))
    sbc.tell(InterfaceChanged("outside", ()))
    office.invites(FAR)
    assert carrier.heard == []
    sbc.tell(BusyOutOrdered("carrier", on=False))
    office.invites(FAR)
    carrier.answers()
    office.hangs_up()
    assert sbc.idle()


# --- trunks that register ---------------------------------------------------------------------------------------------

REGISTRAR = {"carrier": {"register": {"aor": "sip:+14155550100@carrier.net"}}}


def test_a_trunk_that_is_on_another_interface_now_registers_by_it_and_by_no_other(world):
    more = with_peers(
        POLICY.replace("pbxs:", "  third: {sip: [udp:192.0.2.1:5060], media: 192.0.2.1}\npbxs:"), REGISTRAR
    )
    sbc = world(more)
    carrier = sbc.carrier()
    carrier.becomes_registrar()
    sbc.run(20.0)
    before = len(sbc.net.log)
    sbc.reload(more.replace("  carrier:\n    interface: outside", "  carrier:\n    interface: third"))
    sbc.run(40.0)
    sent = [one for one in sbc.net.log[before:] if one.data.startswith(b"REGISTER")]
    assert {str(one.source) for one in sent} == {"192.0.2.1:5060"}
    view = next(one for one in sbc.switch.snapshot(sbc.now).peers if one.name == "carrier")
    assert view.registration.state == "registered"


def test_a_trunk_that_a_reload_brings_after_a_drain_registers_when_that_is_taken_back(world):
    sbc = world(POLICY)
    carrier = sbc.carrier()
    carrier.becomes_registrar()
    sbc.tell(DrainOrdered(sbc.now + 60.0, is_leaving=True))
    sbc.run(10.0)
    sbc.reload(with_peers(POLICY, REGISTRAR))
    sbc.run(60.0)
    assert not any(data.startswith(b"REGISTER") for data in sbc.net.sent_to(carrier.name))
    sbc.tell(DrainRevoked())
    sbc.run(10.0)
    view = next(one for one in sbc.switch.snapshot(sbc.now).peers if one.name == "carrier")
    assert view.registration.state == "registered"
