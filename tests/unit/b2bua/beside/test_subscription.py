"""Subscriptions across: two dialogs, SUBSCRIBE one way and NOTIFY the other (RFC 6665)."""
# RFC: 6665

import gc

import pytest
from msgspec.structs import replace

from sbc.b2bua.beside.asked import Asked
from sbc.b2bua.beside.errand import Errand
from sbc.b2bua.beside.subscription import Subscription
from sbc.core import limits
from sbc.core.address import Address
from sbc.testing.world import DID, FAR, POLICY

SPARE = "  spare: {interface: outside, servers: ['sip:198.51.100.8:5060']}\n"
TWO_TRUNKS = POLICY.replace("routes:\n", f"{SPARE}routes:\n").replace("via: [carrier]", "via: [carrier, spare]")
ACCOUNT = POLICY.replace('sip:198.51.100.7:5060"]}', 'sip:198.51.100.7:5060"], auth: {username: acme, password: s}}')
CHALLENGE = (("WWW-Authenticate", 'Digest realm="carrier.example", nonce="n1", algorithm=MD5, qop="auth"'),)
MWI = ("Event", "message-summary")
SUMMARY = b"Messages-Waiting: yes\r\n"
THEIRS = "sip:mwi@198.51.100.20:5070"
HIS = "sip:phone@10.0.0.5:5062"


class Story:
    """A subscriber inside, a notifier outside."""

    def __init__(self, desk):
        self.desk = desk
        self.theirs = 0
        self.his = 1

    def subscribes(self, *, expires=3600, event=MWI, fields=()):
        lasts = () if expires is None else (("Expires", str(expires)),)
        fields = (("Contact", f"<{HIS}>"), event, *lasts, *fields)
        self.desk.asks("SUBSCRIBE", call_id="his", from_tag="his-tag", fields=fields)

    def accepted(self, *, expires=3600, tag="theirs-tag", **options):
        fields = () if expires is None else (("Expires", str(expires)),)
        fields += options.pop("fields", ())
        return self.desk.answered(options.pop("status", 200), to_tag=tag, contact=THEIRS, fields=fields, **options)

    def notifies(
        self, state="active;expires=3600", *, tag="theirs-tag", event=MWI, body=SUMMARY, n=0, fields=(), **more
    ):
        """From the notifier, in the dialog of the request that we sent as number `n`."""
        sent = self.desk.sent[n].request
        self.theirs += 1
        said = (event, ("Subscription-State", state)) if state is not None else (event,)
        return self.desk.asks(
            "NOTIFY", side="outside", in_dialog=True, call_id=sent.call_id, to_tag=sent.from_.tag, from_tag=tag,
            cseq=more.pop("cseq", self.theirs), body=SUMMARY,
            fields=(("Contact", f"<{THEIRS}>"), *said, *fields, ("Content-Type", "application/simple-message-summary")),
            **more,
        )  # fmt: skip

    def refreshes(self, expires=3600, *, event=MWI, **options):
        self.his += 1
        return self.desk.asks(
            options.pop("method", "SUBSCRIBE"), in_dialog=True, call_id="his", from_tag="his-tag",
            to_tag=options.pop("to_tag", self.our_tag), cseq=options.pop("cseq", self.his),
            fields=(("Contact", f"<{HIS}>"), event, ("Expires", str(expires))), **options,
        )  # fmt: skip

    @property
    def our_tag(self):
        return next(answer.to_tag for answer in self.desk.answers if answer.to_tag)

    @property
    def notify(self):
        """The NOTIFY that the subscriber got last."""
        return next(order for order in reversed(self.desk.sent) if order.request.method == "NOTIFY")


@pytest.fixture
def story(desk):
    return lambda policy=POLICY: Story(desk(policy))


def up(story, **options):
    """Subscribed, accepted, notified once."""
    one = story(options.pop("policy", POLICY))
    one.subscribes(**options)
    one.accepted()
    one.notifies()
    one.desk.answered(200)
    assert one.desk.statuses == [200, 200]
    return one


# --- how it begins ----------------------------------------------------------------------------------------------------


def test_a_subscription_crosses_with_two_dialogs_of_our_own(story):
    one = story()
    one.subscribes(fields=(("Accept", "application/simple-message-summary;q=1"),))
    [order] = one.desk.sent
    request = order.request
    assert request.method == "SUBSCRIBE"
    assert request.uri_text == f"sip:{FAR}@198.51.100.7:5060"
    assert request.header("Event") == "message-summary"
    assert request.header("Expires") == "3600"
    assert request.header("Accept") == "application/simple-message-summary"
    assert request.call_id != "his"
    assert order.contact == DID
    one.accepted(expires=1800)
    [answer] = one.desk.answers
    assert (answer.status, dict(answer.fields)["Expires"]) == (200, "1800")
    assert answer.contact is not None
    assert answer.to_tag not in ("", "theirs-tag", request.from_.tag)
    one.notifies()
    notify = one.notify.request
    assert notify.uri_text == HIS
    assert notify.call_id == "his"
    assert notify.to.tag == "his-tag"
    assert notify.from_.tag == answer.to_tag
    assert notify.header("Event") == "message-summary"
    assert notify.header("Subscription-State") == "active;expires=3600"
    assert notify.body == SUMMARY
    one.desk.answered(200)
    assert one.desk.statuses == [200, 200]
    assert one.desk.beside.subscriptions == 1


def test_a_subscriber_that_accepts_nothing_that_crosses_is_406(story):
    one = story()
    one.subscribes(fields=(("Accept", "multipart/related"),))
    assert one.desk.statuses == [406]
    assert one.desk.is_idle()


def test_only_what_crosses_is_asked_for(story):
    one = story()
    one.subscribes(fields=(("Accept", "multipart/related, application/pidf+xml, application/*;q=0.1"),))
    assert one.desk.last.header("Accept") == "application/pidf+xml, application/*"


def test_a_notification_that_nobody_here_can_read_is_415_and_ends_nothing(story):
    one = up(story)
    before = len(one.desk.sent)
    sent = one.desk.sent[0].request
    fields = (("Contact", f"<{THEIRS}>"), MWI, ("Subscription-State", "active"), ("Content-Type", "multipart/related"))
    one.desk.asks(
        "NOTIFY", side="outside", in_dialog=True, call_id=sent.call_id, to_tag=sent.from_.tag, from_tag="theirs-tag",
        cseq=9, fields=fields, body=b"--x",
    )  # fmt: skip
    assert one.desk.statuses[-1] == 415
    assert len(one.desk.sent) == before
    assert one.desk.beside.subscriptions == 1


def test_the_route_of_the_subscriber_is_kept(story):
    one = story()
    one.subscribes(fields=(("Record-Route", "<sip:10.0.0.77;lr>"),))
    one.accepted()
    assert ("Record-Route", "<sip:10.0.0.77;lr>") in one.desk.answers[0].fields
    one.notifies()
    assert one.notify.request.header("Route") == "<sip:10.0.0.77;lr>"
    assert one.notify.next_hop == "sip:10.0.0.77;lr"


def test_a_notify_before_the_200_makes_the_subscription_and_does_not_overtake_its_200(story):
    one = story()
    one.subscribes()
    outs = one.notifies("active;expires=900")
    kinds = [getattr(out, "status", None) or getattr(getattr(out, "request", None), "method", None) for out in outs]
    assert [kind for kind in kinds if kind] == [200, "NOTIFY"]
    assert dict(one.desk.answers[0].fields)["Expires"] == "900"
    assert one.accepted(n=0) == []
    one.desk.answered(200, n=1)
    assert one.desk.statuses == [200, 200]
    assert one.desk.beside.subscriptions == 1


def test_who_has_notified_is_not_passed_over_though_its_200_is_lost(story):
    one = story(TWO_TRUNKS)
    one.subscribes()
    one.notifies()
    one.desk.answered(200)
    one.desk.waits(31)
    one.desk.fails(n=0)
    assert [order.request.method for order in one.desk.sent] == ["SUBSCRIBE", "NOTIFY"]
    assert one.desk.beside.subscriptions == 1


def test_who_has_notified_and_then_refuses_ends_it(story):
    one = story()
    one.subscribes()
    one.notifies()
    one.desk.answered(200)
    one.desk.answered(403, n=0)
    assert one.notify.request.header("Subscription-State") == "terminated;reason=noresource"


def test_the_notify_says_which_way_its_dialog_goes_and_not_the_200(story):
    one = story()
    one.subscribes()
    one.accepted(fields=(("Record-Route", "<sip:198.51.100.40;lr>"),))
    one.notifies(fields=(("Record-Route", "<sip:198.51.100.30;lr>"),))
    one.refreshes()
    assert one.desk.last.headers("Route") == ["<sip:198.51.100.30;lr>"]
    assert one.desk.last.uri_text == THEIRS


def test_of_a_forked_subscribe_the_first_to_notify_is_taken(story):
    one = story()
    one.subscribes()
    one.accepted(tag="first")
    one.notifies(tag="second")
    assert one.notifies(tag="first") is None  # the switch answers 481, by which it ends
    one.refreshes()
    assert one.desk.last.to.tag == "second"


def test_notifications_of_an_attempt_that_was_given_up_are_unknown(story):
    one = story(TWO_TRUNKS)
    one.subscribes()
    one.desk.answered(503)
    assert len(one.desk.sent) == 2
    assert one.notifies(n=0) is None


@pytest.mark.parametrize("status", [403, 404, 480, 489])
def test_a_refused_subscription_leaves_nothing(story, status):
    one = story()
    one.subscribes()
    one.desk.answered(status)
    assert one.desk.statuses == [status]
    assert one.desk.is_idle()


def test_an_interval_that_is_too_brief_is_told_with_the_least_that_would_do(story):
    one = story()
    one.subscribes(expires=10)
    one.desk.answered(423, fields=(("Min-Expires", "300"),))
    assert one.desk.statuses == [423]
    assert dict(one.desk.answers[0].fields) == {"Min-Expires": "300"}
    assert one.desk.is_idle()


def test_nobody_answers(story):
    one = story()
    one.subscribes()
    one.desk.waits(40)
    assert one.desk.statuses == [100, 504]
    assert one.desk.is_idle()


def test_202_is_passed_on_as_200(story):
    one = story()
    one.subscribes()
    one.accepted(status=202)
    assert one.desk.statuses == [200]


def test_a_carrier_that_challenges_is_answered(story):
    one = story(ACCOUNT)
    one.subscribes()
    one.desk.answered(401, fields=CHALLENGE)
    assert "Authorization" in dict(one.desk.last.fields)
    one.accepted()
    one.notifies()
    one.desk.answered(200)
    one.refreshes()
    assert one.desk.last.cseq.number == 3
    one.desk.answered(407, fields=(("Proxy-Authenticate", CHALLENGE[0][1]),))
    assert "Proxy-Authorization" in dict(one.desk.last.fields)
    assert one.desk.last.cseq.number == 4
    one.accepted()
    assert one.desk.statuses == [200, 200, 200]


# BOUND: SUBSCRIPTIONS
def test_subscriptions_are_bounded(story, monkeypatch):
    monkeypatch.setattr(limits, "SUBSCRIPTIONS", 1)
    one = story()
    one.subscribes()
    one.subscribes()
    assert one.desk.statuses[-1] == 503
    assert one.desk.context.dropped == {"subscriptions_full": 1}
    assert one.desk.beside.subscriptions == 1


def test_while_draining_nobody_subscribes(story):
    one = story()
    one.desk.beside.is_draining = True
    one.subscribes()
    assert one.desk.statuses == [503]
    assert dict(one.desk.answers[0].fields)["Retry-After"]


# --- how long it lasts ------------------------------------------------------------------------------------------------


def test_what_has_set_it_up_is_not_kept(story):
    one = up(story)
    [subscription] = one.desk.beside._subscriptions.values()
    kept = gc.get_referents(subscription, *gc.get_referents(subscription))
    assert not any(isinstance(item, Errand | Asked) for item in kept)


def test_a_refresh_crosses_and_makes_it_last(story):
    one = up(story)
    one.desk.waits(3000)
    one.refreshes(1200)
    assert one.desk.last.method == "SUBSCRIBE"
    assert one.desk.last.to.tag == "theirs-tag"
    assert one.desk.last.header("Expires") == "1200"
    one.accepted(expires=600)
    answer = one.desk.answers[-1]
    assert (answer.status, dict(answer.fields)["Expires"]) == (200, "600")
    one.desk.waits(600 + 31)
    assert one.desk.beside.subscriptions == 1
    one.desk.waits(2)
    assert one.notify.request.header("Subscription-State") == "terminated;reason=timeout"


@pytest.mark.parametrize(
    ("wanted", "given", "granted"),
    [(100, 3600, 100), (None, None, 3600), (4_000_000_000, 4_000_000_000, 86_400)],
)
def test_nobody_gets_more_than_he_wanted_or_than_we_keep(story, wanted, given, granted):
    one = story()
    one.subscribes(expires=wanted)
    one.accepted(expires=given)
    assert dict(one.desk.answers[0].fields)["Expires"] == str(granted)


def test_what_nobody_refreshes_ends_and_the_notifier_that_vanished_is_not_asked(story):
    one = up(story)
    before = len(one.desk.sent)
    one.desk.waits(3600 + 33)
    assert [order.request.method for order in one.desk.sent[before:]] == ["NOTIFY"]
    one.desk.answered(200)
    assert one.desk.is_idle()


def test_the_notifier_may_shorten_it(story):
    one = up(story)
    one.notifies("active;expires=60")
    one.desk.answered(200)
    one.desk.waits(60 + 33)
    assert one.notify.request.header("Subscription-State") == "terminated;reason=timeout"


def test_a_notification_that_does_not_say_how_long_is_completed(story):
    one = up(story)
    one.desk.waits(100)
    one.notifies("active")
    assert one.notify.request.header("Subscription-State") == "active;expires=3500"


def test_a_notification_without_state_is_active(story):
    one = up(story)
    one.notifies(None)
    assert one.notify.request.header("Subscription-State").startswith("active;expires=")


def test_unsubscribing_ends_with_the_last_notify(story):
    one = up(story)
    one.refreshes(0)
    assert one.desk.last.header("Expires") == "0"
    one.accepted(expires=0)
    assert dict(one.desk.answers[-1].fields)["Expires"] == "0"
    one.notifies("terminated;reason=timeout")
    one.desk.answered(200)
    assert one.desk.statuses[-1] == 200
    assert one.desk.is_idle()


def test_unsubscribing_from_a_notifier_that_never_says_goodbye(story):
    one = up(story)
    one.refreshes(0)
    one.accepted(expires=0)
    one.desk.waits(33)
    assert one.desk.last.header("Subscription-State") == "terminated;reason=timeout"
    one.desk.answered(200)
    assert one.desk.is_idle()


def test_a_poll_is_one_notify(story):
    one = story()
    one.subscribes(expires=0)
    one.accepted(expires=0)
    one.notifies("terminated;reason=timeout")
    assert one.notify.request.body == SUMMARY
    one.desk.answered(200)
    assert one.desk.statuses == [200, 200]
    assert one.desk.is_idle()


def test_accepted_and_never_notified(story):
    one = story()
    one.subscribes()
    one.accepted()
    one.desk.waits(33)
    methods = [order.request.method for order in one.desk.sent]
    assert methods == ["SUBSCRIBE", "NOTIFY", "SUBSCRIBE"]
    assert one.notify.request.header("Subscription-State") == "terminated;reason=probation;retry-after=60"
    assert one.desk.last.header("Expires") == "0"
    one.desk.answered(200, n=1)
    one.desk.answered(481, n=2)
    assert one.desk.is_idle()


# --- how it ends ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["rejected", "deactivated", "probation;retry-after=30", "noresource", "giveup"])
def test_terminated_crosses_with_its_reason(story, reason):
    one = up(story)
    one.notifies(f"terminated;reason={reason}")
    assert one.notify.request.header("Subscription-State") == f"terminated;reason={reason}"
    one.desk.answered(200)
    assert one.desk.statuses[-1] == 200
    assert one.desk.is_idle()


def test_a_subscriber_that_has_forgotten_it_ends_it_at_the_notifier(story):
    one = up(story)
    one.notifies()
    one.desk.answered(481)
    assert one.desk.statuses[-1] == 481
    assert one.desk.is_idle()


def test_a_subscriber_that_is_busy_keeps_it(story):
    one = up(story)
    one.notifies()
    one.desk.answered(500)
    assert one.desk.statuses[-1] == 500
    assert one.desk.beside.subscriptions == 1


def test_a_subscriber_that_has_vanished_ends_it_at_the_notifier_in_time(story):
    one = up(story)
    one.notifies()
    one.desk.waits(31.9)
    assert one.desk.statuses[-2:] == [100, 481]
    assert one.desk.is_idle()


def test_a_notifier_that_has_forgotten_it_ends_it_at_the_subscriber(story):
    one = up(story)
    one.refreshes()
    one.desk.answered(481)
    assert one.desk.statuses[-1] == 481
    assert one.desk.is_idle()


def test_a_notifier_that_has_vanished_lets_the_subscriber_begin_anew(story):
    one = up(story)
    one.refreshes()
    one.desk.fails("transport")
    assert one.desk.statuses[-1] == 481
    assert one.desk.is_idle()


@pytest.mark.parametrize("status", [423, 500, 503])
def test_other_failures_of_a_refresh_leave_it_as_it_was(story, status):
    one = up(story)
    one.refreshes()
    one.desk.answered(status, fields=(("Min-Expires", "300"),) if status == 423 else ())
    assert one.desk.statuses[-1] == status
    assert one.desk.beside.subscriptions == 1


def test_a_shutdown_tells_both_sides(story):
    one = up(story)
    one.desk.ends()
    assert one.notify.request.header("Subscription-State") == "terminated;reason=deactivated"
    assert (one.desk.last.method, one.desk.last.header("Expires")) == ("SUBSCRIBE", "0")
    one.desk.answered(200)
    assert one.notifies("terminated;reason=timeout") is not None
    assert one.desk.statuses[-1] == 200
    one.desk.answered(200, n=-2)
    assert one.desk.is_idle()


def test_after_a_shutdown_nobody_is_waited_for_without_end(story):
    one = up(story)
    one.desk.ends()
    one.desk.waits(33)
    assert one.desk.is_idle()


def test_a_shutdown_refuses_what_has_not_begun(story):
    one = story()
    one.subscribes()
    one.desk.ends()
    assert one.desk.statuses == [503]
    assert one.desk.is_idle()


def test_a_reload_ends_the_subscriptions_of_a_peer_that_is_gone_and_no_others(story):
    one = up(story)
    one.desk.reloads(TWO_TRUNKS)
    assert one.desk.beside.subscriptions == 1
    gone = TWO_TRUNKS.replace('  carrier: {interface: outside, servers: ["sip:198.51.100.7:5060"]}\n', "")
    gone = gone.replace("via: [carrier, spare]", "via: [spare]").replace("from: carrier", "from: spare")
    one.desk.reloads(gone)
    assert one.notify.request.header("Subscription-State") == "terminated;reason=deactivated"


# --- who may say what in it -------------------------------------------------------------------------------------------


def test_another_event_is_489_and_ends_nothing(story):
    one = up(story)
    one.refreshes(event=("Event", "presence"))
    one.notifies(event=("Event", "presence"))
    assert one.desk.statuses[-2:] == [489, 489]
    assert one.desk.beside.subscriptions == 1


def test_the_id_of_an_event_is_the_subscribers_own_affair(story):
    one = story()
    one.subscribes(event=("Event", "message-summary;id=7"))
    assert one.desk.last.header("Event") == "message-summary"
    one.accepted()
    one.notifies()
    assert one.notify.request.header("Event") == "message-summary;id=7"
    one.refreshes(event=("Event", "message-summary;id=8"))
    assert one.desk.statuses[-1] == 489
    one.refreshes(event=("Event", "message-summary;id=7"))
    assert one.desk.last.header("Event") == "message-summary"


def test_what_an_event_says_of_dialogs_does_not_cross(story):
    one = story()
    one.subscribes(event=("Event", "dialog;sla;call-id=abc-10.0.0.5;to-tag=1"))
    assert one.desk.last.header("Event") == "dialog;sla"


@pytest.mark.parametrize("method", ["INVITE", "BYE", "MESSAGE", "NOTIFY", "REFER", "INFO", "OPTIONS"])
def test_other_methods_are_405(story, method):
    one = up(story)
    one.refreshes(method=method)
    assert one.desk.statuses[-1] == 405
    assert dict(one.desk.answers[-1].fields)["Allow"] == "SUBSCRIBE, NOTIFY"


def test_an_older_request_is_500(story):
    one = up(story)
    one.refreshes(cseq=9)
    one.accepted()
    one.refreshes(cseq=8)
    assert one.desk.statuses[-1] == 500
    assert dict(one.desk.answers[-1].fields)["Retry-After"].isdigit()


def test_the_other_side_cannot_speak_in_it(story):
    one = up(story)
    assert one.refreshes(side="outside") is None


@pytest.mark.parametrize("wrong", [{"to_tag": "guessed"}, {"call_id": "other"}, {"from_tag": "other"}])
def test_an_unknown_dialog_is_nobodys(story, wrong):
    one = up(story)
    options = {"to_tag": one.our_tag, "call_id": "his", "from_tag": "his-tag"} | wrong
    assert one.desk.asks("SUBSCRIBE", in_dialog=True, fields=(MWI,), cseq=5, **options) is None


# BOUND: REQUESTS_PER_SUBSCRIPTION
def test_a_notifier_that_does_not_wait_is_told_to(story, monkeypatch):
    monkeypatch.setattr(limits, "REQUESTS_PER_SUBSCRIPTION", 2)
    one = up(story)
    for _ in range(3):
        one.notifies()
    assert one.desk.statuses[-1] == 500


def test_a_phone_that_moves_is_notified_where_it_is(story):
    one = up(story)
    moved = (("Contact", "<sip:phone@10.0.0.5:5099>"), MWI, ("Expires", "3600"))
    one.desk.asks(
        "SUBSCRIBE", in_dialog=True, call_id="his", from_tag="his-tag", to_tag=one.our_tag, cseq=7, fields=moved
    )
    one.accepted()
    one.notifies()
    assert one.notify.request.uri_text == "sip:phone@10.0.0.5:5099"


def test_a_pbx_that_has_registered_is_notified_where_it_speaks_from(desk):
    registering = "registers: true, accept: any, auth: {username: office, password: x}"
    one = Story(desk(POLICY.replace("address: sip:10.0.0.5:5060", registering)))
    one.subscribes()
    one.accepted()
    one.notifies()
    was = one.notify.flow
    assert str(was.remote) == "10.0.0.5:5060"
    moved = replace(was, remote=Address("10.0.0.6", 5060))
    one.desk.beside.peer_moved("office", was, moved)
    one.notifies()
    assert one.notify.flow == moved
    one.refreshes()
    one.notifies()
    assert one.notify.flow == was


def test_whom_a_request_went_to_is_known_for_health_and_challenges(story):
    one = up(story)
    one.notifies()
    one.refreshes()
    users = [order.user for order in one.desk.sent[-2:]]
    assert [one.desk.beside.asked(user[1], user[2]).name for user in users] == ["office", "carrier"]
    assert one.desk.beside.asked("nobody", 1) is None


@pytest.mark.parametrize("broken", ["take_request", "take_response", "take_failure", "tick", "end"])
def test_a_bug_ends_the_one_subscription_that_it_meets(story, monkeypatch, broken):
    one = up(story)
    one.refreshes()
    other = Story(one.desk)
    monkeypatch.setattr(Subscription, broken, fail)
    steps = {
        "take_request": one.notifies, "take_response": one.accepted, "take_failure": one.desk.fails,
        "tick": lambda: one.desk.waits(4), "end": one.desk.ends,
    }  # fmt: skip
    steps[broken]()
    monkeypatch.undo()
    assert one.desk.is_idle()
    assert [log.event for log in one.desk.logs if log.level == "error"] == ["call.crashed"]
    assert one.desk.statuses[-1] == (500 if broken == "take_request" else 200)
    one.desk.answers.clear()
    one.desk.sent.clear()
    other.subscribes()
    other.accepted()
    assert other.desk.beside.subscriptions == 1


def fail(*_args, **_options):
    raise RuntimeError("planted")


# BOUND: SUBSCRIPTION_SECONDS
def test_nobody_is_granted_more_than_a_day(story):
    one = story()
    one.subscribes(expires=10**6)
    one.accepted(expires=10**6)
    assert dict(one.desk.answers[-1].fields)["Expires"] == str(limits.SUBSCRIPTION_SECONDS)
