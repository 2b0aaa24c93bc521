"""A new request seen at a glance, and answered without being parsed: what an overloaded node can afford.

A response repeats five fields of its request and needs no more of it (RFC 3261 §8.2.6). They are found here in the raw
octets, at a twentieth of what parsing costs. It reads only what everybody sends; whatever is odd in any way (folded
lines, fields twice, a Via that it does not know, characters that are no text) is not glanced at: None, and the parser
looks. It decides nothing. Used by `b2bua.shedding`.
"""

import re
from typing import Final

from msgspec import Struct

from sbc.core.address import Address, Flow, Transport
from sbc.core.ids import MAGIC_COOKIE
from sbc.sip.commands import SendMessage
from sbc.sip.headers.via import canonical_host
from sbc.sip.overload_params import asks, reported
from sbc.sip.transaction.key import ServerKey

_HEAD_OCTETS: Final = 4_096  # start line and header fields; what is longer is odd
_SLOTS: Final = {
    b"Via": "via", b"v": "via", b"From": "from", b"f": "from", b"To": "to", b"t": "to",
    b"Call-ID": "call_id", b"i": "call_id", b"CSeq": "cseq",
}  # fmt: skip
_ANY_SLOT: Final = re.compile(rb"(?i:via|v|from|f|to|t|call-id|i|cseq)[ \t]*+")
_TOP_VIA: Final = re.compile(
    r"SIP/2\.0/(?:UDP|TCP|TLS) ([A-Za-z0-9.\-]++|\[[0-9A-Fa-f:.]++\])(?::([0-9]{1,5}))?"
    r"((?:;[A-Za-z0-9\-]++(?:=(?:\"[A-Za-z0-9,]*+\"|[A-Za-z0-9\-.!%*_+`'~:\[\]]*+))?){0,16})"
)
_BRANCH: Final = re.compile(rf";branch=({MAGIC_COOKIE}[^;\"]++)")
# What we add to a Via ourselves, and what sends the response elsewhere: the parser judges these.
_NOT_PLAIN: Final = re.compile(r";(?:received|maddr)\b", re.IGNORECASE)
_TAG: Final = re.compile(rb";[ \t]*+tag[ \t]*+=", re.IGNORECASE)
_PLAIN: Final = bytes(range(0x20, 0x7F))
_URI_USER: Final = re.compile(rb"(?:sips?:([^@;:>\s]++)[^@>\s]*+@|tel:([^;>\s]++))", re.IGNORECASE)


class Glance(Struct, frozen=True):
    """`uri`, `to`: as they came. `via`: the top one; `vias`: the lines of those below. `key` is that of its server
    transaction. `wants_oc`: the client speaks RFC 7339.
    """

    uri: bytes
    via: str
    vias: tuple[bytes, ...]
    from_: bytes
    to: bytes
    call_id: bytes
    cseq: bytes
    key: ServerKey
    host: str
    port: str | None
    params: str

    @property
    def is_new(self) -> bool:
        """It belongs to no dialog."""
        return _TAG.search(self.to) is None

    @property
    def wants_oc(self) -> bool:
        return asks(self.via)

    def users(self) -> set[bytes]:
        """Who it is for, by Request-URI and To: what stands before the @, and numbers of tel URIs."""
        return {one or other for one, other in _URI_USER.findall(b"%b %b" % (self.uri, self.to))}


def glance(data: bytes, method: str) -> Glance | None:
    """Of a request of this method, which `data` begins with. None: the parser must look."""
    end = data.find(b"\r\n\r\n", 0, _HEAD_OCTETS)
    if end < 0:
        return None
    head = data[:end]
    lines = head.split(b"\r\n")
    others = len(lines) - 1
    if head.count(b"\n") != others or head.count(b"\r") != others or b"\r\n " in head or b"\r\n\t" in head:
        return None
    start = lines[0].split(b" ")
    if len(start) != 3 or start[2] != b"SIP/2.0":
        return None
    found: dict[str, bytes] = {}
    below: list[bytes] = []
    del lines[0]
    for line in lines:
        name, colon, value = line.partition(b":")
        slot = _SLOTS.get(name)
        if slot is None:
            if not colon or _ANY_SLOT.fullmatch(name):
                return None  # one of these in a spelling that hardly anybody has
        elif slot not in found:
            found[slot] = value.strip(b" \t")
        elif slot == "via":
            below.append(line)
        else:
            return None
    return _read(method, start[1], found, tuple(below)) if len(found) == 5 else None


def _read(method: str, uri: bytes, found: dict[str, bytes], below: tuple[bytes, ...]) -> Glance | None:
    top, from_, to, call_id, cseq = found["via"], found["from"], found["to"], found["call_id"], found["cseq"]
    if b"".join((uri, top, from_, to, call_id, cseq, *below)).translate(None, _PLAIN) or not call_id:
        return None
    number, _, said = cseq.partition(b" ")
    if not number.isdigit() or said.strip().decode("ascii") != method:
        return None
    via = top.decode("ascii")
    match = _TOP_VIA.fullmatch(via)
    if match is None:
        return None
    host, port, params = match.groups()
    branch = _BRANCH.search(params)
    if branch is None or _NOT_PLAIN.search(params) is not None:
        return None
    host = canonical_host(host)
    key = (branch[1], f"{host}:{int(port) if port else ''}", call_id.decode("ascii"), method)
    return Glance(uri, via, below, from_, to, call_id, cseq, key, host, port, params)


def answer(seen: Glance, flow: Flow, status: bytes, tag: bytes, fields: bytes, oc: str = "") -> SendMessage:
    """The response to `seen`, which came by `flow`. `status`: code and phrase. `fields`: whole lines. `oc`: what the
    client is told of overload, where it wants to hear it (RFC 7339).
    """
    via, back = _stamped(seen, flow)
    if oc:
        via = reported(via, oc)
    lines = (
        b"SIP/2.0 " + status,
        b"Via: " + via.encode("ascii"),
        *seen.vias,
        b"From: " + seen.from_,
        b"To: %b;tag=%b" % (seen.to, tag),
        b"Call-ID: " + seen.call_id,
        b"CSeq: " + seen.cseq,
        fields + b"Content-Length: 0\r\n\r\n",
    )
    return SendMessage(back, b"\r\n".join(lines))


def _stamped(seen: Glance, flow: Flow) -> tuple[str, Flow]:
    """The top Via with `received` and `rport`, and where the response goes (RFC 3261 §18.2, RFC 3581 §4)."""
    remote = flow.remote
    via = seen.via
    if ";rport" in seen.params:
        stamped = via.replace(";rport", f";rport={remote.port}", 1) if ";rport=" not in via else via
        return f"{stamped};received={remote.host}", flow
    if seen.host != remote.host:
        via = f"{via};received={remote.host}"
    port = int(seen.port or 5060)
    if flow.transport is not Transport.UDP or port == remote.port:
        return via, flow
    return via, Flow(flow.transport, flow.interface, flow.local, Address(remote.host, port))
