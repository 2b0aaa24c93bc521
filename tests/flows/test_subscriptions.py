"""Subscriptions across, as to messages waiting: SUBSCRIBE goes one way, NOTIFY the other (RFC 6665)."""
# RFC: 3842, 6665

import pytest

from sbc.b2bua.events import DrainOrdered, PolicyChanged
from sbc.core.address import Transport
from sbc.testing.agent import STANDING
from sbc.testing.byhand import ByHand
from sbc.testing.world import CARRIER, DID, FAR, INSIDE, POLICY, read_policy

METHODS = "methods: [INVITE, OPTIONS, SUBSCRIBE, NOTIFY]"
WATCHING = POLICY.replace("address: sip:10.0.0.5:5060", f"address: sip:10.0.0.5:5060, {METHODS}").replace(
    f'servers: ["sip:{CARRIER}"]', f'servers: ["sip:{CARRIER}"], {METHODS}'
)
REGISTERING = WATCHING.replace(
    "address: sip:10.0.0.5:5060", "registers: true, accept: any, auth: {username: office, password: 0ff1ce}"
)
TO_FAR = f"sip:{FAR}@10.0.0.1"
MWI = ("Event", "message-summary")
TYPE = ("Content-Type", "application/simple-message-summary")
SUMMARY = b"Messages-Waiting: yes\r\nMessage-Account: sip:2001@softswitch-3.carrier.net\r\nVoice-Message: 1/0\r\n"
ACTIVE = "active;expires=3600"
SERVERS = f'servers: ["sip:{CARRIER}"]'
PIDF = b"""<?xml version="1.0" encoding="UTF-8"?>
<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="pres:someone@carrier.example">
<tuple id="t1"><status><basic>open</basic></status></tuple></presence>"""


class Story:
    """A PBX that subscribes, and a carrier that notifies; each writes its messages by hand."""

    def __init__(self, world, policy=WATCHING, **options):
        self.sbc = world(policy, **options)
        self.pbx, self.carrier = ByHand(self.sbc, self.sbc.office()), ByHand(self.sbc, self.sbc.carrier())
        self._his, self._theirs = 0, 0

    def subscribes(self, *fields, expires=3600, event=MWI):
        """The first SUBSCRIBE, or within the dialog that has come of it."""
        self._his += 1
        tags = {m.to.tag for m in self.pbx.heard if m.header("CSeq").endswith("SUBSCRIBE") and m.to.tag}
        self.pbx.sends(
            "SUBSCRIBE", TO_FAR, sender=f"sip:{DID}@10.0.0.5", call_id="sub@pbx-77.office.internal", cseq=self._his,
            to_tag=next(iter(tags), None),
            fields=(("Contact", "<sip:vm@10.0.0.5:5060>"), event, ("Expires", str(expires)), *fields),
        )  # fmt: skip

    def accepts(self, *fields, expires=3600, tag="theirs"):
        asked = self.carrier.requests("SUBSCRIBE")[-1]
        self.carrier.replies(200, to=asked, tag=tag, fields=(("Expires", str(expires)), *fields))

    def notifies(self, state=ACTIVE, *, tag="theirs", body=SUMMARY):
        self._theirs += 1
        asked = self.carrier.requests("SUBSCRIBE")[0]
        self.carrier.sends(
            "NOTIFY", "sip:203.0.113.1", sender=f"sip:{FAR}@198.51.100.7", from_tag=tag, to_tag=asked.from_.tag,
            call_id=asked.call_id, cseq=self._theirs, body=body,
            fields=(("Contact", "<sip:vm@198.51.100.7:5060>"), MWI, ("Subscription-State", state), TYPE),
        )  # fmt: skip

    def acknowledges(self, status=200):
        """The PBX answers its last NOTIFY."""
        self.pbx.replies(status, to=self.pbx.requests("NOTIFY")[-1])

    def is_up(self):
        return self.sbc.switch.beside.subscriptions == 1

    def is_over(self, but=()):
        beside = self.sbc.switch.beside
        return beside.subscriptions == 0 and len(beside.tags) == 0 and self.sbc.cdr == [] and self.sbc.idle(but=but)


def subscribed(world, *args, **options):
    story = Story(world, *args, **options)
    story.subscribes()
    story.accepts()
    story.notifies()
    story.acknowledges()
    assert story.is_up()
    return story


def test_the_life_of_a_subscription(world):
    story = subscribed(world)
    [notify] = story.pbx.requests("NOTIFY")
    assert b"Messages-Waiting: yes" in notify.body
    assert notify.header("Subscription-State") == ACTIVE
    story.sbc.run(3000)
    story.subscribes()
    story.accepts()
    story.notifies()
    story.acknowledges()
    story.sbc.run(3000)
    story.notifies("active;expires=600")
    story.acknowledges()
    story.subscribes(expires=0)
    story.accepts(expires=0)
    story.notifies("terminated;reason=timeout")
    story.acknowledges()
    assert story.pbx.statuses("SUBSCRIBE") == [200, 200, 200]
    assert story.carrier.statuses("NOTIFY") == [200, 200, 200, 200]
    assert story.pbx.requests("NOTIFY")[-1].header("Subscription-State") == "terminated;reason=timeout"
    assert story.is_over()


def test_both_dialogs_are_our_own(world):
    story = subscribed(world)
    [asked], [notify] = story.carrier.requests("SUBSCRIBE"), story.pbx.requests("NOTIFY")
    assert asked.call_id != notify.call_id
    assert notify.call_id == "sub@pbx-77.office.internal"
    assert str(asked.contacts[0].uri).endswith("@203.0.113.1:5060")
    assert str(notify.contacts[0].uri).endswith("@10.0.0.1:5060")
    assert b"carrier.net" not in notify.body
    story.notifies("terminated;reason=noresource")
    story.acknowledges()
    assert story.is_over()


def test_a_notify_that_overtakes_the_200(world):
    story = Story(world)
    story.subscribes()
    story.notifies()
    assert [getattr(m, "status", None) or m.method for m in story.pbx.heard] == [200, "NOTIFY"]
    story.acknowledges()
    story.accepts()
    assert story.pbx.statuses("SUBSCRIBE") == [200]
    story.notifies("terminated;reason=giveup")
    story.acknowledges()
    assert story.is_over()


def test_of_a_forked_subscribe_the_first_to_notify_stays_and_the_others_end(world):
    story = Story(world)
    story.subscribes()
    story.accepts(tag="one")
    story.notifies(tag="two")
    story.acknowledges()
    story.notifies(tag="one")
    assert story.carrier.statuses("NOTIFY") == [200, 481]
    story.notifies("terminated;reason=timeout", tag="two")
    story.acknowledges()
    assert story.is_over()


def test_a_poll(world):
    story = Story(world)
    story.subscribes(expires=0)
    story.accepts(expires=0)
    story.notifies("terminated;reason=timeout")
    story.acknowledges()
    assert story.pbx.statuses("SUBSCRIBE") == [200]
    assert story.is_over()


@pytest.mark.parametrize("status", [403, 404, 480, 489])
def test_a_subscription_that_is_refused(world, status):
    story = Story(world)
    story.subscribes()
    story.carrier.replies(status, to=story.carrier.requests("SUBSCRIBE")[0], fields=(("Allow-Events", "x-theirs"),))
    assert story.pbx.statuses("SUBSCRIBE") == [status]
    assert "x-theirs" not in str(story.pbx.heard[-1].fields)
    assert story.is_over()


def test_an_event_that_a_pbx_may_not_use_is_refused_here(world):
    story = Story(world)
    story.subscribes(event=("Event", "ua-profile"))
    assert story.pbx.statuses("SUBSCRIBE") == [489]
    assert story.carrier.heard == []
    assert story.is_over()


def test_an_interval_that_is_too_brief(world):
    story = Story(world)
    story.subscribes(expires=5)
    story.carrier.replies(423, to=story.carrier.requests("SUBSCRIBE")[0], fields=(("Min-Expires", "60"),))
    assert story.pbx.statuses("SUBSCRIBE") == [423]
    assert story.pbx.heard[-1].header("Min-Expires") == "60"
    assert story.is_over()


def test_nobody_refreshes_and_the_carrier_says_nothing(world):
    story = subscribed(world)
    story.sbc.run(3640)
    assert story.pbx.requests("NOTIFY")[-1].header("Subscription-State") == "terminated;reason=timeout"
    assert len(story.carrier.requests("SUBSCRIBE")) == 1
    story.acknowledges()
    assert story.is_over()


def test_a_pbx_that_has_rebooted_ends_it_at_the_carrier(world):
    story = subscribed(world)
    story.notifies()
    story.acknowledges(481)
    assert story.carrier.statuses("NOTIFY") == [200, 481]
    assert story.is_over()


def test_a_carrier_that_has_rebooted_has_the_pbx_subscribe_anew(world):
    story = subscribed(world)
    story.subscribes()
    story.carrier.replies(481, to=story.carrier.requests("SUBSCRIBE")[-1])
    assert story.pbx.statuses("SUBSCRIBE") == [200, 481]
    assert story.is_over()


def test_a_pbx_that_vanishes_ends_it_at_the_carrier_in_time(world):
    story = subscribed(world)
    story.notifies()
    story.sbc.run(31)
    assert story.carrier.statuses("NOTIFY")[-1] == 481
    assert story.is_over()


def test_a_carrier_that_vanishes_has_the_pbx_subscribe_anew(world):
    story = subscribed(world)
    story.subscribes()
    story.sbc.run(31)
    assert story.pbx.statuses("SUBSCRIBE") == [200, 100, 481]
    assert story.is_over()


def test_a_subscription_of_a_pbx_that_is_not_known_here_is_481(world):
    story = Story(world)
    story.pbx.sends("SUBSCRIBE", TO_FAR, to_tag="lost", fields=(MWI,))
    assert story.pbx.statuses("SUBSCRIBE") == [481]
    assert story.is_over()


def test_a_shutdown_tells_both_sides(world):
    story = subscribed(world)
    story.sbc.tell(DrainOrdered(story.sbc.now + 5, is_leaving=True))
    story.sbc.run(5)
    assert story.pbx.requests("NOTIFY")[-1].header("Subscription-State") == "terminated;reason=deactivated"
    assert story.carrier.requests("SUBSCRIBE")[-1].header("Expires") == "0"
    story.acknowledges()
    story.accepts(expires=0)
    assert story.is_over()


def test_while_draining_no_subscription_begins(world):
    story = Story(world)
    story.sbc.tell(DrainOrdered(story.sbc.now + 50))
    story.subscribes()
    assert story.pbx.statuses("SUBSCRIBE") == [503]
    assert story.is_over()


def test_a_reload_touches_no_subscription_but_that_of_a_peer_that_is_gone(world):
    story = subscribed(world)
    story.sbc.tell(PolicyChanged(read_policy(WATCHING)))
    assert story.is_up()
    other = f'  other: {{interface: outside, servers: ["sip:198.51.100.8:5060"], {METHODS}}}\n'
    lines = [other if "198.51.100.7" in line else line for line in WATCHING.splitlines(keepends=True)]
    story.sbc.tell(
        PolicyChanged(
            read_policy("".join(lines).replace("[carrier]", "[other]").replace("from: carrier", "from: other"))
        )
    )
    assert story.pbx.requests("NOTIFY")[-1].header("Subscription-State") == "terminated;reason=deactivated"
    story.acknowledges()
    story.sbc.run(33)  # who is gone is told, and not listened to
    assert story.is_over()


def test_the_subscriber_may_be_outside(world):
    sbc = world(WATCHING)
    pbx, carrier = ByHand(sbc, sbc.office()), ByHand(sbc, sbc.carrier())
    contact = ("Contact", "<sip:198.51.100.7:5060>")
    carrier.sends(
        "SUBSCRIBE", f"sip:{DID}@203.0.113.1", sender=f"sip:{FAR}@198.51.100.7", fields=(contact, ("Event", "dialog"))
    )
    [asked] = pbx.requests("SUBSCRIBE")
    assert asked.uri.user == DID
    pbx.replies(200, to=asked, fields=(("Expires", "60"),))
    assert carrier.statuses("SUBSCRIBE") == [200]
    state = ("Subscription-State", "terminated;reason=rejected")
    pbx.sends(
        "NOTIFY", "sip:10.0.0.1", from_tag="to-1", to_tag=asked.from_.tag, call_id=asked.call_id,
        fields=(("Contact", "<sip:10.0.0.5:5060>"), ("Event", "dialog"), state),
    )  # fmt: skip
    [notify] = carrier.requests("NOTIFY")
    assert notify.header("Event") == "dialog"
    assert notify.header("Subscription-State") == "terminated;reason=rejected"
    carrier.replies(200, to=notify)
    assert sbc.switch.beside.subscriptions == 0
    assert sbc.idle()


def test_nobody_else_can_notify_in_it(world):
    story = subscribed(world)
    asked = story.carrier.requests("SUBSCRIBE")[0]
    stranger = story.sbc.phone("stranger.example", "192.0.2.66:5060", through=INSIDE)
    forged = ByHand(story.sbc, stranger)
    fields = (MWI, ("Subscription-State", "terminated"))
    forged.sends(
        "NOTIFY", "sip:10.0.0.1", to_tag=asked.from_.tag, call_id=asked.call_id, from_tag="theirs", fields=fields
    )
    story.pbx.sends(
        "NOTIFY", TO_FAR, to_tag=asked.from_.tag, call_id=asked.call_id, from_tag="theirs", cseq=9, fields=fields
    )
    assert forged.heard == []
    assert story.pbx.statuses("NOTIFY") == [481]
    assert story.is_up()
    story.notifies("terminated;reason=timeout")
    story.acknowledges()
    assert story.is_over(but=["leaks"])  # the 481 repeats what came in, which this test took from the other side


# --- phones, that do what RFC 6665 has them do ------------------------------------------------------------------------


def phones(world, policy=WATCHING, **options):
    sbc = world(policy, **options)
    return sbc, sbc.office(), sbc.carrier()


def test_a_phone_watches_another_across(world):
    sbc, office, carrier = phones(world)
    watched = office.subscribes("presence", FAR, expires=600)
    carrier.notifies(PIDF)
    sbc.run(300)
    office.resubscribes(expires=600)
    sbc.run(300)
    office.unsubscribes()
    assert watched.status == 200
    assert [state.partition(";")[0] for state, _ in watched.heard] == ["active"] * 3 + ["terminated"]
    assert [b"<basic>open</basic>" in body for _, body in watched.heard] == [False, True, False, False]
    assert (watched.is_over, watched.reason) == (True, "timeout")
    assert sbc.switch.beside.subscriptions == 0
    assert sbc.idle()


def test_over_tcp_as_well(world):
    sbc = world(WATCHING)
    office, carrier = sbc.office(transport=Transport.TCP), sbc.carrier()
    watched = office.subscribes("presence", FAR, expires=600)
    carrier.notifies(PIDF)
    carrier.notifies(state="terminated;reason=noresource")
    assert [state.partition(";")[0] for state, _ in watched.heard] == ["active", "active", "terminated"]
    assert sbc.switch.beside.subscriptions == 0
    assert sbc.idle()


def test_a_notifier_that_lets_it_expire(world):
    sbc, office, _ = phones(world)
    watched = office.subscribes("presence", FAR, expires=60)
    sbc.run(100)
    assert watched.reason == "timeout"
    assert sbc.switch.beside.subscriptions == 0
    assert sbc.idle()


def test_a_notifier_whose_power_goes_has_its_subscriber_told_at_the_end(world):
    sbc, office, carrier = phones(world)
    watched = office.subscribes("presence", FAR, expires=60)
    carrier.dies(silently=True)
    sbc.run(100)
    assert watched.reason == "timeout"
    assert sbc.switch.beside.subscriptions == 0
    assert sbc.idle()


def test_a_carrier_that_challenges_both_ways(world):
    account = WATCHING.replace(SERVERS, f"{SERVERS}, auth: {{username: acme, password: s3cret}}")
    sbc, office, carrier = phones(world, account)
    door = carrier.challenges("acme", "s3cret")
    watched = office.subscribes("presence", FAR, expires=600)
    office.unsubscribes()
    assert door.accepted == ["SUBSCRIBE", "SUBSCRIBE"]
    assert watched.is_over
    there = carrier.subscribes("presence", DID, expires=600)
    office.notifies(PIDF)
    office.notifies(state="terminated;reason=rejected")
    assert door.accepted[2:] == ["NOTIFY"] * 3
    assert there.reason == "rejected"
    assert sbc.switch.beside.subscriptions == 0
    assert sbc.idle()


def test_a_pbx_that_may_come_from_anywhere_subscribes_with_its_account(world):
    sbc = world(REGISTERING)
    pbx, carrier = sbc.phone("pbx-77.office.internal", "192.0.2.44:5077", through=INSIDE, user=DID), sbc.carrier()
    pbx.has_credentials("office", "0ff1ce")
    watched = pbx.subscribes("presence", FAR, expires=600)
    assert watched.status == 200
    carrier.notifies(PIDF)
    pbx.unsubscribes()
    assert watched.is_over
    assert sbc.switch.beside.subscriptions == 0
    assert sbc.idle()


def test_subscriptions_live_and_end_in_a_bad_network(world, chaos):
    sbc, office, carrier = phones(world, **chaos)
    watched = office.subscribes("presence", FAR, expires=120)
    sbc.run(20)
    if carrier.agent.subscribing.all:
        carrier.notifies(PIDF)
    sbc.run(20)
    if not watched.is_over:
        office.resubscribes(expires=120)
    sbc.run(20)
    if not watched.is_over:
        office.unsubscribes()
    sbc.run(300)
    assert sbc.switch.beside.subscriptions == 0
    assert sbc.leaks() == []
    assert [log for log in sbc.logs if log.level == "error"] == []
    assert sbc.switch.endpoint.layer.count(but=STANDING) == 0
