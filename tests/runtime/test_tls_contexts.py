"""What contexts are made of, and what is said where OpenSSL does not take it."""

import ssl

import pytest
from cryptography.hazmat.primitives import serialization

from sbc.core import limits
from sbc.core.errors import OperatorError
from sbc.core.secret import Secret
from sbc.policy.protection import KeyPair, TlsProfile, Trust
from sbc.runtime.tls_contexts import Context, Contexts, Rules, expiry_of
from sbc.runtime.tls_proof import Shown, can_judge, refusal
from sbc.runtime.tls_rules import network_of
from sbc.sip.domain_certificate import read_certificate
from sbc.testing.certificates import ENDS, Authority, self_signed

AUTHORITY = Authority()
OURS = AUTHORITY.issue("sbc.example")
WALL = 1_800_000_000.0


TRUST = Trust(AUTHORITY.pem)


def rules(*pairs, trusts=(TRUST,), verify="required", minimum="1.2"):
    return Rules(True, pairs or (OURS.pair(),), trusts, verify, minimum)


def test_equal_rules_share_a_context_and_what_is_not_wanted_any_more_goes():
    contexts = Contexts()
    made = contexts.get(rules())
    assert contexts.get(rules()) is made
    assert contexts.get(rules(minimum="1.3")) is not made
    contexts.keep({OURS.pair()}, {Trust(AUTHORITY.pem)})
    assert contexts.get(rules()) is made
    contexts.keep(set(), {Trust(AUTHORITY.pem)})
    assert contexts.get(rules()) is not made


def test_nothing_older_than_the_minimum_and_nothing_that_resumes():
    made = Contexts().get(rules(minimum="1.3")).made
    assert made.minimum_version == ssl.TLSVersion.TLSv1_3
    assert made.num_tickets == 0
    assert made.options & ssl.OP_NO_TICKET
    assert made.options & ssl.OP_NO_RENEGOTIATION
    assert Contexts().get(rules()).made.minimum_version == ssl.TLSVersion.TLSv1_2


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked_for_it():
    form, encoding = serialization.PrivateFormat.PKCS8, serialization.Encoding.PEM
    locked = OURS.private.private_bytes(encoding, form, serialization.BestAvailableEncryption(b"secret")).decode()
    with pytest.raises(OperatorError, match=r"`locked.pem` or its key cannot be used: the key has a passphrase"):
        Contexts().get(rules(KeyPair("locked.pem", OURS.pem, Secret(locked))))


def test_a_key_of_another_certificate_and_authorities_that_are_none_are_refused():
    other = KeyPair("ours.pem", OURS.pem, Secret(AUTHORITY.issue("sbc.example").key))
    with pytest.raises(OperatorError, match=r"`ours.pem` or its key cannot be used: key values mismatch") as raised:
        Contexts().get(rules(other))
    assert "PRIVATE" not in str(raised.value)
    with pytest.raises(OperatorError, match="the authorities or revocation lists cannot be used"):
        Contexts().get(rules(trusts=(Trust("nothing"),)))
    with pytest.raises(OperatorError, match="no authority is known"):
        Contexts().get(rules(trusts=(Trust(),)))


def test_the_authorities_of_the_system_are_read_when_asked():
    contexts = Contexts()
    contexts.read_system()
    assert contexts.authorities(Trust(AUTHORITY.pem)).isdisjoint(contexts.authorities(Trust()))


# BOUND: REMEMBERED_CHAINS
def test_chains_of_so_many_certificates_are_remembered(monkeypatch):
    monkeypatch.setattr(limits, "REMEMBERED_CHAINS", 3)
    context = Context(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    chains = {f"certificate {n}": frozenset({f"authority {n}"}) for n in range(4)}
    for n, (one, chain) in enumerate(chains.items()):
        assert context.chain_of(one, chain) == chain
        assert len(context._chains) == n % 3 + 1
    assert context.chain_of("certificate 3", frozenset()) == chains["certificate 3"]
    assert context.chain_of("certificate 0", frozenset()) == frozenset(), "as if it had led to nobody"


def test_the_end_of_a_pair_is_that_of_its_certificate():
    assert expiry_of(OURS.pair()) == ENDS.timestamp()


def shown(issued, **changes):
    chain = frozenset((issued.fingerprint, *Contexts().authorities(Trust(AUTHORITY.pem))))
    return Shown(**({"version": "1.3", "certificate": read_certificate(issued.der), "chain": chain} | changes))


def judge(profile, what, wall=WALL):
    return refusal(profile, what, Contexts().authorities, wall)


def test_what_was_verified_by_the_authorities_of_another_profile_does_not_count():
    profile = TlsProfile("a", "outside", ("sbc.example",), trust=Trust(AUTHORITY.pem))
    assert judge(profile, shown(OURS)) == ""
    other = TlsProfile("b", "outside", ("sbc.example",), trust=Trust(Authority("Other").pem))
    assert judge(other, shown(OURS)) == "its certificate is signed by an authority that is not believed"
    assert judge(profile, shown(OURS, chain=frozenset())) == judge(other, shown(OURS))


def test_a_revocation_list_that_was_not_asked_proves_nothing():
    crl = AUTHORITY.crl()
    profile = TlsProfile("a", "outside", ("sbc.example",), trust=Trust(AUTHORITY.pem, crl))
    assert judge(profile, shown(OURS)).startswith("whether its certificate is revoked could not be looked up")
    assert judge(profile, shown(OURS, lists=frozenset((crl,)))) == ""


def test_a_session_that_outlives_its_certificate_proves_nothing():
    profile = TlsProfile("a", "outside", ("sbc.example",), trust=Trust(AUTHORITY.pem))
    assert "has expired" in judge(profile, shown(OURS), ENDS.timestamp() + 1)


def test_an_authority_between_can_be_revoked_too():
    between = Authority("Between", AUTHORITY)
    issued = between.issue("sbc.example")
    fingerprint = read_certificate(between.certificate.public_bytes(serialization.Encoding.DER)).fingerprint
    profile = TlsProfile("a", "outside", ("sbc.example",), trust=Trust(AUTHORITY.pem, revoked=(fingerprint,)))
    chain = frozenset((fingerprint, *Contexts().authorities(Trust(AUTHORITY.pem))))
    assert judge(profile, shown(issued, chain=chain)) == "its certificate is revoked"


def test_who_can_be_judged_is_asked_for_a_certificate():
    pbx = self_signed("pbx.example")
    authorities = Contexts().authorities
    assert can_judge(TlsProfile("a", "i", ("a.example",)), authorities)
    assert not can_judge(TlsProfile("a", "i"), authorities)
    pinned = TlsProfile("a", "i", pins=(pbx.fingerprint,), trust=Trust(AUTHORITY.pem))
    assert not can_judge(pinned, authorities)
    assert can_judge(TlsProfile("a", "i", pins=(pbx.key_fingerprint,), trust=Trust(pbx.pem)), authorities)
    assert can_judge(TlsProfile("a", "i", pins=(pbx.fingerprint,), identity="certificate"), authorities)


def test_a_host_of_ipv6_is_its_network():
    assert network_of("2001:db8::1:2") == network_of("2001:db8::ffff") == "2001:db8::/64"
    assert network_of("192.0.2.1") == "192.0.2.1"
