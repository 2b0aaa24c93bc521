"""What is read of a request before it is parsed: where both read it, they read the same, and the refusal is sound."""

from sbc.core.address import Address, Flow, Transport
from sbc.sip import glance as looks
from sbc.sip.errors import ParseError
from sbc.sip.message import Request
from sbc.sip.parse import parse_message
from tests.fuzz import seeds

INSTRUMENTED = ("sbc.sip.glance", "sbc.sip.scan")
ACCEPTS = (ParseError,)
FLOW = Flow(Transport.UDP, "inside", Address("10.0.0.1", 5060), Address("10.0.0.5", 5060))
SEEDS = (seeds.INVITE, *(message for message in seeds.MESSAGES if message.startswith((b"INVITE", b"OPTIONS"))))
WORDS = (*seeds.WORDS, b";received=", b";Received=", b";RECEIVED", b";rport", b";maddr=", b";oc")


def check(data):
    method = data.partition(b" ")[0].decode("latin-1")
    seen = looks.glance(data, method) if method.isascii() and method.isalpha() else None
    message = parse_message(data, stream=False)
    if seen is None or not isinstance(message, Request):
        return
    assert seen.call_id.decode() == message.call_id
    assert seen.key[0] == message.via.branch
    assert message.to.tag is None or not seen.is_new  # what only looks like a tag is left to the parser
    refusal = looks.answer(seen, FLOW, b"503 Service Unavailable", b"tag", b"")
    answer = parse_message(refusal.data, stream=True)
    assert answer.cseq == message.cseq
    assert answer.via.branch == message.via.branch
    assert len(refusal.data) <= len(data) + 200
