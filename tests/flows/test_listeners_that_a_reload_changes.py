"""Listeners, media addresses and interfaces come and go with a reload; calls that are up go on as they began."""

import pytest

from sbc.testing.world import DID, FAR, OUTSIDE, POLICY

NEW = "203.0.113.2:5070"
MOVED = POLICY.replace(
    "udp:203.0.113.1:5060, tcp:203.0.113.1:5060], media: 203.0.113.1", f"udp:{NEW}], media: 203.0.113.2"
)
GONE = """
sbc: {name: test, data_dir: /nowhere, country: US}
interfaces:
  inside: {sip: [udp:10.0.0.1:5060, tcp:10.0.0.1:5060], media: 10.0.0.1}
pbxs:
  office: {interface: inside, address: sip:10.0.0.5:5060, dids: ["+14155550100-+14155550199"]}
"""
ADVERTISED = POLICY.replace(
    "media: 203.0.113.1}", "media: 203.0.113.1, advertise: {sip: sbc.example, media: 192.0.2.7}}"
)


def lets_go(sbc):
    """As the runtime asks every second."""
    removed = sbc.switch._listeners.removed
    for place in tuple(removed):
        sbc.switch.lets_go(*place)
    return not removed


def talking(world, *, caller="office", policy=POLICY):
    sbc = world(policy)
    office, carrier = sbc.office(), sbc.carrier()
    if caller == "office":
        office.invites(FAR)
        carrier.answers()
    else:
        carrier.invites(DID)
        office.answers()
    return sbc, office, carrier


def sent_to(sbc, phone, *, since=0):
    return [sent for sent in sbc.net.log[since:] if sent.receiver == phone.name]


@pytest.mark.parametrize("after", [MOVED, GONE, ADVERTISED], ids=["moved", "gone", "advertised"])
@pytest.mark.parametrize("caller", ["office", "carrier"])
@pytest.mark.parametrize("ender", ["office", "carrier"])
def test_a_call_goes_on_by_the_listener_that_it_began_by(world, after, caller, ender):
    sbc, office, carrier = talking(world, caller=caller)
    sbc.reload(after)
    office.holds()
    office.resumes()
    assert sbc.hears(office, carrier)
    (office if ender == "office" else carrier).hangs_up()
    assert sbc.cdr.only.cause == "normal"
    sent = sent_to(sbc, carrier)
    assert not any(word in one.data for word in (NEW.encode(), b"sbc.example", b"192.0.2.7") for one in sent)
    assert {str(one.source) for one in sent} == {OUTSIDE}
    assert sbc.idle()


def test_new_calls_go_by_the_new_listener_and_media_address(world):
    sbc, office, carrier = talking(world)
    sbc.reload(MOVED)
    before = len(sbc.net.log)
    office.invites(FAR)
    carrier.answers()
    invite = sent_to(sbc, carrier, since=before)[0]
    assert str(invite.source) == NEW
    assert f"Contact: <sip:{NEW}".encode() in invite.data.replace(b"sip:+14155550100@", b"sip:")
    assert b"c=IN IP4 203.0.113.2" in invite.data
    assert sbc.hears(office, carrier)
    office.hangs_up()
    office.hangs_up(call=office.calls[0])
    assert sbc.idle()


def test_a_removed_listener_takes_no_new_calls_from_anybody(world):
    sbc, office, carrier = talking(world)
    sbc.reload(MOVED)
    neighbour = sbc.phone("neighbour.carrier.net", "198.51.100.7:5070", through=OUTSIDE)
    neighbour.invites(DID)
    neighbour.asks("OPTIONS")
    sbc.run(40.0)
    assert sbc.net.sent_to(neighbour.name) == []
    carrier.hangs_up()
    assert office.call.stage == "ended"
    assert sbc.idle()


@pytest.mark.parametrize("after", [MOVED, GONE], ids=["moved", "gone"])
def test_a_removed_listener_may_be_closed_when_the_last_call_and_transaction_are_over(world, after):
    sbc, office, _ = talking(world)
    sbc.reload(after)
    sbc.run(60.0)
    assert not lets_go(sbc)
    office.hangs_up()
    assert not lets_go(sbc)  # the BYE's transaction
    sbc.run(40.0)
    assert lets_go(sbc)
    assert sbc.switch.endpoint.former is None
    assert sbc.idle()


def test_a_listener_that_comes_back_takes_calls_again(world):
    sbc, office, carrier = talking(world)
    sbc.reload(MOVED)
    sbc.reload(POLICY)
    carrier.invites(DID)
    office.answers()
    assert sbc.switch.snapshot(sbc.now).dialogs == 4
    carrier.hangs_up()
    office.hangs_up(call=office.calls[0])
    assert sbc.idle()


def test_what_is_advertised_counts_for_calls_to_come(world):
    sbc, office, carrier = talking(world)
    sbc.reload(ADVERTISED)
    office.invites(FAR)
    carrier.answers()
    invite = sbc.net.sent_to(carrier.name)[-2]
    assert b"sbc.example:5060" in invite
    assert b"c=IN IP4 192.0.2.7" in invite
    for party in office.calls:
        office.hangs_up(call=party)
    assert sbc.idle()


def test_ports_of_a_media_address_that_is_gone_rest_and_are_closed(world):
    sbc, office, _ = talking(world)
    sbc.reload(MOVED)
    idle = set(sbc.media.closed)
    assert {local for local, _ in idle} == {"203.0.113.1"}
    assert len(idle) == 63  # all but the one in use
    office.hangs_up()
    sbc.run(25.0)
    assert set(sbc.media.closed) == idle
    sbc.run(10.0)
    assert len(sbc.media.closed) == 64
    assert sbc.idle()


def test_a_media_address_that_comes_back_has_its_ports_again(world):
    sbc, office, _ = talking(world)
    sbc.reload(MOVED)
    sbc.reload(POLICY)
    office.hangs_up()
    sbc.run(60.0)
    assert len(sbc.media.closed) == 63 + 64  # what was idle when it went, and that of MOVED
    assert sbc.idle()


def test_a_call_that_hunts_does_not_go_on_by_an_interface_that_is_gone(world):
    two = POLICY.replace("routes:", "  spare: {interface: third, servers: ['sip:192.0.2.9:5060']}\nroutes:")
    two = two.replace("via: [carrier]", "via: [carrier, spare]")
    two = two.replace("pbxs:", "  third: {sip: [udp:192.0.2.1:5060], media: 192.0.2.1}\npbxs:")
    sbc = world(two)
    office, carrier = sbc.office(), sbc.carrier()
    spare = sbc.phone("spare.example", "192.0.2.9:5060", through="192.0.2.1:5060")
    office.invites(FAR)
    sbc.reload(POLICY)
    carrier.refuses(503)
    assert sbc.net.sent_to(spare.name) == []
    assert sbc.cdr.only.cause == "failed"
    assert sbc.idle()


def test_a_listener_that_is_added_costs_requests_nothing_when_the_calls_from_before_are_over(world):
    sbc, office, _ = talking(world)
    sbc.reload(POLICY.replace("tcp:203.0.113.1:5060]", "tcp:203.0.113.1:5060, udp:203.0.113.1:5070]"))
    office.hangs_up()
    sbc.time_passes(60)
    assert sbc.switch.endpoint.former is None
    assert sbc.idle()


def test_many_reloads_during_a_call_keep_nothing_when_it_is_over(world):
    sbc, office, carrier = talking(world)
    for n in range(30):
        sbc.reload(MOVED if n % 2 == 0 else POLICY)
    sbc.reload(MOVED)
    carrier.hangs_up()
    assert office.call.stage == "ended"
    sbc.run(60.0)
    assert lets_go(sbc)
    assert not sbc.switch._listeners
    assert sbc.idle()
