"""Dialogs as data: route sets, targets, sequence numbers (RFC 3261 §12)."""

import pytest

from sbc.core.address import Address
from sbc.sip.dialog.dialog import Dialog, contact_uri, dialog_of_uac, dialog_of_uas
from sbc.sip.message import Request
from sbc.sip.parse import parse_message
from sbc.testing.build import request, response_to

MOVED = Address("192.0.2.44", 5060)
LOOSE = (("Record-Route", "<sip:p1;lr>, <sip:p2:5070;lr;x=y>"), ("Record-Route", "<sip:p3;lr>"))


def dialog(*routes, target="sip:b@192.0.2.9:5070;transport=udp"):
    made = Dialog("id", "ours", "theirs", "<sip:a@x>;tag=ours", "<sip:b@y>;tag=theirs", 7, 3, routes, target, "inside")
    made._find_next_hop()
    return made


def fields(message, name):
    return [value for key, value in message.fields if key == name]


# --- how dialogs are made ---------------------------------------------------------------------------------------------


def test_of_a_uas_the_route_set_is_record_route_in_order():
    made = dialog_of_uas(request("INVITE", fields=LOOSE, cseq=9), "ours", "inside")
    assert made.route_set == ("<sip:p1;lr>", "<sip:p2:5070;lr;x=y>", "<sip:p3;lr>")
    assert (made.call_id, made.local_tag, made.remote_tag) == ("call-1", "ours", "from-1")
    assert (made.local, made.remote) == (
        "<sip:+441632960001@192.0.2.1>;tag=ours",
        "<sip:1000@192.0.2.9>;tag=from-1",
    )
    assert (made.local_cseq, made.remote_cseq) == (0, 9)
    assert made.remote_target == "sip:192.0.2.9:5060"
    assert made.next_hop == "sip:p1;lr"


def test_of_a_uac_the_route_set_is_record_route_in_reverse():
    invite = request("INVITE", cseq=4)
    response = response_to(invite, 200, to_tag="theirs", contact="sip:b@192.0.2.77", fields=LOOSE)
    made = dialog_of_uac(invite, response, "outside")
    assert made.route_set == ("<sip:p3;lr>", "<sip:p2:5070;lr;x=y>", "<sip:p1;lr>")
    assert (made.local_tag, made.remote_tag) == ("from-1", "theirs")
    assert (made.local_cseq, made.remote_cseq) == (4, None)
    assert (made.remote_target, made.next_hop) == ("sip:b@192.0.2.77", "sip:p3;lr")


def test_a_peer_of_rfc_2543_without_tag_and_contact_has_an_empty_tag_and_is_reached_where_it_was():
    invite = parse_message(
        b"INVITE sip:b@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9\r\nFrom: <sip:a@192.0.2.9>\r\n"
        b"To: <sip:b@192.0.2.1>\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\n\r\n",
        stream=False,
    )
    made = dialog_of_uas(invite, "ours", "inside")
    assert (made.remote_tag, made.remote_target) == ("", "sip:a@192.0.2.9")


# --- requests within --------------------------------------------------------------------------------------------------


# RFC: 5630
def test_a_request_to_a_sips_uri_has_sips_routes_all_the_way():
    """§5.1.1: "the UAC MUST change the SIP URIs to SIPS URIs simply by changing the scheme"."""
    made = dialog("<sip:p1;lr>", "<sips:p2:5071;lr;x=y>", target="sips:b@192.0.2.9")
    assert fields(made.request("BYE"), "Route") == ["<sips:p1;lr>", "<sips:p2:5071;lr;x=y>"]
    made = dialog("<sip:p1;lr>", "<sips:p2;lr>")
    assert fields(made.request("BYE"), "Route") == ["<sip:p1;lr>", "<sips:p2;lr>"]


def test_a_request_carries_the_dialog_and_the_next_number():
    made = dialog()
    first, second = made.request("BYE", fields=(("Reason", "x"),)), made.request("INVITE", body=b"sdp")
    assert (first.method, first.uri_text) == ("BYE", "sip:b@192.0.2.9:5070;transport=udp")
    assert fields(first, "From") == ["<sip:a@x>;tag=ours"]
    assert fields(first, "To") == ["<sip:b@y>;tag=theirs"]
    assert fields(first, "Call-ID") == ["id"]
    assert fields(first, "Max-Forwards") == ["70"]
    assert fields(first, "Reason") == ["x"]
    assert (fields(first, "CSeq"), fields(second, "CSeq")) == (["8 BYE"], ["9 INVITE"])
    assert second.body == b"sdp"


def test_an_ack_has_the_number_of_its_invite_and_uses_none_up():
    made = dialog()
    assert fields(made.ack(5), "CSeq") == ["5 ACK"]
    assert fields(made.request("BYE"), "CSeq") == ["8 BYE"]


def test_without_routes_requests_go_to_the_target():
    made = dialog()
    assert (made.next_hop, made.strict) == ("sip:b@192.0.2.9:5070;transport=udp", False)
    assert fields(made.request("BYE"), "Route") == []


def test_through_a_loose_router_the_target_stays_in_the_request_uri():
    made = dialog("<sip:p1;lr>", "<sip:p2>")
    bye = made.request("BYE")
    assert (bye.uri_text, made.next_hop) == (made.remote_target, "sip:p1;lr")
    assert fields(bye, "Route") == ["<sip:p1;lr>", "<sip:p2>"]


def test_through_a_strict_router_the_target_goes_last_into_route():
    made = dialog("<sip:p1>", "<sip:p2;lr>")
    bye = made.request("BYE")
    assert (bye.uri_text, made.next_hop) == ("sip:p1", "sip:p1")
    assert fields(bye, "Route") == ["<sip:p2;lr>", f"<{made.remote_target}>"]


# --- what the peer changes --------------------------------------------------------------------------------------------


def test_a_target_refresh_moves_the_target_and_never_the_routes():
    made = dialog("<sip:p1;lr>")
    made.refresh_target(request("INVITE", source=MOVED))
    assert made.remote_target == "sip:192.0.2.44:5060"
    assert (made.route_set, made.next_hop) == (("<sip:p1;lr>",), "sip:p1;lr")
    plain = dialog()
    plain.refresh_target(request("INVITE", source=MOVED))
    assert plain.next_hop == "sip:192.0.2.44:5060"


def test_a_message_without_contact_leaves_the_target_alone():
    made = dialog()
    made.refresh_target(request("BYE", to_tag="ours"))
    assert made.remote_target == "sip:b@192.0.2.9:5070;transport=udp"


@pytest.mark.parametrize(
    ("contact", "uri"),
    [
        ("<sip:a@b;x=y>;expires=5", "sip:a@b;x=y"),
        ("sip:a@b;x=y", "sip:a@b"),
        ("<sips:a@b>, <sip:c@d>", "sips:a@b"),
        ("<sip:a@b;method=INVITE;lr?Route=%3Csip:evil%3E&Subject=x>", "sip:a@b;lr"),
        ("<tel:+14155550100>", None),
        ("<http://a>", None),
        ("*", None),
        ("", None),
    ],
)
def test_only_a_sip_contact_is_a_target_and_nothing_of_it_can_be_injected(contact, uri):
    made = Request("INVITE", "sip:x", (("Contact", contact),))
    assert contact_uri(made) == uri


def test_numbers_that_go_back_are_out_of_order():
    made = dialog()
    assert [made.is_in_order(request("BYE", cseq=n, to_tag="ours")) for n in (4, 4, 3, 9, 8)] == [
        True, True, False, True, False,
    ]  # fmt: skip


def test_the_first_number_of_a_peer_that_we_called_is_taken_as_it_is():
    invite = request("INVITE")
    made = dialog_of_uac(invite, response_to(invite, 200), "inside")
    assert made.is_in_order(request("BYE", cseq=7777, to_tag="x"))
    assert not made.is_in_order(request("BYE", cseq=7776, to_tag="x"))
