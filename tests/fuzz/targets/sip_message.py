"""A whole message: what is accepted is stable, and can be printed and read again; so is what a refusal is made of."""

from sbc.sip.errors import ParseError
from sbc.sip.message import Request
from sbc.sip.parse import parse_message
from sbc.sip.serialize import serialize
from tests.fuzz import seeds

INSTRUMENTED = ("sbc.sip",)
ACCEPTS = (ParseError,)
SEEDS = (*seeds.MESSAGES, seeds.INVITE, seeds.RESPONSE)
WORDS = seeds.WORDS
VIEWS = ("vias", "from_", "to", "call_id", "cseq", "contacts", "routes", "record_routes", "max_forwards")


def check(data):
    try:
        message = parse_message(data, stream=False)
    except ParseError as error:
        _can_be_answered(error)
        raise
    printed = serialize(message)
    again = parse_message(printed, stream=True)
    assert serialize(again) == printed
    assert again.body == message.body
    if isinstance(message, Request) or message.status < 300:
        for view in VIEWS:
            assert getattr(again, view) == getattr(message, view), view


def _can_be_answered(error):
    assert 400 <= error.status < 700
    assert error.reason.isascii()
    if error.partial is not None:
        serialize(error.partial)
