"""A call becomes a fax by T.38 and a call again: UDPTL passes as it is, from nobody else (RFC 3362, RFC 3264 §8.3)."""
# RFC: 3362

import json
import random

import pytest

from .lab import ENGINES, Engine, Lab
from .namespaces import CARRIER, OTHER_CARRIER
from .parties import Parties, Talk
from .voices import Voice

pytestmark = [pytest.mark.interop, pytest.mark.root, pytest.mark.slow]

T38 = ("a=T38FaxVersion:0", "a=T38MaxBitRate:14400", "a=T38FaxUdpEC:t38UDPRedundancy")
PACKETS = 30


def fax(voice: Voice) -> str:
    return voice.describes(*T38, media="m=image %d udptl t38")


def udptl(seed: int) -> list[bytes]:
    """A sequence number and anything: some of it looks like RTP, some is shorter than that."""
    rng = random.Random(seed)
    starts = [n << 8 | 0x8000 if n % 3 else n for n in range(PACKETS)]
    return [start.to_bytes(2) + rng.randbytes(rng.choice([0, 3, 9, 40, 300])) for start in starts]


def pages(parties: Parties, talk: Talk) -> None:
    said = {voice: udptl(voice.ssrc) for voice in talk.voices}
    before = {voice: len(voice.heard) for voice in talk.voices}
    for n in range(PACKETS):
        for voice, packets in said.items():
            voice.sends(packets[n])
        parties.desk.rests(0.01)
    parties.desk.rests(0.1)
    for hearer, sayer in (talk.voices, talk.voices[::-1]):
        assert [packet.data for packet in hearer.heard[before[hearer] :]] == said[sayer]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_call_becomes_a_fax_and_a_call_again(lab: Lab, engine: Engine) -> None:
    lab.namespaces.add("carrier", OTHER_CARRIER)
    lab.start(engine, pbx_more="latching: strict", trunk_more="latching: strict")
    with Parties(lab) as parties:
        talk = parties.talk()
        parties.desk.talks(0.4, *talk.voices)
        if engine == "kernel":
            assert lab.flows() == 2

        talk.caller.sdp = fax(talk.near)
        talk.callee.offers(fax(talk.far))
        assert "m=image" in talk.caller.remote
        assert "udptl t38" in talk.callee.remote
        talk.goes()
        if engine == "kernel":
            assert lab.flows() == 0
        pages(parties, talk)

        heard = len(talk.near.heard)
        for host in (CARRIER, OTHER_CARRIER):
            stranger = parties.voice("carrier", host)
            stranger.to = talk.far.to
            for packet in udptl(7):
                stranger.sends(packet)
        parties.desk.rests(0.2)
        assert len(talk.near.heard) == heard
        pages(parties, talk)

        talk.caller.sdp = talk.near.describes()
        talk.callee.offers(talk.far.describes())
        talk.goes()
        for voice in talk.voices:
            voice.heard.clear()
            voice.sent.clear()
        parties.desk.talks(0.4, *talk.voices)
        assert talk.missed() == ([], [])
        if engine == "kernel":
            assert lab.flows() == 2
        media = json.loads(parties.hangs_up(talk)["media"])
    assert media["egress"][0]["foreign"] == 2 * PACKETS
    assert "foreign" not in media["ingress"][0]
    assert lab.node.complaints() == []
