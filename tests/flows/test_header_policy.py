"""What of a message's header fields crosses a call, as the policy of both peers has it."""
# RFC: 3326, 7989

import pytest

from sbc.b2bua.events import HangUpOrdered
from sbc.sip.message import Request
from sbc.sip.parse import parse_message
from sbc.sip.serialize import serialize
from sbc.testing.build import request, response_to, sdp_of
from sbc.testing.byhand import ByHand
from sbc.testing.world import DID, FAR, OUTSIDE, POLICY

SUBJECT = ("Subject", "lunch")
CUSTOMER = ("X-Customer", "acme")
SECRET = ("X-Node", "rack 4")
SAID = (SUBJECT, CUSTOMER, SECRET)
PASSES = {"headers": {"pass": ["X-Customer", "P-Charge"]}}
UUID = "0123456789abcdef0123456789abcdef"
OTHER_UUID = "fedcba9876543210fedcba9876543210"


def heard(sbc, phone, what, status=None):
    """The last message of this method, or response to it, that was sent to a phone."""
    read = [parse_message(data, stream=False) for data in sbc.net.sent_to(phone.name)]
    found = [
        m
        for m in read
        if (isinstance(m, Request) and m.method == what if status is None else not isinstance(m, Request))
        and (status is None or (m.status == status and m.cseq.method == what))
    ]
    return found[-1]


def shown(message, *names):
    return [message.header(name) for name in names]


def ends(sbc, *, cause="normal", but=()):
    assert sbc.cdr.only.cause == cause
    return sbc.idle(but=but)


# --- pass, remove, add ------------------------------------------------------------------------------------------------


def test_what_policy_passes_crosses_in_every_message_of_a_call(world):
    sbc = world(peers={"office": {**PASSES, "methods": ["INVITE", "INFO"]}, "carrier": PASSES})
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR, fields=SAID)
    assert shown(heard(sbc, carrier, "INVITE"), "Subject", "X-Customer", "X-Node") == ["lunch", "acme", None]
    hand = ByHand(sbc, carrier)
    hand.replies(180, fields=(CUSTOMER, SECRET, ("P-Charge", "free")))
    assert shown(heard(sbc, office, "INVITE", 180), "X-Customer", "X-Node", "P-Charge") == ["acme", None, "free"]
    hand.replies(200, sdp=True, fields=(CUSTOMER, SECRET))
    assert shown(heard(sbc, office, "INVITE", 200), "X-Customer", "X-Node") == ["acme", None]
    carrier.wakes()
    office.requests("INFO", fields=(CUSTOMER, SECRET))
    info = hand.requests("INFO")
    assert shown(info[-1], "X-Customer", "X-Node") == ["acme", None]
    hand.replies(200, to=info[-1], fields=(CUSTOMER, SECRET))
    office.hangs_up(fields=(CUSTOMER, SECRET))
    assert shown(hand.requests("BYE")[-1], "X-Customer", "X-Node") == ["acme", None]
    hand.replies(200, to=hand.requests("BYE")[-1])
    assert sbc.idle(but=("phones", "complaints"))
    assert len(sbc.cdr) == 1


def test_in_a_refusal_too(world):
    sbc = world(peers={"carrier": PASSES})
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.refuses(486, fields=SAID)
    assert shown(heard(sbc, office, "INVITE", 486), "X-Customer", "X-Node") == ["acme", None]
    assert ends(sbc, cause="busy")


def test_in_a_reinvite_and_its_answer(world):
    sbc = world(peers={"office": PASSES, "carrier": PASSES})
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    carrier.changes(codecs=("PCMU",), fields=(CUSTOMER, SECRET))
    assert shown(heard(sbc, office, "INVITE"), "X-Customer", "X-Node") == ["acme", None]
    carrier.hangs_up(fields=(CUSTOMER, SECRET))
    assert shown(heard(sbc, office, "BYE"), "X-Customer", "X-Node") == ["acme", None]
    assert ends(sbc)


@pytest.mark.parametrize("caller", ["office", "carrier"])
def test_what_policy_removes_is_kept_from_a_peer(world, caller):
    removed = {"headers": {"remove": ["Subject", "Reason", "Diversion", "History-Info", "Session-ID"]}}
    sbc = world(peers={"office": removed, "carrier": removed})
    office, carrier = sbc.office(), sbc.carrier()
    one, other = (office, carrier) if caller == "office" else (carrier, office)
    diversion = ("Diversion", f"<sip:{DID}@pbx.example>;reason=away")
    one.invites(FAR if caller == "office" else DID, fields=(SUBJECT, diversion, ("Session-ID", UUID)))
    invite = heard(sbc, other, "INVITE")
    assert shown(invite, "Subject", "Diversion", "Session-ID") == [None, None, None]
    other.answers()
    other.hangs_up(fields=(("Reason", "Q.850;cause=31"),))
    assert heard(sbc, one, "BYE").header("Reason") is None
    assert ends(sbc)


def test_the_reason_of_a_refusal_can_be_removed(world):
    sbc = world(peers={"office": {"headers": {"remove": ["Reason"]}}})
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.refuses(486)
    assert heard(sbc, office, "INVITE", 486).header("Reason") is None
    assert ends(sbc, cause="busy")


def test_what_policy_adds_stands_in_what_a_peer_gets(world):
    sbc = world(peers={"carrier": {"headers": {"add": {"X-Trunk-Group": "7"}}}})
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    office.requests("INFO")
    office.hangs_up()
    for method in ("INVITE", "INFO", "BYE"):
        assert heard(sbc, carrier, method).header("X-Trunk-Group") == "7", method
    assert heard(sbc, office, "INVITE", 200).header("X-Trunk-Group") is None
    assert ends(sbc)


def test_also_in_what_nobody_on_the_other_side_has_said(world):
    added = {"headers": {"add": {"X-Trunk-Group": "7"}}}
    sbc = world(peers={"office": added, "carrier": added})
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    sbc.tell(HangUpOrdered(next(iter(sbc.switch.calls))))
    assert heard(sbc, carrier, "BYE").header("X-Trunk-Group") == "7"
    assert heard(sbc, office, "BYE").header("X-Trunk-Group") == "7"
    assert ends(sbc, cause="operator")


def test_and_in_responses(world):
    sbc = world(peers={"carrier": {"headers": {"add": {"X-Trunk-Group": "7"}}}})
    office, carrier = sbc.office(), sbc.carrier()
    carrier.invites(DID)
    office.rings()
    office.answers()
    office.hangs_up()
    for status in (180, 200):
        assert heard(sbc, carrier, "INVITE", status).header("X-Trunk-Group") == "7", status
    assert heard(sbc, carrier, "BYE").header("X-Trunk-Group") == "7"
    assert ends(sbc)


def test_each_target_of_a_hunt_gets_what_its_own_policy_says(world):
    policy = POLICY.replace(
        "routes:\n",
        "  spare: {interface: outside, servers: ['sip:198.51.100.8'], headers: {add: {X-Group: spare}}}\nroutes:\n",
    ).replace("via: [carrier]", "via: [carrier, spare]")
    sbc = world(policy, peers={"carrier": {"headers": {"add": {"X-Group": "carrier"}, "remove": ["Subject"]}}})
    office, carrier = sbc.office(), sbc.carrier()
    spare = sbc.phone("second.carrier.net", "198.51.100.8:5060", through=OUTSIDE)
    office.invites(FAR, fields=SAID)
    carrier.refuses(503)
    spare.answers()
    office.hangs_up()
    assert shown(heard(sbc, carrier, "INVITE"), "X-Group", "Subject") == ["carrier", None]
    assert shown(heard(sbc, spare, "INVITE"), "X-Group", "Subject") == ["spare", "lunch"]
    assert ends(sbc)


def test_a_value_that_tells_of_its_side_stays_behind_whatever_policy_says(world):
    sbc = world(peers={"office": {"headers": {"pass": ["X-*"]}}})
    office, carrier = sbc.office(), sbc.carrier()
    fields = (("X-Server", "10.0.0.5"), ("X-Name", "at pbx-77.office.internal"), ("X-Lan", "phone.local"), CUSTOMER)
    office.invites(FAR, fields=fields)
    carrier.answers()
    office.hangs_up()
    invite = heard(sbc, carrier, "INVITE")
    assert shown(invite, "X-Server", "X-Name", "X-Lan", "X-Customer") == [None, None, None, "acme"]
    assert ends(sbc)


# --- who we are -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("caller", ["office", "carrier"])
def test_user_agent_and_server_are_ours(world, caller):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    one, other = (office, carrier) if caller == "office" else (carrier, office)
    agent = ("User-Agent", f"{one.name}/3.1")
    one.invites(FAR if caller == "office" else DID, fields=(agent,))
    other.refuses(486, fields=(("Server", f"{other.name}/9"), ("Warning", f'399 {other.name} "busy"')))
    invite, refusal = heard(sbc, other, "INVITE"), heard(sbc, one, "INVITE", 486)
    assert one.name not in str(invite.fields)
    assert shown(refusal, "Warning") == [None]
    assert invite.header("User-Agent") == refusal.header("Server") is not None
    assert ends(sbc, cause="busy")


def test_policy_may_give_us_another_name(world):
    sbc = world(peers={"carrier": {"headers": {"add": {"User-Agent": "Acme 1", "Server": "Acme 2"}}}})
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    office.hangs_up()
    carrier.invites(DID)
    office.refuses(486, call=office.calls[-1])
    assert heard(sbc, carrier, "INVITE").header("User-Agent") == "Acme 1"
    assert heard(sbc, carrier, "BYE").header("User-Agent") == "Acme 1"
    assert heard(sbc, carrier, "INVITE", 486).header("Server") == "Acme 2"
    assert sbc.idle()


def test_a_conference_is_seen_to_be_one(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    hand = ByHand(sbc, carrier)
    asked = hand.requests("INVITE")[-1]
    mixer = f"sip:conf@{carrier.address}"
    answer = response_to(asked, 200, contact=mixer, body=sdp_of(carrier.address.host))
    params = b';isfocus;audio;q=0.5;+sip.instance="<urn:uuid:0001>";methods="INVITE"'
    sbc.inject(serialize(answer).replace(f"<{mixer}>".encode(), f"<{mixer}>".encode() + params), carrier)
    contact = heard(sbc, office, "INVITE", 200).header("Contact")
    assert contact.endswith(">;isfocus;audio")
    assert "10.0.0.1:5060" in contact
    office.hangs_up()
    hand.replies(200, to=hand.requests("BYE")[-1])
    assert ends(sbc, but=("phones",))


def test_a_conference_that_calls_is_seen_to_be_one_too(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    hand = ByHand(sbc, carrier)
    made = request(
        "INVITE", uri=f"sip:{DID}@203.0.113.1", to=f"sip:{DID}@203.0.113.1", sdp=True, source=carrier.address,
        contact=f"sip:conf@{carrier.address}", sender=f"sip:{FAR}@198.51.100.7",
    )  # fmt: skip
    sbc.inject(
        serialize(made).replace(b"<sip:conf@198.51.100.7:5060>", b"<sip:conf@198.51.100.7:5060>;isfocus"), carrier
    )
    office.answers()
    assert heard(sbc, office, "INVITE").header("Contact").endswith(">;isfocus")
    hand.sends("ACK", str(hand.heard[-1].contacts[0].uri), to_tag=hand.our_tag, sender=f"sip:{FAR}@198.51.100.7")
    office.hangs_up()
    hand.replies(200, to=hand.requests("BYE")[-1])
    assert ends(sbc, but=("phones",))


# --- Session-ID -------------------------------------------------------------------------------------------------------


def test_both_legs_have_one_session_id(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR, fields=(("Session-ID", f"{UUID};remote={'0' * 32}"),))
    assert heard(sbc, carrier, "INVITE").header("Session-ID") == f"{UUID};remote={'0' * 32}"
    carrier.answers(fields=(("Session-ID", f"{OTHER_UUID};remote={UUID}"),))
    assert heard(sbc, office, "INVITE", 200).header("Session-ID") == f"{OTHER_UUID};remote={UUID}"
    assert heard(sbc, carrier, "ACK").header("Session-ID") == f"{UUID};remote={OTHER_UUID}"
    carrier.requests("INFO", fields=(("Session-ID", f"{OTHER_UUID};remote={UUID}"),))
    assert heard(sbc, office, "INFO").header("Session-ID") == f"{OTHER_UUID};remote={UUID}"
    office.hangs_up(fields=(("Session-ID", f"{UUID};remote={OTHER_UUID}"),))
    assert heard(sbc, carrier, "BYE").header("Session-ID") == f"{UUID};remote={OTHER_UUID}"
    assert ends(sbc)


def test_who_has_none_gets_one_and_a_call_without_stays_without(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR, fields=(("Session-ID", f"{UUID};remote={'0' * 32}"),))
    carrier.answers()
    given = heard(sbc, office, "INVITE", 200).header("Session-ID")
    assert given.endswith(f";remote={UUID}")
    assert not given.startswith("0" * 32)
    office.hangs_up()
    office.invites(FAR)
    carrier.answers(call=carrier.calls[-1])
    office.hangs_up()
    assert heard(sbc, carrier, "INVITE").header("Session-ID") is None
    assert len(sbc.cdr) == 2
    assert sbc.idle()


# --- Reason -----------------------------------------------------------------------------------------------------------

REASONS = [
    ("Q.850;cause=17", "Q.850;cause=17"),
    ('Q.850;cause=31;text="at softswitch-3.carrier.net"', "Q.850;cause=31"),
    ('SIP;cause=200;text="Call completed elsewhere"', 'SIP;cause=200;text="Call completed elsewhere"'),
]


@pytest.mark.parametrize(("said", "told"), REASONS)
@pytest.mark.parametrize("leaver", ["caller", "callee"])
@pytest.mark.parametrize("caller", ["office", "carrier"])
def test_the_reason_of_a_bye_crosses(world, caller, leaver, said, told):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    one, other = (office, carrier) if caller == "office" else (carrier, office)
    one.invites(FAR if caller == "office" else DID)
    other.answers()
    one, other = (one, other) if leaver == "caller" else (other, one)
    one.hangs_up(fields=(("Reason", said),))
    reasons = heard(sbc, other, "BYE").headers("Reason")
    assert told in reasons
    assert sum(reason.startswith("Q.850") for reason in reasons) == 1
    assert sbc.cdr.only.ended_by == leaver
    assert ends(sbc)


@pytest.mark.parametrize(("said", "told"), REASONS)
def test_the_reason_of_a_refusal_crosses(world, said, told):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.refuses(603, fields=(("Reason", said),))
    assert told in heard(sbc, office, "INVITE", 603).headers("Reason")
    assert len(sbc.cdr) == 1
    assert sbc.idle()


@pytest.mark.parametrize(("said", "told"), REASONS)
def test_the_reason_of_a_cancel_crosses(world, said, told):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.rings()
    hand = ByHand(sbc, office)
    sent = next(one.data for one in sbc.net.log if one.sender == office.name and one.data.startswith(b"INVITE"))
    invite = parse_message(sent, stream=False)
    branch = str(invite.header("Via")).partition("branch=")[2].partition(";")[0]
    hand.sends(
        "CANCEL", invite.uri_text, call_id=invite.call_id, from_tag=invite.from_.tag, cseq=invite.cseq.number,
        sender=str(invite.from_.uri), branch=branch, fields=(("Reason", said),),
    )  # fmt: skip
    assert 200 in hand.statuses("CANCEL")
    assert told in ", ".join(heard(sbc, carrier, "CANCEL").headers("Reason"))
    assert hand.statuses()[-1] == 487
    office.wakes()
    assert sbc.cdr.only.cause == "cancelled"
    assert sbc.idle(but=("phones", "complaints"))


# --- who forwarded ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "diversions", "entries"),
    [("as-received", 1, 0), ("diversion", 1, 0), ("history-info", 0, 2), ("both", 1, 2)],
)
def test_how_a_forwarded_call_is_told_is_the_hearers_policy(world, wanted, diversions, entries):
    sbc = world(peers={"carrier": {"headers": {"forwarded": wanted}}})
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR, fields=(("Diversion", f"<sip:{DID}@10.0.0.5>;reason=no-answer"),))
    carrier.answers()
    office.hangs_up()
    invite = heard(sbc, carrier, "INVITE")
    assert (len(invite.headers("Diversion")), len(invite.headers("History-Info"))) == (diversions, entries)
    assert ends(sbc)
