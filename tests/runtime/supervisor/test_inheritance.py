"""What one supervisor leaves to the next: a table that another version reads, or refuses."""

import msgspec
import pytest

from sbc.runtime.supervisor import inheritance
from sbc.runtime.supervisor.inheritance import (
    Inheritance,
    LeftListener,
    LeftPairs,
    LeftWorker,
    UnreadableError,
)

LEFT = Inheritance(
    inheritance.VERSION,
    tuple(range(10, 21)),
    (LeftListener("udp", "192.0.2.1", 5060),),
    (LeftPairs("192.0.2.1", (20_000, 20_002)),),
    (LeftWorker(0, 77, 4), LeftWorker(1, 0, 4)),
    ("journal",),
    status=-9,
    was_ready=True,
    stops=(15,),
)


def altered(**changes):
    return msgspec.msgpack.encode(msgspec.to_builtins(LEFT) | changes)


def test_it_comes_out_as_it_went_in():
    assert inheritance.decode(inheritance.encode(LEFT)) == LEFT


def test_a_worker_that_runs_has_a_life_line_and_one_that_does_not_has_none():
    assert LEFT.descriptors_needed == 1 + 4 + (3 + 2) + 1


def test_what_a_later_version_has_besides_is_passed_over():
    assert inheritance.decode(altered(more={"of": "it"})) == LEFT


def test_what_an_earlier_version_did_not_have_is_as_if_it_had_nothing_to_say():
    left = inheritance.decode(msgspec.msgpack.encode({"version": inheritance.VERSION, "descriptors": []}))
    assert (left.listeners, left.status, left.was_ready) == ((), 0, False)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nonsense",
        altered(version=inheritance.VERSION + 1),
        altered(version="1"),
        altered(descriptors=[1, 2, 3]),
        altered(listeners=[{"kind": b"\xff"}]),
        inheritance.encode(LEFT)[:-1],
    ],
)
def test_what_cannot_be_read_is_refused(data):
    with pytest.raises(UnreadableError):
        inheritance.decode(data)


def test_the_version_that_is_not_read_is_named():
    with pytest.raises(UnreadableError, match=r"version 99, and this program reads 1$"):
        inheritance.decode(altered(version=99))
