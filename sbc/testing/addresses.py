"""Addresses as the stories write them."""

from sbc.core.address import Address


def address_of(text: Address | str) -> Address:
    """`192.0.2.1:5060` or `[2001:db8::1]:5060`; the port may be left out."""
    if isinstance(text, Address):
        return text
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]") or (":" in host and not host.startswith("[")):
        return Address(text.strip("[]"), 5060)
    return Address(host.strip("[]"), int(port))
