"""The ladders in the page about what happens in a call are those of calls: each is played here, and compared.

A ladder in the page leaves out what comes before and after; what it shows stands in the real one, in this order.
"""

import re
from pathlib import Path

import pytest

from sbc.testing.world import DID, FAR
from sbc.trace.ladder import draw

from .transferring import BRANCH, called, refers, three

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "calls.md"
LADDERS = re.findall(r"^```\n( {9}\S.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def talking(world, peers=None, *, office=(), carrier=()):
    """The office has called the carrier. `office` and `carrier`: methods that they do not know."""
    sbc = world(peers=peers)
    one, other = sbc.office(), sbc.carrier()
    one.disallows(*office)
    other.disallows(*carrier)
    one.invites(FAR)
    other.answers()
    return sbc, one, other


def hold(world):
    sbc, office, _ = talking(world)
    office.holds()
    return sbc


def hold_by_update(world):
    sbc, office, _ = talking(world, carrier=("UPDATE",))
    office.holds(by="UPDATE")
    return sbc


def said_again(world):
    sbc, office, _ = talking(world)
    sbc.run(5)
    office.reinvites()
    return sbc


def never_answered(world):
    sbc, office, carrier = talking(world)
    carrier.answers_reinvites(None)
    office.holds()
    sbc.run(61)
    return sbc


def glare(world):
    sbc, office, carrier = talking(world)
    with sbc.net.holding(office.agent):
        carrier.holds()
        office.holds()
    sbc.run(15)
    return sbc


def converted(world):
    sbc = world(peers={"carrier": {"delayed_offer": "convert"}})
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR, sdp=False)
    carrier.answers()
    return sbc


def forked(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.progresses()
    other = carrier.forks()
    carrier.progresses(call=other)
    sbc.run(1)
    carrier.answers(call=other)
    return sbc


def reliable(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    carrier.uses_100rel()
    office.invites(FAR)
    carrier.progresses(reliably=True)
    sbc.run(1)
    carrier.answers()
    return sbc


def expired(world):
    sbc = world(peers={"carrier": {"session_timer": {"expires": "90s", "min": "90s"}}})
    office, carrier = sbc.office(), sbc.carrier()
    carrier.uses_session_timer(None, refresher="uac")
    office.invites(FAR)
    carrier.answers()
    sbc.run(50)
    with sbc.net.holding(carrier.agent):
        sbc.run(60)
    return sbc


def transferred(world):
    sbc, office, carrier, branch = called(world)
    refers(office)
    sbc.run(2)
    branch.rings()
    sbc.run(2)
    branch.answers()
    sbc.run(1)
    carrier.hangs_up()
    return sbc


def busy(world):
    sbc, office, _, branch = called(world)
    refers(office)
    branch.refuses(486)
    return sbc


def passed(world):
    sbc, office, carrier, branch = called(world, "pass")
    carrier.agent.line.outbound = carrier.through
    carrier.script.supports = ("replaces",)
    refers(office)
    sbc.run(1.5)
    branch.answers()
    sbc.run(3)
    return sbc


def redirected(world):
    sbc, office, carrier, branch = three(world)
    carrier.invites(DID)
    office.redirects(f"sip:{BRANCH}@10.0.0.5")
    branch.answers()
    return sbc


def digit(world):
    sbc = world(peers={"office": {"dtmf": "info"}})
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    office.presses("5")
    return sbc


def fax(world):
    sbc = world(peers={"office": {"t38": "refuse"}})
    office, carrier = sbc.office(), sbc.carrier(fax_port=4020)
    office.invites(FAR)
    carrier.answers()
    sbc.run(1)
    carrier.offers_fax()
    return sbc


# In the page's order; the number is that of the call whose ladder is shown, in the order of their beginning.
STORIES = (
    (hold, 0), (hold_by_update, 0), (said_again, 0), (never_answered, 0), (glare, 0), (converted, 0), (forked, 0),
    (reliable, 0), (expired, 0), (transferred, 0), (transferred, 1), (busy, 0), (passed, 0), (redirected, 0),
    (digit, 0), (fax, 0),
)  # fmt: skip


def ladder(sbc, n):
    trace = sbc.switch.trace
    ref = sorted(trace.refs(), key=lambda ref: trace.entries(ref)[0].at)[n]
    return draw(trace.entries(ref), peers=trace.peers(ref))


def test_each_ladder_has_its_story():
    assert len(LADDERS) == len(STORIES)


@pytest.mark.parametrize(("at", "story", "n"), [(at, *one) for at, one in enumerate(STORIES)])
def test_a_ladder_of_the_page_is_that_of_a_call(world, at, story, n):
    drawn = ladder(story(world), n)
    lines = iter(drawn.splitlines())
    missing = [line for line in LADDERS[at].splitlines() if not any(line == real for real in lines)]
    assert not missing, f"the page shows what is not so; the call went so:\n{drawn}"
