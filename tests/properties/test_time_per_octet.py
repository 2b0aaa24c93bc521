"""What a peer may send is read in a time that grows with its length and no faster: four times as much takes four times
as long.

Each reader is given text that is the worst for a search that goes back: things that begin and never end, in every
alphabet that it knows. Times of one run are compared with each other, the best of several and without the collector,
and what looks too slow is measured again, so that a busy machine is no reason to fail. A quadratic reader takes sixteen
times as long whenever it is asked.
"""

import gc
import re
import time
from contextlib import suppress

import pytest

from sbc.b2bua.digits import digit_of
from sbc.b2bua.documents import document_across
from sbc.b2bua.headers import _alert, _language, _preference, _priority, _subject, _user_to_user
from sbc.b2bua.identity import _clean
from sbc.b2bua.revealing import names_in, reveals
from sbc.core.address import canonical_ip
from sbc.runtime.logging import mask, printable
from sbc.sdp.crypto import read_crypto
from sbc.sdp.model import SdpError
from sbc.sdp.parse import parse_sdp
from sbc.sdp.remotes import media_remotes
from sbc.sip.errors import ParseError
from sbc.sip.framing import StreamFramer
from sbc.sip.headers.credentials import parse_auth
from sbc.sip.headers.cseq import parse_cseq
from sbc.sip.headers.event import parse_event, parse_subscription_state
from sbc.sip.headers.identity import parse_asserted, parse_diversions, parse_history, parse_privacy
from sbc.sip.headers.names import canonical_name
from sbc.sip.headers.reason import parse_reason
from sbc.sip.headers.reliable import parse_rack
from sbc.sip.headers.session import parse_session_expires
from sbc.sip.headers.session_id import parse_session_id
from sbc.sip.headers.transfer import parse_refer_to, parse_referred_by, parse_replaces
from sbc.sip.headers.via import parse_via, salvage_via
from sbc.sip.message import Request
from sbc.sip.multipart import parts_of
from sbc.sip.nameaddr import parse_name_addr
from sbc.sip.params import parse_params
from sbc.sip.parse import parse_message
from sbc.sip.scan import has_stray_control, is_token, split_list, unquoted
from sbc.sip.uri import parse_uri
from sbc.trace.ladder import label_of
from sbc.trace.masking import masked, masked_in_place

OCTETS = 8_000
LONGER = 4
WORTH_A_LOOK = 0.004  # seconds; what is faster than that, at its longest, harms nobody
LONGEST = 0.1  # seconds, on a machine that is busy with other tests
MOST = 9.0  # times as long, for four times as much
LOOKS = 4  # at a reader that seems to be slow

PIECES = [
    '"', "\\", '\\"', "<", ">", "<>", ";", ",", "=", " ", "\t", "a", "1", "%", "%4", "%41", "@", ":", "/",
    ".", "-", "&", "?", "[", "]", "(", "*", "+", "_", "\r\n ", "\r\n", "\n", "a=", ";a", ";a=", ';a="', "a.",
    "1.", "a-", "a@", "a:", " <", '"a', "<!--", "<!-", "<?", "<a ", "<a>", 'a="', "a='", "::", "0:", "tel:",
    "sip:", "sip:a:", "urn:uuid:", "://", "a://", "&#", "&#x", "digest ", "inline:", "a b", ", ",
    "SIP/2.0/UDP ", "é", "\u0000", "\\\u0000", "m=", "a=rtpmap:",
]  # fmt: skip


def _document(text):
    return document_across(f"<a>{text}</a>".encode("utf-8", "replace"), ["pbx.corp.example", "pbx"], "sbc.example")


def _message(text):
    """In the middle of a message, as a field, as part of one, and as its body."""
    head = (
        "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\n"
        "Call-ID: x\r\nCSeq: 1 INVITE\r\n"
    )
    for field in ("X: ", "Contact: <sip:a@b>", 'Contact: "', "Record-Route: ", "Via: SIP/2.0/UDP "):
        with suppress(ParseError):
            parse_message(f"{head}{field}{text}\r\n\r\n{text}".encode("utf-8", "surrogateescape"), stream=False)


def _stream(text):
    framer = StreamFramer()
    data = f"OPTIONS {text}".encode("utf-8", "surrogateescape")
    for at in range(0, len(data), 64):
        framer.feed(data[at : at + 64], 0.0)


def _sdp(text):
    head = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0 8\r\n"
    for line in ("a=", "a=rtpmap:", "a=fmtp:", "a=rtcp:", "a=candidate:", "m=audio 4000 RTP/AVP "):
        with suppress(SdpError):
            media_remotes(parse_sdp(f"{head}{line}{text}\r\n".encode("utf-8", "replace")))


def _parts(text):
    body = f"--b\r\n{text}\r\n\r\n{text}\r\n--b--".encode("utf-8", "replace")
    parts_of(body, "multipart/mixed;boundary=b")


def _octets(read):
    return lambda text: read(f"INFO sip:a@b SIP/2.0\r\nX: {text}\r\n\r\n{text}".encode("utf-8", "surrogateescape"))


def _info(text):
    fields = (("Content-Type", "application/dtmf-relay"),)
    return digit_of(Request("INFO", "sip:a@b", fields, text.encode("utf-8", "replace")))


READERS = {
    "alert": _alert,
    "canonical_ip": canonical_ip,
    "canonical_name": canonical_name,
    "clean": _clean,
    "crypto": lambda text: read_crypto([f"1 AES_CM_128_HMAC_SHA1_80 inline:{text}", text]),
    "document": _document,
    "field_of_document": lambda text: _document(f'<b c="{text}'),
    "framer": _stream,
    "has_stray_control": has_stray_control,
    "info": _info,
    "is_token": is_token,
    "label": _octets(label_of),
    "language": _language,
    "mask": mask,
    "masked": _octets(masked),
    "masked_in_place": _octets(masked_in_place),
    "message": _message,
    "multipart": _parts,
    "names_in": lambda text: names_in(Request("INVITE", "sip:a@b", (("Via", text), ("Contact", f"<sip:{text}")))),
    "parse_asserted": lambda text: parse_asserted([text]),
    "parse_auth": lambda text: parse_auth(f"Digest {text}"),
    "parse_cseq": parse_cseq,
    "parse_diversions": lambda text: parse_diversions([text, f"<sip:a@b>;{text}"]),
    "parse_event": parse_event,
    "parse_history": lambda text: parse_history([text, f"<sip:a@b?{text}>;index=1"]),
    "parse_name_addr": parse_name_addr,
    "parse_name_addr_display": lambda text: parse_name_addr(f'"{text}'),
    "parse_name_addr_params": lambda text: parse_name_addr(f"<sip:a@b>;{text}"),
    "parse_params": lambda text: parse_params(text, "X"),
    "parse_privacy": lambda text: parse_privacy([text]),
    "parse_rack": parse_rack,
    "parse_reason": parse_reason,
    "parse_refer_to": lambda text: parse_refer_to(f"<sip:a@b?Replaces={text}>"),
    "parse_referred_by": parse_referred_by,
    "parse_replaces": lambda text: parse_replaces(f"x;{text}"),
    "parse_session_expires": lambda text: parse_session_expires(f"90;{text}"),
    "parse_session_id": parse_session_id,
    "parse_subscription_state": parse_subscription_state,
    "parse_uri": lambda text: parse_uri(f"sip:{text}"[:2_048]),
    "parse_via": lambda text: parse_via(f"SIP/2.0/UDP h;{text}"),
    "preference": _preference,
    "printable": printable,
    "priority": _priority,
    "reveals": lambda text: reveals(text, ["pbx.corp.example", "pbx"]),
    "salvage_via": lambda text: salvage_via(f"SIP/2.0/UDP h;{text}"),
    "sdp": _sdp,
    "split_list": split_list,
    "subject": _subject,
    "unquoted": lambda text: unquoted(f'"{text}"'),
    "user_to_user": _user_to_user,
}


def _seconds(read, text, tries=1):
    best = float("inf")
    gc.disable()
    try:
        for _ in range(tries):
            began = time.process_time()
            with suppress(ParseError, SdpError):
                read(text)
            best = min(best, time.process_time() - began)
    finally:
        gc.enable()
    return best


def _ratios(read, long, short):
    for _ in range(LOOKS):
        yield (ratio := _seconds(read, long, 3) / _seconds(read, short, 5))
        if ratio <= MOST:
            return


def _many(piece, octets):
    return piece * (octets // len(piece))


@pytest.mark.parametrize("name", READERS)
def test_four_times_as_much_takes_four_times_as_long(name):
    read, slow = READERS[name], []
    for piece in PIECES:
        long = _many(piece, LONGER * OCTETS)
        if _seconds(read, long) < WORTH_A_LOOK:
            continue
        ratio = min(_ratios(read, long, _many(piece, OCTETS)))
        if ratio > MOST:
            slow.append((piece, round(ratio, 1), _seconds(read, long)))
    assert slow == []


@pytest.mark.parametrize("name", READERS)
def test_the_worst_message_holds_up_nobody(name):
    """It is read between two others, which wait for it."""
    worst = max((_seconds(READERS[name], _many(piece, LONGER * OCTETS)), piece) for piece in PIECES)
    if worst[0] > LONGEST:
        worst = (_seconds(READERS[name], _many(worst[1], LONGER * OCTETS), 5), worst[1])
    assert worst[0] < LONGEST, worst


def test_a_reader_that_goes_back_would_be_found():
    read = re.compile(r"\s+;").search
    text = _many(" ", LONGER * OCTETS // 4)
    assert _seconds(read, text, 3) / _seconds(read, text[: len(text) // LONGER], 3) > MOST
