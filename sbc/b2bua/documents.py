"""XML documents of one side, written anew for the other: presence (RFC 3863), dialogs (RFC 4235), registrations
(RFC 3680), conferences (RFC 4575), watchers (RFC 3858), "is typing" (RFC 3994).

Every tag and text is read and printed again. URIs keep their user and get our host; addresses and names of the sending
side become our host; Call-IDs and tags, by which a dialog of that side could be taken over, are left out, and other
identifiers replaced by their digests, always the same for the same. What is no plain XML (a DTD, CDATA, other encodings
than UTF-8) does not cross. Linear in the length; nothing is validated. Used by `bodies`.
"""

import re
from collections.abc import Iterable
from hashlib import blake2s
from typing import Final

from sbc.b2bua.revealing import ADDRESS, PRIVATE_NAME, reveals
from sbc.core.address import bracketed

_HEAD: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'
_NOWHERE: Final = "https://anonymous.invalid/"  # in place of a URL: what it leads to is on the other side anyway
_PIECE: Final = re.compile(r"<[^<>]*>|[^<>]+|[<>]")
# Comments and instructions. An unclosed one takes all that follows, so that its end is looked for once.
_LEFT_OUT: Final = re.compile(r"<!--.*?(?:-->|\Z)|<\?.*?(?:\?>|\Z)", re.DOTALL)
_NAME: Final = r"[A-Za-z_][\w.\-]{0,63}(?::[A-Za-z_][\w.\-]{0,63})?"
_TAG: Final = re.compile(rf"<(/?)({_NAME})((?:\s[^<>]*)?/?)>", re.ASCII)
_ATTRIBUTE: Final = re.compile(rf"\s+({_NAME})\s*=\s*(?:\"([^\"]*)\"|'([^']*)')", re.ASCII)
_REFERENCE: Final = re.compile(r"&#(?:x([0-9A-Fa-f]{1,6})|(\d{1,7}));")
_ENCODING: Final = re.compile(r"\A\ufeff?\s*<\?xml[^>]{0,100}?encoding\s*=\s*[\"']([\w.\-]{1,32})[\"']", re.ASCII)
_NAMING: Final = re.compile(
    r"(?P<uuid>\burn:uuid:[0-9A-Za-z\-]{0,64})"
    r"|(?P<tel>\btel:[^\s<>\"']*)"
    r"|(?P<uri>\b(?:sips?|pres|im|xmpp|mailto|h323):[^\s<>\"']*)"
    r"|(?P<url>\b[A-Za-z][A-Za-z0-9+.\-]{0,20}://[^\s<>\"']*|\b(?:cid|mid|file|data):[^\s<>\"']*)"
    r"|(?P<mail>[\w.+%\-]{1,64}@[\w.\-\[\]:]{1,256})"
    rf"|(?<![\w.\-]){PRIVATE_NAME.pattern}|{ADDRESS.pattern}",
    re.IGNORECASE | re.ASCII,
)
_TEL: Final = re.compile(r"tel:[+\d*#\-.()A-F]{1,64}", re.IGNORECASE | re.ASCII)
_SEPARATORS: Final = str.maketrans("", "", "-.()")
_USER: Final = re.compile(r"([A-Za-z0-9]{1,8}):(?:([^@;:?&\s]{1,256})[^@\s]{0,512}@)?", re.ASCII)
# Of one dialog of one side: RFC 4235 §4.1.1 and RFC 3680 §5.1, all optional.
_DIALOG_IDS: Final = frozenset(("call-id", "local-tag", "remote-tag", "callid", "cseq"))
_IDS: Final = frozenset(("id", "idref"))
_ID_ELEMENTS: Final = frozenset(("call-id", "from-tag", "to-tag"))  # RFC 4575: they must be there
_LEFT_OUT_TEXTS: Final = frozenset(("session-description",))  # ports and addresses, RFC 4235 §4.1.6.3
_LEFT_OUT_ELEMENTS: Final = frozenset(("replaces",))  # its attributes must be there (RFC 4235 §4.1.4)


def document_across(octets: bytes, names: Iterable[str], our_host: str) -> bytes | None:
    """The document as the other side may see it; None where it cannot be read, or would still tell of its side.

    `names`: of the sending side, in lower case. `our_host`: by which the receiver knows us.
    """
    text = _plain(octets)
    if text is None:
        return None
    writer = _Writer(tuple(names), bracketed(our_host))
    written = writer.write(text)
    # A host name of several labels is nothing that a tag is called by chance.
    if written is None or reveals(written.replace(writer.our_host, "our"), [name for name in names if "." in name]):
        return None
    return (_HEAD + written).encode()


def _plain(octets: bytes) -> str | None:
    """Without comments and instructions, and with no letter written as a number. The encoding is UTF-8."""
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError:
        return None
    encoding = _ENCODING.match(text)
    if encoding is not None and encoding[1].lower() not in ("utf-8", "us-ascii"):
        return None
    text = _LEFT_OUT.sub("", text.removeprefix("\ufeff"))
    if "<!" in text or "\x00" in text:
        return None
    return _REFERENCE.sub(_letter, text).strip()


def _letter(reference: re.Match[str]) -> str:
    code = int(reference[1], 16) if reference[1] is not None else int(reference[2])
    char = chr(code) if 0x20 < code < 0x7F else ""
    return reference[0] if not char or char in "<>&\"'" else char


class _Writer:
    def __init__(self, names: tuple[str, ...], our_host: str) -> None:
        self.our_host = our_host
        alternatives = "|".join([re.escape(name) for name in sorted(names, key=len, reverse=True)])
        # The whole word that a name is in: what stands before it names a host of that domain.
        self._names = re.compile(rf"(?<![\w.\-])[\w.\-]*?(?:{alternatives})[\w.\-]*", re.IGNORECASE) if names else None

    def write(self, text: str) -> str | None:
        """None where a tag is none."""
        written: list[str] = []
        element = ""
        for piece in _PIECE.findall(text):
            if piece[0] != "<":
                if element in _LEFT_OUT_TEXTS:
                    continue
                identifier = piece.strip() if element in _ID_ELEMENTS else ""
                written.append(_digest(identifier) if identifier else self._text(piece))
                continue
            match = _TAG.fullmatch(piece)
            if match is None:
                return None
            end, name, rest = match[1], match[2], match[3].rstrip()
            empty = "/" if rest.endswith("/") else ""
            element = "" if end else _local(name)
            if _local(name) in _LEFT_OUT_ELEMENTS:
                continue
            attributes = self._attributes(rest.removesuffix("/").rstrip())
            if attributes is None:
                return None
            written.append(f"<{end}{name}{attributes}{empty}>")
        return "".join(written)

    def _attributes(self, text: str) -> str | None:
        written: list[str] = []
        at, end = 0, len(text)
        while at < end:
            match = _ATTRIBUTE.match(text, at)
            if match is None:
                return None
            at = match.end()
            name, value = match[1], match[2] if match[2] is not None else match[3]
            local = _local(name)
            if local in _DIALOG_IDS:
                continue
            if local in _IDS:
                value = _digest(value)
            elif not name.startswith("xmlns") and local != "schemaLocation":
                value = self._text(value)
            elif reveals(value, ()) or (self._names is not None and self._names.search(value) is not None):
                return None  # the name of a vocabulary is no place for a host
            written.append(f' {name}="{value.replace(chr(34), "&quot;")}"')
        return "".join(written)

    def _text(self, text: str) -> str:
        cleaned = _NAMING.sub(self._named, text)
        if self._names is None or self._names.search(cleaned) is None:
            return cleaned
        # Our own host may have a name of theirs in it.
        return self.our_host.join([self._names.sub(self.our_host, part) for part in cleaned.split(self.our_host)])

    def _named(self, match: re.Match[str]) -> str:
        text = match[0]
        match match.lastgroup:
            case "uuid":
                return f"urn:uuid:{_uuid(text)}"
            case "tel":
                number = _TEL.match(text)
                return "tel:" if number is None else number[0].translate(_SEPARATORS)
            case "uri":
                return self._uri(text)
            case "url":
                return _NOWHERE
            case "mail":
                return f"{self._user(text.partition('@')[0])}@{self.our_host}"
            case _:
                return self.our_host

    def _uri(self, text: str) -> str:
        match = _USER.match(text)
        if match is None:
            return _NOWHERE
        scheme, user = match[1].lower(), match[2]
        return f"{scheme}:{self.our_host}" if user is None else f"{scheme}:{self._user(user)}@{self.our_host}"

    def _user(self, user: str) -> str:
        tells = reveals(user, ()) or (self._names is not None and self._names.search(user) is not None)
        return "anonymous" if tells else user


def _local(name: str) -> str:
    return name.rpartition(":")[2]


def _digest(value: str) -> str:
    """An identifier that says nothing; it begins with a letter, as one of XML must."""
    return "i" + blake2s(value.encode("utf-8", "surrogateescape"), digest_size=10).hexdigest()


def _uuid(value: str) -> str:
    text = blake2s(value.lower().encode(), digest_size=16).hexdigest()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
