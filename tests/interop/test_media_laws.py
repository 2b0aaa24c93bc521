"""A-law here and µ-law there: what is said in one is heard in the other, whoever holds the call meanwhile (G.711)."""

import functools
import json

import pytest

from .lab import Engine, Lab
from .laws import A_LAW, MU_LAW, Law, are_alike, tone
from .parties import Parties, Talk
from .phones import Desk

pytestmark = [pytest.mark.interop, pytest.mark.root, pytest.mark.slow]

SAID = tone(400), tone(1000, 3000)  # by the PBX, and by the carrier


def test_the_laws_agree_with_themselves() -> None:
    for law in (A_LAW, MU_LAW):
        assert are_alike(law.samples(law.coded(SAID[0])), SAID[0])
    assert not are_alike(MU_LAW.samples(A_LAW.coded(SAID[0])), SAID[0])
    assert (A_LAW.samples(b"\xd5\xaa\x2a"), MU_LAW.samples(b"\xff\x80\x00")) == ([8, 32256, -32256], [0, 32124, -32124])


@pytest.mark.parametrize(("laws", "engine"), [((A_LAW, MU_LAW), "kernel"), ((MU_LAW, A_LAW), "userland")])
def test_a_tone_is_the_same_tone_on_the_other_side(lab: Lab, engine: Engine, laws: tuple[Law, Law]) -> None:
    lab.start(engine)
    with Parties(lab) as parties:
        talk = parties.talk(parties.voice("pbx", kind=laws[0].kind), parties.voice("carrier", kind=laws[1].kind))
        is_heard_as_said(parties.desk, talk, laws)
        if engine == "kernel":
            parties.is_relayed_by("userland", "userland")
            assert {parties.quality()[side][0]["why"] for side in ("ingress", "egress")} == {"recoded"}
            assert lab.flows() == 0
        talk.callee.sdp = talk.far.describes("a=recvonly")
        talk.caller.offers(talk.near.describes("a=sendonly"))
        assert "a=sendonly" in talk.callee.remote
        is_heard_as_said(parties.desk, talk, laws, speakers=1)
        talk.callee.sdp = talk.far.describes()
        talk.caller.offers(talk.near.describes())
        is_heard_as_said(parties.desk, talk, laws)
        assert talk.missed() == ([], [])
        media = json.loads(parties.hangs_up(talk)["media"])
    assert [media[side][0]["codec"] for side in ("ingress", "egress")] == [law.name for law in laws]
    assert [media[side][0]["packets"] for side in ("ingress", "egress")] == [60, 40]


def is_heard_as_said(desk: Desk, talk: Talk, laws: tuple[Law, Law], speakers: int = 2) -> None:
    """20 packets of the PBX, and of the carrier if both speak; the other one hears each in its own law."""
    before = [len(voice.heard) for voice in talk.voices]
    for _ in range(20):
        for voice, law, said in list(zip(talk.voices, laws, SAID, strict=True))[:speakers]:
            voice.says(_coded(law, tuple(said)))
        desk.rests(0.02)
    desk.rests(0.1)
    for n in range(speakers):
        heard, law = talk.voices[1 - n].heard[before[1 - n] :], laws[1 - n]
        assert {(packet.kind, packet.ssrc) for packet in heard} == {(law.kind, talk.voices[n].ssrc)}
        assert len(heard) == 20
        assert all(are_alike(law.samples(packet.payload), SAID[n]) for packet in heard)


@functools.cache
def _coded(law: Law, said: tuple[int, ...]) -> bytes:
    return law.coded(said)
