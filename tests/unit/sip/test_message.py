"""Messages as values: access by canonical name, typed views on first use."""

from sbc.sip.message import Request, Response
from sbc.sip.nameaddr import NameAddr, Star
from sbc.sip.uri import parse_uri

FIELDS = (
    ("Via", "SIP/2.0/UDP a;branch=1, SIP/2.0/TCP b;branch=2"),
    ("Via", "SIP/2.0/UDP c;branch=3"),
    ("From", "<sip:a@b>;tag=x"),
    ("To", "<sip:c@d>"),
    ("Call-ID", "abc"),
    ("CSeq", "1 INVITE"),
    ("Route", "<sip:p1;lr>, <sip:p2;lr>"),
    ("Record-Route", "<sip:r;lr>"),
    ("Contact", '"Smith, J" <sip:a@h>;q=0.5, <sip:a@i>'),
    ("Allow", "INVITE, ACK,, BYE,"),
    ("Require", "100rel"),
    ("Proxy-Require", "x"),
    ("Supported", ""),
    ("Accept", "application/sdp;level=1, text/*"),
    ("Content-Type", "Application / SDP ; charset=x"),
    ("Max-Forwards", "69"),
)
MESSAGE = Request("INVITE", "sip:c@d", FIELDS)


def test_fields_are_found_by_name():
    assert MESSAGE.header("Call-ID") == "abc"
    assert MESSAGE.header("Subject") is None
    assert MESSAGE.headers("Via") == [FIELDS[0][1], FIELDS[1][1]]
    assert MESSAGE.values("Allow") == ["INVITE", "ACK", "BYE"]
    assert MESSAGE.values("Subject") == []


def test_typed_views():
    assert MESSAGE.uri == parse_uri("sip:c@d")
    assert [via.branch for via in MESSAGE.vias] == ["1", "2", "3"]
    assert MESSAGE.via == MESSAGE.vias[0]
    assert (MESSAGE.from_.tag, MESSAGE.to.tag, MESSAGE.cseq.number) == ("x", None, 1)
    assert [str(route) for route in MESSAGE.routes] == ["<sip:p1;lr>", "<sip:p2;lr>"]
    assert [str(route) for route in MESSAGE.record_routes] == ["<sip:r;lr>"]
    assert MESSAGE.contacts == (
        NameAddr("Smith, J", parse_uri("sip:a@h"), (("q", "0.5"),)),
        NameAddr("", parse_uri("sip:a@i")),
    )
    assert (MESSAGE.allow, MESSAGE.supported) == (("INVITE", "ACK", "BYE"), ())
    assert (MESSAGE.require, MESSAGE.proxy_require) == (("100rel",), ("x",))
    assert MESSAGE.content_type == "application/sdp"
    assert MESSAGE.max_forwards == 69


def test_views_of_what_is_absent():
    empty = Response(200, "OK", ())
    assert (empty.contacts, empty.routes, empty.vias, empty.allow, empty.reason_header) == ((), (), (), (), ())
    assert (empty.max_forwards, empty.expires, empty.content_type) == (None, None, None)


def test_a_view_is_made_once():
    message = Request("INVITE", "sip:c@d", FIELDS)
    assert message.contacts is message.contacts
    assert message.via is message.via


def test_messages_do_not_share_their_views():
    one, other = Response(200, "OK", (("To", "<sip:a@b>"),)), Response(200, "OK", (("To", "<sip:c@d>"),))
    assert (str(one.to), str(other.to)) == ("<sip:a@b>", "<sip:c@d>")


def test_a_star_contact():
    assert Request("REGISTER", "sip:d", (("Contact", "*"),)).contacts == Star()


def test_expires_is_bounded_and_forgiving():
    values = ["60", "0", "4294967296", "9" * 5000, "x", "-1", "", "٣"]
    assert [Response(200, "OK", (("Expires", value),)).expires for value in values] == [
        60, 0, 2**32 - 1, 2**32 - 1, None, None, None, None,
    ]  # fmt: skip
