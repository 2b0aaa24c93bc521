"""A stream of RTP with known faults: what is sent when, and what whoever counts must find (RFC 3550 §6.4.1, §A.3)."""

import random
from dataclasses import dataclass

PACKET_SECONDS = 0.02
_QUIET = 60  # packets at the beginning and at the end of each stream without a fault, so that each fault is seen as one


@dataclass(frozen=True)
class Disturbed:
    """`count` packets are due, one each 20 ms; of them so many are never sent, sent twice, or sent behind the next two.

    Every second one leaves `late_ms` late, so that the interarrival jitter comes to be just that.
    """

    count: int
    lost: int
    doubled: int
    late: int
    late_ms: float
    seed: int = 0

    @property
    def packets(self) -> int:
        return self.count - self.lost + self.doubled

    def schedule(self) -> list[tuple[float, int]]:
        """When to send which sequence number: in order of time."""
        rng = random.Random(self.seed)
        places = range(_QUIET, self.count - _QUIET, 8)  # far enough from each other
        chosen = rng.sample(list(places), self.lost + self.doubled + self.late)
        lost = set(chosen[: self.lost])
        doubled = set(chosen[self.lost : self.lost + self.doubled])
        late = set(chosen[self.lost + self.doubled :])
        sent: list[tuple[float, int]] = []
        for n in range(self.count):
            if n in lost:
                continue
            at = n * PACKET_SECONDS + (n % 2) * self.late_ms / 1000
            sent.append((at + (2.5 * PACKET_SECONDS if n in late else 0), n))
            if n in doubled:
                sent.append((at + 0.001, n))
        return sorted(sent)
