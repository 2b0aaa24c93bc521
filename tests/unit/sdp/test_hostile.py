import pytest

from sbc.sdp.hostile import check_hostile, is_out_of_reach
from sbc.sdp.model import SdpError

from .offers import with_media

OWN = {"203.0.113.9", "127.0.0.20", "2001:db8::9"}
PORTS = (20000, 29999)


def check(address: str, port: int = 4000, *attributes: str, proto: str = "RTP/AVP") -> None:
    head = f"c=IN {'IP6' if ':' in address else 'IP4'} {address}\nt=0 0"
    check_hostile(with_media(f"m=audio {port} {proto} 0", *attributes, head=head), OWN, PORTS)


def refuses(address: str, port: int = 4000, *attributes: str) -> None:
    with pytest.raises(SdpError) as caught:
        check(address, port, *attributes)
    assert caught.value.status == 488


@pytest.mark.parametrize("address", ["192.0.2.10", "10.0.0.1", "127.0.0.30", "2001:db8::1", "::1"])
def test_ordinary_addresses_pass_and_loopback_is_one(address):
    check(address)


@pytest.mark.parametrize(
    "address",
    [
        "224.2.1.1/127",
        "239.255.255.255",
        "ff02::1",
        "::ffff:224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "0.0.0.1",
        "0.0.0.0/8",
        "0:0:0:0:0:0:0:0",
        "fe80::1%eth0",
        "phone.example.com",
        "2130706433",
        "010.0.0.1",
    ],
)
def test_everybody_nobody_and_names_are_refused(address):
    refuses(address)


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "anyone.invalid"])
def test_the_old_hold_is_not_hostile(address):
    check(address)


@pytest.mark.parametrize("address", ["203.0.113.9", "127.0.0.20", "2001:DB8:0:0::9", "::ffff:203.0.113.9"])
def test_our_own_media_ports_are_refused_however_the_address_is_written(address):
    refuses(address, 20000)
    refuses(address, 29999)
    check(address, 30000)
    check(address, 4000)


def test_rtcp_into_our_own_ports_is_refused_too():
    refuses("203.0.113.9", 4000, "a=rtcp:20001")
    refuses("203.0.113.9", 19999)


def test_a_port_in_our_range_on_another_host_is_fine():
    check("192.0.2.10", 20000)


def test_a_refused_stream_may_name_any_address():
    check("224.2.1.1/127", 0)
    check("224.2.1.1/127", 4000, proto="RTP/SAVP")


def test_each_stream_is_checked():
    offer = with_media("m=audio 4000 RTP/AVP 0", "m=video 4002 RTP/AVP 31", "c=IN IP4 224.2.1.1/127")
    with pytest.raises(SdpError, match="multicast"):
        check_hostile(offer, OWN, PORTS)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.53", "::1"])
def test_loopback_is_out_of_reach_of_whoever_does_not_come_from_there(host):
    assert is_out_of_reach(host, "203.0.113.9")
    assert is_out_of_reach(host, "2001:db8::9")
    assert not is_out_of_reach(host, "127.0.0.20")
    assert not is_out_of_reach(host, "::1")


@pytest.mark.parametrize("host", ["192.0.2.127", "1.127.0.0", "::1:1"])
def test_what_only_looks_like_loopback_is_not(host):
    assert not is_out_of_reach(host, "203.0.113.9")
