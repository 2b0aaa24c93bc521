from collections.abc import Callable
from pathlib import Path

import pytest

from sbc.policy.engine import Policy
from sbc.policy.load import load_policy
from sbc.policy.model import Facts, Target

POLICIES = Path(__file__).parents[2] / "policies"

Hop = tuple[str, str, str]


@pytest.fixture(scope="session")
def shipped() -> Callable[[str], Policy]:
    """A policy by its path below `policies/`, read once."""
    read: dict[str, Policy] = {}

    def load(name: str) -> Policy:
        if name not in read:
            read[name] = load_policy([POLICIES / name], environment={})
        return read[name]

    return load


@pytest.fixture(scope="session")
def ask(shipped) -> Callable[..., tuple[str | None, int | tuple[Hop, ...]]]:
    """The route that took a call, and its refusal, or where it goes: peer, called, caller."""

    def decide(name: str, peer: str, called: str, caller: str):
        decision = shipped(name).decide(Facts(peer, called, caller))
        return decision.route, decision.reject or hops(decision.hunt)

    return decide


@pytest.fixture(scope="session")
def ask_when_down(shipped) -> Callable[..., tuple[tuple[Hop, ...], int]]:
    """The same for the disaster plan: the targets, and the refusal that ends it."""

    def plan(name: str, peer: str, called: str, caller: str):
        facts = Facts(peer, called, caller)
        found = shipped(name).disaster_plan(facts, shipped(name).decide(facts))
        return hops(found.hunt), found.reject

    return plan


def hops(targets: tuple[Target, ...]) -> tuple[Hop, ...]:
    return tuple((target.peer.name, target.called, target.caller) for target in targets)
