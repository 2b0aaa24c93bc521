"""RFC 4475 through the whole engine, over UDP and over TCP: what each message gets is what `expect` says."""
# RFC: 4475

from pathlib import Path

import pytest

from sbc.core.address import Transport
from sbc.sip.parse import parse_message

from .expect import TCP, UDP
from .own import OWN
from .wire import Wire

TORTURE = Path(__file__).parents[4] / "shared" / "torture" / "rfc4475"
needs_torture = pytest.mark.skipif(not TORTURE.is_dir(), reason="the RFC 4475 messages are not beside this repository")


def octets(name):
    return (TORTURE / f"{name}.dat").read_bytes()


def check(transport, data, expected):
    wire = Wire(transport)
    wire.takes(data)
    assert wire.got(expected), (wire.finals, wire.is_closed, wire.framer.deadline)
    assert wire.strangers == set()
    return wire


@needs_torture
def test_every_message_of_the_archive_is_expected():
    assert {path.stem for path in TORTURE.glob("*.dat")} == set(UDP) == set(TCP)


@needs_torture
@pytest.mark.parametrize("name", UDP)
def test_rfc_4475_over_udp(name):
    check(Transport.UDP, octets(name), UDP[name])


@needs_torture
@pytest.mark.parametrize("name", TCP)
def test_rfc_4475_over_tcp(name):
    check(Transport.TCP, octets(name), TCP[name])


@pytest.mark.parametrize("name", OWN)
def test_own_messages_over_udp(name):
    data, expected, _ = OWN[name]
    check(Transport.UDP, data, expected)


@pytest.mark.parametrize("name", OWN)
def test_own_messages_over_tcp(name):
    data, _, expected = OWN[name]
    check(Transport.TCP, data, expected)


@needs_torture
@pytest.mark.parametrize(
    "name", [name for name, status in UDP.items() if status in (200, 405, 406, 415, 416, 420, 501)]
)
def test_answers_to_what_is_valid_are_valid_and_repeat_what_8_2_6_2_names(name):
    request = parse_message(octets(name), stream=False) if name != "mismatch02" else None
    wire = check(Transport.UDP, octets(name), UDP[name])
    if request is None:
        return
    [answer] = [parse_message(data, stream=True) for data in wire.answers]
    for header in ("From", "Call-ID", "CSeq"):
        assert answer.headers(header) == request.headers(header)
    assert [via.branch for via in answer.vias] == [via.branch for via in request.vias]
    assert (answer.to.uri, bool(answer.to.tag)) == (request.to.uri, True)


@needs_torture
def test_420_names_every_extension_that_was_required():
    wire = check(Transport.UDP, octets("bext01"), 420)
    answer = parse_message(wire.answers[0], stream=True)
    unsupported = "nothingSupportsThis nothingSupportsThisEither noProxiesSupportThis norDoAnyProxiesSupportThis"
    assert answer.values("Unsupported") == unsupported.split()


@needs_torture
def test_two_messages_with_the_bare_cookie_are_two_transactions():
    wire = Wire(Transport.UDP)
    wire.takes(octets("badbranch"))
    wire.takes(octets("badbranch").replace(b"Call-ID: badbranch", b"Call-ID: another"))
    assert wire.finals == (200, 200)


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
def test_a_stranger_gets_silence(transport):
    for data, *_ in OWN.values():
        wire = Wire(transport)
        wire.flow = type(wire.flow)(transport, "inside", wire.flow.local, type(wire.flow.remote)("127.0.0.66", 5060), 1)
        wire.takes(data)
        assert wire.finals == ()
        assert wire.strangers == set()
