"""IPv4 on one side and IPv6 on the other, IPv6 on both, and RTCP on RTP's port on one side only (RFC 5761)."""

import json
import time

import pytest

from .lab import Engine, Lab
from .namespaces import CARRIER, CARRIER6, INSIDE, INSIDE6, OUTSIDE, OUTSIDE6, PBX, PBX6
from .parties import Parties, Talk
from .voices import Voice

pytestmark = [pytest.mark.interop, pytest.mark.root, pytest.mark.slow]

INTERFACES = """\
  inside: {{{{sip: [udp:{{inside}}:5060], media: "{near}"}}}}
  outside: {{{{sip: [udp:{{outside}}:5060], media: "{far}"}}}}"""
HOSTS = {"pbx": {4: PBX, 6: PBX6}, "carrier": {4: CARRIER, 6: CARRIER6}}
OURS = {"pbx": {4: INSIDE, 6: INSIDE6}, "carrier": {4: OUTSIDE, 6: OUTSIDE6}}
MUX = "a=rtcp-mux"
DELAY, HELD_BACK = 0.12, 0.08  # a receiver answers after the first, and keeps the second quiet: it is the way


def report_both_ways(parties: Parties, talk: Talk) -> None:
    """Each end sends an SR, and the other one an RR about it."""
    for sender, receiver in (talk.voices, talk.voices[::-1]):
        had = len(receiver.reports)
        sender.reports_as_sender()
        parties.desk.waits(lambda had=had, receiver=receiver: len(receiver.reports) > had, "the SR", 2)
        report = receiver.reports[-1]
        assert report.source == receiver.rtcp_to
        assert report.data[:2] == bytes([0x80, 200])
        parties.desk.rests(DELAY)
        heard = len(sender.reports)
        receiver.reports_as_receiver(report, time.time() - report.at - HELD_BACK)
        parties.desk.waits(lambda heard=heard, sender=sender: len(sender.reports) > heard, "the RR", 2)
        assert sender.reports[-1].data[1] == 201


def is_heard(talk: Talk) -> None:
    assert talk.missed() == ([], [])
    for hearer in talk.voices:
        assert {packet.source for packet in hearer.heard} == {hearer.to}


def round_trips_are_measured(record: dict[str, object]) -> None:
    media = json.loads(str(record["media"]))
    for side in ("ingress", "egress"):
        (stream,) = media[side]
        assert stream["lost"] == 0
        assert stream["round_trip_ms"] == pytest.approx(HELD_BACK * 1000, abs=50)


@pytest.mark.parametrize(
    ("near", "far", "engine"), [(6, 4, "kernel"), (4, 6, "kernel"), (6, 6, "kernel"), (6, 6, "userland")]
)
def test_ipv6_on_either_side(lab: Lab, engine: Engine, near: int, far: int) -> None:
    """Where families differ, userland relays, whichever engine is there, and says why."""
    lab.namespaces.speak_ipv6()
    lab.start(engine, interfaces=INTERFACES.format(near=OURS["pbx"][near], far=OURS["carrier"][far]))
    with Parties(lab) as parties:
        talk = parties.talk(parties.voice("pbx", HOSTS["pbx"][near]), parties.voice("carrier", HOSTS["carrier"][far]))
        assert (talk.near.to[0], talk.far.to[0]) == (OURS["pbx"][near], OURS["carrier"][far])
        parties.desk.talks(0.3, *talk.voices)
        report_both_ways(parties, talk)
        parties.desk.talks(0.3, *talk.voices)
        is_heard(talk)
        if engine == "kernel" and near == far:
            assert lab.flows() == 2
        elif engine == "kernel":
            assert lab.flows() == 0
            parties.is_relayed_by("userland", "userland")
            assert {parties.quality()[side][0]["why"] for side in ("ingress", "egress")} == {"address families differ"}
        round_trips_are_measured(parties.hangs_up(talk))


@pytest.mark.parametrize(("who", "engine"), [("pbx", "userland"), ("pbx", "kernel"), ("carrier", "kernel")])
def test_rtcp_on_the_port_of_rtp_on_one_side_only(lab: Lab, engine: Engine, who: str) -> None:
    """Whoever offers it has it, in the INVITE or in a re-INVITE of the other side; the other end never hears of it."""
    lab.start(engine)
    with Parties(lab) as parties:
        near: Voice = parties.voice("pbx", is_muxed=who == "pbx")
        far: Voice = parties.voice("carrier", is_muxed=who == "carrier")
        talk = parties.talk(near, far, offer=near.describes(MUX) if who == "pbx" else "")
        muxed, plain = (talk.caller, talk.callee) if who == "pbx" else (talk.callee, talk.caller)
        if who == "carrier":
            talk.caller.sdp = near.describes()
            talk.callee.offers(far.describes(MUX))
            talk.goes()
        assert MUX in muxed.remote
        assert MUX not in plain.remote
        parties.desk.talks(0.3, *talk.voices)
        report_both_ways(parties, talk)
        parties.desk.talks(0.3, *talk.voices)
        is_heard(talk)
        assert engine == "userland" or lab.flows() == 2
        round_trips_are_measured(parties.hangs_up(talk))
