"""What is said of a call that is up, by `sbc calls`, the API and the metrics, against what was sent."""

import json
import re

import pytest

from .lab import ENGINES, Engine, Lab
from .parties import Parties

pytestmark = [pytest.mark.interop, pytest.mark.root, pytest.mark.slow]

PACKETS, LOST_EVERY = 72, 12  # of the PBX; the carrier's all arrive


def mos(loss: float, delay_ms: float) -> float:
    """G.711 with concealment by ITU-T G.107, below 177 ms of delay."""
    r = 93.2 - 0.024 * delay_ms - 95 * 100 * loss / (100 * loss + 25.1)
    return 1 + 0.035 * r + 7e-6 * r * (r - 60) * (100 - r)


@pytest.mark.parametrize("engine", ENGINES)
def test_all_say_the_same_and_the_truth(lab: Lab, engine: Engine) -> None:
    lab.start(engine)
    with Parties(lab) as parties:
        talk = parties.talk()
        near, far = talk.voices
        for n in range(PACKETS):
            if n % LOST_EVERY == 6:
                near.skips()
            else:
                near.says()
            far.says()
            parties.desk.rests(0.02)
        lost = PACKETS - len(near.sent)
        assert lost == PACKETS // LOST_EVERY
        assert talk.missed() == ([], [])

        def told() -> list[int]:
            quality = parties.quality()
            return [stream["packets"] for side in ("ingress", "egress") for stream in quality[side]]

        parties.desk.waits(lambda: told() == [len(near.sent), PACKETS], "all packets to be told of", 5, told)
        quality = parties.quality()
        ingress, egress = quality["ingress"][0], quality["egress"][0]
        assert (ingress["lost"], egress["lost"]) == (lost, 0)
        assert (ingress["engine"], egress["engine"]) == (engine, engine)
        assert ingress["source"] == "{}:{}".format(*near.address)
        assert egress["source"] == "{}:{}".format(*far.address)
        assert ingress["mos"] == pytest.approx(mos(lost / PACKETS, 40), abs=0.06)
        assert egress["mos"] == pytest.approx(mos(0, 40), abs=0.06)

        (line,) = (line for line in lab.node.says("calls").splitlines() if "answered" in line)
        assert f"{ingress['mos']:.1f}/{egress['mos']:.1f}" in line
        assert f"{100 * lost / PACKETS:.1f}/0.0" in line
        assert line.endswith(engine)

        text = lab.node.metrics()
        assert metric(text, "sbc_rtp_packets_total", interface="inside") == len(near.sent)
        assert metric(text, "sbc_rtp_packets_total", interface="outside") == PACKETS
        assert metric(text, "sbc_rtp_lost_total") == lost
        assert metric(text, "sbc_rtp_foreign_total") == 0
        assert metric(text, "sbc_media_streams", engine=engine) == 2
        assert sum(metric(text, "sbc_media_streams", engine=one) for one in ENGINES) == 2
        assert metric(text, "sbc_media_ports_used") == 2
        assert metric(text, "sbc_mos_count") == 0

        media = json.loads(parties.hangs_up(talk)["media"])
        for side in ("ingress", "egress"):
            for key in ("packets", "lost", "mos", "codec"):
                assert media[side][0][key] == quality[side][0][key]
        text = lab.node.metrics()
        assert metric(text, "sbc_mos_count") == 2
        assert metric(text, "sbc_mos_sum") == pytest.approx(ingress["mos"] + egress["mos"], abs=0.01)
        assert metric(text, "sbc_rtp_jitter_seconds_count") == 2
        assert metric(text, "sbc_rtp_jitter_seconds_sum") == pytest.approx(
            sum(media[side][0]["jitter_ms"] for side in ("ingress", "egress")) / 1000
        )
        assert metric(text, "sbc_rtp_round_trip_seconds_count") == 0  # nobody has reported
        assert metric(text, "sbc_media_ports_used") == 0
        assert metric(text, "sbc_rtp_packets_total", interface="inside") == len(near.sent)
        assert sum(metric(text, "sbc_media_streams", engine=one) for one in ENGINES) == 0


def metric(text: str, name: str, **labels: str) -> float:
    """0 where it is not there."""
    where = ",".join(f'{key}="{value}"' for key, value in labels.items())
    found = re.search(rf"^{name}{re.escape('{' + where + '}') if where else ''} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0
