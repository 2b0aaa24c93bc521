"""The key `headers` of a peer: which header fields cross from it, and what is taken from or put on what it gets.

What makes a message work, or would tell one side of the other, is ours and not up to a policy. `b2bua.headers` compiles
these rules.
"""

from typing import Final

from sbc.core.limits import HEADER_VALUE_OCTETS
from sbc.policy.documents import Node
from sbc.policy.model import HeaderRules
from sbc.policy.problems import Problems, UnfitError
from sbc.policy.schema import At, Fields, Key, choice, one, read_fields, read_names, some
from sbc.sip.errors import ParseError
from sbc.sip.headers.names import canonical_name
from sbc.sip.scan import is_token

SECURED: Final = frozenset({
    "Accept", "Accept-Encoding", "Allow", "Allow-Events", "Authentication-Info", "Authorization", "CSeq", "Call-ID",
    "Contact", "Content-Disposition", "Content-Encoding", "Content-ID", "Content-Length", "Content-Type", "Event",
    "Expires", "Flow-Timer", "From", "Identity-Info", "In-Reply-To", "Info-Package", "Join", "MIME-Version",
    "Max-Forwards", "Min-Expires", "Min-SE", "Path", "Privacy", "Proxy-Authenticate", "Proxy-Authorization",
    "Proxy-Require", "RAck", "RSeq", "Record-Route", "Recv-Info", "Refer-Sub", "Refer-To", "Referred-By", "Replaces",
    "Require", "Retry-After", "Route", "SIP-ETag", "SIP-If-Match", "Security-Client", "Security-Server",
    "Security-Verify", "Service-Route", "Session-Expires", "Subscription-State", "Supported", "Target-Dialog", "To",
    "Unsupported", "Via", "WWW-Authenticate",
})  # fmt: skip
"""Never passed, added or removed: without them, or with another's, a message means something else."""

TRANSLATED: Final = {
    "Diversion": "headers.forwarded",
    "History-Info": "headers.forwarded",
    "P-Asserted-Identity": "caller_id",
    "P-Preferred-Identity": "caller_id",
    "P-Called-Party-ID": "called_from",
    "Reason": "",
    "Server": "",
    "Session-ID": "",
    "User-Agent": "",
    "Warning": "",
}
"""We write these ourselves, some by a key of their own; they may be kept from a peer, but not passed. Warning and the
names of software tell which hosts and programs are behind us."""


def field_name(text: str) -> str:
    """As canonical; compact forms written out."""
    try:
        return canonical_name(text)
    except ParseError:
        raise UnfitError(f"`{text}` is no header name", "expected a name such as X-Customer") from None


def _pattern(text: str) -> str:
    """A name, or the beginning of some: `X-*`."""
    name = field_name(text)
    if "*" in name[:-1] or name == "*":
        raise UnfitError(f"`{text}` is no header name", "expected a name, or a beginning with one * at its end: X-*")
    return name


def _passed(text: str) -> str:
    name = _removed(text)
    found = _first(name, TRANSLATED)
    if found is not None:
        key = TRANSLATED[found]
        hint = f"expected what `{key}` says of it" if key else "expected another name"
        raise UnfitError(f"{_covers(text, name, found)}, which we write ourselves", hint)
    return name


def _removed(text: str) -> str:
    name = _pattern(text)
    found = _first(name, SECURED)
    if found is not None:
        raise UnfitError(f"{_covers(text, name, found)}, which no policy may touch", "expected another name")
    return name


def _added(text: str) -> str:
    name = field_name(text)
    if "*" in name:
        raise UnfitError(f"`{text}` is no header name", "expected a whole name such as X-Customer")
    if name in SECURED or (name in TRANSLATED and name not in ("Server", "User-Agent")):
        raise UnfitError(f"`{name}` is a header that no policy may add", "expected another name")
    return name


def _covers(text: str, name: str, found: str) -> str:
    return f"`{text}` takes in `{found}`" if name.endswith("*") else f"`{found}` is a header"


def _first(name: str, names: frozenset[str] | dict[str, str]) -> str | None:
    """The first of `names` that this name, or beginning, stands for."""
    if not name.endswith("*"):
        return name if name in names else None
    start = name[:-1].lower()
    return next((each for each in sorted(names) if each.lower().startswith(start)), None)


def _feature(text: str) -> str:
    name = text.strip().lower()
    if name == "off":
        return ""
    if not is_token(name) or name in _OF_THE_CONTACT:
        raise UnfitError(f"`{text}` is no feature that a Contact may show", "expected words such as isfocus, or off")
    return name


def _value(text: str) -> str:
    """RFC 3261 §25.1: TEXT-UTF8-TRIM. A line break here would be a header field of its own."""
    if not text.strip() or not text.isprintable() or len(text.encode()) > HEADER_VALUE_OCTETS:
        raise UnfitError("this cannot be the value of a header", "expected printable characters on one line")
    return text.strip()


def _read_added(node: Node, problems: Problems) -> tuple[tuple[str, str], ...]:
    if node.pairs == ():
        problems.wrong(node.where, "`headers.add` is empty", "expected a mapping of names to values")
    added: dict[str, tuple[str, Node]] = {}
    for key_node, value_node in read_names(node, "`headers.add`", problems).values():
        name = one(_added)(key_node, problems)
        value = one(_value)(value_node, problems)
        if name is None or value is None:
            continue
        if name in added:
            first = added[name][1].where
            problems.wrong(key_node.where, f"`{name}` is added twice", f"expected it once; first at {first}")
            continue
        added[name] = (value, key_node)
    return tuple((name, value) for name, (value, _) in added.items())


# Of one contact and its registration, not of a kind of end (RFC 3261 §20.10, RFC 5626, RFC 5627).
_OF_THE_CONTACT: Final = frozenset({"q", "expires", "+sip.instance", "reg-id", "temp-gruu", "pub-gruu", "ob", "tag"})
_NAMES_TYPE: Final = "a header name, or a list of them"

HEADERS: Final = (
    Key(
        "pass",
        _NAMES_TYPE,
        "cross from this peer to whoever is on the other side, beyond those that always do; `X-*`: all that begin so",
        some(one(_passed)),
    ),
    Key(
        "remove",
        _NAMES_TYPE,
        "are kept from this peer, whoever put them there",
        some(one(_removed)),
    ),
    Key(
        "add",
        "a mapping of names to values",
        "are on each request that we send to this peer, and on our responses to its own",
        _read_added,
    ),
    Key(
        "forwarded",
        "as-received, diversion, history-info or both",
        "how this peer is told who has forwarded a call (RFC 5806, RFC 7044); the one is made of the other",
        choice("as-received", "diversion", "history-info", "both"),
        default="as-received",
    ),
    Key(
        "features",
        "a parameter of Contact, or a list of them, or off",
        "of this peer's Contact, that ours shows to the other side: what kind of end is there (RFC 3840, RFC 4579)",
        some(one(_feature)),
        default=", ".join(HeaderRules().features),
    ),
)


def read_headers(node: Node, problems: Problems) -> HeaderRules:
    fields = read_fields(node, HEADERS, "`headers`", problems)
    removed: tuple[At, ...] = fields.get("remove", ())
    added: tuple[tuple[str, str], ...] = fields.get("add", ())
    names = dict(added)
    for at in removed:
        both = _first(at.value, names)
        if both is not None:
            problems.wrong(
                at.where, f"`{both}` is removed and added", f"expected one of them; `add` is at {fields.place('add')}"
            )
    found: tuple[At, ...] | None = fields.get("features")
    return HeaderRules(
        passed=_distinct(fields, "pass"),
        removed=_distinct(fields, "remove"),
        added=added,
        forwarded=fields.get("forwarded", "as-received"),
        features=HeaderRules().features if found is None else tuple([at.value for at in found if at.value]),
    )


def _distinct(fields: Fields, key: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(at.value for at in fields.get(key, ())))
