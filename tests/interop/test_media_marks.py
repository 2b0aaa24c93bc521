"""DSCP: what an interface's `dscp` says stands on all that we send there, whoever sends it (RFC 2474)."""
# RFC: 2474

import contextlib
import socket
from collections.abc import Iterator

import pytest

from .lab import ENGINES, Engine, Lab
from .namespaces import CARRIER, CARRIER6, INSIDE, INSIDE6, OUTSIDE, OUTSIDE6, PBX, PBX6
from .overheard import Overheard, Wire
from .parties import CALLED, Parties

pytestmark = [pytest.mark.interop, pytest.mark.root, pytest.mark.slow]

INTERFACES = """\
  inside:
    sip: ["udp:{near}:5060", "tcp:{near}:5060"]
    media: "{near_media}"
    dscp: {{{{sip: cs3, media: ef}}}}
  outside:
    sip: ["udp:{far}:5060", "tcp:{far}:5060"]
    media: "{far_media}"
    dscp: {{{{sip: af31, media: 40}}}}"""
CS3, EF, AF31 = 24, 46, 26
MARKS = {"pbx": (CS3, EF), "carrier": (AF31, 40)}
ADDRESSES = {4: (PBX, INSIDE, OUTSIDE, CARRIER), 6: (PBX6, INSIDE6, OUTSIDE6, CARRIER6)}
HOPS = 64


def start(lab: Lab, engine: Engine, family: int, **options: str) -> None:
    if family == 6:
        lab.namespaces.speak_ipv6()
    pbx, near, far, carrier = ADDRESSES[family]
    interfaces = INTERFACES.format(
        near=f"[{near}]" if family == 6 else near, far=f"[{far}]" if family == 6 else far, near_media=near,
        far_media=far,
    )  # fmt: skip
    if family == 6:
        pbx, carrier = f"[{pbx}]", f"[{carrier}]"
    lab.start(engine, interfaces=interfaces, pbx=pbx, carrier=carrier, **options)


@contextlib.contextmanager
def overhearing(lab: Lab) -> Iterator[dict[str, Wire]]:
    wires = {part: Wire(lab.namespaces, part) for part in MARKS}
    try:
        yield wires
    finally:
        for wire in wires.values():
            wire.close()


def of_port(heard: list[Overheard], port: int) -> list[Overheard]:
    return [one for one in heard if one.target[1] == port]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("family", [4, 6], ids=["ipv4", "ipv6"])
def test_dscp_stands_on_sip_over_udp_and_on_rtp_and_rtcp(lab: Lab, engine: Engine, family: int) -> None:
    """The carrier is deaf at first, so that the INVITE is sent again; what both send us says ECT and another DSCP."""
    start(lab, engine, family)
    pbx, near, far, carrier = ADDRESSES[family]
    with contextlib.ExitStack() as stack:
        wires = stack.enter_context(overhearing(lab))
        parties = stack.enter_context(Parties(lab, host={"pbx": pbx, "carrier": carrier}, inside=near, outside=far))
        parties.carrier.ignores = 1
        talk = parties.talk()
        for voice in talk.voices:
            level, option = (41, 67) if family == 6 else (socket.IPPROTO_IP, socket.IP_TOS)
            voice.rtp.setsockopt(level, option, 0x22)  # AF41's neighbour with ECT(0)
        parties.desk.talks(0.4, *talk.voices)
        for voice in talk.voices:
            voice.reports_as_sender()
        parties.desk.talks(0.4, *talk.voices)
        assert talk.missed() == ([], [])
        if engine == "kernel":
            assert lab.flows() == 2
            assert all(kernel >= 20 for _, kernel in lab.counters())
        parties.hangs_up(talk)
        for part, voice in (("pbx", talk.near), ("carrier", talk.far)):
            sip, media = MARKS[part]
            heard = wires[part].heard()
            port = voice.address[1]
            found = {
                "sip": of_port(heard, 5060), "rtp": of_port(heard, port), "rtcp": of_port(heard, port + 1),
            }  # fmt: skip
            assert len(found["sip"]) >= 3
            assert (len(found["rtp"]), len(found["rtcp"])) == (40, 1)
            marks = {name: {(one.dscp, one.ecn, one.hops) for one in ones} for name, ones in found.items()}
            assert marks == {"sip": {(sip, 0, HOPS)}, "rtp": {(media, 0, HOPS)}, "rtcp": {(media, 0, HOPS)}}
        invites = [one for one in of_port(wires["carrier"].heard(), 5060) if one.data.startswith(b"INVITE ")]
        assert len(invites) >= 2  # sent again


@pytest.mark.parametrize("family", [4, 6], ids=["ipv4", "ipv6"])
def test_dscp_stands_on_connections_that_we_take_and_that_we_make(lab: Lab, family: int) -> None:
    start(lab, "userland", family, trunk_where=";transport=tcp")
    pbx, near, far, carrier = ADDRESSES[family]
    with contextlib.ExitStack() as stack:
        wires = stack.enter_context(overhearing(lab))
        with lab.namespaces.inside("pbx"):
            dialled = socket.create_connection((near, 5060), 5, (pbx, 0))
        with lab.namespaces.inside("carrier"):
            listener = socket.create_server((carrier, 5060), family=socket.AF_INET6 if family == 6 else socket.AF_INET)
        parties = stack.enter_context(
            Parties(lab, pbx=dialled, carrier=listener, host={"pbx": pbx, "carrier": carrier}, inside=near, outside=far)
        )
        talk = parties.talk(number=CALLED)
        parties.hangs_up(talk)
        for part in MARKS:
            heard = [one for one in wires[part].heard() if one.protocol == "tcp"]
            said = b"".join(one.data for one in heard)
            assert (b"SIP/2.0 200 OK" if part == "pbx" else b"INVITE ") in said
            # The answer to our SYN is the kernel's, before the socket exists that it is for: it inherits the mark.
            assert {(one.dscp, one.ecn) for one in heard} == {(MARKS[part][0], 0)}
