"""An emergency call goes out: whatever is full, too fast, draining, busied out or down."""

import pytest

from sbc.b2bua.events import BusyOutOrdered, DrainOrdered
from sbc.core import limits
from sbc.testing.world import FAR, OUTSIDE, POLICY

EMERGENCY = (
    POLICY.replace("country: US", "country: US, cps: 2")
    .replace(
        'servers: ["sip:198.51.100.7:5060"]',
        'servers: ["sip:198.51.100.7:5060"], call_paths: 1, cps: 1, numbers: national',
    )
    .replace(
        'dids: ["+14155550100-+14155550199"]',
        'dids: ["+14155550100-+14155550199"], limits: {call_paths: 1, cps: 1},'
        ' caller_id: {mode: screen, default: "+14155550100", on_fail: reject}',
    )
    .replace(
        "routes:\n",
        "  spare: {interface: outside, servers: ['sip:198.51.100.8:5060'], health: {options: 30s}}\n"
        "routes:\n  - {name: no-specials, from: office, to: ['9.'], reject: 403}\n"
        "  - {name: help, from: office, to: ['911', emergency], emergency: true, via: [carrier, spare]}\n",
    )
)


def three(world, policy=EMERGENCY):
    sbc = world(policy)
    return sbc, sbc.office(), sbc.carrier(), sbc.phone("second.carrier.net", "198.51.100.8:5060", through=OUTSIDE)


def test_everything_that_stops_other_calls(world):
    """All paths taken, both rates and the PBX's limits reached, the caller nobody's DID, the trunk busied out, the node
    draining beyond its deadline."""
    sbc, office, carrier, _spare = three(world)
    office.invites(FAR)
    carrier.answers()
    ordinary = carrier.call
    office.invites(FAR)
    assert office.got(503)
    sbc.tell(BusyOutOrdered("carrier", on=True))
    sbc.tell(DrainOrdered(sbc.now + 1.0))
    office.invites(FAR)
    assert office.got(503)
    office.invites("911", caller="4999")
    carrier_or_spare = next(phone for phone in sbc.phones if phone.agent.parties and phone.call.called == "911")
    carrier_or_spare.answers()
    sbc.run(5.0)
    assert ordinary.stage == "ended"
    assert carrier_or_spare.is_talking
    assert office.is_talking
    office.hangs_up()
    record = next(record for record in sbc.cdr if record.called == "911")
    assert record.emergency
    assert record.cause == "normal"
    assert [log.event for log in sbc.logs if log.level == "warning" and "emergency" in log.event] == ["call.emergency"]
    assert [alert.event for alert in sbc.alerts] == ["call.emergency"]
    assert sbc.switch.snapshot(sbc.now).emergencies == 1
    assert sbc.idle()


def test_it_takes_a_path_beyond_the_cap_and_gives_it_back(world):
    sbc, office, carrier, _spare = three(world)
    office.invites(FAR)
    carrier.answers()
    office.invites("911")
    carrier.answers()
    [view] = [view for view in sbc.switch.snapshot(sbc.now).paths if view.trunk == "carrier"]
    assert (view.limit, view.used) == (1, 2)
    assert [holder.emergency for holder in view.holders] == [False, True]
    for party in list(office.agent.parties):
        office.agent.parties.append(party)
        office.hangs_up()
        office.agent.parties.pop()
    assert sbc.idle()


@pytest.mark.parametrize("status", [403, 404, 486, 480, 503, 600])
def test_every_failure_goes_on(world, status):
    sbc, office, carrier, spare = three(world)
    office.invites("911")
    carrier.rings()
    carrier.refuses(status)
    spare.answers()
    assert spare.call.called == "911"
    office.hangs_up()
    assert [attempt.peer for attempt in sbc.cdr.only.attempts] == ["carrier", "spare"]
    assert sbc.idle()


def test_healthy_trunks_come_first_and_then_the_rest(world):
    """The first of the rule is known to be down: it is not asked before all others have failed, and then it is."""
    sbc, office, carrier, spare = three(world, EMERGENCY.replace("cps: 1, numbers", "cps: 1, health: {}, numbers"))
    carrier.ignores("OPTIONS")
    sbc.run(120.0)
    assert not sbc.switch.relations.health.is_peer_usable("carrier")
    office.invites("911")
    assert carrier.agent.parties == []
    spare.refuses(503)
    carrier.answers()
    office.hangs_up()
    assert [attempt.peer for attempt in sbc.cdr.only.attempts] == ["spare", "carrier"]
    carrier.wakes()
    assert sbc.idle()


def test_the_number_goes_out_as_it_was_dialled_and_the_caller_is_shown(world):
    sbc, office, carrier, _spare = three(world)
    office.invites("911", fields=(("Privacy", "id"),))
    invite = next(data for data in sbc.net.sent_to(carrier.name) if data.startswith(b"INVITE"))
    assert invite.startswith(b"INVITE sip:911@")
    assert b"Privacy" not in invite
    assert b"anonymous" not in invite.lower()
    carrier.answers()
    office.hangs_up()
    assert sbc.idle()


def test_where_the_caller_is_crosses(world):
    sbc, office, carrier, _spare = three(world)
    body = (
        b"--xyz\r\nContent-Type: application/sdp\r\n\r\n"
        b"v=0\r\no=- 1 1 IN IP4 10.0.0.5\r\ns=-\r\nc=IN IP4 10.0.0.5\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n\r\n"
        b"--xyz\r\nContent-Type: application/pidf+xml\r\nContent-ID: <here@caller>\r\n\r\n<presence/>\r\n--xyz--\r\n"
    )
    lines = [
        "INVITE sip:911@10.0.0.1 SIP/2.0",
        "Via: SIP/2.0/UDP 10.0.0.5:5060;branch=z9hG4bKmulti;rport",
        "From: <sip:+14155550100@10.0.0.5>;tag=m1",
        "To: <sip:911@10.0.0.1>",
        "Call-ID: multi",
        "CSeq: 1 INVITE",
        "Contact: <sip:office@10.0.0.5:5060>",
        "Max-Forwards: 70",
        "Geolocation: <cid:here@caller>",
        "Geolocation-Routing: yes",
        "Content-Type: multipart/mixed;boundary=xyz",
        f"Content-Length: {len(body)}",
    ]
    sbc.inject("\r\n".join(lines).encode() + b"\r\n\r\n" + body, office)
    invite = next(data for data in sbc.net.sent_to(carrier.name) if data.startswith(b"INVITE"))
    assert b"Geolocation: <cid:here@caller>" in invite
    assert b"<presence/>" in invite
    assert b"application/pidf+xml" in invite
    assert b"10.0.0.5" not in invite
    assert b"203.0.113.1" in invite.partition(b"application/sdp")[2]
    assert sbc.idle(but=("complaints", "phones"))


def test_a_stranger_gets_silence_even_so(world):
    sbc, _office, carrier, _spare = three(world)
    stranger = sbc.phone("stranger.example", "203.0.113.99:5060", through=OUTSIDE)
    stranger.invites("911")
    sbc.run(40.0)
    assert stranger.heard == ["timeout"]
    carrier.invites("911")
    assert carrier.got(404)
    assert sbc.idle(but=("complaints",))


def test_an_emergency_number_that_no_rule_calls_one_is_a_number_like_others(world):
    sbc = world()
    office = sbc.office()
    office.invites("911")
    assert office.got(404)
    assert not sbc.cdr.only.emergency
    assert sbc.idle()


# BOUND: EMERGENCIES
def test_a_node_that_is_full_of_calls_has_room_for_emergencies(world, monkeypatch):
    monkeypatch.setattr(limits, "CALLS", 1)
    sbc, office, carrier, _spare = three(world)
    office.invites(FAR)
    carrier.answers()
    ordinary = office.call
    office.invites(FAR)
    assert office.got(503)
    office.invites("911")
    carrier.answers()
    office.hangs_up()
    assert sbc.cdr[-1].emergency
    monkeypatch.setattr(limits, "EMERGENCIES", 0)
    office.invites("911")
    assert office.got(503)
    office.agent.parties[:] = [ordinary]
    office.hangs_up()
    assert sbc.idle()


# BOUND: CDR_QUEUE
def test_a_node_whose_disk_takes_no_records_has_room_for_emergencies(world, monkeypatch):
    monkeypatch.setattr(limits, "CDR_QUEUE", 0)
    sbc, office, carrier, _spare = three(world)
    office.invites(FAR)
    assert office.got(503)
    office.invites("911")
    carrier.answers()
    office.hangs_up()
    assert sbc.cdr.only.emergency
    assert sbc.idle()


def test_a_draining_node_knows_the_caller_as_the_routes_do(world):
    """The emergency route is for numbers that screening puts in the caller's place."""
    policy = EMERGENCY.replace("on_fail: reject", "on_fail: replace").replace(
        "from: office, to: ['911', emergency]", "from: office, caller: ['+14155550100'], to: ['911', emergency]"
    )
    sbc = world(policy)
    office, carrier = sbc.office(), sbc.carrier()
    sbc.phone("second.carrier.net", "198.51.100.8:5060", through=OUTSIDE)
    sbc.tell(DrainOrdered(sbc.now + 1.0))
    office.invites("911", caller="4999")
    carrier.answers()
    office.hangs_up()
    assert sbc.cdr.only.emergency
    assert sbc.idle()
