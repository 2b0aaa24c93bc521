"""What the media workers tell, given to the calls and the port pool that it concerns.

Counts that come every few seconds become what the operator sees: one-way audio, a side that falls silent and foreign
packets are logged once, and stand in the call's ladder. Silence of both sides ends a call (contract,
`media.silence_timeout`). Used by `switch`.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from sbc.b2bua.account import Ending
from sbc.b2bua.call import Call
from sbc.b2bua.commands import AskMedia, Log
from sbc.b2bua.context import Context
from sbc.b2bua.events import News, PortsLost
from sbc.b2bua.listening import FellSilent, Finding, ForeignPackets, ForgedPackets, NotHeard
from sbc.b2bua.living import LivingCalls
from sbc.b2bua.media import OutOfPortsError
from sbc.core.cause import Cause
from sbc.media import wire
from sbc.policy.model import Peer

if TYPE_CHECKING:
    from sbc.b2bua.call import Out

_ALARM_SECONDS: Final = 10.0  # between two alarms of one kind for one peer


class MediaNews:
    def __init__(self, context: Context, living: LivingCalls) -> None:
        self._context = context
        self._living = living
        self._alarmed_at: dict[tuple[str, type[Finding]], float] = {}  # by peer and kind

    def take(self, news: News, now: float) -> "Iterable[Out]":
        match news:
            case wire.Report(sessions):
                return [out for count in sessions for out in self._counted(count, now)]
            case wire.SessionEnded(ref, streams):
                taken_in = self._context.moves.call_of(ref)
                return self._living.guarded(taken_in or ref, lambda call: call.take_counts(ref, streams, now), now)
            case wire.DigitHeard(ref):
                return self._living.guarded(ref, lambda call: call.digit_heard(news), now)
            case wire.Silent(ref, seconds):
                return self._living.guarded(ref, partial(_silent, seconds=seconds, now=now), now)
            case wire.Keyed(ref):
                return self._living.guarded(ref, partial(_keyed, news=news, now=now), now)
            case wire.KeySpent(ref):
                return self._living.guarded(ref, partial(_renewed, news=news, now=now), now)
            case wire.StillHeard(local, port):
                self._context.ports.heard(local, port, now)
                return []
            case wire.Refused(ref, reason):
                return [Log("error", "media.refused", (("ref", ref), ("reason", reason)))]
            case wire.EngineReady(dtls=why):
                return self._no_dtls(why) if why else []  # the rest, the runtime shows

    def ports_lost(self, lost: PortsLost, now: float) -> "list[Out]":
        """Calls of an earlier life whose ports another program has by now: they cannot be heard any more."""
        ports = set(lost.ports)
        hit = [
            ref
            for ref, call in self._context.calls.items()
            if any(side.local == lost.local and ports.intersection(side.ports) for side in call.media.sides.values())
        ]
        self._context.ports.lost(lost.local, ports)
        return [out for ref in hit for out in self._living.guarded(ref, partial(_deaf, lost=lost, now=now), now)]

    def _no_dtls(self, why: str) -> "list[Out]":
        """A worker would refuse sessions that are to be keyed so: they are neither offered nor taken from now on."""
        if self._context.fingerprint is None:
            return []
        self._context.fingerprint = None
        return [Log("error", "media.no_dtls", (("reason", why),))]

    def _counted(self, count: wire.SessionCount, now: float) -> "Iterable[Out]":
        call = self._context.calls.get(count.ref)
        if call is None or not call.media.is_answered:
            return []
        findings = call.media.listening.take(count.generation, count.streams, now, is_answered=call.is_answered)
        if not findings:
            if call.media.listening.is_due(now):
                self._living.settle(call, now)  # written down, though nobody hears of it
            return []
        return self._living.guarded(count.ref, partial(self._tell, findings=findings, now=now), now)

    def _tell(self, call: Call, findings: Sequence[Finding], now: float) -> "list[Out]":
        outs: list[Out] = []
        for finding in findings:
            peer = call.legs[call.pair[0 if finding.side == "ingress" else 1]].peer
            call.context.trace.note(call.ref, now, _in_words(finding, peer))
            is_attack = isinstance(finding, ForeignPackets | ForgedPackets)
            if not is_attack or self._may_alarm((peer.name, type(finding)), now):
                outs.append(_line(call, finding, peer))
        return outs

    def _may_alarm(self, peer: tuple[str, type[Finding]], now: float) -> bool:
        """Who sprays a thousand calls gets one line in a while, not one for each call: their ladders have it."""
        said_at = self._alarmed_at.get(peer)
        if said_at is not None and now - said_at < _ALARM_SECONDS:
            return False
        self._alarmed_at[peer] = now
        return True


def _in_words(finding: Finding, peer: Peer) -> str:
    """For the ladder."""
    match finding:
        case FellSilent(seconds=seconds):
            return f"nothing has come from {peer.name} for {seconds} s"
        case ForeignPackets(per_second=per_second):
            return f"{per_second} packets/s come to {peer.name}'s port from somebody else, and are dropped"
        case ForgedPackets(packets=packets):
            return f"{packets} packets for {peer.name} are not by its keys (SRTP), and are dropped"
        case NotHeard(foreign=0):
            return f"one-way audio: nothing is heard from {peer.name}"
        case NotHeard(foreign=foreign, source=source):
            return (
                f"one-way audio: nothing is heard from {peer.name}; {foreign} packets came from where it may not send"
                f"{f', {source} the last' if source else ''} (latching {peer.latching})"
            )


def _line(call: Call, finding: Finding, peer: Peer) -> Log:
    of_peer = ("peer", peer.name)
    match finding:
        case FellSilent(seconds=seconds):
            return call.log("media.fell_silent", of_peer, ("seconds", seconds), level="warning")
        case ForeignPackets(per_second=per_second, source=source):
            what = (("alarm", True), of_peer, ("per_second", per_second), ("source", source or None))
            return call.log("media.foreign_packets", *what, level="warning")
        case ForgedPackets(packets=packets):
            return call.log("media.forged", ("alarm", True), of_peer, ("packets", packets), level="warning")
        case NotHeard(foreign=foreign, source=source):
            where = (("foreign_packets", foreign), ("source", source or None), ("latching", peer.latching))
            return call.log("media.one_way", of_peer, *where, level="warning")


def _keyed(call: Call, news: wire.Keyed, now: float) -> "list[Out]":
    """What a DTLS handshake came to (RFC 5764). The media client keeps the keys; here it is told."""
    peer = call.legs[call.pair[0 if news.side == "ingress" else 1]].peer
    if not news.error:
        call.context.trace.note(call.ref, now, f"media with {peer.name} is encrypted by DTLS")
        return []
    call.context.trace.note(call.ref, now, f"no DTLS with {peer.name}: {news.error}")
    return [Log("warning", "media.not_keyed", (("ref", call.ref), ("peer", peer.name), ("reason", news.error)))]


def _renewed(call: Call, news: wire.KeySpent, now: float) -> "list[Out]":
    """What was sent under our key is not known any more, so that nothing can be: its peer is offered another one."""
    if not call.is_answered or news.generation != call.media.generation:
        return []
    leg = call.pair[0 if news.side == "ingress" else 1]
    peer = call.legs[leg].peer
    try:
        if not call.media.renew(news.side, news.stream, now):
            return []
    except OutOfPortsError:
        call.explain(f"media with {peer.name} cannot be encrypted any more, and no port is left", now)
        return call.fail(Cause.FAILED, now)
    call.context.trace.note(call.ref, now, f"media with {peer.name} needs another key: the former one is spent")
    said = call.log("media.rekeyed", ("peer", peer.name), level="warning")
    return [said, *call.modification.renegotiate(now, leg)]


def _deaf(call: Call, lost: PortsLost, now: float) -> "list[Out]":
    call.explain(f"its media ports on {lost.local} cannot be opened again: {lost.reason}", now)
    return call.fail(Cause.FAILED, now)


def _silent(call: Call, seconds: float, now: float) -> "list[Out]":
    if not call.is_answered or not call.media.listening.is_two_way:
        return [AskMedia(call.media.relay())]  # on hold by now, or it rings: the time begins anew
    call.explain(f"no RTP and no RTCP from either side for {seconds:.0f} s", now)
    return call.end(Ending(Cause.MEDIA_TIMEOUT, 200, Cause.MEDIA_TIMEOUT.q850, "sbc"), now)
