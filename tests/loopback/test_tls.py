"""TLS on loopback sockets: who is heard, what is opened, and what is refused on every new connection."""

import contextlib
import socket
import ssl
import warnings

import pytest
import trio
from cryptography.x509.oid import ExtendedKeyUsageOID

from sbc.core import limits
from sbc.core.address import Transport
from sbc.policy.protection import PeerTls, Trust
from sbc.runtime import connecting, tcp, tls_gate
from sbc.runtime.tls import TlsSession
from sbc.sip.events import FlowClosed
from sbc.testing.certificates import Authority, bad_certificates, self_signed
from tests.loopback.tls_rig import (
    AUTHORITY,
    DOMAIN,
    GOOD,
    OUR_PAIR,
    OURS,
    TRUST,
    anybody,
    connect,
    connect_plain,
    context_of,
    echoed,
    message,
    policy_of,
    receive,
    running,
    serving,
    trunk,
    until,
)

pytestmark = pytest.mark.loopback

BAD = bad_certificates(AUTHORITY, DOMAIN)
REVOKING = Trust(authorities=AUTHORITY.pem, revoked=(BAD["revoked"].fingerprint,))


def proving(identity="source", **changes):
    given = {"domains": (DOMAIN,), "identity": identity, "trust": REVOKING} | changes
    return trunk(tls=PeerTls(**given))


# --- who connects -----------------------------------------------------------------------------------------------------


async def test_a_peer_known_by_its_source_needs_no_certificate_and_proves_nothing():
    async with running() as rig, await connect(rig) as stream:
        assert await echoed(stream)
        assert rig.flows[0].proved == ()
        assert rig.flows[0].transport is Transport.TLS


@pytest.mark.parametrize("identity", ["source", "certificate"])
async def test_a_certificate_with_the_domain_proves_the_profile(identity):
    async with running(proving(identity)) as rig, await connect(rig, GOOD) as stream:
        assert await echoed(stream)
        assert rig.flows[0].proved == ("carrier",)


# RFC: 5922
@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("identity", ["source", "certificate"])
async def test_a_client_with_a_bad_certificate_is_refused_each_time(identity, bad):
    async with running(proving(identity)) as rig:
        for _ in range(2):
            stream = await connect(rig, BAD[bad])
            assert not await echoed(stream)
            await trio.aclose_forcefully(stream)
        await until(lambda: rig.tcp.connections == 0)
        assert rig.flows == []
        assert rig.drops["tls_handshake_failed"] == 2


async def test_who_must_prove_itself_and_shows_nothing_is_refused():
    async with running(proving("certificate")) as rig:
        stream = await connect(rig)
        assert not await echoed(stream)
        await trio.aclose_forcefully(stream)
        assert rig.flows == []


async def test_peers_that_share_a_source_prove_which_of_them_it_is():
    other = Authority("Other")
    peers = (
        proving("certificate"),
        trunk("second", tls=PeerTls(("second.example",), identity="certificate", trust=Trust(other.pem))),
    )
    async with running(*peers) as rig:
        for issued, proved in ((GOOD, ("carrier",)), (other.issue("second.example"), ("second",))):
            async with await connect(rig, issued) as stream:
                assert await echoed(stream)
                assert rig.flows[-1].proved == proved
        for issued in (AUTHORITY.issue("second.example"), other.issue(DOMAIN)):
            stream = await connect(rig, issued)
            assert not await echoed(stream)
            await trio.aclose_forcefully(stream)


async def test_a_certificate_for_the_other_end_of_a_connection_is_refused_and_the_operator_told_why(monkeypatch):
    """Public authorities give certificates for servers alone by now; a carrier that connects with one is refused."""
    said = []
    monkeypatch.setattr(tls_gate.log, "warning", lambda event, **fields: said.append(fields["reason"]))
    for_servers, for_clients = (
        AUTHORITY.issue(DOMAIN, uses=(use,))
        for use in (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
    )
    async with running(proving()) as rig, serving(for_clients) as carrier:
        rig.tcp.send(message(), rig.flow_to(carrier.port))
        await until(lambda: rig.driver.failed)
        assert "no server authentication" in rig.driver.failed[0].reason
    async with running(proving()) as rig:
        stream = await connect(rig, for_servers)
        assert not await echoed(stream)
        await trio.aclose_forcefully(stream)
        async with await connect(rig, for_clients) as stream:
            assert await echoed(stream)
    assert ["extended key usage" in reason for reason in said] == [True, True]


async def test_who_is_known_by_its_address_is_not_asked_for_a_certificate_and_judged_where_we_connect():
    for_servers = AUTHORITY.issue(DOMAIN, uses=(ExtendedKeyUsageOID.SERVER_AUTH,))
    async with running(proving(identity="address")) as rig, await connect(rig, for_servers) as stream:
        assert await echoed(stream)
        assert rig.flows[-1].proved == ()
    async with running(proving(identity="address")) as rig, serving(AUTHORITY.issue("other.example")) as carrier:
        rig.tcp.send(message(), rig.flow_to(carrier.port))
        await until(lambda: rig.driver.failed)
        assert "other.example" in rig.driver.failed[0].reason


async def test_a_list_of_revoked_certificates_is_asked_both_ways():
    revoked = AUTHORITY.issue(DOMAIN)
    peer = proving(trust=Trust(AUTHORITY.pem, AUTHORITY.crl(revoked)))
    async with running(peer) as rig, serving(revoked) as carrier:
        stream = await connect(rig, revoked)
        assert not await echoed(stream)
        await trio.aclose_forcefully(stream)
        async with await connect(rig, GOOD) as stream:
            assert await echoed(stream)
        rig.tcp.send(message(), rig.flow_to(carrier.port))
        await until(lambda: rig.driver.failed)
        assert rig.driver.failed[0].reason == "TLS: its certificate is revoked"
        assert carrier.streams == []


async def test_a_pinned_peer_is_not_asked_for_a_certificate_unless_it_is_an_authority_itself():
    pbx = self_signed("pbx.example")
    peer = trunk("pbx", kind="pbx", tls=PeerTls(pins=(pbx.fingerprint,)))
    async with running(peer) as rig, await connect(rig, issued=pbx) as stream:
        assert await echoed(stream)
        assert rig.flows[0].proved == ()
    believed = trunk("pbx", kind="pbx", tls=PeerTls(pins=(pbx.fingerprint,), trust=Trust(pbx.pem)))
    async with running(believed) as rig, await connect(rig, issued=pbx) as stream:
        assert await echoed(stream)
        assert rig.flows[0].proved == ("pbx",)


async def test_the_old_versions_are_refused():
    async with running() as rig:
        context = context_of(is_server=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        stream = await connect(rig, context=context)
        assert not await echoed(stream)
        await trio.aclose_forcefully(stream)
        await until(lambda: rig.drops["tls_handshake_failed"] == 1)


async def test_a_peer_that_must_speak_1_3_cannot_come_with_1_2():
    async with running(proving(trust=Trust(AUTHORITY.pem, minimum="1.3"))) as rig:
        context = context_of(GOOD, is_server=False)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        stream = await connect(rig, context=context)
        assert not await echoed(stream)
        await trio.aclose_forcefully(stream)
        async with await connect(rig, GOOD) as stream:
            assert await echoed(stream)


async def shaken(stream, context, session=None):
    """A client's handshake by hand: the session, and its two buffers."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    made = context.wrap_bio(incoming, outgoing, session=session)
    while True:
        try:
            made.do_handshake()
        except ssl.SSLWantReadError:
            await stream.send_all(outgoing.read())
            incoming.write(await stream.receive_some())
        else:
            break
    if outgoing.pending:
        await stream.send_all(outgoing.read())
    return made, incoming, outgoing


async def test_a_resumed_session_proves_as_much_as_the_first_one():
    """TLS 1.2: who resumes one shows no certificate anew. In TLS 1.3 there is nothing to resume."""
    async with running(proving("certificate")) as rig:
        context = context_of(GOOD, is_server=False)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        session = None
        for n in range(2):
            stream = await connect_plain(rig)
            made, _, outgoing = await shaken(stream, context, session)
            assert made.session_reused == bool(n)
            session = made.session
            made.write(message())
            await stream.send_all(outgoing.read())
            await until(lambda n=n: len(rig.flows) == n + 1)
        assert [flow.proved for flow in rig.flows] == [("carrier",)] * 2


async def test_a_session_of_1_3_cannot_be_resumed():
    async with running(proving("certificate")) as rig:
        context = context_of(GOOD, is_server=False)
        stream = await connect_plain(rig)
        made, incoming, outgoing = await shaken(stream, context)
        made.write(message())
        await stream.send_all(outgoing.read())
        incoming.write(await stream.receive_some())
        assert made.read(1_000) == message()
        assert made.session is None or not made.session.has_ticket


async def test_a_client_gets_the_certificate_of_the_name_that_it_asks_for():
    pairs = (OUR_PAIR, AUTHORITY.issue("two.example").pair("two.pem"), AUTHORITY.issue("*.three.example").pair("3.pem"))
    shown = {}
    async with running(pairs=pairs) as rig:
        for name in (OURS, "two.example", "TWO.example", "a.three.example", "unknown.example"):
            async with await connect(rig, name=name) as stream:
                assert await echoed(stream)
                shown[name] = stream.getpeercert()["subjectAltName"][0][1]
    assert shown == {
        OURS: OURS,
        "two.example": "two.example",
        "TWO.example": "two.example",
        "a.three.example": "*.three.example",
        "unknown.example": OURS,
    }


async def test_a_peer_is_shown_the_pair_that_is_its_own():
    own = AUTHORITY.issue("for-carrier.example").pair("own.pem")
    async with running(proving(pair=own)) as rig, await connect(rig) as stream:
        assert await echoed(stream)
        assert stream.getpeercert()["subjectAltName"] == (("DNS", "for-carrier.example"),)


async def test_a_stranger_is_closed_without_a_byte():
    async with running() as rig:
        stream = await connect_plain(rig, "127.0.0.9")
        async with stream:
            assert await receive(stream, 1) == b""
        assert rig.drops["tcp_unknown_source"] == 1


# --- where we connect -------------------------------------------------------------------------------------------------


async def test_a_connection_of_ours_is_verified_and_used_both_ways():
    async with running(proving()) as rig, serving(GOOD) as carrier:
        rig.driver.on_receive = lambda _data, _flow: None
        flow = rig.flow_to(carrier.port)
        rig.tcp.send(message(b"one"), flow)
        rig.tcp.send(message(b"two"), flow)
        await until(lambda: carrier.streams)
        both = message(b"one") + message(b"two")
        assert await receive(carrier.streams[0], len(both)) == both
        await carrier.streams[0].send_all(message(b"back"))
        await until(lambda: rig.flows)
        heard = rig.flows[0]
        assert (heard.proved, heard.remote, heard.local) == (("carrier",), flow.remote, rig.local)
        rig.tcp.send(message(b"three"), flow)
        assert await receive(carrier.streams[0], len(message(b"three"))) == message(b"three")
        rig.tcp.send(message(b"four"), heard)
        assert await receive(carrier.streams[0], len(message(b"four"))) == message(b"four")
        assert carrier.attempts == 1
        assert carrier.names == [DOMAIN]
        assert rig.driver.failed == []


async def received_nothing(stream):
    try:
        return await receive(stream, 1) == b""
    except trio.BrokenResourceError:
        return True


WORDS = {
    "wrong name": "its certificate is for [other.carrier.example], not for sip.carrier.example",
    "address only": "its certificate is for [127.0.0.1, ::1], not for sip.carrier.example",
    "common name only": "its certificate is for [], not for sip.carrier.example",
    "NUL in the name": "its certificate is for [sip.carrier.example?.evil.example], not for sip.carrier.example",
    "wildcard": "its certificate is for [*.carrier.example], not for sip.carrier.example",
    "expired": "its certificate has expired, or one of those between it and the authority",
    "other authority": "its certificate is signed by an authority that is not believed",
    "self-signed": "its certificate is signed by itself and not pinned",
    "revoked": "its certificate is revoked",
}


# RFC: 5922
@pytest.mark.parametrize("bad", BAD)
async def test_a_server_with_a_bad_certificate_is_refused_each_time_and_hears_nothing(bad):
    async with running(proving()) as rig, serving(BAD[bad]) as carrier:
        for attempt in (1, 2):
            flow = rig.flow_to(carrier.port)
            rig.tcp.send(message(b"secret"), flow)
            await until(lambda attempt=attempt: len(rig.driver.failed) == attempt)
            assert rig.driver.failed[-1].flow == flow
            assert rig.driver.failed[-1].reason == f"TLS: {WORDS[bad]}"
        assert rig.tcp.connections == 0
        for stream in carrier.streams:
            assert await received_nothing(stream)


# RFC: 5922
@pytest.mark.parametrize("bad", BAD)
async def test_the_connection_that_replaces_a_lost_one_is_verified_like_the_first(bad):
    """As a request within a dialog opens one."""
    async with running(proving()) as rig, serving(GOOD) as carrier:
        flow = rig.flow_to(carrier.port)
        rig.tcp.send(message(b"INVITE"), flow)
        await until(lambda: carrier.streams)
        assert await receive(carrier.streams[0], len(message(b"INVITE"))) == message(b"INVITE")
        carrier.context = context_of(BAD[bad], is_server=True)
        await trio.aclose_forcefully(carrier.streams.pop())
        await until(lambda: rig.tcp.connections == 0)
        rig.driver.failed.clear()
        rig.tcp.send(message(b"BYE"), flow)
        await until(lambda: rig.driver.failed)
        assert rig.driver.failed[0].reason == f"TLS: {WORDS[bad]}"
        carrier.context = context_of(GOOD, is_server=True)
        await until(lambda: carrier.done == carrier.attempts)
        carrier.streams.clear()
        rig.tcp.send(message(b"BYE"), flow)
        await until(lambda: carrier.streams)
        assert await receive(carrier.streams[0], len(message(b"BYE"))) == message(b"BYE")


@pytest.mark.parametrize("of", ["fingerprint", "key_fingerprint"])
async def test_a_pinned_server_needs_no_authority_and_no_name(of):
    pbx = self_signed("pbx.example")
    peer = trunk("carrier", tls=PeerTls(pins=("0" * 64, getattr(pbx, of))))
    async with running(peer) as rig, serving(pbx) as carrier:
        rig.tcp.send(message(), rig.flow_to(carrier.port))
        await until(lambda: carrier.streams)
        assert await receive(carrier.streams[0], len(message())) == message()
        assert carrier.names == [None]


async def test_another_certificate_than_the_pinned_one_is_refused_whoever_signed_it():
    peer = trunk("carrier", tls=PeerTls(pins=(self_signed("pbx.example").fingerprint,), domains=(DOMAIN,)))
    async with running(peer) as rig, serving(GOOD) as carrier:
        rig.tcp.send(message(), rig.flow_to(carrier.port))
        await until(lambda: rig.driver.failed)
        assert rig.driver.failed[0].reason == (
            f"TLS: its certificate, sha256:{GOOD.fingerprint}, is not the pinned one"
        )


async def test_we_show_our_certificate_to_a_server_that_asks():
    async with running(proving()) as rig, serving(GOOD, needs_client=True) as carrier:
        rig.tcp.send(message(), rig.flow_to(carrier.port))
        await until(lambda: carrier.streams)
        assert await receive(carrier.streams[0], len(message())) == message()
        assert carrier.streams[0].getpeercert()["subjectAltName"] == (("DNS", OURS),)


async def test_a_server_that_refuses_our_certificate_says_so_and_the_operator_hears_it(monkeypatch):
    said = []
    monkeypatch.setattr(tls_gate.log, "warning", lambda event, **fields: said.append((event, fields["reason"])))
    own = Authority("Ours").issue(OURS).pair()
    async with running(proving(), pairs=(own,)) as rig, serving(GOOD, needs_client=True) as carrier:
        rig.tcp.send(message(), rig.flow_to(carrier.port))
        await until(lambda: rig.driver.failed)
        assert rig.driver.failed[0].reason == "it does not know the authority that signed our certificate"
    assert said == [("tls.refused", "it does not know the authority that signed our certificate")]


async def test_what_has_no_profile_cannot_be_opened_and_each_profile_has_a_connection_of_its_own():
    peers = (proving(), trunk("second", tls=PeerTls(("second.example",), trust=TRUST)), trunk("nobody", tls=PeerTls()))
    both = AUTHORITY.issue(DOMAIN, "second.example")
    async with running(*peers) as rig, serving(both) as carrier:
        rig.tcp.send(message(), rig.flow_to(carrier.port, "carrier"))
        await until(lambda: len(carrier.streams) == 1)
        assert await receive(carrier.streams[0], 1)
        assert rig.flow_to(carrier.port, "second").proved == ("second",)
        for names, reason in (
            ((), "TLS: no peer's rules say who must be there"),
            (("unknown",), "TLS: no peer's rules say who must be there"),
            (("nobody",), "TLS: the policy says neither a domain that its certificate must hold, nor its fingerprint"),
        ):
            flow = type(rig.flow_to(1))(Transport.TLS, "outside", rig.local, rig.flow_to(carrier.port).remote, 0, names)
            rig.driver.failed.clear()
            rig.tcp.send(message(), flow)
            await until(lambda: rig.driver.failed)
            assert rig.driver.failed[0].reason == reason
        assert rig.tcp.connections == 1


async def test_no_connection_takes_the_last_descriptors(monkeypatch):
    said = []
    monkeypatch.setattr(tcp.log, "error", lambda event, **fields: said.append((event, fields["reason"])))
    async with running(proving()) as rig, serving(GOOD) as carrier:
        rig.tcp._ceiling = rig.opened[0].socket.fileno()
        for _ in range(2):
            rig.tcp.send(message(), rig.flow_to(carrier.port))
        assert [failed.reason for failed in rig.driver.failed] == ["no descriptor for a connection"] * 2
        assert rig.tcp.connections == carrier.attempts == 0
    assert said == [("tcp.no_socket", "too many open files")]


async def test_what_was_verified_for_one_peer_is_not_used_for_another():
    peers = (proving(), trunk("second", tls=PeerTls(("second.example",), trust=TRUST)))
    async with running(*peers) as rig, serving(GOOD) as carrier:
        rig.tcp.send(message(b"one"), rig.flow_to(carrier.port, "carrier"))
        await until(lambda: len(carrier.streams) == 1)
        rig.tcp.send(message(b"two"), rig.flow_to(carrier.port, "second"))
        await until(lambda: rig.driver.failed)
        assert "not for second.example" in rig.driver.failed[0].reason
        assert await receive(carrier.streams[0], len(message(b"one"))) == message(b"one")


async def test_what_goes_to_a_server_as_one_customer_never_goes_as_another():
    """Two accounts with one carrier, each with a certificate of ours: the server is proved for both, and we are not."""
    second = trunk("second", tls=PeerTls((DOMAIN,), trust=REVOKING, pair=AUTHORITY.issue("second.example").pair()))
    async with running(proving(), second) as rig, serving(GOOD, needs_client=True) as carrier:
        for count, (name, ours) in enumerate((("carrier", OURS), ("second", "second.example")), 1):
            rig.tcp.send(message(), rig.flow_to(carrier.port, name))
            await until(lambda count=count: len(carrier.streams) == count)
            assert await receive(carrier.streams[-1], len(message())) == message()
            assert carrier.streams[-1].getpeercert()["subjectAltName"] == (("DNS", ours),)
            await carrier.streams[-1].send_all(message())
            await until(lambda count=count: len(rig.flows) == count)
            assert rig.flows[-1].proved == (name,)


async def test_a_certificate_of_ours_that_a_reload_brings_is_shown_where_something_begins():
    async with running(proving()) as rig, serving(GOOD, needs_client=True) as carrier:
        for count, ours in enumerate((OURS, "new.example"), 1):
            rig.reload(policy_of(rig.local.port, proving(), pairs=(AUTHORITY.issue(ours).pair(),)))
            rig.tcp.send(message(), rig.flow_to(carrier.port))
            await until(lambda count=count: len(carrier.streams) == count)
            assert await receive(carrier.streams[-1], len(message())) == message()
            assert carrier.streams[-1].getpeercert()["subjectAltName"] == (("DNS", ours),)
        await carrier.streams[0].send_all(message())
        await until(lambda: rig.flows)
        assert rig.flows[-1].proved == ("carrier",)


async def test_a_peer_that_connects_from_its_listening_port_is_reached_there():
    async with running(proving()) as rig:
        stream = await connect(rig, GOOD)
        async with stream:
            assert await echoed(stream)
            port = stream.transport_stream.socket.getsockname()[1]
            rig.tcp.send(message(b"back"), rig.flow_to(port))
            assert await receive(stream, len(message(b"back"))) == message(b"back")
            assert rig.tcp.connections == 1


async def test_a_trunk_that_is_refused_is_an_alarm_once_a_minute_and_its_end_is_said(monkeypatch):
    said = []
    monkeypatch.setattr(tls_gate.log, "warning", lambda event, **fields: said.append((event, fields)))
    monkeypatch.setattr(tls_gate.log, "info", lambda event, **fields: said.append((event, fields)))
    async with running(proving()) as rig, serving(BAD["expired"]) as carrier:
        for attempt in (1, 2, 3):
            rig.tcp.send(message(), rig.flow_to(carrier.port))
            await until(lambda attempt=attempt: len(rig.driver.failed) == attempt)
        carrier.context = context_of(GOOD, is_server=True)
        rig.tcp.send(message(), rig.flow_to(carrier.port))
        await until(lambda: carrier.streams)
        await until(lambda: len(said) == 2)
    refused, proved = said
    assert refused == (
        "tls.refused",
        {
            "peer": "carrier",
            "remote": "127.0.0.1",
            "interface": "outside",
            "direction": "out",
            "reason": WORDS["expired"],
            "alarm": True,
        },
    )
    assert proved == ("tls.proved", {"peer": "carrier", "remote": "127.0.0.1"})
    assert connecting.SAID_AGAIN_SECONDS == 60


async def test_the_alarm_of_who_need_prove_nothing_ends_when_he_is_heard_again(monkeypatch):
    """A scan out of a carrier's network, and the carrier, which shows no certificate."""
    said = []
    monkeypatch.setattr(tls_gate.log, "warning", lambda event, **fields: said.append((event, fields["direction"])))
    monkeypatch.setattr(tls_gate.log, "info", lambda event, **fields: said.append((event, fields["peer"])))
    async with running() as rig:
        scanner = await connect_plain(rig)
        await scanner.send_all(b"GET / HTTP/1.1\r\n\r\n")
        await until(lambda: rig.drops["tls_handshake_failed"])
        async with await connect(rig) as stream:
            assert await echoed(stream)
        async with await connect(rig) as stream:
            assert await echoed(stream)
    assert said == [("tls.refused", "in"), ("tls.proved", "carrier")]


async def test_who_is_heard_without_a_proof_ends_no_alarm_about_his_server(monkeypatch):
    said = []
    monkeypatch.setattr(tls_gate.log, "warning", lambda event, **fields: said.append((event, fields["direction"])))
    monkeypatch.setattr(tls_gate.log, "info", lambda event, **fields: said.append((event, fields["peer"])))
    async with running(proving()) as rig, serving(BAD["expired"]) as carrier:
        rig.tcp.send(message(), rig.flow_to(carrier.port))
        await until(lambda: rig.driver.failed)
        async with await connect(rig) as stream:
            assert await echoed(stream)
    assert said == [("tls.refused", "out")]


async def test_the_alarm_of_who_has_to_prove_himself_stands_while_his_neighbour_comes_without_a_proof(monkeypatch):
    said = []
    monkeypatch.setattr(tls_gate.log, "warning", lambda event, **fields: said.append((event, fields["peer"])))
    monkeypatch.setattr(tls_gate.log, "info", lambda event, **fields: said.append((event, fields["peer"])))
    peers = (proving("certificate"), trunk("second", tls=PeerTls(("second.example",), trust=Trust(AUTHORITY.pem))))
    async with running(*peers) as rig:
        stream = await connect(rig, BAD["expired"])
        assert not await echoed(stream)
        await trio.aclose_forcefully(stream)
        async with await connect(rig) as stream:
            assert await echoed(stream)
        assert said == [("tls.refused", "carrier")]
        async with await connect(rig, GOOD) as stream:
            assert await echoed(stream)
    assert said == [("tls.refused", "carrier"), ("tls.proved", "carrier")]


async def test_a_carrier_without_its_certificate_is_an_alarm_where_anybody_may_come(monkeypatch):
    """Its connection stands, as it may be that of somebody who logs in; to the engine it is no carrier's."""
    said = []
    monkeypatch.setattr(tls_gate.log, "warning", lambda event, **fields: said.append((event, fields)))
    monkeypatch.setattr(tls_gate.log, "info", lambda event, **fields: said.append((event, fields["peer"])))
    async with running(proving("certificate"), anybody()) as rig:
        for _ in range(3):
            async with await connect(rig) as stream:
                assert await echoed(stream)
        async with await connect(rig, source="127.0.0.2") as stream:  # nobody's address
            assert await echoed(stream)
        (unproved,) = said
        async with await connect(rig, GOOD) as stream:
            assert await echoed(stream)
    assert unproved == (
        "tls.unproved",
        {
            "peer": "carrier",
            "remote": "127.0.0.1",
            "interface": "outside",
            "reason": "it has shown no certificate",
            "alarm": True,
        },
    )
    assert said[1:] == [("tls.proved", "carrier")]
    assert rig.flows[0].proved == ()


@pytest.mark.parametrize(
    "others",
    [(), (trunk("second", tls=PeerTls(("second.example",), trust=Trust(AUTHORITY.pem))),)],
    ids=["its address is enough", "that of a neighbour is"],
)
async def test_no_alarm_about_an_address_whose_peers_need_not_prove_themselves(monkeypatch, others):
    said = []
    monkeypatch.setattr(tls_gate.log, "warning", lambda event, **_: said.append(event))
    peers = (proving("certificate" if others else "source"), *others, anybody())
    async with running(*peers) as rig, await connect(rig) as stream:
        assert await echoed(stream)
    assert said == []


async def test_another_reason_why_a_server_is_refused_is_said_at_once(monkeypatch):
    said = []
    monkeypatch.setattr(tls_gate.log, "warning", lambda _event, **fields: said.append(fields["reason"]))
    async with running(proving()) as rig, serving(BAD["expired"]) as carrier:
        for attempt, bad in enumerate(("expired", "expired", "wrong name"), 1):
            carrier.context = context_of(BAD[bad], is_server=True)
            rig.tcp.send(message(), rig.flow_to(carrier.port))
            await until(lambda attempt=attempt: len(rig.driver.failed) == attempt)
    assert said == [WORDS["expired"], WORDS["wrong name"]]


async def test_a_server_that_does_not_speak_tls_is_told_from_one_that_is_not_there():
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with running(proving()) as rig, listeners[0] as listener:
        rig.tcp.send(message(), rig.flow_to(listener.socket.getsockname()[1]))
        async with await listener.accept() as stream:
            await stream.send_all(b"SIP/2.0 400 Bad Request\r\n\r\n")
            await until(lambda: rig.driver.failed)
        assert rig.driver.failed[0].reason == "TLS: it does not speak TLS"


# --- ends -------------------------------------------------------------------------------------------------------------


async def test_our_end_is_declared_after_what_was_queued():
    async with running() as rig:
        rig.driver.on_receive = lambda data, flow: (rig.tcp.send(data, flow), rig.tcp.close(flow))
        stream = await connect(rig)
        assert await echoed(stream)
        assert await receive(stream, 1) == b""  # SSLStream raises where no close_notify came
        await stream.aclose()
        await until(lambda: rig.tcp.connections == 0)


async def test_a_peer_that_declares_its_end_still_gets_its_answer():
    async with running() as rig:
        held = []
        rig.driver.on_receive = lambda data, flow: held.append((data, flow))
        stream = await connect_plain(rig)
        session, incoming, outgoing = await shaken(stream, context_of(is_server=False))
        session.write(message(b"last"))
        with pytest.raises(ssl.SSLWantReadError):
            session.unwrap()
        await stream.send_all(outgoing.read())
        await until(lambda: rig.driver.closed)
        assert rig.driver.closed == [FlowClosed(held[0][1])]
        rig.tcp.send(*held[0])
        incoming.write(await stream.receive_some())
        assert session.read(1000) == message(b"last")
        await stream.aclose()


async def test_what_came_before_a_cut_is_heard_however_small_its_records():
    async with running() as rig:
        rig.driver.on_receive = lambda _data, _flow: None
        stream = await connect_plain(rig)
        session, _, outgoing = await shaken(stream, context_of(is_server=False))
        whole = message(b"x" * 500)
        for at in range(0, len(whole), 20):
            session.write(whole[at : at + 20])
        await stream.send_all(outgoing.read())
        await stream.send_eof()
        await until(lambda: rig.drops["tls_cut_off"] == 1)
        assert [data for data, _ in rig.driver.received] == [message(b"x" * 500)]


async def test_a_flood_of_small_records_ends_the_connection_before_it_is_worked_on():
    async with running() as rig:
        stream = await connect_plain(rig)
        session, _, outgoing = await shaken(stream, context_of(is_server=False))
        for _ in range(200):
            session.write(b"\r\n\r\n")
        await stream.send_all(outgoing.read())
        # They may have come with the last octets of the handshake.
        await until(lambda: rig.drops["tls_small_records"] + rig.drops["tls_handshake_failed"] == 1)
        await until(lambda: rig.tcp.connections == 0)


async def test_a_stream_that_is_cut_is_a_failed_flow_of_those_who_wait():
    async with running() as rig:
        rig.driver.on_receive = lambda _data, _flow: None
        stream = await connect(rig)
        await stream.send_all(message())
        await until(lambda: rig.flows)
        rig.tcp.send(message(b"asked"), rig.flows[0])
        await stream.receive_some()
        await stream.transport_stream.send_eof()
        await until(lambda: rig.driver.failed)
        assert (rig.driver.failed[0].flow, rig.driver.failed[0].reason) == (rig.flows[0], "the connection was cut off")
        assert rig.drops["tls_cut_off"] == 1
        await trio.aclose_forcefully(stream)


async def test_a_peer_that_never_reads_is_closed_and_stalls_nobody():
    async with running(trunk(), trunk("second", host="127.0.0.2")) as rig:
        rig.driver.on_receive = lambda _data, _flow: None
        slow, quick = await connect(rig), await connect(rig, source="127.0.0.2")
        await slow.send_all(message())
        await until(lambda: rig.flows)
        flow = rig.flows[0]
        for _ in range(400):
            rig.tcp.send(b"x" * 65_536, flow)
            if rig.driver.failed:
                break
        assert rig.driver.failed[0].reason == "the peer does not read: outbox full"
        rig.driver.on_receive = rig.tcp.send
        assert await echoed(quick)
        await trio.aclose_forcefully(slow)
        await quick.aclose()


# BOUND: UNREAD_SECONDS
async def test_a_peer_that_takes_nothing_for_long_is_closed(monkeypatch):
    monkeypatch.setattr(limits, "UNREAD_SECONDS", 0.05)
    async with running() as rig:
        rig.driver.on_receive = lambda _data, _flow: None
        stream = await connect(rig)
        await stream.send_all(message())
        await until(lambda: rig.flows)
        connection = next(iter(rig.tcp._connections.values()))
        while not connection._outbox:
            rig.tcp.send(b"x" * 65_536, rig.flows[0])
        await until(lambda: rig.driver.failed)
        assert rig.driver.failed[0].reason == "the peer does not read: it took nothing for 0.05 s"
        assert rig.drops["tcp_unread"] == 1
        await trio.aclose_forcefully(stream)


# --- bounds -----------------------------------------------------------------------------------------------------------


async def test_a_look_whether_anybody_is_there_is_no_alarm(monkeypatch):
    said = []
    monkeypatch.setattr(tls_gate.log, "warning", lambda _event, **fields: said.append(fields["reason"]))
    async with running() as rig:
        stream = await connect_plain(rig)
        await stream.aclose()
        await until(lambda: rig.drops["tls_handshake_failed"] == 1)
    assert said == []


# BOUND: HANDSHAKE_SECONDS
async def test_a_handshake_that_is_not_finished_ends_and_keeps_nobody(monkeypatch):
    monkeypatch.setattr(limits, "HANDSHAKE_SECONDS", 0.3)
    async with running() as rig:
        slow = await connect_plain(rig)
        async with slow:
            await slow.send_all(b"\x16\x03\x01")
            async with await connect(rig) as quick:
                assert await echoed(quick)
            assert await receive(slow, 1) == b""
        await until(lambda: rig.drops["tls_handshake_failed"] == 1)
        assert rig.tcp.connections <= 1  # that of who has declared its end, and may wait for an answer


# BOUND: HANDSHAKE_OCTETS
async def test_a_handshake_that_is_longer_than_any_is_refused(monkeypatch):
    monkeypatch.setattr(limits, "HANDSHAKE_OCTETS", 100)
    said = []
    monkeypatch.setattr(tls_gate.log, "warning", lambda _event, **fields: said.append(fields["reason"]))
    async with running() as rig:
        stream = await connect(rig)
        assert not await echoed(stream)
        await trio.aclose_forcefully(stream)
    assert said == ["its handshake has no end"]


async def test_what_is_no_handshake_ends_however_much_is_sent():
    async with running() as rig:
        stream = await connect_plain(rig)
        async with stream:
            with contextlib.suppress(trio.BrokenResourceError):
                await stream.send_all(b"\x16\x03\x01\x40\x00\x01\x00\xff\xff" + b"x" * 1_000_000)
                await receive(stream, 10_000)
        await until(lambda: rig.tcp.connections == 0)
        assert rig.flows == []


# BOUND: HANDSHAKES_PER_PEER
async def test_a_thousand_connections_that_say_nothing_keep_nobody_out(monkeypatch):
    monkeypatch.setattr(limits, "HANDSHAKE_SECONDS", 1.0)
    peers = trunk(), trunk("second", host="127.0.0.2")
    with contextlib.ExitStack() as cleanup:
        async with running(*peers) as rig:
            await a_thousand_connections(rig, cleanup)


async def a_thousand_connections(rig, cleanup):
    socks = []
    for _ in range(1_000):
        sock = cleanup.enter_context(socket.socket())
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            sock.connect((rig.local.host, rig.local.port))
        socks.append(sock)
        if len(socks) % 50 == 0:
            await trio.sleep(0.002)
    await until(
        lambda: rig.drops["tls_handshakes_full"] + rig.drops["tls_handshake_failed"] + rig.tcp.connections >= 1_000
    )
    assert rig.drops["tls_handshakes_full"] > 500
    assert rig.tcp.connections <= limits.HANDSHAKES_PER_PEER
    async with await connect(rig, source="127.0.0.2") as stream:
        assert await echoed(stream)
    await until(lambda: rig.tcp.connections <= 1)  # the second peer's, which has declared its end
    async with await connect(rig) as stream:
        assert await echoed(stream)


# BOUND: HANDSHAKES_PER_STRANGER, STRANGER_HANDSHAKES_PER_SECOND
async def test_strangers_have_few_handshakes_each_and_leave_room_for_peers(monkeypatch):
    async with running(trunk(host="127.0.0.2"), anybody()) as rig:
        streams = [await connect_plain(rig, "127.0.0.7") for _ in range(8)]
        await until(lambda: rig.drops["tls_handshakes_full"] == 4)
        streams += [await connect_plain(rig, f"127.0.1.{n}") for n in range(1, 40)]
        await until(lambda: rig.drops["tls_handshakes_full"] >= 4 + 39 - 20)
        async with await connect(rig, source="127.0.0.2") as stream:
            assert await echoed(stream)
        for stream in streams:
            await trio.aclose_forcefully(stream)


# BOUND: STRANGER_OUTBOX_OCTETS
async def test_less_waits_for_a_stranger_that_does_not_read():
    async with running(trunk(host="127.0.0.2"), anybody()) as rig:
        rig.driver.on_receive = lambda _data, _flow: None
        stream = await connect(rig, source="127.0.0.7")
        await stream.send_all(message())
        await until(lambda: rig.flows)
        connection = next(iter(rig.tcp._connections.values()))
        most = 0
        while not rig.driver.failed:
            rig.tcp.send(b"x" * 16_384, rig.flows[0])
            most = max(most, connection._queued)
        assert limits.STRANGER_OUTBOX_OCTETS // 2 < most <= limits.STRANGER_OUTBOX_OCTETS
        assert rig.driver.failed[0].reason == "the peer does not read: outbox full"
        await trio.aclose_forcefully(stream)


# BOUND: HANDSHAKE_THREADS
async def test_no_more_handshakes_are_reckoned_at_once_than_there_are_threads(monkeypatch):
    at_once, most = set(), []
    step = TlsSession.step

    def watched(session):
        at_once.add(session)
        most.append(len(at_once))
        try:
            return step(session)
        finally:
            at_once.discard(session)

    monkeypatch.setattr(TlsSession, "step", watched)
    async with running() as rig, trio.open_nursery() as nursery:
        for _ in range(20):
            stream = await connect(rig)
            nursery.start_soon(echoed, stream)
    assert len(most) >= 20
    assert max(most) <= limits.HANDSHAKE_THREADS


# BOUND: FIRST_MESSAGE_SECONDS
async def test_a_stranger_that_says_nothing_is_closed_soon_and_a_peer_is_not(monkeypatch):
    monkeypatch.setattr(limits, "FIRST_MESSAGE_SECONDS", 0.1)
    async with (
        running(trunk(host="127.0.0.2"), anybody()) as rig,
        await connect(rig, source="127.0.0.2") as known,
        await connect(rig, source="127.0.0.7") as stranger,
    ):
        await known.do_handshake()
        await stranger.send_all(b"\r\n\r\n")
        assert await receive(stranger, 3) == b"\r\n"  # a pong is no message; then the end
        assert await echoed(known)


# --- certificates are exchanged ---------------------------------------------------------------------------------------


async def test_new_certificates_are_in_force_for_new_connections_and_touch_no_running_one():
    new = Authority("New")
    async with running(proving()) as rig, await connect(rig, GOOD) as old:
        assert await echoed(old)
        pair = new.issue(OURS).pair()
        rig.reload(policy_of(rig.local.port, proving(trust=Trust(new.pem)), pairs=(pair,)))
        assert await echoed(old, b"still here")
        assert rig.flows[-1].proved == ("carrier",)
        refused = await connect(rig, GOOD)
        assert not await echoed(refused)
        await trio.aclose_forcefully(refused)
        context = context_of(new.issue(DOMAIN), is_server=False, authority=new)
        async with await connect(rig, context=context) as stream:
            assert await echoed(stream)
            assert rig.flows[-1].proved == ("carrier",)


async def test_what_begins_after_a_change_of_trust_is_verified_by_the_new_one():
    async with running(proving()) as rig, serving(GOOD) as carrier:
        flow = rig.flow_to(carrier.port)
        rig.tcp.send(message(b"one"), flow)
        await until(lambda: carrier.streams)
        assert await receive(carrier.streams[0], len(message(b"one"))) == message(b"one")
        rig.reload(policy_of(rig.local.port, proving(trust=Trust(Authority("New").pem))))
        rig.tcp.send(message(b"two"), flow)
        await until(lambda: rig.driver.failed)
        assert rig.driver.failed[0].reason == "TLS: its certificate is signed by an authority that is not believed"
        assert rig.tcp.connections == 1


async def test_a_certificate_that_a_reload_revokes_ends_its_connections():
    async with running(proving()) as rig, await connect(rig, GOOD) as stream:
        assert await echoed(stream)
        rig.reload(policy_of(rig.local.port, proving(trust=Trust(AUTHORITY.pem, revoked=(GOOD.fingerprint,)))))
        assert await receive(stream, 1) == b""
    assert rig.tcp.connections == 0


async def test_a_list_that_a_reload_brings_ends_the_connections_of_those_in_it():
    """Both ways; and a list that names somebody else touches nobody."""
    first = Trust(AUTHORITY.pem, AUTHORITY.crl(AUTHORITY.issue("else.example")))
    revoked = AUTHORITY.issue(DOMAIN)
    async with running(proving(trust=first)) as rig, serving(revoked) as carrier, await connect(rig, revoked) as stream:
        assert await echoed(stream)
        rig.tcp.send(message(), rig.flow_to(carrier.port))
        await until(lambda: carrier.streams)
        rig.reload(policy_of(rig.local.port, proving(trust=Trust(AUTHORITY.pem, AUTHORITY.crl()))))
        assert await echoed(stream)
        assert rig.tcp.connections == 2
        rig.reload(policy_of(rig.local.port, proving(trust=Trust(AUTHORITY.pem, AUTHORITY.crl(revoked)))))
        assert await receive(stream, 1) == b""
        assert await receive(carrier.streams[0], len(message())) == message()
        assert await receive(carrier.streams[0], 1) == b""
        await carrier.streams[0].aclose()
        await until(lambda: rig.tcp.connections == 0)


async def test_a_name_that_means_another_peer_after_a_reload_is_not_proved_any_more():
    async with running(proving()) as rig, await connect(rig, GOOD) as stream:
        assert await echoed(stream)
        rig.reload(policy_of(rig.local.port, proving(domains=("other.example",))))
        assert await echoed(stream)
        assert [flow.proved for flow in rig.flows] == [("carrier",), ()]
