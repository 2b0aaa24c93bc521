"""What the media worker says: signalling's client takes it, or says that it cannot be read."""

import msgspec

from sbc.media import wire
from sbc.media.client import MediaClient
from tests.machines.worker_subjects import MemoryService, stream

INSTRUMENTED = ("sbc.media.client", "sbc.media.counting", "sbc.media.link", "sbc.media.wire")
ACCEPTS = (msgspec.DecodeError,)
_WORKER = MemoryService()
_PUT = wire.PutSession("a", 1, (stream(_WORKER),))
_WORKER.say(_PUT)
SEEDS = tuple(
    wire.encode(reply)
    for reply in (
        wire.Running(1, 4), wire.EngineReady("userland"), *_WORKER.say(wire.Query()), wire.DigitHeard("a", 0,
        "ingress", "5", 160),
        wire.Silent("a", 30.0), wire.StillHeard("127.0.0.10", 20000), wire.Refused("a", "why"),
        *_WORKER.say(wire.DeleteSession("a")),
    )
)  # fmt: skip
WORDS = (
    b"type",
    b"Running",
    b"Report",
    b"SessionEnded",
    b"DigitHeard",
    b"Silent",
    b"StillHeard",
    b"Refused",
    b"Keyed",
    b"ingress",
)


def check(data):
    client = MediaClient()
    client.ports_opened("127.0.0.10", (20000, 20002))
    client.ports_opened("127.0.0.20", (20000, 20002))
    client.worker_started()
    client.ask(_PUT)
    for reply in client.received(data):
        wire.decode_reply(wire.encode(reply))
    client.ask(wire.DeleteSession("a"))
    client.received(data)
    client.worker_lost()
    client.worker_started()
