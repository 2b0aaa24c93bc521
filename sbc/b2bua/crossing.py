"""What one side is told of the other side's refusal. A redirection, a challenge, and what is wrong with our own request
concern us, and never cross (RFC 3261 §21.3, §21.4). Used by setting up and by changing a session.
"""

from typing import Final

# These must say more (Allow, Accept, Unsupported, Min-SE …) about a request that the asking side has never seen.
_OURS: Final = frozenset({405, 415, 416, 420, 421, 422, 423, 494})

ENDING: Final = frozenset({404, 408, 410, 416, 480, 481, 482, 483, 484, 485, 502, 604})
"""By these, in answer to a request within a call, a peer would end its own dialog: "a 481 (Call/Transaction Does Not
Exist) or a 408 (Request Timeout), the UAC SHOULD terminate the dialog", RFC 3261 §12.2.1.2, and some do at others,
about an address. Neither what a request met on the other side nor a transfer to a wrong number is a reason to end a
call that people talk in."""


def crossing_status(status: int) -> int:
    if status in (401, 407):
        return 403
    return 502 if status < 400 or status in _OURS else status
