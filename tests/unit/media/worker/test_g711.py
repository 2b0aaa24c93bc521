"""The tables against what ITU-T G.711 says of them, and the laws against its Tables 1a and 2a."""

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.media.worker.g711 import G711, a_to_mu, mu_to_a

A_LAW, MU_LAW = G711("PCMA"), G711("PCMU")
EVERY = bytes(range(256))


def a_number(character: int) -> int:
    """Decoder output value number of Table 1a: 1 to 128."""
    return ((character ^ 0x55) & 0x7F) + 1


def mu_number(character: int) -> int:
    """That of Table 2a: 0 to 127."""
    return ~character & 0x7F


def values(codec: G711, characters: bytes) -> list[int]:
    return list(codec.decode(characters))


@pytest.mark.parametrize(
    ("character", "value"),
    [(0xD5, 8), (0x55, -8), (0xD4, 24), (0xC5, 264), (0xAA, 32_256), (0x2A, -32_256), (0x80, 5504)],
)
def test_a_law_characters_have_the_values_of_table_1a(character: int, value: int):
    assert values(A_LAW, bytes([character])) == [value]


@pytest.mark.parametrize(
    ("character", "value"), [(0xFF, 0), (0x7F, 0), (0xFE, 8), (0xEF, 132), (0x80, 32_124), (0x00, -32_124)]
)
def test_mu_law_characters_have_the_values_of_table_2a(character: int, value: int):
    assert values(MU_LAW, bytes([character])) == [value]


@pytest.mark.parametrize("codec", [A_LAW, MU_LAW], ids=lambda codec: codec.name)
def test_every_character_survives_linear_samples(codec: G711):
    there_and_back = codec.encode(codec.decode(EVERY))
    negative_zero = {0x7F} if codec is MU_LAW else set()  # its value is zero, which is written positive
    assert {n for n in range(256) if there_and_back[n] != n} == negative_zero


@pytest.mark.parametrize("codec", [A_LAW, MU_LAW], ids=lambda codec: codec.name)
@given(one=st.integers(-32_768, 32_767))
def test_a_sample_becomes_the_nearest_value(codec: G711, one: int):
    (value,) = values(codec, codec.encode(array("h", [one])))
    assert abs(value - one) <= min(abs(other - one) for other in values(codec, EVERY)) + 1


def test_characters_without_a_signal_stay_without_one():
    assert mu_to_a()[0xFF] == 0xD5
    assert a_to_mu()[0xD5] == 0xFE


def test_the_0_dbm0_sequence_of_one_law_is_that_of_the_other():
    a_law = bytes.fromhex("3421 2134 b4a1 a1b4")  # Table 5
    mu_law = bytes.fromhex("1e0b 0b1e 9e8b 8b9e")  # Table 6
    assert a_law.translate(a_to_mu()) == mu_law
    assert mu_law.translate(mu_to_a()) == a_law


def test_conversion_keeps_the_polarity_and_the_order_of_values():
    for table, codec, other in ((a_to_mu(), A_LAW, MU_LAW), (mu_to_a(), MU_LAW, A_LAW)):
        positive = sorted(range(128, 256), key=lambda c: values(codec, bytes([c]))[0])
        converted = values(other, bytes(positive).translate(table))
        assert converted == sorted(converted)
        assert all(value >= 0 for value in converted)
        assert values(other, bytes(n & 0x7F for n in positive).translate(table)) == [-value for value in converted]


def test_mu_law_by_way_of_a_law_changes_the_eight_values_that_the_recommendation_names():
    """The notes to Tables 3 and 4: numbers 0 to 14 that are even become one more; bits 1 to 7 pass both ways."""
    back = EVERY.translate(mu_to_a()).translate(a_to_mu())
    assert {mu_number(n) for n in range(256) if back[n] != n} == {0, 2, 4, 6, 8, 10, 12, 14}
    assert all(mu_number(back[n]) == mu_number(n) + 1 for n in range(256) if back[n] != n)
    assert all(back[n] ^ n in {0, 1} for n in range(256))


def test_a_law_by_way_of_mu_law_changes_the_eight_values_that_the_recommendation_names():
    back = EVERY.translate(a_to_mu()).translate(mu_to_a())
    assert {a_number(n) for n in range(256) if back[n] != n} == {26, 28, 30, 32, 45, 47, 63, 80}
    assert all(back[n] ^ n in {0, 1} for n in range(256))


def test_a_converted_value_is_as_loud_as_it_was():
    """Within half a step of the coarser law, and the 0.3 % by which full scale is louder in µ-law."""
    for table, codec, other in ((a_to_mu(), A_LAW, MU_LAW), (mu_to_a(), MU_LAW, A_LAW)):
        before, after = values(codec, EVERY), values(other, EVERY.translate(table))
        assert all(abs(a - b) <= max(16, abs(a) // 24) for a, b in zip(before, after, strict=True))
