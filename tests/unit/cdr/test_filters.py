"""Which records are found."""

import pytest

from sbc.cdr.filters import Filters, plain_number
from sbc.cdr.store import CdrReader, CdrWriter, StoreError


@pytest.fixture
def found(tmp_path, record, epoch):
    with CdrWriter.open(tmp_path) as writer:
        writer.write(
            [
                record("r1", ended_at=epoch, caller="+4930123456", called="110", called_as_sent="110"),
                record("r2", ended_at=epoch + 1, cause="busy", ingress="carrier-a", egress="office"),
                record("r3", ended_at=epoch + 2, caller="anonymous", called_as_sent="0049301239"),
            ]
        )

    def refs(**filters):
        with CdrReader.open(tmp_path) as reader:
            return [one["ref"] for one in reader.page(Filters(**filters)).cdrs]

    return refs


def test_since_is_included_and_until_is_not(found, epoch):
    assert found(since=epoch + 1, until=epoch + 2) == ["r2"]


@pytest.mark.parametrize("number", ["+49 30 123456", "30123456", "123-456", "4930123456"])
def test_a_number_is_found_however_it_is_written_and_by_a_part(found, number):
    assert found(number=number) == ["r1"]


@pytest.mark.parametrize("number", ["30123", "+4930 123"])
def test_a_number_is_looked_for_on_both_sides_and_as_it_was_sent(found, number):
    assert found(number=number) == ["r1", "r3"]


@pytest.mark.parametrize("number", ["%", "_", "' OR 1=1 --", "anonymou_"])
def test_no_character_of_a_number_is_a_wildcard(found, number):
    assert found(number=number) == []


def test_causes_refs_and_peers_are_exact(found):
    assert found(cause="busy") == ["r2"]
    assert found(ref="r3") == ["r3"]
    assert found(trunk="carrier-a", cause="normal") == ["r1", "r3"]


def test_a_plus_that_became_a_space_on_its_way_does_not_matter():
    assert plain_number(" 4930123") == plain_number("+4930123") == "4930123"


def test_what_takes_too_long_is_ended_with_a_sentence(tmp_path, record):
    with CdrWriter.open(tmp_path) as writer:
        writer.write([record(f"r{n}") for n in range(3000)])
    with CdrReader.open(tmp_path) as reader:
        reader.be_considerate(is_late=lambda: True, breathe=lambda: None)
        with pytest.raises(StoreError, match="takes too long"):
            reader.page(Filters(number="nobody"))
