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


# One buffer for all packets that leave: each is sent before the next is made. What is cut often is cut once.
_OUT: Final = memoryview(bytearray(66_048))  # the largest datagram, and tag, index and MKI behind it
_RTP: Final = 12
_BODY: Final = _OUT[_RTP:]
_CUTS: Final = tuple(_OUT[:size] for size in range(1_600))


class Protection(Protocol):
    """`head`: octets that stay readable. `base`: of the source, from `base_of`. Sizes in octets.

    `seal` returns the packet as it leaves, in a buffer that the next one uses again; `open` leaves the plain packet in
    place and returns its size, or FORGED, and then the packet is as it was. There `mki` is how long that is. The `rtcp`
    ones put E flag and index behind what they protect, and read it there. `trailer`: how far from the end these begin,
    without MKI.
    """

    trailer: int

    def base_of(self, ssrc: int) -> int: ...
    def seal(self, data: bytes | memoryview, head: int, base: int, index: int, mki: bytes) -> memoryview: ...
    def open(self, packet: memoryview, size: int, head: int, base: int, index: int, mki: int) -> int: ...
    def seal_rtcp(self, data: bytes | memoryview, head: int, base: int, index: int, mki: bytes) -> memoryview: ...
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

    def seal(self, data: bytes | memoryview, head: int, base: int, index: int, mki: bytes) -> memoryview:
        self._encrypt(data, head, base, index)
        return self._finished(len(data), (index >> 16).to_bytes(4), mki)

    def open(self, packet: memoryview, size: int, head: int, base: int, index: int, mki: int) -> int:
        tag = size - self._tag
        end = tag - mki
        if end < head:
            return FORGED
        inner = self._inner.copy()
        inner.update(packet[:end])
        inner.update((index >> 16).to_bytes(4))
        outer = self._outer.copy()
        outer.update(inner.digest())
        if not compare_digest(outer.digest()[: self._tag], packet[tag:size]):
            return FORGED
        self._restart((base ^ index << 16).to_bytes(16))
        self._stream(packet[head:end], packet[head:])
        return end

    def seal_rtcp(self, data: bytes | memoryview, head: int, base: int, index: int, mki: bytes) -> memoryview:
        self._encrypt(data, head, base, index)
        size = len(data) + _INDEX_OCTETS
        _OUT[len(data) : size] = (_ENCRYPTED << 24 | index).to_bytes(_INDEX_OCTETS)
        return self._finished(size, b"", mki)

    def open_rtcp(self, packet: memoryview, size: int, head: int, base: int, word: int, mki: int) -> int:
        tag = size - self._tag
        end = tag - mki - _INDEX_OCTETS
        if end < head:
            return FORGED
        digest = self._digest(packet[: end + _INDEX_OCTETS], b"")
        if not compare_digest(digest[: self._tag], packet[tag:size]):
            return FORGED
        if word >> 31:
            self._restart((base ^ (word & 0x7FFFFFFF) << 16).to_bytes(16))
            self._stream(packet[head:end], packet[head:])
        return end

    def _encrypt(self, data: bytes | memoryview, head: int, base: int, index: int) -> None:
        self._restart((base ^ index << 16).to_bytes(16))
        _OUT[:head] = data[:head]
        self._stream(data[head:], _BODY if head == _RTP else _OUT[head:])

    def _finished(self, size: int, behind: bytes, mki: bytes) -> memoryview:
        digest = self._digest(_CUTS[size] if size < len(_CUTS) else _OUT[:size], behind)
        if mki:
            _OUT[size : size + len(mki)] = mki
            size += len(mki)
        end = size + self._tag
        _OUT[size:end] = digest[: self._tag]
        return _CUTS[end] if end < len(_CUTS) else _OUT[:end]

    def _digest(self, data: bytes | memoryview, behind: bytes) -> bytes:
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

    def seal(self, data: bytes | memoryview, head: int, base: int, index: int, mki: bytes) -> memoryview:
        known = data[:head]
        sealed = self._encrypt((base ^ index).to_bytes(12), data[head:], known)
        end = head + len(sealed)
        _OUT[:head] = known
        _OUT[head:end] = sealed
        if mki:
            _OUT[end : end + len(mki)] = mki
            end += len(mki)
        return _CUTS[end] if end < len(_CUTS) else _OUT[:end]

    def open(self, packet: memoryview, size: int, head: int, base: int, index: int, mki: int) -> int:
        end = size - mki
        left = end - self._tag
        if left < head:
            return FORGED
        try:
            packet[head:left] = self._decrypt((base ^ index).to_bytes(12), packet[head:end], packet[:head])
        except InvalidTag:
            return FORGED
        return left

    def seal_rtcp(self, data: bytes | memoryview, head: int, base: int, index: int, mki: bytes) -> memoryview:
        word, known = (_ENCRYPTED << 24 | index).to_bytes(_INDEX_OCTETS), bytes(data[:head])
        packet = known + self._encrypt((base ^ index).to_bytes(12), data[head:], known + word) + word + mki
        _OUT[: len(packet)] = packet
        return _OUT[: len(packet)]

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
