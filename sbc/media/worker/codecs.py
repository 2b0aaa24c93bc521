"""How one coding of a voice stream becomes another: the interface of a codec, and what the worker asks for.

A codec is plugged in as a `Codec` and a line in `CODECS`; two of them meet in linear samples at one rate. A pair that
has a shorter way, as the two laws of G.711 have, is in `_DIRECT`. Recoding a packet of one stream is one call; the
packets' headers, and which payload types it is for, are the session's. Nothing here resamples or hides lost packets.
"""

from array import array
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, Protocol

from sbc.media.worker.g711 import G711, a_to_mu, mu_to_a

Transcoder = Callable[[bytes], bytes]  # the payload of one packet -> that of the packet that takes its place


class Codec(Protocol):
    """One direction of one stream, with what it has to remember from packet to packet.

    `name`: the encoding name, upper case. `rate`: linear samples a second, which need not be the RTP clock's rate
    (RFC 3551 §4.5.2: G.722 samples at 16 kHz and its clock says 8). Samples have 16 bits and one channel.
    Neither direction raises: what cannot be decoded becomes no samples, and no samples become no octets.
    """

    @property
    def name(self) -> str: ...
    @property
    def rate(self) -> int: ...
    def decode(self, payload: bytes) -> "array[int]": ...
    def encode(self, samples: "array[int]") -> bytes: ...


CODECS: Final[Mapping[str, Callable[[], Codec]]] = MappingProxyType(
    {"PCMA": lambda: G711("PCMA"), "PCMU": lambda: G711("PCMU")}
)
_DIRECT: Final[Mapping[tuple[str, str], Callable[[], bytes]]] = MappingProxyType(
    {("PCMA", "PCMU"): a_to_mu, ("PCMU", "PCMA"): mu_to_a}
)


def can_recode(source: str, target: str) -> bool:
    return (source, target) in _DIRECT or _meet(source, target, CODECS) is not None


def transcoder(source: str, target: str, codecs: Mapping[str, Callable[[], Codec]] = CODECS) -> Transcoder | None:
    """From one encoding name to another, with a state of its own; None where that cannot be done."""
    table = _DIRECT.get((source, target))
    if table is not None:
        octets = table()
        return lambda payload: payload.translate(octets)
    both = _meet(source, target, codecs)
    if both is None:
        return None
    decoder, encoder = both
    return lambda payload: encoder.encode(decoder.decode(payload))


def _meet(source: str, target: str, codecs: Mapping[str, Callable[[], Codec]]) -> tuple[Codec, Codec] | None:
    """A codec for each half of the way, where both speak of the same linear samples."""
    if source == target or source not in codecs or target not in codecs:
        return None
    decoder, encoder = codecs[source](), codecs[target]()
    return (decoder, encoder) if decoder.rate == encoder.rate else None
