"""An INVITE of ours: early dialogs, the first 2xx, other forks, a 2xx that crosses a CANCEL (RFC 3261 §13.2, §9.1)."""

import pytest

from sbc.core.limits import EARLY_DIALOGS_PER_LEG
from sbc.sip.commands import CancelRequest, SendAck, SendRequest
from sbc.sip.dialog.dialog import dialog_of_uac
from sbc.sip.dialog.invite_uac import Accepted, InviteUac, Progressed, Refused, State
from sbc.testing.build import request, response_to

INVITE = request("INVITE", cseq=5)


def uac():
    return InviteUac("me", INVITE, "outside")


def answer(status, tag="to-1", **options):
    return response_to(INVITE, status, to_tag=tag, **options)


def kinds(outs):
    return [type(out) for out in outs]


def methods(orders):
    return [order.request.method for order in orders]


def test_100_says_nothing_and_every_other_provisional_names_its_fork():
    machine = uac()
    assert machine.receive(answer(100)) == []
    outs = [out for status, tag in ((180, "a"), (183, "b"), (180, "a")) for out in machine.receive(answer(status, tag))]
    assert [(type(out), out.tag) for out in outs] == [(Progressed, "a"), (Progressed, "b"), (Progressed, "a")]
    assert set(machine.early) == {"a", "b"}


# BOUND: EARLY_DIALOGS_PER_LEG
def test_early_dialogs_are_bounded():
    machine = uac()
    for n in range(3 * EARLY_DIALOGS_PER_LEG):
        machine.receive(answer(180, f"fork-{n}"))
    assert len(machine.early) == EARLY_DIALOGS_PER_LEG


def test_the_dialog_is_that_of_the_2xx_whatever_came_before():
    machine = uac()
    machine.receive(answer(180, "a", contact="sip:early@192.0.2.8", fields=(("Record-Route", "<sip:p1;lr>"),)))
    [out] = machine.receive(answer(200, "a", contact="sip:late@192.0.2.8"))
    assert isinstance(out, Accepted)
    assert (machine.dialog.remote_tag, machine.dialog.remote_target) == ("a", "sip:late@192.0.2.8")
    assert machine.dialog.route_set == (), "the route set of the 2xx counts, §13.2.2.4"
    assert machine.early == {}


def test_the_ack_goes_out_once_along_the_dialog():
    machine = uac()
    machine.receive(answer(200, contact="sip:b@192.0.2.8", fields=(("Record-Route", "<sip:p1;lr>"),)))
    [ack] = machine.acknowledge(body=b"sdp")
    assert isinstance(ack, SendAck)
    assert (ack.user, ack.interface, ack.next_hop) == ("me", "outside", "sip:p1;lr")
    assert (ack.request.uri_text, ack.request.header("CSeq"), ack.request.body) == ("sip:b@192.0.2.8", "5 ACK", b"sdp")
    assert machine.acknowledge() == []


def test_nothing_is_acknowledged_before_a_2xx():
    assert uac().acknowledge() == []


@pytest.mark.parametrize("acknowledged", [False, True])
def test_a_repeated_2xx_is_the_transactions_matter(acknowledged):
    machine = uac()
    machine.receive(answer(200))
    if acknowledged:
        machine.acknowledge()
    assert machine.receive(answer(200)) == []


def test_another_forks_2xx_is_acknowledged_and_hung_up():
    machine = uac()
    machine.receive(answer(200, "a"))
    ack, bye = machine.receive(answer(200, "b", contact="sip:other@192.0.2.8"))
    assert (type(ack), type(bye)) == (SendAck, SendRequest)
    assert methods([ack, bye]) == ["ACK", "BYE"]
    assert (ack.request.header("CSeq"), bye.request.header("CSeq")) == ("5 ACK", "6 BYE")
    assert bye.request.uri_text == "sip:other@192.0.2.8"
    assert bye.request.to.tag == "b"
    assert bye.user != "me"
    assert machine.dialog.remote_tag == "a"


def test_a_failure_is_reported_once():
    machine = uac()
    [out] = machine.receive(answer(486))
    assert isinstance(out, Refused)
    assert machine.state is State.ENDED
    assert machine.receive(answer(486)) == []


def test_after_a_cancel_provisionals_are_over_and_the_487_is_reported():
    machine = uac()
    machine.receive(answer(180))
    assert machine.cancel("SIP;cause=200") == [CancelRequest("me", "SIP;cause=200")]
    assert machine.cancel() == []
    assert machine.receive(answer(183)) == []
    assert kinds(machine.receive(answer(487))) == [Refused]


def test_a_2xx_that_crosses_the_cancel_is_acknowledged_and_hung_up():
    machine = uac()
    machine.cancel()
    assert methods(machine.receive(answer(200))) == ["ACK", "BYE"]
    assert machine.state is State.ENDED
    assert methods(machine.receive(answer(200, "fork-2"))) == ["ACK", "BYE"]


@pytest.mark.parametrize("final", [200, 486])
def test_what_has_its_final_response_cannot_be_cancelled(final):
    machine = uac()
    machine.receive(answer(final))
    assert machine.cancel() == []


def test_a_transaction_that_fails_matters_only_while_an_answer_was_awaited():
    assert uac().fail()
    cancelled = uac()
    cancelled.cancel()
    assert not cancelled.fail()
    accepted = uac()
    accepted.receive(answer(200))
    assert not accepted.fail()


def test_a_late_2xx_after_all_failed_leaves_nobody_talking_to_nobody():
    machine = uac()
    machine.fail()
    assert methods(machine.receive(answer(200))) == ["ACK", "BYE"]


# --- re-INVITE --------------------------------------------------------------------------------------------------------


def reinvite():
    dialog = dialog_of_uac(INVITE, answer(200), "outside")
    again = dialog.request("INVITE")
    return InviteUac("again", again, "outside", dialog), dialog


def test_a_reinvites_2xx_refreshes_the_target_of_the_dialog_there_is():
    machine, dialog = reinvite()
    [out] = machine.receive(response_to(INVITE, 200, contact="sip:moved@192.0.2.8"))
    assert isinstance(out, Accepted)
    assert machine.dialog is dialog
    assert dialog.remote_target == "sip:moved@192.0.2.8"
    [ack] = machine.acknowledge()
    assert (ack.request.header("CSeq"), ack.next_hop) == ("6 ACK", "sip:moved@192.0.2.8")


def test_a_reinvite_makes_no_early_dialogs():
    machine, _ = reinvite()
    assert kinds(machine.receive(answer(180))) == [Progressed]
    assert machine.early == {}


def test_a_reinvites_2xx_that_crosses_its_cancel_has_changed_the_session_and_ends_nothing():
    machine, _ = reinvite()
    machine.cancel()
    assert kinds(machine.receive(answer(200))) == [Accepted]
    assert methods(machine.acknowledge()) == ["ACK"]
