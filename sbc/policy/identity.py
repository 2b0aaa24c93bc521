"""The key `caller_id` of a PBX: which callers it may name, and what becomes of others. `b2bua.identity` does it."""

from typing import Final

from sbc.policy import values
from sbc.policy.documents import Node
from sbc.policy.model import CallerId
from sbc.policy.numbers import NumberPlan
from sbc.policy.problems import Problems
from sbc.policy.schema import Fields, Key, choice, one, read_fields

CALLER_ID: Final = (
    Key(
        "mode",
        "screen, pass or fixed",
        "screen: callers must be DIDs of this PBX, or the call be forwarded by one (Diversion, History-Info); "
        "pass: whatever the PBX says; fixed: `default`, always",
        choice("screen", "pass", "fixed"),
        default="screen; without `caller_id`, pass",
    ),
    Key(
        "default",
        "a number",
        "shown where `fixed`, or where screening fails; required by `fixed` and by `replace`",
        one(values.number),
    ),
    Key(
        "on_fail",
        "replace, reject or anonymous",
        "a caller that does not pass the screen: `default` instead, 403, or nobody",
        choice("replace", "reject", "anonymous"),
        default="replace",
    ),
)


def read_caller_id(node: Node, problems: Problems) -> Fields:
    fields = read_fields(node, CALLER_ID, "`caller_id`", problems)
    mode = fields.get("mode", "screen")
    on_fail = fields.get("on_fail", "replace")
    is_told = "default" in fields.written
    if not is_told and (mode == "fixed" or (mode == "screen" and on_fail == "replace")):
        why = "`mode: fixed`" if mode == "fixed" else "`on_fail: replace`"
        problems.wrong(node.where, f"{why} without `default`", "expected default: NUMBER")
    unused = {"pass": ("default", "on_fail"), "fixed": ("on_fail",), "screen": ()}[mode]
    for key in unused:
        if key in fields.found:
            problems.warn(fields.place(key), f"`{key}` means nothing with `mode: {mode}`", "leave it out")
    return fields


def caller_id(fields: Fields, plan: NumberPlan) -> CallerId:
    return CallerId(
        mode=fields.get("mode", "screen"),
        default=plan.read(fields.get("default", "")).best if fields.get("default") else "",
        on_fail=fields.get("on_fail", "replace"),
        where=fields.where,
    )
