"""How one protocol of one key protects octets: AES counter mode with HMAC-SHA1 (RFC 3711 §4), or AES-GCM (RFC 7714).

It is told the packet index and believes it: that none is used twice is `srtp_numbers`' and `srtp`'s. A `Protection` is
for SRTP or for SRTCP. Nothing is copied that need not be, because it runs for each packet: what is sealed goes into
a buffer of its own, what is opened is opened in place, once it has proved authentic.
"""

import hashlib
from hmac import compare_digest
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sbc.media.worker.srtp_keys import SessionKeys

FORGED: Final = -1

_BLOCK: Final = 64  # of SHA-1, octets
_INNER: Final = bytes(0x36 ^ n for n in range(256))  # RFC 2104 §2
_OUTER: Final = bytes(0x5C ^ n for n in range(256))
_ENCRYPTED: Final = 0x80  # the E flag, RFC 3711 §3.4
_INDEX_OCTETS: Final = 4


class Protection(Protocol):
    """`head`: octets that stay readable. `base`: of the source, from `base_of`. Sizes in octets, all without MKI.

    `seal` writes into `out` and returns how much; `open` leaves the plain packet in place and returns its size, or
    FORGED, and then the packet is as it was. The `rtcp` ones put E flag and index behind what they protect, and read
    it there. `trailer`: how far from the end these begin, without MKI.
    """

    trailer: int

    def base_of(self, ssrc: int) -> int: ...
    def seal(self, data: bytes | memoryview, out: memoryview, head: int, base: int, index: int, mki: bytes) -> int: ...
    def open(self, packet: memoryview, size: int, head: int, base: int, index: int, mki: int) -> int: ...
    def seal_rtcp(
        self, data: bytes | memoryview, out: memoryview, head: int, base: int, index: int, mki: bytes
    ) -> int: ...
    def open_rtcp(self, packet: memoryview, size: int, head: int, base: int, word: int, mki: int) -> int: ...


class CounterMode:
    """AES-CM and HMAC-SHA1. `tag`: how much of the HMAC is sent. The MKI stands before it, RFC 3711 §3.1."""

    __slots__ = ("_inner", "_outer", "_restart", "_salt", "_stream", "_tag", "trailer")

    def __init__(self, keys: SessionKeys, tag: int) -> None:
        stream = Cipher(algorithms.AES(keys.encryption), modes.CTR(bytes(16))).encryptor()
        self._stream, self._restart = stream.update_into, stream.reset_nonce
        self._salt = int.from_bytes(keys.salt) << 16
        self._tag = tag
        self.trailer = tag + _INDEX_OCTETS
        # Two states that are copied for each packet cost half of what `hmac` does.
        padded = keys.authentication.ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha1(padded.translate(_INNER), usedforsecurity=False)
        self._outer = hashlib.sha1(padded.translate(_OUTER), usedforsecurity=False)

    def base_of(self, ssrc: int) -> int:
        """ "IV = (k_s * 2^16) XOR (SSRC * 2^64) XOR (i * 2^16)" RFC 3711 §4.1.1, but for i."""
        return self._salt ^ ssrc << 64

    def seal(self, data: bytes | memoryview, out: memoryview, head: int, base: int, index: int, mki: bytes) -> int:
        size = len(data)
        out[:head] = data[:head]
        self._restart((base ^ index << 16).to_bytes(16))
        self._stream(data[head:], out[head:])
        return self._finish(out, size, (index >> 16).to_bytes(4), mki)

    def open(self, packet: memoryview, size: int, head: int, base: int, index: int, mki: int) -> int:
        tag = size - self._tag
        end = tag - mki
        if end < head or not self._is_authentic(packet, end, (index >> 16).to_bytes(4), tag):
            return FORGED
        self._restart((base ^ index << 16).to_bytes(16))
        body = packet[head:end]
        body[:] = self._decrypted(body)
        return end

    def seal_rtcp(self, data: bytes | memoryview, out: memoryview, head: int, base: int, index: int, mki: bytes) -> int:
        size = len(data)
        out[:head] = data[:head]
        self._restart((base ^ index << 16).to_bytes(16))
        self._stream(data[head:], out[head:])
        out[size : size + _INDEX_OCTETS] = (_ENCRYPTED << 24 | index).to_bytes(_INDEX_OCTETS)
        return self._finish(out, size + _INDEX_OCTETS, b"", mki)

    def open_rtcp(self, packet: memoryview, size: int, head: int, base: int, word: int, mki: int) -> int:
        tag = size - self._tag
        end = tag - mki - _INDEX_OCTETS
        if end < head or not self._is_authentic(packet, end + _INDEX_OCTETS, b"", tag):
            return FORGED
        if word >> 31:
            self._restart((base ^ (word & 0x7FFFFFFF) << 16).to_bytes(16))
            body = packet[head:end]
            body[:] = self._decrypted(body)
        return end

    def _decrypted(self, body: memoryview) -> bytearray:
        plain = bytearray(len(body) + 15)  # what `update_into` may ask for
        self._stream(body, plain)
        return plain[: len(body)]

    def _finish(self, out: memoryview, size: int, behind: bytes, mki: bytes) -> int:
        digest = self._digest(out[:size], behind)
        if mki:
            out[size : size + len(mki)] = mki
            size += len(mki)
        end = size + self._tag
        out[size:end] = digest[: self._tag]
        return end

    def _is_authentic(self, packet: memoryview, end: int, behind: bytes, tag: int) -> bool:
        return compare_digest(self._digest(packet[:end], behind)[: self._tag], packet[tag : tag + self._tag])

    def _digest(self, data: memoryview, behind: bytes) -> bytes:
        inner = self._inner.copy()
        inner.update(data)
        inner.update(behind)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()


class Gcm:
    """AES-GCM; its tag is part of the ciphertext, and the MKI stands behind (RFC 7714 §8.2, §9.2)."""

    __slots__ = ("_decrypt", "_encrypt", "_salt", "_tag", "trailer")

    def __init__(self, keys: SessionKeys, tag: int) -> None:
        cipher = AESGCM(keys.encryption)
        self._encrypt, self._decrypt = cipher.encrypt, cipher.decrypt
        self._salt = int.from_bytes(keys.salt)
        self._tag = tag
        self.trailer = _INDEX_OCTETS

    def base_of(self, ssrc: int) -> int:
        """Two zero octets, SSRC, ROC and SEQ (or two zero octets and the SRTCP index), with the salt, §8.1, §9.1."""
        return self._salt ^ ssrc << 48

    def seal(self, data: bytes | memoryview, out: memoryview, head: int, base: int, index: int, mki: bytes) -> int:
        end = len(data) + self._tag
        out[:head] = data[:head]
        out[head:end] = self._encrypt((base ^ index).to_bytes(12), data[head:], data[:head])
        if mki:
            out[end : end + len(mki)] = mki
        return end + len(mki)

    def open(self, packet: memoryview, size: int, head: int, base: int, index: int, mki: int) -> int:
        end = size - mki
        if end - self._tag < head:
            return FORGED
        try:
            plain = self._decrypt((base ^ index).to_bytes(12), packet[head:end], packet[:head])
        except InvalidTag:
            return FORGED
        packet[head : end - self._tag] = plain
        return end - self._tag

    def seal_rtcp(self, data: bytes | memoryview, out: memoryview, head: int, base: int, index: int, mki: bytes) -> int:
        word = (_ENCRYPTED << 24 | index).to_bytes(_INDEX_OCTETS)
        end = len(data) + self._tag
        out[:head] = data[:head]
        out[head:end] = self._encrypt((base ^ index).to_bytes(12), data[head:], bytes(data[:head]) + word)
        behind = word + mki
        out[end : end + len(behind)] = behind
        return end + len(behind)

    def open_rtcp(self, packet: memoryview, size: int, head: int, base: int, word: int, mki: int) -> int:
        end = size - mki - _INDEX_OCTETS
        left = end - self._tag
        if left < head:
            return FORGED
        readable = head if word >> 31 else left  # unencrypted: all of it is associated data, §9.3
        nonce = (base ^ word & 0x7FFFFFFF).to_bytes(12)
        known = bytes(packet[:readable]) + word.to_bytes(_INDEX_OCTETS)
        try:
            packet[readable:left] = self._decrypt(nonce, packet[readable:end], known)
        except InvalidTag:
            return FORGED
        return left
