"""The section `media`, and the keys of a peer that say where its media may come from."""

import pytest

from sbc.policy.check import summary
from sbc.policy.model import MediaSettings


def trunk(keys, media="127.0.0.50"):
    return (
        f"interfaces:\n  net: {{sip: [udp:127.0.0.50:5060, 'udp:[::1]:5060'], media: {media}}}\n"
        f"trunks:\n  x: {{interface: net, servers: sip:h, {keys}}}\n"
    )


def warnings(policy):
    return [str(warning).split(": ", 1)[1] for warning in policy.warnings if "no route" not in str(warning)]


@pytest.mark.parametrize("engine", ["auto", "kernel", "userland"])
def test_every_engine_may_be_asked_for(load, engine):
    policy = load(trunk("") + f"media: {{engine: {engine}, workers: 16}}\n")
    assert policy.media == MediaSettings(engine=engine, workers=16)
    assert f"engine {engine} · 16 workers" in summary(policy)


@pytest.mark.parametrize(("text", "seconds"), [("10s", 10.0), ("1d", 86_400.0), ("off", 0.0)])
def test_the_silence_that_ends_a_call(load, text, seconds):
    assert load(trunk("") + f"media: {{silence_timeout: {text}}}\n").media.silence_timeout == seconds


def test_that_silence_ends_no_call_is_said(load):
    assert "silence ends no call · media outlives" in summary(load(trunk("") + "media: {silence_timeout: off}\n"))


@pytest.mark.parametrize("value", ["0s", "9s", "2d", "never", "300"])
def test_a_silence_that_cannot_be_meant(errors, value):
    [error] = errors(trunk("") + f"media: {{silence_timeout: {value}}}\n")
    assert error.startswith("a.yaml:5:26: ")


@pytest.mark.parametrize("value", ["0s", "9s", "2d", "off"])
def test_media_of_the_dead_goes_on_for_a_time(errors, value):
    [error] = errors(trunk("") + f"media: {{orphan_timeout: {value}}}\n")
    assert error.startswith("a.yaml:5:25: ")


def test_nat_needs_the_networks_that_may_be_learned(errors):
    [error] = errors(trunk("latching: nat"))
    assert error.startswith("a.yaml:4:49: `latching: nat` without `media_from`; expected the networks that its media")


def test_a_bad_network_is_one_mistake(errors):
    [error] = errors(trunk("latching: nat, media_from: [10.0.0.1/8]"))
    assert error == "a.yaml:4:67: `10.0.0.1/8` has bits set behind its prefix; expected 10.0.0.0/8"


def test_any_is_no_network(errors):
    [error] = errors(trunk("latching: nat, media_from: any"))
    assert "`any` is no network; expected networks" in error


def test_one_address_is_a_network(load):
    policy = load(trunk("latching: nat, media_from: [192.0.2.7, 192.0.2.7/32]"))
    assert policy.peers["x"].media_from == ("192.0.2.7/32",)
    assert "media learned within 192.0.2.7/32" in summary(policy)
    assert not warnings(policy)


@pytest.mark.parametrize("latching", ["", "latching: address, ", "latching: strict, "])
def test_networks_that_nobody_asks_for_are_a_warning(load, latching):
    [warning] = warnings(load(trunk(latching + "media_from: [10.0.0.0/8]")))
    assert warning.startswith(f"`media_from` means nothing with `latching: {latching[10:-2] or 'address'}`")


def test_a_misspelt_latching_is_one_mistake(errors):
    [error] = errors(trunk("latching: nart, media_from: [10.0.0.0/8]"))
    assert "`nart` is not a choice here" in error


@pytest.mark.parametrize("network", ["0.0.0.0/0", "128.0.0.0/1", "'::/0'", "'2000::/3'"])
def test_half_the_world_is_a_warning(load, network):
    [warning] = warnings(load(trunk(f"latching: nat, media_from: {network}", media="[127.0.0.50, '::1']")))
    assert warning.startswith("media may be learned from ")


def test_networks_of_a_family_that_has_no_media_there(errors, load):
    [error] = errors(trunk("latching: nat, media_from: ['fd00::/48']"))
    assert error.startswith("a.yaml:4:67: no IPv6 media comes to this interface, so none from fd00::/48; ")
    [warning] = warnings(load(trunk("latching: nat, media_from: ['fd00::/48', 10.0.0.0/8]")))
    assert warning.startswith("no IPv6 media comes to this interface")
    assert not warnings(
        load(trunk("latching: nat, media_from: ['fd00::/48', 10.0.0.0/8]", media="[127.0.0.50, '::1']"))
    )


def test_a_pbx_has_the_same_keys(load, errors):
    pbx = trunk("").replace("trunks", "pbxs").replace("servers", "address")
    assert load(pbx.replace("sip:h, ", "sip:h, transcode: off, ")).peers["x"].transcode == "off"
    assert len(errors(pbx.replace("sip:h, ", "sip:h, latching: nat, "))) == 1


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("latching: strict", "media from its SDP's address and port only"),
        ("transcode: off", "G.711 is not recoded"),
    ],
)
def test_what_differs_from_the_usual_is_said(load, keys, words):
    assert words in summary(load(trunk(keys)))
    assert words not in summary(load(trunk("")))
