"""PUBLISH across: published state, its entity-tags and its lifetime (RFC 3903)."""
# RFC: 3903

from sbc.testing.byhand import ByHand
from sbc.testing.world import CARRIER, DID, FAR, POLICY

METHODS = "methods: [INVITE, OPTIONS, PUBLISH], events: [presence]"
PUBLISHING = POLICY.replace("address: sip:10.0.0.5:5060", f"address: sip:10.0.0.5:5060, {METHODS}").replace(
    f'servers: ["sip:{CARRIER}"]', f'servers: ["sip:{CARRIER}"], {METHODS}'
)
TO_FAR = f"sip:{FAR}@10.0.0.1"
PRESENCE = ("Event", "presence")
TEXT = ("Content-Type", "text/plain")


class Story:
    """A PBX that publishes, and a carrier that keeps it."""

    def __init__(self, world, policy=PUBLISHING):
        self.sbc = world(policy)
        self.pbx, self.esc = ByHand(self.sbc, self.sbc.office()), ByHand(self.sbc, self.sbc.carrier())
        self._n = 0

    def publishes(self, *fields, body=b""):
        self._n += 1
        self.pbx.sends(
            "PUBLISH", TO_FAR, sender=f"sip:{DID}@10.0.0.5", call_id=f"pub-{self._n}", fields=(*fields,), body=body
        )

    def keeps(self, tag, expires=600):
        self.esc.replies(
            200, to=self.esc.requests("PUBLISH")[-1], fields=(("SIP-ETag", tag), ("Expires", str(expires)))
        )
        return self.pbx.heard[-1].header("SIP-ETag")

    def is_over(self):
        return self.sbc.switch.beside.exchanges == 0 and self.sbc.cdr == [] and self.sbc.idle()


def test_the_life_of_a_publication(world):
    story = Story(world)
    story.publishes(PRESENCE, ("Expires", "3600"), TEXT, body=b"open")
    ours = story.keeps("etag-of-198.51.100.7")
    assert story.pbx.heard[-1].header("Expires") == "600"
    assert "198.51.100.7" not in ours
    story.publishes(PRESENCE, ("SIP-If-Match", ours), ("Expires", "3600"))
    assert story.esc.requests("PUBLISH")[-1].header("SIP-If-Match") == "etag-of-198.51.100.7"
    assert story.esc.requests("PUBLISH")[-1].body == b""
    again = story.keeps("second")
    assert again != ours
    story.publishes(PRESENCE, ("SIP-If-Match", again), TEXT, body=b"closed")
    assert story.esc.requests("PUBLISH")[-1].body == b"closed"
    last = story.keeps("third")
    story.publishes(PRESENCE, ("SIP-If-Match", last), ("Expires", "0"))
    gone = story.keeps("fourth", expires=0)
    story.publishes(PRESENCE, ("SIP-If-Match", gone))
    assert story.pbx.statuses("PUBLISH") == [200, 200, 200, 200, 412]
    assert story.is_over()


def test_a_server_that_has_forgotten_a_publication_is_told_anew(world):
    story = Story(world)
    story.publishes(PRESENCE, TEXT, body=b"open")
    ours = story.keeps("first")
    story.publishes(PRESENCE, ("SIP-If-Match", ours))
    story.esc.replies(412, to=story.esc.requests("PUBLISH")[-1])
    story.publishes(PRESENCE, TEXT, body=b"open")
    story.keeps("second")
    assert story.pbx.statuses("PUBLISH") == [200, 412, 200]
    assert story.is_over()


def test_a_publication_of_another_package_is_489(world):
    story = Story(world)
    story.publishes(("Event", "dialog"), TEXT, body=b"")
    assert story.pbx.statuses("PUBLISH") == [489]
    assert story.pbx.heard[-1].header("Allow-Events") == "presence"
    assert story.esc.requests("PUBLISH") == []
    assert story.is_over()


def test_a_lifetime_that_is_too_short(world):
    story = Story(world)
    story.publishes(PRESENCE, ("Expires", "5"), TEXT, body=b"open")
    story.esc.replies(423, to=story.esc.requests("PUBLISH")[-1], fields=(("Min-Expires", "60"),))
    assert story.pbx.statuses("PUBLISH") == [423]
    assert story.pbx.heard[-1].header("Min-Expires") == "60"
    assert story.is_over()
