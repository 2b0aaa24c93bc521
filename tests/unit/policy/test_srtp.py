"""The key `srtp` of a peer: a word, or a mapping of mode, keying and suites."""

import pytest

from sbc.policy.check import summary
from sbc.policy.explain import explain
from sbc.policy.model import Facts
from sbc.policy.protection import SUITES, SrtpRules

GCM = "AEAD_AES_256_GCM"


def trunk(keys, *, server="sip:h;transport=tls", sip="[tls:127.0.0.50:5061, udp:127.0.0.50:5060]"):
    return (
        f"interfaces:\n  net: {{sip: {sip}, media: 127.0.0.50}}\n"
        f'trunks:\n  x: {{interface: net, servers: "{server}", {keys}}}\n'
    )


def warnings(policy):
    return [str(one).split(": ", 1)[1] for one in policy.warnings if "srtp" in str(one)]


@pytest.mark.parametrize(
    ("value", "rules"),
    [
        ("off", SrtpRules()),
        ("optional", SrtpRules("optional")),
        ("required", SrtpRules("required")),
        ("{}", SrtpRules("required")),
        ("{keying: dtls}", SrtpRules("required", ("dtls",))),
        ("{mode: optional, keying: [dtls, sdes]}", SrtpRules("optional", ("dtls", "sdes"))),
        ("{suites: aead_aes_256_gcm}", SrtpRules("required", suites=(GCM,))),
        (f"{{suites: [{GCM}, {SUITES[0]}]}}", SrtpRules("required", suites=(GCM, SUITES[0]))),
    ],
)
def test_what_may_be_said(load, value, rules):
    assert load(trunk(f"srtp: {value}")).peers["x"].srtp == rules


def test_without_the_key_there_is_no_srtp(load):
    assert load(trunk("t38: refuse")).peers["x"].srtp == SrtpRules("off", ("sdes",), SUITES)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("maybe", "`maybe` is not a choice here; expected off or optional or required"),
        ("true", "`true` is not a choice here; expected off or optional or required"),
        ("{keys: sdes}", "unknown key `keys` in `srtp`; did you mean `keying`?"),
        ("{keying: zrtp}", "`zrtp` is no way to agree upon keys; expected sdes or dtls"),
        ("{keying: [sdes, sdes]}", "`sdes` is listed twice; expected it once; first at a.yaml:4:71"),
        ("{suites: AES_CM_128}", "`AES_CM_128` is no suite that we know; did you mean `AES_CM_128_HMAC_SHA1_80`?"),
        (f"{{suites: [{GCM}, {GCM}]}}", f"`{GCM}` is listed twice; expected it once; first at a.yaml:4:71"),
        ("{suites: []}", "an empty list; expected at least one element"),
    ],
)
def test_what_cannot_be_meant(errors, value, said):
    [error] = errors(trunk(f"srtp: {value}"))
    assert error.split(": ", 1)[1] == said


@pytest.mark.parametrize("mode", ["optional", "required"])
def test_keys_in_messages_that_tls_need_not_carry_are_warned_of(load, mode):
    [warning] = warnings(load(trunk(f"srtp: {mode}", server="sip:h")))
    assert warning.startswith(f"`srtp: {mode}` with keys in messages that TLS need not carry; ")


@pytest.mark.parametrize(
    ("keys", "server", "sip"),
    [
        ("srtp: required", "sip:h;transport=tls", None),
        ("srtp: required, transports: tls", "sip:h;transport=tls", None),
        ("srtp: {keying: dtls}", "sip:h", None),
        ("srtp: off", "sip:h", None),
        ("srtp: required", "sips:h", "tls:127.0.0.50:5061"),
    ],
)
def test_over_tls_alone_nothing_is_warned_of(load, keys, server, sip):
    more = {} if sip is None else {"sip": f"[{sip}]"}
    assert warnings(load(trunk(keys, server=server, **more))) == []


def test_one_other_transport_is_enough_for_the_warning(load):
    assert len(warnings(load(trunk("srtp: required, transports: [tls, udp]")))) == 1


def test_a_fax_that_nothing_encrypts_is_warned_of(load):
    [warning] = warnings(load(trunk("srtp: required, t38: pass")))
    assert warning.startswith("`t38: pass` means nothing with `srtp: required`; ")
    assert warnings(load(trunk("srtp: required, t38: refuse"))) == []
    assert warnings(load(trunk("srtp: optional, t38: pass"))) == []


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("optional", "SRTP optional by SDES"),
        ("{keying: [dtls, sdes]}", "SRTP required by DTLS, then SDES"),
        (f"{{suites: {GCM}}}", f"SRTP required by SDES, {GCM} alone"),
    ],
)
def test_check_says_how_media_is_encrypted(load, value, words):
    assert words in summary(load(trunk(f"srtp: {value}")))


def test_check_says_nothing_of_plain_media(load):
    assert "SRTP" not in summary(load(trunk("srtp: off")))


def test_a_dry_run_says_how_the_media_of_a_target_is_encrypted(load):
    policy = load(trunk("srtp: required") + "routes: [{name: all, via: x}]\n")
    assert "     SRTP required by SDES" in explain(policy, Facts("x", "100", "")).splitlines()
