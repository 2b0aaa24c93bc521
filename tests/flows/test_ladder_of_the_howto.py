"""The ladder in "Read a ladder" is that of a call which is played here, line for line."""

import re
from pathlib import Path

from msgspec.structs import replace

from sbc.b2bua.events import MediaReplied
from sbc.media import wire
from sbc.testing.world import FAR, OUTSIDE, POLICY, WALL_AT_ZERO
from sbc.trace.ladder import PEER, draw

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


def test_the_messages_beside_calls_of_the_page_are_those_of_a_trunk_whose_password_the_carrier_has_changed(world):
    account = "auth: {username: acme, password: s3cret}, register: {aor: 'sip:acme@carrier.example', expires: 600s}"
    server = "servers: ['sip:198.51.100.7:5060']"
    health = "health: {options: 30s, retry: 5s, timeout: 4s}"
    sbc = world(POLICY.replace('servers: ["sip:198.51.100.7:5060"]', f"{server}, {account}, {health}"))
    carrier = sbc.carrier()
    carrier.becomes_registrar()
    sbc.run(100)
    carrier.challenges("acme", "another")
    sbc.run(700)
    drawn = draw(sbc.switch.peer_tapes.entries("carrier"), peers={PEER: "carrier"}, clock=WALL_AT_ZERO)
    (shown,) = re.findall(r"^( {19}carrier .*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    lines = iter(drawn.splitlines())
    assert [line for line in shown.splitlines() if line not in lines] == []
    assert sbc.idle()


def test_the_ladder_of_the_page_is_that_of_the_call(world):
    (shown,) = re.findall(r"^```\n( {9}\S.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert shown == drawn(world)
