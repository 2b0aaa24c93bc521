"""`sbc run` with encrypted listeners: certificates out of files, exchanged while connections stand."""

import contextlib
import datetime as dt
import signal
import socket
import ssl

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from sbc.testing.certificates import BEGINS, Authority, self_signed

pytestmark = pytest.mark.loopback

POLICY = """
sbc: {{name: test, data_dir: {data_dir}, admin: "{admin}", stop_after: 1s{sbc}}}
interfaces:
  inside: {{sip: ["udp:{host}.10:5060"], media: {host}.10}}
  outside:
    sip: ["tls:{host}.20:5061"]
    media: {host}.20
    tls: {{certificate: ours.pem, key: ours.key, authorities: ca.pem}}
media: {{ports: {ports}}}
pbxs:
  office: {{interface: inside, address: "sip:{host}.30:5060", dids: ["+14155550100"]}}
trunks:
  carrier:
    interface: outside
    servers: ["sip:{host}.40:5061;transport=tls"]
    tls: {{domain: sip.carrier.example, identity: certificate}}
routes:
  - {{name: out, from: office, to: ["+X."], via: [carrier]}}
"""
PATIENCE = 10.0
SOON = dt.datetime.now(dt.UTC) + dt.timedelta(days=5)
OPTIONS = (
    "OPTIONS sip:sbc.example SIP/2.0\r\nVia: SIP/2.0/TLS {host}.40:5061;branch=z9hG4bK{branch}\r\nMax-Forwards: 70\r\n"
    "From: <sip:sip.carrier.example>;tag=1\r\nTo: <sip:sbc.example>\r\nCall-ID: {branch}\r\nCSeq: 1 OPTIONS\r\n"
    "Content-Length: 0\r\n\r\n"
)


@pytest.fixture
def authority():
    return Authority()


@pytest.fixture
def process(start, authority, tmp_path):
    authority.issue("sbc.example", dates=(BEGINS, SOON)).write(tmp_path, "ours")
    (tmp_path / "ca.pem").write_text(authority.pem)
    template = POLICY
    for name in ("ours.pem", "ours.key", "ca.pem"):
        template = template.replace(name, str(tmp_path / name))
    return start(template=template).ready()


def connect(process, tmp_path, authority, issued=None, port=5061):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=authority.pem)
    if issued is not None:
        context.load_cert_chain(*issued.write(tmp_path, "carrier"))
    plain = socket.create_connection((f"{process.host}.20", port), 10, (f"{process.host}.40", 0))
    try:
        return context.wrap_socket(plain, server_hostname="sbc.example")
    except BaseException:
        plain.close()
        raise


def answer(secured, process, branch):
    secured.sendall(OPTIONS.format(host=process.host, branch=branch).encode())
    return secured.recv(65_536).decode()


def is_refused(process, tmp_path, authority, issued):
    """In TLS 1.3 a client has done its handshake before its certificate was looked at."""
    try:
        with connect(process, tmp_path, authority, issued) as secured:
            return not answer(secured, process, "refused")
    except OSError:
        return True


def test_a_trunk_is_heard_by_its_certificate_and_new_files_touch_no_connection(process, tmp_path, authority):
    good = authority.issue("sip.carrier.example")
    with connect(process, tmp_path, authority, good) as old:
        assert answer(old, process, "one").startswith("SIP/2.0 200 ")
        before = old.getpeercert()["serialNumber"]
        assert "certificate.expires" in [alarm["event"] for alarm in process.get("/api/v1/alarms")["alarms"]]

        authority.issue("sbc.example").write(tmp_path, "ours")
        process.process.send_signal(signal.SIGHUP)
        process.until(lambda: process.events("certificate.renewed"))
        with connect(process, tmp_path, authority, good) as new:
            assert answer(new, process, "two").startswith("SIP/2.0 200 ")
            assert new.getpeercert()["serialNumber"] != before
        assert answer(old, process, "three").startswith("SIP/2.0 200 ")


def test_a_wrong_certificate_is_an_alarm_that_names_what_is_wrong(process, tmp_path, authority):
    assert is_refused(process, tmp_path, authority, authority.issue("other.example"))
    process.until(lambda: process.events("tls.refused"))
    refused = process.events("tls.refused")[0]
    assert (refused["peer"], refused["alarm"]) == ("carrier", True)
    assert refused["reason"] == "its certificate is for [other.example], not for sip.carrier.example"
    with connect(process, tmp_path, authority, authority.issue("sip.carrier.example")) as right:
        assert answer(right, process, "two").startswith("SIP/2.0 200 ")
    process.until(lambda: process.events("tls.proved"))


def test_a_pair_that_does_not_fit_is_refused_and_the_old_one_stays(process, tmp_path, authority):
    (tmp_path / "ours.key").write_text(authority.issue("sbc.example").key)
    process.process.send_signal(signal.SIGHUP)
    process.until(lambda: process.events("reload.refused"))
    with connect(process, tmp_path, authority, authority.issue("sip.carrier.example")) as secured:
        assert answer(secured, process, "one").startswith("SIP/2.0 200 ")


def test_a_reload_adds_and_takes_away_encrypted_listeners(process, tmp_path, authority):
    good = authority.issue("sip.carrier.example")
    template = process.template
    process.template = template.replace('["tls:{host}.20:5061"]', '["tls:{host}.20:5061", "tls:{host}.20:5071"]')
    process.write_policy()
    process.process.send_signal(signal.SIGHUP)
    process.until(lambda: process.events("listener.added"))
    with connect(process, tmp_path, authority, good, port=5071) as secured:
        assert answer(secured, process, "one").startswith("SIP/2.0 200 ")
        process.template = template
        process.write_policy()
        process.process.send_signal(signal.SIGHUP)
        process.until(lambda: process.events("listener.closed"))
        assert secured.recv(1) == b""  # declared: a cut would raise
    with connect(process, tmp_path, authority, good) as secured:
        assert answer(secured, process, "two").startswith("SIP/2.0 200 ")


def started_with(start, authority, tmp_path, tls):
    """`tls`: the trunk's, instead of a certificate that it must always show; with OPTIONS to it."""
    authority.issue("sbc.example").write(tmp_path, "ours")
    (tmp_path / "ca.pem").write_text(authority.pem)
    template = POLICY.replace("tls: {{domain: sip.carrier.example, identity: certificate}}",
                              f"tls: {{{{{tls}}}}}\n    health: {{{{options: 1s, retry: 1s}}}}")  # fmt: skip
    for name in ("ours.pem", "ours.key", "ca.pem"):
        template = template.replace(name, str(tmp_path / name))
    return start(template=template).ready()


def test_a_trunk_that_is_known_by_its_address_is_heard_whatever_its_certificate_is_for(
    start, host, authority, tmp_path
):
    """As public ones are, for servers alone (RFC 5280 §4.2.1.12); a stranger gets nothing all the same."""
    process = started_with(start, authority, tmp_path, "domain: sip.carrier.example, identity: address")
    of_a_server = authority.issue("sip.carrier.example", uses=(ExtendedKeyUsageOID.SERVER_AUTH,))
    with connect(process, tmp_path, authority, of_a_server) as secured:
        assert answer(secured, process, "one").startswith("SIP/2.0 200 ")
    with connect(process, tmp_path, authority) as secured:
        assert answer(secured, process, "two").startswith("SIP/2.0 200 ")


def test_a_pinned_trunk_signs_its_own_certificate_and_no_other_one_is_taken(start, host, authority, tmp_path):
    own = self_signed("whatever.example")
    with contextlib.closing(socket.create_server((f"{host}.40", 5061))) as listener:
        listener.settimeout(PATIENCE)
        process = started_with(start, authority, tmp_path, f'pin: "sha256:{own.fingerprint}"')
        with accepted(listener, tmp_path, own) as secured:
            assert secured.recv(65_536).startswith(b"OPTIONS sip:")
        with contextlib.suppress(OSError), accepted(listener, tmp_path, authority.issue("whatever.example")) as secured:
            assert secured.recv(65_536) == b""  # well signed, for the same name, and another one
    process.until(lambda: process.events("tls.refused"))
    assert process.events("tls.refused")[0]["peer"] == "carrier"
    with connect(process, tmp_path, authority) as secured:  # where it connects, its address says who it is
        assert answer(secured, process, "one").startswith("SIP/2.0 200 ")


def accepted(listener, tmp_path, issued):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*issued.write(tmp_path, "carrier"))
    plain, _ = listener.accept()
    plain.settimeout(PATIENCE)
    try:
        return context.wrap_socket(plain, server_side=True)
    except BaseException:
        plain.close()
        raise


def test_keys_come_by_systemd_credentials_and_new_ones_with_a_reload(start, host, authority, tmp_path, monkeypatch):
    """As `LoadCredential=` has them: files of a folder that the environment names; nothing in the policy's own."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    authority.issue("sbc.example").write(folder, "ours")
    (folder / "carrier-password").write_text("swordfish\n")
    (tmp_path / "ca.pem").write_text(authority.pem)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    template = POLICY.replace("ours.pem", "{{credential: ours.pem}}").replace("ours.key", "{{credential: ours.key}}")
    template = template.replace(
        "identity: certificate}}",
        "identity: certificate}}\n    auth: {{username: us, password: {{credential: carrier-password}}}}",
    )
    process = start(template=template.replace("ca.pem", str(tmp_path / "ca.pem"))).ready()
    good = authority.issue("sip.carrier.example")
    with connect(process, tmp_path, authority, good) as first:
        assert answer(first, process, "one").startswith("SIP/2.0 200 ")
        authority.issue("sbc.example").write(folder, "ours")
        process.process.send_signal(signal.SIGHUP)
        process.until(lambda: process.events("reload.done"))
        with connect(process, tmp_path, authority, good) as second:
            assert second.getpeercert()["serialNumber"] != first.getpeercert()["serialNumber"]
    (folder / "ours.key").unlink()
    process.process.send_signal(signal.SIGHUP)
    process.until(lambda: process.events("reload.refused"))
    with connect(process, tmp_path, authority, good) as third:
        assert answer(third, process, "three").startswith("SIP/2.0 200 ")
    assert "PRIVATE KEY" not in process.text
    assert "swordfish" not in process.text
