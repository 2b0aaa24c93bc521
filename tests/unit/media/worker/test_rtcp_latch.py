"""Where RTCP may come from and goes to: beside RTP, whose source it never moves."""

from sbc.media import wire
from sbc.media.worker.latch import FOREIGN, LOCKED, OURS, Source
from sbc.media.worker.rtcp_latch import MuxLatch, RtcpLatch

from .far_ends import INSIDE_NAT, OWN, SDP, STRANGER, end, hears, made


def rtcp_latch(one: wire.End, source: Source | None = None) -> RtcpLatch:
    rtp_latch = made(one)
    if source is not None:
        rtp_latch.relock(source)
    latch = RtcpLatch(rtp_latch)
    latch.put(one, OWN)
    return latch


def hears_rtcp(latch: RtcpLatch | MuxLatch, host: str, port: int) -> bool:
    return latch.hears(bytearray((0x80, 200)) + bytes(26), 28, (host, port), 0) != FOREIGN


def test_rtcp_comes_from_where_the_sdp_says() -> None:
    strict, address = rtcp_latch(end("strict")), rtcp_latch(end("address"))
    assert hears_rtcp(strict, SDP[0], 4001)
    assert not hears_rtcp(strict, SDP[0], 4002)
    assert hears_rtcp(address, SDP[0], 4002)
    assert hears_rtcp(address, SDP[0], 4001)
    for latch in (strict, address):
        assert not hears_rtcp(latch, STRANGER[0], 4001)
        assert latch.target() == (SDP[0], 4001)


def test_rtcp_does_not_lock_rtp() -> None:
    one = end("nat")
    rtp_latch = made(one)
    latch = RtcpLatch(rtp_latch)
    latch.put(one, OWN)
    assert not hears_rtcp(latch, INSIDE_NAT[0], 61001), "RTCP first: nobody is known yet"
    assert rtp_latch.source is None
    assert latch.target() == (SDP[0], 4001)


def test_behind_nat_rtcp_comes_from_the_host_of_rtp_and_goes_to_where_it_came_from() -> None:
    latch = rtcp_latch(end("nat"), INSIDE_NAT)
    assert latch.target() == (INSIDE_NAT[0], 61001)
    assert not hears_rtcp(latch, "198.51.100.8", 62000), "within the networks, but not who was locked"
    assert hears_rtcp(latch, INSIDE_NAT[0], 62000)
    assert latch.target() == (INSIDE_NAT[0], 62000)
    assert not hears_rtcp(latch, INSIDE_NAT[0], 62002), "another port does not draw the reports to itself"
    assert latch.target() == (INSIDE_NAT[0], 62000)


def test_what_is_no_rtcp_does_not_say_where_rtcp_goes() -> None:
    latch = rtcp_latch(end("nat"), INSIDE_NAT)
    assert latch.hears(bytearray(b"\0stun"), 5, (INSIDE_NAT[0], 62000), 0) == OURS
    assert latch.target() == (INSIDE_NAT[0], 61001)


def test_when_rtp_has_moved_rtcp_is_learned_again() -> None:
    one = end("nat")
    rtp_latch = made(one)
    latch = RtcpLatch(rtp_latch)
    latch.put(one, OWN)
    rtp_latch.relock(INSIDE_NAT)
    hears_rtcp(latch, INSIDE_NAT[0], 62000)
    rtp_latch.put(end("nat", epoch=1), OWN, 1.0)
    assert hears(rtp_latch, ("198.51.100.8", 5000), 1, 2, 3, 4, now=1.0)[-1] == LOCKED
    latch.moved()
    assert not hears_rtcp(latch, INSIDE_NAT[0], 62000)
    assert latch.target() == ("198.51.100.8", 5001)


def test_there_is_no_rtcp_where_the_sdp_wants_none() -> None:
    assert rtcp_latch(end("address", rtcp=0)).target() is None
    assert rtcp_latch(end("nat", rtcp=0), INSIDE_NAT).target() is None
    assert rtcp_latch(end("address", None)).target() is None
    assert not hears_rtcp(rtcp_latch(end("address", None)), SDP[0], 4001)
    assert not hears_rtcp(rtcp_latch(end("address", ("198.51.100.1", 4000))), "198.51.100.1", 4001)
    assert rtcp_latch(end("nat"), (INSIDE_NAT[0], 65535)).target() is None


def test_on_one_port_rtcp_comes_from_the_source_of_rtp_or_from_just_where_the_sdp_says() -> None:
    rtp_latch = made(end("nat", mux=True))
    latch = MuxLatch(rtp_latch)
    assert hears_rtcp(latch, *SDP)
    assert not hears_rtcp(latch, *INSIDE_NAT)
    rtp_latch.relock(INSIDE_NAT)
    assert hears_rtcp(latch, *INSIDE_NAT)
    assert not hears_rtcp(latch, INSIDE_NAT[0], 61001)
    assert not hears_rtcp(latch, *STRANGER)
    assert latch.take_kept() == []
