"""Draws the transaction tables as Mermaid state diagrams for `docs/reference/state-diagrams.md`.

Pure: tables in, text out. The page is written by whoever regenerates the reference, and a test fails when it is stale.
"""

from collections.abc import Iterable
from typing import Any, Final

from sbc.sip.transaction import client, invite_client, invite_server, server
from sbc.sip.transaction.table import Table, edges

_HEAD: Final = """\
# State diagrams

Generated from the tables in `sbc/sip/transaction`; change a table, not this page.

Every pair of state and input that is not drawn is in its table as one that changes nothing. Edges that lead back to
their own state do something there: they repeat a message, or pass it up.
"""
_MACHINES: Final = (
    (
        "INVITE client",
        "RFC 3261 §17.1.1, with Accepted of RFC 6026 §7.2 and cancelling of RFC 3261 §9.1.",
        invite_client.TABLE,
        invite_client.State.CALLING,
    ),
    (
        "INVITE server",
        "RFC 3261 §17.2.1, with Accepted of RFC 6026 §7.1.",
        invite_server.TABLE,
        invite_server.State.PROCEEDING,
    ),
    ("Client of other requests", "RFC 3261 §17.1.2.", client.TABLE, client.State.TRYING),
    ("Server of other requests", "RFC 3261 §17.2.2.", server.TABLE, server.State.TRYING),
)


def page() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *[_section(*machine) for machine in _MACHINES]])


def _section(title: str, source: str, table: Table[Any, Any], first: str) -> str:
    return f"## {title}\n\n{source}\n\n```mermaid\n{diagram(table, first)}\n```\n"


def diagram(table: Table[Any, Any], first: str) -> str:
    """One table; inputs that lead from one state to the same other share an edge."""
    labels: dict[tuple[str, str], list[str]] = {}
    for state, input_, target in edges(table):
        labels.setdefault((state, target), []).append(str(input_))
    names = dict.fromkeys(state for pair in labels for state in pair)
    lines = ["stateDiagram-v2", *_named(names), f"    [*] --> {_id(first)}"]
    lines += [f"    {_id(a)} --> {_id(b)}: {', '.join(inputs)}" for (a, b), inputs in labels.items()]
    lines += [f"    {_id(state)} --> [*]" for state in names if state == "terminated"]
    return "\n".join(lines)


def _named(states: Iterable[str]) -> list[str]:
    """Names that are no identifiers need one beside them."""
    return [f'    state "{state}" as {_id(state)}' for state in states if _id(state) != str(state)]


def _id(state: str) -> str:
    return "_".join("".join(char if char.isalnum() else " " for char in state).split())
