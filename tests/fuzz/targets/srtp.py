"""SRTP and SRTCP that are opened: nothing that was not made with the key is, and what was is opened once.

The first octet chooses a suite, RTP or RTCP, and the length of the MKI.
"""

from sbc.media.worker.srtp import Receiver, Sender
from sbc.media.worker.srtp_memory import Records
from sbc.testing.srtp import CM_32, CM_80, GCM_128, GCM_256, master_key, rtp_packet, sender_report

INSTRUMENTED = ("sbc.media.worker.srtp", "sbc.media.worker.srtp_cipher", "sbc.media.worker.srtp_numbers")
ACCEPTS = ()
SUITES = (CM_80, CM_32, GCM_128, GCM_256)
MKI = b"\0\0\0\1"


def _protected(n):
    suite = SUITES[n % 4]
    one = Sender(suite, master_key(suite, 1).key, Records(), is_resumed=False)
    mki = MKI if n & 8 else b""
    if n & 4:
        return bytes(one.protect_rtcp(sender_report(), mki))
    return bytes(one.protect(rtp_packet(7, payload=b"word" * 5), mki))


SOUND = {n: _protected(n) for n in range(16)}
SEEDS = tuple(bytes([n]) + packet for n, packet in SOUND.items())
WORDS = (b"\x90\x00", b"\xbe\xde\x00\x01", b"\x80\xc8", b"\x80\x00\x00\x00", MKI, b"\xff\xff")


RECORDS = Records()


def check(data):
    if not data:
        return
    n, packet = data[0] % 16, data[1:]
    suite = SUITES[n % 4]
    one = Receiver(suite, master_key(suite, 1).key, RECORDS)
    try:
        _open(one, packet, n)
    finally:
        RECORDS.give_back(one.owner)


def _open(one, packet, n):
    reads = one.open_rtcp if n & 4 else one.open
    octets = 4 if n & 8 else 0
    left = reads(memoryview(bytearray(packet)), len(packet), octets)
    assert left < len(packet)
    if left < 0:
        assert packet != SOUND[n]
        return
    # Of what was made with the key nothing may be another; the octets of the MKI are proved by nothing.
    assert _without_mki(packet, n) == _without_mki(SOUND[n], n)
    assert reads(memoryview(bytearray(packet)), len(packet), octets) < 0


def _without_mki(packet, n):
    if not n & 8:
        return packet
    if n % 4 >= 2:  # GCM: nothing comes after it, but SRTCP's index before it
        return packet[:-4]
    tag = 4 if n % 4 == 1 and not n & 4 else 10
    return packet[: -4 - tag] + packet[-tag:]
