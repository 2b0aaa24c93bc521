"""Which source may send to one of our ports, learned once and then kept (a machine; RFC 7362 tells the risks).

What comes from just where the SDP says is the far end, from its first packet on. Where `address` or `nat` allow another
source, it is believed when PROBATION packets of one RTP stream have come in a row (RFC 3550 §A.1 asks for two); they
are kept meanwhile, and relayed then. From then on that source alone is heard; all others are foreign. A new description
opens the latch once more, for LEARNING_SECONDS and one change. RTCP never moves RTP (`rtcp_latch`).
A source that was learned from elsewhere gives way, for LEARNING_SECONDS, to one that is just where the SDP says: with
`address`, and wherever such a one had been locked before. So whoever shares the far end's address, be it another call's
old stream or an attacker, does not keep it out.
So a stranger can neither be heard nor draw media to itself, but within what `address` and `nat` leave open: whoever can
send from the SDP's address, or from within `media_from`, before the far end has been heard. Our own addresses never.
`carry` asks for every packet that is not from the source that its inlet knows; there is one for each port pair of a
session (`far_end`).
"""

import socket
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from typing import Final

from sbc.core import limits
from sbc.media.wire import End

PROBATION: Final = 4
LEARNING_SECONDS: Final = 10.0
_RESUMING_SECONDS: Final = 2.0  # in which a stream that flowed before the worker's death would have gone on
_LONGEST_PREFIX: Final = {4: 32, 16: 128}

# What `hears` finds
FOREIGN: Final = 0
OURS: Final = 1
KEPT: Final = 2  # on probation: to be relayed when it has been passed, or never
LOCKED: Final = 3  # this packet has locked its source: what was kept comes first

Source = tuple[str, int] | tuple[str, int, int, int]  # as recvfrom has it; of IPv6 with flow and scope
Target = tuple[str, int]
Kept = tuple[bytes, int]  # a packet, and when it came, in nanoseconds

NOWHERE: Final = ("", 0)


class Latch:
    """The RTP source of one end. `source`: the locked one, in the form in which it comes; None: none yet.

    `foreign`: packets that were kept and turned out to be a stranger's; the owner's to take. `stranger`: for the owner
    to note who came last of those that were not let in.
    """

    __slots__ = (
        "_candidates",
        "_continues",
        "_end",
        "_host",
        "_is_exact_due",
        "_is_rtp",
        "_networks",
        "_open_until",
        "_own",
        "_port",
        "_resuming_until",
        "foreign",
        "kept",
        "locked",
        "source",
        "stranger",
    )

    def __init__(self) -> None:
        self._end: End | None = None
        self._host, self._port = NOWHERE
        self._own: Collection[str] = ()
        self._networks: tuple[Network, ...] = ()
        self._is_rtp = True
        self._open_until = 0.0
        self._is_exact_due = False  # while it is open, only the SDP's address and port may be locked
        self._resuming_until = 0.0
        self._continues: Callable[[int, int], bool] | None = None
        self._candidates: OrderedDict[Source, Candidate] = OrderedDict()
        self.source: Source | None = None
        self.locked: Target = NOWHERE  # `source`, canonical
        self.kept: list[Kept] = []  # of the source that has just been locked, but for the packet that locked it
        self.foreign = 0
        self.stranger: Source | None = None

    def put(self, end: End, own: Collection[str], now: float, *, is_rtp: bool = True) -> None:
        """The end as it is from now on. A description that is new, or differs, opens the latch once more."""
        former, self._end = self._end, end
        self._own, self._is_rtp = own, is_rtp
        if self.locked[0] in own:
            self._unlock()
        if former is not None and not is_news(former, end):
            return
        self._networks = tuple(read_networks(end.media_from))
        self._forget()
        self._open_until = now + LEARNING_SECONDS
        self._is_exact_due = False
        self._resuming_until = now + _RESUMING_SECONDS
        before = self._host
        self._host, self._port = NOWHERE
        if end.remote is not None:
            self._host, self._port = canonical(end.remote.host), end.remote.port
        is_exact = self.locked == (self._host, self._port)
        is_kept = before == self._host and end.latching != "strict" and self._may_be(self.locked[0])
        if not is_exact and not is_kept:
            self._unlock()

    def is_shut(self, now: float) -> bool:
        """Whether it is certain that the source stays as it is, until the next description."""
        return self.source is not None and (now >= self._open_until or self._is_certain())

    def may_be(self, host: str, port: int) -> bool:
        """Whether a source may be locked at all. `host` is canonical."""
        return host not in self._own and ((host, port) == (self._host, self._port) or self._may_be(host))

    def may_hear(self, source: Source) -> bool:
        """Whether a packet from there may be ours, now or when it has been on probation."""
        return source == self.source or self.may_be(*origin(source))

    def may_learn(self, source: Source, now: float) -> bool:
        """Whether `hears` may find anything but FOREIGN: it is worth it to find out whether a packet is authentic."""
        at = origin(source)
        if at == self.locked:
            return True
        if self._end is None or self._end.remote is None or (self.source is not None and now >= self._open_until):
            return False
        if at[0] in self._own or not all(at):
            return False
        return at == (self._host, self._port) or (not self._is_exact_due and self._may_be(at[0]))

    def relock(self, source: Source) -> None:
        """That one was locked before, as the engine tells; where it may be, and nobody is locked yet."""
        at = origin(source)
        if self.source is None and self.may_be(*at):
            self._lock(source, at)

    def resume(self, continues: Callable[[int, int], bool]) -> None:
        """Another worker had locked a source, which is not known. Who goes on with its stream, is it. For a moment
        nobody else is learned, but just where the SDP says.

        `continues`: whether a sequence number and an SSRC do. A stranger would have to know both.
        """
        self._continues = continues

    def hears(self, packet: bytearray, size: int, source: Source, now_ns: int) -> int:
        """Judge one packet that has the shape of its stream, and come from `source`."""
        if source == self.source:
            return OURS
        # Deviation: "the IETF advises against use of the latching mechanism over the Internet" (RFC 7362, Abstract).
        # Most carriers and PBXs know nothing else; `strict` does without, and `nat` is for those alone who ask for it.
        now, at = now_ns / 1e9, origin(source)
        if at == self.locked:  # said in another way, as who locked it for us had it
            self.source = source
            return LOCKED
        if self._end is None or self._end.remote is None or (self.source is not None and now >= self._open_until):
            return FOREIGN
        if at[0] in self._own or not all(at):  # nobody can be sent to at port 0
            return FOREIGN
        if at == (self._host, self._port):
            self._lock(source, at)
            return LOCKED
        if self._is_exact_due or not self._may_be(at[0]) or size > limits.LATCH_KEPT_OCTETS:
            return FOREIGN
        if self._continues is not None:
            if self._continues(int.from_bytes(packet[2:4]), int.from_bytes(packet[8:12])):
                self._lock(source, at)
                return LOCKED
            if now < self._resuming_until:
                return FOREIGN
        return self._probe(packet, size, source, at, now_ns)

    def hears_rtcp(self, source: Source) -> bool:
        """RTCP on the port of RTP (RFC 5761): from the source of RTP, or from just where the SDP says."""
        if source == self.source:
            return True
        at = origin(source)
        return at[0] not in self._own and at in {self.locked, (self._host, self._port)} - {NOWHERE}

    def take_kept(self) -> list[Kept]:
        kept, self.kept = self.kept, []
        return kept

    def target(self) -> Target | None:
        """Where RTP for this end goes: where its SDP says; with nat, to what is locked. Never to ourselves."""
        end = self._end
        if end is None or end.remote is None:
            return None
        if end.latching == "nat" and self.source is not None:
            return (self.source[0], self.source[1])
        return None if self._host in self._own else (end.remote.host, end.remote.port)

    def _may_be(self, host: str) -> bool:
        latching = self._end.latching if self._end is not None else "strict"
        if latching == "address":
            return host == self._host != ""
        return latching == "nat" and any(network.holds(host) for network in self._networks)

    def _is_certain(self) -> bool:
        """Nothing but the locked source could be locked: with strict there is no other."""
        return self._end is not None and self._end.latching == "strict" and self.locked == (self._host, self._port)

    def _probe(self, packet: bytearray, size: int, source: Source, at: Target, now_ns: int) -> int:
        candidates = self._candidates
        candidate = candidates.get(source)
        if candidate is None:
            if len(candidates) >= limits.LATCH_CANDIDATES:
                self.foreign += len(candidates.popitem(last=False)[1].kept)
            candidate = candidates[source] = Candidate()
        candidates.move_to_end(source)
        self.foreign += candidate.take(packet, size, now_ns, is_rtp=self._is_rtp)
        if len(candidate.kept) < PROBATION:
            return KEPT
        del candidates[source]
        had_exact = self.locked == (self._host, self._port)
        self._lock(source, at)
        self.kept = candidate.kept[:-1]
        if had_exact or (self._end is not None and self._end.latching == "address"):
            self._is_exact_due = True
            self._open_until = now_ns / 1e9 + LEARNING_SECONDS
        return LOCKED

    def _lock(self, source: Source, at: Target) -> None:
        self._forget()
        self.source, self.locked = source, at
        self._open_until = 0.0
        self._is_exact_due = False
        self._continues = None

    def _unlock(self) -> None:
        self.source, self.locked = None, NOWHERE
        self._is_exact_due = False

    def _forget(self) -> None:
        self.foreign += sum(len(candidate.kept) for candidate in self._candidates.values())
        self._candidates.clear()
        self.kept = []


class Candidate:
    """A source on probation: its latest packets in a row."""

    __slots__ = ("_next", "_ssrc", "kept")

    def __init__(self) -> None:
        self.kept: list[Kept] = []
        self._next = 0
        self._ssrc = b""

    def take(self, packet: bytearray, size: int, now_ns: int, *, is_rtp: bool) -> int:
        """Returns how many kept packets it does not go on from: it begins anew with this one."""
        sequence, ssrc = int.from_bytes(packet[2:4]), bytes(packet[8:12])
        lost = 0
        if is_rtp and (sequence != self._next or ssrc != self._ssrc):
            lost = len(self.kept)
            self.kept = []
        self._next, self._ssrc = (sequence + 1) & 0xFFFF, ssrc
        self.kept.append((bytes(memoryview(packet)[:size]), now_ns))
        return lost


class Network:
    """Addresses that begin alike."""

    __slots__ = ("_bits", "_octets", "_shift")

    def __init__(self, text: str) -> None:
        """CIDR text, or one address. Raises OSError or ValueError on others."""
        host, _, length = text.partition("/")
        octets = _packed(canonical(host))
        longest = _LONGEST_PREFIX[len(octets)]
        prefix = int(length) if length else longest
        if not 0 <= prefix <= longest:
            raise ValueError(f"no network: {text!r}")
        self._octets = len(octets)
        self._shift = longest - prefix
        self._bits = int.from_bytes(octets) >> self._shift

    def holds(self, host: str) -> bool:
        """`host` is canonical, or empty."""
        if not host:
            return False
        octets = _packed(host)
        return len(octets) == self._octets and int.from_bytes(octets) >> self._shift == self._bits


def read_networks(texts: Iterable[str]) -> list[Network]:
    """Those that can be read; what is no network holds nobody."""
    networks: list[Network] = []
    for text in texts:
        try:
            networks.append(Network(text))
        except (OSError, ValueError):
            continue
    return networks


def canonical(host: str) -> str:
    """An IP literal in the form in which sources are compared. Raises OSError or ValueError on others.

    IPv4 in IPv6 becomes IPv4: a socket for both reports it so, and an SDP may.
    """
    if ":" not in host:
        return socket.inet_ntop(socket.AF_INET, socket.inet_pton(socket.AF_INET, host))
    literal = socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, host))
    return literal[7:] if literal.startswith("::ffff:") and "." in literal else literal


def origin(source: Source) -> Target:
    """Host and port of a source, canonical and without zone."""
    host = source[0]
    if ":" in host:
        host = canonical(host.partition("%")[0])
    return (host, source[1])


def _packed(host: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)


def is_news(former: End, end: End) -> bool:
    """Whether the far end has described itself anew, or is another, or is to be judged otherwise: of who was learned,
    or kept, by plain packets nothing is known where packets have to prove themselves.
    """
    if end.epoch > former.epoch or end.remote != former.remote or (end.secured is None) != (former.secured is None):
        return True
    return end.latching != former.latching or end.media_from != former.media_from
