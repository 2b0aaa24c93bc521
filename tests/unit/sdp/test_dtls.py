"""Fingerprints and who begins a handshake (RFC 5763 §5, RFC 8122 §5, RFC 4145 §4)."""
# RFC: 8122
# RFC: 5763

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.core.limits import FINGERPRINTS_PER_MEDIA
from sbc.sdp.dtls import read_dtls, write_dtls
from sbc.sdp.security import DtlsSetup

SHA_256 = ":".join(["AB"] * 32)
SHA_512 = ":".join(["CD"] * 64)
TLS_ID = "abc3de65cddef001be82"


def read(*lines, session=()):
    def said(of):
        values = {}
        for line in of:
            name, _, value = line.partition(":")
            values.setdefault(name, []).append(value)
        return values

    return read_dtls(said(lines), said(session))


def test_a_fingerprint_of_the_stream_goes_before_that_of_the_session():
    found = read(f"fingerprint:sha-256 {SHA_256}", "setup:active", session=[f"fingerprint:sha-512 {SHA_512}"])
    assert found == DtlsSetup((("sha-256", SHA_256),), "active")


def test_what_the_session_says_counts_for_a_stream_that_says_nothing():
    found = read(session=[f"fingerprint:SHA-256 {SHA_256.lower()}", "setup:actpass", f"tls-id:{TLS_ID}"])
    assert found == DtlsSetup((("sha-256", SHA_256),), "actpass", TLS_ID)


def test_the_strongest_hash_counts_with_all_its_fingerprints():
    other = SHA_512.replace("CD", "EF")
    found = read(*[f"fingerprint:{one}" for one in (f"sha-256 {SHA_256}", f"sha-512 {SHA_512}", f"sha-512 {other}")])
    assert found.fingerprints == (("sha-512", SHA_512), ("sha-512", other))


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["setup:active"],
        ["fingerprint:"],
        ["fingerprint:md5 " + ":".join(["AB"] * 16)],
        ["fingerprint:sha-1 " + ":".join(["AB"] * 20)],
        [f"fingerprint:sha-256 {SHA_256[:-3]}"],
        [f"fingerprint:sha-256 {SHA_256}:AB"],
        [f"fingerprint:sha-256 {SHA_256.replace(':', '')}"],
        [f"fingerprint:sha-256 {SHA_256}", "setup:whoever"],
        [f"fingerprint:sha-256 {SHA_256}", "setup:active", "setup:passive"],
        [f"fingerprint:sha-256 {SHA_256}", "tls-id:short"],
        [f"fingerprint:sha-256 {SHA_256}"] * 9,
        [f"fingerprint:sha-256 {SHA_256}", "fingerprint:nonsense"],
    ],
)
def test_what_cannot_be_used(lines):
    assert read(*lines) is None


@given(st.binary(min_size=32, max_size=32), st.sampled_from(["active", "passive", "actpass", "holdconn", ""]))
def test_what_is_written_is_read_again(digest, setup):
    dtls = DtlsSetup((("sha-256", digest.hex(":").upper()),), setup, TLS_ID)
    assert read(*[line.removeprefix("a=") for line in write_dtls(dtls)]) == dtls


@given(st.dictionaries(st.sampled_from(["fingerprint", "setup", "tls-id"]), st.lists(st.text(max_size=80), min_size=1)))
def test_nothing_is_raised_whatever_comes(said):
    read_dtls(said, said)


# BOUND: FINGERPRINTS_PER_MEDIA
def test_only_so_many_fingerprints_are_read():
    lines = [f"fingerprint:sha-256 {':'.join([f'{n:02X}'] * 32)}" for n in range(FINGERPRINTS_PER_MEDIA + 1)]
    assert len(read(*lines[1:], "setup:active").fingerprints) == FINGERPRINTS_PER_MEDIA
    found = read(*lines, "setup:active")
    assert found is None or found.fingerprints == ()
