"""What a peer's text can cost: how much of it is read, and what is remembered of it."""

import tracemalloc

import pytest

from sbc.core import address, limits
from sbc.core.address import canonical_ip
from sbc.sip import nameaddr, uri
from sbc.sip.errors import ParseError
from sbc.sip.headers import cseq, via
from sbc.sip.headers.cseq import parse_cseq
from sbc.sip.headers.identity import parse_privacy
from sbc.sip.headers.via import parse_via
from sbc.sip.nameaddr import parse_name_addr
from sbc.sip.uri import parse_uri

LONG = limits.REMEMBERED_CHARACTERS
CACHES = (uri._remembered, nameaddr._remembered, cseq._remembered, via._remembered, address._canonical)


# BOUND: PRIVACY_VALUES
@pytest.mark.parametrize("separator", [";", ","])
def test_only_so_many_words_of_privacy_are_read(separator):
    words = [f"w{n}" for n in range(1_000)]
    assert parse_privacy([separator.join(words)]) == frozenset(words[: limits.PRIVACY_VALUES])


# BOUND: REMEMBERED_CHARACTERS
@pytest.mark.parametrize(
    ("read", "text"),
    [
        (parse_uri, "sip:{}@x"),
        (parse_name_addr, "<sip:{}@x>"),
        (parse_cseq, "1 {}"),
        (parse_via, "SIP/2.0/UDP {};branch=z9hG4bK1"),
        (canonical_ip, "{}"),
    ],
)
def test_a_long_text_is_read_alike_and_not_remembered(read, text):
    short, long = text.format("a" * 20), text.format("a" * 2 * LONG)
    held = [cache.cache_info().currsize for cache in CACHES]
    assert str(read(long)) == str(read(short)).replace("a" * 20, "a" * 2 * LONG)
    grown = [cache.cache_info().currsize for cache in CACHES]
    for _ in range(3):
        read(long)
    assert [cache.cache_info().currsize for cache in CACHES] == grown
    assert sum(grown) - sum(held) <= 3, "only the short one, and what is in it"


def test_a_long_literal_is_none():
    assert canonical_ip("1" * 1_000) is None
    assert canonical_ip("[" + ":" * 1_000 + "]") is None
    with pytest.raises(ParseError):
        parse_via(f"SIP/2.0/UDP [{'0:' * 200}1];branch=z9hG4bK1")


# BOUND: REMEMBERED_TEXTS
def test_what_all_caches_hold_of_hostile_texts_is_bounded():
    """Many more texts than are remembered, each as long as may be: the second flood takes no more than the first."""
    assert all(cache.cache_info().maxsize <= limits.REMEMBERED_TEXTS for cache in CACHES)

    def flood(seed):
        for n in range(limits.REMEMBERED_TEXTS + 100):
            name = f"{seed}x{n}".ljust(LONG - 40, "y")
            parse_name_addr(f"<sip:{name}@x>")
            parse_cseq(f"1 {name}")
            parse_via(f"SIP/2.0/UDP {name};branch=z9hG4bK1")

    tracemalloc.start()
    try:
        flood("a")
        once = tracemalloc.get_traced_memory()[0]
        flood("b")
        twice = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert twice < once * 1.1
    assert once < 16_000_000
