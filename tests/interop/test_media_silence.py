"""Silence, hold and one-way audio: one quarter of a minute in which four calls are up, and what each of them leaves.

`silent` and `held` have talked for a moment. Of `one_way` only the PBX is heard; in `foreign` the carrier sends
from a host that its SDP does not name.
"""

import contextlib
import json
import re
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from .children import needs_root, program
from .lab import Lab
from .namespaces import OTHER_CARRIER, Namespaces
from .node import Node
from .parties import Parties, Talk

pytestmark = [pytest.mark.interop, pytest.mark.root, pytest.mark.slow]

NUMBERS = {"silent": "+14155552001", "held": "+14155552002", "one_way": "+14155552003", "foreign": "+14155552004"}
SILENCE_SECONDS = 10
HELD_SECONDS = 15
TOLD_SECONDS = 10.0


class Left(NamedTuple):
    """When they had talked for so long; records and ladders of the calls, by name."""

    talks: dict[str, Talk]
    records: dict[str, dict[str, Any]]
    ladders: dict[str, str]
    log: str
    complaints: list[str]
    told_after: float  # seconds from the answer to the line about one-way audio
    alive_after: set[str]  # calls that were up when the held one had been silent for HELD_SECONDS
    ended_after: float  # seconds of silence


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Left]:
    needs_root()
    with contextlib.ExitStack() as stack:
        namespaces = stack.enter_context(Namespaces(program("ip")))
        namespaces.add("carrier", OTHER_CARRIER)
        folder = tmp_path_factory.mktemp("silence")

        def start(**options: Any) -> Node:
            node = Node(folder, **options)
            stack.callback(node.stop)
            return node

        lab = Lab(namespaces, start, folder)
        lab.start("userland", media={"silence_timeout": f"{SILENCE_SECONDS}s"})
        parties = stack.enter_context(Parties(lab))
        yield play(lab, parties)


def play(lab: Lab, parties: Parties) -> Left:
    desk, node = parties.desk, lab.node
    talks = {name: parties.talk(number=number) for name, number in NUMBERS.items()}
    refs = {call["called"]: call["ref"] for call in node.ask("calls")["calls"]}
    answered = time.monotonic()
    for name in ("silent", "held"):
        for voice in talks[name].voices:
            voice.says()
    held = talks["held"]
    held.callee.sdp = held.far.describes("a=recvonly")
    held.caller.offers(held.near.describes("a=sendonly"))
    quiet = time.monotonic()

    stranger = parties.voice("carrier", OTHER_CARRIER)
    stranger.to = talks["foreign"].far.to
    told = ended = 0.0
    while time.monotonic() < quiet + HELD_SECONDS:
        for voice in (talks["one_way"].near, talks["foreign"].near, stranger):
            voice.says()
        desk.rests(0.02)
        if not told and node.child.log.count("media.one_way") == 2:
            told = time.monotonic() - answered
        if not ended and talks["silent"].caller.is_over:
            ended = time.monotonic() - quiet
    up = {call["called"] for call in node.ask("calls")["calls"]}
    for name in ("held", "one_way", "foreign"):
        if not talks[name].caller.is_over:
            parties.hangs_up(talks[name])
    records = {cdr["called"]: cdr for cdr in node.cdrs()}
    return Left(
        talks,
        {name: records[number] for name, number in NUMBERS.items()},
        {name: node.ladder(refs[number]) for name, number in NUMBERS.items()},
        node.child.log,
        node.complaints(),
        told,
        {name for name, number in NUMBERS.items() if number in up},
        ended,
    )


def test_a_silent_call_ends_and_both_sides_are_told_why(left: Left) -> None:
    assert SILENCE_SECONDS - 0.5 < left.ended_after < SILENCE_SECONDS + 3
    record = left.records["silent"]
    assert (record["cause"], record["ended_by"], record["q850"]) == ("media_timeout", "sbc", 41)
    for dialog in (left.talks["silent"].caller, left.talks["silent"].callee):
        assert dialog.bye.startswith("BYE ")
        assert "\r\nReason: Q.850;cause=41" in dialog.bye
    assert "no RTP and no RTCP from either side for 10 s" in left.ladders["silent"]


def test_a_held_call_may_be_silent(left: Left) -> None:
    assert left.alive_after == {"held", "one_way", "foreign"}
    assert left.records["held"]["cause"] == "normal"
    assert "one_way" not in json.loads(left.records["held"]["media"])


@pytest.mark.parametrize("name", ["one_way", "foreign"])
def test_one_way_audio_is_named(left: Left, name: str) -> None:
    """In the record, in the ladder and in the log, and in time."""
    assert 0 < left.told_after < TOLD_SECONDS
    media = json.loads(left.records[name]["media"])
    assert media["one_way"] == "egress"
    assert media["ingress"][0]["packets"] > 500
    assert media["egress"][0]["packets"] == 0
    assert "one-way audio: nothing is heard from carrier-a" in left.ladders[name]
    (line,) = (line for line in left.log.splitlines() if "media.one_way" in line and left.records[name]["ref"] in line)
    assert "peer=carrier-a" in line
    assert left.records[name]["cause"] == "normal"


def test_strangers_are_named_where_they_speak_instead(left: Left) -> None:
    media = json.loads(left.records["foreign"]["media"])
    assert media["egress"][0]["foreign"] > 500
    assert re.search(
        r"packets came from where it may not send, [\d.]+:\d+ the last\s.*\(latching address\)", left.ladders["foreign"]
    )
    (alarm,) = (line for line in left.log.splitlines() if "media.foreign_packets" in line)
    assert left.records["foreign"]["ref"] in alarm
    assert "peer=carrier-a" in alarm
    assert "alarm=True" in alarm
    assert "foreign" not in json.loads(left.records["one_way"]["media"])["egress"][0]
    assert "from where it may not send" not in left.ladders["one_way"]
    assert left.talks["foreign"].near.heard == []
    assert left.complaints == []
