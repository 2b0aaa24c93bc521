import pytest

from sbc.core.limits import FORMATS_PER_MEDIA, MEDIA_LINES, SDP_LINES, SDP_OCTETS
from sbc.sdp.model import Connection, SdpError
from sbc.sdp.parse import parse_sdp
from sbc.sdp.serialize import serialize_sdp

from .offers import PHONE, session, with_media

HEAD = b"v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n"
AUDIO = b"m=audio 4000 RTP/AVP 0\r\n"


def refusal(data: bytes) -> tuple[int, str]:
    with pytest.raises(SdpError) as caught:
        parse_sdp(data)
    return caught.value.status, caught.value.reason


def test_what_we_act_on_is_typed_and_the_rest_kept_in_order():
    offer = session(PHONE)
    (audio,) = offer.media

    assert offer.origin == "alice 2890844526 2890844526 IN IP4 192.0.2.10"
    assert offer.name == "a call"
    assert offer.connection == Connection("IP4", "192.0.2.10")
    assert offer.lines == ("t=0 0",)
    assert (audio.kind, audio.port, audio.proto, audio.formats) == ("audio", 49170, "RTP/AVP", ("0", "8", "101"))
    assert audio.connection is None
    assert audio.lines == (
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-16",
        "a=ptime:20",
    )


def test_lines_that_nobody_knows_are_kept_verbatim():
    offer = with_media("m=audio 4000 RTP/AVP 0", "q=what is this", "a=X-vendor:  two blanks", "a=flag")
    assert offer.media[0].lines == ("q=what is this", "a=X-vendor:  two blanks", "a=flag")


@pytest.mark.parametrize(
    "ending",
    [b"", b"\n", b"\r\n", b"\r\n\r\n", b"\n\n\n"],
)
def test_the_end_may_lack_a_line_end_or_have_blank_lines(ending):
    assert parse_sdp((HEAD + AUDIO).removesuffix(b"\r\n") + ending) == parse_sdp(HEAD + AUDIO)


def test_bare_lf_ends_a_line():
    assert parse_sdp(PHONE.encode()) == session(PHONE)


def test_missing_name_and_time_are_put_back():
    offer = parse_sdp(
        b"v=0\no=- 1 1 IN IP4 192.0.2.10\nc=IN IP4 192.0.2.10\nb=AS:64\na=tool:x\nm=audio 4000 RTP/AVP 0\n"
    )
    assert offer.name == "-"
    assert offer.lines == ("b=AS:64", "t=0 0", "a=tool:x")


def test_missing_time_with_nothing_after_it_is_put_at_the_end():
    assert parse_sdp(b"v=0\no=- 1 1 IN IP4 192.0.2.10\ni=x\n").lines == ("i=x", "t=0 0")


def test_session_without_connection_is_fine_when_each_stream_has_one():
    offer = with_media("m=audio 4000 RTP/AVP 0", "c=IN IP6 2001:db8::1", head="t=0 0")
    assert offer.connection is None
    assert offer.media[0].connection == Connection("IP6", "2001:db8::1")


def test_a_refused_stream_needs_no_connection():
    assert with_media("m=audio 0 RTP/AVP 0", head="t=0 0").media[0].port == 0


def test_a_stream_without_any_connection_is_an_error():
    assert refusal(HEAD.replace(b"c=IN IP4 192.0.2.10\r\n", b"") + AUDIO) == (400, "no c= line")


def test_a_refused_stream_may_lack_formats_and_gets_one():
    assert with_media("m=video 0 RTP/AVP").media[0].formats == ("0",)


def test_latin_1_is_read_where_text_is_not_utf_8():
    offer = parse_sdp(HEAD.replace(b"s=-", b"s=M\xfcller"))
    assert offer.name == "Müller"
    assert serialize_sdp(offer).decode() == HEAD.decode().replace("s=-", "s=Müller")


def test_blanks_at_the_end_of_a_line_are_dropped():
    offer = with_media("m=audio 4000 RTP/AVP 0 ", "a=sendonly \t", "b=AS:64 ", head="c=IN IP4 192.0.2.10 \nt=0 0 ")
    assert offer.lines == ("t=0 0",)
    assert offer.media[0].lines == ("a=sendonly", "b=AS:64")


def test_unicode_line_separators_are_no_line_ends():
    offer = parse_sdp(HEAD + AUDIO + "a=x:\u2028m=video 1 RTP/AVP 31\u0085a=y\r\n".encode())
    assert len(offer.media) == 1
    assert len(offer.media[0].lines) == 1


def test_blanks_before_the_equals_sign_are_repaired():
    session = parse_sdp(HEAD + b"m =video 3227 RTP/AVP 31\r\na\t=sendonly\r\na=x:1 =2\r\n")
    assert [media.kind for media in session.media] == ["video"]
    assert session.media[0].lines == ("a=sendonly", "a=x:1 =2")


def test_an_origin_user_with_a_blank_is_tolerated():
    assert parse_sdp(HEAD.replace(b"o=- ", b"o=John Doe ")).origin == "John Doe 1 1 IN IP4 192.0.2.10"


def test_one_port_said_aloud_is_one_port():
    assert with_media("m=audio 4000/1 RTP/AVP 0").media[0].port == 4000


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\r\n", id="blank"),
        pytest.param(b"v=1\r\no=- 1 1 IN IP4 192.0.2.10\r\n", id="another version"),
        pytest.param(HEAD.removeprefix(b"v=0\r\n"), id="no version"),
        pytest.param(AUDIO + HEAD, id="media first"),
        pytest.param(b"v=0\r\ns=-\r\nt=0 0\r\n", id="no origin"),
        pytest.param(HEAD.replace(b"o=- 1 1 IN IP4 192.0.2.10", b"o=- 1 1 IN IP4"), id="short origin"),
        pytest.param(HEAD + b"o=- 1 1 IN IP4 192.0.2.10\r\n", id="second origin"),
        pytest.param(HEAD + b"s=-\r\n", id="second name"),
        pytest.param(HEAD + b"c=IN IP4 192.0.2.11\r\n", id="second connection"),
        pytest.param(HEAD + b"v=0\r\n", id="second version"),
        pytest.param(HEAD.replace(b"c=IN IP4 192.0.2.10", b"c=IN IP4"), id="short connection"),
        pytest.param(HEAD.replace(b"c=IN IP4 192.0.2.10", b"c=IN IP4 1.2.3.4 5"), id="long connection"),
        pytest.param(HEAD.replace(b"c=IN IP4 192.0.2.10", b"c=IN IP4 " + b"a" * 256), id="endless host name"),
        pytest.param(HEAD.replace(b"c=IN IP4 192.0.2.10", "c=IN IP4 1٢.2.3.4".encode()), id="foreign digits in c="),
        pytest.param(HEAD + b"m=audio 4000 RTP/AVP\r\n", id="no format"),
        pytest.param(HEAD + b"m=audio 4000\r\n", id="no protocol"),
        pytest.param(HEAD + "m=audio 4٢00 RTP/AVP 0\r\n".encode(), id="foreign digits in m="),
        pytest.param(HEAD + b"\r\nm=audio 4000 RTP/AVP 0\r\n", id="blank line inside"),
        pytest.param(HEAD + b"just text\r\n", id="no type"),
        pytest.param(HEAD + b"A=x\r\n", id="capital type"),
        pytest.param(HEAD + b" a=x\r\n", id="blank before type"),
        pytest.param(HEAD + b"=x\r\n", id="no letter"),
        pytest.param(HEAD + b"a\r\n", id="letter alone"),
        pytest.param(HEAD + AUDIO + b"t=0 0\r\n", id="time below media"),
        pytest.param(HEAD + AUDIO + b"o=- 1 1 IN IP4 192.0.2.10\r\n", id="origin below media"),
        pytest.param(HEAD + b"a=x\x00y\r\n", id="NUL"),
        pytest.param(HEAD + b"a=x\x1by\r\n", id="escape"),
        pytest.param(HEAD + b"a=x\x7f\r\n", id="delete"),
        pytest.param(HEAD + b"a=x\ra=y\r\n", id="bare CR"),
    ],
)
def test_bad_syntax_is_400(data):
    assert refusal(data)[0] == 400


@pytest.mark.parametrize("port", ["65536", "100000", "9" * 5000, "-1", "+1", "", "4000/", "0x10", "1_0"])
def test_an_impossible_port_is_refused(port):
    assert refusal(HEAD + f"m=audio {port} RTP/AVP 0\r\n".encode())[0] in {400, 488}


def test_the_highest_port_is_a_port():
    assert with_media("m=audio 65535 RTP/AVP 0").media[0].port == 65535


# BOUND: SDP_OCTETS, SDP_LINES, MEDIA_LINES, FORMATS_PER_MEDIA
@pytest.mark.parametrize(
    "tail",
    [
        pytest.param(b"m=audio 49170/2 RTP/AVP 31\r\n", id="several ports"),
        pytest.param(AUDIO + b"c=IN IP4 224.2.1.1/127\r\nc=IN IP4 224.2.1.2/127\r\n", id="layered multicast"),
        pytest.param(AUDIO + b"c=TN RFC2543 +1-201-406-4090\r\n", id="telephone network"),
        pytest.param(AUDIO + b"c=IN IP5 1.2.3.4\r\n", id="another family"),
        pytest.param(AUDIO * (MEDIA_LINES + 1), id="m= lines"),
        pytest.param(b"m=audio 4000 RTP/AVP" + b" 0" * (FORMATS_PER_MEDIA + 1) + b"\r\n", id="formats"),
        pytest.param(b"a=x\r\n" * SDP_LINES, id="lines"),
        pytest.param(b"a=" + b"x" * SDP_OCTETS + b"\r\n", id="octets"),
    ],
)
def test_what_is_valid_but_beyond_us_is_488(tail):
    assert refusal(HEAD + tail)[0] == 488


# BOUND: SDP_LINES, MEDIA_LINES, FORMATS_PER_MEDIA
def test_bounds_are_inclusive():
    offer = parse_sdp(HEAD + (b"m=audio 4000 RTP/AVP" + b" 0" * FORMATS_PER_MEDIA + b"\r\n") * MEDIA_LINES)
    assert len(offer.media) == MEDIA_LINES
    assert len(offer.media[0].formats) == FORMATS_PER_MEDIA
    assert len(parse_sdp(HEAD + b"a=x\r\n" * (SDP_LINES - 5)).lines) == SDP_LINES - 4
