"""The stories of other files, told once more while signalling dies after each answer, hold and resume.

Those that look at the ladder, at what is counted since the start, or at the very messages of a 2xx without its ACK, are
left out: a death shows there, and is meant to.
"""

import inspect
from importlib import import_module

import pytest

from sbc.testing.dying import deaths

FILES = (
    "callee_answers",
    "connected_identity",
    "digits",
    "glare",
    "hang_up_in_each_state",
    "header_policy",
    "hold",
    "media_family",
    "media_recoding",
    "media_sources",
    "media_streams",
    "requests_within_calls",
    "rfc6337_patterns",
    "route_sets",
    "session_timers",
    "sessions_that_change",
    "srtp",
    "srtp_keys",
    "topology",
    "transfer_attended",
    "transfer_blind",
    "transfer_passed",
    "transfer_replaces",
)
LEFT_OUT = frozenset(
    {
        "test_outbound_call_that_the_callee_ends",  # looks at the ladder
        "test_a_carrier_is_told_of_numbers_that_the_pbx_owns",  # counts the 200s
        "test_numbers_are_written_as_each_peer_wants_them",
        "test_the_answer_tells_who_has_answered",
        "test_who_withholds_his_number_is_not_shown",
        "test_a_caller_that_leaves_the_choice_is_refreshed_by_us",
        "test_a_session_expires_that_a_proxy_has_added_is_ours_to_refresh",
        "test_one_that_is_open_while_its_hearer_transfers_and_leaves",  # dies while that is open
    }
)


def stories():
    for name in FILES:
        file = import_module(f".test_{name}", __package__)
        for story, function in inspect.getmembers(file, inspect.isfunction):
            is_plain = story.startswith("test_") and list(inspect.signature(function).parameters) == ["world"]
            if is_plain and not getattr(function, "pytestmark", ()) and story not in LEFT_OUT:
                yield pytest.param(function, id=f"{name}-{story.removeprefix('test_')}")


@pytest.mark.parametrize("story", list(stories()))
def test_a_story_holds_over_deaths_of_signalling(world, request, story):
    with deaths(request.node._worlds):
        story(world)
