"""A plain call, out and in; whoever hangs up."""

from sbc.testing.world import DID, FAR


def test_outbound_call_that_the_callee_ends(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    sbc.run(1.0)
    carrier.rings()
    sbc.run(5.0)
    carrier.answers()
    assert office.got(100, 180, 200)
    assert carrier.got("INVITE", "ACK")
    assert sbc.hears(office, carrier)
    assert sbc.hears(carrier, office)
    sbc.run(60.0)
    carrier.hangs_up()
    assert office.got("BYE")
    sbc.expects(
        "ingress > INVITE sdp",
        "ingress < 100 Trying (INVITE)",
        "egress < INVITE sdp",
        "egress > 100 Trying (INVITE)",
        "egress > 180 Ringing (INVITE)",
        "ingress < 180 Ringing (INVITE)",
        "egress > 200 OK (INVITE) sdp",
        "egress < ACK",
        "ingress < 200 OK (INVITE) sdp",
        "ingress > ACK",
        "egress > BYE",
        "egress < 200 OK (BYE)",
        "ingress < BYE",
        "ingress > 200 OK (BYE)",
    )
    record = sbc.cdr.only
    assert (record.ingress, record.egress, record.route) == ("office", "carrier", "outbound")
    assert (record.caller, record.called, record.called_as_sent) == (DID, FAR, FAR)
    assert (record.ended_by, record.cause, record.sip_status, record.q850) == ("callee", "normal", 200, 16)
    assert round(record.billable_ms, -2) == 60_000
    assert record.ringing_at is not None
    assert record.answered_at is not None
    assert record.started_at < record.ringing_at < record.answered_at < record.ended_at
    assert record.ingress_call_id == office.call.call_id
    assert record.egress_call_id == carrier.call.call_id != office.call.call_id
    assert [(a.n, a.peer, a.sip_status, a.cause) for a in record.attempts] == [(1, "carrier", 200, "normal")]
    assert sbc.idle()


def test_outbound_call_that_the_caller_ends(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    office.hangs_up()
    assert carrier.got("INVITE", "ACK", "BYE")
    assert (sbc.cdr.only.ended_by, sbc.cdr.only.cause) == ("caller", "normal")
    assert sbc.idle()


def test_inbound_call_reaches_the_pbx_that_owns_the_number(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    carrier.invites(DID)
    office.rings()
    office.answers()
    assert office.call.called == DID
    assert sbc.hears(office, carrier)
    assert sbc.hears(carrier, office)
    office.hangs_up()
    record = sbc.cdr.only
    assert (record.ingress, record.egress, record.route) == ("carrier", "office", "inbound")
    assert (record.caller, record.called, record.ended_by) == (FAR, DID, "callee")
    assert sbc.idle()


def test_both_hang_up_at_once(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    with sbc.net.holding(office.agent), sbc.net.holding(carrier.agent):
        office.hangs_up()
        carrier.hangs_up()
    sbc.settle()
    assert office.got("200 BYE")
    assert carrier.got("200 BYE")
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_a_call_within_seconds_of_another_uses_other_ports(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    ports = set()
    for _ in range(3):
        office.invites(FAR)
        carrier.answers()
        assert carrier.call.remote_sdp is not None
        ports.add(carrier.call.remote_sdp.media[0].port)
        office.hangs_up()
    assert len(ports) == 3
    assert len(sbc.cdr) == 3
    assert sbc.idle()


def test_a_hundred_calls_at_once(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    carrier.answers_by_itself(after=1.0, hangs_up_after=10.0)
    for _ in range(100):
        office.invites(FAR)
    sbc.run(5.0)
    view = sbc.switch.snapshot(sbc.now)
    assert {call.state for call in view.calls} == {"answered"}
    assert (len(view.calls), view.dialogs, view.ports) == (100, 200, 200)
    sbc.run(10.0)
    assert [record.cause for record in sbc.cdr] == ["normal"] * 100
    assert sbc.idle()
