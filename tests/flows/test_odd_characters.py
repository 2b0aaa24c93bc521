"""Users with escaped characters: what is escaped on one side stays escaped on the other (RFC 3261 §19.1.2, §25.1)."""

import pytest

from sbc.testing.world import DID, FAR, POLICY

ANY = POLICY.replace('to: [national, "+44X."]', 'to: ["/.*/"]')


@pytest.mark.parametrize("user", ["%0d%0aEvil:%20x", "a%20b", "%3e%3csip:evil", "%40evil.example", "%22", "%00"])
def test_a_caller_with_escaped_characters(world, user):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR, caller=user)
    assert not any(data.startswith(b"INVITE") and b"\r\nEvil" in data for data in sbc.net.sent_to(carrier.name))
    carrier.rings()
    carrier.answers()
    assert "@203.0.113.1" in carrier.call.target.partition(":")[2]
    carrier.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


@pytest.mark.parametrize("user", ["a%20b", "%3e%3csip:evil", "%40evil.example", "%22"])
def test_a_called_user_with_escaped_characters(world, user):
    sbc = world(ANY)
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(user)
    carrier.rings()
    carrier.answers()
    assert "@10.0.0.1" in office.call.target
    office.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_an_inbound_call_from_such_a_caller(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    carrier.invites(DID, caller="%0d%0aEvil:%20x")
    office.answers()
    office.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()
