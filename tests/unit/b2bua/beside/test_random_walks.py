"""Whatever peers do beside calls, in whatever order: no bug is met, every request is answered once, nothing stays."""

from random import Random

import pytest

from sbc.testing.world import POLICY

SPARE = "  spare: {interface: outside, servers: ['sip:198.51.100.8:5060'], auth: {username: a, password: b}}\n"
TWO_TRUNKS = POLICY.replace("routes:\n", f"{SPARE}routes:\n").replace("via: [carrier]", "via: [carrier, spare]")
CHALLENGE = ("WWW-Authenticate", 'Digest realm="r", nonce="n", algorithm=MD5, qop="auth"')
STATUSES = (100, 183, 200, 200, 200, 202, 204, 302, 401, 403, 404, 407, 412, 423, 480, 481, 489, 500, 503, 600)
STATES = (
    "active", "active;expires=60", "pending;expires=99999999999", "terminated", "terminated;reason=timeout",
    "terminated;reason=probation;retry-after=5", "waiting", ";;", "", "active;expires=0",
)  # fmt: skip
EVENTS = ("message-summary", "presence;id=1", "dialog;sla;call-id=x", "refer", "", ";")
EXPIRES = ("0", "1", "60", "3600", "4294967295", "99999999999999", "x", "-1")
BODIES = (
    (),
    (("Content-Type", "text/plain"),),
    (("Content-Type", "application/pidf+xml"),),
    (("Content-Type", "x/y"),),
)


class Walk:
    def __init__(self, desk, seed):
        self.desk = desk(TWO_TRUNKS)
        self.random = Random(seed)
        self.cseq = 1

    def step(self):
        choices = [self.begins, self.answers, self.answers, self.answers, self.speaks, self.speaks, self.waits]
        self.random.choice([*choices, self.fails])()

    def fields(self):
        pick = self.random.choice
        fields = [("Contact", pick(("<sip:x@10.0.0.5>", "<tel:+1>", "*", "<sip:y@198.51.100.7:5070;transport=tcp>")))]
        fields += [("Event", pick(EVENTS)), ("Expires", pick(EXPIRES)), ("Subscription-State", pick(STATES))]
        fields += [("Record-Route", "<sip:10.9.9.9;lr>"), ("SIP-If-Match", pick(("a", "a, b", "")))]
        return tuple(self.random.sample(fields, self.random.randrange(len(fields) + 1))) + pick(BODIES)

    def begins(self):
        method = self.random.choice(("SUBSCRIBE", "SUBSCRIBE", "MESSAGE", "PUBLISH", "NOTIFY", "OPTIONS", "REFER"))
        side = self.random.choice(("inside", "outside"))
        fields = (("Event", "message-summary"),) if self.random.random() < 0.5 else self.fields()
        self.desk.asks(method, side=side, fields=fields, body=self.random.choice((b"", b"<x/>")))

    def answers(self):
        if self.desk.sent:
            n = -1 - self.random.randrange(min(4, len(self.desk.sent)))
            fields = (CHALLENGE, ("Expires", self.random.choice(EXPIRES)), ("SIP-ETag", "t"), ("Min-Expires", "9"))
            tag = self.random.choice(("one", "two"))
            genuine = self.random.random() < 0.8
            self.desk.answered(self.random.choice(STATUSES), n=n, fields=fields, to_tag=tag, genuine=genuine)

    def speaks(self):
        """Within a dialog: towards a request that we sent, or one that we answered."""
        subscribed = [answer for answer in self.desk.answers[-12:] if answer.to_tag]
        if subscribed and self.random.random() < 0.4:
            answer = self.random.choice(subscribed)
            asked = self.desk.asked[answer.key]
            side = "inside" if asked.from_.uri.host == "10.0.0.5" else "outside"
            ids = {"call_id": asked.call_id, "to_tag": answer.to_tag, "from_tag": asked.from_.tag}
        elif self.desk.sent:
            sent = self.random.choice(self.desk.sent[-6:])
            side, request = sent.interface, sent.request
            tag = request.to.tag or self.random.choice(("one", "two"))
            ids = {"call_id": request.call_id, "to_tag": request.from_.tag, "from_tag": tag}
        else:
            return
        self.cseq += self.random.choice((1, 1, 1, 0, -1))
        method = self.random.choice(("NOTIFY", "NOTIFY", "SUBSCRIBE", "SUBSCRIBE", "BYE"))
        fields = (("Event", "message-summary"), *self.fields()[:1])
        self.desk.asks(method, side=side, in_dialog=True, fields=fields, cseq=max(self.cseq, 1), **ids)

    def waits(self):
        self.desk.waits(self.random.choice((0.5, 4.0, 25.0, 33.0, 700.0)))

    def fails(self):
        if self.desk.sent:
            self.desk.fails(self.random.choice(("timeout", "transport")), n=-1)


@pytest.mark.parametrize("seed", range(60))
def test_a_random_walk_leaves_nothing(desk, seed):
    walk = Walk(desk, seed)
    for _ in range(120):
        walk.step()
    walk.desk.ends()
    walk.desk.waits(90_000)
    assert walk.desk.is_idle()
    assert [log for log in walk.desk.logs if log.level == "error"] == []
    finals = [answer.key for answer in walk.desk.answers if answer.status >= 200]
    assert len(finals) == len(set(finals))
    assert set(walk.desk.asked) - set(finals) == set()
