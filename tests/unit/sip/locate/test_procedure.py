"""RFC 3263 §4: which transport, which servers, which addresses and ports, and what must be asked for that."""

import pytest

from sbc.core import limits
from sbc.sip.locate import Unlocated

from .dns import Rig, tcp, tls, udp


@pytest.fixture
def rig():
    return Rig()


@pytest.fixture
def dns(rig):
    return rig.dns


@pytest.mark.parametrize(
    ("uri", "flow"),
    [
        ("sip:192.0.2.9", udp("192.0.2.9")),
        ("sip:x@192.0.2.9:5070;lr", udp("192.0.2.9", 5070)),
        ("sip:192.0.2.9;transport=UDP", udp("192.0.2.9")),
        ("sip:[2001:DB8::9]:5070", udp("2001:db8::9", 5070)),
        ("sip:192.0.2.9;transport=tcp", tcp("192.0.2.9")),
        ("sip:name.example.com;maddr=192.0.2.9", udp("192.0.2.9")),
    ],
)
def test_an_address_is_a_flow_at_once(rig, uri, flow):
    assert rig.candidates(uri) == (flow,)
    assert rig.candidates(uri) == (flow,), "and remembered"
    assert rig.asks() == []


@pytest.mark.parametrize(
    ("uri", "flow"),
    [
        ("sips:192.0.2.9", tls("192.0.2.9")),
        ("sips:192.0.2.9:5071;transport=tcp", tls("192.0.2.9", 5071)),
        ("sip:192.0.2.9;transport=tls", tls("192.0.2.9")),
    ],
)
def test_an_address_by_tls(rig, uri, flow):
    assert rig.candidates(uri, "secure") == (flow,)


@pytest.mark.parametrize(
    "uri",
    [
        "tel:+14155550100",
        "garbage",
        "sip:192.0.2.9;transport=sctp",
        "sips:192.0.2.9;transport=udp",
        "sips:192.0.2.9",
        "sips:gw.example",
        "sip:gw.example;transport=tls",
        "sip:[2001:db8::9];transport=tcp",
        "sip:224.0.1.75",
        "sip:0.0.0.0",
        "sip:255.255.255.255",
        "sip:[ff02::1]",
        "sip:x;maddr=224.0.1.75",
    ],
)
def test_what_cannot_be_sent_to_waits_for_nobody(rig, uri):
    unlocated = rig.candidates(uri)
    assert isinstance(unlocated, Unlocated)
    assert not unlocated.is_pending
    assert rig.asks() == []


def test_another_interface_has_other_listeners(rig):
    assert isinstance(rig.candidates("sip:192.0.2.9", "nowhere"), Unlocated)
    assert isinstance(rig.candidates("sip:gw.example", "nowhere"), Unlocated)


# --- which records are asked for --------------------------------------------------------------------------------------


def test_a_port_means_addresses_alone(rig, dns):
    dns["gw.example"] = ["192.0.2.9", "2001:db8::9"]
    assert rig.found("sip:GW.example:5070") == (udp("2001:db8::9", 5070), udp("192.0.2.9", 5070))
    assert {(one.name, one.kind) for one in dns.asked} == {("gw.example", "A"), ("gw.example", "AAAA")}


def test_a_transport_means_srv_of_that_transport(rig, dns):
    dns.srv("_sip._tcp.gw.example", (1, 0, 5080, "a.example"))
    dns["a.example"] = ["192.0.2.9"]
    assert rig.found("sip:gw.example;transport=tcp") == (tcp("192.0.2.9", 5080),)
    assert "NAPTR" not in {one.kind for one in dns.asked}
    assert "AAAA" not in {one.kind for one in dns.asked}, "nobody listens for TCP by IPv6"


def test_tls_is_found_by_its_own_service(rig, dns):
    dns.srv("_sips._tcp.gw.example", (1, 0, 5081, "a.example"))
    dns["a.example"] = ["192.0.2.9"]
    for uri in ("sip:gw.example;transport=tls", "sips:gw.example", "sips:gw.example;transport=tcp"):
        assert rig.found(uri, "secure") == (tls("192.0.2.9", 5081),)


def test_without_srv_the_name_itself_is_the_server_at_the_default_port(rig, dns):
    dns["gw.example"] = ["192.0.2.9"]
    assert rig.found("sip:gw.example;transport=tcp") == (tcp("192.0.2.9"),)
    assert rig.found("sip:gw.example") == (udp("192.0.2.9"),)
    assert rig.found("sips:gw.example", "secure") == (tls("192.0.2.9"),)
    assert rig.found("sip:gw.example", "streams") == (tcp("192.0.2.9", interface="streams"),)


def test_maddr_is_the_target(rig, dns):
    dns["gw.example"] = ["192.0.2.9"]
    assert rig.found("sip:elsewhere.example;maddr=gw.example") == (udp("192.0.2.9"),)


# --- NAPTR ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def carrier(dns):
    """Prefers TLS, then TCP, then UDP, as RFC 3263 §4.1 has its example."""
    dns.naptr(
        "carrier.example",
        (90, 50, "SIP+D2T", "_sip._tcp.carrier.example"),
        (50, 50, "SIPS+D2T", "_sips._tcp.carrier.example"),
        (100, 50, "SIP+D2U", "_sip._udp.carrier.example"),
        (10, 50, "E2U+sip", "elsewhere.example"),
        (10, 50, "SIP+D2S", "_sip._sctp.carrier.example"),
    )
    for prefix, host, port in (("_sips._tcp", "s", 5061), ("_sip._tcp", "t", 5060), ("_sip._udp", "u", 5060)):
        dns.srv(f"{prefix}.carrier.example", (0, 1, port, f"{host}.example"))
        dns[f"{host}.example"] = [f"192.0.2.{ord(host)}"]
    return "sip:carrier.example"


@pytest.mark.parametrize(
    ("uri", "interface", "flow"),
    [
        ("sip:carrier.example", "secure", tls("192.0.2.115")),
        ("sips:carrier.example", "secure", tls("192.0.2.115")),
        ("sip:carrier.example", "outside", tcp("192.0.2.116")),
        ("sip:carrier.example", "plain", udp("192.0.2.117", interface="plain")),
    ],
)
def test_the_server_chooses_among_the_transports_that_the_interface_speaks(rig, carrier, uri, interface, flow):
    assert rig.found(uri, interface) == (flow,)


def test_a_service_of_the_same_order_is_chosen_by_preference(rig, dns, carrier):
    dns.naptr(
        "carrier.example",
        (10, 20, "SIP+D2T", "_sip._tcp.carrier.example"),
        (10, 10, "sip+d2u", "_sip._udp.carrier.example"),
    )
    assert rig.found(carrier) == (udp("192.0.2.117"),)


def test_a_service_whose_srv_is_missing_is_passed_over(rig, dns, carrier):
    dns.srv("_sip._tcp.carrier.example")
    assert rig.found(carrier) == (udp("192.0.2.117"),)


def test_the_replacement_may_be_in_another_domain(rig, dns, carrier):
    dns.naptr("hosted.example", (10, 10, "SIP+D2U", "_sip._udp.carrier.example"))
    assert rig.found("sip:hosted.example") == (udp("192.0.2.117"),)


def test_what_is_no_service_of_ours_counts_as_no_record(rig, dns, carrier):
    dns.naptr("carrier.example", (1, 1, "SIP+D2S", "_sip._sctp.carrier.example"), (1, 1, "SIP+D2U", "."))
    assert rig.found(carrier) == (udp("192.0.2.117"),), "found by SRV"


def test_without_naptr_udp_goes_before_tcp(rig, dns, carrier):
    dns.naptr("carrier.example")
    assert rig.found(carrier) == (udp("192.0.2.117"),)
    assert rig.found(carrier, "streams") == (tcp("192.0.2.116", interface="streams"),)


def test_a_call_waits_for_two_rounds_of_look_ups_at_most(rig, carrier):
    rig.candidates(carrier)
    assert {one.kind for one in rig.asks()} == {"NAPTR", "SRV", "A", "AAAA"}
    fresh = Rig()
    fresh.dns = rig.dns
    fresh.candidates(carrier)
    rounds = 0
    while fresh.answers():
        rounds += 1
        fresh.candidates(carrier)
    assert rounds <= 2
    assert fresh.candidates(carrier) == (tcp("192.0.2.116"),)


# --- SRV --------------------------------------------------------------------------------------------------------------


def test_targets_are_tried_by_priority_and_each_with_all_its_addresses(rig, dns):
    dns.srv("_sip._udp.gw.example", (20, 0, 5060, "b.example"), (10, 0, 5070, "a.example"), (30, 0, 5060, "c.example"))
    dns["a.example"] = ["192.0.2.10", "2001:db8::10"]
    dns["b.example"] = ["192.0.2.20", "192.0.2.21"]
    dns["c.example"] = ["192.0.2.10"]
    assert rig.found("sip:gw.example;transport=udp") == (
        udp("2001:db8::10", 5070), udp("192.0.2.10", 5070), udp("192.0.2.20"), udp("192.0.2.21"), udp("192.0.2.10"),
    )  # fmt: skip


def test_the_same_address_is_tried_once(rig, dns):
    dns.srv("_sip._udp.gw.example", (10, 0, 5060, "a.example"), (20, 0, 5060, "b.example"))
    dns["a.example"] = dns["b.example"] = ["192.0.2.10"]
    assert rig.found("sip:gw.example;transport=udp") == (udp("192.0.2.10"),)


@pytest.mark.parametrize("target", [".", ""])
def test_a_target_that_is_the_root_means_not_here(rig, dns, target):
    dns.srv("_sip._udp.gw.example", (0, 0, 0, target))
    dns["gw.example"] = ["192.0.2.9"]
    unlocated = rig.found("sip:gw.example;transport=udp")
    assert unlocated == Unlocated("gw.example has no address")


def test_not_here_by_udp_may_be_here_by_tcp(rig, dns):
    dns.srv("_sip._udp.gw.example", (0, 0, 0, "."))
    dns.srv("_sip._tcp.gw.example", (0, 0, 5060, "a.example"))
    dns["a.example"] = ["192.0.2.9"]
    dns["gw.example"] = ["192.0.2.8"]
    assert rig.found("sip:gw.example") == (tcp("192.0.2.9"),)
    dns.srv("_sip._tcp.gw.example", (0, 0, 0, "."))
    fresh = Rig()
    fresh.dns = dns
    assert fresh.found("sip:gw.example") == Unlocated("gw.example has no address")


def test_a_target_without_an_address_is_left_out(rig, dns):
    dns.srv("_sip._udp.gw.example", (10, 0, 5060, "none.example"), (20, 0, 5060, "b.example"), (30, 0, 0, "c.example"))
    dns["b.example"] = dns["c.example"] = ["192.0.2.20"]
    assert rig.found("sip:gw.example;transport=udp") == (udp("192.0.2.20"),)


def test_a_target_that_is_an_address_is_taken_as_one(rig, dns):
    dns.srv("_sip._udp.gw.example", (10, 0, 5070, "192.0.2.20"))
    assert rig.found("sip:gw.example;transport=udp") == (udp("192.0.2.20", 5070),)


def test_nobody_is_tried_before_those_that_may_be_the_first_are_known(rig, dns):
    dns.srv("_sip._udp.gw.example", (10, 0, 5060, "a.example"), (20, 0, 5060, "b.example"))
    dns["a.example"], dns["b.example"] = ["192.0.2.10"], ["192.0.2.20"]
    dns.silent.add("a.example")
    uri = "sip:gw.example;transport=udp"
    assert rig.found(uri).is_pending
    rig.now = limits.LOOK_UP_SECONDS
    rig.locator.give_up(rig.now)
    assert rig.candidates(uri) == (udp("192.0.2.20"),), "but not for ever"


def test_a_later_target_is_waited_for_by_nobody(rig, dns):
    dns.srv("_sip._udp.gw.example", (10, 0, 5060, "a.example"), (20, 0, 5060, "b.example"))
    dns["a.example"], dns["b.example"] = ["192.0.2.10"], ["192.0.2.20"]
    dns.silent.add("b.example")
    assert rig.found("sip:gw.example;transport=udp") == (udp("192.0.2.10"),)


# BOUND: SERVERS_PER_NAME, ADDRESSES_PER_NAME
def test_targets_and_addresses_are_bounded(rig, dns):
    dns.srv("_sip._udp.gw.example", *((n, 0, 5060, f"{n}.example") for n in range(60)))
    for n in range(60):
        dns[f"{n}.example"] = [f"10.0.{n}.{m}" for m in range(1, 60)]
    found = rig.found("sip:gw.example;transport=udp")
    assert len(found) == limits.SERVERS_PER_NAME * limits.ADDRESSES_PER_NAME
    assert found[0] == udp("10.0.0.1")
    assert len({one.name for one in dns.asked}) <= limits.SERVERS_PER_NAME + 2


def test_addresses_that_are_nobodys_are_left_out(rig, dns):
    dns["gw.example"] = ["224.0.0.1", "0.0.0.0", "192.0.2.9"]
    assert rig.found("sip:gw.example:5060") == (udp("192.0.2.9"),)


# --- failures ---------------------------------------------------------------------------------------------------------


def test_a_resolver_that_knows_no_naptr_and_srv_does_not_hide_the_addresses(rig, dns):
    dns["gw.example"] = ["192.0.2.9"]
    dns.failing |= {"_sip._udp.gw.example", "_sip._tcp.gw.example"}
    assert rig.found("sip:gw.example") == (udp("192.0.2.9"),)


def test_where_nobody_answers_the_reason_says_so(rig, dns):
    dns.failing |= {"gw.example", "_sip._udp.gw.example", "_sip._tcp.gw.example"}
    unlocated = rig.found("sip:gw.example")
    assert not unlocated.is_pending
    assert unlocated.reason == "gw.example has no address (NAPTR gw.example: SERVFAIL)"


def test_one_family_that_fails_leaves_the_other(rig, dns):
    dns["gw.example"] = ["192.0.2.9"]
    rig.candidates("sip:gw.example:5060")
    a, aaaa = (rig.dns.answer(one) for one in rig.asks())
    rig.locator.learn(a, 0.0)
    assert rig.candidates("sip:gw.example:5060").is_pending
    dns.failing.add("gw.example")
    aaaa = type(aaaa)(aaaa.name, aaaa.kind, failed="SERVFAIL")
    rig.locator.learn(aaaa, 0.0)
    assert rig.candidates("sip:gw.example:5060") == (udp("192.0.2.9"),)
