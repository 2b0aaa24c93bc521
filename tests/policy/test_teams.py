"""The profile of Microsoft Teams: each rule that Direct Routing publishes, at a border controller in memory."""

from pathlib import Path

import pytest

from sbc.core.address import Transport
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


def test_calls_come_from_the_published_networks_with_a_certificate_that_has_one_of_the_names(shipped, teams):
    assert teams.accept == ("52.112.0.0/14", "52.122.0.0/15")
    assert (teams.tls.identity, teams.tls.domains) == ("certificate", tuple(NAMES))
    policy = shipped("providers/teams.yaml")
    proved = (policy.tls_profile("teams"),)
    for host in ("52.112.0.1", "52.115.255.254", "52.122.0.1", "52.123.255.254"):
        assert policy.identify("cloud", host, 40_000, Transport.TLS, proved) is teams
        assert policy.identify("cloud", host, 40_000, Transport.TLS, ()) is None
    for host in ("52.111.255.254", "52.116.0.1", "52.121.255.254", "52.124.0.1"):
        assert policy.identify("cloud", host, 40_000, Transport.TLS, proved) is None


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
    assert "REFER" not in invite.header("Allow")
    proxy.call.target = proxy.call.target.replace("sbc.example.com", "203.0.113.10")  # it looks no names up
    proxy.transfers(MOBILE)
    assert proxy.got("405 REFER")
    assert carrier.is_talking
    carrier.hangs_up()
    assert sbc.idle()


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
