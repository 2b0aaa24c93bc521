from hypothesis import given
from hypothesis import strategies as st

from sbc.media.worker.payload import payload_table, rewriting

types = st.integers(0, 127)


@given(st.dictionaries(types, types), st.integers(0, 255))
def test_the_payload_type_is_rewritten_and_the_marker_stays(mapping: dict[int, int], second: int) -> None:
    packet = bytearray((0x80, second)) + bytes(10)
    rewrite = rewriting(payload_table(mapping.items()))
    if rewrite is not None:
        assert rewrite(packet, len(packet)) == len(packet)
    assert packet == bytes((0x80, second & 128 | mapping.get(second & 127, second & 127))) + bytes(10)


def test_two_numbers_can_change_places() -> None:
    table = payload_table(((96, 101), (101, 96)))
    assert table is not None
    assert (table[96], table[101]) == (101, 96)


def test_where_nothing_changes_nothing_is_done() -> None:
    assert rewriting(payload_table(())) is None
    assert rewriting(payload_table(((8, 8), (101, 101)))) is None
