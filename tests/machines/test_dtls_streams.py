"""DTLS-SRTP through the whole worker: handshakes on the ports of media, and what passes before and after."""
# RFC: 5763, 5764, 8122

import pytest
from msgspec.structs import replace

from sbc.core.address import Address
from sbc.core.limits import (
    DTLS_FINGERPRINTS,
    DTLS_KEPT_SECONDS,
    DTLS_RECORDS_PER_SECOND,
    DTLS_SOURCES,
    DTLS_STRANGERS_PER_SECOND,
)
from sbc.core.tables import Table
from sbc.media import wire
from sbc.media.worker import surroundings
from sbc.testing.dtls import DtlsFar, dtls_identity, fingerprint
from sbc.testing.srtp import CM_80, GCM_128, GCM_256, rtp_packet, sender_report

from .secured_lab import CARRIER, CARRIER_RTCP, INSIDE, OUTSIDE, PBX, Lab, far, stream

OURS = dtls_identity("ours")


def shake(lab, one, source=CARRIER, local=20000, *, out=None):
    """Pass datagrams until both are silent. What the worker sent to `source` on its own is in `lab.sent`."""
    to = Address(OUTSIDE, local)
    waiting = [data for at, where, data in lab.sent if where == source] if out is None else out
    lab.sent.clear()
    theirs = one.first() if one.active and out is None else []
    for data in waiting:
        theirs += one.receive(data)
    while theirs:
        ours = [packet for data in theirs for packet in lab.sends(source, to, data)]
        theirs = [packet for data in ours for packet in one.receive(data)]
    lab.hear_news()


def put_mux(lab, secured, **changes):
    one = stream(None, secured)
    lab.put(replace(one, egress=replace(one.egress, mux=True, **changes)))


def keyed(lab):
    return [one for one in lab.said if isinstance(one, wire.Keyed)]


@pytest.mark.parametrize("active", [True, False])
@pytest.mark.parametrize("suites", [(CM_80,), (GCM_128, CM_80), (GCM_256,)])
def test_keys_come_of_a_handshake_on_the_port_of_media(active, suites):
    lab, one = Lab(dtls=OURS), DtlsFar(OURS, active=active, suites=suites)
    put_mux(lab, one.dtls())
    shake(lab, one)
    (news,) = keyed(lab)
    assert (news.ref, news.stream, news.side, news.error, news.keys) == ("a", 0, "egress", "", None)
    assert one.far.suite == suites[0]
    assert lab.from_carrier(one.far.rtp(rtp_packet(1))) == [rtp_packet(1)]
    assert [one.far.opened(data) for data in lab.from_pbx(rtp_packet(2, ssrc=9))] == [rtp_packet(2, ssrc=9)]
    assert lab.from_carrier(one.far.rtcp(sender_report())) == [sender_report()]
    assert lab.count().egress.suite == suites[0]


def test_rtcp_on_its_own_port_has_its_own_handshake():
    lab = Lab(dtls=OURS)
    rtp = DtlsFar(OURS, active=True)
    rtcp = DtlsFar(OURS, active=True)
    rtcp.identity = rtp.identity
    rtcp.begin_anew()
    lab.put(stream(None, rtp.dtls()))
    shake(lab, rtp)
    report = rtp.far.rtcp(sender_report())
    assert lab.sends(CARRIER_RTCP, Address(OUTSIDE, 20001), report) == []
    shake(lab, rtcp, CARRIER_RTCP, 20001)
    assert [one.is_rtcp for one in keyed(lab)] == [False, True]
    assert lab.sends(CARRIER_RTCP, Address(OUTSIDE, 20001), rtcp.far.rtcp(sender_report())) == [sender_report()]
    assert lab.from_carrier(rtp.far.rtp(rtp_packet(1))) == [rtp_packet(1)]


def test_media_before_the_handshake_does_not_pass():
    lab, one = Lab(dtls=OURS), DtlsFar(OURS, active=True)
    put_mux(lab, one.dtls())
    assert lab.from_carrier(rtp_packet(1)) == []
    assert lab.from_carrier(far().rtp(rtp_packet(1))) == []
    assert lab.from_pbx(rtp_packet(1)) == []
    shake(lab, one)
    assert lab.from_carrier(one.far.rtp(rtp_packet(2))) == [rtp_packet(2)]


@pytest.mark.parametrize("active", [True, False])
def test_another_certificate_than_the_description_names_gives_no_keys(active):
    lab, one = Lab(dtls=OURS), DtlsFar(OURS, active=active)
    put_mux(lab, replace(one.dtls(), fingerprints=(fingerprint(dtls_identity()),)))
    shake(lab, one)
    (news,) = keyed(lab)
    assert "certificate" in news.error
    assert lab.from_pbx(rtp_packet(1)) == []
    if one.handshake.keys is not None:
        assert lab.from_carrier(one.far.rtp(rtp_packet(1))) == []


@pytest.mark.parametrize("kind", ["sha-1", "sha-512"])
def test_the_strongest_hash_decides(kind):
    lab, one = Lab(dtls=OURS), DtlsFar(OURS, active=True)
    wrong = fingerprint(dtls_identity(), "sha-256")
    put_mux(lab, replace(one.dtls(), fingerprints=(wrong, fingerprint(one.identity, kind))))
    shake(lab, one)
    assert (keyed(lab)[0].error == "") == (kind == "sha-512")


def test_a_far_end_that_agrees_to_no_srtp_gets_none():
    lab, one = Lab(dtls=OURS), DtlsFar(OURS, active=True, suites=(GCM_256,))
    put_mux(lab, replace(one.dtls(), suites=(CM_80,)))
    shake(lab, one)
    assert keyed(lab)[0].error
    assert lab.from_pbx(rtp_packet(1)) == []


def test_a_handshake_of_a_stranger_keeps_nobody_out():
    lab, one = Lab(dtls=OURS), DtlsFar(OURS, active=True)
    put_mux(lab, one.dtls())
    for n in range(10):
        other = DtlsFar(OURS, active=True)
        shake(lab, other, Address(CARRIER.host, 6000 + n))
    assert lab.sends(Address("203.0.113.5", 5000), Address(OUTSIDE, 20000), one.first()[0]) == []
    one.begin_anew()
    lab.now += 1
    shake(lab, one)
    assert keyed(lab)[-1].error == ""
    assert lab.from_carrier(one.far.rtp(rtp_packet(2))) == [rtp_packet(2)]


def told(lab, name):
    *_, report = lab.service.receive(wire.encode(wire.Query()))
    return next(table for table in report.tables if table.name == name)


# BOUND: DTLS_SOURCES, DTLS_RECORDS_PER_SECOND
def test_hellos_of_others_begun_and_left_keep_nobody_out():
    lab, one = Lab(dtls=OURS), DtlsFar(OURS, active=True)
    put_mux(lab, one.dtls())
    first = [packet for data in one.first() for packet in lab.from_carrier(data)]
    for n in range(3 * DTLS_SOURCES):
        lab.sends(Address(CARRIER.host, 6000 + n), Address(OUTSIDE, 20000), DtlsFar(OURS, active=True).first()[0])
    assert len(lab.service._around.associations[OUTSIDE, 20000][False]._handshakes) == DTLS_SOURCES
    assert told(lab, "media_dtls_handshakes") == Table(
        "media_dtls_handshakes", DTLS_SOURCES, DTLS_SOURCES, is_ring=True
    )
    for _ in range(4 * DTLS_RECORDS_PER_SECOND):
        lab.sends(Address(CARRIER.host, 7000), Address(OUTSIDE, 20000), b"\x16\xfe\xfd" + bytes(50))
    assert lab.count().egress.dropped > 3 * DTLS_RECORDS_PER_SECOND
    shake(lab, one, out=first)
    assert lab.from_carrier(one.far.rtp(rtp_packet(2))) == [rtp_packet(2)]


# BOUND: DTLS_STRANGERS_PER_SECOND
def test_hellos_of_others_to_all_calls_cost_no_more_than_is_set_aside_for_them():
    lab, one = Lab(dtls=OURS), DtlsFar(OURS, active=True)
    put_mux(lab, one.dtls())
    while lab.service._around.identity().may_meet(lab.now):  # those of other calls
        pass
    stranger, hello = Address(CARRIER.host, 6000), DtlsFar(OURS, active=True).first()[0]
    assert lab.sends(stranger, Address(OUTSIDE, 20000), hello) == []
    assert told(lab, "media_dtls_strangers") == Table("media_dtls_strangers", *[DTLS_STRANGERS_PER_SECOND] * 2)
    shake(lab, one)
    assert lab.from_carrier(one.far.rtp(rtp_packet(2))) == [rtp_packet(2)]
    identity = lab.service._around.identity()
    assert [identity.may_meet(lab.now + 1) for _ in range(DTLS_STRANGERS_PER_SECOND + 1)].count(False) == 1


def test_after_a_workers_death_no_handshake_is_needed():
    lab, one = Lab(dtls=OURS), DtlsFar(OURS, active=True)
    put_mux(lab, one.dtls())
    shake(lab, one)
    for n in range(65_400, 65_700):
        assert lab.from_carrier(one.far.rtp(rtp_packet(n)))
        assert [one.far.opened(data) for data in lab.from_pbx(rtp_packet(n))]
    lab.restart()
    assert lab.from_carrier(one.far.rtp(rtp_packet(65_700))) == [rtp_packet(65_700)]
    assert [one.far.opened(data) for data in lab.from_pbx(rtp_packet(65_700))] == [rtp_packet(65_700)]
    put_mux(lab, one.dtls())
    assert lab.from_carrier(one.far.rtp(rtp_packet(65_701))) == [rtp_packet(65_701)]


def test_a_description_that_asks_for_another_association_begins_anew():
    lab, one = Lab(dtls=OURS), DtlsFar(OURS, active=True)
    put_mux(lab, one.dtls())
    shake(lab, one)
    former = one.far
    one.begin_anew()
    put_mux(lab, one.dtls(1))
    assert lab.from_carrier(former.rtp(rtp_packet(2))) == []
    shake(lab, one)
    assert lab.from_carrier(one.far.rtp(rtp_packet(3))) == [rtp_packet(3)]
    assert len(keyed(lab)) == 2


def test_an_association_goes_on_where_its_leg_moves_to_another_session():
    lab, one = Lab(dtls=OURS), DtlsFar(OURS, active=True)
    lab.put(stream(None, one.dtls()))
    shake(lab, one)
    heir = replace(stream(None, one.dtls()), ingress=stream(None, None, i=1).ingress)
    lab.put(heir, ref="b")
    lab.delete()
    lab.sent.clear()
    assert lab.from_carrier(one.far.rtp(rtp_packet(3))) == [rtp_packet(3)]
    assert lab.sends(PBX, Address(INSIDE, 20002), rtp_packet(4)) != []
    lab.delete("b")
    assert lab.client._keys == {}
    assert lab.service._around.associations == {}


def test_a_farewell_or_a_renegotiation_ends_nothing():
    lab, one = Lab(dtls=OURS), DtlsFar(OURS, active=True)
    put_mux(lab, one.dtls())
    shake(lab, one)
    link = one.handshake._link
    link.shutdown()
    for data in one.handshake._written():
        lab.from_carrier(data)
    assert lab.from_carrier(one.far.rtp(rtp_packet(2))) == [rtp_packet(2)]
    again = DtlsFar(OURS, active=True)  # a hello without a description
    for data in again.first():
        assert lab.from_carrier(data) == []
    assert lab.from_carrier(one.far.rtp(rtp_packet(3))) == [rtp_packet(3)]


# BOUND: DTLS_GIVE_UP_SECONDS
def test_nobody_who_shakes_hands_is_told_once():
    lab = Lab(dtls=OURS)
    put_mux(lab, DtlsFar(OURS, active=True).dtls())
    lab.wait(100)
    (news,) = keyed(lab)
    assert "30 s" in news.error


def test_an_active_end_speaks_when_it_knows_where_to():
    lab, one = Lab(dtls=OURS), DtlsFar(OURS, active=False)
    put_mux(lab, one.dtls(), remote=None)
    assert lab.sent == []
    put_mux(lab, one.dtls())
    assert {to for _, to, _ in lab.sent} == {CARRIER}
    assert all(data[0] == 22 for _, _, data in lab.sent)
    shake(lab, one)
    assert lab.from_carrier(one.far.rtp(rtp_packet(2))) == [rtp_packet(2)]


# BOUND: DTLS_FINGERPRINTS
@pytest.mark.parametrize("count", [0, DTLS_FINGERPRINTS + 1])
def test_a_handshake_needs_fingerprints_and_not_too_many(count):
    lab, one = Lab(dtls=OURS), DtlsFar(OURS, active=True)
    put_mux(lab, replace(one.dtls(), fingerprints=(fingerprint(one.identity),) * count))
    assert [refused.ref for refused in lab.said if isinstance(refused, wire.Refused)] == ["a"]


# BOUND: DTLS_KEPT_SECONDS
def test_who_has_missed_our_last_words_gets_them_again_for_a_while():
    lab, one = Lab(dtls=OURS), DtlsFar(OURS, active=True)
    put_mux(lab, one.dtls())
    waiting, last = one.first(), []
    for _ in range(20):
        ours = [packet for data in waiting for packet in lab.from_carrier(data)]
        last = ours or last
        if keyed(lab) or lab.service.news:
            break
        waiting = [packet for data in ours for packet in one.receive(data)]
    lab.hear_news()
    assert len(keyed(lab)) == 1
    held = lab.service._around.associations[OUTSIDE, 20000][False]._handshakes
    assert len(held) == 1
    assert one.handshake.keys is None  # our last words are lost so far
    for data in last:
        one.receive(data)
    assert lab.from_carrier(one.far.rtp(rtp_packet(1))) == [rtp_packet(1)]
    lab.wait(DTLS_KEPT_SECONDS + 1)
    assert len(held) == 0
    assert lab.from_carrier(one.far.rtp(rtp_packet(2))) == [rtp_packet(2)]


def test_what_is_missing_is_said_and_refused(monkeypatch):
    lab = Lab()
    lab.put(stream(None, DtlsFar(OURS, active=True).dtls()))
    (refused,) = (one for one in lab.said if isinstance(one, wire.Refused))
    assert surroundings.NO_IDENTITY in refused.reason
    monkeypatch.setattr(surroundings, "find_spec", lambda _name: None)
    lab = Lab(dtls=OURS)
    (ready,) = (one for one in lab.said if isinstance(one, wire.EngineReady))
    assert ready.dtls == surroundings.NO_MODULE
    lab.put(stream(None, DtlsFar(OURS, active=True).dtls()))
    assert [one.ref for one in lab.said if isinstance(one, wire.Refused)] == ["a"]


@pytest.mark.parametrize(
    "identity", [wire.DtlsIdentity("", ""), wire.DtlsIdentity(OURS.certificate, dtls_identity().key)]
)
def test_an_identity_that_is_none_is_refused(identity):
    lab = Lab(dtls=identity)
    lab.put(stream(None, DtlsFar(OURS, active=True).dtls()))
    assert [one.ref for one in lab.said if isinstance(one, wire.Refused)] == ["a"]
