"""The order to open a door for one test call, and to close it: what is asked, and what is answered.

What the door is, `policy.testcall` says; who opens it, `runtime.call_door`. Pure.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from sbc.admin.document import Document, Time
from sbc.admin.exchange import Perform, Reply, Request, json_reply, problem
from sbc.admin.state import AdminState
from sbc.cdr.format import time_text
from sbc.core.address import Address
from sbc.core.limits import TEST_CALL_SECONDS
from sbc.policy.testcall import NAME, TESTER, Door, Wanted

_SECONDS: Final = 5.0


class TestCallBody(Document, frozen=True):
    """`port`: of 127.83.66.67, where the tester takes SIP over UDP. `seconds`: how long it may talk.

    `one_way`: the call does not come back to the tester, even where the number is ours.
    """

    __test__ = False  # for pytest, which takes its name for a test's

    trunk: str
    to: str
    port: Annotated[int, Meta(ge=1, le=65_535)]
    caller: str | None = None
    seconds: Annotated[float, Meta(ge=1, le=TEST_CALL_SECONDS)] = _SECONDS
    one_way: bool = False


class TestCall(Document, frozen=True):
    """`called`, `caller`: as the trunk will see them; `number`, `caller_number`: as we name them.

    `comes_back_from`: the PBX whose number it is, so that the call can come in again; null: it is somebody else's.
    `address`: where the tester sends its INVITE, with these credentials. `closes_at`: when all this ends by itself.
    """

    __test__ = False

    trunk: str
    called: str
    caller: str
    number: str
    caller_number: str
    comes_back_from: str | None
    address: str
    username: str
    password: str
    closes_at: Time


class DoorClosed(Document, frozen=True):
    """`open`: whether one was."""

    open: bool


class OpenDoor(Struct, frozen=True):
    wanted: Wanted


class CloseDoor(Struct, frozen=True):
    pass


def open_door(request: Request, _state: AdminState, _name: str) -> Reply | Perform:
    try:
        return Perform(OpenDoor(_wanted(request.body)))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:  # msgspec lets the second through
        return problem(400, str(error))


def close_door(_request: Request, _state: AdminState, _name: str) -> Perform:
    return Perform(CloseDoor())


def opened(door: Door, closes_at: float) -> Reply:
    """`closes_at`: POSIX seconds."""
    return json_reply(
        TestCall(
            door.wanted.trunk,
            door.sent_called,
            door.sent_caller,
            door.called,
            door.caller,
            door.owner or None,
            str(door.listen),
            NAME,
            door.password.text,
            time_text(closes_at),
        ),
        201,
    )


def closed(*, was_open: bool) -> Reply:
    return json_reply(DoorClosed(was_open))


def _wanted(body: bytes) -> Wanted:
    asked = msgspec.json.decode(body or b"{}", type=TestCallBody)
    return Wanted(asked.trunk, asked.to, Address(TESTER, asked.port), asked.caller or "", asked.seconds, asked.one_way)
