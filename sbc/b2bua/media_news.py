"""What the media workers tell, given to the calls and the port pool that it concerns.

Counts that come every few seconds become what the operator sees: one-way audio, a side that falls silent and foreign
packets are logged once, and stand in the call's ladder. Silence of both sides ends a call (contract,
`media.silence_timeout`). Used by `switch`.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from sbc.b2bua.account import Ending
from sbc.b2bua.call import Call
from sbc.b2bua.commands import AskMedia, Log
from sbc.b2bua.context import Context
from sbc.b2bua.listening import FellSilent, Finding, NotHeard
from sbc.b2bua.living import LivingCalls
from sbc.core.cause import Cause
from sbc.media import wire

if TYPE_CHECKING:
    from sbc.b2bua.call import Out

News = (
    wire.EngineReady | wire.SessionEnded | wire.Report | wire.DigitHeard | wire.Silent | wire.StillHeard | wire.Refused
)


class MediaNews:
    def __init__(self, context: Context, living: LivingCalls) -> None:
        self._context = context
        self._living = living

    def take(self, news: News, now: float) -> "Iterable[Out]":
        match news:
            case wire.Report(sessions):
                return [out for count in sessions for out in self._counted(count, now)]
            case wire.SessionEnded(ref, streams):
                taken_in = self._context.moves.call_of(ref)
                return self._living.guarded(taken_in or ref, lambda call: call.take_counts(ref, streams), now)
            case wire.DigitHeard(ref):
                return self._living.guarded(ref, lambda call: call.digit_heard(news), now)
            case wire.Silent(ref, seconds):
                return self._living.guarded(ref, partial(_silent, seconds=seconds, now=now), now)
            case wire.StillHeard(local, port):
                self._context.ports.heard(local, port, now)
                return []
            case wire.Refused(ref, reason):
                return [Log("error", "media.refused", (("ref", ref), ("reason", reason)))]
            case wire.EngineReady():
                return []  # the runtime shows it

    def _counted(self, count: wire.SessionCount, now: float) -> "Iterable[Out]":
        call = self._context.calls.get(count.ref)
        if call is None or not call.media.is_answered:
            return []
        findings = call.media.listening.take(count.generation, count.streams, now, is_answered=call.is_answered)
        return self._living.guarded(count.ref, partial(_tell, findings=findings, now=now), now) if findings else []


def _tell(call: Call, findings: Sequence[Finding], now: float) -> "list[Out]":
    outs: list[Out] = []
    for finding in findings:
        peer = call.legs[call.pair[0 if finding.side == "ingress" else 1]].peer
        if isinstance(finding, NotHeard):
            text = f"one-way audio: nothing is heard from {peer.name}"
            if finding.foreign:
                text += f"; {finding.foreign} packets came from where it may not send (latching {peer.latching})"
            call.context.trace.note(call.ref, now, text)
            fields = (("peer", peer.name), ("foreign_packets", finding.foreign), ("latching", peer.latching))
            outs.append(call.log("media.one_way", *fields, level="warning"))
        elif isinstance(finding, FellSilent):
            text = f"nothing has come from {peer.name} for {finding.seconds} s"
            call.context.trace.note(call.ref, now, text)
            silent = (("peer", peer.name), ("seconds", finding.seconds))
            outs.append(call.log("media.fell_silent", *silent, level="warning"))
        else:
            rate = ("per_second", finding.per_second)
            text = f"{finding.per_second} packets/s come to {peer.name}'s port from somebody else, and are dropped"
            call.context.trace.note(call.ref, now, text)
            outs.append(call.log("media.foreign_packets", ("alarm", True), ("peer", peer.name), rate, level="warning"))
    return outs


def _silent(call: Call, seconds: float, now: float) -> "list[Out]":
    if not call.is_answered or not call.media.listening.is_two_way:
        return [AskMedia(call.media.relay())]  # on hold by now, or it rings: the time begins anew
    call.explain(f"no RTP and no RTCP from either side for {seconds:.0f} s", now)
    return call.end(Ending(Cause.MEDIA_TIMEOUT, 200, Cause.MEDIA_TIMEOUT.q850, "sbc"), now)
