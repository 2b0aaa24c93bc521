"""The SRTP suites that we speak, by their names in SDP (RFC 4568 §6.2, 7714 §14.2). Used by all of SRTP here."""

from typing import Final

from msgspec import Struct


class Suite(Struct, frozen=True):
    """Lengths in octets. `rtp_tag`, `rtcp_tag`: of the tag that is added to each packet. `is_aead`: RFC 7714."""

    key: int
    salt: int
    rtp_tag: int
    rtcp_tag: int
    is_aead: bool


SUITES: Final = {
    "AES_CM_128_HMAC_SHA1_80": Suite(16, 14, 10, 10, is_aead=False),
    # "the SRTCP authentication tag length … is 80 bits" here too, RFC 4568 §6.2.2
    "AES_CM_128_HMAC_SHA1_32": Suite(16, 14, 4, 10, is_aead=False),
    "AEAD_AES_128_GCM": Suite(16, 12, 16, 16, is_aead=True),
    "AEAD_AES_256_GCM": Suite(32, 12, 16, 16, is_aead=True),
}


def fits(suite: str, key: bytes) -> bool:
    """Whether that is a suite, and this the master key and salt of one."""
    one = SUITES.get(suite)
    return one is not None and len(key) == one.key + one.salt
