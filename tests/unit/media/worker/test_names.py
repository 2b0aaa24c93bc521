import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.media.worker.names import hide_names

REF = b"call-1"
CNAME, TOOL, PRIV = 1, 6, 8
SENDER_REPORT = struct.pack("!BBHI", 0x80, 200, 6, 7) + bytes(20)


def item(kind: int, text: bytes) -> bytes:
    return bytes([kind, len(text)]) + text


def chunk(ssrc: int, *items: bytes) -> bytes:
    body = struct.pack("!I", ssrc) + b"".join(items) + b"\0"
    return body + bytes(-len(body) % 4)


def sdes(*chunks: bytes) -> bytes:
    body = b"".join(chunks)
    return struct.pack("!BBH", 0x80 | len(chunks), 202, len(body) // 4) + body


def hidden(packet: bytes, ref: bytes = REF) -> bytes:
    buffer = bytearray(packet + b"what was in the buffer before")
    hide_names(buffer, len(packet), ref)
    assert buffer[len(packet) :] == b"what was in the buffer before"
    return bytes(buffer[: len(packet)])


def test_a_cname_becomes_opaque_and_all_else_stays():
    packet = SENDER_REPORT + sdes(chunk(7, item(CNAME, b"reception@10.77.0.30")))

    out = hidden(packet)

    start = packet.index(b"reception")
    assert out[:start] == packet[:start]
    assert out[start : start + 20].isalnum()
    assert out[start : start + 20] != b"reception@10.77.0.30"
    assert out[start + 20 :] == packet[start + 20 :]


def test_streams_of_one_call_share_a_cname_and_those_of_two_calls_do_not():
    audio, video = (sdes(chunk(ssrc, item(CNAME, b"pbx@10.0.0.1"))) for ssrc in (1, 2))

    assert hidden(audio)[8:] == hidden(video)[8:]
    assert hidden(audio, b"call-1") != hidden(audio, b"call-2")


def test_every_chunk_and_every_kind_of_name_is_hidden():
    packet = sdes(
        chunk(1, item(CNAME, b"a@10.0.0.1"), item(TOOL, b"SecretPbx 7")),
        chunk(2, item(PRIV, b"\x04hostpbx-7.inside"), item(CNAME, b"b@10.0.0.1")),
    )

    out = hidden(packet)

    assert not any(secret in out for secret in (b"10.0.0.1", b"Secret", b"host", b"inside"))
    assert item(PRIV, b"\0" + b" " * 16) in out


@pytest.mark.parametrize("cut", range(8, 40))
def test_a_packet_that_ends_too_early_is_hidden_as_far_as_it_goes(cut: int):
    packet = sdes(chunk(7, item(CNAME, b"reception@pbx.inside.example")))[:cut]

    assert hidden(packet)[:10] == packet[:10]
    assert len(packet) <= 12 or hidden(packet)[10:14] != packet[10:14]


@given(st.binary(max_size=200))
def test_nothing_makes_it_stumble_or_grow(packet: bytes):
    assert len(hidden(packet)) == len(packet)


def test_empty_texts_stay_empty():
    packet = sdes(chunk(7, item(CNAME, b""), item(PRIV, b"")))

    assert hidden(packet) == packet


def test_why_somebody_leaves_is_nobodys_business():
    bye = struct.pack("!BBHII", 0x82, 203, 5, 7, 8) + b"\x0bpbx-7 downs"

    assert hidden(SENDER_REPORT + bye) == SENDER_REPORT + bye[:13] + b" " * 11
    assert hidden(bye[:12]) == bye[:12]


def test_a_full_description_of_31_sources_is_hidden_whole():
    packet = sdes(*[chunk(n, item(CNAME, b"pbx@10.0.0.1"), item(TOOL, b"SecretPbx 7")) for n in range(31)])

    assert len(hidden(packet)) == len(packet)
    assert not any(secret in hidden(packet) for secret in (b"10.0.0.1", b"Secret"))


@pytest.mark.parametrize(
    "bomb",
    [
        sdes(chunk(7, *[item(CNAME, b"a@10.0.0.1")] * 5000)),
        sdes(*[chunk(7, item(CNAME, b"a@10.0.0.1"), item(TOOL, b"10.0.0.1"))] * 31) * 20,
        b"\x9f\xca\0\0" * 16_000 + sdes(chunk(7, item(CNAME, b"a@10.0.0.1"))),
    ],
    ids=["texts", "chunks", "headers"],
)
def test_what_has_more_parts_than_reports_have_is_cut_off_before_them(bomb: bytes):
    """Each part costs a microsecond or two, and one packet could have thousands."""
    buffer = bytearray(SENDER_REPORT + bomb)

    left = hide_names(buffer, len(buffer), REF)

    assert len(SENDER_REPORT) <= left < len(SENDER_REPORT) + 2000
    assert b"10.0.0.1" not in buffer[:left]


def test_a_packet_that_begins_with_too_many_parts_does_not_cross():
    packet = bytearray(sdes(chunk(7, *[item(CNAME, b"a@10.0.0.1")] * 200)))

    assert hide_names(packet, len(packet), REF) == 0
