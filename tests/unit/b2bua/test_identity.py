"""Who calls whom, read from one INVITE and written into another; nothing else crosses."""
# RFC: 3323, 3325

import pytest

from sbc.b2bua.hunt import Attempt
from sbc.b2bua.identity import Parties, crossing_fields, egress_invite, escaped, parties_of
from sbc.core import limits
from sbc.policy.model import Peer, Server, Target
from sbc.sip.message import Request
from sbc.sip.nameaddr import parse_name_addr

PBX = Peer("office", "pbx", "inside", (Server("10.0.0.5", 5060),))
TRUNK = Peer("carrier", "trunk", "outside", (Server("198.51.100.7", 5070),), domain="carrier.example")


def _invite(uri="sip:+14155550100@10.0.0.1", *, to="<sip:200@pbx>", from_='"Ann" <sip:+12125550123@pbx>;tag=1', **more):
    fields = [("From", from_), ("To", to), *((name.replace("_", "-"), value) for name, value in more.items())]
    return Request("INVITE", uri, tuple(fields))


def _sent(target_peer, parties=None, called="+14155550100", caller="+12125550123", **more):
    parties = parties or Parties(called, caller, "Ann", 42)
    attempt = Attempt(Target(target_peer, called, caller, 180.0), target_peer.servers[0])
    defaults = {"our_host": "10.0.0.1", "call_id": "cid", "tag": "tg", "body": b""}
    return egress_invite(attempt, parties, **(defaults | more))


def test_called_number_comes_from_the_request_uri():
    assert parties_of(_invite(), PBX) == Parties("+14155550100", "+12125550123", "Ann", 70)


def test_called_number_comes_from_where_this_carrier_puts_it():
    in_to = Peer("t", "trunk", "o", (), called_from="to")
    in_header = Peer("t", "trunk", "o", (), called_from="p-called-party-id")
    assert parties_of(_invite(), in_to).called == "200"
    assert parties_of(_invite(P_Called_Party_ID="<sip:300@x>"), in_header).called == "300"
    assert parties_of(_invite(P_Called_Party_ID="<<<"), in_header).called == ""
    assert parties_of(_invite(), in_header).called == "+14155550100"


@pytest.mark.parametrize(
    ("uri", "called"),
    [
        ("tel:+1-415-555-0100", "+14155550100"),
        ("sip:+14155550100;npdi@10.0.0.1;user=phone", "+14155550100"),
        ("sip:sips%3Auser%40example.com@example.net", "sips:user@example.com"),
        ("sip:10.0.0.1", ""),
    ],
)
def test_called_number_is_the_user_part_without_parameters_and_escapes(uri, called):
    assert parties_of(_invite(uri), PBX).called == called


def test_max_forwards_counts_down_from_what_came():
    assert parties_of(_invite(Max_Forwards="12"), PBX).max_forwards == 12
    assert _sent(TRUNK).header("Max-Forwards") == "41"


def test_a_trunk_sees_its_domain_and_no_port():
    invite = _sent(TRUNK)
    assert invite.uri_text == "sip:+14155550100@carrier.example"
    assert invite.header("To") == "<sip:+14155550100@carrier.example>"
    assert invite.header("From") == '"Ann" <sip:+12125550123@carrier.example>;tag=tg'


def test_a_pbx_sees_its_own_address_and_ours():
    invite = _sent(PBX)
    assert invite.uri_text == "sip:+14155550100@10.0.0.5:5060"
    assert invite.header("From") == '"Ann" <sip:+12125550123@10.0.0.1>;tag=tg'


def test_a_caller_without_a_name_or_number_is_anonymous():
    assert _sent(TRUNK, caller="").header("From").startswith('"Anonymous" <sip:anonymous@anonymous.invalid>')
    assert _sent(TRUNK, caller="Anonymous").header("From").startswith('"Anonymous" <sip:anonymous@anonymous.invalid>')


@pytest.mark.parametrize("name", ['Q"uote', "back\\slash", "Zoë; tag=evil", '"><sip:evil@x>'])
def test_no_display_name_escapes_from_its_quotes(name):
    text = _sent(TRUNK, Parties("1", "2", name, 70)).header("From")
    parsed = parse_name_addr(text)
    assert parsed.display == name
    assert parsed.tag == "tg"


@pytest.mark.parametrize("user", ["a b", "x@y", "x;tag=1", "x>y", "x\r\nVia: y", "%41", "Zoë"])
def test_no_user_part_escapes_from_its_uri(user):
    assert escaped(user).isascii()
    assert not set(escaped(user)) & set(" @;<>\r\n")
    assert parse_name_addr(f"<sip:{escaped(user)}@h>").uri.user_text == user


def test_body_is_announced():
    assert _sent(TRUNK, body=b"v=0").header("Content-Type") == "application/sdp"
    assert _sent(TRUNK).header("Content-Type") is None


@pytest.mark.parametrize(
    ("display", "shown"),
    [
        ("Ann", "Ann"),
        ("Zoë 株式会社", "Zoë 株式会社"),
        ("A\x07n\x1bn\x85", "Ann"),
        ("\u202eevil\u2066", "evil"),
        ("x" * 200, "x" * 100),
        ("\x00", ""),
    ],
)
def test_a_display_name_is_kept_as_far_as_it_can_be_shown(display, shown):
    quoted = "".join(f"\\{char}" if char < " " else char for char in display)
    assert parties_of(_invite(from_=f'"{quoted}" <sip:1@x>;tag=1'), PBX).display == shown


@pytest.mark.parametrize(
    ("from_", "is_anonymous"),
    [
        ("<sip:anonymous@anonymous.invalid>", True),
        ("<sip:Anonymous@10.0.0.5>", True),
        ("<sip:unavailable@unknown.invalid>", True),
        ('"Anonymous" <sip:+12125550123@x>', False),
        ("<tel:+12125550123>", False),
        ("<sip:x>", False),
    ],
)
def test_who_is_anonymous(from_, is_anonymous):
    parties = parties_of(_invite(from_=f"{from_};tag=1"), PBX)
    assert parties.is_anonymous is is_anonymous
    assert (parties.caller == "anonymous") is is_anonymous


def test_a_registered_pbx_is_called_by_its_contact_and_path():
    target = Target(PBX, "+14155550100", "+12125550123", 180.0)
    attempt = Attempt(target, PBX.servers[0], uri="sip:+14155550100@10.9.9.9;transport=tcp", routes=("<sip:p;lr>",))
    invite = egress_invite(attempt, Parties("1", "2", "", 70), our_host="h", call_id="c", tag="t", body=b"")
    assert invite.uri_text == "sip:+14155550100@10.9.9.9;transport=tcp"
    assert invite.headers("Route") == ["<sip:p;lr>"]


def test_a_user_part_that_is_no_utf8_crosses_as_it_came():
    parties = parties_of(_invite("sip:a%FFb@x"), PBX)
    assert escaped(parties.called) == "a%FFb"


# BOUND: GEOLOCATION_VALUES
def test_where_a_caller_is_is_told_value_by_value():
    fields = (
        ("Geolocation", '"Home" <cid:a@x>;p=1, <not a uri>'),
        ("Geolocation", "<https://lis.example.com/1>"),
        ("Geolocation-Routing", "Maybe"),
        ("Geolocation-Error", "100"),
    )
    assert crossing_fields(Request("INVITE", "sip:911@x", fields)) == (
        ("Geolocation", "<cid:a@x>;p=1"),
        ("Geolocation", "<https://lis.example.com/1>"),
        ("Geolocation-Routing", "no"),
    )
    assert crossing_fields(_invite()) == ()
    many = Request("INVITE", "sip:911@x", tuple([("Geolocation", "<cid:a@x>")] * 50))
    assert len(crossing_fields(many)) == limits.GEOLOCATION_VALUES
