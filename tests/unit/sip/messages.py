"""Octets to start from: one plain request and one plain response, of which a test changes what it is about."""

BODY = b"v=0\r\n"

REQUEST = {
    "Via": "SIP/2.0/UDP 192.0.2.30:5060;branch=z9hG4bKabc;rport",
    "Max-Forwards": "70",
    "From": '"Alice" <sip:alice@example.com>;tag=a1',
    "To": "<sip:bob@example.net>",
    "Call-ID": "c1@192.0.2.30",
    "CSeq": "102 INVITE",
    "Contact": "<sip:alice@192.0.2.30>",
    "Content-Type": "application/sdp",
    "Content-Length": str(len(BODY)),
}


def request(*extra, line="INVITE sip:bob@example.net SIP/2.0", body=BODY, **changes):
    """`changes` by header name with _ for -; None takes the header out. `extra` are whole lines."""
    return _octets(line, extra, changes, body)


def response(*extra, line="SIP/2.0 200 OK", body=BODY, **changes):
    return _octets(line, extra, changes, body)


def _octets(line, extra, changes, body):
    fields = dict(REQUEST)
    names = {name.lower().replace("-", "_"): name for name in fields}
    for key, value in changes.items():
        fields[names.get(key.lower(), key.replace("_", "-"))] = value
    lines = [line, *[f"{name}: {value}" for name, value in fields.items() if value is not None], *extra, "", ""]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + body
