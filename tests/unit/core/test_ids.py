import random

from sbc.core.ids import MAGIC_COOKIE, IdSource


def source(seed: int = 0) -> IdSource:
    return IdSource(random.Random(seed).randbytes)


def test_the_same_entropy_gives_the_same_identifiers():
    assert [source(1).tag(), source(1).branch()] == [source(1).tag(), source(1).branch()]
    assert source(1).tag() != source(2).tag()


def test_identifiers_do_not_repeat_across_pages_of_entropy():
    ids = source()
    seen = [ids.call_id() for _ in range(5000)]
    assert len(set(seen)) == len(seen)
    assert {len(one) for one in seen} == {32}


def test_branch_carries_the_magic_cookie():
    assert source().branch().startswith(MAGIC_COOKIE)


def test_tag_has_at_least_32_random_bits():
    # "MUST be globally unique and cryptographically random with at least 32 bits of randomness", RFC 3261 §19.3
    assert len(source().tag()) * 4 >= 32


def test_ref_can_be_read_out():
    ref = source().ref()
    assert len(ref) <= 12
    assert ref.isalnum()
    assert ref == ref.lower()


def test_numbers_stay_below_their_bound_and_reach_all_of_it():
    ids = source()
    assert {ids.number(5) for _ in range(500)} == {0, 1, 2, 3, 4}


def test_session_id_fits_what_peers_can_hold():
    ids = source()
    assert all(0 <= ids.session_id() < 2**63 for _ in range(100))
