"""The order for a test call: what is asked becomes a wish, or a problem that says what was expected."""

import json

import pytest

from sbc.admin import testcall
from sbc.admin.api import answer
from sbc.admin.exchange import Perform, Reply, Request
from sbc.admin.testcall import CloseDoor, OpenDoor
from sbc.core import limits
from sbc.core.address import Address
from sbc.core.secret import Secret
from sbc.policy.testcall import TESTER, Door, Wanted

from .state import StillState

ASKED = {"trunk": "carrier-a", "to": "+14155550100", "port": 40_000}


def asked(body):
    return answer(Request("POST", "/api/v1/testcall", body=json.dumps(body).encode()), StillState())


def test_what_is_asked_is_what_is_wanted():
    more = {"caller": "+442079460123", "seconds": 9.5, "one_way": True}
    phone = Address(TESTER, 40_000)

    assert asked(ASKED) == Perform(OpenDoor(Wanted("carrier-a", "+14155550100", phone)))
    assert asked(ASKED | more) == Perform(
        OpenDoor(Wanted("carrier-a", "+14155550100", phone, "+442079460123", 9.5, one_way=True))
    )


@pytest.mark.parametrize(
    "change",
    [{"port": 0}, {"port": 70_000}, {"port": "5060"}, {"seconds": 0}, {"seconds": 61}, {"trunk": None}, {"more": 1}],
)
def test_what_cannot_be_meant_is_a_problem(change):
    reply = asked(ASKED | change)

    assert isinstance(reply, Reply)
    assert reply.status == 400
    assert json.loads(reply.body)["detail"]


def test_nothing_at_all_is_a_problem():
    assert answer(Request("POST", "/api/v1/testcall"), StillState()).status == 400


def test_the_door_is_closed_by_the_same_name():
    assert answer(Request("DELETE", "/api/v1/testcall"), StillState()) == Perform(CloseDoor())


def test_the_tester_is_told_all_that_it_needs():
    wanted = Wanted("carrier-a", "4155550100", Address(TESTER, 40_000))
    door = Door(wanted, "+14155550100", "+1415555", "4155550100", "415555", "", Address("127.0.0.1", 4), Secret("s"))

    assert json.loads(testcall.opened(door, 1_738_314_000.0).body) == {
        "trunk": "carrier-a",
        "called": "4155550100",
        "caller": "415555",
        "number": "+14155550100",
        "caller_number": "+1415555",
        "comes_back_from": None,
        "address": "127.0.0.1:4",
        "username": "testcall",
        "password": "s",
        "closes_at": "2025-01-31T09:00:00.000Z",
    }


# BOUND: TEST_CALL_SECONDS
@pytest.mark.parametrize(("seconds", "status"), [(limits.TEST_CALL_SECONDS, None), (limits.TEST_CALL_SECONDS + 1, 400)])
def test_a_test_call_has_an_end(seconds, status):
    assert getattr(asked(ASKED | {"seconds": seconds}), "status", None) == status
