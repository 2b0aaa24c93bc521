"""Which connection a request over TLS goes by: in use, offered by its peer, or a new one that proves a profile."""

import pytest
from msgspec.structs import replace

from sbc.core import limits
from sbc.core.address import Address, Flow, Transport
from sbc.sip.connections import Connections, Way, secured, spoken_by
from sbc.sip.parse import parse_message

from .messages import request as octets

OURS = Address("203.0.113.1", 5061)
CAME = Flow(Transport.TLS, "outside", OURS, Address("198.51.100.7", 40_001), 7, ("carrier",))
TARGET = Flow(Transport.TLS, "outside", OURS, Address("198.51.100.7", 5061))
NEW = replace(TARGET, proved=("carrier",))
WAY = Way("carrier")


def message(via="SIP/2.0/TLS 198.51.100.7:5061;branch=z9hG4bKx", method="INVITE"):
    return parse_message(octets(line=f"{method} sip:a@b SIP/2.0", Via=via, CSeq=f"1 {method}"), stream=True)


ALIAS = message("SIP/2.0/TLS 198.51.100.7:5061;branch=z9hG4bKx;alias")


def test_a_new_connection_must_prove_the_profile_of_whom_the_request_is_for():
    assert tuple(Connections().choose(TARGET, WAY)) == (NEW,)
    assert tuple(Connections().choose(TARGET, Way())) == (TARGET,)


def test_what_goes_by_a_connection_already_stays_there():
    assert tuple(Connections().choose(CAME, Way("other"))) == (CAME,)


def test_the_connection_in_use_is_taken_and_the_new_one_is_what_is_left_if_it_is_lost():
    found = Connections()
    found.heard(message(), CAME)
    assert tuple(found.choose(TARGET, Way("carrier", in_use=CAME))) == (CAME, NEW)


@pytest.mark.parametrize(
    ("far_end", "target", "is_taken"),
    [
        ("8.8.8.8", Address("8.8.8.8", 5061), True),
        ("8.8.8.8", Address("8.8.8.8", 5071), True),
        ("8.8.8.8", Address("192.168.1.5", 5061), True),  # what it has behind its NAT
        ("8.8.8.8", Address("9.9.9.9", 5061), False),
        ("10.0.0.1", Address("192.168.1.5", 5061), False),
        ("2001:4860::1", Address("2001:4860::2", 5061), False),
    ],
)
def test_the_connection_in_use_is_taken_only_where_it_leads(far_end, target, is_taken):
    found = Connections()
    came = replace(CAME, remote=Address(far_end, 40_001))
    found.heard(message(), came)
    chosen = next(found.choose(replace(TARGET, remote=target), Way("carrier", in_use=came)))
    assert (chosen == came) is is_taken


def test_a_connection_of_another_interface_is_not_taken():
    found = Connections()
    found.heard(message(), CAME)
    assert next(found.choose(replace(TARGET, interface="inside"), Way("", in_use=CAME))).connection == 0


def test_a_connection_that_is_gone_is_not_in_use():
    found = Connections()
    found.heard(message(), CAME)
    found.gone(CAME)
    assert tuple(found.choose(TARGET, Way("carrier", in_use=CAME))) == (NEW,)
    assert len(found) == 0


# RFC: 5923
def test_an_alias_leads_back_by_the_connection():
    """§8.2: the source's address, the port of sent-by."""
    found = Connections()
    found.heard(ALIAS, CAME)
    assert tuple(found.choose(TARGET, WAY)) == (CAME, NEW)
    other = replace(TARGET, remote=Address("198.51.100.7", 5071))
    assert tuple(found.choose(other, WAY)) == (replace(other, proved=("carrier",)),)


# RFC: 5923
def test_without_a_port_the_alias_is_at_5061():
    found = Connections()
    found.heard(message("SIP/2.0/TLS pbx.example;branch=z9hG4bKx;alias"), CAME)
    assert next(found.choose(TARGET, WAY)) == CAME


# RFC: 5923
@pytest.mark.parametrize(
    ("message", "flow", "way"),
    [
        (message(), CAME, WAY),  # none is offered
        (ALIAS, replace(CAME, proved=()), WAY),  # §9.2: "MUST authenticate the connection before forming an alias"
        (ALIAS, CAME, Way("other")),  # "matches one of the identities"
        (message("SIP/2.0/TCP 198.51.100.7:5061;branch=z9hG4bKx;alias"), CAME, WAY),
    ],
)
def test_no_alias(message, flow, way):
    found = Connections()
    found.heard(message, flow)
    assert next(found.choose(TARGET, way)).connection == 0


def test_what_a_reload_has_judged_anew_is_what_counts():
    found = Connections()
    found.heard(ALIAS, CAME)
    now = replace(CAME, proved=("renamed",))
    found.heard(message(), now)
    assert next(found.choose(TARGET, WAY)).connection == 0
    assert next(found.choose(TARGET, Way("renamed", in_use=CAME))) == now


# RFC: 5923
def test_an_alias_goes_with_its_connection():
    found = Connections()
    found.heard(ALIAS, CAME)
    found.gone(CAME)
    assert found.aliases == 0
    assert tuple(found.choose(TARGET, WAY)) == (NEW,)


# BOUND: TLS_CONNECTIONS_REMEMBERED
def test_connections_and_aliases_are_bounded():
    found = Connections()
    for n in range(limits.TLS_CONNECTIONS_REMEMBERED + 10):
        far = replace(CAME, connection=n + 1, remote=Address(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", 40_000))
        found.heard(ALIAS, far)
    assert len(found) == found.aliases == limits.TLS_CONNECTIONS_REMEMBERED


def test_only_connections_over_tls_are_in_use():
    tcp = Flow(Transport.TCP, "outside", OURS, CAME.remote, 3)
    assert spoken_by(tcp, None) is None
    assert spoken_by(CAME, None) == CAME
    assert spoken_by(TARGET, CAME) == CAME


def test_a_connection_that_has_proved_nothing_does_not_take_the_place_of_one_that_has():
    unproved = replace(CAME, connection=9, proved=())
    assert spoken_by(unproved, CAME) == CAME
    assert spoken_by(unproved, None) == unproved
    assert spoken_by(replace(CAME, connection=9), CAME).connection == 9


@pytest.mark.parametrize(
    ("hop", "over_tls"),
    [
        ("sip:198.51.100.7", "sip:198.51.100.7;transport=tls"),
        ("sip:a@h:5070;transport=udp;lr", "sip:a@h:5070;lr;transport=tls"),
        ("sip:h;transport=tls", "sip:h;transport=tls"),
        ("sips:h", "sips:h"),
        ("tel:+1", "tel:+1"),
        ("not a URI", "not a URI"),
        ("sip:" + "a" * 300 + "@h", "sip:" + "a" * 300 + "@h;transport=tls"),
    ],
)
def test_the_same_hop_over_tls(hop, over_tls):
    assert secured(hop) == over_tls
