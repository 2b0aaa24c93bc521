"""What a trace keeps to itself of a message: digits that somebody has dialled within a call, and secrets.

A PIN or the number of a card is dialled in an INFO, whose bodies have many types (application/dtmf-relay and others);
some systems use NOTIFY (RFC 4730). Such a body is left out as a whole; so are the digits that a URI names for after the
answer (`postd`). Secrets are the computed response of digest (RFC 3261 §22.4) and what a server proves itself with
(RFC 7616 §3.5), a password in a URI (RFC 3261 §19.1.1), and the keys of a session description (RFC 4568, RFC 4567,
`k=`, ice-pwd of RFC 8839 §5.4). Not secret: challenges, which hold nothing of a password; Identity, which is signed and
not hidden; fingerprints of certificates.

It reads octets and no grammar, because what no parser accepts is traced too. Used by `recorder`, for whoever reads; a
message that is only kept costs nothing here.
"""

import re
from collections.abc import Callable
from typing import Final

MASKED: Final = b"(not shown)\r\n"
_WORDS: Final = b"(not shown)"
_FILLER: Final = b"x"
_END_OF_HEADER: Final = re.compile(rb"\n\r?\n")
_LINE_BREAKS: Final = re.compile(rb"[\r\n]*")
_FOLDING: Final = re.compile(rb"\r?\n(?=[ \t])")
_DIALLING: Final = re.compile(rb"dtmf|digit|kpml|telephone-event|hook-?flash")
_TYPES: Final = re.compile(rb"[\r\n](?:content-type|c)[ \t]*:([^\r\n]*)")
_INFO: Final = re.compile(rb"[\r\n]cseq[ \t]*:[ \t]*\d+[ \t]+info\b")
# Lines stay, and what parameters are told apart by: Wireshark calls credentials without them malformed.
_HIDDEN_CHARACTERS: Final = re.compile(rb"[^\r\n\t =,\"]")
# What is hidden is the group `secret`; a value goes on in lines that begin with white space.
_VALUE: Final = rb"(?P<secret>[^\r\n]*(?:\r?\n[ \t][^\r\n]*)*)"
_SECRETS: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rb"(?:^|[\r\n])(?:proxy-)?authorization[ \t]*:[ \t]*(?:(?:digest|basic|bearer)[ \t]+)?" + _VALUE,
        rb"(?:^|[\r\n])(?:proxy-)?authentication-info[ \t]*:[ \t]*" + _VALUE,
        rb"[?&](?:proxy-)?authorization=(?P<secret>[^&>\s]+)",
        rb"sips?:[^@:/?\s<>\"]{0,200}:(?P<secret>[^@/\s<>\"]{1,200})@",
        rb"(?:;|%3b)postd(?:=|%3d)(?P<secret>[^;>\s]+)",
        # A key is hidden, and not its lifetime and MKI; of a line without `inline:` all that stands behind the suite.
        rb"inline[ \t]*:[ \t]*(?P<secret>[^|;\r\n]*(?:(?:\r?\n|\r)[ \t][^|;\r\n]*)*)",
        rb"inline(?:%20|%09)*%3a(?P<secret>[^|;&>\s]+)",
        rb"[\r\n]a[ \t]*=[ \t]*crypto[ \t]*:[ \t]*[^ \t\r\n]*[ \t]+[^ \t\r\n]*[ \t]+(?!inline[ \t]*:)" + _VALUE,
        rb"[\r\n]a[ \t]*=[ \t]*(?:key-mgmt|ice-pwd)[ \t]*:[ \t]*" + _VALUE,
        rb"[\r\n]k[ \t]*=" + _VALUE,
    )
)
# A quick look first, at lower case: hardly any message has anything to be hidden, and a busy system sends many on.
_SUSPECT_WORDS: Final = (
    b"authorization", b"authentication-info", b"postd", b"inline", b"crypto", b"key-mgmt", b"ice-pwd", b"\nk=", b"\rk=",
)  # fmt: skip
_ESCAPED_BREAK: Final = re.compile(r"\\{1,64}([rn])")  # once for each repr within a repr
_URI_PASSWORD: Final = re.compile(rb"sips?:[^@:/?\s<>\"]{0,200}:[^@/\s<>\"]{1,200}@")
_DIALLING_WORDS: Final = (b"info", b"dtmf", b"digit", b"kpml", b"telephone-event", b"flash")


def masked(data: bytes) -> bytes:
    """The message as people may read it; the same object where nothing is to be hidden."""
    return _masked(data, _in_words, lambda _body: MASKED)


def masked_in_place(data: bytes) -> bytes:
    """As `masked`, with `x` for every character that is hidden: lengths and lines stay as they were."""
    return _masked(data, _filled, _fill)


def shown_error(error: BaseException) -> str:
    """Its repr, which may hold a whole message: of a bug that nobody has thought of."""
    lines = _ESCAPED_BREAK.sub(lambda found: "\r" if found[1] == "r" else "\n", repr(error))
    shown = masked(lines.encode("utf-8", "backslashreplace")).decode("utf-8", "replace")
    return shown.replace("\r", "\\r").replace("\n", "\\n")


def _masked(data: bytes, hide: Callable[["re.Match[bytes]"], bytes], hide_body: Callable[[bytes], bytes]) -> bytes:
    low = data.lower()
    shown = data
    if any(word in low for word in _DIALLING_WORDS):
        begin = _start(data)
        end = _END_OF_HEADER.search(data, begin)
        if end is not None and end.end() < len(data) and _holds_digits(low[begin : end.start()], low[end.end() :]):
            shown = data[: end.end()] + hide_body(data[end.end() :])
    if any(word in low for word in _SUSPECT_WORDS) or _URI_PASSWORD.search(low) is not None:
        for secret in _SECRETS:
            shown = secret.sub(hide, shown)
    return shown


def _start(data: bytes) -> int:
    """Line breaks before the start line are not counted (RFC 3261 §7.5)."""
    found = _LINE_BREAKS.match(data)
    return 0 if found is None else found.end()


def _in_words(found: "re.Match[bytes]") -> bytes:
    return _with(found, _WORDS)


def _filled(found: "re.Match[bytes]") -> bytes:
    return _with(found, _fill(found["secret"]))


def _with(found: "re.Match[bytes]", secret: bytes) -> bytes:
    begin, end = found.span("secret")
    whole, at = found[0], found.start()
    return whole[: begin - at] + secret + whole[end - at :]


def _fill(text: bytes) -> bytes:
    return _HIDDEN_CHARACTERS.sub(_FILLER, text)


def _holds_digits(header: bytes, body: bytes) -> bool:
    """An INFO, whatever it says that it is; its answer too. Both are in lower case."""
    header = _FOLDING.sub(b"", header)
    if header.startswith(b"info") or (b"info" in header and _INFO.search(header) is not None):
        return True
    # Of several types it is not known which one the receiver goes by.
    return any(_DIALLING.search(body if b"multipart" in kind else kind) is not None for kind in _TYPES.findall(header))
