"""What supervisor and signalling say to each other: read, or a DecodeError; and what was read is said again alike."""

import msgspec

from sbc.runtime.supervisor import wire

INSTRUMENTED = ("sbc.runtime.supervisor.wire",)
ACCEPTS = (msgspec.DecodeError,)
SEEDS = tuple(
    wire.encode(message)
    for message in (
        wire.Asked(1, wire.Listen("udp", "127.0.0.1", 5060, 0)), wire.Asked(2,
        wire.OpenPairs("127.0.0.1", 20000, 20100, 4, 46)),
        wire.Asked(3, wire.HeldPairs()), wire.Asked(4, wire.StartWorker(0)),
        wire.Asked(5, wire.JournalMemory()), wire.ReplaceWorker(1), wire.Beat("x"),
        wire.Stopping(),
        wire.CloseListener("tcp", "::1", 1), wire.ClosePairs("127.0.0.1", (20000,)), wire.Ready("unix:/x"),
        wire.Answered(1, wire.Opened()), wire.Answered(2, wire.Pairs("127.0.0.1", (20000,), "short")),
        wire.Answered(3, wire.WorkerAt(b"\0x")), wire.Answered(4, wire.Failed(98, "in use")),
    )
)  # fmt: skip


def check(data):
    readable = 0
    for decode in (wire.decode_message, wire.decode_answer):
        try:
            said = decode(data)
        except msgspec.DecodeError:
            continue
        readable += 1
        assert decode(wire.encode(said)) == said
    if not readable:
        raise msgspec.DecodeError("neither")
