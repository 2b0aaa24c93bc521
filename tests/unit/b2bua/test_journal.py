"""Values of the journal: what an earlier version has written is read, and what a later one adds is passed over.

`tests/golden/journal/version-N.json` holds values as the program of that version has written them, with the time at
which it did. A version is read by the one after it: its file goes with the second.
"""

import base64
import json
from pathlib import Path

import msgspec
import pytest

from sbc.b2bua import journal
from sbc.b2bua.commands import Log, WriteCdr
from sbc.b2bua.ended_dialogs import SavedEnd, SavedEnded
from sbc.b2bua.events import ClockSet, StateRestored
from sbc.b2bua.leftovers import SavedSetup
from sbc.b2bua.saved_call import SavedCall
from sbc.b2bua.switch import Switch
from sbc.testing.seeds import seeded_ids
from sbc.testing.world import POLICY, WALL_AT_ZERO, read_policy

GOLDEN = Path(__file__).parents[2] / "golden" / "journal"
KINDS = (SavedCall, SavedSetup, SavedEnded, SavedEnd)
READ = sorted(journal.READS)


def written(version):
    """When, and each kind of value with its key."""
    found = json.loads((GOLDEN / f"version-{version}.json").read_text())
    values = {name: (one["key"], base64.b64decode(one["value"])) for name, one in found["values"].items()}
    return found["now"], values


def altered(value, change):
    """The same value by a program that has other fields."""
    fields = msgspec.msgpack.decode(value[1:])
    change(fields)
    return value[:1] + msgspec.msgpack.encode(fields)


def test_this_version_and_the_one_before_it_are_read_and_no_other():
    assert {journal.VERSION, max(journal.VERSION - 1, 1)} == journal.READS


@pytest.mark.parametrize("version", [0, journal.VERSION + 1, 255])
def test_a_value_of_another_one_is_not_guessed_at(version):
    _, values = written(journal.VERSION)
    _, value = values["SavedCall"]
    with pytest.raises(journal.UnreadableError, match=f"of version {version}, "):
        journal.decode(bytes((version,)) + value[1:])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("version", READ)
def test_what_each_of_them_has_written_is_read(version, kind):
    _, values = written(version)
    _, value = values[kind.__name__]
    assert value[0] == version
    assert type(journal.decode(value)) is kind


@pytest.mark.parametrize("version", READ)
def test_calls_that_each_of_them_has_kept_go_on_or_end_with_their_record(version):
    now, values = written(version)
    switch = Switch(read_policy(POLICY), seeded_ids())
    switch.handle(ClockSet(WALL_AT_ZERO), now)
    switch.handle(StateRestored(tuple(values[kind.__name__] for kind in KINDS[:2])), now)
    outs = switch.start(now)
    [talks, set_up] = [values[kind.__name__][0].removeprefix(journal.PREFIX) for kind in KINDS[:2]]
    assert list(switch.calls) == [talks]
    assert [out.record.ref for out in outs if isinstance(out, WriteCdr)] == [set_up]
    assert not [out for out in outs if isinstance(out, Log) and out.level == "error"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_field_that_a_later_version_adds_is_passed_over(kind):
    _, value = written(journal.VERSION)[1][kind.__name__]
    same = altered(value, lambda _: None)  # by the encoder that writes `newer`
    newer = altered(value, lambda fields: fields.update(what_nobody_knows_yet=[1, {"a": b"x"}]))
    assert newer != same
    assert journal.decode(newer) == journal.decode(same)


def test_a_field_that_an_earlier_version_had_not_has_its_default():
    _, value = written(journal.VERSION)[1]["SavedCall"]
    older = journal.decode(altered(value, lambda fields: fields.pop("tags")))
    assert isinstance(older, SavedCall)
    assert older.tags == ()


@pytest.mark.parametrize("value", [b"", b"\x00", bytes([journal.VERSION + 1, 0x80]), bytes([journal.VERSION]), b"\xff"])
def test_what_is_of_another_age_is_said_to_be(value):
    with pytest.raises(journal.UnreadableError):
        journal.decode(value)
