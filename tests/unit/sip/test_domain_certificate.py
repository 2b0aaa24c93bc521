"""RFC 5922 §7.1 and §7.2: which names of a certificate are SIP domains, and what matches them."""

# RFC: 5922

import pytest

from sbc.sip.domain_certificate import read_certificate
from sbc.testing.certificates import Authority, bad_certificates, self_signed

DOMAIN = "sip.carrier.example"


@pytest.fixture(scope="module")
def authority():
    return Authority()


def read(issued):
    return read_certificate(issued.der)


def test_a_dns_name_speaks_for_its_domain_in_whatever_case(authority):
    certificate = read(authority.issue("SIP.Carrier.Example"))
    assert certificate.domains == (DOMAIN,)
    assert certificate.speaks_for(["other.example", "sip.CARRIER.example"])


def test_a_sip_uri_without_a_user_speaks_for_its_host(authority):
    for uri in ("sip:sip.carrier.example", "SIP:sip.carrier.example;transport=tls", "sip:sip.carrier.example:5061"):
        assert read(authority.issue(uris=[uri])).speaks_for([DOMAIN]), uri


@pytest.mark.parametrize(
    "uri",
    [
        "sip:office@sip.carrier.example",
        "sip:evil@x;a=sip:sip.carrier.example",
        "sips:sip.carrier.example",
        "https://sip.carrier.example",
        "sip:evil.example/sip.carrier.example",
    ],
)
def test_other_uris_are_no_domains(authority, uri):
    assert not read(authority.issue(uris=[uri])).speaks_for([DOMAIN])


def test_dns_names_do_not_count_beside_a_sip_uri(authority):
    certificate = read(authority.issue(DOMAIN, uris=["sip:other.example"]))
    assert certificate.domains == ("other.example",)
    assert read(authority.issue(DOMAIN, uris=["https://other.example"])).domains == (DOMAIN,)


@pytest.mark.parametrize("bad", ["wrong name", "address only", "common name only", "NUL in the name", "wildcard"])
def test_what_is_not_the_whole_name_speaks_for_nobody(authority, bad):
    assert not read(bad_certificates(authority, DOMAIN)[bad]).speaks_for([DOMAIN])


@pytest.mark.parametrize(
    "name", ["carrier.example", "x.sip.carrier.example", ".carrier.example", "sip.carrier.example.", "127.0.0.1"]
)
def test_neither_suffixes_nor_prefixes_match(authority, name):
    certificate = read(authority.issue(name))
    assert not certificate.speaks_for([DOMAIN])
    assert "127.0.0.1" not in certificate.domains


def test_a_wildcard_does_not_even_match_itself(authority):
    """No domain of the policy is one; RFC 5922 would let it match its own text alone."""
    assert read(authority.issue("*.carrier.example")).domains == ()


def test_a_pin_is_of_the_certificate_or_of_its_key():
    issued = self_signed("pbx.example")
    certificate = read(issued)
    assert certificate.is_one_of(["0" * 64, issued.fingerprint])
    assert certificate.is_one_of([issued.key_fingerprint])
    assert not certificate.is_one_of(["0" * 64, "", issued.fingerprint[:-1], "é" * 64])
    assert not certificate.is_one_of([])


def test_its_names_are_shown_cut(authority):
    certificate = read(authority.issue(*(f"{n}.example" for n in range(12)), "x" * 63 + ".example"))
    assert certificate.said().startswith("[0.example, 1.example")
    assert certificate.said().endswith("3 more]")
    assert read(authority.issue(ips=["192.0.2.1"])).said() == "[192.0.2.1]"


def test_its_names_do_no_harm_where_they_are_shown(authority):
    assert read(authority.issue("a\0b\x1b[31m<i>")).said() == "[a?b?[31m?i?]"
    assert read(authority.issue(uris=["sip:a@b;c=d"])).said() == "[sip:a?b?c?d]"


def test_what_is_no_certificate_is_a_value_error():
    for octets in (b"", b"\x30\x00", b"x" * 1000):
        with pytest.raises(ValueError, match=r".+"):
            read_certificate(octets)
