"""What one side is told of the other side's refusal. A redirection, a challenge, and what is wrong with our own request
concern us, and never cross (RFC 3261 §21.3, §21.4). Used by setting up and by changing a session.
"""

from typing import Final

# These must say more (Allow, Accept, Unsupported, Min-SE …) about a request that the asking side has never seen.
_OURS: Final = frozenset({405, 415, 416, 420, 421, 422, 423, 494})


def crossing_status(status: int) -> int:
    if status in (401, 407):
        return 403
    return 502 if status < 400 or status in _OURS else status
