"""What signalling and the media worker say to each other: the whole contract, versioned.

MessagePack over a Unix SOCK_SEQPACKET connection, one message a packet, `CONTROL_MESSAGE_OCTETS` at most. Verbs are
idempotent full state, never deltas: after a worker's death the same messages are said again and the same relay
results. `PlayDigit` alone is a deed and no state; it is never said twice, because a digit too many dials another
number. Generation numbers make a replay harmless: a `PutSession` older than what the worker holds changes nothing.
Sockets travel beside `AddPorts` as descriptors (SCM_RIGHTS): RTP then RTCP of each port pair, in the order of `ports`.
What is said of keys is in `wire_keys`.
"""
# ruff: noqa: PLC0414 - what is in `wire_keys` goes by this module's name too

from typing import Final, Literal

import msgspec
from msgspec import Struct

from sbc.core.tables import Table
from sbc.media.wire_keys import Crypto as Crypto
from sbc.media.wire_keys import Dtls as Dtls
from sbc.media.wire_keys import DtlsIdentity as DtlsIdentity
from sbc.media.wire_keys import KeyState as KeyState
from sbc.media.wire_keys import MasterKey as MasterKey

VERSION: Final = 4  # 2: payload types are rewritten, digits heard and played; 3: engines, latching, statistics; 4: SRTP
PORT_PAIRS_PER_MESSAGE: Final = 60  # two descriptors each; the kernel passes at most 253 at once (SCM_MAX_FD)

DIGITS: Final = "0123456789*#ABCD!"  # by event code, RFC 4733 §3.2; `!` is the flash, 16, RFC 2833 §3.10
NO_EVENTS: Final = -1  # in place of a payload type: telephone-event is not agreed there

Latching = Literal["strict", "address", "nat"]
SideName = Literal["ingress", "egress"]
EngineChoice = Literal["auto", "kernel", "userland"]
EngineName = Literal["kernel", "userland"]
BEGINNING: Final = "it does not listen yet"  # `EngineReady.reason`: not for the log, it will soon be another


class Remote(Struct, frozen=True):
    """Where the session description says media goes: IP literal, RTP port, RTCP port (0: none, RFC 3605 read)."""

    host: str
    port: int
    rtcp_port: int


class End(Struct, frozen=True):
    """One leg's end of one stream: our port pair, and the far end as its SDP named it (None: unknown yet, or held off).

    `latching` strict: packets must come from the SDP's address and port; address: from its address, any port; nat: from
    any address within `media_from` (networks in CIDR text). The source is locked by the first packet that comes from
    just where the SDP says, else by a few plausible ones in a row; afterwards everything else is foreign. One that was
    locked by a few gives way, for ten seconds, to just where the SDP says: with address, and where that was locked
    before. We send to the SDP's address and port; with nat, to the locked source once there is one.
    `epoch` counts the descriptions of this end's peer: a higher one lets the source be learned once more.
    `mux`: RTCP comes and goes on the RTP port (RFC 5761); `remote.rtcp_port` says nothing then.
    `secured`: media between us and this end is SRTP; what is not authentic is dropped, counted and never learned from.
    None: plain RTP.
    """

    local: str
    port: int
    remote: Remote | None
    latching: Latching = "address"
    media_from: tuple[str, ...] = ()
    epoch: int = 0
    mux: bool = False
    secured: Crypto | Dtls | None = None


class Transcoding(Struct, frozen=True):
    """A payload type of what comes from `side`, and what it becomes: other number, other coding. Both RTP clocks are
    one. `source`, `target`: encoding names in upper case, "PCMA" and "PCMU".
    """

    side: SideName
    payload_type: int
    source: str
    becomes: int
    target: str


class Stream(Struct, frozen=True):
    """One m-line. `rtp` False: relayed as opaque UDP (T.38, unknown), not read as RTP; all that follows is unused then,
    but for `packets_per_second`.

    `ingress_to_egress`, `egress_to_ingress`: payload types that are rewritten on that way, (as it comes, as it goes);
    those of telephone-event too. A payload type that is not named passes as it is. Empty: nothing is rewritten.
    `events`: telephone-event's payload type (RFC 4733) in what comes from, and in what goes to, the ingress and the
    egress end; NO_EVENTS where that end has not agreed to it. None: at neither; packets are not looked at for digits.
    `event_rates`: the clock rate of that payload type at both ends, in Hz.
    `report_digits`: digits that come from these ends are told by `DigitHeard` and do not cross.
    `plays_digits`: `PlayDigit` may come. Where it may not and none are reported, digits are only counted.
    `ingress_clocks`, `egress_clocks`: (payload type, Hz) of what comes from that end, where it is not 8000 Hz.
    `transcodings`: payload types that are recoded; they are not in the rewriting tables.
    `packets_per_second`: what goes beyond that from one end is dropped and counted; 0: no limit.
    """

    ingress: End
    egress: End
    rtp: bool = True
    ingress_to_egress: tuple[tuple[int, int], ...] = ()
    egress_to_ingress: tuple[tuple[int, int], ...] = ()
    events: tuple[int, int] | None = None
    event_rates: tuple[int, int] = (8000, 8000)
    report_digits: tuple[SideName, ...] = ()
    plays_digits: bool = False
    ingress_clocks: tuple[tuple[int, int], ...] = ()
    egress_clocks: tuple[tuple[int, int], ...] = ()
    transcodings: tuple[Transcoding, ...] = ()
    packets_per_second: int = 0


# --- signalling to worker ---------------------------------------------------------------------------------------------


class Configure(Struct, frozen=True, tag=True):
    """First message of a connection; said again when a reload changes it. `number` of `workers`: which worker, from 0.

    `node` names this SBC among others of the machine (the kernel engine's pins). `own`: our addresses, as IP literals,
    from which no media may be learned. `media`: those that port pairs are, or will be, on: the kernel engine listens
    there before the first call. `orphan_seconds`: how long a session lives that no signalling has owned up to.
    `dtls`: our identity in DTLS handshakes; None: there are none.
    Answered by `EngineReady`, again whenever the engine changes.
    """

    node: str
    engine: EngineChoice = "auto"
    number: int = 0
    workers: int = 1
    own: tuple[str, ...] = ()
    orphan_seconds: float = 3600.0
    media: tuple[str, ...] = ()
    dtls: DtlsIdentity | None = None


class AddPorts(Struct, frozen=True, tag=True):
    """Descriptors for port pairs on one local address come with this message.

    `in_use`: a session of another worker had them until now, and one leg of it goes on in a session that is put here:
    what waits in the sockets is that leg's.
    """

    local: str
    ports: tuple[int, ...]
    in_use: bool = False


class DropPorts(Struct, frozen=True, tag=True):
    """Another worker has these pairs now: forget them, and leave their sockets as they are, neither muted nor drained.

    A session that still uses one is cut off there.
    """

    local: str
    ports: tuple[int, ...]


class PutSession(Struct, frozen=True, tag=True):
    """The relay of one call as it shall be from now on; replaces what was there.

    An end keeps its counters for as long as the session uses its port pair, whatever else of the stream changes.
    A port pair that another session still uses, or used until a moment ago, moves here with what waits in its sockets:
    the later message is right, and it is one leg that goes on in another call. Put the heir first and delete the other
    session then, so that the pair is never mute. What the pair counted stays with the session that it leaves; here it
    begins at zero.
    `Refused`, and nothing is changed, where a port is not ours, is named twice, a remote host is no IP literal of our
    socket's family, or a payload type or a rate cannot be.
    `resumed`: said again after a worker's death. What waits in the sockets is the call's and is relayed; otherwise it
    came before the session, belongs to nobody and is thrown away. Set by `media.client`, not by who asks it.
    `adopted`: said by signalling that was started again, of a session that its earlier life has put. One that runs here
    just so goes on as if nothing had been said, its silence too; what handshakes came to is told again (`Keyed`). Where
    it does not run, it is as if `resumed`, and an SRTP key that is not remembered is one that was used, nobody knows
    how far: see `KeySpent`.
    `early`: the answer is still to come. The ports hear from now on, and what they hear waits in their sockets, so that
    the first word is not lost that overtakes the answer. When that is put, the newest few packets of each socket are
    judged and relayed; older ones are dropped, because a burst of old sound is worse than none.
    `silence_seconds`: after so long without RTP and RTCP from either end, `Silent` is said, once; 0: never (the call is
    on hold). The time begins anew with every put.
    """

    ref: str
    generation: int
    streams: tuple[Stream, ...]
    resumed: bool = False
    early: bool = False
    silence_seconds: float = 0.0
    adopted: bool = False


class DeleteSession(Struct, frozen=True, tag=True):
    """Ends the relay of one call; answered by `SessionEnded`, also when there is none of that name.

    Its port pairs rest: of what comes to them only the former remotes' packets are noticed, see `StillHeard`.
    """

    ref: str


class TakeOver(Struct, frozen=True, tag=True):
    """What `Handed` told of this pair, for the worker that has it now. Until it comes, HANDED_SECONDS at most, nothing
    passes at a secured end whose pair came with `AddPorts.in_use`: no index may be used twice, and none is known.
    """

    local: str
    port: int
    states: tuple[KeyState, ...]


class Synced(Struct, frozen=True, tag=True):
    """Everything has been said. Sessions that were not put on this connection have no owner from now on; pairs that
    were not added on it, and that no session uses, are closed; flows and counters of nobody are cleared away.
    """


class Query(Struct, frozen=True, tag=True):
    """Asks for `Report`: the counters of one session, or with an empty ref of every session (in several reports)."""

    ref: str = ""


class PlayDigit(Struct, frozen=True, tag=True):
    """Send a digit towards one end of a stream as telephone-event packets (RFC 4733), after those that wait there.

    `stream` counts the streams of the session as last put; `digit` is one of DIGITS; `milliseconds` is how long it
    lasts, within DIGIT_MILLISECONDS. What the other end sends meanwhile does not cross.
    It is dropped, without a word, where the session is unknown or early, the end has no payload type for events or no
    address, or DIGITS_WAITING are waiting already; and what waits is dropped when the session's end is put without.
    `Refused` where the digit or the stream does not exist.
    """

    ref: str
    stream: int
    to: SideName
    digit: str
    milliseconds: int


Request = Configure | AddPorts | DropPorts | TakeOver | PutSession | DeleteSession | Synced | Query | PlayDigit

# --- worker to signalling ---------------------------------------------------------------------------------------------


class EndCount(Struct, frozen=True, omit_defaults=True):
    """Counters of one end of one stream, since the session began.

    received: RTP packets from this end's remote that were relayed to the other end; in_kernel: so many of them by the
    kernel; sent: relayed out towards it.
    dropped: packets that were no RTP, for which the other end had no address yet, or that were suppressed while a digit
    was played to the other end; foreign: that came from a source that may not send here; excess: beyond the stream's
    packet rate.
    digits_received: digits that began at this end, whether they crossed or were reported; their packets count as
    received only where they crossed. digits_sent: those that crossed towards this end or were played to it.
    Of what this end sent us: lost: numbers that never came (RFC 3550 §A.3, by arrival), reordered: that came behind a
    later one, duplicates: that came again; jitter_ms: interarrival jitter (§6.4.1) now, jitter_max_ms: at its worst.
    round_trip_ms: between us and this end, from its latest report that told (§6.4.1), 0: none has; far_lost: the
    fraction, 0 to 1, and far_jitter_ms, that it reported last of what it heard.
    forged: packets whose tag was wrong, replayed: that came again or were too old to tell (RFC 3711 §3.3.2), both of an
    end that is SRTP; neither is counted elsewhere. suite: by which it is secured now, empty: it is not.
    source: "host:port" that is locked, empty: none yet; foreign_source: who came last of those that are foreign, empty:
    nobody, or the kernel dropped them. engine: who relays what comes from this end now, empty: nobody;
    why: why not the kernel, where it could.
    """

    received: int = 0
    received_octets: int = 0
    sent: int = 0
    sent_octets: int = 0
    rtcp_received: int = 0
    rtcp_sent: int = 0
    dropped: int = 0
    digits_received: int = 0
    digits_sent: int = 0
    in_kernel: int = 0
    foreign: int = 0
    excess: int = 0
    lost: int = 0
    reordered: int = 0
    duplicates: int = 0
    jitter_ms: float = 0.0
    jitter_max_ms: float = 0.0
    round_trip_ms: float = 0.0
    far_lost: float = 0.0
    far_jitter_ms: float = 0.0
    forged: int = 0
    replayed: int = 0
    suite: str = ""
    source: str = ""
    foreign_source: str = ""
    engine: EngineName | Literal[""] = ""
    why: str = ""


class StreamCount(Struct, frozen=True):
    ingress: EndCount
    egress: EndCount


class Running(Struct, frozen=True, tag=True):
    """First message of a worker: nobody may use it before. `version` is checked against ours.

    `continues`: its counters go on from those of the worker before it.
    """

    pid: int
    version: int
    continues: bool = False


class EngineReady(Struct, frozen=True, tag=True):
    """Which engine relays what it can from now on. `reason`: why it is not the kernel, or not at some of our addresses,
    for people; BEGINNING: the kernel engine is there, and is being brought to its devices; empty: nothing keeps it, or
    nobody asked for it. `devices`: where the kernel engine listens.
    `dtls`: why there are no DTLS handshakes here, for people: sessions with `Dtls` are refused then. Empty: there are.
    """

    engine: EngineName
    reason: str = ""
    devices: tuple[str, ...] = ()
    dtls: str = ""


class SessionEnded(Struct, frozen=True, tag=True):
    """Answer to `DeleteSession`; unasked where the worker gave up a session that has no owner."""

    ref: str
    streams: tuple[StreamCount, ...]


class SessionCount(Struct, frozen=True):
    """`ports`: (local address, RTP port) of each end, so that a fresh signalling knows what is in use."""

    ref: str
    generation: int
    streams: tuple[StreamCount, ...]
    ports: tuple[tuple[str, int], ...] = ()


class Report(Struct, frozen=True, tag=True):
    """Answer to `Query`. `last` marks the final part of an answer in several parts.

    `tables`: how full the worker's are, in that part of an answer about every session; empty: it does not say, being
    older than signalling. `media.client` keeps them to itself.
    """

    sessions: tuple[SessionCount, ...]
    last: bool = True
    tables: tuple[Table, ...] = ()


class DigitHeard(Struct, frozen=True, tag=True):
    """A digit came from an end whose digits are asked for, and has ended. Said once, however many packets told of it.

    `stream` counts the streams of the session as the worker has it; `milliseconds` is how long the digit lasted.
    """

    ref: str
    stream: int
    side: SideName
    digit: str
    milliseconds: int


class Silent(Struct, frozen=True, tag=True):
    """Neither RTP nor RTCP came from any end of this session for its `silence_seconds`."""

    ref: str
    seconds: float


class Keyed(Struct, frozen=True, tag=True):
    """A DTLS handshake of this end of this session has ended. `error`: why it came to nothing so far, for people, said
    once; it is tried on, and `keys` may follow. Else `keys`, which `media.client` keeps to itself.

    `generation`: of the session as last put; `association`: of its `Dtls`. `is_rtcp`: it was that of RTCP's own port.
    """

    ref: str
    generation: int
    stream: int
    side: SideName
    association: int
    keys: Crypto | None = None
    error: str = ""
    is_rtcp: bool = False


class KeySpent(Struct, frozen=True, tag=True):
    """Nothing can be sent any more under the key that this end of the session was put with: what was sent under it is
    not known, and a key stream must never be used for two texts (RFC 3711 §9.1). Or the end was adopted, and what its
    handshake had come to is lost. Said when it is put, and again for as long as it is put so. `stream` counts the
    streams of the session as last put.
    """

    ref: str
    generation: int
    stream: int
    side: SideName


class Handed(Struct, frozen=True, tag=True):
    """Answer to `DropPorts`, for each pair with a secured end: what the next worker needs to go on with its keys.

    `media.client` passes it on as `TakeOver`; nobody else needs it.
    """

    local: str
    port: int
    states: tuple[KeyState, ...]


class StillHeard(Struct, frozen=True, tag=True):
    """The former remote of a pair that rests still sends to it. Said about once a second while it does."""

    local: str
    port: int


class Refused(Struct, frozen=True, tag=True):
    """A request that could not be carried out, in words for the log; the worker lives on."""

    ref: str
    reason: str


News = Running | EngineReady | SessionEnded | Report | DigitHeard | Silent | Keyed | KeySpent | StillHeard | Refused
Reply = News | Handed

_encoder = msgspec.msgpack.Encoder()
_request_decoder: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
_reply_decoder: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)


def encode(message: Request | Reply) -> bytes:
    return _encoder.encode(message)


def decode_request(data: bytes) -> Request:
    """Raises msgspec.DecodeError (or its child ValidationError) on anything that is no request."""
    try:
        return _request_decoder.decode(data)
    except UnicodeDecodeError as error:  # which msgspec lets through
        raise msgspec.DecodeError(str(error)) from error


def decode_reply(data: bytes) -> Reply:
    """Raises msgspec.DecodeError (or its child ValidationError) on anything that is no reply."""
    try:
        return _reply_decoder.decode(data)
    except UnicodeDecodeError as error:
        raise msgspec.DecodeError(str(error)) from error
