"""A PBX whose router hides it: its SDP names an address that nobody can reach, its packets come from another."""

import contextlib
import json

import pytest

from .lab import ENGINES, Engine, Lab
from .namespaces import INSIDE, LAN, NAT_FORGETS_SECONDS, PBX
from .overheard import Wire
from .parties import Parties

pytestmark = [pytest.mark.interop, pytest.mark.root, pytest.mark.slow]

NAT = f"latching: nat\n    media_from: {PBX}/32"
HIDDEN = 30000  # and above: ports that the router takes


def hidden_at(wire: Wire) -> int:
    """The router's port to which the SBC has sent last."""
    return [one.target[1] for one in wire.heard() if one.source[0] == INSIDE and one.target[1] >= HIDDEN][-1]


@pytest.mark.parametrize("engine", ENGINES)
def test_its_new_binding_is_believed_after_a_new_description_only(lab: Lab, engine: Engine) -> None:
    lab.namespaces.behind_nat()
    lab.start(engine, pbx_more=NAT)
    with Parties(lab) as parties, contextlib.closing(Wire(lab.namespaces, "pbx")) as wire:
        talk = parties.talk(parties.voice("lan", LAN))
        near, far = talk.voices
        assert f"IN IP4 {LAN}" in near.describes()
        parties.desk.talks(0.2, near, settle=0.1)
        parties.desk.talks(0.6, near, far)
        assert talk.missed() == ([], [])
        assert lab.engine == "userland" or lab.flows() == 2
        first = hidden_at(wire)

        # Nobody has said anything for a while: the router takes another port for what comes then.
        parties.desk.rests(NAT_FORGETS_SECONDS + 0.4)
        heard = len(far.heard)
        parties.desk.talks(0.6, near)
        assert len(far.heard) == heard
        far.says()
        parties.desk.rests(0.1)
        assert hidden_at(wire) == first

        talk.caller.offers(near.describes())
        near.goes(talk.caller.remote)
        near.sent.clear()
        far.sent.clear()
        parties.desk.talks(0.2, near, settle=0.1)
        parties.desk.talks(0.6, near, far)
        assert talk.missed() == ([], [])
        assert hidden_at(wire) != first
        media = json.loads(parties.hangs_up(talk)["media"])
    assert media["ingress"][0]["foreign"] == 30
    assert "foreign" not in media["egress"][0]


@pytest.mark.parametrize("latching", ["strict", "address"])
def test_where_nat_is_not_allowed_it_is_a_stranger(lab: Lab, latching: str) -> None:
    lab.namespaces.behind_nat()
    lab.namespaces.swallow(LAN)  # where nobody answers for what is sent there
    lab.start("userland", pbx_more=f"latching: {latching}")
    with Parties(lab) as parties:
        talk = parties.talk(parties.voice("lan", LAN))
        parties.desk.talks(0.6, *talk.voices)
        assert (talk.far.heard, talk.near.heard) == ([], [])
        media = json.loads(parties.hangs_up(talk)["media"])
    assert media["ingress"][0]["packets"] == 0
    assert media["ingress"][0]["foreign"] == 30
    assert media["egress"][0]["packets"] == 30
    assert lab.node.complaints() == []
    assert "[error" not in lab.node.child.log
