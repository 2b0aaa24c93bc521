"""What the runtime tells the SIP stack, besides received octets. Past tense: facts."""

from msgspec import Struct

from sbc.core.address import Flow
from sbc.sip.commands import RecordKind


class FlowFailed(Struct, frozen=True):
    """Octets for `flow.remote` could not be delivered: ICMP refusal, connection refused or reset, outbox full.

    `was_open`: what was sent by this flow went out on a connection that stood already; a new one may do better.
    """

    flow: Flow
    reason: str
    was_open: bool = False


class FlowClosed(Struct, frozen=True):
    """A stream connection was ended in order, by its peer or for idleness: nothing can be sent on it any more.

    What was on its way may still arrive, so that no request has failed; but nobody is reached there from now on.
    `senders`: flows without a number by which something went out on it while it stood.
    """

    flow: Flow
    senders: tuple[Flow, ...] = ()


class Ponged(Struct, frozen=True):
    """A keep-alive of ours on this connection was answered, or something else has come by it (RFC 5626 §3.5.1)."""

    flow: Flow


class SrvRecord(Struct, frozen=True):
    """RFC 2782."""

    priority: int
    weight: int
    port: int
    target: str


class NaptrRecord(Struct, frozen=True):
    """RFC 3403 §4.1; `regexp` is not used by SIP server look-up (RFC 3263 §4.1)."""

    order: int
    preference: int
    flags: str
    service: str
    replacement: str


class LookedUp(Struct, frozen=True):
    """Answer to `LookUp`. Names are lower case without a final dot. `ttl`: seconds, also of a negative answer.

    `failed`: nobody answered (time-out, SERVFAIL, refused), so that what was known before stays good; an answer that
    says that there is no such record (NXDOMAIN, NODATA) is not a failure and has no records.
    """

    name: str
    kind: RecordKind
    addresses: tuple[str, ...] = ()  # A and AAAA: canonical IP literals
    srv: tuple[SrvRecord, ...] = ()
    naptr: tuple[NaptrRecord, ...] = ()
    ttl: float = 60.0
    failed: str = ""
