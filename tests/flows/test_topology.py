"""Whatever one side plants in its messages, no address, name or software of it reaches the other (RFC 5853 §3.1)."""

import pytest

from sbc.testing.world import DID, FAR

SECRET = "pbx-77.office.internal"
PLANTED = (
    ("Warning", f'399 {SECRET} "from 10.0.0.5"'),
    ("Organization", f"The people of {SECRET}"),
    ("Subject", f"from {SECRET}"),
    ("Call-Info", f"<http://{SECRET}/photo.jpg>;purpose=icon"),
    ("Alert-Info", f"<http://{SECRET}/ring.wav>"),
    ("Error-Info", f"<sip:{SECRET}>"),
    ("In-Reply-To", f"12345@{SECRET}"),
    ("Reply-To", f"<sip:1000@{SECRET}>"),
    ("Server", f"Asterisk on {SECRET}"),
    ("P-Asserted-Identity", f'"Alice on {SECRET}" <sip:+14155550100@{SECRET}>'),
    ("P-Preferred-Identity", f"<sip:+14155550100@{SECRET}>"),
    ("Remote-Party-ID", f"<sip:+14155550100@{SECRET}>;party=calling"),
    ("Diversion", f"<sip:1001@{SECRET}>;reason=unconditional"),
    ("History-Info", f"<sip:1001@{SECRET}>;index=1"),
    ("Geolocation", f"<http://{SECRET}/where>"),
    ("X-Asterisk-HangupCause", f"Normal at {SECRET}"),
    ("Reason", f'Q.850;cause=16;text="hung up at {SECRET}"'),
    ("Timestamp", "54"),
)


def test_planted_headers_of_an_invite_do_not_cross(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR, fields=PLANTED)
    carrier.answers()
    carrier.hangs_up()
    assert carrier.got("INVITE", "ACK")
    assert sbc.idle()


@pytest.mark.parametrize("status", [302, 486, 503, 600])
def test_planted_headers_of_a_refusal_do_not_cross(world, status):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    carrier.invites(DID)
    contact = (("Contact", f"<sip:1002@{SECRET}>"),) if status == 302 else ()
    office.refuses(status, fields=(*contact, *PLANTED))
    assert carrier.call.stage == "ended"
    assert sbc.idle()


def test_planted_headers_of_a_bye_do_not_cross(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    office.hangs_up(fields=PLANTED)
    assert carrier.got("BYE")
    assert sbc.idle()


def test_the_reason_phrase_of_a_refusal_does_not_cross(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    carrier.invites(DID)
    office.rings()
    key = office.call.invite_key
    outs = office.agent.layer.respond(key, 486, sbc.now, to_tag=office.call.local_tag, reason=f"Busy at {SECRET}")
    office.agent._end(office.call, 486)
    sbc.net.perform(office.agent, outs)
    sbc.settle()
    assert carrier.got(486)
    assert sbc.idle()


@pytest.mark.parametrize("way", ["offer", "answer"])
def test_what_a_session_description_says_of_its_network_does_not_cross(world, way):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.agent.line.spoil = talkative
    caller, callee = (office, carrier) if way == "offer" else (carrier, office)
    caller.invites(FAR if way == "offer" else DID)
    callee.answers()
    seen = b"".join(sbc.net.sent_to(carrier.name)).decode()
    assert "a=x-known-nowhere:harmless" in seen
    for word in ("alice", "candidate", "ice-", "a=ssrc", "a=rtcp:", "a=tool"):
        assert word not in seen
    office.hangs_up()
    assert sbc.idle()


def talkative(body: bytes) -> bytes:
    """A description that gives away whatever a description can."""
    text = body.decode().replace("o=- ", "o=alice ").replace("s=-", f"s=Call from {SECRET}")
    text = text.replace("c=IN", f"i={SECRET}\r\nu=http://{SECRET}\r\ne=a@{SECRET}\r\nc=IN", 1)
    text += (
        f"a=tool:{SECRET}\r\na=rtcp:4001 IN IP4 10.0.0.5\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n"
        "a=candidate:1 1 UDP 2130706431 10.0.0.5 4000 typ host\r\na=ssrc:1 cname:alice@10.0.0.5\r\n"
        "a=x-unknown:at 10.0.0.5\r\na=x-known-nowhere:harmless\r\n"
    )
    return text.encode()
