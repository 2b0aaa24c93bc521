"""Handshakes against OpenSSL itself, and against octets that are none."""
# RFC: 5764

import contextlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from sbc.media import wire
from sbc.media.worker.dtls import DATAGRAM_OCTETS, Handshake, Identity, datagrams
from sbc.testing.dtls import dtls_identity, fingerprint
from sbc.testing.srtp import CM_32, CM_80, GCM_128, GCM_256

OURS, THEIRS = dtls_identity("ours"), dtls_identity("theirs")
IDENTITY = Identity(OURS)


def handshake(*, active=False, suites=(CM_80,)):
    return Handshake(IDENTITY, wire.Dtls(active, (fingerprint(THEIRS),), suites))


def openssl(*, active, profiles=b"SRTP_AES128_CM_SHA1_80"):
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_tlsext_use_srtp(profiles)
    context.use_certificate(x509.load_pem_x509_certificate(THEIRS.certificate.encode()))
    context.use_privatekey(serialization.load_pem_private_key(THEIRS.key.encode(), None))
    context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
    link = SSL.Connection(context, None)
    link.set_connect_state() if active else link.set_accept_state()
    return link


def test_the_far_end_chooses_no_group_that_keeps_others_waiting():
    names = SSL.Connection(IDENTITY.context((CM_80,)), None).get_cipher_list()
    assert any(name.startswith("ECDHE-ECDSA") for name in names)
    assert not [name for name in names if name.startswith(("DHE", "ADH"))]


def turn(link, octets):
    """What OpenSSL says to these datagrams."""
    for datagram in octets:
        link.bio_write(datagram)
    with contextlib.suppress(SSL.WantReadError):
        link.do_handshake()
    try:
        return [link.bio_read(65_536)]
    except SSL.WantReadError:
        return []


@pytest.mark.parametrize("active", [True, False])
@pytest.mark.parametrize(
    ("suite", "profile", "octets"),
    [
        (CM_80, b"SRTP_AES128_CM_SHA1_80", (16, 14)),
        (CM_32, b"SRTP_AES128_CM_SHA1_32", (16, 14)),
        (GCM_128, b"SRTP_AEAD_AES_128_GCM", (16, 12)),
        (GCM_256, b"SRTP_AEAD_AES_256_GCM", (32, 12)),
    ],
)
def test_both_ends_export_the_same_keys(active, suite, profile, octets):
    ours, link = handshake(active=active, suites=(suite,)), openssl(active=not active, profiles=profile)
    waiting = ours.begin() if active else turn(link, [])
    for _ in range(10):
        if active:
            waiting = [one for data in turn(link, waiting) for one in ours.receive(data)]
        else:
            waiting = turn(link, [one for data in waiting for one in ours.receive(data)])
    assert (ours.error, ours.keys.suite) == ("", suite)
    key, salt = octets
    exported = link.export_keying_material(b"EXTRACTOR-dtls_srtp", 2 * (key + salt), None)
    client = exported[:key] + exported[2 * key : 2 * key + salt]
    server = exported[key : 2 * key] + exported[2 * key + salt :]
    assert ours.keys.send.key == (client if active else server)
    assert ours.keys.receive[0].key == (server if active else client)


@given(st.lists(st.binary(max_size=300), max_size=20), st.booleans())
@settings(max_examples=50)
def test_octets_that_are_no_handshake_break_nothing(octets, active):
    one = handshake(active=active)
    one.begin()
    for data in octets:
        one.receive(bytes((22,)) + data)
        one.tick()
        one.wait()
    assert one.keys is None


@given(st.integers(0, 5), st.integers(0, 5_000), st.integers(0, 255))
@settings(max_examples=50)
def test_a_handshake_that_was_tampered_with_breaks_nothing(flight, at, octet):
    ours, link = handshake(), openssl(active=True)
    waiting = turn(link, [])
    for n in range(6):
        if n == flight and waiting:
            octets = bytearray(waiting[0])
            octets[at % len(octets)] = octet
            waiting[0] = bytes(octets)
        answers = [one for data in waiting for one in ours.receive(data)]
        try:
            waiting = turn(link, answers)
        except SSL.Error:
            break
    assert ours.keys is None or not ours.error


def test_records_are_put_together_into_datagrams():
    record = b"\x16\xfe\xfd" + bytes(8) + (500).to_bytes(2) + bytes(500)
    assert datagrams(record * 5) == [record * 2, record * 2, record]
    assert all(len(one) <= DATAGRAM_OCTETS for one in datagrams(record * 5))
    assert datagrams(b"") == datagrams(b"\x16") == []


def test_what_openssl_makes_fits_into_datagrams():
    ours, link = handshake(), openssl(active=True)
    for data in turn(link, []):
        assert all(len(one) <= DATAGRAM_OCTETS for one in ours.receive(data))


def test_an_identity_is_not_shown():
    assert OURS.key not in repr(OURS)
    assert "PRIVATE" not in repr(wire.Configure("n", dtls=OURS))
