"""What the media worker is told: no request breaks it, and each answer can be read by signalling.

The first octet says how many of the messages that follow (two octets of length each) come one after another.
"""

import msgspec

from sbc.media import wire
from tests.machines.worker_subjects import CONFIGURE, MemoryService, stream

INSTRUMENTED = ("sbc.media.worker", "sbc.media.wire")
ACCEPTS = (msgspec.DecodeError,)


def framed(*requests):
    return b"".join(len(data).to_bytes(2) + data for data in map(wire.encode, requests))


_STREAM = stream(MemoryService())
_PUT = wire.PutSession("a", 1, (_STREAM,))
SEEDS = (
    framed(_PUT, wire.PlayDigit("a", 0, "egress", "5", 160), wire.Query(), wire.DeleteSession("a"), wire.Synced()),
    framed(CONFIGURE, wire.AddPorts("127.0.0.10", (20000,)), wire.DropPorts("127.0.0.10", (20002, 20000)), _PUT),
    framed(
        msgspec.structs.replace(_PUT, streams=(msgspec.structs.replace(_STREAM, events=(101, 96), plays_digits=True),))
    ),
    framed(_PUT, msgspec.structs.replace(_PUT, generation=2, early=True, silence_seconds=1.0), wire.Query("a")),
)
WORDS = (
    b"type",
    b"PutSession",
    b"DeleteSession",
    b"Query",
    b"Synced",
    b"Configure",
    b"PlayDigit",
    b"127.0.0.10",
    b"address",
    b"off",
)


def check(data):
    worker = MemoryService()
    at = taken = 0
    while at + 2 <= len(data):
        size = int.from_bytes(data[at : at + 2])
        request = data[at + 2 : at + 2 + size]
        at += 2 + size
        try:
            wire.decode_request(request)
        except msgspec.DecodeError:
            # The process that reads such a message has another program at its other end, and ends the connection.
            continue
        taken += 1
        replies = list(worker.service.receive(request))
        for reply in replies:
            wire.decode_reply(wire.encode(reply))
        worker.wait(0.5)
    if not taken:
        raise msgspec.DecodeError("nothing of it")
    worker.service.disconnected(worker.now)
    worker.wait(70.0)
    worker.say(wire.Query())
