"""Why a call or an attempt ended: one value that knows its SIP status, Q.850 cause and name in the CDR.

Mapping from RFC 3398 §7.2.4.1 and §8.2.6.1, with the names of the CDR's `cause` column.
"""

import enum
from typing import Final


class Cause(enum.StrEnum):
    """The CDR's `cause`. The status is what an unanswered ingress leg gets when nothing more exact is known."""

    NORMAL = "normal"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    NOT_FOUND = "not_found"
    NO_ROUTE = "no_route"
    NO_REPLY = "no_reply"
    UNREACHABLE = "unreachable"
    FAILED = "failed"
    PATHS_FULL = "paths_full"
    RATE_LIMITED = "rate_limited"
    OVERLOAD = "overload"
    MEDIA_TIMEOUT = "media_timeout"
    SESSION_EXPIRED = "session_expired"
    NO_ACK = "no_ack"
    OPERATOR = "operator"
    SHUTDOWN = "shutdown"
    INTERNAL = "internal"

    @property
    def status(self) -> int:
        return _STATUS[self]

    @property
    def q850(self) -> int:
        return _Q850[self]


_STATUS: Final = {
    Cause.NORMAL: 200,
    Cause.BUSY: 486,
    Cause.NO_ANSWER: 480,
    Cause.CANCELLED: 487,
    Cause.REJECTED: 403,
    Cause.NOT_FOUND: 404,
    Cause.NO_ROUTE: 404,
    Cause.NO_REPLY: 408,
    Cause.UNREACHABLE: 503,
    Cause.FAILED: 500,
    Cause.PATHS_FULL: 503,
    Cause.RATE_LIMITED: 503,
    Cause.OVERLOAD: 503,
    Cause.MEDIA_TIMEOUT: 500,
    Cause.SESSION_EXPIRED: 500,
    Cause.NO_ACK: 500,
    Cause.OPERATOR: 480,
    Cause.SHUTDOWN: 503,
    Cause.INTERNAL: 500,
}

_Q850: Final = {
    Cause.NORMAL: 16,
    Cause.BUSY: 17,
    Cause.NO_ANSWER: 19,
    Cause.CANCELLED: 16,
    Cause.REJECTED: 21,
    Cause.NOT_FOUND: 1,
    Cause.NO_ROUTE: 3,
    Cause.NO_REPLY: 18,
    Cause.UNREACHABLE: 38,
    Cause.FAILED: 41,
    Cause.PATHS_FULL: 34,
    Cause.RATE_LIMITED: 42,
    Cause.OVERLOAD: 42,
    Cause.MEDIA_TIMEOUT: 41,
    Cause.SESSION_EXPIRED: 102,
    Cause.NO_ACK: 102,
    Cause.OPERATOR: 31,
    Cause.SHUTDOWN: 41,
    Cause.INTERNAL: 41,
}

_CAUSE_OF_STATUS: Final = {
    400: Cause.FAILED,
    401: Cause.REJECTED,
    402: Cause.REJECTED,
    403: Cause.REJECTED,
    404: Cause.NOT_FOUND,
    407: Cause.REJECTED,
    408: Cause.NO_ANSWER,
    410: Cause.NOT_FOUND,
    415: Cause.FAILED,
    480: Cause.NO_ANSWER,
    481: Cause.FAILED,
    484: Cause.NOT_FOUND,
    486: Cause.BUSY,
    487: Cause.CANCELLED,
    488: Cause.FAILED,
    600: Cause.BUSY,
    603: Cause.REJECTED,
    604: Cause.NOT_FOUND,
    606: Cause.FAILED,
    607: Cause.REJECTED,
    608: Cause.REJECTED,
}

# RFC 3398 §7.2.4.1: the Q.850 cause that a SIP failure stands for when the peer names none.
_Q850_OF_STATUS: Final = {
    400: 41, 401: 21, 402: 21, 403: 21, 404: 1, 405: 63, 406: 79, 407: 21, 408: 102, 410: 22, 413: 127, 414: 127,
    415: 79, 416: 127, 420: 127, 421: 127, 423: 127, 480: 18, 481: 41, 482: 25, 483: 25, 484: 28, 485: 1, 486: 17,
    487: 16, 488: 88, 500: 41, 501: 79, 502: 38, 503: 41, 504: 102, 505: 127, 513: 127, 600: 17, 603: 21, 604: 1,
    606: 88, 607: 21, 608: 21,
}  # fmt: skip


def cause_of_status(status: int) -> Cause:
    """The cause that a final SIP failure means for the CDR."""
    return _CAUSE_OF_STATUS.get(status, Cause.FAILED)


def q850_of_status(status: int) -> int:
    """The Q.850 cause of a final SIP status; 31 (normal, unspecified) where RFC 3398 names none."""
    return 16 if status < 300 else _Q850_OF_STATUS.get(status, 31)
