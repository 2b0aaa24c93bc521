"""Phones that register, and phones that are registrars."""

import pytest

from sbc.core.address import Flow, Transport
from sbc.sip.commands import SendMessage
from sbc.sip.message import Request
from sbc.testing.build import request
from sbc.testing.net import Network
from sbc.testing.phone import Phone
from sbc.testing.registrar import Registrar
from sbc.testing.seeds import seeded_ids

PBX, CARRIER = "192.0.2.1:5060", "192.0.2.2:5060"
AOR = "sip:+14155550100@carrier.example"


def registered(**options):
    net, ids = Network(), seeded_ids()
    pbx = Phone(net, "pbx", PBX, ids, through=CARRIER, user="line1")
    carrier = Phone(net, "carrier", CARRIER, ids, through=PBX)
    registrar = carrier.becomes_registrar()
    return net, pbx, carrier, registrar


def no_complaints(*phones):
    assert [phone.agent.complaints for phone in phones] == [[]] * len(phones)


def test_a_binding_lives_as_long_as_granted_and_is_refreshed_and_removed():
    net, pbx, carrier, registrar = registered()
    binding = pbx.registers(AOR, expires=300)
    assert (binding.status, binding.granted, binding.is_registered) == (200, 300, True)
    assert registrar.contacts(AOR, net.now) == [f"sip:line1@{PBX}"]
    pbx.refreshes(expires=900)
    assert binding.granted == 900
    net.run(901)
    assert registrar.contacts(AOR, net.now) == []
    pbx.refreshes()
    pbx.unregisters()
    assert not binding.is_registered
    assert registrar.contacts(AOR, net.now) == []
    assert [(one.cseq, one.expires) for one in registrar.registers] == [(1, 300), (2, 900), (3, 900), (4, 0)]
    assert len(registrar.call_ids) == 1
    no_complaints(pbx, carrier)


def test_credentials_are_asked_for_and_given():
    _, pbx, carrier, registrar = registered()
    carrier.challenges("line1", "s3cret", methods=["REGISTER"])
    pbx.has_credentials("line1", "s3cret")
    binding = pbx.registers(AOR)
    pbx.refreshes()
    assert binding.is_registered
    assert pbx.heard == ["401 REGISTER", "200 REGISTER", "401 REGISTER", "200 REGISTER"]
    assert [one.cseq for one in registrar.registers] == [2, 4]
    no_complaints(pbx, carrier)


def test_bulk_registration_has_no_user():
    net, pbx, carrier, registrar = registered()
    assert pbx.registers(AOR, gin=True).is_registered
    assert registrar.contacts(AOR, net.now) == [f"sip:{PBX};bnc"]
    no_complaints(pbx, carrier)


def test_a_registrar_has_bad_days():
    net, pbx, carrier, registrar = registered()
    registrar.rejects(403)
    assert pbx.registers(AOR).status == 403
    registrar.is_unavailable(retry_after=30)
    pbx.refreshes()
    assert pbx.agent.bindings[0].status == 503
    registrar.is_silent()
    pbx.refreshes()
    net.run(33)
    assert pbx.heard[-1] == "timeout"
    assert (pbx.agent.bindings[0].status, registrar.last.status) == (0, 503)
    registrar.accepts()
    pbx.refreshes()
    assert pbx.agent.bindings[0].is_registered
    registrar.forgets()
    assert registrar.contacts(AOR, net.now) == []
    no_complaints(pbx, carrier)


def test_a_registrar_demands_and_shortens():
    _, pbx, _, registrar = registered()
    registrar.shortest = 600
    binding = pbx.registers(AOR, expires=60)
    assert (binding.status, binding.shortest) == (423, 600)
    registrar.longest = 700
    pbx.refreshes(expires=3600)
    assert (binding.status, binding.granted) == (200, 700)


def test_keepalives_are_counted_and_nothing_else():
    net, pbx, carrier, _ = registered()
    flow = Flow(Transport.UDP, "", pbx.address, carrier.address)
    net.perform(pbx.agent, [SendMessage(flow, b"\r\n\r\n")])
    net.settle()
    assert carrier.agent.keepalives == 1
    assert carrier.heard == []
    no_complaints(carrier)


def test_all_bindings_can_be_removed_at_once():
    registrar = Registrar()
    registrar.take(register(cseq=1), 0.0)
    registrar.take(register(cseq=2, contact="*", expires="0"), 1.0)
    assert registrar.bindings == {AOR: {}}
    assert registrar.complaints == []


def register(*, cseq=1, uri="sip:carrier.example", sender=AOR, contact="<sip:1@192.0.2.1>", expires="60", fields=()):
    extra = (("Contact", contact), ("Expires", expires), *fields)
    return request("REGISTER", uri=uri, to=AOR, sender=sender, cseq=cseq, fields=extra)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"uri": "sip:me@carrier.example"}, "has a user"),
        ({"sender": "sip:other@carrier.example"}, "is not To"),
        ({"cseq": 1}, "CSeq 1 after 1"),
        ({"contact": "<sip:192.0.2.1;bnc>"}, "gin and bnc"),
        ({"fields": (("Require", "gin"), ("Proxy-Require", "gin"))}, "gin and bnc"),
        (
            {"contact": "<sip:1@192.0.2.1;bnc>", "fields": (("Require", "gin"), ("Proxy-Require", "gin"))},
            "names a user",
        ),
        (
            {"contact": "<sip:192.0.2.1;bnc>", "fields": (("Require", "gin"), ("Proxy-Require", "gin"))},
            "gin without path",
        ),
    ],
)
def test_what_breaks_a_rule_is_complained_about(changes, complaint):
    registrar = Registrar()
    registrar.take(register(), 0.0)
    assert registrar.complaints == []
    made = register(**({"cseq": 2} | changes))
    assert isinstance(made, Request)
    registrar.take(made, 1.0)
    assert any(complaint in text for text in registrar.complaints)
