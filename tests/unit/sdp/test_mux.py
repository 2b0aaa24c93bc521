import pytest

from sbc.sdp.anchor import anchor
from sbc.sdp.model import Connection, Media, Origin, Session
from sbc.sdp.mux import MUX, has_mux, muxed_streams, with_mux


def stream(*lines, formats=("0",), proto="RTP/AVP", port=4000):
    return Media("audio", port, proto, formats, None, lines)


@pytest.mark.parametrize(
    ("lines", "has"), [((MUX,), True), (("a=rtcp-mux-only",), True), (("a=rtcp:4001",), False), ((), False)]
)
def test_the_attribute_of_either_rfc(lines, has):
    assert has_mux(stream(*lines)) is has
    assert list(muxed_streams(Session("", "-", None, (), (stream(), stream(*lines))))) == ([1] if has else [])


@pytest.mark.parametrize(
    "media",
    [stream(port=0), stream(proto="udptl"), stream(formats=("0", "64")), stream(formats=("95",))],
)
def test_it_stands_where_rtp_and_rtcp_can_be_told_apart(media):
    assert with_mux([media], [0]) == [media]
    assert with_mux([stream(formats=("63", "96"))], [0])[0].lines == (MUX,)


def test_what_one_side_says_of_it_never_reaches_the_other():
    said = Session("", "-", Connection("IP4", "10.0.0.5"), (), (stream(MUX, "a=rtcp-mux-only"), stream()))
    told = anchor(said, Origin(1, 1, "203.0.113.1"), "203.0.113.1", [20000, 20002], [1])
    assert [media.lines for media in told.media] == [(), (MUX,)]
