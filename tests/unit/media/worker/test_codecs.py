from array import array

import pytest

from sbc.media.worker.codecs import CODECS, Codec, transcoder
from sbc.media.worker.g711 import a_to_mu, mu_to_a


class Delta:
    """A codec with a state: octets are differences, and the first of them is one from zero."""

    name = "DELTA"

    def __init__(self, rate: int = 8000) -> None:
        self.rate = rate
        self.before = 0

    def decode(self, payload: bytes) -> "array[int]":
        samples = array("h")
        for step in payload:
            self.before += (step - 128) * 64
            samples.append(self.before)
        return samples

    def encode(self, samples: "array[int]") -> bytes:
        steps = bytearray()
        for one in samples:
            step = (one - self.before) // 64
            self.before += step * 64
            steps.append(step + 128)
        return bytes(steps)


def with_delta(rate: int = 8000) -> dict[str, "type[Delta] | object"]:
    return dict(CODECS) | {"DELTA": lambda: Delta(rate)}


@pytest.mark.parametrize(("source", "target", "table"), [("PCMA", "PCMU", a_to_mu()), ("PCMU", "PCMA", mu_to_a())])
def test_the_laws_of_g711_are_made_each_other_by_one_table(source: str, target: str, table: bytes):
    recode = transcoder(source, target)
    assert recode is not None
    assert recode(bytes(range(256))) == table
    assert recode(b"") == b""


@pytest.mark.parametrize(
    ("source", "target"), [("PCMA", "PCMA"), ("PCMA", "G729"), ("OPUS", "PCMU"), ("pcma", "PCMU"), ("", "")]
)
def test_what_is_the_same_already_or_unknown_is_not_recoded(source: str, target: str):
    assert transcoder(source, target) is None


def test_a_codec_is_plugged_in_by_its_name_and_each_stream_has_its_own_state():
    codecs: dict = with_delta()
    up, other = transcoder("DELTA", "PCMA", codecs), transcoder("DELTA", "PCMA", codecs)
    assert up is not None
    assert other is not None
    first, second = up(bytes([130])), up(bytes([130]))
    assert first != second
    assert other(bytes([130])) == first
    pcma: Codec = CODECS["PCMA"]()
    assert list(pcma.decode(first + second)) == [136, 264]  # the A-law values next to 128 and 256
    down = transcoder("PCMA", "DELTA", codecs)
    assert down is not None
    assert down(second) == bytes([132])


def test_codecs_that_sample_at_different_rates_do_not_meet():
    codecs: dict = with_delta(16_000)
    assert transcoder("DELTA", "PCMA", codecs) is None
