"""Calls' media for the tests of it: two legs, a pool of ports, and descriptions that are written in one line."""

import random

from sbc.b2bua.media import CallMedia, MediaRules, Side
from sbc.b2bua.ports import PortPool
from sbc.b2bua.sides import ALL_CODECS
from sbc.core.ids import IdSource
from sbc.policy.model import CodecRules
from sbc.sdp.model import Media, Session
from sbc.sdp.parse import parse_sdp

INSIDE, OUTSIDE = "10.0.0.1", "203.0.113.1"
OFFICE, CARRIER, THIRD = "10.0.0.5", "198.51.100.7", "198.51.100.8"
RULES = MediaRules(frozenset({INSIDE, OUTSIDE}), (20000, 29999))
NAMES = {"0": "PCMU/8000", "8": "PCMA/8000", "9": "G722/8000", "18": "G729/8000", "101": "telephone-event/8000"}


def pool() -> PortPool:
    ports = PortPool((INSIDE, OUTSIDE), 20000, 29999, IdSource(random.Random(1).randbytes))
    for order in ports.start():
        ports.opened(order.local, tuple(range(20000, 20128, 2)), 0.0)
    return ports


def media(
    ports: PortPool | None = None,
    *,
    office: CodecRules = ALL_CODECS,
    carrier: CodecRules = ALL_CODECS,
    office_fax: bool = True,
    carrier_fax: bool = True,
    recodes: bool = False,
) -> CallMedia:
    """A call from the office (ingress) to the carrier (egress). `recodes`: both may be offered the other G.711 law."""
    side = Side(INSIDE, INSIDE, "address", 1000, codecs=office, fax=office_fax, recodes=recodes)
    call = CallMedia("ref", side, RULES, ports or pool(), IdSource(random.Random(2).randbytes))
    call.open_egress(OUTSIDE, OUTSIDE, "address", 0.0, codecs=carrier, fax=carrier_fax, recodes=recodes)
    return call


def sdp(host: str, *streams: str, head: str = "", version: int = 1) -> bytes:
    """A stream is `audio 4000 0 8 101`, more lines behind semicolons; dynamic formats as `96=opus/48000/2`."""
    lines = ["v=0", f"o=- 7 {version} IN IP4 {host}", "s=-", f"c=IN IP4 {head or host}", "t=0 0"]
    for stream in streams:
        first, *more = stream.split(";")
        kind, port, *formats = first.split()
        if kind == "image":
            lines.append(f"m=image {port} udptl {' '.join(formats) or 't38'}")
        else:
            numbers = [format_.partition("=")[0] for format_ in formats]
            lines.append(f"m={kind} {port} RTP/AVP {' '.join(numbers)}")
            for format_ in formats:
                number, _, encoding = format_.partition("=")
                if encoding or number in NAMES:
                    lines.append(f"a=rtpmap:{number} {encoding or NAMES[number]}")
        lines += more
    return "\r\n".join([*lines, ""]).encode()


def shown(body: bytes) -> list[str]:
    """What a description says of its streams: `audio 0 8` (its formats) or `-video` for one that is refused."""
    return [_shown(stream) for stream in parse_sdp(body).media]


def version(body: bytes) -> int:
    return int(parse_sdp(body).origin.split()[2])


def talk(call: CallMedia, offer: bytes, answer: bytes) -> tuple[bytes, bytes]:
    """An exchange from the office: what the carrier and the office are told."""
    return exchange(call, "ingress", offer, answer)


def exchange(call: CallMedia, by: str, offer: bytes, answer: bytes) -> tuple[bytes, bytes]:
    assert by in ("ingress", "egress")
    asked = call.pass_offer("ingress" if by == "ingress" else "egress", call.read(offer), 1.0)
    answered = call.pass_answer(call.read(answer))
    call.settle(1.0)
    return asked, answered


def session(body: bytes) -> Session:
    return parse_sdp(body)


def _shown(stream: Media) -> str:
    return " ".join([stream.kind, *stream.formats]) if stream.port else f"-{stream.kind}"
