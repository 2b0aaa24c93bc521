from collections.abc import Callable

import pytest

from sbc.policy.engine import Policy
from sbc.policy.load import Source, parse_policy
from sbc.policy.problems import PolicyError

INTERFACES = """\
interfaces:
  inside: {sip: [udp:127.0.0.10:5060, tcp:127.0.0.10:5060], media: 127.0.0.10}
  outside: {sip: [udp:127.0.0.20:5060, tcp:127.0.0.20:5060], media: 127.0.0.20}
"""

PEERS = """\
pbxs:
  office: {interface: inside, address: sip:127.0.0.30:5060, dids: "+14155550100-+14155550199"}
trunks:
  carrier-a: {interface: outside, servers: sip:127.0.0.40:5060}
"""

WELL = INTERFACES + PEERS


@pytest.fixture
def well() -> str:
    """Interfaces inside and outside, the PBX office with a hundred DIDs, the trunk carrier-a; no routes."""
    return WELL


@pytest.fixture
def load() -> Callable[..., Policy]:
    """Policies from texts, one file each: a.yaml, b.yaml, …"""

    def parse(*texts: str, environment: dict[str, str] | None = None) -> Policy:
        sources = [Source(f"{chr(97 + n)}.yaml", text.encode()) for n, text in enumerate(texts)]
        return parse_policy(sources, environment=environment)

    return parse


@pytest.fixture
def errors(load) -> Callable[..., list[str]]:
    """Every error of these texts, as printed."""

    def collect(*texts: str) -> list[str]:
        with pytest.raises(PolicyError) as caught:
            load(*texts)
        return str(caught.value).splitlines()

    return collect
