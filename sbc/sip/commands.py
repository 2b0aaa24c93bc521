"""What the SIP stack orders the runtime to do. Imperative values; the runtime carries them out and never answers at once."""

from msgspec import Struct

from sbc.core.address import Flow


class SendMessage(Struct, frozen=True):
    """Send these octets. A flow with connection 0 on a stream transport means: find or open one to `flow.remote`.

    What fails later comes back as `FlowFailed` for the same flow.
    """

    flow: Flow
    data: bytes


class CloseFlow(Struct, frozen=True):
    """Close a stream connection after what is already queued has been sent."""

    flow: Flow


class Resolve(Struct, frozen=True):
    """Look up the addresses of a host name; answered by `Resolved`, also on failure (then without addresses)."""

    host: str
