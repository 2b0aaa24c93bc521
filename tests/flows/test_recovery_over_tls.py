"""Signalling dies, and its TLS connections with it: who has called over one gets his answer on a new, proved one."""

from sbc.testing.world import DID

from .test_tls import POLICY, by_tls


# RFC: 3261
def test_a_caller_whose_connection_has_died_with_us_has_his_final_response_by_a_new_one(world):
    """§18.2.2: the server opens a connection. Whoever answers there must prove to be the caller's peer."""
    sbc = world(POLICY)
    carrier, office = by_tls(sbc), sbc.office()
    carrier.invites(DID)
    sbc.run(1.0)
    assert office.got("INVITE")
    sbc.signalling_dies()
    sbc.signalling_lives(after=1.0)
    sbc.run(40.0)
    assert office.got("CANCEL")
    assert carrier.call.status == 503
    assert sbc.cdr.only.sip_status == 503
    assert sbc.idle()
