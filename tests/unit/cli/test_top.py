"""`sbc top`: what the stream says put together, and one frame of it at any size, with nothing of a peer raw."""

import datetime as dt
import io
import json

import pytest
from msgspec.structs import replace
from rich.console import Console

from sbc.cli import run_command
from sbc.cli.events import Seen, events_in
from sbc.cli.top import turned
from sbc.cli.top_frame import Look, Order, Picture, bar, frame, ordered

NOW = dt.datetime(2025, 1, 31, 9, 10, tzinfo=dt.UTC).timestamp()
STATUS = {
    "name": "hq",
    "ready": True,
    "calls": 3,
    "started_at": "2025-01-31T07:00:00.000Z",
    "rates": {"calls_per_second": 1.25, "answered_per_second": 1.0},
}
TRUNK = {
    "name": "carrier-a",
    "state": "up",
    "since": "2025-01-31T09:00:00.000Z",
    "why": "",
    "registration": None,
    "call_paths": {"used": 3, "limit": 24, "peak_today": 17, "pool": None},
}
HOSTILE = "\x1b[2J\x9b31m[red]x[/]\u202e"


def call(ref, minute, **changes):
    started = f"2025-01-31T09:{minute:02d}:00.000Z"
    return {
        "ref": ref,
        "state": "answered",
        "ingress": "office",
        "egress": "carrier-a",
        "caller": "+14155550100",
        "called": "+442079460123",
        "started_at": started,
        "answered_at": started,
        "quality": {},
    } | changes


def quality(mos):
    return {"ingress": [{"mos": mos, "lost": 1, "packets": 99, "jitter_ms": 2.5, "engine": "kernel"}], "egress": []}


CALLS = (call("oldest", 1, quality=quality(4.4)), call("middle", 4, quality=quality(2.9)), call("newest", 8))
PICTURE = Picture(NOW, STATUS, (TRUNK,), CALLS, (), 3)


def drawn(picture=PICTURE, look=Look(), width=140, height=40):  # noqa: B008 - it is frozen
    out = io.StringIO()
    Console(file=out, width=width, height=height, color_system=None).print(frame(picture, look, NOW, width, height))
    return out.getvalue().splitlines()


def test_the_header_says_that_no_new_calls_are_taken():
    def word(**status):
        return drawn(replace(PICTURE, status=STATUS | {"ready": False} | status))[0].split("  ")[1]

    assert word(draining=True, reason="draining") == word() == "draining: no new calls"
    assert word(draining=False, reason="the disk is full") == "NOT READY: no new calls"


def refs(lines):
    return [line.split()[0] for line in lines if line.split()[:1] and line.split()[0] in {"oldest", "middle", "newest"}]


def test_a_frame_has_header_trunks_and_calls_the_newest_first():
    lines = drawn()

    assert lines[0].split("  ") == ["hq", "ready", "up 2h 10m", "3 calls", "1.25/s, answered 1/s", "0 alarms"]
    trunk = next(line for line in lines if line.startswith("carrier-a"))
    assert "██·················· 3/24" in trunk
    assert trunk.split()[-1] == "17"
    assert refs(lines) == ["newest", "middle", "oldest"]
    newest = next(line for line in lines if line.startswith("newest"))
    assert newest.split()[:5] == ["newest", "answered", "2:00", "office", "carrier-a"]
    assert next(line for line in lines if line.startswith("oldest")).split()[-4:] == [
        "4.4/-",
        "1.0/-",
        "2.5/-",
        "kernel",
    ]


@pytest.mark.parametrize(
    ("order", "first"), [(Order.NEWEST, "newest"), (Order.LONGEST, "oldest"), (Order.WORST, "middle")]
)
def test_the_order_is_chosen(order, first):
    assert next(iter(ordered(CALLS, Look(order))))["ref"] == first


def test_one_way_audio_is_the_worst():
    deaf = call("deaf", 2, quality={"one_way": "egress", **quality(4.4)})

    assert ordered([*CALLS, deaf], Look(Order.WORST))[0]["ref"] == "deaf"
    assert any("egress not heard" in line for line in drawn(replace(PICTURE, calls=(deaf,))))


def test_one_trunks_calls_alone():
    other = call("other", 9, ingress="carrier-b")

    assert [one["ref"] for one in ordered([*CALLS, other], Look(trunk="carrier-b"))] == ["other"]


def test_keys_turn_and_come_around():
    look = Look()
    for wanted in (Order.LONGEST, Order.WORST, Order.NEWEST):
        look = turned(look, "s", PICTURE)
        assert look.order is wanted
    assert turned(look, "t", PICTURE).trunk == "carrier-a"
    assert turned(turned(look, "t", PICTURE), "t", PICTURE).trunk == ""
    assert turned(Look(trunk="gone"), "t", PICTURE).trunk == ""
    assert turned(look, "x", PICTURE) == look


@pytest.mark.parametrize("height", [3, 6, 10, 24])
def test_a_frame_is_not_higher_than_the_terminal(height):
    trunks = tuple(TRUNK | {"name": f"carrier-{n}"} for n in range(30))
    alarm = {"event": "peer.down", "subject": "x", "text": "t", "since": TRUNK["since"], "active": True}
    picture = Picture(NOW, STATUS, trunks, tuple(call(f"r{n}", 5) for n in range(300)), (alarm,) * 9, 300)

    assert len(drawn(picture, height=height)) <= max(height, 3)


def test_80_columns_keep_names_states_paths_refs_and_numbers_whole():
    why = "udp:192.0.2.9:5060: OPTIONS: ICMP: connection refused; 20 failures in a row"
    down = TRUNK | {"state": "down", "why": why}
    ringing = call("evozsgdqgkiw", 9, state="ringing", ingress="a-pbx-of-a-long-name")
    shown = "\n".join(drawn(replace(PICTURE, trunks=(TRUNK, down), calls=(*CALLS, ringing)), width=80))
    for whole in (
        "carrier-a  down",
        "3/24",
        "17",
        "udp:192.0.2.9:5060: OPTIONS",
        "evozsgdqgkiw",
        "+14155550100",
        "ringing",
    ):
        assert whole in shown
    assert shown.count("+442079460123") == 4


@pytest.mark.parametrize("width", [20, 80, 250])
def test_no_line_is_wider_than_the_terminal(width):
    assert all(len(line) <= width for line in drawn(width=width))


def test_nothing_of_a_peer_moves_the_cursor_or_is_markup():
    calls = (call("r", 5, caller=HOSTILE, called=HOSTILE),)
    alarm = {"event": "peer.down", "subject": HOSTILE, "text": HOSTILE, "since": TRUNK["since"], "active": True}
    picture = Picture(NOW, STATUS, (TRUNK | {"why": HOSTILE},), calls, (alarm,), 1)

    shown = "\n".join(drawn(picture, Look(problem=HOSTILE), width=400))

    assert all(character.isprintable() or character == "\n" for character in shown)
    assert "[red]x[/]" in shown


def test_alarms_that_are_over_are_not_shown():
    alarm = {"event": "peer.down", "subject": "x", "text": "t", "since": TRUNK["since"], "active": False}

    assert not any("peer.down" in line for line in drawn(replace(PICTURE, alarms=(alarm,))))


def test_what_is_not_up_to_date_says_so():
    late = replace(PICTURE, at=NOW - 75)

    assert drawn(late, Look(problem="nobody listens there"))[1] == (
        "NO ANSWER for 1m 15s, trying again: nobody listens there"
    )


@pytest.mark.parametrize(
    ("used", "limit", "shown"),
    [
        (0, 24, "··········"),
        (1, 240, "█·········"),
        (12, 24, "█████·····"),
        (239, 240, "█████████·"),
        (24, 24, "██████████"),
        (30, 24, "██████████"),
        (0, 0, "··········"),
    ],
)
def test_a_bar_shows_the_first_and_the_last_path(used, limit, shown):
    assert bar(used, limit, 10) == shown


# --- the stream -------------------------------------------------------------------------------------------------------


def event(name, data):
    return [f"event: {name}", f"data: {json.dumps(data)}", ""]


def test_the_stream_is_put_together():
    lines = [
        *event("state", {"status": STATUS, "trunks": [TRUNK]}),
        ": still here",
        "",
        *event("calls", {"reset": True, "calls": [*CALLS], "gone": [], "total": 3, "shown": 3}),
        *event("state", {"trunks": []}),
        *event("later", {"anything": 1}),
        *event("calls", {"reset": False, "calls": [call("more", 9)], "gone": ["oldest"], "total": 9, "shown": 3}),
    ]
    seen, whole = Seen(), []
    for one in events_in(lines):
        seen.take(one)
        whole.append(seen.is_whole)

    assert whole == [False, True, True, True, True]
    assert (seen.state["status"], seen.state["trunks"]) == (STATUS, [])
    assert (sorted(seen.calls), seen.total) == (["middle", "more", "newest"], 9)


def test_a_stream_that_begins_anew_forgets_what_was():
    seen = Seen()
    for one in events_in(
        [
            *event("calls", {"reset": True, "calls": [*CALLS], "gone": [], "total": 3, "shown": 3}),
            *event("calls", {"reset": True, "calls": [], "gone": [], "total": 0, "shown": 0}),
        ]
    ):
        seen.take(one)

    assert seen.calls == {}


def streams(sbc, text):
    sbc.knows("GET /api/v1/status", STATUS)
    sbc.replies["GET /api/v1/events"] = (200, "text/event-stream", text)


def test_in_a_pipe_it_is_one_frame_and_the_end(sbc, capsys):
    calls = {"reset": True, "calls": [*CALLS], "gone": [], "total": 3}
    streams(sbc, "\n".join([*event("state", {"status": STATUS, "trunks": [TRUNK]}), *event("calls", calls), ""]))

    assert run_command(["top", "--admin", sbc.address]) == 0
    out = capsys.readouterr().out
    assert out.startswith("hq  ready")
    assert "q quit" not in out
    assert "\x1b" not in out

    assert run_command(["top", "--admin", sbc.address, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["status"], said["total"], len(said["calls"])) == (STATUS, 3, 3)


@pytest.mark.parametrize("text", ["", "event: state\ndata: {}\n\n", "event: state\ndata: {oh\n\n", "<html>"])
def test_a_stream_that_says_nothing_useful_is_an_error_and_1(sbc, capsys, text):
    streams(sbc, text)

    assert run_command(["top", "--admin", sbc.address]) == 1
    assert capsys.readouterr().err.startswith("sbc: ")
