"""Words of the policy, from the text to what a peer gets: packs of call paths, digits put and taken, where a DID is."""

import pytest

from sbc.testing.world import DID, FAR, POLICY


def route(*words):
    return POLICY.replace('to: [national, "+44X."], via: [carrier]', ", ".join(words))


def trunk(more):
    return POLICY.replace('servers: ["sip:198.51.100.7:5060"]', f'servers: ["sip:198.51.100.7:5060"], {more}')


def asked(carrier):
    """The user part of the INVITE that it has."""
    return carrier.call.invite.uri.user


def test_two_packs_of_two_are_four_calls_at_once(world):
    sbc = world(trunk("call_paths: {packs: 2, pack_size: 2}"))
    office, carrier = sbc.office(), sbc.carrier()
    calls = []
    for _ in range(4):
        calls.append(office.invites(FAR))
        carrier.answers()
    office.invites(FAR)
    assert office.got(503)
    assert sbc.cdr.only.cause == "paths_full"
    [view] = sbc.switch.snapshot(sbc.now).paths
    assert (view.used, view.limit) == (4, 4)
    for call in calls:
        office.hangs_up(call=call)
    assert sbc.idle()


@pytest.mark.parametrize(
    ("to", "words", "dialled", "sent"),
    [
        ("9X.", "strip: 1", "914155559999", "+14155559999"),
        ("00X.", 'strip: 2, prepend: "011"', "00442079460001", "+442079460001"),
        ("7X.", 'strip: 1, prepend: "1415555"', "79999", "+14155559999"),
    ],
)
def test_a_route_takes_digits_from_the_front_and_puts_others_there(world, to, words, dialled, sent):
    sbc = world(route(f'to: ["{to}"]', words, "via: [carrier]"))
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(dialled)
    assert asked(carrier) == sent
    carrier.answers()
    office.hangs_up()
    assert sbc.cdr.only.called_as_sent == sent
    assert sbc.idle()


def test_a_carrier_may_put_the_did_elsewhere_than_into_the_request_uri(world):
    sbc = world(trunk("called_from: p-called-party-id"))
    office, carrier = sbc.office(), sbc.carrier()
    carrier.invites("trunk-account", fields=(("P-Called-Party-ID", f"<sip:{DID}@203.0.113.1>"),))
    assert asked(office) == DID
    office.answers()
    carrier.hangs_up()
    assert sbc.cdr.only.called == DID
    assert sbc.idle()
