"""`a=crypto` by its grammar (RFC 4568 §6, §9), and the suites of RFC 7714."""
# RFC: 4568
# RFC: 7714

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.core import limits
from sbc.sdp.crypto import read_crypto, write_crypto
from sbc.sdp.security import KEY_OCTETS, CryptoLine, InlineKey

SUITE = "AES_CM_128_HMAC_SHA1_80"
KEY = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"  # §4.5
OTHER = "NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj"


def only(value):
    [line] = read_crypto([value])
    return line


def test_the_example_of_the_rfc():
    line = only(f"1 {SUITE} inline:{KEY}|2^20|1:32")
    assert (line.tag, line.suite) == (1, SUITE)
    assert line.keys == (InlineKey(base64.b64decode(KEY), (1).to_bytes(32)),)


def test_an_mki_without_a_lifetime():
    assert only(f"1 {SUITE} inline:YUJDZGVmZ2hpSktMbW9QUXJzVHVWd3l6MTIzNDU2|1066:4").keys[0].mki == b"\0\0\x04\x2a"


@pytest.mark.parametrize(
    "value",
    [
        f"1 {SUITE} inline:{KEY}",
        f"000000001 \t {SUITE}\tinline:{KEY}",
        f"999999999 {SUITE.lower()} INLINE:{KEY}",
        f"1 {SUITE} inline:{KEY}|2^48",
        f"1 {SUITE} inline:{KEY}|2^0",
        f"1 {SUITE} inline:{KEY}|{2**48}",
        f"1 {SUITE} inline:{KEY}|1:1;inline:{OTHER}|2:1",
        f"1 {SUITE} inline:{KEY} WSH=64",
        f"1 {SUITE} inline:{KEY} WSH=1024 -SOMETHING=new",
    ],
)
def test_what_can_be_used(value):
    assert only(value).keys[0].key == base64.b64decode(KEY)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "1",
        f"1 {SUITE}",
        f"x {SUITE} inline:{KEY}",
        f"-1 {SUITE} inline:{KEY}",
        f"1000000000 {SUITE} inline:{KEY}",
        f"1 {SUITE}  ",
        f"1 AES_CM_128_HMAC_SHA1_8 inline:{KEY}",
        f"1 F8_128_HMAC_SHA1_80 inline:{KEY}",
        f"1 NULL_HMAC_SHA1_80 inline:{KEY}",
        f"1 {SUITE} {KEY}",
        f"1 {SUITE} uri:{KEY}",
        f"1 {SUITE} inline:",
        f"1 {SUITE} inline:{KEY[:-1]}",
        f"1 {SUITE} inline:{KEY}AAAA",
        f"1 {SUITE} inline:{KEY}=",
        f"1 {SUITE} inline:{KEY[:-1]}!",
        f"1 {SUITE} inline:{KEY[:-1]}-",
        f"1 {SUITE} inline:{KEY[:20]} {KEY[20:]}",
        f"1 {SUITE} inline:{KEY}|0",
        f"1 {SUITE} inline:{KEY}|020",
        f"1 {SUITE} inline:{KEY}|2^049",
        f"1 {SUITE} inline:{KEY}|2^49",
        f"1 {SUITE} inline:{KEY}|{2**48 + 1}",
        f"1 {SUITE} inline:{KEY}|2^20|",
        f"1 {SUITE} inline:{KEY}||1:4",
        f"1 {SUITE} inline:{KEY}|1:",
        f"1 {SUITE} inline:{KEY}|0:4",
        f"1 {SUITE} inline:{KEY}|01:4",
        f"1 {SUITE} inline:{KEY}|1:04",
        f"1 {SUITE} inline:{KEY}|256:1",
        f"1 {SUITE} inline:{KEY}|1:129",
        f"1 {SUITE} inline:{KEY}|1:4|2^20",
        f"1 {SUITE} inline:{KEY};inline:{OTHER}",
        f"1 {SUITE} inline:{KEY}|1:1;inline:{OTHER}",
        f"1 {SUITE} inline:{KEY}|1:1;inline:{OTHER}|1:1",
        f"1 {SUITE} inline:{KEY}|1:1;inline:{OTHER}|2:2",
        f"1 {SUITE} inline:{KEY}|1:1;inline:{KEY}|2:1",
        f"1 {SUITE} inline:{KEY}|1:1;",
        f"1 {SUITE} " + ";".join(f"inline:{KEY[:-1]}{'ABCDE'[n]}|{n + 1}:1" for n in range(5)),
        f"1 {SUITE} inline:{KEY} UNENCRYPTED_SRTP",
        f"1 {SUITE} inline:{KEY} UNENCRYPTED_SRTCP",
        f"1 {SUITE} inline:{KEY} UNAUTHENTICATED_SRTP",
        f"1 {SUITE} inline:{KEY} KDR=1",
        f"1 {SUITE} inline:{KEY} FEC_ORDER=FEC_SRTP",
        f"1 {SUITE} inline:{KEY} FEC_KEY=inline:{OTHER}",
        f"1 {SUITE} inline:{KEY} WSH=63",
        f"1 {SUITE} inline:{KEY} WSH=",
        f"1 {SUITE} inline:{KEY} SOMETHING=new",
        f"1 {SUITE} inline:{KEY} --",
        f"1 {SUITE} inline:{KEY} WSH=64 UNENCRYPTED_SRTP",
        f"１ {SUITE} inline:{KEY}",
    ],
)
def test_what_cannot_be_used(value):
    assert read_crypto([value]) == ()


def test_unusable_lines_are_passed_over():
    lines = read_crypto([f"1 UNKNOWN inline:{KEY}", f"2 {SUITE} inline:{KEY} KDR=3", f"3 {SUITE} inline:{OTHER}"])
    assert [line.tag for line in lines] == [3]


def test_two_lines_with_one_tag_make_all_of_them_unusable():
    assert read_crypto([f"1 {SUITE} inline:{KEY}", f"2 {SUITE} inline:{KEY}", f"01 {SUITE} inline:{OTHER}"]) == ()


def test_padding_may_be_left_out_and_spare_bits_are_zero():
    text = base64.b64encode(bytes(range(28))).decode()
    assert text.endswith("==")
    for written in (text, text.rstrip("=")):
        assert only(f"1 AEAD_AES_128_GCM inline:{written}").keys[0].key == bytes(range(28))
    assert read_crypto([f"1 AEAD_AES_128_GCM inline:{text[:-1]}"]) == ()
    assert read_crypto([f"1 AEAD_AES_128_GCM inline:{text[:-3]}x=="]) == ()


def test_no_value_shows_a_key():
    shown = repr(only(f"1 {SUITE} inline:{KEY}"))
    assert KEY not in shown
    assert repr(base64.b64decode(KEY))[2:-1] not in shown


keys = st.sampled_from(sorted(KEY_OCTETS)).flatmap(
    lambda suite: st.builds(
        lambda tag, key, mki: CryptoLine(tag, suite, (InlineKey(key, mki),)),
        st.integers(0, 999_999_999),
        st.binary(min_size=KEY_OCTETS[suite], max_size=KEY_OCTETS[suite]),
        st.just(b"") | st.integers(1, 2**32 - 1).map(lambda number: number.to_bytes(4)),
    )
)


@given(keys)
def test_what_is_written_is_read_again(line):
    assert only(write_crypto(line).removeprefix("a=crypto:")) == line


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=200), max_size=8))
def test_nothing_is_raised_whatever_comes(values):
    read_crypto(values)


@given(keys, st.data())
def test_a_broken_line_is_unusable_or_the_same_key(line, data):
    """One octet less, more or other in the key is another length or another key, never an error."""
    value = write_crypto(line).removeprefix("a=crypto:")
    at = data.draw(st.integers(0, len(value) - 1))
    new = data.draw(st.sampled_from(["", "|", ";", ":", " ", "=", "A", "\0", "2^"]))
    for read in read_crypto([value[:at] + new + value[at + 1 :]]):
        assert all(len(key.key) == KEY_OCTETS[read.suite] for key in read.keys)


# BOUND: KEYS_PER_CRYPTO_LINE
def test_only_so_many_keys_of_a_line_are_read():
    keys = [f"inline:{base64.b64encode(bytes([n]) * 30).decode()}|{n}:1" for n in range(1, 100)]
    assert len(only(f"1 {SUITE} {';'.join(keys[: limits.KEYS_PER_CRYPTO_LINE])}").keys) == limits.KEYS_PER_CRYPTO_LINE
    assert read_crypto([f"1 {SUITE} {';'.join(keys)}"]) == ()
