"""CANCEL: while ringing, before anything was heard, and crossing the 200."""

from sbc.testing.party import Stage
from sbc.testing.world import FAR


def test_cancel_while_ringing(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.rings()
    office.cancels()
    assert office.got(180, 487)
    assert carrier.got("INVITE", "CANCEL")
    record = sbc.cdr.only
    assert (record.cause, record.ended_by, record.sip_status) == ("cancelled", "caller", 487)
    assert sbc.idle()


def test_cancel_waits_for_the_carriers_first_word(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    carrier.ignores()
    office.invites(FAR)
    office.cancels()
    assert office.got(487)
    sbc.run(0.2)
    # "If no provisional response has been received, the CANCEL request MUST NOT be sent", RFC 3261 §9.1
    assert not any(data.startswith(b"CANCEL") for data in sbc.net.sent_to(carrier.name))
    carrier.wakes()
    carrier.waits_for("CANCEL")
    assert carrier.call.stage is Stage.ENDED
    assert sbc.cdr.only.cause == "cancelled"
    assert sbc.idle()


def test_200_that_crosses_a_cancel_is_acked_and_byed(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.rings()
    with sbc.net.holding(carrier.agent):  # the 200 is in flight …
        carrier.answers()
        office.cancels()  # … when the CANCEL arrives
    sbc.settle()
    assert office.got(487)
    assert carrier.got("ACK", "BYE")
    assert sbc.cdr.only.cause == "cancelled"
    assert sbc.idle()


def test_cancel_that_comes_after_our_200_changes_nothing(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.rings()
    with sbc.net.holding(office.agent):
        carrier.answers()
        office.cancels()
    sbc.settle()
    # The caller's own 200 has come: it acknowledges and hangs up, RFC 3261 §15.
    assert office.got(200, "200 BYE")
    assert carrier.got("ACK", "BYE")
    assert (sbc.cdr.only.cause, sbc.cdr.only.ended_by) == ("normal", "caller")
    assert sbc.idle()


def test_caller_that_sends_bye_to_an_early_dialog(world):
    """Bad manners, but legal for a caller (RFC 3261 §15.1.1); the carrier must see CANCEL."""
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.rings()
    office.call.answered_at = sbc.now  # lets the phone build a request within the early dialog
    office.call.target = "sip:10.0.0.1:5060"
    office.agent.request(office.call, "OPTIONS", sbc.now)
    office.call.stage = office.call.stage.TALKING
    office.requests("BYE")
    sbc.run(1.0)
    assert carrier.got("CANCEL")
    assert office.got("200 BYE", 487)
    office.call.stage = office.call.stage.ENDED
    assert (sbc.cdr.only.cause, sbc.cdr.only.ended_by) == ("cancelled", "caller")
    assert sbc.idle()
