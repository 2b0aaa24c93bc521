"""Every typed header: its reader returns or says that it cannot, and raises nothing else. The first octet chooses."""

from sbc.sip.checks import refusal_of
from sbc.sip.errors import ParseError
from sbc.sip.headers.cseq import parse_cseq
from sbc.sip.headers.event import parse_event, parse_subscription_state
from sbc.sip.headers.identity import identity_of, parse_asserted, parse_diversions, parse_history, parse_privacy
from sbc.sip.headers.names import canonical_name
from sbc.sip.headers.reason import parse_reason
from sbc.sip.headers.reliable import parse_rack
from sbc.sip.headers.session import min_se_of, parse_session_expires, session_expires_of
from sbc.sip.headers.session_id import parse_session_id
from sbc.sip.headers.transfer import parse_refer_to, parse_referred_by, parse_replaces
from sbc.sip.headers.via import parse_via, salvage_via
from sbc.sip.message import Request
from sbc.sip.params import parse_params

INSTRUMENTED = ("sbc.sip.headers", "sbc.sip.params", "sbc.sip.scan", "sbc.sip.uri", "sbc.sip.nameaddr")
ACCEPTS = (ParseError,)


def _message(text):
    names = ("Session-Expires", "Min-SE", "Require", "Supported", "Allow", "Accept", "P-Asserted-Identity", "Diversion")
    names += ("History-Info", "Privacy", "Content-Type", "Content-Encoding", "Expires", "Reason", "Max-Forwards")
    request = Request("INVITE", "sip:a@b", tuple((name, text) for name in names), b"x")
    refusal_of(request, frozenset({"INVITE"}))
    identity_of(request)
    session_expires_of(request)
    min_se_of(request)
    for view in (
        "require",
        "proxy_require",
        "supported",
        "allow",
        "accept",
        "content_type",
        "expires",
        "reason_header",
    ):
        getattr(request, view)
    return request.max_forwards


READERS = (
    (parse_via, b"SIP/2.0/UDP [2001:db8::1]:5060;branch=z9hG4bK1;received=1.2.3.4;rport=5;maddr=x;ttl=1"),
    (salvage_via, b"SIP/2.0/UDP 1.2.3.4 ;branch=;;x"),
    (parse_cseq, b"4711 INVITE"),
    (parse_event, b"dialog;id=7;call-id=x"),
    (parse_subscription_state, b"terminated;reason=giveup;retry-after=3;expires=60"),
    (parse_reason, b'Q.850;cause=16;text="Terminated"'),
    (parse_rack, b"1 2 INVITE"),
    (parse_session_expires, b"1800;refresher=uas"),
    (parse_session_id, b"0123456789abcdef0123456789abcdef;remote=00000000000000000000000000000000"),
    (parse_refer_to, b"<sip:a@b?Replaces=c%3Bto-tag%3Dd%3Bfrom-tag%3De&Require=x>;method=INVITE"),
    (parse_referred_by, b'<sip:a@b>;cid="c@d"'),
    (parse_replaces, b"a@b;to-tag=1;from-tag=2;early-only"),
    (lambda text: parse_asserted([text]), b'"A" <sip:+1415@x>, <tel:+1415>'),
    (lambda text: parse_privacy([text]), b"id;header;critical"),
    (lambda text: parse_diversions([text]), b"<sip:a@b>;reason=user-busy;counter=2;privacy=full, <sip:c@d>"),
    (lambda text: parse_history([text]), b"<sip:a@b?Reason=SIP%3Bcause%3D302&Privacy=history>;index=1.1;rc=1"),
    (canonical_name, b"X-Some-Thing"),
    (lambda text: parse_params(text, "X"), b';a=b;c="d;e";f'),
    (_message, b"1800"),
)
SEEDS = tuple(bytes([i]) + seed for i, (_, seed) in enumerate(READERS))
WORDS = (
    b";tag=",
    b";",
    b"=",
    b'"',
    b"\\",
    b"%",
    b"%3B",
    b",",
    b"<",
    b">",
    b"index=",
    b"cause=",
    b"99999999999999999999",
)


def check(data):
    if not data:
        return
    read, _ = READERS[data[0] % len(READERS)]
    value = read(data[1:].decode("utf-8", "surrogateescape"))
    printed = str(value)
    assert "\n" not in printed or printed.startswith(("Request", "(", "frozenset"))
