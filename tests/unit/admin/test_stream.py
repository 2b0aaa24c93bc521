"""What one reader of the event stream is told: all at first, then what is another."""

import json

import msgspec
from msgspec import structs

from sbc.admin import documents
from sbc.admin.state import RuntimeView
from sbc.admin.stream import Told, take_picture
from sbc.core import limits

from .state import CALL, CARRIER_A, ENGINE, StillState


def events(text):
    found = []
    for block in text.decode().split("\n\n")[:-1]:
        event, data = block.split("\n")
        found.append((event.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def picture(runtime=None, **changes):
    return take_picture(StillState(structs.replace(ENGINE, **changes), runtime))


def test_at_first_everything_is_told():
    (state, members), (calls, news) = events(Told().news(picture()))

    assert (state, calls) == ("state", "calls")
    assert list(members) == ["status", "trunks", "pbxs", "paths", "limits", "alarms", "bans"]
    assert members["status"]["name"] == "hq"
    assert (news["reset"], news["gone"], news["total"], news["shown"]) == (True, [], 1, 1)
    assert [call["ref"] for call in news["calls"]] == [CALL.ref]


def test_what_is_told_is_what_the_lists_have():
    members, news = (data for _, data in events(Told().news(picture())))

    msgspec.convert(members, documents.StateEvent)
    msgspec.convert(news, documents.CallsEvent)


def test_nothing_is_told_while_nothing_changes():
    told = Told()
    told.news(picture())

    assert told.news(picture(runtime=StillState().runtime())) == b""


def test_time_that_passes_is_no_news():
    told = Told()
    told.news(picture(runtime=RuntimeView(uptime_seconds=1.0)))

    assert told.news(picture(runtime=RuntimeView(uptime_seconds=2.0))) == b""
    ((_, members),) = events(told.news(picture(runtime=RuntimeView(uptime_seconds=3.0, tasks=1))))
    assert list(members) == ["status"]
    assert members["status"]["uptime_seconds"] == 3.0


def test_a_member_that_has_changed_is_told_alone():
    told = Told()
    told.news(picture())
    down = structs.replace(CARRIER_A, state="down", why="no reply")

    ((event, members),) = events(told.news(picture(peers=(down, *ENGINE.peers[1:]))))

    assert (event, list(members)) == ("state", ["trunks"])


def test_calls_that_come_change_and_go_are_told_and_no_others():
    told = Told()
    other = structs.replace(CALL, ref="other")
    told.news(picture(calls=(CALL, other)))
    ringing = structs.replace(CALL, state="ringing")

    ((_, changed),) = events(told.news(picture(calls=(ringing, other))))
    ((_, gone),) = events(told.news(picture(calls=(other,))))

    assert ([call["state"] for call in changed["calls"]], changed["gone"]) == (["ringing"], [])
    assert (gone["calls"], gone["gone"], gone["reset"]) == ([], [CALL.ref], False)


# BOUND: STREAMED_CALLS
def test_only_the_newest_calls_are_shown_and_all_are_counted():
    many = tuple(structs.replace(CALL, ref=f"r{n}") for n in range(limits.STREAMED_CALLS + 3))

    news = events(Told().news(picture(calls=many, states=(("answered", len(many)),))))[1][1]

    assert (news["total"], news["shown"]) == (len(many), limits.STREAMED_CALLS)
    assert news["calls"][-1]["ref"] == many[-1].ref


def test_a_reader_that_missed_pictures_is_told_the_difference():
    told = Told()
    told.news(picture(calls=()))
    picture(calls=(structs.replace(CALL, ref="short"),))

    ((_, news),) = events(told.news(picture()))

    assert ([call["ref"] for call in news["calls"]], news["gone"]) == ([CALL.ref], [])


def test_a_name_of_a_peer_cannot_begin_an_event():
    hostile = structs.replace(CALL, caller="\n\nevent: state\ndata: {}\r\n\r\n")

    assert [event for event, _ in events(Told().news(picture(calls=(hostile,))))] == ["state", "calls"]
