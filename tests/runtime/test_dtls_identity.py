"""The certificate of DTLS handshakes: made at the start, and without the library a policy that needs it is refused."""

import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sbc.core.errors import OperatorError
from sbc.policy.load import Source, parse_policy
from sbc.runtime import dtls_identity
from sbc.runtime.dtls_identity import make_identity, need_dtls
from sbc.sdp.dtls import read_dtls

WALL = 1_800_000_000.0
POLICY = """
interfaces: {net: {sip: [udp:127.0.0.1:5060], media: 127.0.0.1}}
trunks: {far: {interface: net, servers: "sip:127.0.0.2", srtp: {mode: %s, keying: %s}}}
"""


def policy(mode, keying):
    return parse_policy([Source("p.yaml", (POLICY % (mode, keying)).encode())])


@pytest.fixture
def without_pyopenssl(monkeypatch):
    monkeypatch.setattr(dtls_identity.importlib.util, "find_spec", lambda name: None)


# RFC: 8122
def test_the_fingerprint_is_that_of_the_certificate_and_the_key_is_its(ids):
    identity, (kind, value) = make_identity(ids, WALL)
    certificate = x509.load_pem_x509_certificate(identity.certificate.encode())
    assert value.replace(":", "").lower() == certificate.fingerprint(hashes.SHA256()).hex()
    assert read_dtls({"fingerprint": [f"{kind} {value}"]}, {}).fingerprints == ((kind, value),)
    key = serialization.load_pem_private_key(identity.key.encode(), None)
    assert key.public_key() == certificate.public_key()
    assert isinstance(key.curve, ec.SECP256R1)
    began = certificate.not_valid_before_utc
    assert began < dt.datetime.fromtimestamp(WALL, dt.UTC) < certificate.not_valid_after_utc
    assert "PRIVATE" not in repr(identity)


def test_every_start_has_a_certificate_of_its_own(ids):
    assert make_identity(ids, WALL)[1] != make_identity(ids, WALL)[1]


def test_without_the_library_there_is_none_and_who_needs_it_is_told(ids, without_pyopenssl):
    assert make_identity(ids, WALL) is None
    need_dtls(policy("required", "sdes"))
    need_dtls(policy("off", "dtls"))
    with pytest.raises(OperatorError, match=r"^p.yaml:3.*`keying: dtls` of far needs pyOpenSSL.*sbc\[dtls\]"):
        need_dtls(policy("optional", "[sdes, dtls]"))


def test_with_the_library_nothing_is_missing():
    need_dtls(policy("required", "dtls"))
