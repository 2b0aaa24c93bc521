"""What traces make of octets that no parser needs to have accepted: masks, ladders, captures, packets of HEP."""

from sbc.core.address import Address, Flow, Transport
from sbc.trace.hep import packet
from sbc.trace.ladder import draw, label_of, moves
from sbc.trace.masking import masked, masked_in_place
from sbc.trace.pcap import capture
from sbc.trace.recorder import Entry
from tests.fuzz import seeds

INSTRUMENTED = ("sbc.trace",)
ACCEPTS = ()
SEEDS = (
    *seeds.MESSAGES[:12],
    seeds.INVITE,
    seeds.RESPONSE,
    b"INFO x\r\nCSeq: 1 INFO\r\nContent-Type: application/dtmf-relay\r\n\r\nSignal=5\r\n",
    b'REGISTER x\r\nAuthorization: Digest response="a"\r\n b\r\n\r\n',
    b"INVITE sip:a:b@c;postd=5\r\n\r\na=crypto:1 X inline:abc|2^31\r\nk=clear:x\r\na=ice-pwd:y",
)  # fmt: skip
WORDS = (
    *seeds.WORDS,
    b"authorization:",
    b"inline:",
    b"a=crypto:",
    b"k=",
    b"a=ice-pwd:",
    b"postd=",
    b"dtmf",
    b"\x1b[31m",
)
FLOW = Flow(Transport.UDP, "inside", Address("192.0.2.1", 5060), Address("192.0.2.9", 5060))


def check(data):
    assert len(masked_in_place(data)) == len(data)
    shown = masked(data)
    assert masked(shown) == shown or b"(not shown)" in shown
    label = label_of(data)
    assert label.isprintable(), label
    entries = [Entry(1.0, "ingress", False, data, None, FLOW), Entry(1.5, "", False, None, data.decode("latin-1"))]
    drawn = draw(entries, peers={"ingress": "office"})
    assert all(line.isprintable() for line in drawn.split("\n")), drawn
    assert len(moves(entries)) == 1
    packet("ref", entries[0], 0.0, 1, None)
    capture(entries, 0.0)
