"""What supervisor and signalling say to each other, and what one supervisor leaves to the next: read, or an error that
says so; and what was read is said again alike.
"""

import msgspec

from sbc.runtime.supervisor import inheritance, wire
from sbc.runtime.supervisor.inheritance import Inheritance, LeftListener, LeftPairs, LeftWorker, UnreadableError

INSTRUMENTED = ("sbc.runtime.supervisor.wire", "sbc.runtime.supervisor.inheritance")
ACCEPTS = (msgspec.DecodeError,)
SEEDS = tuple(
    wire.encode(message)
    for message in (
        wire.Asked(1, wire.Listen("udp", "127.0.0.1", 5060, 0)), wire.Asked(2,
        wire.OpenPairs("127.0.0.1", 20000, 20100, 4, 46)),
        wire.Asked(3, wire.HeldPairs()), wire.Asked(4, wire.StartWorker(0)),
        wire.Asked(5, wire.JournalMemory("00" * 16)), wire.ReplaceWorker(1), wire.Beat("x"),
        wire.Stopping(), wire.Restart(),
        wire.Answered(0, wire.RestartRefused("no")), wire.Answered(0, wire.RestartBegins()),
        wire.CloseListener("tcp", "::1", 1), wire.ClosePairs("127.0.0.1", (20000,)), wire.Ready("unix:/x"),
        wire.Answered(1, wire.Opened()), wire.Answered(2, wire.Pairs("127.0.0.1", (20000,), "short")),
        wire.Answered(3, wire.WorkerAt(b"\0x")), wire.Answered(4, wire.Failed(98, "in use")),
    )
)  # fmt: skip
SEEDS += (
    inheritance.encode(
        Inheritance(
            inheritance.VERSION, tuple(range(8)), (LeftListener("udp", "::1", 5060),), (LeftPairs("::1", (20000,)),),
            (LeftWorker(0, 7, 4),), ("journal",), -9, True, (15,), 8,
        )
    ),
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
    try:
        left = inheritance.decode(data)
    except UnreadableError:
        pass
    else:
        readable += 1
        assert inheritance.decode(inheritance.encode(left)) == left
    if not readable:
        raise msgspec.DecodeError("neither")
