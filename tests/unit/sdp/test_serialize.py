from sbc.sdp.parse import parse_sdp
from sbc.sdp.serialize import serialize_sdp

from .offers import PHONE, session


def test_a_canonical_description_comes_out_as_it_went_in():
    wire = PHONE.replace("\n", "\r\n").encode()
    assert serialize_sdp(parse_sdp(wire)) == wire


def test_connection_stands_after_the_information_lines_on_both_levels():
    text = (
        "v=0\no=- 1 1 IN IP4 192.0.2.10\ns=-\ni=about\nu=http://example.com\ne=a@example.com\np=+1\n"
        "c=IN IP4 192.0.2.10\nb=AS:64\nt=0 0\na=x\n"
        "m=audio 4000 RTP/AVP 0\ni=sound\nc=IN IP4 192.0.2.11\nb=AS:64\na=y\n"
    )
    assert serialize_sdp(session(text)).decode() == text.replace("\n", "\r\n")


def test_lines_out_of_order_are_put_in_order():
    text = "v=0\nc=IN IP4 192.0.2.10\nt=0 0\ns=-\no=- 1 1 IN IP4 192.0.2.10\n"
    assert serialize_sdp(session(text)).decode().split("\r\n") == [
        "v=0",
        "o=- 1 1 IN IP4 192.0.2.10",
        "s=-",
        "c=IN IP4 192.0.2.10",
        "t=0 0",
        "",
    ]
