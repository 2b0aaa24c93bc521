"""Calls that the PBX, the carrier or a disaster plan has sent on, and how that is told without showing the inside."""
# RFC: 5806, 6044, 7044

from sbc.b2bua.events import DrillOrdered
from sbc.sip.parse import parse_message
from sbc.testing.world import DID, FAR, OUTSIDE, POLICY

BOB = "+14155550102"
FOREIGN = "+12125550123"
MOBILE = "+14155559999"
INNER = "pbx-77.office.internal"
OWNED = 'dids: ["+14155550100-+14155550199"]'
SCREENED = POLICY.replace(OWNED, f"{OWNED}, caller_id: {{mode: screen, on_fail: reject}}")


def told(sbc, phone):
    """From without tag, and how the last INVITE tells of what happened before it."""
    sent = [data for data in sbc.net.sent_to(phone.name) if data.startswith(b"INVITE")]
    invite = parse_message(sent[-1], stream=False)
    from_ = str(invite.header("From")).partition(";tag=")[0]
    return from_, invite.header("P-Asserted-Identity"), invite.headers("Diversion"), invite.headers("History-Info")


def test_a_pbx_forwards_a_foreign_caller_with_a_diversion(world):
    sbc = world(SCREENED)
    office, carrier = sbc.office(), sbc.carrier()
    said = (("Diversion", f'"Bob" <sip:{BOB}@{INNER}:5060>;reason=no-answer;counter=1;privacy=off;ext={INNER}'),)
    office.invites(FAR, caller=FOREIGN, fields=said)
    carrier.answers()
    office.hangs_up()
    assert told(sbc, carrier) == (
        f"<sip:{FOREIGN}@198.51.100.7>",
        f"<sip:{BOB}@198.51.100.7>",
        [f"<sip:{BOB}@198.51.100.7>;reason=no-answer;counter=1;privacy=off"],
        [],
    )
    assert sbc.idle()


def test_a_pbx_forwards_a_foreign_caller_with_a_history(world):
    sbc = world(SCREENED)
    office, carrier = sbc.office(), sbc.carrier()
    said = (
        ("History-Info", f"<sip:{BOB}@{INNER}?Reason=SIP%3Bcause%3D302%3Btext%3D%22by%20{INNER}%22>;index=1"),
        ("History-Info", f"<sip:{FAR}@10.0.0.5;cause=302>;index=1.1;mp=1"),
    )
    office.invites(FAR, caller=FOREIGN, fields=said)
    carrier.answers()
    office.hangs_up()
    assert told(sbc, carrier) == (
        f"<sip:{FOREIGN}@198.51.100.7>",
        f"<sip:{BOB}@198.51.100.7>",
        [],
        [
            f"<sip:{BOB}@198.51.100.7?Reason=SIP%3Bcause%3D302>;index=1",
            f"<sip:{FAR}@198.51.100.7;cause=302>;index=1.1;mp=1",
        ],
    )
    assert sbc.idle()


def test_a_foreign_caller_that_nobody_here_has_forwarded_is_refused(world):
    sbc = world(SCREENED)
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR, caller=FOREIGN, fields=(("Diversion", f"<sip:{MOBILE}@{INNER}>;reason=unconditional"),))
    assert office.got(403)
    assert not carrier.heard
    assert sbc.idle()


def test_a_carrier_tells_the_pbx_who_forwarded_the_call(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    said = (
        ("Diversion", "<sip:+12125550199@switch-3.carrier.net>;reason=user-busy;privacy=full"),
        ("Diversion", "<tel:+12125550198>;reason=deflection;counter=2"),
    )
    carrier.invites(DID, caller=FOREIGN, fields=said)
    office.answers()
    carrier.hangs_up()
    assert told(sbc, office)[2] == [
        "<sip:anonymous@anonymous.invalid>;reason=user-busy;privacy=full",
        "<sip:+12125550198@10.0.0.1>;reason=deflection;counter=2",
    ]
    assert sbc.idle()


def test_a_disaster_plan_forwards_with_the_did_as_diverter(world):
    sbc = world(
        POLICY.replace(
            "routes:\n",
            "  spare: {interface: outside, servers: ['sip:198.51.100.8:5060'], domain: spare.example,"
            " numbers: {caller: e164-bare}}\nroutes:\n",
        ).replace("to: dids}", 'to: dids, disaster: [{forward: "+14155559999", via: [spare]}]}')
    )
    office, carrier = sbc.office(), sbc.carrier()
    spare = sbc.phone("second.carrier.net", "198.51.100.8:5060", through=OUTSIDE)
    sbc.tell(DrillOrdered("office", on=True))
    carrier.invites(BOB, caller=FOREIGN, fields=(("Diversion", "<sip:+12125550199@x.carrier.net>;counter=2"),))
    spare.answers()
    carrier.hangs_up()
    assert spare.call.called == MOBILE
    assert told(sbc, spare) == (
        "<sip:12125550123@spare.example>",
        "<sip:14155550102@spare.example>",
        [
            "<sip:14155550102@spare.example>;reason=out-of-service;counter=1",
            "<sip:12125550199@spare.example>;counter=2",
        ],
        ["<sip:14155550102@spare.example>;index=1", f"<sip:{MOBILE}@spare.example;cause=404>;index=1.1;mp=1"],
    )
    assert not office.got("INVITE")
    assert sbc.cdr.only.disaster
    assert sbc.idle()
