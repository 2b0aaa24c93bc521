"""What the helper that may change the firewall is told, and answers: read in bounds, or ValueError."""

from sbc.runtime import ban_wire

INSTRUMENTED = ("sbc.runtime.ban_wire",)
ACCEPTS = (ValueError,)
SEEDS = tuple(
    ban_wire.encode(said)
    for said in (
        ban_wire.Replace((5060, 5061), (ban_wire.Banned("192.0.2.1", 600), ban_wire.Banned("2001:db8::/64", 60))),
        ban_wire.Change(("192.0.2.1",), (ban_wire.Banned("192.0.2.2", -1),)),
        ban_wire.Clear(),
        ban_wire.Answer("why"),
    )
)
WORDS = (b"type", b"Replace", b"Change", b"Clear", b"192.0.2.1", b"lifts", b"bans", b"ports")


def check(data):
    readable = 0
    for decode in (ban_wire.decode_message, ban_wire.decode_answer):
        try:
            said = decode(data)
        except ValueError:
            continue
        readable += 1
        assert decode(ban_wire.encode(said)) == said
    if not readable:
        raise ValueError("neither")
