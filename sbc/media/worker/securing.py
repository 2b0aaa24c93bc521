"""SRTP at one end of a stream: what comes is opened before anybody looks at it, what goes is protected last.

It stands between the sockets and the inlets: it wraps the functions that read and write. So the rest of the worker
knows plain RTP alone, and where an end is not secured nothing is in the way. A packet is looked at in this order: may
its source send here at all; is it new; is it authentic. What is not is counted and gone: nothing learns from it, a
silence is not broken by it, and no call ends by it.
`far_end` makes one for each end that is secured; `srtp_keyring` has the keys.
"""

from typing import TYPE_CHECKING, Final

from sbc.media import wire
from sbc.media.worker import slots
from sbc.media.worker.inlet import REPORTED, RTCP_OCTETS, RTP_OCTETS, VIEW, Inlet
from sbc.media.worker.lane import Recv, RecvFrom, Send, SendTo
from sbc.media.worker.latch import Source
from sbc.media.worker.rtcp import is_rtcp
from sbc.media.worker.srtp import REPLAYED, Receiver, Sender, UnsendableError
from sbc.media.worker.srtp_cipher import FORGED
from sbc.media.worker.srtp_keyring import Keyring
from sbc.media.worker.srtp_memory import Record
from sbc.media.worker.srtp_numbers import NONE

if TYPE_CHECKING:
    from sbc.media.worker.association import Association

_REPORTS: Final = range(200, 205)  # RTCP on the port of RTP where it is not agreed on, see `carry`


class NotMediaError(OSError):
    """There was a packet, and it has been dealt with. To those who read, the error of an earlier packet: they go on."""


class Shield:
    """The keys of one port, or of both: `crypto`. Without any, nothing passes."""

    __slots__ = ("_receivers", "_send_mki", "_sender", "crypto")

    def __init__(self) -> None:
        self.crypto: wire.Crypto | None = None
        self._sender: Sender | None = None
        self._send_mki = b""
        self._receivers: list[tuple[Receiver, bytes]] = []

    @property
    def is_spent(self) -> bool:
        """Nothing can be sent under its key any more."""
        return self._sender is not None and self._sender.is_spent

    def put(
        self,
        crypto: wire.Crypto | None,
        ref: str,
        keyring: Keyring,
        *,
        is_resumed: bool,
        is_lost: bool = False,
        is_adopted: bool = False,
    ) -> None:
        """These from now on. The key that the far end used last is tried first, wherever it stands."""
        before = self._receivers[0][0] if self._receivers else None
        self.crypto = crypto
        if crypto is None:
            self.forget()
            return
        self._send_mki = crypto.send.mki
        self._sender = keyring.sender(ref, crypto, is_resumed=is_resumed, is_lost=is_lost, is_adopted=is_adopted)
        receivers = keyring.receivers(ref, crypto, is_adopted=is_adopted)
        self._receivers = [(one, key.mki) for one, key in zip(receivers, crypto.receive, strict=True)]
        self._receivers.sort(key=lambda one: one[0] is not before)

    def forget(self) -> None:
        """Nothing passes."""
        self.crypto, self._sender, self._receivers = None, None, []

    @property
    def is_deaf(self) -> bool:
        """There is no key to open anything with."""
        return not self._receivers

    def open(self, size: int) -> int:
        """Opens the SRTP packet in the buffer; its size then, FORGED, or REPLAYED."""
        receivers = self._receivers
        if len(receivers) == 1:
            receiver, mki = receivers[0]
            return receiver.open(VIEW, size, len(mki))
        found = FORGED
        for receiver, mki in receivers:
            left = receiver.open(VIEW, size, len(mki), self._before(receiver))
            if left >= 0:
                return self._used(receiver, left)
            found = min(found, left)
        return found

    def open_report(self, size: int) -> int:
        """The same of SRTCP."""
        found = FORGED
        for receiver, mki in self._receivers:
            left = receiver.open_rtcp(VIEW, size, len(mki))
            if left >= 0:
                return self._used(receiver, left)
            found = min(found, left)
        return found

    def _used(self, receiver: Receiver, left: int) -> int:
        """This one is tried first from now on."""
        if receiver is not self._receivers[0][0]:
            self._receivers = sorted(self._receivers, key=lambda one: one[0] is not receiver)
        return left

    def protect(self, data: bytes | memoryview) -> memoryview:
        """Raises UnsendableError."""
        if self._sender is None:
            raise UnsendableError
        return self._sender.protect(data, self._send_mki)

    def protect_report(self, data: bytes | memoryview) -> memoryview:
        """Raises UnsendableError."""
        if self._sender is None:
            raise UnsendableError
        return self._sender.protect_rtcp(data, self._send_mki)

    def _before(self, but: Receiver) -> int:
        """Where the source of the packet in the buffer stands under another key."""
        ssrc = int.from_bytes(VIEW[8:12])
        return max((one.highest(ssrc) for one, _ in self._receivers if one is not but), default=NONE)


class Security:
    """`rtp`, `rtcp`: the shields of both ports, which are one but where each has its own handshake. `refused`: what was
    forged and replayed. `associations`: the handshakes, by whether they are RTCP's port's; none with SDES.
    """

    __slots__ = ("_is_mux", "associations", "refused", "rtcp", "rtp")

    def __init__(self, refused: Record) -> None:
        self.refused = refused
        self.rtp = self.rtcp = Shield()
        self.associations: dict[bool, Association] = {}
        self._is_mux = False

    def wait(self) -> None:
        """Nothing passes until `put` is called again."""
        for shield in (self.rtp, self.rtcp):
            shield.forget()

    @property
    def is_spent(self) -> bool:
        """Nothing can be sent under the key of one of its ports any more."""
        return self.rtp.is_spent or self.rtcp.is_spent

    def put(
        self,
        end: wire.End,
        ref: str,
        keyring: Keyring,
        *,
        is_resumed: bool,
        is_lost: bool = False,
        is_adopted: bool = False,
    ) -> None:
        """The end as it is from now on; it is secured, and its `associations` have been set."""

        def put(shield: Shield, crypto: wire.Crypto | None) -> None:
            shield.put(crypto, ref, keyring, is_resumed=is_resumed, is_lost=is_lost, is_adopted=is_adopted)

        self._is_mux = end.mux
        if isinstance(end.secured, wire.Crypto):
            self.rtcp = self.rtp
            put(self.rtp, end.secured)
            return
        rtp, rtcp = self.associations.get(False), self.associations.get(True)
        put(self.rtp, None if rtp is None else rtp.keys)
        if rtcp is None:
            self.rtcp = self.rtp
        else:
            self.rtcp = Shield() if self.rtcp is self.rtp else self.rtcp
            put(self.rtcp, rtcp.keys)

    # --- what comes ---------------------------------------------------------------------------------------------------

    def hearing(self, inlet: Inlet, recv_from: RecvFrom) -> RecvFrom:
        """Reads by `recv_from` what comes to the inlet's socket, or to another of the same port."""
        take = self._take

        def recv(buffer: bytearray) -> tuple[int, Source]:
            size, source = recv_from(buffer)
            if source != inlet.source and not self._may_be(inlet, size, source):
                raise NotMediaError
            return take(inlet, buffer, size, source), source

        return recv

    def hearing_only(self, inlet: Inlet, recv: Recv) -> Recv:
        """Reads by `recv`, from the inlet's peer alone."""
        take = self._take

        def recv_opened(buffer: bytearray) -> int:
            return take(inlet, buffer, recv(buffer), inlet.peer)

        return recv_opened

    def _take(self, inlet: Inlet, buffer: bytearray, size: int, source: Source) -> int:
        """Opens the packet in the buffer. Raises NotMediaError where nothing is left of it."""
        shield, is_report = self.rtp, False
        if inlet.is_rtcp:
            shield, is_report = self.rtcp, True
        elif 192 <= buffer[1] <= 223:
            is_report = self._is_report(buffer[1])
        if not 128 <= buffer[0] < 192 or size < (RTCP_OCTETS if is_report else RTP_OCTETS):
            self._take_other(inlet, size, source)
            raise NotMediaError
        left = shield.open_report(size) if is_report else shield.open(size)
        if left >= 0:
            return left
        if shield.is_deaf:
            inlet.statistics.add(slots.DROPPED)
            raise NotMediaError
        if left == REPLAYED:
            self.refused.count_replayed()
        else:
            self.refused.count_forged()
        raise NotMediaError

    def _take_other(self, inlet: Inlet, size: int, source: Source) -> None:
        """ "19 < B < 64": DTLS (RFC 7983 §7). STUN and all else has no business here."""
        association = self.associations.get(inlet.is_rtcp)
        is_dtls = size > 0 and 19 < VIEW[0] < 64 and association is not None and inlet.gate is not None
        if not is_dtls or association is None or not association.receive(bytes(VIEW[:size]), source, inlet.clock()):
            inlet.statistics.add(slots.DROPPED)

    def _may_be(self, inlet: Inlet, size: int, source: Source) -> bool:
        """Whether it is worth the work. Where nobody is let in, what comes is opened all the same, and dropped then: a
        far end that sends on while it is held counts on, and we with it.
        """
        if inlet.rtcp is not None and size > 1 and is_rtcp(VIEW[1]):
            inlet = inlet.rtcp
        gate = inlet.gate
        if gate is None or gate.may_learn(source, inlet.clock()):
            return True
        inlet.statistics.add(slots.FOREIGN)
        gate.stranger = source
        return False

    def _is_report(self, second: int) -> bool:
        return is_rtcp(second) if self._is_mux else second in _REPORTS

    # --- what goes ----------------------------------------------------------------------------------------------------

    def saying_to(self, sendto: SendTo, *, is_rtcp: bool) -> SendTo:
        shield = self.rtcp if is_rtcp and not self._is_mux else self.rtp

        def send(data: bytes | memoryview, address: tuple[str, int]) -> int:
            is_report = is_rtcp or (192 <= data[1] <= 223 and self._is_report(data[1]))
            packet = shield.protect_report(data) if is_report else shield.protect(data)
            try:
                return sendto(packet, address)
            except OSError as error:
                if error.errno not in REPORTED:
                    raise
            return sendto(packet, address)  # it told of an earlier packet; see `inlet`

        return send

    def saying(self, raw: Send) -> Send:
        """By a connected socket of RTP."""
        shield = self.rtp

        def send(data: memoryview) -> int:
            is_report = 192 <= data[1] <= 223 and self._is_report(data[1])
            packet = shield.protect_report(data) if is_report else shield.protect(data)
            try:
                return raw(packet)
            except OSError as error:
                if error.errno not in REPORTED:
                    raise
            return raw(packet)

        return send
