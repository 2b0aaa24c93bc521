"""MESSAGE, OPTIONS and notifications of messages waiting go across without a call (RFC 3428, RFC 3842)."""
# RFC: 3428, 3842

import pytest

from sbc.core.address import Transport
from sbc.sip.message import Request, Response
from sbc.sip.parse import parse_message
from sbc.testing.byhand import ByHand
from sbc.testing.world import CARRIER, DID, FAR, INSIDE, OUTSIDE, POLICY

METHODS = "methods: [INVITE, OPTIONS, NOTIFY, MESSAGE]"
TALKING = POLICY.replace("address: sip:10.0.0.5:5060", f"address: sip:10.0.0.5:5060, {METHODS}").replace(
    f'servers: ["sip:{CARRIER}"]', f'servers: ["sip:{CARRIER}"], {METHODS}'
)
SPARE = f"  spare: {{interface: outside, servers: ['sip:198.51.100.8:5060'], {METHODS}}}\n"
TWO_TRUNKS = TALKING.replace("routes:\n", f"{SPARE}routes:\n").replace("via: [carrier]", "via: [carrier, spare]")
ACCOUNT = TALKING.replace(
    f'servers: ["sip:{CARRIER}"]', f'servers: ["sip:{CARRIER}"], auth: {{username: a, password: b}}'
)
CHALLENGED = TALKING.replace("sip:10.0.0.5:5060,", "sip:10.0.0.5:5060, auth: {username: office, password: 0ff1ce},")
ANYWHERE = CHALLENGED.replace("address: sip:10.0.0.5:5060", "registers: true, accept: any")
TO_FAR = f"sip:{FAR}@10.0.0.1"
TO_DID = f"sip:{DID}@203.0.113.1"
TEXT = (("Content-Type", "text/plain"),)


def both(world, policy=TALKING, **options):
    sbc = world(policy, **options)
    return sbc, sbc.office(), sbc.carrier()


def sent(sbc, phone, method):
    """Requests of a method that went to a phone."""
    messages = [parse_message(data, stream=False) for data in sbc.net.sent_to(phone.name)]
    return [m for m in messages if isinstance(m, Request) and m.method == method]


def answers(sbc, phone):
    messages = [parse_message(data, stream=False) for data in sbc.net.sent_to(phone.name)]
    return [m for m in messages if isinstance(m, Response)]


def is_over(sbc):
    return sbc.switch.beside.exchanges == 0 and sbc.cdr == [] and sbc.idle()


def test_a_message_goes_out_and_nothing_of_the_inside_with_it(world):
    sbc, office, carrier = both(world)
    phone, far = ByHand(sbc, office), ByHand(sbc, carrier)
    phone.sends(
        "MESSAGE", TO_FAR, sender=f"sip:{DID}@10.0.0.5", call_id="secret@10.0.0.5", fields=TEXT, body=b"Good day"
    )
    [message] = far.requests("MESSAGE")
    assert message.body == b"Good day"
    assert message.from_.uri.user == DID
    assert "secret" not in message.call_id
    assert message.header("Contact") is None
    far.replies(200, to=message)
    assert phone.statuses("MESSAGE") == [200]
    assert is_over(sbc)


def test_a_message_comes_in(world):
    sbc, office, carrier = both(world)
    carrier.asks("MESSAGE", TO_DID)
    assert [m.uri.user for m in sent(sbc, office, "MESSAGE")] == [DID]
    assert carrier.heard == ["200 MESSAGE"]
    assert is_over(sbc)


@pytest.mark.parametrize("status", [404, 415, 480, 603])
def test_a_refusal_comes_back(world, status):
    sbc, office, carrier = both(world)
    far = ByHand(sbc, carrier)
    office.asks("MESSAGE", TO_FAR)
    far.replies(status, to=far.requests("MESSAGE")[0], fields=(("Accept", "text/plain"),))
    assert office.heard == [f"{status} MESSAGE"]
    assert is_over(sbc)


def test_who_may_not_use_a_method_gets_405(world):
    sbc, office, carrier = both(world, POLICY)
    office.asks("MESSAGE", TO_FAR)
    assert office.heard == ["405 MESSAGE"]
    assert sent(sbc, carrier, "MESSAGE") == []
    assert is_over(sbc)


def test_nobody_else_than_routes_say_gets_a_message(world):
    sbc, office, carrier = both(world)
    office.asks("MESSAGE", "sip:+999@10.0.0.1")
    assert office.heard == ["404 MESSAGE"]
    assert sent(sbc, carrier, "MESSAGE") == []
    assert is_over(sbc)


def test_a_pbx_with_an_account_is_challenged_for_its_messages(world):
    sbc, office, carrier = both(world, CHALLENGED)
    office.asks("MESSAGE", TO_FAR)
    assert office.heard == ["401 MESSAGE"]
    assert sent(sbc, carrier, "MESSAGE") == []
    assert is_over(sbc)


@pytest.mark.parametrize("method", ["MESSAGE", "SUBSCRIBE", "PUBLISH", "NOTIFY"])
@pytest.mark.parametrize("may_use", [True, False])
def test_from_anywhere_nothing_comes_in_without_credentials(world, method, may_use):
    """A challenge, which is no longer than what it answers; silence for what nobody may use from there anyway."""
    methods = f"methods: [{method}], events: [presence]" if may_use else "methods: [INVITE]"
    sbc = world(ANYWHERE.replace(METHODS, methods, 1))
    stranger, carrier = sbc.phone("stranger.example", "192.0.2.66:5060", through=INSIDE), sbc.carrier()
    stranger.asks(method, TO_FAR, fields=TEXT, body=b"x" * 80)
    sbc.run(40.0)
    assert stranger.heard == [f"401 {method}" if may_use else "timeout"]
    assert sent(sbc, carrier, method) == []
    assert is_over(sbc)


@pytest.mark.parametrize("method", ["MESSAGE", "SUBSCRIBE", "PUBLISH", "NOTIFY", "INFO", "REFER"])
def test_a_stranger_meets_silence(world, method):
    sbc = world(TALKING)
    stranger = sbc.phone("stranger.example", "192.0.2.66:5060", through=INSIDE)
    stranger.asks(method, TO_FAR)
    sbc.run(40.0)
    assert sbc.net.sent_to(stranger.name) == []
    assert is_over(sbc)


def test_a_carrier_that_challenges_gets_the_account_of_its_trunk(world):
    sbc, office, carrier = both(world, ACCOUNT)
    door = carrier.challenges("a", "b")
    office.asks("MESSAGE", TO_FAR)
    assert door.accepted == ["MESSAGE"]
    assert office.heard == ["200 MESSAGE"]
    assert is_over(sbc)


def test_a_trunk_that_refuses_leaves_it_to_the_next(world):
    sbc, office, carrier = both(world, TWO_TRUNKS)
    spare = sbc.phone("spare.carrier.net", "198.51.100.8:5060", through=OUTSIDE)
    far = ByHand(sbc, carrier)
    office.asks("MESSAGE", TO_FAR)
    far.replies(503, to=far.requests("MESSAGE")[0])
    assert len(sent(sbc, spare, "MESSAGE")) == 1
    assert office.heard == ["200 MESSAGE"]
    assert is_over(sbc)


def test_a_trunk_that_is_silent_leaves_it_to_the_next(world):
    sbc, office, carrier = both(world, TWO_TRUNKS)
    spare = sbc.phone("spare.carrier.net", "198.51.100.8:5060", through=OUTSIDE)
    carrier.dies(silently=True)
    office.asks("MESSAGE", TO_FAR)
    sbc.run(5.0)
    assert len(sent(sbc, spare, "MESSAGE")) == 1
    assert "200 MESSAGE" in office.heard
    assert is_over(sbc)


def test_silence_everywhere_is_told_while_the_sender_still_listens(world):
    sbc, office, carrier = both(world)
    carrier.dies(silently=True)
    office.asks("MESSAGE", TO_FAR)
    sbc.run(31.0)
    statuses = [answer.status for answer in answers(sbc, office)]
    assert statuses == [*[100] * (len(statuses) - 1), 504]
    assert len(statuses) > 1
    assert "timeout" not in office.heard
    assert is_over(sbc)


def test_a_server_that_refuses_connections_is_told_at_once(world):
    sbc, office, carrier = both(world)
    carrier.dies()
    office.asks("MESSAGE", TO_FAR)
    assert office.heard == ["503 MESSAGE"]
    assert is_over(sbc)


def test_a_message_that_its_sender_repeats_goes_out_once(world):
    sbc, office, carrier = both(world)
    phone, far = ByHand(sbc, office), ByHand(sbc, carrier)
    for _ in range(3):
        phone.sends("MESSAGE", TO_FAR, branch="z9hG4bKsame")
    [message] = far.requests("MESSAGE")
    far.replies(200, to=message)
    phone.sends("MESSAGE", TO_FAR, branch="z9hG4bKsame")
    assert phone.statuses("MESSAGE") == [200, 200]
    assert is_over(sbc)


def test_messages_get_through_a_bad_network(world, chaos):
    sbc, office, carrier = both(world, **chaos)
    office.asks("MESSAGE", TO_FAR)
    sbc.run(40.0)
    assert {heard for heard in office.heard if heard != "100 MESSAGE"} <= {"200 MESSAGE", "504 MESSAGE", "timeout"}
    assert len({m.call_id for m in sent(sbc, carrier, "MESSAGE")}) <= 1
    assert sbc.switch.beside.exchanges == 0
    assert sbc.idle()


def test_a_message_takes_the_connection_that_its_sender_has(world):
    sbc = world(TALKING)
    office, carrier = sbc.office(transport=Transport.TCP), sbc.carrier()
    office.asks("MESSAGE", TO_FAR)
    assert office.heard == ["200 MESSAGE"]
    assert len(sent(sbc, carrier, "MESSAGE")) == 1
    assert is_over(sbc)


def test_a_pbx_that_has_registered_gets_its_messages_there(world):
    sbc = world(ANYWHERE)
    pbx, carrier = sbc.phone("pbx-77.office.internal", "192.0.2.44:5077", through=INSIDE, user=DID), sbc.carrier()
    pbx.has_credentials("office", "0ff1ce")
    pbx.registers("sip:office@10.0.0.1")
    carrier.asks("MESSAGE", TO_DID)
    assert carrier.heard == ["200 MESSAGE"]
    [message] = sent(sbc, pbx, "MESSAGE")
    assert message.uri_text.startswith(f"sip:{DID}@192.0.2.44:5077")
    assert is_over(sbc)


# --- OPTIONS, NOTIFY --------------------------------------------------------------------------------------------------


def test_options_about_us_are_answered_here_and_about_others_there(world):
    sbc, office, carrier = both(world)
    office.asks("OPTIONS")
    assert len(sent(sbc, carrier, "OPTIONS")) == 0
    office.asks("OPTIONS", TO_FAR)
    assert len(sent(sbc, carrier, "OPTIONS")) == 1
    assert office.heard == ["200 OPTIONS", "200 OPTIONS"]
    assert is_over(sbc)


def test_options_about_somebody_who_is_not_there(world):
    sbc, office, carrier = both(world)
    far = ByHand(sbc, carrier)
    office.asks("OPTIONS", TO_FAR)
    far.replies(404, to=far.requests("OPTIONS")[0])
    assert office.heard == ["404 OPTIONS"]
    assert is_over(sbc)


def test_messages_waiting_are_told_without_a_subscription(world):
    sbc, office, carrier = both(world)
    pbx, far = ByHand(sbc, office), ByHand(sbc, carrier)
    body = b"Messages-Waiting: yes\r\nVoice-Message: 2/8\r\n"
    far.sends(
        "NOTIFY", TO_DID, sender=f"sip:{FAR}@198.51.100.7", body=body,
        fields=(("Event", "message-summary"), ("Content-Type", "application/simple-message-summary")),
    )  # fmt: skip
    [notify] = pbx.requests("NOTIFY")
    assert notify.header("Event") == "message-summary"
    assert b"Voice-Message: 2/8" in notify.body
    pbx.replies(200, to=notify)
    assert far.statuses("NOTIFY") == [200]
    assert is_over(sbc)
