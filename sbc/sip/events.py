"""What the runtime tells the SIP stack, besides received octets. Past tense: facts."""

from msgspec import Struct

from sbc.core.address import Flow


class FlowFailed(Struct, frozen=True):
    """Octets for `flow.remote` could not be delivered: ICMP refusal, connection refused or reset, outbox full."""

    flow: Flow
    reason: str


class Resolved(Struct, frozen=True):
    """Answer to `Resolve`: IP literals in the order to be tried; none when the name has none or nobody answered."""

    host: str
    addresses: tuple[str, ...]
