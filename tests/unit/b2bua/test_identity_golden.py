"""Whole INVITEs as trunks and PBXs get them: from the ingress INVITE through screening to what is sent."""

from sbc.b2bua.caller import screen, screen_emergency
from sbc.b2bua.hunt import Attempt
from sbc.b2bua.identity import contact_user, crossing_fields, egress_invite, parties_of
from sbc.policy.model import CallerId, Peer, Server, Target
from sbc.policy.numbers import NumberPlan
from sbc.sip.message import Request

INNER = "pbx-77.office.internal"
MAIN, ANN, BOB = "+14155550100", "+14155550101", "+14155550102"  # owned
FOREIGN, FAR, MOBILE = "+12125550123", "+442079460001", "+14155559999"
PLAN = NumberPlan("US")

CARRIER = Peer("carrier", "trunk", "outside", (Server("198.51.100.7", 5060),), domain="carrier.example")
NATIONAL = Peer("national", "trunk", "outside", (Server("198.51.100.9", 5070),), caller_form="national")
BARE = Peer("bare", "trunk", "outside", (Server("198.51.100.8", 5060),), caller_form="e164-bare")
BRANCH = Peer("branch", "pbx", "inside", (Server("10.0.0.6", 5060),))


def office(mode="screen", default=MAIN, on_fail="replace"):
    return Peer("office", "pbx", "inside", (), caller_id=CallerId(mode, default, on_fail))


def owns(number):
    return PLAN.read(number).e164.startswith("+141555501")


def invite(from_, *fields, called=FAR):
    always = (("Max-Forwards", "70"), ("From", f"{from_};tag=in"), ("To", f"<sip:{called}@{INNER}>"))
    return Request("INVITE", f"sip:{called}@10.0.0.1", (*always, *fields))


def sent(ingress, request, peer, *, called="", diverted_from="", emergency=False):
    """As text, from the request line to the last field that says who calls whom; Contact's user at the end."""
    parties = parties_of(request, ingress)
    if ingress.kind == "pbx":
        parties = (screen_emergency if emergency else screen)(parties, ingress, owns)
    bare = ingress.caller_form == "e164-bare"

    def write(number):
        return PLAN.write(PLAN.read(number, bare=bare), peer.caller_form)

    called = called or parties.called
    target = Target(peer, called, write(parties.caller), 180.0, called_e164=called, diverted_from=diverted_from)
    attempt = Attempt(target, peer.servers[0])
    made = egress_invite(
        attempt, parties, our_host="10.0.0.1", call_id="c", tag="t", body=b"", write=write, emergency=emergency,
        more=crossing_fields(request) if emergency else (),
    )  # fmt: skip
    assert INNER not in str(made.fields)
    lines = [f"{made.method} {made.uri_text}"]
    lines += [f"{name}: {value}" for name, value in made.fields if name not in ("Allow", "Call-ID", "CSeq")]
    lines.append(f"Contact user: {contact_user(target, parties, emergency=emergency)}")
    return "\n".join(lines)


def is_sent(actual, expected):
    assert actual.splitlines() == [line.strip() for line in expected.strip().splitlines()]


def test_a_plain_call():
    is_sent(
        sent(office(), invite(f'"Ann" <sip:{ANN}@{INNER}>'), CARRIER),
        """
        INVITE sip:+442079460001@carrier.example
        Max-Forwards: 69
        From: "Ann" <sip:+14155550101@carrier.example>;tag=t
        To: <sip:+442079460001@carrier.example>
        P-Asserted-Identity: <sip:+14155550101@carrier.example>
        Contact user: +14155550101
        """,
    )


def test_the_second_trunk_sees_itself_and_its_own_form_of_numbers():
    is_sent(
        sent(office(), invite(f'"Ann" <sip:{ANN}@{INNER}>', ("P-Asserted-Identity", f"<tel:{MAIN}>")), NATIONAL),
        """
        INVITE sip:+442079460001@198.51.100.9:5070
        Max-Forwards: 69
        From: "Ann" <sip:4155550101@198.51.100.9>;tag=t
        To: <sip:+442079460001@198.51.100.9:5070>
        P-Asserted-Identity: <sip:4155550100@198.51.100.9>
        Contact user: 4155550101
        """,
    )


def test_a_caller_who_asks_for_privacy():
    said = (("P-Asserted-Identity", f'"Ann" <sip:{ANN}@{INNER}>'), ("Privacy", "header;session;user;id;critical"))
    is_sent(
        sent(office(), invite(f'"Ann" <sip:{ANN}@{INNER}>', *said), CARRIER),
        """
        INVITE sip:+442079460001@carrier.example
        Max-Forwards: 69
        From: "Anonymous" <sip:anonymous@anonymous.invalid>;tag=t
        To: <sip:+442079460001@carrier.example>
        P-Asserted-Identity: <sip:+14155550101@carrier.example>
        Privacy: id
        Contact user: anonymous
        """,
    )


def test_an_anonymous_caller_is_vouched_for_by_the_default():
    is_sent(
        sent(office(), invite('"Anonymous" <sip:anonymous@anonymous.invalid>'), CARRIER),
        """
        INVITE sip:+442079460001@carrier.example
        Max-Forwards: 69
        From: "Anonymous" <sip:anonymous@anonymous.invalid>;tag=t
        To: <sip:+442079460001@carrier.example>
        P-Asserted-Identity: <sip:+14155550100@carrier.example>
        Privacy: id
        Contact user: anonymous
        """,
    )


def test_a_caller_who_forbids_privacy_services():
    is_sent(
        sent(office(), invite(f"<sip:{ANN}@{INNER}>", ("Privacy", "none")), CARRIER),
        """
        INVITE sip:+442079460001@carrier.example
        Max-Forwards: 69
        From: <sip:+14155550101@carrier.example>;tag=t
        To: <sip:+442079460001@carrier.example>
        P-Asserted-Identity: <sip:+14155550101@carrier.example>
        Privacy: none
        Contact user: +14155550101
        """,
    )


def test_a_screened_caller_shows_the_number_that_its_pbx_asserts():
    said = (("P-Asserted-Identity", f"<sip:{BOB}@{INNER}>"),)
    is_sent(
        sent(office(), invite(f'"Bob" <sip:201@{INNER}>', *said), CARRIER),
        """
        INVITE sip:+442079460001@carrier.example
        Max-Forwards: 69
        From: "Bob" <sip:+14155550102@carrier.example>;tag=t
        To: <sip:+442079460001@carrier.example>
        P-Asserted-Identity: <sip:+14155550102@carrier.example>
        Contact user: +14155550102
        """,
    )


def test_a_replaced_caller():
    is_sent(
        sent(office(), invite(f'"IRS" <sip:{FOREIGN}@{INNER}>', ("P-Asserted-Identity", f"<tel:{FOREIGN}>")), BARE),
        """
        INVITE sip:+442079460001@198.51.100.8:5060
        Max-Forwards: 69
        From: <sip:14155550100@198.51.100.8>;tag=t
        To: <sip:+442079460001@198.51.100.8:5060>
        P-Asserted-Identity: <sip:14155550100@198.51.100.8>
        Contact user: 14155550100
        """,
    )


def test_a_caller_made_anonymous():
    is_sent(
        sent(office(on_fail="anonymous"), invite(f'"IRS" <sip:{FOREIGN}@{INNER}>'), CARRIER),
        """
        INVITE sip:+442079460001@carrier.example
        Max-Forwards: 69
        From: "Anonymous" <sip:anonymous@anonymous.invalid>;tag=t
        To: <sip:+442079460001@carrier.example>
        P-Asserted-Identity: <sip:+14155550100@carrier.example>
        Privacy: id
        Contact user: anonymous
        """,
    )


def test_a_fixed_caller():
    is_sent(
        sent(office("fixed"), invite(f'"Acme" <sip:{ANN}@{INNER}>'), CARRIER),
        """
        INVITE sip:+442079460001@carrier.example
        Max-Forwards: 69
        From: "Acme" <sip:+14155550100@carrier.example>;tag=t
        To: <sip:+442079460001@carrier.example>
        P-Asserted-Identity: <sip:+14155550100@carrier.example>
        Contact user: +14155550100
        """,
    )


def test_a_caller_given_as_tel():
    is_sent(
        sent(office(), invite("<tel:+1-415-555-0101>"), CARRIER),
        """
        INVITE sip:+442079460001@carrier.example
        Max-Forwards: 69
        From: <sip:+14155550101@carrier.example>;tag=t
        To: <sip:+442079460001@carrier.example>
        P-Asserted-Identity: <sip:+14155550101@carrier.example>
        Contact user: +14155550101
        """,
    )


def test_a_caller_with_user_phone_and_separators():
    is_sent(
        sent(office(), invite(f"<sip:+1-415-555-0101;npdi@{INNER};user=phone>"), CARRIER),
        """
        INVITE sip:+442079460001@carrier.example
        Max-Forwards: 69
        From: <sip:+14155550101@carrier.example>;tag=t
        To: <sip:+442079460001@carrier.example>
        P-Asserted-Identity: <sip:+14155550101@carrier.example>
        Contact user: +14155550101
        """,
    )


def test_a_call_forwarded_by_the_pbx():
    said = (
        ("Diversion", f'"Bob" <sip:{BOB}@{INNER};user=phone>;reason=no-answer;counter=1;privacy=off;x={INNER}'),
        ("Diversion", f"<sip:ann@{INNER}>;reason=at-{INNER};counter=2"),
        ("History-Info", f"<sip:{BOB}@{INNER}?Reason=SIP%3Bcause%3D480%3Btext%3D%22at%20{INNER}%22>;index=1"),
        ("History-Info", f"<sip:{FAR}@{INNER};cause=408>;index=1.1;mp=1"),
    )
    is_sent(
        sent(office(), invite(f'"Zoe" <sip:{FOREIGN}@{INNER}>', *said), NATIONAL),
        """
        INVITE sip:+442079460001@198.51.100.9:5070
        Max-Forwards: 69
        From: "Zoe" <sip:2125550123@198.51.100.9>;tag=t
        To: <sip:+442079460001@198.51.100.9:5070>
        P-Asserted-Identity: <sip:4155550102@198.51.100.9>
        Diversion: <sip:4155550102@198.51.100.9>;reason=no-answer;counter=3;privacy=off
        History-Info: <sip:4155550102@198.51.100.9?Reason=SIP%3Bcause%3D480>;index=1
        History-Info: <sip:011442079460001@198.51.100.9;cause=408>;index=1.1;mp=1
        Contact user: 2125550123
        """,
    )


def test_a_call_forwarded_by_a_disaster_plan():
    is_sent(
        sent(
            BARE,
            invite('"Zoe" <sip:12125550123@198.51.100.8>', called=ANN),
            CARRIER,
            called=MOBILE,
            diverted_from=ANN,
        ),
        """
        INVITE sip:+14155559999@carrier.example
        Max-Forwards: 69
        From: "Zoe" <sip:+12125550123@carrier.example>;tag=t
        To: <sip:+14155559999@carrier.example>
        P-Asserted-Identity: <sip:+14155550101@carrier.example>
        Diversion: <sip:+14155550101@carrier.example>;reason=out-of-service;counter=1
        History-Info: <sip:+14155550101@carrier.example>;index=1
        History-Info: <sip:+14155559999@carrier.example;cause=404>;index=1.1;mp=1
        Contact user: +12125550123
        """,
    )


def test_an_anonymous_call_forwarded_by_a_disaster_plan_stays_anonymous():
    hidden = '"Anonymous" <sip:anonymous@anonymous.invalid>'
    said = (("P-Asserted-Identity", f"<sip:{FOREIGN}@198.51.100.7>"), ("Privacy", "id"))
    is_sent(
        sent(CARRIER, invite(hidden, *said, called=ANN), BARE, called=MOBILE, diverted_from=ANN),
        """
        INVITE sip:+14155559999@198.51.100.8:5060
        Max-Forwards: 69
        From: "Anonymous" <sip:anonymous@anonymous.invalid>;tag=t
        To: <sip:+14155559999@198.51.100.8:5060>
        P-Asserted-Identity: <sip:14155550101@198.51.100.8>
        Privacy: id
        Diversion: <sip:14155550101@198.51.100.8>;reason=out-of-service;counter=1
        History-Info: <sip:14155550101@198.51.100.8>;index=1
        History-Info: <sip:+14155559999@198.51.100.8;cause=404>;index=1.1;mp=1
        Contact user: anonymous
        """,
    )


def test_the_same_number_at_another_pbx_is_no_diversion():
    is_sent(
        sent(CARRIER, invite(f'"Zoe" <sip:{FOREIGN}@198.51.100.7>', called=ANN), BRANCH, diverted_from=ANN),
        """
        INVITE sip:+14155550101@10.0.0.6:5060
        Max-Forwards: 69
        From: "Zoe" <sip:+12125550123@10.0.0.1>;tag=t
        To: <sip:+14155550101@10.0.0.6:5060>
        Contact user: +12125550123
        """,
    )


def test_an_emergency_call():
    said = (
        ("P-Preferred-Identity", f"<sip:{BOB}@{INNER}>"),
        ("Privacy", "id;critical"),
        ("Geolocation", "<cid:where@example.com>;inserted-by=x, <no uri>, <https://lis.example.com/1>"),
        ("Geolocation-Routing", "yes"),
    )
    is_sent(
        sent(
            office(on_fail="reject"), invite(f'"Bob" <sip:201@{INNER}>', *said, called="911"), CARRIER, emergency=True
        ),
        """
        INVITE sip:911@carrier.example
        Max-Forwards: 69
        From: "Bob" <sip:+14155550102@carrier.example>;tag=t
        To: <sip:911@carrier.example>
        P-Asserted-Identity: <sip:+14155550102@carrier.example>
        Geolocation: <cid:where@example.com>;inserted-by=x
        Geolocation: <https://lis.example.com/1>
        Geolocation-Routing: yes
        Contact user: +14155550102
        """,
    )


def test_a_call_from_a_trunk_to_a_pbx():
    said = (("P-Asserted-Identity", f'"Zoe Z" <sip:12125550124@{INNER}>'), ("P-Preferred-Identity", "<tel:+1>"))
    is_sent(
        sent(BARE, invite(f'"Zoe" <sip:12125550123@{INNER}>', *said, called=ANN), BRANCH),
        """
        INVITE sip:+14155550101@10.0.0.6:5060
        Max-Forwards: 69
        From: "Zoe" <sip:+12125550123@10.0.0.1>;tag=t
        To: <sip:+14155550101@10.0.0.6:5060>
        P-Asserted-Identity: "Zoe" <sip:+12125550124@10.0.0.1>
        Contact user: +12125550123
        """,
    )


def test_a_call_from_a_trunk_keeps_its_privacy_and_loses_what_that_withholds():
    said = (("P-Asserted-Identity", f"<sip:{FOREIGN}@{INNER}>"), ("Privacy", "id;user;critical"))
    is_sent(
        sent(CARRIER, invite('"Anonymous" <sip:anonymous@anonymous.invalid>', *said, called=ANN), BRANCH),
        """
        INVITE sip:+14155550101@10.0.0.6:5060
        Max-Forwards: 69
        From: "Anonymous" <sip:anonymous@anonymous.invalid>;tag=t
        To: <sip:+14155550101@10.0.0.6:5060>
        Privacy: user;id;critical
        Contact user: anonymous
        """,
    )


def test_a_call_that_passes_from_trunk_to_trunk_keeps_the_identity():
    said = (("P-Asserted-Identity", f"<sip:{FOREIGN}@{INNER}>"),)
    is_sent(
        sent(CARRIER, invite(f"<sip:{FOREIGN}@{INNER}>", *said, called=ANN), BARE),
        """
        INVITE sip:+14155550101@198.51.100.8:5060
        Max-Forwards: 69
        From: <sip:12125550123@198.51.100.8>;tag=t
        To: <sip:+14155550101@198.51.100.8:5060>
        P-Asserted-Identity: <sip:12125550123@198.51.100.8>
        Contact user: 12125550123
        """,
    )
