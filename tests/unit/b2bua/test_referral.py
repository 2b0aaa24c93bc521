"""The implicit subscription of a REFER: what the transferor is told, when, and in which order (RFC 3515, RFC 6665)."""
# RFC: 3515, 4488

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.b2bua.referral import SUBSCRIPTION_SECONDS, Referral, sipfrag, status_of
from sbc.sip.headers.event import Event
from sbc.sip.message import Request, Response

OK = Response(200, "OK", ())
GONE = Response(481, "Call/Transaction Does Not Exist", ())


def _referral(*, is_first=True):
    return Referral(7, 0.0, is_first=is_first)


def _said(notifications):
    """(status line, Subscription-State) of each."""
    return [(one.body.decode().strip(), dict(one.fields)["Subscription-State"]) for one in notifications]


def _subscribe(expires=None):
    return Request("SUBSCRIBE", "sip:us", () if expires is None else (("Expires", str(expires)),))


def test_the_first_notify_says_trying_and_how_long_it_lasts():
    (said,) = _referral().report(100, 0.0)
    fields = dict(said.fields)
    assert said.body == b"SIP/2.0 100 Trying\r\n"
    assert fields["Event"] == "refer"
    assert fields["Content-Type"] == "message/sipfrag;version=2.0"
    assert fields["Subscription-State"] == f"active;expires={int(SUBSCRIPTION_SECONDS)}"


def test_the_second_refer_of_a_dialog_names_itself_by_its_cseq():
    (said,) = _referral(is_first=False).report(100, 0.0)
    assert dict(said.fields)["Event"] == "refer;id=7"


def test_no_notify_goes_while_another_is_unanswered():
    referral = _referral()
    (first,) = referral.report(100, 0.0)
    assert referral.report(180, 2.0) == []
    assert referral.finish(200, 3.0) == []
    # What has become old news meanwhile is left out.
    assert _said(referral.answered(first.n, OK, 4.0)) == [("SIP/2.0 200 OK", "terminated;reason=noresource")]


def test_progress_is_told_once_a_second_at_most_but_the_end_at_once():
    referral = _referral()
    (first,) = referral.report(100, 0.0)
    referral.answered(first.n, OK, 0.1)
    assert referral.report(180, 0.2) == []
    assert referral.next_deadline() == pytest.approx(1.0)
    (second,) = referral.tick(1.0)
    assert second.body.startswith(b"SIP/2.0 180 ")
    referral.answered(second.n, OK, 1.1)
    assert _said(referral.finish(486, 1.2)) == [("SIP/2.0 486 Busy Here", "terminated;reason=noresource")]


def test_the_same_state_is_not_told_twice():
    referral = _referral()
    (first,) = referral.report(180, 0.0)
    assert referral.answered(first.n, OK, 2.0) == []
    assert referral.report(180, 3.0) == []
    assert referral.next_deadline() == SUBSCRIPTION_SECONDS


def test_it_is_over_when_the_last_notify_is_answered():
    referral = _referral()
    (last,) = referral.finish(200, 0.0)
    assert not referral.is_over
    assert referral.answered(last.n, OK, 1.0) == []
    assert referral.is_over
    assert referral.next_deadline() is None


@pytest.mark.parametrize("response", [GONE, None, Response(405, "Method Not Allowed", ())])
def test_a_notify_that_fails_ends_the_subscription_and_nothing_more_is_sent(response):
    referral = _referral()
    (first,) = referral.report(100, 0.0)
    assert referral.answered(first.n, response, 1.0) == []
    assert referral.is_over
    assert referral.finish(200, 2.0) == []
    assert referral.tick(SUBSCRIPTION_SECONDS + 1) == []


def test_a_notify_that_may_be_tried_later_ends_nothing():
    referral = _referral()
    (first,) = referral.report(100, 0.0)
    referral.answered(first.n, Response(500, "Server Internal Error", (("Retry-After", "2"),)), 1.0)
    assert len(referral.finish(200, 2.0)) == 1


def test_unsubscribing_is_answered_by_a_last_notify_and_takes_nothing_back():
    referral = _referral()
    (first,) = referral.report(180, 0.0)
    referral.answered(first.n, OK, 1.0)
    answer, said = referral.take_subscribe(_subscribe(0), 2.0)
    assert (answer.status, answer.fields) == (200, (("Expires", "0"),))
    assert _said(said) == [("SIP/2.0 180 Ringing", "terminated;reason=timeout")]
    assert referral.finish(200, 3.0) == []
    assert referral.answered(said[0].n, OK, 3.1) == []
    assert referral.is_over


def test_a_refresh_is_granted_no_more_than_we_keep_and_tells_the_state_again():
    referral = _referral()
    (first,) = referral.report(100, 0.0)
    referral.answered(first.n, OK, 0.1)
    answer, said = referral.take_subscribe(_subscribe(10**9), 500.0)
    assert answer.fields == (("Expires", "600"),)
    assert _said(said) == [("SIP/2.0 100 Trying", "active;expires=600")]
    referral.answered(said[0].n, OK, 500.1)
    assert referral.next_deadline() == 1100.0


def test_a_subscribe_after_the_end_creates_nothing():
    referral = _referral()
    (last,) = referral.finish(200, 0.0)
    answer, said = referral.take_subscribe(_subscribe(60), 0.1)
    assert (answer.status, said) == (403, [])
    referral.answered(last.n, OK, 0.2)
    assert referral.is_over


def test_it_expires_with_a_last_notify():
    referral = _referral()
    (first,) = referral.report(180, 0.0)
    referral.answered(first.n, OK, 1.0)
    assert _said(referral.tick(SUBSCRIPTION_SECONDS)) == [("SIP/2.0 180 Ringing", "terminated;reason=timeout")]


def test_a_subscribe_is_meant_by_its_id():
    assert _referral().is_meant(Event("refer"))
    assert _referral().is_meant(Event("refer", id="7"))
    assert not _referral().is_meant(Event("refer", id="8"))
    assert not _referral(is_first=False).is_meant(Event("refer"))


def test_before_a_bye_the_last_word_does_not_wait():
    referral = _referral()
    referral.report(100, 0.0)
    assert referral.finish(200, 0.5) == []
    assert _said(referral.hurry(0.5)) == [("SIP/2.0 200 OK", "terminated;reason=noresource")]
    assert referral.hurry(0.6) == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"SIP/2.0 180 Ringing\r\nTo: x", 180),
        (b"SIP/2.0 200 OK", 200),
        (b"SIP/2.0  486", 486),
        (b"SIP/2.0 2000 OK", None),
        (b"SIP/2.0 700 No", None),
        (b"INVITE sip:a@b SIP/2.0", None),
        (b"", None),
    ],
)
def test_the_status_line_of_a_sipfrag(body, status):
    assert status_of(body) == status


@given(st.integers(100, 699))
def test_what_is_written_is_read(status):
    assert status_of(sipfrag(status)) == status


ACTS = st.sampled_from(["100", "180", "183", "200", "486", "ok", "gone", "silence", "refresh", "unsubscribe", "wait"])


@given(st.lists(ACTS, max_size=40), st.booleans())
def test_whatever_happens_one_at_a_time_and_nothing_after_the_last(acts, is_first):
    """Never two in flight, CSeqs in order, one `terminated` at most, and it comes to an end."""
    referral, now = Referral(7, 0.0, is_first=is_first), 0.0
    open_, sent = [], []
    for act in acts:
        now += 0.4
        said = []
        if act.isdigit():
            said = referral.report(int(act), now) if int(act) < 200 else referral.finish(int(act), now)
        elif act in ("ok", "gone", "silence") and open_:
            said = referral.answered(open_.pop(), {"ok": OK, "gone": GONE, "silence": None}[act], now)
        elif act in ("refresh", "unsubscribe"):
            said = referral.take_subscribe(_subscribe(60 if act == "refresh" else 0), now)[1]
        elif act == "wait":
            now += 2.0
            said = referral.tick(now)
        open_ += [one.n for one in said]
        sent += said
        assert len(open_) <= 1
    said = referral.finish(200, now)
    sent += said
    open_ += [one.n for one in said]
    while open_:
        said = referral.answered(open_.pop(), OK, now)
        sent += said
        open_ += [one.n for one in said]
    assert referral.is_over
    last = [one for one in sent if "terminated" in dict(one.fields)["Subscription-State"]]
    assert not last or last == sent[-1:]
    assert [one.n for one in sent] == list(range(1, len(sent) + 1))
