"""What the next life of signalling shall know of a trunk's registration: the binding that the carrier holds, a refusal,
or how long nobody has answered.

So that a restart of hundreds of trunks is no storm of REGISTERs, and a trunk whose registration was rejected gets no
calls. Call-ID and CSeq are kept apart (`numbering`). Used by `registration`.
"""

from typing import Final

import msgspec
from msgspec import Struct

from sbc.core.address import Flow
from sbc.peering.views import RegistrationState
from sbc.policy.model import Register

KEPT: Final = "registered"  # what keys of it begin with


class SavedRegistration(Struct, frozen=True, omit_defaults=True):
    """Times are of the engine's clock. `register`, `interface`, `shown` (the address that our Contact names instead of
    the listener's): what it is good for. `flow`, `expires_at`: of the binding; None: there is none. `next_at`: of the
    next REGISTER.
    """

    register: Register
    interface: str
    shown: str | None
    state: RegistrationState
    since: float
    why: str
    next_at: float
    flow: Flow | None = None
    expires_at: float = 0.0
    failures: int = 0
    is_doubted: bool = False
    trouble: str = ""

    def is_for(self, register: Register, interface: str, shown: str | None) -> bool:
        return (self.register, self.interface, self.shown) == (register, interface, shown)


def encode(saved: SavedRegistration) -> bytes:
    return _encoder.encode(saved)


def decode(data: bytes | None) -> SavedRegistration | None:
    """None where nothing was kept, or nothing that can be used."""
    try:
        return None if data is None else _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[SavedRegistration] = msgspec.msgpack.Decoder(SavedRegistration)
