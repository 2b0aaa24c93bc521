"""The profile of Microsoft Teams: each rule that Direct Routing publishes, at a border controller in memory."""

from pathlib import Path

import pytest

from sbc.core.address import Transport
from sbc.sdp import Direction
from sbc.sdp.parse import parse_sdp
from sbc.sip.message import Request
from sbc.sip.parse import parse_message
from sbc.testing.secure_sdp import PhoneSrtp
from sbc.testing.world import World

PROFILE = Path(__file__).parents[2] / "policies" / "providers" / "teams.yaml"
OURS, DESK, MOBILE = "203.0.113.10:5061", "+14155550105", "+442079460001"
NAMES = {
    "sip.pstnhub.microsoft.com": ["52.114.0.10"],
    "sip2.pstnhub.microsoft.com": ["52.114.1.10"],
    "sip3.pstnhub.microsoft.com": ["52.122.0.10"],
}
SUITE = "AES_CM_128_HMAC_SHA1_80"


@pytest.fixture
def teams(shipped):
    return shipped("providers/teams.yaml").peers["teams"]


def a_proxy(sbc, address="52.114.0.10:5061", *, certificate="sip.pstnhub.microsoft.com", srtp=True):
    return sbc.phone(
        f"proxy-{address}", address, through=OURS, user=DESK, transport=Transport.TLS, certificate=certificate,
        side="cloud", codecs=("PCMU", "PCMA", "telephone-event"), srtp=PhoneSrtp(suites=(SUITE,)) if srtp else None,
    )  # fmt: skip


def a_carrier(sbc):
    return sbc.phone("carrier-1", "192.0.2.200:5060", through="203.0.113.20:5060", user=MOBILE)


def called():
    sbc = World(PROFILE, names=NAMES)
    proxy, carrier = a_proxy(sbc), a_carrier(sbc)
    carrier.invites(DESK)
    proxy.answers()
    return sbc, proxy, carrier


def sent_to(sbc, phone, method):
    found = [parse_message(data, stream=False) for data in sbc.net.sent_to(phone.name)]
    return [one for one in found if isinstance(one, Request) and one.method == method]


def test_signalling_is_tls_1_2_at_least_and_nothing_else(shipped, teams):
    cloud = shipped("providers/teams.yaml").interfaces["cloud"]
    assert {listener.transport for listener in cloud.listeners} == {Transport.TLS}
    assert cloud.tls.trust.minimum == "1.2"
    assert teams.transports == {Transport.TLS}


def test_the_three_names_are_tried_in_order_on_port_5061(teams):
    found = [(server.host, server.port, server.transport) for server in teams.servers]
    assert found == [(name, 5061, Transport.TLS) for name in NAMES]


def test_calls_come_from_the_published_networks_over_tls_alone(shipped, teams):
    assert teams.accept == ("52.112.0.0/14", "52.122.0.0/15")
    policy = shipped("providers/teams.yaml")
    for host in ("52.112.0.1", "52.115.255.254", "52.122.0.1", "52.123.255.254"):
        assert policy.identify("cloud", host, 40_000, Transport.TLS, ()) is teams
        assert policy.identify("cloud", host, 40_000, Transport.TCP, ()) is None
    for host in ("52.111.255.254", "52.116.0.1", "52.121.255.254", "52.124.0.1"):
        assert policy.identify("cloud", host, 40_000, Transport.TLS, ()) is None


def test_where_it_connects_it_is_asked_for_no_certificate_and_where_we_connect_it_must_have_one_of_the_names(teams):
    assert (teams.tls.identity, teams.tls.domains) == ("address", tuple(NAMES))


@pytest.mark.parametrize("certificate", ["sip.pstnhub.microsoft.com.evil.example", "pstnhub.microsoft.com"])
def test_who_is_there_without_such_a_certificate_gets_no_call(certificate):
    sbc = World(PROFILE, names=dict.fromkeys(NAMES, NAMES["sip.pstnhub.microsoft.com"]))
    impostor, carrier = a_proxy(sbc, certificate=certificate), a_carrier(sbc)
    carrier.invites(DESK)
    sbc.run(40)
    assert not impostor.agent.parties
    assert not sent_to(sbc, impostor, "INVITE")


def test_contact_and_via_show_our_name_in_calls_and_in_options():
    sbc, proxy, carrier = called()
    sbc.run(70)
    for request in (*sent_to(sbc, proxy, "INVITE"), *sent_to(sbc, proxy, "OPTIONS")):
        assert request.header("Via").startswith("SIP/2.0/TLS sbc.example.com:5061;")
        assert request.contacts[0].uri.host == "sbc.example.com"
        assert "sbc.example.com:5061;transport=tls>" in request.header("Contact")
    assert sent_to(sbc, proxy, "OPTIONS")
    carrier.hangs_up()
    assert sbc.idle()


def test_an_options_goes_to_each_of_them_every_minute_and_theirs_are_answered(teams):
    assert teams.health is not None
    assert teams.health.options == 60.0
    sbc = World(PROFILE, names=NAMES)
    proxies = [a_proxy(sbc, f"{address}:5061") for [address] in NAMES.values()]
    sbc.run(200)
    assert [3 <= len(sent_to(sbc, proxy, "OPTIONS")) <= 5 for proxy in proxies] == [True] * 3
    assert proxies[0].asks("OPTIONS").status == 200


def test_numbers_are_e164_with_a_plus_both_ways():
    sbc, proxy, carrier = called()
    [invite] = sent_to(sbc, proxy, "INVITE")
    assert invite.uri_text.startswith(f"sip:{DESK}@sip.pstnhub.microsoft.com")
    assert invite.from_.uri.user == MOBILE
    carrier.hangs_up()
    proxy.invites(MOBILE)
    carrier.answers()
    assert sent_to(sbc, carrier, "INVITE")[-1].uri_text.startswith(f"sip:{MOBILE}@")
    proxy.hangs_up()
    assert sbc.idle()


def test_media_is_srtp_by_the_one_suite_with_keys_in_the_description():
    sbc, proxy, carrier = called()
    [invite] = sent_to(sbc, proxy, "INVITE")
    [media] = parse_sdp(invite.body).media
    assert media.proto == "RTP/SAVP"
    assert [line.split()[:2] for line in media.lines if line.startswith("a=crypto")] == [["a=crypto:1", SUITE]]
    assert sbc.hears(proxy, carrier)
    assert carrier.call.remote_sdp.media[0].security is None
    carrier.hangs_up()
    assert sbc.idle()


def test_plain_media_of_it_gets_488():
    sbc = World(PROFILE, names=NAMES)
    proxy, carrier = a_proxy(sbc, srtp=False), a_carrier(sbc)
    proxy.invites(MOBILE)
    assert proxy.call.status == 488
    assert not carrier.agent.parties
    assert sbc.idle()


def test_an_invite_without_an_offer_never_reaches_it():
    sbc = World(PROFILE, names=NAMES)
    proxy, carrier = a_proxy(sbc), a_carrier(sbc)
    carrier.invites(DESK, sdp=False)
    proxy.answers()
    assert b"RTP/SAVP" in sent_to(sbc, proxy, "INVITE")[0].body
    carrier.hangs_up()
    assert sbc.idle()


def test_its_codecs_are_those_that_both_it_and_a_carrier_may_have(teams):
    assert teams.codecs.allow == ("pcmu", "pcma", "g722", "g729", "telephone-event", "cn")
    assert teams.t38 == "refuse"


def test_nothing_asks_for_reliable_provisional_responses():
    sbc, proxy, carrier = called()
    [invite] = sent_to(sbc, proxy, "INVITE")
    assert "100rel" not in (invite.header("Supported") or "") + (invite.header("Require") or "")
    carrier.hangs_up()
    assert sbc.idle()


def test_it_is_told_of_no_refer_and_a_refer_of_it_is_refused():
    """Then Teams carries transfers out by itself."""
    sbc, proxy, carrier = called()
    [invite] = sent_to(sbc, proxy, "INVITE")
    allowed = invite.header("Allow").split(", ")
    assert "REFER" not in allowed
    assert {"INVITE", "ACK", "CANCEL", "BYE", "INFO", "NOTIFY", "PRACK", "UPDATE", "OPTIONS"} == set(allowed)
    proxy.call.target = proxy.call.target.replace("sbc.example.com", "203.0.113.10")  # it looks no names up
    proxy.transfers(MOBILE)
    assert proxy.got("405 REFER")
    assert carrier.is_talking
    carrier.hangs_up()
    assert sbc.idle()


def test_a_request_of_ours_never_goes_by_a_connection_that_it_has_opened():
    """What it asks in the call comes by one of its own, as its calls do; our BYE goes by ours."""
    sbc, proxy, carrier = called()
    proxy.call.target = proxy.call.target.replace("sbc.example.com", "203.0.113.10")  # it looks no names up
    proxy.presses("5")
    assert len(sbc.net.streams.of("sbc")) == 2
    carrier.hangs_up()
    assert proxy.got("BYE")
    sent = [one for one in sbc.net.log if one.sender == "sbc" and one.receiver == proxy.name]
    requests = {one.target.port for one in sent if not one.data.startswith(b"SIP/2.0")}
    answers = {one.target.port for one in sent if one.data.startswith(b"SIP/2.0")}
    assert requests == {5061}
    assert answers.isdisjoint({5061})
    assert answers
    assert sbc.idle()


@pytest.mark.parametrize("old", [False, True])
def test_a_hold_of_the_carrier_is_inactive_there_and_its_media_never_goes_elsewhere(old):
    """Media re-targeting, 0.0.0.0, sendonly and recvonly are what it does not know."""
    sbc, proxy, carrier = called()
    before = len(sent_to(sbc, proxy, "INVITE"))
    where = proxy.call.remote_sdp.media[0].port
    carrier.holds(old=old)
    assert proxy.direction is Direction.INACTIVE
    carrier.resumes()
    assert proxy.direction is Direction.SENDRECV
    held, resumed = [parse_sdp(one.body) for one in sent_to(sbc, proxy, "INVITE")[before:]]
    assert {one.media[0].port for one in (held, resumed)} == {where}
    assert {(one.media[0].connection or one.connection).address for one in (held, resumed)} == {"203.0.113.10"}
    assert sbc.hears(proxy, carrier)
    carrier.hangs_up()
    assert sbc.idle()


def test_nothing_that_it_refuses_is_sent():
    """SIPS URIs, Replaces, an address where a name belongs, a Record-Route."""
    sbc, proxy, carrier = called()
    carrier.holds()
    carrier.resumes()
    carrier.hangs_up()
    sbc.run(70)
    requests = [one for method in ("INVITE", "ACK", "BYE", "OPTIONS") for one in sent_to(sbc, proxy, method)]
    assert {one.method for one in requests} == {"INVITE", "ACK", "BYE", "OPTIONS"}
    for one in requests:
        names = {name.lower() for name, _ in one.fields}
        assert names.isdisjoint({"replaces", "record-route"})
        assert not [value for name, value in one.fields if "sips:" in value.lower()]
        assert "203.0.113.10" not in str([value for _, value in one.fields])
    assert sbc.idle()


@pytest.mark.parametrize(("status", "goes_on"), [(503, True), (603, False), (486, False)])
def test_a_busy_centre_is_left_for_the_next_one_and_a_callee_who_declines_is_not_called_again(status, goes_on):
    sbc = World(PROFILE, names=NAMES)
    first, second, carrier = a_proxy(sbc), a_proxy(sbc, "52.114.1.10:5061"), a_carrier(sbc)
    carrier.invites(DESK)
    first.refuses(status, fields=(("Retry-After", "1"),) if status == 503 else ())
    assert bool(sent_to(sbc, second, "INVITE")) is goes_on
    if goes_on:
        second.answers()
        carrier.hangs_up()
    else:
        assert carrier.call.status == status
    sbc.run(40)
    assert sbc.switch.calls == {}


def test_the_next_name_is_tried_when_the_first_does_not_answer():
    sbc = World(PROFILE, names=NAMES)
    first, second, carrier = a_proxy(sbc), a_proxy(sbc, "52.114.1.10:5061"), a_carrier(sbc)
    first.ignores("INVITE")
    carrier.invites(DESK)
    sbc.run(6)
    second.answers()
    assert sbc.hears(carrier, second)
    carrier.hangs_up()
    sbc.run(40)
