"""Random walks of three parties whose media is SRTP, or may be: nobody disagrees about streams, versions or keys."""

import random

import pytest

from sbc.testing.secure_sdp import PhoneSrtp

from .test_random_walks import Walk

RULES = {
    "optional": PhoneSrtp(required=False),
    "required": PhoneSrtp(),
    "off": None,
    "{mode: required, keying: dtls}": PhoneSrtp(keying="dtls"),
}
PEER_AT = {"10.0.0.5:5060": "office", "198.51.100.7:5060": "carrier", "10.0.0.6:5060": "branch"}


def secured(world, seed):
    """A world whose peers have these rules, each its own, and phones that fit them."""
    dice = random.Random(seed)
    rules = {name: dice.choice(list(RULES)) for name in PEER_AT.values()}

    def make(*arguments, peers, **options):
        said = {name: {**peers[name], "srtp": _value(rule)} for name, rule in rules.items()}
        sbc = world(*arguments, peers=said, **options)
        sbc.switch.show_fingerprint(("sha-256", ":".join(["AB"] * 32)))
        phone = sbc.phone
        sbc.phone = lambda name, address, **more: phone(name, address, srtp=RULES[rules[PEER_AT[address]]], **more)
        return sbc

    return make


def _value(rule):
    return {"mode": "required", "keying": "dtls"} if rule.startswith("{") else rule


@pytest.mark.parametrize("seed", range(120))
def test_every_walk_ends_well(world, seed):
    walk = Walk(secured(world, seed), seed)
    walk.walks()
    walk.rests()
    assert not walk.disagreements(), walk.tale
    walk.ends()
    assert "call.crashed" not in [log.event for log in walk.sbc.logs]
    assert walk.sbc.idle(), walk.tale
    walk.records_are_right()
