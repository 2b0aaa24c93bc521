import pytest

from sbc.media import wire
from sbc.media.worker.latch import NOBODY, Latch, canonical, latch, target


def end(latching: wire.Latching, host: str = "192.0.2.30", rtcp: int = 4001) -> wire.End:
    return wire.End("192.0.2.1", 20000, wire.Remote(host, 4000, rtcp), latching)


@pytest.mark.parametrize(
    ("latching", "is_rtcp", "expected"),
    [
        ("strict", False, Latch("192.0.2.30", 4000)),
        ("strict", True, Latch("192.0.2.30", 4001)),
        ("address", False, Latch("192.0.2.30", 0)),
        ("address", True, Latch("192.0.2.30", 0)),
    ],
)
def test_who_is_let_in(latching: wire.Latching, is_rtcp: bool, expected: Latch) -> None:
    assert latch(end(latching), is_rtcp=is_rtcp) == expected


def test_nobody_is_let_in_where_the_sdp_names_no_source() -> None:
    assert latch(wire.End("192.0.2.1", 20000, None), is_rtcp=False) == NOBODY
    assert latch(end("strict", rtcp=0), is_rtcp=True) == NOBODY


@pytest.mark.parametrize("latching", ["strict", "address"])
def test_packets_go_to_the_sdps_address_whatever_the_latching(latching: wire.Latching) -> None:
    assert target(end(latching), is_rtcp=False) == ("192.0.2.30", 4000)
    assert target(end(latching), is_rtcp=True) == ("192.0.2.30", 4001)


def test_there_is_no_target_where_the_sdp_names_none() -> None:
    assert target(wire.End("192.0.2.1", 20000, None), is_rtcp=False) is None
    assert target(end("address", rtcp=0), is_rtcp=True) is None


def test_an_ipv6_source_is_compared_in_the_form_that_the_kernel_reports() -> None:
    assert latch(end("strict", "2001:DB8:0:0::30"), is_rtcp=False) == Latch("2001:db8::30", 4000)


@pytest.mark.parametrize("host", ["", "pbx.example", "192.0.2", "::g", "a\0b", "fe80::1%eth0"])
def test_what_is_no_ip_literal_is_an_error(host: str) -> None:
    with pytest.raises((OSError, ValueError)):
        canonical(host)
