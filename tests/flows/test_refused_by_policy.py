"""Numbers that no route takes, and what the SBC refuses before policy is asked."""

import pytest

from sbc.sip.serialize import serialize
from sbc.testing.build import request
from sbc.testing.world import DID, FAR, POLICY


def test_a_number_that_no_route_takes_gets_404(world):
    sbc = world()
    office = sbc.office()
    office.invites("+33123456789")
    assert office.got(404)
    record = sbc.cdr.only
    assert (record.cause, record.sip_status, record.ended_by) == ("no_route", 404, "sbc")
    assert (record.egress, record.attempts) == (None, ())
    assert sbc.idle()


def test_a_number_that_no_pbx_owns_gets_404(world):
    sbc = world()
    carrier = sbc.carrier()
    carrier.invites("+14155550999")
    assert carrier.got(404)
    assert sbc.cdr.only.cause == "no_route"
    assert sbc.idle()


def test_a_route_that_rejects(world):
    sbc = world(POLICY.replace("routes:\n", "routes:\n  - {name: never, from: office, to: premium, reject: 403}\n"))
    office = sbc.office()
    office.invites("+19005551234")
    assert office.got(403)
    record = sbc.cdr.only
    assert (record.cause, record.route, record.ended_by) == ("rejected", "never", "sbc")
    assert sbc.idle()


def raw(phone, **options):
    options.setdefault("to", f"sip:{FAR}@10.0.0.1")
    return serialize(request(source=phone.address, **options))


def statuses(sbc, phone):
    return [int(data.split()[1]) for data in sbc.net.sent_to(phone.name) if data.startswith(b"SIP/2.0")]


def test_max_forwards_zero_gets_483(world):
    sbc = world()
    office = sbc.office()
    sbc.inject(raw(office, sdp=True).replace(b"Max-Forwards: 70", b"Max-Forwards: 0"), office)
    assert 483 in statuses(sbc, office)
    assert sbc.idle()


def test_max_forwards_is_copied_and_decremented(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    sbc.inject(raw(office, sdp=True).replace(b"Max-Forwards: 70", b"Max-Forwards: 12"), office)
    assert carrier.call.invite.max_forwards == 11
    carrier.refuses(486)
    assert sbc.idle()


def test_a_merged_request_gets_482(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    sbc.inject(raw(office, sdp=True, branch="z9hG4bKone"), office)
    sbc.inject(raw(office, sdp=True, branch="z9hG4bKtwo"), office)
    assert statuses(sbc, office)[-1] == 482
    assert carrier.heard.count("INVITE") == 1
    carrier.refuses(486)
    assert len(sbc.cdr) == 1
    assert sbc.idle()


def test_a_retransmitted_invite_makes_one_call(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    for _ in range(3):
        sbc.inject(raw(office, sdp=True), office)
    assert carrier.heard.count("INVITE") == 1
    carrier.rings()
    sbc.inject(raw(office, sdp=True), office)
    assert statuses(sbc, office) == [100, 100, 100, 180, 180]
    carrier.refuses(486)
    assert len(sbc.cdr) == 1
    assert sbc.idle()


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"method": "REGISTER"}, 405),
        ({"method": "MESSAGE"}, 405),
        ({"method": "NONSENSE"}, 501),
        ({"method": "BYE", "to_tag": "unknown"}, 481),
        ({"method": "INVITE", "to_tag": "unknown", "sdp": True}, 481),
        ({"method": "CANCEL"}, 481),
        ({"fields": (("Require", "nothing-known"),)}, 420),
        ({"uri": "http://example.com/"}, 416),
        ({"body": b"hello", "fields": (("Content-Type", "text/plain"),)}, 415),
        ({"body": b"v=?", "fields": (("Content-Type", "application/sdp"),)}, 400),
    ],
)
def test_what_cannot_be_served_is_refused(world, options, status):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    sbc.inject(raw(office, **options), office)
    sbc.run(1.0)
    assert statuses(sbc, office)[-1] == status
    assert carrier.heard == []
    assert sbc.idle()


def test_an_ack_for_nothing_is_silent(world):
    sbc = world()
    office = sbc.office()
    sbc.inject(raw(office, method="ACK", to_tag="unknown"), office)
    assert statuses(sbc, office) == []
    assert sbc.idle()


def test_garbage_is_survived(world):
    sbc = world()
    office = sbc.office()
    for data in (b"", b"\r\n\r\n", b"\x00" * 100, b"INVITE", b"SIP/2.0 200 OK\r\n\r\n", b"\xff" * 65_000):
        sbc.inject(data, office)
    assert statuses(sbc, office) == []
    assert sbc.idle()


def test_a_loop_through_the_carrier_is_no_loop(world):
    """A PBX that dials its own DID through the carrier gets its call (contract, rule on 482)."""
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(DID)
    carrier.invites(DID)
    assert [party.is_caller for party in office.agent.parties] == [True, False]
    office.answers()
    carrier.hangs_up()
    office.agent.cancel(office.agent.parties[0], sbc.now)
    sbc.net.perform(office.agent, office.agent.cancel(office.agent.parties[0], sbc.now))
    sbc.run(60.0)
    assert sbc.idle()
