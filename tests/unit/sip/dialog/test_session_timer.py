"""The session timer of a dialog: who refreshes, when, and what happens when nobody does (RFC 4028)."""
# RFC: 4028

import pytest

from sbc.core.limits import REFUSED_SESSION_INTERVALS, SESSION_SECONDS
from sbc.sip.dialog.session_timer import RefreshDue, SessionExpired, SessionTimer, SessionTimerRules
from sbc.testing.build import request, response_to
from sbc.testing.timeline import run_until


def timer(expires=1800.0, minimum=90.0):
    return SessionTimer(SessionTimerRules(expires, minimum))


def said(*, se=None, min_se=None, timer=True, method="INVITE"):
    """A request of the peer; `timer`: whether it lists that under Supported."""
    fields = (("Supported", "100rel, timer"),) if timer else (("Supported", "100rel"),)
    fields += () if se is None else (("Session-Expires", str(se)),)
    fields += () if min_se is None else (("Min-SE", str(min_se)),)
    return request(method, fields=fields)


def reply(status=200, *, se=None, min_se=None):
    fields = () if se is None else (("Session-Expires", str(se)), ("Require", "timer"))
    fields += () if min_se is None else (("Min-SE", str(min_se)),)
    return response_to(request(), status, fields=fields)


def answered(machine, invite, now=0.0):
    machine.take_request(invite)
    return machine.response_fields(now)


def running(se, now=0.0):
    """A dialog that we called, and whose 2xx said this."""
    machine = timer()
    machine.agreed(reply(se=se), now)
    return machine


# --- what our requests say --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "fields"),
    [
        ((1800.0, 90.0), {"Session-Expires": "1800"}),
        ((600.0, 90.0), {"Session-Expires": "600"}),
        ((1800.0, 300.0), {"Session-Expires": "1800", "Min-SE": "300"}),
        ((60.0, 30.0), {"Session-Expires": "90"}),
        ((100.0, 600.0), {"Session-Expires": "600", "Min-SE": "600"}),
    ],
)
def test_the_first_request_asks_by_the_rules_and_leaves_the_refresher_open(rules, fields):
    assert dict(timer(*rules).request_fields()) == fields


@pytest.mark.parametrize("refresher", ["uac", "uas"])
def test_a_later_request_names_who_refreshes_so_that_it_stays(refresher):
    assert running(f"1200;refresher={refresher}").request_fields() == (
        ("Session-Expires", f"1200;refresher={refresher}"),
    )


def test_the_peers_min_se_binds_our_requests_and_the_largest_counts():
    machine = timer()
    for value in (120, 2000, 300):
        machine.take_request(said(min_se=value))
    assert machine.request_fields() == (("Session-Expires", "2000"), ("Min-SE", "2000"))


def test_a_min_se_below_90_counts_as_90():
    machine = timer()
    machine.take_request(said(min_se=5))
    assert machine.request_fields() == (("Session-Expires", "1800"), ("Min-SE", "90"))


# BOUND: SESSION_SECONDS
def test_an_enormous_min_se_is_not_followed():
    machine = timer()
    machine.take_request(said(min_se=SESSION_SECONDS + 1))
    assert machine.request_fields() == ()


# --- 422 --------------------------------------------------------------------------------------------------------------


def test_a_422_raises_what_we_ask_for():
    machine = timer()
    assert machine.is_too_small(reply(422, min_se=3600))
    assert machine.request_fields() == (("Session-Expires", "3600"), ("Min-SE", "3600"))


# BOUND: SESSION_SECONDS
@pytest.mark.parametrize("min_se", [None, 0, 90, 1800, SESSION_SECONDS + 1, "9" * 40, "x"])
def test_a_422_that_cannot_be_satisfied_takes_the_timer_out_of_the_request(min_se):
    machine = timer()
    assert machine.is_too_small(reply(422, min_se=min_se))
    assert machine.request_fields() == ()
    assert not machine.is_too_small(reply(422, min_se=min_se))


# BOUND: REFUSED_SESSION_INTERVALS
def test_a_422_to_ever_more_does_not_go_on_for_ever():
    machine = timer()
    answers = [machine.is_too_small(reply(422, min_se=2000 + 100 * number)) for number in range(20)]
    assert answers == [True] * REFUSED_SESSION_INTERVALS + [False] * (20 - REFUSED_SESSION_INTERVALS)
    assert machine.request_fields() == ()


def test_after_a_2xx_a_refresh_may_meet_its_422s_anew():
    machine = timer()
    assert machine.is_too_small(reply(422, min_se=2000))
    assert machine.is_too_small(reply(422, min_se=2100))
    machine.agreed(reply(se="2100;refresher=uac"), 0.0)
    assert machine.is_too_small(reply(422, min_se=2200))
    assert machine.request_fields() == (("Session-Expires", "2200;refresher=uac"), ("Min-SE", "2200"))


@pytest.mark.parametrize("status", [200, 403, 423, 488])
def test_only_a_422_is_one(status):
    machine = timer()
    assert not machine.is_too_small(reply(status, min_se=3600))
    assert dict(machine.request_fields()) == {"Session-Expires": "1800"}


def test_the_min_se_of_before_the_dialog_is_forgotten_within_it():
    machine = timer(1800.0, 300.0)
    assert machine.is_too_small(reply(422, min_se=3600))
    machine.agreed(reply(se="3600;refresher=uac"), 0.0)
    assert machine.request_fields() == (("Session-Expires", "3600;refresher=uac"), ("Min-SE", "300"))
    assert machine.is_too_small(reply(422, min_se=4000))
    machine.agreed(reply(se="4000;refresher=uac"), 1.0)
    assert dict(machine.request_fields())["Min-SE"] == "4000"


def test_a_422_does_not_move_the_end_of_the_session():
    machine = running("90;refresher=uac")
    machine.is_too_small(reply(422, min_se=7200))
    assert run_until(machine, 0.0, 100.0) == [(45.0, RefreshDue()), (60.0, SessionExpired())]


# --- our request's 2xx ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("se", "timeline"),
    [
        ("90;refresher=uac", [(45.0, RefreshDue()), (60.0, SessionExpired())]),
        ("90;refresher=uas", [(60.0, SessionExpired())]),
        ("1800;refresher=uac", [(900.0, RefreshDue()), (1768.0, SessionExpired())]),
        ("1800;refresher=uas", [(1768.0, SessionExpired())]),
        ("96;refresher=uas", [(64.0, SessionExpired())]),
        ("99;refresher=uas", [(67.0, SessionExpired())]),
        ("1800", [(900.0, RefreshDue()), (1768.0, SessionExpired())]),
        ("1800;refresher=x", [(900.0, RefreshDue()), (1768.0, SessionExpired())]),
        ("1;refresher=uac", [(45.0, RefreshDue()), (60.0, SessionExpired())]),
        ("0;refresher=uas", [(60.0, SessionExpired())]),
        ("7200;refresher=uas", [(7168.0, SessionExpired())]),
        (None, []),
        ("soon", []),
        ("1800;refresher=uac;refresher=uas", []),
    ],
)
def test_refresh_at_half_and_expiry_shortly_before_the_end(se, timeline):
    machine = running(se)
    assert machine.is_running is bool(timeline)
    assert run_until(machine, 0.0, 10_000.0) == timeline
    assert not machine.is_running


def test_a_huge_interval_is_as_good_as_none():
    machine = running(f"{'9' * 60};refresher=uac")
    assert machine.is_running
    assert run_until(machine, 0.0, 1e9) == []


def test_each_2xx_starts_it_anew():
    machine = running("90;refresher=uac")
    machine.agreed(reply(se="90;refresher=uac"), 50.0)
    assert run_until(machine, 50.0, 1000.0) == [(95.0, RefreshDue()), (110.0, SessionExpired())]


def test_a_2xx_without_it_stops_it():
    machine = running("90;refresher=uac")
    machine.agreed(reply(), 50.0)
    assert not machine.is_running
    assert machine.next_deadline() is None
    assert machine.tick(1000.0) == []


def test_a_later_2xx_may_start_it_again():
    machine = running(None)
    machine.agreed(reply(se="90;refresher=uas"), 50.0)
    assert run_until(machine, 50.0, 1000.0) == [(110.0, SessionExpired())]


def test_the_refresher_may_change_with_each_2xx():
    machine = running("90;refresher=uas")
    machine.agreed(reply(se="90;refresher=uac"), 0.0)
    assert [out for _, out in run_until(machine, 0.0, 50.0)] == [RefreshDue()]
    machine.agreed(reply(se="90;refresher=uas"), 50.0)
    assert run_until(machine, 50.0, 1000.0) == [(110.0, SessionExpired())]


def test_a_2xx_that_names_nobody_changes_nobody():
    machine = running("90;refresher=uas")
    machine.agreed(reply(se="90"), 10.0)
    assert run_until(machine, 10.0, 1000.0) == [(70.0, SessionExpired())]


# --- the peer's request -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("supports", "in_request", "in_response", "requires"),
    [
        # RFC 4028 §9, table 2, row by row; "NA" is what a peer does not send that keeps to it
        (False, "", "uas", False),
        (False, ";refresher=uac", "uas", False),
        (False, ";refresher=uas", "uas", False),
        (True, "", "uas", True),
        (True, ";refresher=uac", "uac", True),
        (True, ";refresher=uas", "uas", True),
    ],
)
def test_who_refreshes_is_the_uacs_choice(supports, in_request, in_response, requires):
    machine = timer()
    fields = answered(machine, said(se=f"900{in_request}", timer=supports))
    assert fields == (
        ("Session-Expires", f"900;refresher={in_response}"),
        *([("Require", "timer")] if requires else []),
    )
    refresh = [(450.0, RefreshDue())] if in_response == "uas" else []
    assert run_until(machine, 0.0, 10_000.0) == [*refresh, (868.0, SessionExpired())]


@pytest.mark.parametrize(
    ("se", "min_se", "seconds"),
    [
        ("1800", None, 1800),
        ("90", 90, 90),
        ("1801", None, 1800),
        ("7200", None, 1800),
        ("7200", 3600, 3600),
        ("9" * 40, None, 1800),
        (str(SESSION_SECONDS + 9), SESSION_SECONDS + 5, SESSION_SECONDS + 5),
        ("600", None, 600),
        ("600", 900, 600),
        (None, None, 1800),
        (None, 3600, 3600),
        (None, 5, 1800),
    ],
)
def test_where_we_refresh_the_interval_is_ours_but_never_raised_nor_put_below_the_peers_min_se(se, min_se, seconds):
    fields = answered(timer(), said(se=se, min_se=min_se))
    assert dict(fields)["Session-Expires"] == f"{seconds};refresher=uas"


@pytest.mark.parametrize(
    ("se", "min_se", "seconds"),
    [
        ("90", 90, 90),
        ("7200", None, 7200),
        (str(SESSION_SECONDS + 1), None, SESSION_SECONDS),
        (str(SESSION_SECONDS + 9), SESSION_SECONDS + 5, SESSION_SECONDS + 5),
    ],
)
def test_where_the_peer_refreshes_the_interval_is_what_it_asked_for_a_day_at_most(se, min_se, seconds):
    fields = answered(timer(), said(se=f"{se};refresher=uac", min_se=min_se))
    assert dict(fields)["Session-Expires"] == f"{seconds};refresher=uac"


@pytest.mark.parametrize(
    "invite",
    [
        said(timer=False),
        said(se="soon", timer=False),
        said(se="30", timer=False),
        said(min_se=SESSION_SECONDS + 1),
    ],
    ids=["knows no timers", "unreadable", "a proxy wants it too short", "enormous Min-SE"],
)
def test_where_nothing_can_be_agreed_no_timer_runs(invite):
    machine = running("90;refresher=uac")
    assert answered(machine, invite) == ()
    assert not machine.is_running


def test_timer_under_require_alone_counts():
    machine = timer()
    invite = request(fields=(("Require", "timer"), ("Session-Expires", "900;refresher=uac")))
    assert dict(answered(machine, invite))["Session-Expires"] == "900;refresher=uac"


@pytest.mark.parametrize(
    ("minimum", "se", "supports", "refused"),
    [
        (90.0, "89", True, "90"),
        (90.0, "90", True, None),
        (90.0, "0;refresher=uas", True, "90"),
        (30.0, "60", True, "90"),
        (300.0, "299", True, "300"),
        (300.5, "300", True, "301"),
        (300.0, "300", True, None),
        (300.0, "100", False, None),
        (90.0, None, True, None),
        (90.0, "x", True, None),
    ],
)
def test_too_short_an_interval_is_refused_to_those_who_understand(minimum, se, supports, refused):
    fields = timer(1800.0, minimum).refusal_of(said(se=se, timer=supports))
    assert fields == (None if refused is None else (("Min-SE", refused),))


def test_a_refresh_of_the_peer_starts_it_anew():
    machine = timer()
    answered(machine, said(se="90;refresher=uac"), 0.0)
    answered(machine, said(se="90;refresher=uac", method="UPDATE"), 45.0)
    assert run_until(machine, 45.0, 1000.0) == [(105.0, SessionExpired())]


def test_a_refresh_without_session_expires_keeps_interval_and_roles_of_a_peer_that_knows_timers():
    machine = timer()
    answered(machine, said(se="90;refresher=uac"), 0.0)
    assert dict(answered(machine, said(), 45.0))["Session-Expires"] == "90;refresher=uac"
    assert run_until(machine, 45.0, 1000.0) == [(105.0, SessionExpired())]


def test_a_re_invite_of_one_who_no_longer_knows_timers_turns_it_off():
    machine = timer()
    answered(machine, said(se="90;refresher=uac"), 0.0)
    assert answered(machine, said(timer=False), 45.0) == ()
    assert machine.next_deadline() is None


def test_the_peers_refresh_does_not_change_who_refreshes():
    machine = running("90;refresher=uac")
    assert dict(answered(machine, said(se="90"), 10.0))["Session-Expires"] == "90;refresher=uas"
    machine = running("90;refresher=uas")
    assert dict(answered(machine, said(se="90"), 10.0))["Session-Expires"] == "90;refresher=uac"


def test_an_update_before_the_answer_leaves_the_invite_as_it_was():
    machine = timer()
    machine.take_request(said(se="900;refresher=uac"))
    machine.take_request(said(timer=False, method="UPDATE"))
    assert machine.response_fields(0.0, method="UPDATE") == ()
    assert dict(machine.response_fields(1.0, method="INVITE"))["Session-Expires"] == "900;refresher=uac"


def test_without_a_method_the_latest_request_is_answered():
    machine = timer()
    machine.take_request(said(se="900;refresher=uac"))
    machine.take_request(said(se="600;refresher=uac", method="UPDATE"))
    assert dict(machine.response_fields(0.0))["Session-Expires"] == "600;refresher=uac"
    assert dict(machine.response_fields(0.0))["Session-Expires"] == "900;refresher=uac"


def test_a_response_to_nothing_says_and_changes_nothing():
    machine = running("90;refresher=uac")
    machine.take_request(said(se="900", method="OPTIONS"))
    assert machine.response_fields(10.0) == ()
    assert machine.next_deadline() == 45.0


def test_the_min_se_of_the_peers_first_invite_binds_within_the_dialog():
    machine = timer()
    answered(machine, said(se="900", min_se=300))
    assert machine.request_fields() == (("Session-Expires", "900;refresher=uac"), ("Min-SE", "300"))
    machine.agreed(reply(se="900;refresher=uac"), 1.0)
    assert dict(machine.request_fields())["Min-SE"] == "300"


# --- refreshes that fail ----------------------------------------------------------------------------------------------


def test_a_refresh_that_failed_is_tried_again_ever_sooner_until_the_session_expires():
    machine = running("1800;refresher=uac")
    timeline, now = [], 0.0
    while (deadline := machine.next_deadline()) is not None:
        now = deadline
        [out] = machine.tick(now)
        timeline.append((round(now, 1), out))
        machine.refresh_failed(now)
    *refreshes, last = timeline
    assert last == (1768.0, SessionExpired())
    assert [at for at, _ in refreshes] == [900.0, 1334.0, 1551.0, 1659.5, 1713.8, 1740.9, 1754.4, 1761.2, 1766.2]
    assert {out for _, out in refreshes} == {RefreshDue()}


def test_a_refresh_that_was_not_due_cannot_fail():
    for se in ("90;refresher=uac", "90;refresher=uas", None):
        machine = running(se)
        before = machine.next_deadline()
        machine.refresh_failed(1.0)
        assert machine.next_deadline() == before


def test_the_refresh_is_due_once():
    machine = running("90;refresher=uac")
    assert machine.tick(45.0) == [RefreshDue()]
    assert machine.tick(46.0) == []
    assert machine.next_deadline() == 60.0


def test_who_slept_through_both_has_lost_the_session():
    machine = running("90;refresher=uac")
    assert machine.tick(1000.0) == [SessionExpired()]
    assert machine.tick(1001.0) == []


def test_tick_before_its_time_does_nothing():
    machine = running("90;refresher=uac")
    assert machine.tick(44.9) == []
    assert machine.next_deadline() == 45.0


def test_stopped_by_hand_it_is_silent():
    machine = running("90;refresher=uac")
    machine.stop()
    assert not machine.is_running
    assert run_until(machine, 0.0, 1000.0) == []


# --- in another life of the program -----------------------------------------------------------------------------------


def revived(machine, now):
    other = timer()
    other.restore(machine.saved())
    other.resume(now)
    return other


@pytest.mark.parametrize("se", ["1800;refresher=uac", "1800;refresher=uas"])
def test_a_timer_goes_on_in_the_time_that_has_passed(se):
    machine = running(se)
    other = revived(machine, 600.0)
    assert other.saved() == machine.saved()
    assert other.request_fields() == machine.request_fields()
    assert other.next_deadline() == machine.next_deadline()


def test_a_refresh_that_was_under_way_is_due_at_once():
    machine = running("1800;refresher=uac")
    assert machine.tick(900.0) == [RefreshDue()]
    assert revived(machine, 905.0).tick(905.0) == [RefreshDue()]


def test_a_refresh_that_became_due_meanwhile_is_due_now():
    assert revived(running("1800;refresher=uac"), 1000.0).tick(1000.0) == [RefreshDue()]


@pytest.mark.parametrize("se", ["120;refresher=uac", "120;refresher=uas"])
def test_a_session_that_ran_out_meanwhile_has_as_long_as_a_request_is_repeated(se):
    other = revived(running(se), 500.0)
    assert SessionExpired() not in other.tick(531.9)
    assert SessionExpired() in other.tick(532.0)


def test_where_no_timer_runs_none_begins():
    machine = timer()
    machine.agreed(reply(), 0.0)
    assert revived(machine, 10.0).next_deadline() is None
