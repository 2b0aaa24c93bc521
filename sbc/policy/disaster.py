"""What is tried instead of a PBX that is out of service: the plan of the DID, or else of the rule, step by step.

A forward without `via` goes where the routes would send the PBX if it had dialled that number itself, with the DID as
its caller: what the PBX may not dial is not forwarded to either. Emergency routes are no part of that, and a plan never
leads into another plan. When it is used, and which target comes first, the hunt decides. Pure.
"""

from collections.abc import Callable, Mapping

from msgspec import Struct, structs

from sbc.policy.model import DisasterPlan, DisasterStep, Forward, Peer, RejectWith, Step, Target, ToPbx
from sbc.policy.numbers import Number, NumberPlan

# The PBX that dials, the number, the caller that rules see, the caller that peers see: targets, or why there are none.
Dial = Callable[[str, Number, Number, Number], tuple[Target, ...] | str]


class Diverted(Struct, frozen=True):
    """A call whose PBX is down. `down` are all PBXs that its hunt has tried; `pbx` is the one whose routes count."""

    did: Number
    caller: Number
    pbx: str
    down: frozenset[str]


class DisasterPlanner:
    def __init__(self, plan: NumberPlan, peers: Mapping[str, Peer], dial: Dial) -> None:
        self._plan = plan
        self._peers = peers
        self._dial = dial

    def plan(self, steps: tuple[DisasterStep, ...], call: Diverted) -> DisasterPlan:
        hunt: list[Target] = []
        because: list[Step] = []
        for step in steps:
            if isinstance(step, RejectWith):
                because.append(_took(step))
                return DisasterPlan(tuple(hunt), step.status, tuple(because))
            targets = self._forward(step, call) if isinstance(step, Forward) else self._to_pbx(step, call)
            if isinstance(targets, str):
                because.append(Step(step.where, name(step), matched=False, reason=targets))
            else:
                because.append(_took(step))
                hunt += targets
        return DisasterPlan(tuple(hunt), 0, tuple(because))

    def _to_pbx(self, step: ToPbx, call: Diverted) -> tuple[Target, ...] | str:
        return _usable((self._target(step.pbx, call.did, call),), call)

    def _forward(self, step: Forward, call: Diverted) -> tuple[Target, ...] | str:
        number = self._plan.read(step.number)
        if step.via:
            return _usable(tuple(self._target(peer, number, call) for peer in step.via), call)
        targets = self._dial(call.pbx, number, call.did, call.caller)
        if isinstance(targets, str):
            return targets
        return _usable(tuple(structs.replace(target, diverted_from=call.did.best) for target in targets), call)

    def _target(self, name: str, called: Number, call: Diverted) -> Target:
        peer = self._peers[name]
        return Target(
            peer,
            self._plan.write(called, peer.called_form),
            self._plan.write(call.caller, peer.caller_form),
            peer.no_answer,
            called_e164=called.best,
            diverted_from=call.did.best,
        )


def name(step: DisasterStep) -> str:
    """As `because` and `sbc why` call it."""
    match step:
        case Forward(number, via):
            return f"forward to {number}" + (f" via {', '.join(via)}" if via else "")
        case ToPbx(pbx):
            return f"to pbx {pbx}"
        case RejectWith(status):
            return f"reject {status}"


def _took(step: DisasterStep) -> Step:
    return Step(step.where, name(step), matched=True)


def _usable(targets: tuple[Target, ...], call: Diverted) -> tuple[Target, ...] | str:
    left = tuple(target for target in targets if target.peer.name not in call.down)
    return left or "that is the PBX that is down"
