from sbc.sdp.describe import describe
from sbc.sdp.direction import Direction
from sbc.sdp.parse import parse_sdp
from sbc.sdp.serialize import serialize_sdp


def test_a_phone_describes_itself():
    assert serialize_sdp(describe("127.0.0.30", 7000)).decode().split("\r\n") == [
        "v=0",
        "o=- 1 1 IN IP4 127.0.0.30",
        "s=-",
        "c=IN IP4 127.0.0.30",
        "t=0 0",
        "m=audio 7000 RTP/AVP 0 8 101",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-16",
        "a=ptime:20",
        "a=sendrecv",
        "",
    ]


def test_codecs_beyond_the_static_ones_get_dynamic_numbers():
    audio, video = describe("::1", 7000, ("opus", "G722", "iLBC"), 7002, Direction.SENDONLY, version=3).media
    assert audio.formats == ("96", "9", "97")
    assert audio.lines[:3] == ("a=rtpmap:96 opus/48000/2", "a=rtpmap:9 G722/8000", "a=rtpmap:97 iLBC/8000")
    assert (video.kind, video.port, video.lines) == ("video", 7002, ("a=rtpmap:96 H264/90000", "a=sendonly"))


def test_what_is_described_can_be_parsed():
    described = describe("2001:db8::1", 7000, video_port=7002)
    assert parse_sdp(serialize_sdp(described)) == described
