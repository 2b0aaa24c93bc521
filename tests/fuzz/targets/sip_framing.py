"""A stream: framer and parser see the same messages, however it is cut. Nothing can be hidden between two readings.

The first octet says how the rest is cut.
"""

import random

from sbc.core import limits
from sbc.sip.errors import ParseError
from sbc.sip.framing import BadFrame, Ping, StreamFramer
from sbc.sip.parse import parse_message
from sbc.sip.serialize import serialize
from tests.fuzz import seeds

INSTRUMENTED = ("sbc.sip.framing", "sbc.sip.parse", "sbc.sip.scan")
ACCEPTS = ()
_L = b"\r\nContent-Length: 4\r\n"
SEEDS = (
    *(b"\3" + message for message in seeds.MESSAGES),
    b"\5" + seeds.INVITE + b"\r\n\r\n" + seeds.RESPONSE + b"\r\n",
    *(
        b"\7" + seeds.RESPONSE.replace(b"\r\nContent-Length: 0\r\n", length) + b"BYE " + seeds.INVITE
        for length in (
            _L + b"l: 0\r\n", _L.replace(b":", b" :"), _L.replace(b": ", b":\r\n "), _L.replace(b"h:", b"h\r\n :"),
            _L.replace(b"4", b"4\n"), _L.replace(b"4", b"4\r"), b"\r\n X: 1" + _L, b"\nl: 9" + _L, b"\r\rl: 9" + _L,
            _L.replace(b"4", b"+4"), _L.replace(b"4", b"0x4"), _L.replace(b"4", b"4, 4"), _L.replace(b"4", b"\x0b4"),
            _L.replace(b"4", b"0000000004"), _L.replace(b"t-L", b"t_L"), _L.replace(b": ", b"\0: "), b"\r\n\t" + _L,
        )
    ),
)  # fmt: skip
WORDS = seeds.WORDS


def check(data):
    cuts, stream = data[:1], data[1:]
    frames = _frames([stream])
    for one in (_frames(_cut(stream, cuts)), _frames([stream[i : i + 1] for i in range(len(stream))])):
        assert one == frames
    _agrees(stream, frames)


def _cut(stream, seed):
    chance = random.Random(seed)
    at = 0
    while at < len(stream):
        size = chance.randint(1, 40)
        yield stream[at : at + size]
        at += size


def _frames(chunks):
    framer = StreamFramer()
    return [frame for chunk in chunks for frame in framer.feed(chunk, 0.0)]


def _agrees(stream, frames):
    """What the parser reads is the whole frame, to the octet; and what cannot be framed it does not read either."""
    at = 0
    for frame in frames:
        if isinstance(frame, Ping):
            continue
        if isinstance(frame, BadFrame):
            if "too large" not in frame.reason:
                assert _read(frame.data + bytes(limits.MESSAGE_OCTETS - len(frame.data))) is None, frame.reason
            return
        at = stream.index(frame, at) + len(frame)
        message = _read(frame)
        if message is not None:
            head = frame.index(b"\r\n\r\n") + 4
            assert int(message.header("Content-Length")) == len(frame) - head
            assert message.body == frame[head:]
            # What we send on is one message to the next reader as well.
            assert _frames([serialize(message)]) == [serialize(message)]


def _read(data):
    try:
        return parse_message(data, stream=True)
    except ParseError:
        return None
