"""Where a call may go: the entries of `via`, and the steps of a disaster plan.

A step is exactly one of {forward, via}, {pbx} and {reject}. Names are checked by `routecheck`, once all peers are
known.
"""

from collections.abc import Iterable
from typing import Final

from sbc.policy import values
from sbc.policy.documents import Node
from sbc.policy.model import DisasterStep, Forward, RejectWith, ToPbx, Via
from sbc.policy.numbers import NumberPlan
from sbc.policy.problems import Problems
from sbc.policy.schema import At, Fields, Key, one, read_fields, some

VIA: Final = (
    Key("to", "a peer", "whom to try", one(values.name), required=True),
    Key(
        "weight",
        "1 to 1000",
        "its share of the calls among the weighted entries beside it; the others follow in drawn order",
        one(values.within(1, 1_000)),
    ),
)

STEP: Final = (
    Key("forward", "a number", "call this number instead", one(values.number)),
    Key(
        "via",
        "a peer or a list of them",
        "with `forward`: over these, in this order",
        some(one(values.name)),
        default="what the routes of the PBX that is down say",
    ),
    Key("pbx", "a PBX", "the same number at this PBX", one(values.name)),
    Key("reject", "a SIP status", "400 to 699; the last step", one(values.reject_status)),
)

_OUTCOMES: Final = ("forward", "pbx", "reject")


def read_via(node: Node, problems: Problems) -> Via | None:
    if node.pairs is None:
        name = one(values.name)(node, problems)
        return None if name is None else Via(name)
    fields = read_fields(node, VIA, "an entry of `via`", problems)
    name = fields.get("to")
    return None if name is None else Via(name, fields.get("weight"))


def read_disaster(node: Node, problems: Problems) -> tuple[At, ...] | None:
    """The steps' fields, each with its place."""
    steps = some(_read_step)(node, problems)
    for at in (steps or ())[:-1]:
        if "reject" in at.value.written:
            problems.wrong(at.value.place("reject"), "a step behind `reject`", "expected it last: it ends the plan")
    return steps  # type: ignore[no-any-return]


def _read_step(node: Node, problems: Problems) -> Fields | None:
    if node.pairs is None:
        problems.wrong(
            node.where,
            f"a step of `disaster` is {node.kind}",
            "expected forward, pbx or reject in a mapping",
        )
        return None
    fields = read_fields(node, STEP, "a step of `disaster`", problems)
    said = [key for key in _OUTCOMES if key in fields.written]
    if len(said) != 1:
        what = "says " + " and ".join(f"`{key}`" for key in said) if said else "says nothing"
        problems.wrong(node.where, f"a step of `disaster` {what}", "expected one of forward, pbx and reject")
    elif "via" in fields.written and said != ["forward"]:
        problems.wrong(fields.place("via"), f"`via` beside `{said[0]}`", "expected it with `forward`")
    return fields


def disaster_steps(steps: Iterable[At], plan: NumberPlan) -> tuple[DisasterStep, ...]:
    return tuple([_step(at.value, plan) for at in steps])


def _step(fields: Fields, plan: NumberPlan) -> DisasterStep:
    if "forward" in fields.found:
        via = tuple([at.value for at in fields.get("via", ())])
        return Forward(plan.read(fields.get("forward")).best, via, fields.where)
    if "pbx" in fields.found:
        return ToPbx(fields.get("pbx"), fields.where)
    return RejectWith(fields.get("reject"), fields.where)
