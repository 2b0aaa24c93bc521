"""Session timers (RFC 4028), one for each side of a call: who refreshes whom, how often, and what ends a call.

A refresh is answered where it arrives and never crosses; each side has its own interval and its own refresher.
"""
# RFC: 4028

import pytest

from sbc.sdp import Direction
from sbc.testing.byhand import ByHand
from sbc.testing.world import FAR, POLICY

SHORT = POLICY.replace("office: {", "office: {session_timer: {expires: 120s, min: 90s}, ").replace(
    "carrier: {", "carrier: {session_timer: {expires: 300s, min: 90s}, "
)
OFF = POLICY.replace("office: {", "office: {session_timer: off, ")
OFF = OFF.replace("carrier: {", "carrier: {session_timer: off, ")
LONG_MINIMUM = POLICY.replace("office: {", "office: {session_timer: {expires: 1800s, min: 600s}, ")


def phones(world, policy=SHORT):
    sbc = world(policy)
    return sbc, sbc.office(), sbc.carrier()


def talk(office, carrier):
    office.invites(FAR)
    carrier.answers()
    assert office.is_talking
    assert carrier.is_talking


def ends_well(sbc, office):
    office.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def ends_expired(sbc):
    record = sbc.cdr.only
    assert (record.cause, record.ended_by) == ("session_expired", "sbc")
    assert sbc.idle()


def session_expires(phone, starts):
    """Session-Expires of what we sent to a phone, in messages that start so."""
    found = []
    for data in phone.net.sent_to(phone.name):
        if data.startswith(starts.encode()):
            lines = [line for line in data.decode("latin-1").split("\r\n") if line.startswith("Session-Expires:")]
            found += [line.partition(": ")[2] for line in lines]
    return found


# --- who refreshes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("refresher", ["uac", "uas"])
def test_a_callee_may_want_a_timer_that_we_have_not_asked_for(world, refresher):
    """ "The UAS … may request that a session timer be used itself", RFC 4028 §9; we have said that we know timers."""
    sbc, office, carrier = phones(world, OFF)
    carrier.uses_session_timer(90, refresher=refresher)
    talk(office, carrier)
    assert session_expires(carrier, "INVITE") == []
    sbc.run(200.0)
    assert carrier.is_talking
    assert carrier.call.heard.count("UPDATE" if refresher == "uac" else "200 UPDATE") == 4
    office.holds()
    assert session_expires(carrier, "INVITE") == [f"90;refresher={refresher}"]
    ends_well(sbc, office)


@pytest.mark.parametrize("by", ["UPDATE", "INVITE"])
@pytest.mark.parametrize("caller", ["uac", "uas"])
@pytest.mark.parametrize("callee", ["uac", "uas"])
def test_both_refreshers_on_both_sides(world, by, caller, callee):
    """ "uac" on the caller's side is the caller, on the callee's side it is us."""
    sbc, office, carrier = phones(world, SHORT.replace("120s", "300s"))
    office.uses_session_timer(200, refresher=caller, refreshes=by)
    carrier.uses_session_timer(100, refresher=callee, refreshes=by)
    talk(office, carrier)
    assert (office.call.interval, carrier.call.interval) == (200, 100)
    assert (office.call.refreshes, carrier.call.refreshes) == (caller == "uac", callee == "uas")
    heard = [len(office.call.heard), len(carrier.call.heard)]
    sbc.run(460.0)
    assert office.is_talking
    more = [len(office.call.heard) - heard[0], len(carrier.call.heard) - heard[1]]
    if by == "UPDATE":
        assert more == [4, 9]  # one message of ours for each refresh, a request or a response: nothing has crossed
    else:
        assert more[0] >= 8 or caller == "uas"
        assert more[1] >= 18 or callee == "uac"
    assert sbc.hears(office, carrier)
    ends_well(sbc, office)


def test_a_caller_that_leaves_the_choice_is_refreshed_by_us(world):
    """Table 2, row 4: calls die of peers that promise refreshes and do not make them.

    In our own interval where the caller asks for a longer one: "the UAS response MAY reduce its value", RFC 4028 §9.
    """
    sbc, office, carrier = phones(world)
    office.uses_session_timer(200)
    talk(office, carrier)
    assert session_expires(office, "SIP/2.0 200") == ["120;refresher=uas"]
    sbc.run(130.0)
    assert office.call.heard.count("UPDATE") == 2
    assert carrier.call.heard == ["INVITE", "ACK"]
    ends_well(sbc, office)


def test_a_caller_that_knows_timers_and_asks_for_none_gets_ours(world):
    sbc, office, carrier = phones(world)
    office.uses_session_timer(None)
    talk(office, carrier)
    assert office.call.interval == 120
    sbc.run(130.0)
    assert office.call.heard.count("UPDATE") == 2
    ends_well(sbc, office)


@pytest.mark.parametrize("who", ["caller", "callee", "both"])
def test_a_peer_without_timers_is_never_refreshed_and_may_be_silent(world, who):
    sbc, office, carrier = phones(world)
    if who == "caller":
        carrier.uses_session_timer(100)
    if who == "callee":
        office.uses_session_timer(100)
    talk(office, carrier)
    sbc.run(7200.0)
    assert office.is_talking
    assert carrier.is_talking
    if who in ("caller", "both"):
        assert office.call.heard == ["100", "200"]
    if who in ("callee", "both"):
        assert carrier.call.heard == ["INVITE", "ACK"]
    ends_well(sbc, office)


def test_with_the_timer_off_none_is_asked_for_but_a_caller_may_have_one(world):
    sbc, office, carrier = phones(world, OFF)
    office.uses_session_timer(200, refresher="uac")
    carrier.uses_session_timer(None)
    talk(office, carrier)
    assert carrier.last("INVITE").header("Session-Expires") is None
    assert office.call.interval == 200
    sbc.run(400.0)
    assert office.is_talking
    ends_well(sbc, office)


def test_a_session_expires_that_a_proxy_has_added_is_ours_to_refresh(world):
    """A UAC that does not say `timer` cannot be the refresher (§9, table 2)."""
    sbc, office, carrier = phones(world)
    office.invites(FAR, fields=(("Session-Expires", "100"),))
    carrier.answers()
    assert session_expires(office, "SIP/2.0 200") == ["100;refresher=uas"]
    assert b"Require: timer" not in b"".join(sbc.net.sent_to(office.name))
    sbc.run(60.0)
    assert office.call.heard.count("UPDATE") == 1
    sbc.run(2000.0)  # its 200 says nothing of a timer: "no session expiration", §7.2
    assert office.is_talking
    ends_well(sbc, office)


def test_an_update_that_says_who_is_there_keeps_the_timer(world):
    """A 2xx to it without Session-Expires would end the timer of its sender (RFC 4028 §7.2), and then the call."""
    sbc, office, carrier = phones(world)
    office.uses_session_timer(90, refresher="uac")
    talk(office, carrier)
    carrier.updates(sdp=False, fields=(("P-Asserted-Identity", "<sip:+442079460009@carrier.net>"),))
    assert session_expires(office, "UPDATE") == ["90;refresher=uas"]
    sbc.run(200.0)
    assert office.call.heard.count("200 UPDATE") >= 4
    ends_well(sbc, office)


def test_an_update_that_overtakes_another_leaves_the_timer_to_both_answers(world):
    """The offer in the first waits for the far side; the second only refreshes, and is answered at once."""
    sbc, office, carrier = phones(world)
    office.uses_session_timer(90)
    carrier.disallows("UPDATE")
    talk(office, carrier)
    carrier.answers_reinvites(None)
    office.holds(by="UPDATE")
    office.updates(sdp=False)
    carrier.answers()
    assert office.got("200 UPDATE", "200 UPDATE")
    sbc.run(200.0)
    assert office.is_talking
    ends_well(sbc, office)


# --- intervals that are too small -------------------------------------------------------------------------------------


def test_a_callee_that_wants_a_longer_interval_is_asked_again(world):
    sbc, office, carrier = phones(world)
    carrier.uses_session_timer(None, min_se=1000)
    talk(office, carrier)
    assert 422 not in [int(word) for word in office.call.heard if word.isdigit()]
    assert [m.header("Session-Expires") for m in (carrier.last("INVITE"),)] == ["1000"]
    assert carrier.last("INVITE").header("Min-SE") == "1000"
    assert carrier.call.interval == 1000
    sbc.run(1010.0)
    assert carrier.call.heard.count("UPDATE") == 2
    ends_well(sbc, office)


def test_a_callee_that_is_never_content_is_called_without_a_timer(world):
    sbc, office, carrier = phones(world)
    hand = ByHand(sbc, carrier)
    office.invites(FAR)
    for least in (400, 500, 600, 700):
        if hand.requests("INVITE")[-1].header("Session-Expires") is None:
            break
        hand.replies(422, fields=(("Min-SE", str(least)),))
    assert hand.requests("INVITE")[-1].header("Session-Expires") is None
    assert len({request.cseq.number for request in hand.requests("INVITE")}) == len(hand.requests("INVITE"))
    hand.replies(200, sdp=True)
    assert office.is_talking
    sbc.run(3600.0)
    office.hangs_up()
    hand.replies(200, to=hand.requests("BYE")[0])
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_a_caller_with_too_short_an_interval_is_told_ours(world):
    sbc, office, carrier = phones(world, LONG_MINIMUM)
    office.uses_session_timer(120)
    office.invites(FAR)
    assert office.got(422)
    carrier.answers()
    assert office.call.interval == 600
    assert carrier.calls == [carrier.call]
    office.hangs_up()
    assert [record.sip_status for record in sbc.cdr] == [422, 200]
    assert sbc.idle()


@pytest.mark.parametrize("by", ["UPDATE", "INVITE"])
def test_a_refresh_with_too_short_an_interval_is_refused_and_said_again(world, by):
    sbc, office, carrier = phones(world, LONG_MINIMUM)
    office.uses_session_timer(600, refresher="uac", refreshes=None)
    talk(office, carrier)
    office.call.interval = 200
    if by == "UPDATE":
        office.updates(sdp=False)
    else:
        office.reinvites()
    assert office.got(200, "422 UPDATE", "200 UPDATE") if by == "UPDATE" else office.got(200, 422, 200)
    assert office.call.interval == 600
    assert carrier.call.heard == ["INVITE", "ACK"]
    ends_well(sbc, office)


def test_our_refresh_that_is_too_short_is_said_again(world):
    """A proxy on the way has a minimum of its own, which came with the last request."""
    sbc, office, carrier = phones(world)
    carrier.uses_session_timer(None, refresher="uac")
    talk(office, carrier)
    carrier.script.min_se = 500
    sbc.run(160.0)
    assert carrier.call.heard.count("UPDATE") == 2
    assert carrier.call.interval == 500
    sbc.run(1000.0)
    ends_well(sbc, office)


# --- how we refresh ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["caller", "callee"])
def test_without_update_we_refresh_by_a_reinvite_that_changes_nothing(world, side):
    """ "… the o= line … MUST be unchanged", §7.4: the very same description."""
    sbc, office, carrier = phones(world)
    phone = office if side == "caller" else carrier
    phone.disallows("UPDATE")
    phone.uses_session_timer(None)
    talk(office, carrier)
    office.holds()
    office.resumes()
    told = phone.call.remote_sdp
    sbc.run(310.0)
    refreshes = [r for r in phone.agent.bench.requests if r.method == "INVITE" and r.header("Session-Expires")]
    assert refreshes
    assert phone.call.remote_sdp == told
    assert sbc.hears(office, carrier)
    assert sbc.hears(carrier, office)
    other = carrier if side == "caller" else office
    assert "UPDATE" not in other.call.heard
    ends_well(sbc, office)


def test_a_refresh_of_a_held_call_keeps_the_hold(world):
    sbc, office, carrier = phones(world)
    carrier.disallows("UPDATE")
    carrier.uses_session_timer(None)
    talk(office, carrier)
    office.holds()
    sbc.run(320.0)
    assert carrier.call.heard.count("INVITE") >= 4
    assert carrier.direction is Direction.SENDONLY
    office.resumes()
    assert sbc.hears(carrier, office)
    ends_well(sbc, office)


@pytest.mark.parametrize("by", ["UPDATE", "INVITE"])
def test_a_refresh_of_the_peer_is_answered_here(world, by):
    sbc, office, carrier = phones(world)
    office.uses_session_timer(100, refresher="uac", refreshes=by)
    talk(office, carrier)
    before = office.call.remote_sdp
    sbc.run(1000.0)
    assert office.call.heard.count("200 UPDATE" if by == "UPDATE" else "200") >= 19
    assert carrier.call.heard == ["INVITE", "ACK"]
    assert office.call.remote_sdp == before
    ends_well(sbc, office)


def test_a_hold_is_a_refresh_too(world):
    """Any re-INVITE or UPDATE with its 2xx starts the interval anew (§7.4), on its own side."""
    sbc, office, carrier = phones(world)
    office.uses_session_timer(100, refresher="uac", refreshes=None)
    talk(office, carrier)
    for _ in range(4):
        sbc.run(55.0)
        office.holds()
        sbc.run(55.0)
        office.resumes()
    assert office.is_talking
    ends_well(sbc, office)


def test_a_timer_that_a_refresh_no_longer_names_is_over(world):
    """A 2xx without Session-Expires: no timer any more (§7.2)."""
    sbc, office, carrier = phones(world)
    carrier.uses_session_timer(None, refresher="uac")
    talk(office, carrier)
    carrier.script.supports = ("replaces",)
    sbc.run(160.0)
    assert carrier.call.heard.count("UPDATE") == 1
    sbc.run(2000.0)
    assert carrier.call.heard.count("UPDATE") == 1
    assert office.is_talking
    ends_well(sbc, office)


# --- when nobody refreshes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["caller", "callee"])
def test_a_peer_that_does_not_refresh_in_time_ends_the_call(world, side):
    """ "slightly before the session expiration … the minimum of 32 seconds and one third", §10; with a Reason."""
    sbc, office, carrier = phones(world)
    silent, other = (office, carrier) if side == "caller" else (carrier, office)
    silent.uses_session_timer(120, refresher="uac" if side == "caller" else "uas", refreshes=None)
    silent.script.ends_expired = False
    talk(office, carrier)
    sbc.run(87.0)
    assert other.is_talking
    sbc.run(2.0)
    for phone in (silent, other):
        assert phone.got("BYE")
        assert phone.last("BYE").header("Reason") is not None
    ends_expired(sbc)


@pytest.mark.parametrize("side", ["caller", "callee"])
def test_a_peer_that_is_gone_without_a_word_is_found_by_the_refresh(world, side):
    sbc, office, carrier = phones(world)
    gone, other = (office, carrier) if side == "caller" else (carrier, office)
    gone.uses_session_timer(100, refresher="uas" if side == "caller" else "uac")
    talk(office, carrier)
    gone.dies(silently=True)
    sbc.run(120.0)
    assert other.got("BYE")
    ends_expired(sbc)


@pytest.mark.parametrize("by", ["UPDATE", "INVITE"])
@pytest.mark.parametrize("status", [408, 481])
def test_a_refresh_that_says_that_the_peer_has_forgotten_the_call_ends_it(world, by, status):
    """ "If the UAC receives a 408 or 481 … SHOULD send a BYE", §10."""
    sbc, office, carrier = phones(world)
    carrier.uses_session_timer(None, refresher="uac")
    if by == "INVITE":
        carrier.disallows("UPDATE")
    talk(office, carrier)
    carrier.answers_updates(status)
    carrier.answers_reinvites(status)
    sbc.run(160.0)
    assert office.got("BYE")
    ends_expired(sbc)


def test_a_lost_refresh_is_repeated_by_its_transaction(world):
    sbc, office, carrier = phones(world)
    carrier.uses_session_timer(None, refresher="uac")
    talk(office, carrier)
    sbc.net.loses("UPDATE", to=carrier.name, times=3)
    sbc.run(400.0)
    assert office.is_talking
    assert carrier.call.heard.count("UPDATE") == 2
    ends_well(sbc, office)


@pytest.mark.parametrize("by", ["UPDATE", "INVITE"])
@pytest.mark.parametrize("status", [488, 491, 500, 503])
def test_a_refresh_that_is_refused_is_tried_again_and_the_call_goes_on(world, by, status):
    sbc, office, carrier = phones(world)
    carrier.uses_session_timer(None, refresher="uac")
    if by == "INVITE":
        carrier.disallows("UPDATE")
    talk(office, carrier)
    carrier.answers_updates(status)
    carrier.answers_reinvites(status)
    sbc.run(160.0)
    assert office.is_talking
    carrier.answers_updates(200)
    carrier.answers_reinvites(200)
    sbc.run(600.0)
    assert office.is_talking
    assert sbc.hears(office, carrier)
    ends_well(sbc, office)


@pytest.mark.parametrize("by", ["UPDATE", "INVITE"])
def test_a_refresh_that_is_always_refused_ends_the_call_in_the_end(world, by):
    sbc, office, carrier = phones(world)
    carrier.uses_session_timer(None, refresher="uac")
    carrier.script.ends_expired = False
    if by == "INVITE":
        carrier.disallows("UPDATE")
    talk(office, carrier)
    carrier.answers_updates(500)
    carrier.answers_reinvites(500)
    sbc.run(310.0)
    assert carrier.call.heard.count(by) < 12  # again and again, but not continuously
    assert office.got("BYE")
    ends_expired(sbc)


@pytest.mark.parametrize("status", [405, 501])
def test_an_update_that_is_not_known_after_all_is_followed_by_a_reinvite(world, status):
    sbc, office, carrier = phones(world)
    carrier.uses_session_timer(None, refresher="uac")
    talk(office, carrier)
    carrier.answers_updates(status)
    sbc.run(310.0)
    assert carrier.call.heard[:5] == ["INVITE", "ACK", "UPDATE", "INVITE", "ACK"]
    assert carrier.call.heard.count("UPDATE") == 1 or status
    assert office.is_talking
    ends_well(sbc, office)


# --- refreshes that meet something else -------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["UPDATE", "INVITE"])
@pytest.mark.parametrize("holder", ["office", "carrier"])
def test_a_hold_that_is_under_way_when_the_refresh_is_due(world, by, holder):
    """The held one is asked whether it wants that; meanwhile its side, or the other, is to be refreshed."""
    sbc, office, carrier = phones(world)
    for phone in (office, carrier):
        phone.uses_session_timer(None)
        if by == "INVITE":
            phone.disallows("UPDATE")
    talk(office, carrier)
    one, other = (office, carrier) if holder == "office" else (carrier, office)
    sbc.run(45.0)
    other.answers_reinvites(None)
    one.holds()
    sbc.run(30.0)  # at 60 s the office is to be refreshed
    other.answers()
    assert one.direction is Direction.RECVONLY
    assert other.direction is Direction.SENDONLY
    other.answers_reinvites(200)
    sbc.run(600.0)
    one.resumes()
    assert sbc.hears(office, carrier)
    assert sbc.hears(carrier, office)
    ends_well(sbc, office)


def test_a_refresh_meets_a_hold_of_the_peer(world):
    """491 for the one or the other; both are done in the end."""
    sbc, office, carrier = phones(world)
    carrier.disallows("UPDATE")
    carrier.uses_session_timer(None, refresher="uac")
    talk(office, carrier)
    sbc.run(149.9985)
    carrier.holds()
    sbc.run(30.0)
    assert office.direction is Direction.SENDONLY
    carrier.resumes()
    sbc.run(600.0)
    assert sbc.hears(carrier, office)
    ends_well(sbc, office)


@pytest.mark.parametrize("offset", [-0.003, -0.0015, 0.0, 0.0015])
def test_a_hang_up_about_when_a_refresh_is_due(world, offset):
    sbc, office, carrier = phones(world)
    carrier.uses_session_timer(None, refresher="uac")
    talk(office, carrier)
    with sbc.net.holding(office.agent):
        sbc.net.perform(office.agent, office.agent.hang_up(office.call, sbc.now))
        sbc.run(150.0 + offset)
    sbc.run(5.0)
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_refreshes_in_a_bad_network(world, chaos):
    """A fifth of all is lost, for a quarter of an hour: nobody expires."""
    sbc = world(SHORT, **chaos)
    office, carrier = sbc.office(), sbc.carrier()
    office.uses_session_timer(90, refresher="uac")
    carrier.uses_session_timer(90, refresher="uac")
    office.invites(FAR)
    carrier.answers()
    office.waits_for("200")
    sbc.run(900.0)
    assert office.is_talking
    assert carrier.is_talking
    office.hangs_up()
    assert sbc.idle()
    assert sbc.cdr.only.cause == "normal"
