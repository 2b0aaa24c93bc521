"""The test vectors of RFC 3711 Appendix B and RFC 7714 §16 and §17."""
# RFC: 3711, 7714

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from sbc.media.worker.srtp_cipher import FORGED, CounterMode, Gcm
from sbc.media.worker.srtp_keys import SessionKeys, derived, session_keys
from sbc.media.worker.srtp_suite import SUITES

MASTER = bytes.fromhex("E1F97A0D3E018BE0D64FA32C06DE4139")
SALT = bytes.fromhex("0EC675AD498AFEEBB6960B3AABE6")
AUTHENTICATION = """CEBE321F6FF7716B6FD4AB49AF256A15 6D38BAA48F0A0ACF3C34E2359E6CDBCE E049646C43D9327AD175578EF7227098
    6371C10C9A369AC2F94A8C5FBCDDDC25 6D6E919A48B610EF17C2041E47403576 6B68642C59BBFC2F34DB60DBDFB2"""
GALLIA = bytes.fromhex(
    "8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e697320646976697361 20696e2070617274657320747265 73".replace(
        " ", ""
    )
)
QUID = bytes.fromhex("517569642070726f2071756f")
SEALED = {
    16: """8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a 51c7d19b 36de3adf
    8833899d 7f27beb1 6a9152cf 765ee439 0cce""",
    32: """8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 b50b2a02 76ffae0f 1ba63799
    b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13""",
}

REPORT = bytes.fromhex(
    """81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef deadbeef deadbeef deadbeef
    deadbeef"""
)
SEALED_RTCP = {
    16: """81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 730d6fda 4ce09b46 86303ded
    0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4""",
    32: """81c8000d 4d617273 d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50 a2eaa5c1 110555be 8415f658 c61de047
    6f1b6fad 1d1eb30c 4446839f 57ff6f6c b26ac3be 800005d4""",
}


def test_keystream_of_counter_mode():
    """§B.2, by what is in use."""
    key = bytes.fromhex("2B7E151628AED2A6ABF7158809CF4F3C")
    salt = bytes.fromhex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD")
    one = CounterMode(SessionKeys(key, bytes(20), salt), 10)
    stream = memoryview(bytearray(1_044_512 + 15))
    one._restart(one.base_of(0).to_bytes(16))
    one._stream(bytes(1_044_512), stream)
    assert stream[:48].hex() == (
        "e03ead0935c95e80e166b16dd92b4eb4d23513162b02d0f72a43a2fe4a5f97ab41e95b3bb0a2e8dd477901e4fca894c0"
    )
    assert stream[1_044_512 - 48 : 1_044_512].hex() == (
        "ec8cdf7398607cb0f2d21675ea9ea1e4362b7c3c6773516318a077d7fc5073ae6a2cc3787889374fbeb4c81b17ba6c44"
    )


def test_key_derivation():
    """§B.3."""
    assert derived(MASTER, SALT, 0, 16).hex().upper() == "C61E7A93744F39EE10734AFE3FF7A087"
    assert derived(MASTER, SALT, 2, 14).hex().upper() == "30CBBC08863D8C85D49DB34A9AE1"
    assert derived(MASTER, SALT, 1, 94) == bytes.fromhex(AUTHENTICATION)
    keys = session_keys(SUITES["AES_CM_128_HMAC_SHA1_80"], MASTER + SALT, is_rtcp=False)
    assert keys == SessionKeys(derived(MASTER, SALT, 0, 16), derived(MASTER, SALT, 1, 20), derived(MASTER, SALT, 2, 14))


@pytest.mark.parametrize("octets", [16, 32])
def test_gcm_of_rtp(octets):
    """§16.1.1, §16.1.2, §16.2.1, §16.2.2."""
    one, sealed = Gcm(SessionKeys(bytes(range(octets)), b"", QUID), 16), bytes.fromhex(SEALED[octets])
    base, index = one.base_of(0x5501A0B2), 0xF17B
    assert one.seal(GALLIA, 12, base, index, b"") == sealed
    room = memoryview(bytearray(sealed))
    assert bytes(room[: one.open(room, len(sealed), 12, base, index, 0)]) == GALLIA
    room = memoryview(bytearray(sealed[:-1] + b"\0"))
    assert one.open(room, len(sealed), 12, base, index, 0) == FORGED


@pytest.mark.parametrize("octets", [16, 32])
def test_gcm_of_rtcp(octets):
    """§17.1, §17.2, and back."""
    one, sealed = Gcm(SessionKeys(bytes(range(octets)), b"", QUID), 16), bytes.fromhex(SEALED_RTCP[octets])
    base = one.base_of(0x4D617273)
    assert one.seal_rtcp(REPORT, 8, base, 0x5D4, b"") == sealed
    room = memoryview(bytearray(sealed))
    assert bytes(room[: one.open_rtcp(room, len(sealed), 8, base, 0x800005D4, 0)]) == REPORT


def test_a_master_key_of_another_length_is_none():
    with pytest.raises(ValueError, match="length"):
        session_keys(SUITES["AEAD_AES_256_GCM"], MASTER + SALT, is_rtcp=False)


def test_keys_are_not_shown():
    assert MASTER.hex() not in repr(SessionKeys(MASTER, b"", SALT))
    assert "***" in repr(SessionKeys(MASTER, b"", SALT))


def test_the_derivation_with_a_key_of_256_bits_is_aes_256():
    key, salt = bytes(range(32)), QUID
    x = (int.from_bytes(salt + b"\0\0") ^ 3 << 48) << 16
    stream = Cipher(algorithms.AES(key), modes.CTR(x.to_bytes(16))).encryptor()
    assert derived(key, salt, 3, 32) == stream.update(bytes(32))
