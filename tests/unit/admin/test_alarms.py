"""The alarm board: what stands, what ends by itself, what is news, and that it is bounded."""

import json

import pytest

from sbc.admin.alarms import MOMENT_SECONDS, QUIET_SECONDS, REMEMBERED_SECONDS, AlarmBoard
from sbc.admin.api import answer
from sbc.admin.exchange import Request
from sbc.admin.metrics import render
from sbc.admin.state import AlarmView

from . import state

DOWN = {"peer": "a", "why": "no answer"}


def active(board, now):
    return [(one.event, one.subject) for one in board.view(now) if one.is_active]


def test_an_alarm_with_a_counterpart_stands_until_that_is_said_of_the_same_subject():
    board = AlarmBoard()
    board.raise_alarm("peer.down", DOWN, 10.0)
    board.clear("peer.up", {"peer": "b"}, 20.0)
    assert active(board, 1e9) == [("peer.down", "peer a")]
    board.clear("peer.up", {"peer": "a"}, 30.0)
    [view] = board.view(31.0)
    assert (view.is_active, view.since, view.ended_at) == (False, 10.0, 30.0)


def test_an_alarm_that_nothing_clears_is_active_for_five_minutes_after_it_was_last_said():
    board = AlarmBoard()
    board.raise_alarm("tcp.no_socket", {"reason": "x"}, 0.0)
    board.raise_alarm("tcp.no_socket", {"reason": "y"}, 200.0)
    assert active(board, 200.0 + MOMENT_SECONDS - 1) == [("tcp.no_socket", "")]
    [view] = board.view(2_000.0)
    assert (view.is_active, view.count, view.ended_at, view.last) == (False, 2, 200.0 + MOMENT_SECONDS, 200.0)
    assert view.fields == {"reason": "y"}
    board.raise_alarm("tcp.no_socket", {"reason": "z"}, 2_100.0)
    [view] = board.view(2_100.0)
    assert (view.is_active, view.count, view.since) == (True, 1, 2_100.0)


def test_what_ended_is_remembered_for_an_hour():
    board = AlarmBoard()
    board.raise_alarm("peer.down", DOWN, 0.0)
    board.clear("peer.up", DOWN, 10.0)
    assert len(board.view(10.0 + REMEMBERED_SECONDS)) == 1
    assert board.view(11.0 + REMEMBERED_SECONDS) == ()


def test_active_ones_come_first_and_then_the_newest():
    board = AlarmBoard()
    for at, peer in enumerate("abc"):
        board.raise_alarm("peer.down", {"peer": peer}, float(at))
    board.clear("peer.up", {"peer": "c"}, 9.0)
    assert [one.subject for one in board.view(10.0)] == ["peer b", "peer a", "peer c"]


def test_it_is_news_when_it_is_new_and_then_every_five_minutes_with_how_often():
    board = AlarmBoard()
    news = [board.raise_alarm("cdr.not_stored", {}, at) for at in (0.0, 10.0, 20.0, QUIET_SECONDS, QUIET_SECONDS + 1)]
    assert [(one.is_news, one.repeated) for one in news] == [
        (True, 0), (False, 0), (False, 0), (True, 2), (False, 0),
    ]  # fmt: skip


def test_the_end_of_an_alarm_is_told_to_who_was_told_of_it():
    board = AlarmBoard()
    board.raise_alarm("peer.down", {"peer": "a"}, 0.0)
    board.raise_alarm("peer.down", {"peer": "b"}, 0.0, is_told=False)
    assert board.clear("peer.up", {"peer": "a"}, 1.0)
    assert not board.clear("peer.up", {"peer": "a"}, 2.0)  # it was over
    assert not board.clear("peer.up", {"peer": "b"}, 2.0)
    assert not board.clear("call.started", {"ref": "x"}, 2.0)


def test_of_two_that_exclude_each_other_the_last_counts():
    board = AlarmBoard()
    board.raise_alarm("registration.failing", {"trunk": "a"}, 0.0)
    board.raise_alarm("registration.rejected", {"trunk": "a"}, 5.0)
    assert active(board, 6.0) == [("registration.rejected", "trunk a")]
    board.clear("registration.registered", {"trunk": "a"}, 7.0)
    assert active(board, 8.0) == []


def test_the_same_line_without_alarm_can_be_its_end():
    board = AlarmBoard()
    board.raise_alarm("media.engine", {"engine": "userland", "reason": "no BPF"}, 0.0)
    board.raise_alarm("media.engine", {"engine": "userland", "reason": "no permission"}, 1.0)
    assert active(board, 2.0) == [("media.engine", "")]
    board.clear("media.engine", {"engine": "kernel"}, 3.0)
    assert active(board, 4.0) == []


# BOUND: ALARMS
def test_the_board_is_bounded_and_what_stands_goes_last(monkeypatch):
    monkeypatch.setattr("sbc.core.limits.ALARMS", 4)
    board = AlarmBoard()
    board.raise_alarm("peer.down", {"peer": "stands"}, 0.0)
    board.raise_alarm("peer.down", {"peer": "over"}, 1.0)
    board.clear("peer.up", {"peer": "over"}, 2.0)
    for n in range(50):
        board.raise_alarm("call.emergency", {"ref": str(n), "called": "911"}, 3.0 + n)
    assert len(board) == 4
    assert active(board, 60.0)[-1] == ("peer.down", "peer stands")


def test_the_api_shows_what_the_board_knows_in_wall_time():
    alarm = AlarmView("peer.down", "peer a", "No call can reach a.", 2.0, 3.5, 4, None, {"peer": "a", "why": "\\udcff"})
    over = AlarmView("tcp.no_socket", "", "…", 1.0, 1.0, 1, 90.0, {})
    shown = answer(Request("GET", "/api/v1/alarms"), state.StillState(alarms=(alarm, over)))
    body = json.loads(shown.body)
    assert shown.status == 200
    assert body["alarms"][0] == {
        "event": "peer.down", "subject": "peer a", "text": "No call can reach a.", "since": "2025-01-31T09:00:02.000Z",
        "last": "2025-01-31T09:00:03.500Z", "count": 4, "active": True, "ended_at": None,
        "fields": {"peer": "a", "why": "\\udcff"},
    }  # fmt: skip
    assert body["alarms"][1]["active"] is False
    assert body["alarms"][1]["ended_at"] == "2025-01-31T09:01:30.000Z"


@pytest.mark.parametrize(("event", "count"), [("peer.down", 2), ("tcp.no_socket", 0), ("media.engine", 0)])
def test_the_metric_counts_active_ones_of_each_event_and_shows_events_without_any(event, count):
    down = AlarmView("peer.down", "peer a", "", 2.0, 3.5, 4, None, {})
    over = AlarmView("tcp.no_socket", "", "…", 1.0, 1.0, 1, 90.0, {})
    still = state.StillState(alarms=(down, down, over))
    text = render(still.engine(), still.runtime(), still.alarms())
    assert f'sbc_alarms{{event="{event}"}} {count}\n' in text
