"""Who a call shows to whom: screened, replaced, refused, hidden, and for each trunk of a hunt in its own words."""
# RFC: 3323, 3325

import pytest

from sbc.sip.parse import parse_message
from sbc.testing.world import DID, FAR, OUTSIDE, POLICY

ANN = "+14155550101"
FOREIGN = "+12125550123"
OWNED = 'dids: ["+14155550100-+14155550199"]'


def screened(rules='mode: screen, default: "+14155550100"'):
    return POLICY.replace(OWNED, f"{OWNED}, caller_id: {{{rules}}}")


def invites_to(sbc, phone):
    sent = [data for data in sbc.net.sent_to(phone.name) if data.startswith(b"INVITE")]
    return [parse_message(data, stream=False) for data in sent]


def identity(invite):
    """From without its tag, P-Asserted-Identity, Privacy."""
    return (
        str(invite.header("From")).partition(";tag=")[0],
        invite.header("P-Asserted-Identity"),
        invite.header("Privacy"),
    )


def test_a_did_of_the_pbx_is_shown_and_vouched_for(world):
    sbc = world(screened())
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR, caller=ANN)
    carrier.answers()
    office.hangs_up()
    [invite] = invites_to(sbc, carrier)
    assert identity(invite) == (f"<sip:{ANN}@198.51.100.7>", f"<sip:{ANN}@198.51.100.7>", None)
    assert sbc.cdr.only.caller == ANN
    assert sbc.idle()


@pytest.mark.parametrize("caller", [FOREIGN, "201", "ann"])
def test_another_caller_is_replaced_and_the_ladder_says_so(world, caller):
    sbc = world(screened())
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR, caller=caller)
    carrier.answers()
    office.hangs_up()
    [invite] = invites_to(sbc, carrier)
    assert identity(invite) == (f"<sip:{DID}@198.51.100.7>", f"<sip:{DID}@198.51.100.7>", None)
    assert caller not in str(invite.fields).replace("+442079460001", "")
    notes = [str(entry) for entry in sbc.switch.trace.entries(sbc.cdr.only.ref)]
    assert any(f"caller {caller} is no DID of office" in note for note in notes)
    assert sbc.cdr.only.caller == DID
    assert sbc.idle()


def test_another_caller_is_refused(world):
    sbc = world(screened("mode: screen, on_fail: reject"))
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR, caller=FOREIGN)
    assert office.got(403)
    assert not carrier.heard
    record = sbc.cdr.only
    assert (record.cause, record.sip_status, record.caller) == ("rejected", 403, FOREIGN)
    assert sbc.idle()


def test_another_caller_is_shown_to_nobody(world):
    sbc = world(screened('mode: screen, on_fail: anonymous, default: "+14155550100"'))
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR, caller=FOREIGN)
    carrier.answers()
    office.hangs_up()
    [invite] = invites_to(sbc, carrier)
    hidden = '"Anonymous" <sip:anonymous@anonymous.invalid>'
    assert identity(invite) == (hidden, f"<sip:{DID}@198.51.100.7>", "id")
    assert FOREIGN not in str(invite.fields)
    assert sbc.idle()


@pytest.mark.parametrize(
    ("caller", "fields"),
    [
        (ANN, (("Privacy", "id"),)),
        (ANN, (("Privacy", "user;header;session;critical"),)),
        ("anonymous", (("P-Asserted-Identity", f"<sip:{ANN}@pbx-77.office.internal>"), ("Privacy", "id"))),
        ("anonymous", (("P-Preferred-Identity", f"<tel:{ANN}>"),)),
    ],
)
def test_who_hides_his_number_is_known_to_the_trunk_alone(world, caller, fields):
    sbc = world(screened())
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR, caller=caller, fields=fields)
    carrier.answers()
    office.hangs_up()
    [invite] = invites_to(sbc, carrier)
    assert identity(invite) == (
        '"Anonymous" <sip:anonymous@anonymous.invalid>', f"<sip:{ANN}@198.51.100.7>", "id"
    )  # fmt: skip
    elsewhere = [value for name, value in invite.fields if name != "P-Asserted-Identity"]
    assert ANN not in " ".join(elsewhere)  # Contact included
    assert all(ANN.encode() not in data for data in sbc.net.sent_to(carrier.name) if not data.startswith(b"INVITE"))
    assert sbc.idle()


def test_each_trunk_of_a_hunt_has_an_identity_of_its_own(world):
    sbc = world(
        screened()
        .replace('["sip:198.51.100.7:5060"]', '["sip:198.51.100.7:5060"], domain: first.example')
        .replace(
            "routes:\n",
            "  spare: {interface: outside, servers: ['sip:198.51.100.8:5060'], numbers: {caller: e164-bare}}\n"
            "routes:\n",
        )
        .replace("via: [carrier]", "via: [carrier, spare]")
    )
    office, first = sbc.office(), sbc.carrier()
    second = sbc.phone("second.carrier.net", "198.51.100.8:5060", through=OUTSIDE)
    office.invites(FAR, caller="201", fields=(("P-Asserted-Identity", f"<sip:{ANN}@10.0.0.5>"),))
    first.refuses(503)
    second.answers()
    office.hangs_up()
    [one], [other] = invites_to(sbc, first), invites_to(sbc, second)
    assert identity(one) == (f"<sip:{ANN}@first.example>", f"<sip:{ANN}@first.example>", None)
    assert identity(other) == ("<sip:14155550101@198.51.100.8>", "<sip:14155550101@198.51.100.8>", None)
    assert "first.example" not in str(other.fields)
    assert sbc.idle()


def test_an_anonymous_call_from_a_trunk_passes_with_its_privacy(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    said = (("P-Asserted-Identity", f"<sip:{FOREIGN}@198.51.100.7>"), ("Privacy", "id"))
    carrier.invites(DID, caller="anonymous", fields=said)
    office.answers()
    carrier.hangs_up()
    [invite] = invites_to(sbc, office)
    assert identity(invite) == ('"Anonymous" <sip:anonymous@anonymous.invalid>', None, "id")
    assert all(FOREIGN.encode() not in data for data in sbc.net.sent_to(office.name))
    assert sbc.idle()


def test_an_identity_that_a_trunk_asserts_is_told_to_the_pbx_in_our_name(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    carrier.invites(DID, caller=FOREIGN, fields=(("P-Asserted-Identity", "<tel:+1-212-555-0124>"),))
    office.answers()
    carrier.hangs_up()
    [invite] = invites_to(sbc, office)
    assert identity(invite) == (f"<sip:{FOREIGN}@10.0.0.1>", "<sip:+12125550124@10.0.0.1>", None)
    assert sbc.idle()


def test_garbage_in_place_of_an_identity_is_as_if_it_were_not_there(world):
    sbc = world(screened())
    office, carrier = sbc.office(), sbc.carrier()
    garbage = ('<<<>>> "', ";;;,,,", "<sip:%zz@x>;index=1", "=" * 4000, "<" * 4000, '"' * 4000)
    names = ("P-Asserted-Identity", "P-Preferred-Identity", "Diversion", "History-Info", "Privacy")
    for text in garbage:
        office.invites(FAR, caller=ANN, fields=tuple([(name, text) for name in names]))
        carrier.answers()
        office.hangs_up()
    assert [identity(invite)[1:] for invite in invites_to(sbc, carrier)] == [(f"<sip:{ANN}@198.51.100.7>", None)] * len(
        garbage
    )
    assert sbc.idle()
