"""The certificate of DTLS handshakes: made once, and kept for the calls. Without the library a policy that needs it is
refused.
"""

import datetime as dt
import stat

import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sbc.core.errors import OperatorError
from sbc.policy.load import Source, parse_policy
from sbc.runtime import dtls_identity
from sbc.runtime.dtls_identity import FILE, KEPT_DAYS, keep_identity, make_identity, need_dtls, retire_identity
from sbc.sdp.dtls import read_dtls

WALL = 1_800_000_000.0
DAY = 86_400
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


def test_the_next_life_shows_the_same_one_and_nobody_else_can_read_it(ids, tmp_path):
    first = keep_identity(tmp_path, ids, WALL)
    assert keep_identity(tmp_path, ids, WALL + 5 * DAY) == first
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize(
    "text", ["", "nonsense", "é", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_one_that_cannot_be_read_gives_way_to_a_fresh_one_and_is_told(ids, tmp_path, text):
    (tmp_path / FILE).write_text(text, "utf-8")
    with structlog.testing.capture_logs() as lines:
        made = keep_identity(tmp_path, ids, WALL)
    assert [line["event"] for line in lines] == ["media.identity_not_read"]
    assert keep_identity(tmp_path, ids, WALL) == made


def test_a_key_of_another_certificate_is_not_taken(ids, tmp_path):
    one, other = make_identity(ids, WALL)[0], make_identity(ids, WALL)[0]
    (tmp_path / FILE).write_text(one.certificate + other.key, "ascii")
    assert keep_identity(tmp_path, ids, WALL)[0] not in (one, other)


def test_one_that_is_out_of_date_is_not_shown(ids, tmp_path):
    first = keep_identity(tmp_path, ids, WALL)
    assert keep_identity(tmp_path, ids, WALL + 4000 * DAY) != first


def test_one_that_cannot_be_kept_serves_all_the_same(ids, tmp_path):
    (tmp_path / FILE).mkdir()
    with structlog.testing.capture_logs() as lines:
        assert keep_identity(tmp_path, ids, WALL) is not None
    assert [line["event"] for line in lines] == ["media.identity_not_read", "media.identity_not_kept"]


def test_it_is_retired_after_a_month_and_not_before(ids, tmp_path):
    first = keep_identity(tmp_path, ids, WALL)
    retire_identity(tmp_path, WALL + (KEPT_DAYS - 1) * DAY)
    assert keep_identity(tmp_path, ids, WALL) == first
    retire_identity(tmp_path, WALL + KEPT_DAYS * DAY)
    assert keep_identity(tmp_path, ids, WALL) != first
    (tmp_path / FILE).unlink()
    retire_identity(tmp_path, WALL)


def test_each_that_is_made_is_another(ids):
    assert make_identity(ids, WALL)[1] != make_identity(ids, WALL)[1]


def test_without_the_library_there_is_none_and_who_needs_it_is_told(ids, without_pyopenssl):
    assert make_identity(ids, WALL) is None
    need_dtls(policy("required", "sdes"))
    need_dtls(policy("off", "dtls"))
    with pytest.raises(OperatorError, match=r"^p.yaml:3.*`keying: dtls` of far needs pyOpenSSL.*sbc\[dtls\]"):
        need_dtls(policy("optional", "[sdes, dtls]"))


def test_with_the_library_nothing_is_missing():
    need_dtls(policy("required", "dtls"))
