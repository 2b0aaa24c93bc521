"""What one call may spend, however long its hunt and however often its streams change."""

import json

from sbc.core import limits
from sbc.testing.world import FAR, POLICY

from .test_what_is_heard import counted


# BOUND: ATTEMPTS_PER_CALL
def test_a_hunt_ends_though_there_are_servers_left(world, monkeypatch):
    servers = ", ".join(f'"sip:198.51.100.7:{5060 + n}"' for n in range(6))
    monkeypatch.setattr("sbc.b2bua.choosing.ATTEMPTS_PER_CALL", 3)
    sbc = world(POLICY.replace('"sip:198.51.100.7:5060"', servers))
    office = sbc.office()
    office.invites(FAR)
    sbc.run(120.0)
    assert office.call.stage == "ended"
    assert len(sbc.cdr.only.attempts) == 3 < limits.ATTEMPTS_PER_CALL
    assert sbc.idle()


# BOUND: PAST_STREAMS
def test_a_record_has_only_so_many_streams_that_are_over(world, monkeypatch):
    assert limits.PAST_STREAMS > 0
    monkeypatch.setattr("sbc.b2bua.listening.PAST_STREAMS", 0)
    sbc = world()
    office, carrier = sbc.office(fax_port=4004), sbc.carrier(fax_port=4004)
    office.invites(FAR)
    carrier.answers()
    counted(sbc, 900, 1000)
    carrier.offers_fax()
    counted(sbc, 950, 1200)
    office.hangs_up()
    assert [row["codec"] for row in json.loads(sbc.cdr.only.media)["egress"]] == ["t38"]
    assert sbc.idle()
