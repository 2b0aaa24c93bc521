"""The ladder in "Read a ladder" is that of a call which is played here, line for line."""

import re
from pathlib import Path

from msgspec.structs import replace

from sbc.b2bua.events import MediaReplied
from sbc.media import wire
from sbc.testing.world import FAR, OUTSIDE, POLICY
from sbc.trace.ladder import draw

PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "read-a-ladder.md"
SPARE = "  spare: {interface: outside, servers: ['sip:198.51.100.8:5060']}\n"
TWO_TRUNKS = POLICY.replace("routes:\n", f"{SPARE}routes:\n").replace("via: [carrier]", "via: [carrier, spare]")


# What the media worker counts in the end: the caller is heard well, the called party never.
HEARD = wire.StreamCount(
    wire.EndCount(received=698, lost=2, jitter_ms=1.2, jitter_max_ms=4.0, engine="kernel"), wire.EndCount()
)


def counts(sbc):
    """The worker's last word on each call is `HEARD`."""
    ask = sbc.media.ask

    def answer(request):
        return [
            replace(reply, streams=(HEARD,)) if isinstance(reply, wire.SessionEnded) else reply
            for reply in ask(request)
        ]

    sbc.media.ask = answer


def drawn(world):
    """The first trunk is out of order, the second answers; the caller holds, and hears nothing all the time."""
    sbc = world(TWO_TRUNKS)
    counts(sbc)
    office, carrier = sbc.office(), sbc.carrier()
    spare = sbc.phone("spare.net", "198.51.100.8:5060", through=OUTSIDE)
    office.invites(FAR)
    sbc.run(0.4)
    carrier.refuses(503)
    sbc.run(1.5)
    spare.rings()
    sbc.run(4)
    spare.answers()
    sbc.run(10)
    office.holds()
    sbc.run(5)
    office.resumes()
    (report,) = sbc.media.ask(wire.Query(next(iter(sbc.switch.calls))))
    sbc.tell(MediaReplied(report))
    sbc.run(2)
    spare.hangs_up()
    sbc.run(1)
    ref = sbc.cdr.only.ref
    trace = sbc.switch.trace
    return draw(trace.entries(ref), peers=trace.peers(ref))


def test_the_ladder_of_the_page_is_that_of_the_call(world):
    (shown,) = re.findall(r"^```\n( {9}\S.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert shown == drawn(world)
