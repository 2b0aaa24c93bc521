"""Calls over TCP and TLS when signalling has died: its connections are gone, the calls go on by others."""

import pytest

from sbc.core.address import Transport
from sbc.testing.world import CARRIER, DID, FAR, INSIDE, OFFICE, POLICY

from .test_pbxs_behind_nat import hide
from .test_tls import POLICY as BY_TLS
from .test_tls import by_tls, from_us
from .test_tls_peers import HOME, home_of

ACCOUNT = "auth: {username: office, password: 0ff1ce}"
REGISTERING = POLICY.replace("address: sip:10.0.0.5:5060", f"registers: true, accept: any, {ACCOUNT}")
OVER_TCP = POLICY.replace(f"sip:{CARRIER}", f"sip:{CARRIER};transport=tcp").replace(
    f"sip:{OFFICE}", f"sip:{OFFICE};transport=tcp"
)


def registered(world, *, hidden=False):
    sbc = world(REGISTERING)
    pbx = sbc.phone("pbx-77.office.internal", OFFICE, through=INSIDE, user=DID, transport=Transport.TCP)
    pbx.has_credentials("office", "0ff1ce")
    binding = pbx.registers("sip:office@10.0.0.1")
    if hidden:
        hide(pbx, binding)
    carrier = sbc.carrier()
    carrier.invites(DID)
    pbx.answers()
    sbc.run(40.0)  # its transactions are over, so that it has nothing to repeat
    assert pbx.is_talking
    return sbc, pbx, carrier


def dies_and_lives(sbc, after=0.5):
    sbc.signalling_dies()
    sbc.signalling_lives(after=after)


@pytest.mark.parametrize("who", ["pbx", "carrier"])
@pytest.mark.parametrize("returns", [False, True])
def test_a_pbx_that_has_registered_by_a_connection_is_reached_at_its_contact(world, who, returns):
    sbc, pbx, carrier = registered(world)
    dies_and_lives(sbc)
    if returns:
        pbx.refreshes(expires=600)
    before = len(sbc.net.log)
    carrier.holds()
    carrier.resumes()
    targets = {str(sent.target) for sent in sbc.net.log[before:] if sent.sender == "sbc"} - {CARRIER}
    assert (targets == {OFFICE}) is not returns
    (pbx if who == "pbx" else carrier).hangs_up()
    sbc.run(1.0)
    assert (pbx.call.stage, carrier.call.stage) == ("ended", "ended")
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


@pytest.mark.parametrize("who", ["pbx", "carrier"])
def test_behind_a_nat_it_is_reached_when_it_is_back(world, who):
    sbc, pbx, carrier = registered(world, hidden=True)
    dies_and_lives(sbc)
    pbx.refreshes(expires=600)
    carrier.holds()
    assert pbx.direction is not None
    carrier.resumes()
    (pbx if who == "pbx" else carrier).hangs_up()
    sbc.run(1.0)
    assert (pbx.call.stage, carrier.call.stage) == ("ended", "ended")
    assert sbc.idle()


def test_its_goodbye_waits_for_it(world):
    sbc, pbx, carrier = registered(world, hidden=True)
    dies_and_lives(sbc)
    carrier.hangs_up()
    sbc.run(10.0)
    assert pbx.is_talking
    pbx.refreshes(expires=600)
    sbc.run(1.0)
    assert pbx.call.stage == "ended"
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_that_is_not_waited_for_for_ever(world):
    sbc, pbx, carrier = registered(world, hidden=True)
    dies_and_lives(sbc)
    carrier.hangs_up()
    sbc.run(60.0)
    assert not sbc.switch.calls
    pbx.hangs_up()
    assert sbc.idle()


@pytest.mark.parametrize("who", ["office", "carrier"])
def test_who_hangs_up_by_a_new_connection_is_heard(world, who):
    sbc = world(OVER_TCP)
    office, carrier = sbc.office(transport=Transport.TCP), sbc.carrier(transport=Transport.TCP)
    office.invites(FAR)
    carrier.answers()
    sbc.run(1.0)
    dies_and_lives(sbc, after=3.0)
    (office if who == "office" else carrier).hangs_up()
    sbc.run(1.0)
    assert (office.call.stage, carrier.call.stage) == ("ended", "ended")
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_a_goodbye_waits_likewise_for_a_peer_whose_connection_broke(world):
    """Without any death."""
    sbc, pbx, carrier = registered(world, hidden=True)
    sbc.net.reset(pbx.agent)
    carrier.hangs_up()
    sbc.run(10.0)
    assert pbx.is_talking
    pbx.refreshes(expires=600)
    sbc.run(1.0)
    assert pbx.call.stage == "ended"
    assert sbc.idle()


def test_what_nobody_would_repeat_over_tcp_is_answered(world):
    """Else its sender may take the silence for the end of the dialog (RFC 3261 §12.2.1.2)."""
    sbc = world(OVER_TCP)
    office, carrier = sbc.office(transport=Transport.TCP), sbc.carrier(transport=Transport.TCP)
    office.invites(FAR)
    carrier.answers()
    sbc.run(40.0)
    with sbc.net.holding(carrier.agent):
        office.requests("INFO", fields=(("Content-Type", "text/plain"),), body=b"hello")
        sbc.signalling_dies()
    sbc.signalling_lives(after=0.5)
    sbc.run(2.0)
    [answer] = [sent for sent in sbc.net.log if sent.sender == "sbc" and sent.data.startswith(b"SIP/2.0 500")]
    assert (answer.receiver, answer.fate) == (office.name, "delivered")
    assert b"\r\nRetry-After: " in answer.data
    assert (office.call.stage, carrier.call.stage) == ("talking", "talking")
    office.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


# --- TLS --------------------------------------------------------------------------------------------------------------


def proved(sbc):
    """What the connections that are open have proved."""
    return {connection.ends[0].flow.proved for connection in sbc.net.streams.of("sbc")}


@pytest.mark.parametrize("who", ["office", "carrier"])
def test_over_tls_a_call_goes_on_by_a_connection_that_proves_its_peer(world, who):
    sbc = world(BY_TLS)
    office, carrier = sbc.office(), by_tls(sbc)
    office.invites(FAR)
    carrier.answers()
    sbc.run(40.0)
    dies_and_lives(sbc)
    office.holds()
    office.resumes()
    assert proved(sbc) == {("carrier",)}
    (office if who == "office" else carrier).hangs_up()
    sbc.run(1.0)
    assert (office.call.stage, carrier.call.stage) == ("ended", "ended")
    assert {sent.transport for sent in from_us(sbc, carrier)} == {Transport.TLS}
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_over_tls_who_was_called_is_told_that_nobody_waits_any_more(world):
    sbc = world(BY_TLS)
    office, carrier = sbc.office(), by_tls(sbc)
    office.invites(FAR)
    carrier.rings()
    dies_and_lives(sbc)
    sbc.run(5.0)
    assert carrier.got("CANCEL")
    assert office.call.status == 503
    assert {sent.transport for sent in from_us(sbc, carrier)} == {Transport.TLS}
    assert sbc.cdr.only.cause == "internal"
    assert sbc.idle()


def test_over_tls_a_goodbye_that_was_out_goes_out_again(world):
    sbc = world(BY_TLS)
    office, carrier = sbc.office(), by_tls(sbc)
    office.invites(FAR)
    carrier.answers()
    sbc.run(40.0)
    with sbc.net.holding(carrier.agent):
        office.hangs_up()
        sbc.signalling_dies()
    sbc.signalling_lives(after=1.0)
    sbc.run(2.0)
    assert carrier.call.stage == "ended"
    assert proved(sbc) <= {("carrier",)}
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_over_tls_a_caller_hears_of_it_by_a_new_connection(world):
    sbc = world(BY_TLS)
    office, carrier = sbc.office(), by_tls(sbc)
    carrier.invites(DID)
    office.rings()
    dies_and_lives(sbc)
    sbc.run(5.0)
    assert carrier.call.status == 503
    assert office.got("CANCEL")
    assert sbc.cdr.only.cause == "internal"
    assert sbc.idle()


@pytest.mark.parametrize("who", ["office", "home"])
def test_who_has_registered_by_tls_is_reached_when_he_is_back(world, who):
    sbc = world(HOME)
    office, home = sbc.office(), home_of(sbc)
    home.registers("sip:home@203.0.113.1")
    office.invites("+14155550200")
    home.answers()
    sbc.run(40.0)
    dies_and_lives(sbc)
    home.refreshes(expires=600)
    (office if who == "office" else home).hangs_up()
    sbc.run(2.0)
    assert (office.call.stage, home.call.stage) == ("ended", "ended")
    assert {sent.transport for sent in from_us(sbc, home)} == {Transport.TLS}
    assert sbc.idle()


def test_his_goodbye_waits_for_him(world):
    sbc = world(HOME)
    office, home = sbc.office(), home_of(sbc)
    home.registers("sip:home@203.0.113.1")
    office.invites("+14155550200")
    home.answers()
    sbc.run(40.0)
    dies_and_lives(sbc)
    office.hangs_up()
    sbc.run(5.0)
    assert home.is_talking
    home.refreshes(expires=600)
    sbc.run(2.0)
    assert home.call.stage == "ended"
    assert sbc.idle()
