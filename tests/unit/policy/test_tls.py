# ruff: noqa: E501 (tables of exact texts)
"""The keys `tls` and `transports`: certificates and keys read with the policy, and what does not go together."""

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from sbc.core.address import Transport
from sbc.policy import wording
from sbc.policy.check import summary
from sbc.policy.load import load_policy
from sbc.policy.problems import PolicyError
from sbc.policy.protection import InterfaceTls, PeerTls, Trust
from sbc.testing.certificates import LONG_AGO, Authority, self_signed

PIN = "sha256:" + "AB:" * 31 + "CD"
FINGERPRINT = "ab" * 31 + "cd"

INTERFACES = """\
interfaces:
  inside: {sip: [udp:127.0.0.10:5060, tcp:127.0.0.10:5060], media: 127.0.0.10}
  outside: {sip: [udp:127.0.0.20:5060, tls:127.0.0.20:5061], media: 127.0.0.20, tls: {certificate: own.pem, key: own.key}}
"""


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def policy(tmp_path, authority):
    """Reads INTERFACES, or `interfaces`, with the trunk `x` of these keys; `own.pem` and `own.key` are there."""
    if not (tmp_path / "own.pem").exists():
        authority.issue("sbc.example").write(tmp_path, "own")

    def read(keys="servers: sip:x.example;transport=tls", *, interfaces=INTERFACES, kind="trunks", now=None, **more):
        text = f"{interfaces}{kind}:\n  x: {{interface: outside, {keys}}}\n"
        (tmp_path / "a.yaml").write_text(text)
        return load_policy([tmp_path / "a.yaml"], now=now, **more)

    return read


def errors(read, *args, **more) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        read(*args, **more)
    return [f"{error.wrong}; {error.expected}" for error in caught.value.problems]


def warnings(found) -> list[str]:
    return [f"{warning.wrong}; {warning.expected}" for warning in found.warnings if "no route" not in warning.wrong]


def with_tls(keys: str) -> str:
    return INTERFACES.replace("{certificate: own.pem, key: own.key}", f"{{{keys}}}")


def test_a_certificate_and_its_key_are_relative_to_the_file_that_names_them(policy, tmp_path):
    (pair,) = policy().interfaces["outside"].tls.pairs
    assert pair.chain == (tmp_path / "own.pem").read_text()
    assert pair.key.text == (tmp_path / "own.key").read_text()
    assert pair.name == str(tmp_path / "own.pem")
    assert "PRIVATE" not in repr(pair)


def test_a_certificate_with_the_one_above_it(policy, tmp_path, authority):
    Authority("Middle", authority).issue("sbc.example").write(tmp_path, "own")
    assert policy().interfaces["outside"].tls.pairs[0].chain.count("BEGIN CERTIFICATE") == 2


def test_others_are_shown_by_name(policy, tmp_path, authority):
    authority.issue("two.example").write(tmp_path, "two")
    found = policy(
        interfaces=with_tls("certificate: own.pem, key: own.key, others: {certificate: two.pem, key: two.key}")
    )
    assert [pair.name.rpartition("/")[2] for pair in found.interfaces["outside"].tls.pairs] == ["own.pem", "two.pem"]


def test_credentials_of_systemd_and_a_key_of_the_environment(policy, tmp_path):
    (tmp_path / "c").mkdir()
    (tmp_path / "own.pem").rename(tmp_path / "c" / "tls")
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path / "c"), "TLS_KEY": (tmp_path / "own.key").read_text()}
    found = policy(interfaces=with_tls("certificate: {credential: tls}, key: {env: TLS_KEY}"), environment=environment)
    assert found.interfaces["outside"].tls.pairs[0].key.text == environment["TLS_KEY"]
    assert warnings(found) == []


def test_a_key_that_is_not_there_is_a_warning_of_check_and_an_error_of_run(policy, tmp_path):
    (tmp_path / "own.key").unlink()
    found = policy()
    assert warnings(found) == [
        f"the key `{tmp_path}/own.key` cannot be read: No such file or directory; expected a readable file in PEM"
    ]
    assert found.interfaces["outside"].tls.pairs == ()
    with pytest.raises(PolicyError, match=r"own\.key` cannot be read"):
        policy(wants_secrets=True)


WRONG_FILES = [
    ("own.pem", "", "the certificate `{}/own.pem` holds no certificate in PEM; expected -----BEGIN CERTIFICATE-----"),
    ("own.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "the certificate `{}/own.pem` holds no certificate in PEM; expected -----BEGIN CERTIFICATE-----"),
    ("own.key", "", "the key `{}/own.key` holds no private key in PEM; expected -----BEGIN PRIVATE KEY-----"),
    ("own.key", "other", "the key `{}/own.key` is not the key of `sbc.example`; expected that of the first certificate in the file"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "text", "error"), WRONG_FILES)
def test_files_that_do_not_fit(policy, tmp_path, authority, file, text, error):
    (tmp_path / file).write_text(authority.issue("x").key if text == "other" else text)
    assert errors(policy) == [error.format(tmp_path)]


def test_a_chain_in_another_order(policy, tmp_path, authority):
    issued = Authority("Middle", authority).issue("sbc.example")
    first, second = issued.pem.split("-----END CERTIFICATE-----\n")[:2]
    (tmp_path / "own.pem").write_text("".join(f"{one}-----END CERTIFICATE-----\n" for one in (second, first)))
    (tmp_path / "own.key").write_text(issued.key)
    assert errors(policy) == [
        (
            f"the certificate `{tmp_path}/own.pem`: `CN=Middle` is not signed by `sbc.example`, which follows it; "
            "expected the certificate, then each authority's between it and the root"
        )
    ]


def test_a_certificate_that_has_expired_is_a_warning(policy, tmp_path, authority):
    authority.issue("sbc.example", dates=(LONG_AGO.replace(year=2020), LONG_AGO)).write(tmp_path, "own")
    assert warnings(policy(now=LONG_AGO.timestamp() + 1)) == [
        f"`sbc.example` expired on {LONG_AGO:%Y-%m-%d}; the other side will refuse it"
    ]
    assert warnings(policy(now=LONG_AGO.timestamp() - 1)) == []
    assert warnings(policy()) == []


@pytest.mark.parametrize(
    ("uses", "doubted"),
    [
        ((), set()),
        ((ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH), set()),
        ((ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,), set()),
        ((ExtendedKeyUsageOID.SERVER_AUTH,), {"clients"}),
        ((ExtendedKeyUsageOID.CLIENT_AUTH,), {"servers"}),
    ],
)
def test_a_certificate_for_another_use_is_a_warning(policy, tmp_path, authority, uses, doubted):
    """The interface's is for whoever connects, a peer's own is for servers that ask."""
    authority.issue("sbc.example", uses=uses).write(tmp_path, "own")
    found = policy("servers: sip:x.example;transport=tls, tls: {certificate: own.pem, key: own.key}")
    assert {said.partition("not for TLS ")[2].partition(" ")[0] for said in warnings(found)} == doubted


def test_no_text_of_a_key_is_repeated(policy, tmp_path):
    key = (tmp_path / "own.key").read_text().splitlines()[1]
    found = errors(policy, interfaces=with_tls(f"certificate: own.pem, key: '-----BEGIN PRIVATE KEY----- {key}'"))
    assert found == ["`key` is not the name of a file; expected PATH, {file: PATH}, {env: NAME} or {credential: NAME}"]


INTERFACE_ERRORS = [
    ("certificate: own.pem", "`certificate` without `key`; expected both"),
    ("key: own.key", "`key` without `certificate`; expected both"),
    ("others: {certificate: own.pem, key: own.key}", "`others` without `certificate`; expected the one that is shown to all others"),
    ("certificate: own.pem, key: own.key, minimum: '1.1'", "`1.1` is not a choice here; expected 1.2 or 1.3"),
    ("certificate: own.pem, key: own.key, revoked: sha1:00", 'this is no fingerprint; expected "sha256:" and 64 hexadecimal digits, colons allowed'),
    ("certificate: {env: X}, key: own.key", "`certificate` does not say where it is to be had; expected PATH, {file: PATH} or {credential: NAME}"),
]  # fmt: skip


@pytest.mark.parametrize(("keys", "error"), INTERFACE_ERRORS)
def test_an_error_of_an_interface(policy, keys, error):
    assert error in errors(policy, interfaces=with_tls(keys))


def test_a_listener_without_a_certificate_makes_connections_and_accepts_none(policy):
    found = policy(interfaces=with_tls("minimum: '1.3'"))
    assert found.interfaces["outside"].tls == InterfaceTls(trust=Trust(minimum="1.3"))
    assert warnings(found) == [
        (
            "`interfaces.outside` has no certificate; connections are made from there and not accepted; expected "
            "interfaces.outside.tls.certificate"
        )
    ]


def test_a_certificate_without_a_listener(policy):
    found = policy("servers: sip:x.example", interfaces=INTERFACES.replace(", tls:127.0.0.20:5061", ""))
    assert warnings(found) == ["`interfaces.outside` has `tls` and no tls listener; expected one in `sip`"]


def test_what_is_believed(policy, tmp_path, authority):
    (tmp_path / "ca.pem").write_text(authority.pem)
    (tmp_path / "crl.pem").write_text(authority.crl())
    keys = f"certificate: own.pem, key: own.key, authorities: ca.pem, crl: crl.pem, revoked: ['{PIN}']"
    trust = policy(interfaces=with_tls(keys)).interfaces["outside"].tls.trust
    assert (
        trust == Trust(authority.pem, authority.crl(), (FINGERPRINT,))
        or trust.crl == (tmp_path / "crl.pem").read_text()
    )
    assert trust.authorities == authority.pem
    assert trust.revoked == (FINGERPRINT,)


@pytest.mark.parametrize("key", ["authorities", "crl"])
def test_authorities_and_lists_that_are_none(policy, key):
    (found,) = errors(policy, interfaces=with_tls(f"certificate: own.pem, key: own.key, {key}: own.key"))
    assert "holds no" in found


def test_a_peers_own_trust_takes_the_rest_from_its_interface(policy, tmp_path, authority):
    (tmp_path / "ca.pem").write_text(authority.pem)
    (tmp_path / "crl.pem").write_text(authority.crl())
    interfaces = with_tls(f"certificate: own.pem, key: own.key, authorities: ca.pem, crl: crl.pem, revoked: '{PIN}'")
    base = "servers: sip:x.example;transport=tls, tls: "
    above = policy(interfaces=interfaces).interfaces["outside"].tls.trust
    stricter = policy(base + "{minimum: '1.3'}", interfaces=interfaces).peers["x"].tls.trust
    assert stricter == Trust(above.authorities, above.crl, above.revoked, "1.3")
    other = Authority("Other")
    (tmp_path / "other.pem").write_text(other.pem)
    assert policy(base + "{authorities: other.pem}", interfaces=interfaces).peers["x"].tls.trust == Trust(
        other.pem, "", above.revoked
    )
    assert policy(base + "{}", interfaces=interfaces).peers["x"].tls.trust is None


def test_how_a_peer_proves_who_it_is(policy):
    keys = "servers: sip:192.0.2.1;transport=tls, tls: {domain: [Sip.Example.com, b.example], identity: certificate}"
    assert policy(keys).peers["x"].tls == PeerTls(("sip.example.com", "b.example"), identity="certificate")
    pinned = policy(f"servers: sip:192.0.2.1;transport=tls, tls: {{pin: '{PIN}'}}").peers["x"].tls
    assert pinned == PeerTls(pins=(FINGERPRINT,))


def test_whether_our_requests_go_by_connections_that_a_peer_has_opened(policy):
    found = policy("servers: sip:x.example;transport=tls, tls: {reuse: false}")
    assert found.peers["x"].tls == PeerTls(reuse=False)
    assert wording.tls(found.peers["x"], ("x.example",)).endswith(" · our requests go by connections of our own")
    assert policy("servers: sip:x.example;transport=tls").peers["x"].tls.reuse


def test_what_a_peer_is_shown(policy, tmp_path):
    pbx = self_signed("for-x.example")
    pbx.write(tmp_path, "for-x")
    found = policy("servers: sip:x.example;transport=tls, tls: {certificate: for-x.pem, key: for-x.key}")
    assert found.peers["x"].tls.pair.chain == pbx.pem
    profile = found.tls_profiles[found.tls_profile("x")]
    assert profile.pairs == (found.peers["x"].tls.pair,)
    assert profile.domains == ("x.example",)


TRANSPORTS = [
    ("servers: sip:192.0.2.1", {"udp", "tcp", "tls"}),
    ("servers: sip:x.example;transport=tls", {"tls"}),
    ("servers: sips:x.example", {"tls"}),
    ("servers: [sip:x.example;transport=tls, sip:x.example;transport=udp]", {"udp", "tcp", "tls"}),
    ("servers: sip:192.0.2.1, tls: off", {"udp", "tcp"}),
    ("servers: sip:192.0.2.1, transports: udp", {"udp"}),
    ("servers: sip:x.example;transport=tls, transports: [udp, tls]", {"udp", "tls"}),
    ("servers: sip:x.example, tls: {identity: certificate}", {"tls"}),
]  # fmt: skip


@pytest.mark.parametrize(("keys", "transports"), TRANSPORTS)
def test_by_which_transports_a_peer_may_speak(policy, keys, transports):
    assert policy(keys).peers["x"].transports == {Transport(one) for one in transports}


PEER_ERRORS = [
    ("servers: sip:192.0.2.1;transport=tls", 'nothing says what the certificate of `sip:192.0.2.1;transport=tls` must hold; it is an address; expected tls: {domain: HOST}, or tls: {pin: "sha256:…"}'),
    ("servers: sip:x.example;transport=tls, tls: off", "`sip:x.example;transport=tls` is by TLS, and `tls` is off; `tls` is at {}"),
    ("servers: sip:x.example, tls: off, transports: [udp, tls]", "`transports` has tls, and `tls` is off; `tls` is at {}"),
    ("servers: sip:x.example;transport=udp, transports: tls", "`sip:x.example;transport=udp` is by udp, by which this peer may not speak; expected tls, or another list of `transports`"),
    ("servers: sip:x.example;transport=tls, tls: {identity: certificate}, transports: [tls, udp]", "`identity: certificate` is proved over TLS alone, not by udp; `identity` is at {}"),
    ("servers: sip:x.example;transport=tls, tls: {domain: 192.0.2.1}", "`192.0.2.1` is an address; expected a name: a certificate is not matched against addresses"),
    ("servers: sip:x.example;transport=tls, tls: {pin: ab}", 'this is no fingerprint; expected "sha256:" and 64 hexadecimal digits, colons allowed'),
    ("servers: sip:x.example;transport=tls, tls: on", "this is not how a peer proves who it is; expected a mapping, or off"),
    ("servers: sip:x.example;transport=tls, tls: {certificate: own.pem}", "`certificate` without `key`; expected both"),
    ("servers: sip:x.example;transport=sctp", "`sip:x.example;transport=sctp` has the transport `sctp`; expected transport=udp, tcp or tls"),
]  # fmt: skip


@pytest.mark.parametrize(("keys", "error"), PEER_ERRORS)
def test_an_error_of_a_peer(policy, tmp_path, keys, error):
    at = keys.find("identity:") + 10 if "identity" in error else keys.find("tls: off") + 5
    place = f"{tmp_path}/a.yaml:5:{at + len('  x: {interface: outside, ') + 1}"
    assert error.replace("{}", place) in errors(policy, keys)


def test_one_mistake_with_tls_off_is_one_error(policy):
    assert len(errors(policy, "servers: sip:192.0.2.1;transport=tls, tls: off")) == 1


def test_a_server_by_tls_needs_a_tls_listener(policy):
    (found,) = errors(policy, interfaces=INTERFACES.replace(", tls:127.0.0.20:5061", ""))
    assert found.startswith("no tls listener on `outside` to reach `sip:x.example;transport=tls` from")


def test_a_sips_aor_is_registered_over_tls(policy):
    keys = "servers: sip:192.0.2.1, register: {aor: sips:a@x.example}, auth: {username: a, password: {env: P}}"
    assert errors(policy, keys, environment={"P": "s3cret"}) == [
        "`sip:192.0.2.1` is no way to register `sips:a@x.example`; expected sips:HOST, or transport=tls"
    ]
    found = policy(keys.replace("sip:192.0.2.1", "sips:h.example"), environment={"P": "s3cret"}).peers["x"]
    assert found.register.aor == "sips:a@x.example"
    assert found.servers[0].is_sips


TWO = """\
trunks:
  x: {interface: outside, servers: sip:h.example;transport=tls, FIRST}
  y: {interface: outside, servers: sip:h.example;transport=tls, SECOND}
routes: [{to: dids, from: [x, y]}]
"""


@pytest.mark.parametrize(
    ("first", "second", "is_told_apart"),
    [
        ("domain: a.example", "domain: b.example", False),
        ("domain: a.example", "domain: b.example, tls: {identity: certificate}", True),
        ("domain: a.example", "domain: a.example, tls: {identity: certificate}", False),
        (
            "tls: {domain: [a.example, c.example]}",
            "tls: {domain: [b.example, c.example], identity: certificate}",
            False,
        ),
        (f"tls: {{pin: '{PIN}', identity: certificate}}", "domain: a.example", True),
    ],
)
def test_peers_at_one_source_may_be_told_apart_by_their_certificates(policy, tmp_path, first, second, is_told_apart):
    text = INTERFACES + TWO.replace("FIRST", first).replace("SECOND", second)
    (tmp_path / "a.yaml").write_text(text)
    if is_told_apart:
        assert set(load_policy([tmp_path / "a.yaml"]).peers) == {"x", "y"}
        return
    with pytest.raises(PolicyError, match="both accept"):
        load_policy([tmp_path / "a.yaml"])


def test_peers_at_one_source_may_be_told_apart_by_transport(policy, tmp_path):
    policy()
    text = (
        INTERFACES
        + "trunks:\n"
        + "".join(
            f"  {name}: {{interface: outside, servers: 'sip:192.0.2.1;transport={by}', transports: {by}, tls: {tls}}}\n"
            for name, by, tls in (("x", "udp", "off"), ("y", "tls", "{domain: y.example}"))
        )
    )
    (tmp_path / "a.yaml").write_text(text)
    found = load_policy([tmp_path / "a.yaml"])
    assert found.identify("outside", "192.0.2.1", 40_000, Transport.TLS).name == "y"
    assert found.identify("outside", "192.0.2.1", 40_000, Transport.UDP).name == "x"


def test_what_a_source_may_prove_before_its_handshake(policy):
    found = policy("servers: sip:192.0.2.1;transport=tls, tls: {domain: x.example}")
    assert [one.name for one in found.tls_candidates("outside", "192.0.2.1", 40_000)] == ["x"]
    assert found.tls_candidates("outside", "192.0.2.2", 40_000) == ()
    assert found.tls_candidates("inside", "192.0.2.1", 40_000) == ()
    assert policy("servers: sip:192.0.2.1, tls: off").tls_candidates("outside", "192.0.2.1", 40_000) == ()


def test_what_comes_from_one_may_not_come_from_another_that_has_to_prove_itself(policy, tmp_path):
    policy()
    text = INTERFACES + TWO.replace("FIRST", "domain: a.example").replace("SECOND", "tls: {domain: b.example, KEY}")
    (tmp_path / "a.yaml").write_text(text.replace("KEY", "identity: certificate"))
    found = load_policy([tmp_path / "a.yaml"])
    found.learn_addresses("h.example", ["192.0.2.1"])
    x, y = found.peers["x"], found.peers["y"]
    assert not found.may_be(x, y)
    assert not found.may_be(y, x)
    assert found.may_be(y, y)


def test_the_summary_says_who_is_heard_how_and_what_is_shown(policy, tmp_path):
    found = policy("servers: sip:x.example;transport=tls, tls: {identity: certificate, minimum: '1.3'}")
    lines = summary(found).splitlines()
    end = x509.load_pem_x509_certificate((tmp_path / "own.pem").read_bytes()).not_valid_after_utc
    shown = f"own.pem (sbc.example, until {end:%Y-%m-%d}) · TLS 1.2 and later, the system's authorities"
    assert any(line.endswith(shown) for line in lines)
    assert "  heard by tls only · its certificate must name x.example, which it must always show" in lines
    pinned = policy(f"servers: sip:192.0.2.1;transport=tls, tls: {{pin: '{PIN}'}}")
    assert "  heard by tls only · known by 1 pinned fingerprint" in summary(pinned).splitlines()
    assert "  heard by tcp and udp only" in summary(policy("servers: sip:192.0.2.1, tls: off")).splitlines()
    plain = summary(policy("servers: sip:192.0.2.1"))
    assert "heard by" not in plain


def test_anywhere_with_a_certificate(policy):
    keys = "registers: true, accept: any, tls: {identity: certificate, domain: pbx.example}"
    found = policy(keys, kind="pbxs").peers["x"]
    assert found.accepts_any
    assert not found.is_anybody
    assert found.transports == {Transport.TLS}
    assert "anywhere, with a certificate" in summary(policy(keys, kind="pbxs"))
    nameless = keys.replace(", domain: pbx.example", "")
    assert errors(policy, nameless, kind="pbxs") == [
        'nothing says what the certificate of `x` must hold; expected tls: {domain: HOST}, or tls: {pin: "sha256:…"}'
    ]


def test_what_means_nothing_beside_a_pin(policy, tmp_path, authority):
    (tmp_path / "ca.pem").write_text(authority.pem)
    keys = f"servers: sip:192.0.2.1;transport=tls, tls: {{pin: '{PIN}', authorities: ca.pem, domain: x.example}}"
    assert warnings(policy(keys)) == [
        f"`{key}` means nothing beside `pin`; a pin is the whole proof" for key in ("authorities", "domain")
    ]


def test_a_pin_is_proved_by_who_connects_only_with_an_authority(policy, tmp_path):
    pbx = self_signed("pbx.example")
    pbx.write(tmp_path, "pbx")
    keys = f"servers: sip:192.0.2.1;transport=tls, tls: {{pin: 'sha256:{pbx.fingerprint}', identity: certificate}}"
    (warning,) = warnings(policy(keys))
    assert warning.startswith(
        "a peer that connects proves a pin only with a certificate that some authority has signed"
    )
    assert warnings(policy(keys.replace("identity", "authorities: pbx.pem, identity"))) == []
