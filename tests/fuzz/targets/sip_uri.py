"""URIs and name-addrs: what is accepted is stable when it is printed, and equal to itself."""

from sbc.sip.errors import ParseError
from sbc.sip.nameaddr import parse_name_addr
from sbc.sip.scan import split_list
from sbc.sip.uri import SipUri, parse_uri

INSTRUMENTED = ("sbc.sip.uri", "sbc.sip.nameaddr", "sbc.sip.params", "sbc.sip.scan")
ACCEPTS = (ParseError,)
SEEDS = (
    b"sip:alice@atlanta.com", b"sips:a:pw@[2001:db8::1]:5061;transport=tcp;lr?Route=%3Csip:x%3E&b=c",
    b"tel:+1-415-555;ext=1",
    b'"A \\"B\\"" <sip:a@b;x=y>;tag=1;q=0.5, <sip:c@d>', b"sip:a@b;tag=1", b"urn:service:sos",
    b"Anon <sip:%61nonymous@x.invalid>",
    b"sip:%00@a", b"sip:a@1.2.3.4:99999", b"sip:;x@y", b"<sip:a@[::ffff:1.2.3.4]>", b"*",
)  # fmt: skip
WORDS = (
    b"sip:",
    b"sips:",
    b"tel:",
    b";lr",
    b"%00",
    b"%",
    b"@",
    b"[::",
    b"]",
    b'"',
    b"\\",
    b"<",
    b">",
    b"?",
    b"&",
    b"=",
)


def check(data):
    text = data.decode("utf-8", "surrogateescape")
    if "\r" in text or "\n" in text:
        return  # never within a header field
    found = False
    for value in split_list(text):
        address = _accepted(parse_name_addr, value)
        uri = _accepted(parse_uri, value)
        found = found or address is not None or uri is not None
        if address is not None:
            assert parse_name_addr(str(address)) == address
            assert "\r" not in str(address)
            assert "\n" not in str(address)
        if uri is not None:
            assert parse_uri(str(uri)) == uri
            if isinstance(uri, SipUri):
                assert uri.equals(uri)
                assert uri.user_text is not None
    if not found:
        raise ParseError("Nothing Of It")


def _accepted(read, text):
    try:
        return read(text)
    except ParseError:
        return None
