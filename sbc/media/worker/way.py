"""One way of one stream: two inlets, RTP and RTCP from one end to the other, as `wire.Stream` says (RFC 3550, 5761).

Here it is decided what of a packet is changed on that way and what the way may go to the engine with. `session` makes
one for each way whenever it wires its streams; what has to outlive that is the ends' and the voice's.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from sbc.core.limits import RTCP_PACKETS_PER_SECOND
from sbc.media import wire
from sbc.media.worker.codecs import transcoder
from sbc.media.worker.engine import NoEngine
from sbc.media.worker.far_end import FarEnd
from sbc.media.worker.handover import Handover, Route
from sbc.media.worker.hearing import Digit
from sbc.media.worker.inlet import Edit, Inlet, Rules
from sbc.media.worker.latch import Target, canonical
from sbc.media.worker.names import hide_names
from sbc.media.worker.payload import in_turn, payload_table, recoding, rewriting
from sbc.media.worker.ports import Pair
from sbc.media.worker.relay import catch_up
from sbc.media.worker.rtcp import SenderReport, read_reports
from sbc.media.worker.rtcp_latch import MuxLatch
from sbc.media.worker.slots import DROPPED
from sbc.media.worker.surroundings import Surroundings
from sbc.media.worker.voice import Voice, VoiceRules

ENCRYPTED: Final = "encrypted"
DIGITS_CONVERTED: Final = "digits are converted"
RECODED: Final = "recoded"
OTHER_FAMILY: Final = "address families differ"
NO_RTP: Final = "no RTP"
NO_SLOT: Final = "no counters are free"


class Plan:
    """What a stream says of one way, read from the end that sends."""

    __slots__ = ("clocks", "heard", "other", "played", "rates", "recoded", "reports", "side", "stream", "table")

    def __init__(self, stream: wire.Stream, side: wire.SideName) -> None:
        is_ingress = side == "ingress"
        types = stream.events or (wire.NO_EVENTS, wire.NO_EVENTS)
        self.stream = stream
        self.side = side
        self.other = stream.egress if is_ingress else stream.ingress
        self.table = payload_table(stream.ingress_to_egress if is_ingress else stream.egress_to_ingress)
        self.clocks = dict(stream.ingress_clocks if is_ingress else stream.egress_clocks)
        self.heard, self.played = types if is_ingress else types[::-1]
        self.rates = stream.event_rates if is_ingress else stream.event_rates[::-1]
        self.reports = side in stream.report_digits
        self.recoded = {
            one.payload_type: (one.becomes, recode)
            for one in stream.transcodings
            if one.side == side and (recode := transcoder(one.source, one.target)) is not None
        }

    @property
    def knows_digits(self) -> bool:
        return self.stream.rtp and {self.heard, self.played} != {wire.NO_EVENTS}

    @property
    def converts_digits(self) -> bool:
        return self.knows_digits and (self.stream.plays_digits or self.reports)

    def rules(self, *, is_bent: bool) -> Rules:
        special = None if is_bent else frozenset({self.heard, *self.recoded})
        return Rules(special, self.table, self.clocks, self.heard)


class Way:
    """From one end to the other. `to` None: the other end's pair is no longer ours, and nothing is relayed.

    `opposite` is that pair. `report`: what is done with a digit that is asked for.
    """

    __slots__ = ("_around", "_handover", "_other", "frm", "opposite", "plan", "rtcp", "rtp", "to", "voice", "why")

    def __init__(
        self, frm: FarEnd, to: FarEnd | None, opposite: Pair, plan: Plan, voice: Voice | None, around: Surroundings
    ) -> None:
        self.frm = frm
        self.to = to
        self.opposite = opposite
        self.plan = plan
        self.voice = voice
        self._around = around
        self._other = plan.other
        self._handover: Handover | None = None
        is_bent = voice is not None and (plan.converts_digits or voice.is_bent)
        rules = plan.rules(is_bent=is_bent) if plan.stream.rtp else None
        self.rtp = self._rtp_inlet(rules, is_bent=is_bent)
        self.rtcp = self._rtcp_inlet()
        if self._is_mux(frm.end):
            self.rtp.rtcp = self.rtcp
        self.why = "" if rules is not None or isinstance(around.engine, NoEngine) else NO_RTP
        if rules is not None:
            route = self._route(is_bent=is_bent)
            self._handover = Handover(self.rtp, rules, frm.latches.rtp, route, around.engine, frm.installs)
        self.rtp.source = frm.latches.rtp.source
        for inlet in (self.rtp, self.rtcp):
            inlet.recv = frm.hearing(inlet, inlet.recv)
            if to is not None:
                inlet.send = to.saying_to(inlet, inlet.send)
        frm.inlets = (self.rtp, self.rtcp)

    def watch(self, ref: str) -> None:
        """Listen from now on. `ref`: the call's secret."""
        pair, watch = self.frm.pair, self._around.watch
        if self.plan.stream.rtp:
            self.rtcp.edit = self.rtp.edit_report = partial(hide_names, ref=ref.encode())
            self.rtcp.hear = self._hear
        watch.set(pair.rtp, self.rtp)
        if self._is_mux(self.frm.end):
            watch.unset(pair.rtcp)
        else:
            watch.set(pair.rtcp, self.rtcp)

    def rewire_voice(self, report: Callable[[Digit], None]) -> None:
        plan = self.plan
        if self.voice is not None:
            told = None if self.to is None else self.to.statistics
            rules = VoiceRules(
                plan.heard, plan.rates[0], plan.played, plan.rates[1], plan.table, report if plan.reports else None
            )
            self.voice.rewire(self.rtp, told, rules)

    def retarget(self) -> None:
        """The other end has another source: with nat, packets for it go there."""
        rtp, rtcp = self._targets()
        if rtp != self.rtp.target and self._handover is not None:
            self._handover.changed()
        self.rtp.aim(rtp)
        self.rtcp.aim(rtcp)

    def catch_up(self) -> None:
        catch_up(self.rtp)
        if not self._is_mux(self.frm.end):
            catch_up(self.rtcp)

    def adopt(self, now: float) -> None:
        """Where the engine relays this way since another worker's time: go on so if that is right, else end it."""
        pair, engine = self.frm.pair, self._around.engine
        if self._handover is not None:
            self._handover.adopt(engine.held(pair.local, pair.port), now)
        else:
            engine.remove(pair.local, pair.port)

    def withdraw(self) -> None:
        if self._handover is not None:
            self._handover.withdraw()

    def verify(self, now: float) -> None:
        if self._handover is not None:
            self._handover.verify(now)

    def stays(self) -> bool:
        """Whether userland relays it, and will."""
        engine = self._around.engine
        return isinstance(engine, NoEngine) or (self._handover is not None and bool(self._handover.why))

    @property
    def engine(self) -> wire.EngineName:
        return "kernel" if self._handover is not None and self._handover.is_away else "userland"

    @property
    def reason(self) -> str:
        return self.why if self._handover is None else self._handover.why

    def _is_mux(self, end: wire.End) -> bool:
        return end.mux and self.plan.stream.rtp

    def _targets(self) -> tuple[Target | None, Target | None]:
        if self.to is None:
            return None, None
        latches = self.to.latches
        rtp = latches.rtp.target()
        return rtp, rtp if self._is_mux(self._other) else latches.rtcp.target()

    def _rtp_inlet(self, rules: Rules | None, *, is_bent: bool) -> Inlet:
        frm, plan = self.frm, self.plan
        edit = self._edit(is_bent=is_bent) if rules is not None else None
        gate = None if frm.end.remote is None else frm.latches.rtp
        return Inlet(
            frm.pair.rtp,
            self.opposite.rtp,
            gate,
            self._targets()[0],
            frm.statistics,
            self._around.clock,
            rules=rules,
            is_opaque=rules is None,
            edit=edit,
            limit=plan.stream.packets_per_second,
        )

    def _rtcp_inlet(self) -> Inlet:
        frm = self.frm
        outlet = self.opposite.rtp if self._is_mux(self._other) else self.opposite.rtcp
        gate = MuxLatch(frm.latches.rtp) if self._is_mux(frm.end) else frm.latches.rtcp
        return Inlet(
            frm.pair.rtcp,
            outlet,
            None if frm.end.remote is None else gate,
            self._targets()[1],
            frm.statistics,
            self._around.clock,
            is_rtcp=True,
            is_opaque=not self.plan.stream.rtp,
            limit=RTCP_PACKETS_PER_SECOND,
        )

    def _edit(self, *, is_bent: bool) -> Edit | None:
        plan, statistics = self.plan, self.frm.statistics
        recode = recoding(plan.recoded, lambda: statistics.add(DROPPED))
        if self.voice is None:
            return in_turn((rewriting(plan.table), recode))
        return in_turn((self.voice.edit if is_bent else self.voice.count, recode))

    def _route(self, *, is_bent: bool) -> Route:
        pair, opposite = self.frm.pair, self.opposite
        obstacle = ""
        if any(far is not None and far.shield is not None for far in (self.frm, self.to)):
            obstacle = ENCRYPTED
        elif is_bent:
            obstacle = DIGITS_CONVERTED
        elif self.plan.recoded:
            obstacle = RECODED
        elif (":" in pair.local) != (":" in opposite.local):
            obstacle = OTHER_FAMILY
        elif self._around.slots is None or self.frm.statistics.memory is not self._around.slots.memory:
            obstacle = NO_SLOT
        is_offered = self.to is not None and not isinstance(self._around.engine, NoEngine)
        dscp = self._around.dscp(opposite.rtp) if is_offered else 0
        out = (canonical(opposite.local), opposite.port)
        return Route(canonical(pair.local), pair.port, out, dscp, self.plan.stream.packets_per_second, obstacle)

    def _hear(self, packet: bytearray, size: int, now: float) -> None:
        """Sender reports are noted for the end that they go to; what this end heard says how far away it is."""
        for report in read_reports(packet, size):
            if not isinstance(report, SenderReport):
                self.frm.round_trip.heard(report, now)
            elif self.to is not None:
                self.to.round_trip.passed(report.ntp_middle, now)
