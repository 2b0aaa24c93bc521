"""What the kernel tells of addresses that appear; what is damaged is passed over."""

import ipaddress
import struct

from hypothesis import given
from hypothesis import strategies as st

from sbc.media.worker.kernel.addresses import added

RTM_NEWADDR, RTM_DELADDR = 20, 21
IFA_ADDRESS, IFA_LOCAL, IFA_LABEL = 1, 2, 3


def _attribute(kind, data):
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def _message(kind, *attributes):
    body = struct.pack("=BBBBI", 2, 24, 0, 0, 5) + b"".join(attributes)
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


def _packed(text):
    return ipaddress.ip_address(text).packed


def test_each_address_that_was_added_is_told():
    data = _message(RTM_NEWADDR, _attribute(IFA_LABEL, b"eth0\0"), _attribute(IFA_ADDRESS, _packed("192.0.2.1")))
    data += _message(RTM_DELADDR, _attribute(IFA_ADDRESS, _packed("192.0.2.2")))
    data += _message(RTM_NEWADDR, _attribute(IFA_ADDRESS, _packed("2001:db8::1")))
    assert list(added(data)) == ["192.0.2.1", "2001:db8::1"]


def test_of_a_point_to_point_link_our_end_is_told():
    ends = _attribute(IFA_ADDRESS, _packed("192.0.2.9")), _attribute(IFA_LOCAL, _packed("192.0.2.1"))
    assert list(added(_message(RTM_NEWADDR, *ends))) == ["192.0.2.1"]


@given(st.binary(max_size=200))
def test_whatever_comes_is_read_to_its_end(data):
    list(added(data))
    list(added(struct.pack("=IHHII", 16 + len(data), RTM_NEWADDR, 0, 0, 0) + data))
