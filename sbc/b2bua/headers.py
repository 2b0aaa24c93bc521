"""Which header fields of a message cross to the other side, beyond those that make the message work.

Compiled once per pair of peers. By default crosses what `_DEFAULTS` lists, each read and printed anew; a peer's policy
passes more, removes and adds (`HeaderRules`). Secured names never cross, nor does a value that holds an address, or
names a host, of its own side. Everything is bounded. User-Agent and Server are ours: the endpoint writes them.

Not here: From, To, P-Asserted-Identity, Privacy, Diversion, History-Info (`identity`, `forwarded`), Geolocation
(`location`), Session-ID (`session_ids`), bodies and what describes them (`bodies`), Event, Subscription-State, Expires
and entity-tags (`beside`), Refer-To, Replaces and Referred-By (transfer), Retry-After (whoever hunts).

What stays behind unless a peer's policy passes it, and why: Organization names a network. Call-Info and Error-Info have
URIs of their own side, and Call-Info can make a telephone answer by itself. Reply-To is a URI too, In-Reply-To has
Call-IDs, Warning a host and P-Access-Network-Info a place in the network. Date and Identity sign numbers and a URL of
their own side (RFC 8224 §4.1), Identity-Info is that URL. Request-Disposition tells proxies how to fork, which a border
decides itself. Resource-Priority and P-Asserted-Service claim a treatment that nobody here has granted. Timestamp
belongs to one hop (RFC 3261 §20.38).
"""

import re
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from sbc.b2bua.identity import reason_fields
from sbc.b2bua.revealing import names_in, names_of, reveals
from sbc.core.limits import (
    CROSSING_FIELDS,
    CROSSING_VALUE_CHARACTERS,
    SUBJECT_CHARACTERS,
    USER_TO_USER_CHARACTERS,
)
from sbc.policy.headers import SECURED, TRANSLATED
from sbc.policy.model import HeaderRules, Peer
from sbc.sip.errors import ParseError
from sbc.sip.message import Fields, Request, Response
from sbc.sip.nameaddr import Star
from sbc.sip.params import Params, params_text, parse_params
from sbc.sip.scan import is_token, split_list, unquoted

Read = Callable[[str], str | None]
"""One element of a field, or the whole of one that is no list, as it crosses; None: it stays behind."""

_PAIRS: Final = 4_096  # compiled and remembered; a reload leaves some behind
_NEVER: Final = SECURED | frozenset(TRANSLATED)
_OF_THE_USER: Final = frozenset({"Subject", "Call-Info", "Organization", "Reply-To"})  # RFC 3323 §5.3


class _Rule(Struct, frozen=True):
    """`requests`: methods of requests in which it crosses. `responses`: whether it does in responses, from 101 on."""

    read: Read
    requests: frozenset[str]
    responses: bool = False
    is_list: bool = True


class Crossing:
    """What crosses from one peer to another. Cheap where nothing does: one look at each name."""

    __slots__ = ("_added", "_answered", "_names", "_passed", "_prefixes", "_removed", "_rules", "_their_names", "pair")

    def __init__(self, from_: Peer, to: Peer) -> None:
        self.pair = (from_, to)
        passed, removed = from_.headers.passed, to.headers.removed
        self._removed = _Names(removed)
        self._passed = _Names(passed)
        self._rules = {name: rule for name, rule in _defaults(from_, to).items() if name not in self._removed}
        self._names = frozenset(self._rules) | self._passed.whole
        self._prefixes = self._passed.beginnings
        self._their_names = names_of(from_)
        # RFC 3261 §20.35, §20.41: Server is a response's, User-Agent a request's.
        self._added: Fields = tuple([item for item in to.headers.added if item[0] != "Server"])
        self._answered: Fields = tuple([item for item in to.headers.added if item[0] != "User-Agent"])

    def request_fields(self, request: Request, method: str = "") -> Fields:
        """What of `from_`'s request goes into ours to `to`, which may be of another method, and what `to` is to get
        besides."""
        found = self._found(request.fields)
        if not found:
            return self._added
        return self._crossed(request, found, method or request.method) + self._added

    def response_fields(self, response: Response) -> Fields:
        """Likewise of `from_`'s response, into ours to `to`."""
        found = self._found(response.fields)
        if not found or response.status <= 100:
            return self._answered
        return self._crossed(response, found, "") + self._answered

    def own_fields(self, *, answer: bool) -> Fields:
        """What `to` is to get besides, in a request or response that nothing of `from_` has led to."""
        return self._answered if answer else self._added

    def reason_fields(self, q850: int, message: Request | Response | None = None) -> Fields:
        """Reason of our BYE, CANCEL or response to `to`: as `message` of `from_` gives it, else made of `q850`."""
        return () if "Reason" in self._removed else reason_fields(q850, message)

    def without_removed(self, fields: Fields) -> Fields:
        """`fields` that others have made for `to`, without what its policy keeps from it."""
        return tuple([item for item in fields if item[0] not in self._removed]) if self._removed.is_any else fields

    def _found(self, fields: Fields) -> list[tuple[str, str]]:
        names = self._names
        if not self._prefixes:
            return [item for item in fields if item[0] in names]
        return [item for item in fields if item[0] in names or item[0].startswith(self._prefixes)]

    def _crossed(self, message: Request | Response, found: list[tuple[str, str]], method: str) -> Fields:
        hides = "user" in [value.lower() for value in _words(message.header("Privacy") or "")]
        names = self._their_names | names_in(message)
        crossed: list[tuple[str, str]] = []
        for name, value in found:
            # "the privacy service MUST remove any non-essential informational headers", RFC 3323 §5.3
            if hides and name in _OF_THE_USER:
                continue
            text = self._read(name, value, method)
            if text is not None and len(text) <= CROSSING_VALUE_CHARACTERS and not reveals(text, names):
                crossed.append((name, text))
            if len(crossed) == CROSSING_FIELDS:
                break
        return tuple(crossed)

    def _read(self, name: str, value: str, method: str) -> str | None:
        if name in self._passed:
            return None if name in _NEVER or name in self._removed else value
        rule = self._rules[name]
        if not (method in rule.requests if method else rule.responses):
            return None
        if not rule.is_list:
            return rule.read(value)
        if not value and rule.read is _package:
            return ""  # "an empty Recv-Info header field" means: none at all, RFC 6086 §5.2.2
        elements = [text for text in map(rule.read, split_list(value)) if text is not None]
        return ", ".join(elements) if elements else None


class _Names:
    """Names and beginnings of names, of a policy."""

    __slots__ = ("beginnings", "is_any", "whole")

    def __init__(self, names: tuple[str, ...]) -> None:
        self.whole = frozenset([name for name in names if not name.endswith("*")])
        self.beginnings = tuple([name[:-1] for name in names if name.endswith("*")])
        self.is_any = bool(names)

    def __contains__(self, name: str) -> bool:
        return name in self.whole or name.startswith(self.beginnings)


_compiled: dict[tuple[str, str], Crossing] = {}


def crossing(from_: Peer, to: Peer) -> Crossing:
    """Compiled once: peers are values, and a reload that changes one makes another."""
    key = (from_.name, to.name)
    known = _compiled.get(key)
    if known is not None and known.pair[0] is from_ and known.pair[1] is to:
        return known
    if len(_compiled) >= _PAIRS:
        _compiled.clear()
    made = _compiled[key] = Crossing(from_, to)
    return made


def contact_params(message: Request | Response, rules: HeaderRules) -> Params:
    """The parameters that our Contact carries towards the other side, of the Contact of this `message`.

    By default those that say what kind of end is there: a focus (RFC 4579), a machine, its media (RFC 3840).
    Others are about the peer's own user agent (methods, events, schemes), or name it (+sip.instance). `rules`: of the
    peer that sent the message.
    """
    try:
        contacts = message.contacts
    except ParseError:
        return ()  # of a response that makes no dialog
    if isinstance(contacts, Star) or len(contacts) != 1 or not contacts[0].params:
        return ()
    found = [item for item in contacts[0].params if item[0] in rules.features and item[0] not in _CONTACTS_OWN]
    if not found:
        return ()
    names = names_in(message)
    return tuple([(name, value) for name, value in found if value is None or _is_feature_value(value, names)])


# Of a contact, not of a user agent's features (RFC 3261 §20.10, RFC 5626, RFC 5627).
_CONTACTS_OWN: Final = frozenset({"q", "expires", "+sip.instance", "reg-id", "temp-gruu", "pub-gruu", "ob", "tag"})


def _is_feature_value(value: str, names: frozenset[str]) -> bool:
    return len(value) <= CROSSING_VALUE_CHARACTERS and "urn:uuid" not in value.lower() and not reveals(value, names)


# --- what crosses by default ------------------------------------------------------------------------------------------


def _subject(value: str) -> str | None:
    text = "".join([char for char in value if char.isprintable() or "\udc80" <= char <= "\udcff"]).strip()
    return text[:SUBJECT_CHARACTERS] or None


def _priority(value: str) -> str | None:
    word = value.strip().lower()
    return word if word in ("emergency", "urgent", "normal", "non-urgent") else None


_LANGUAGE: Final = re.compile(
    r"(\*|[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8}){0,4})(?:[ \t]*;[ \t]*q=([01](?:\.\d{0,3})?))?", re.ASCII
)


def _language(value: str) -> str | None:
    match = _LANGUAGE.fullmatch(value)
    if match is None:
        return None
    return match[1] if match[2] is None else f"{match[1]};q={match[2]}"


_ALERT: Final = re.compile(
    r"<?(urn:alert:[A-Za-z0-9\-.]{1,64}(?::[A-Za-z0-9\-.]{1,64}){1,8})>?", re.ASCII | re.IGNORECASE
)


def _alert(value: str) -> str | None:
    match = _ALERT.fullmatch(value)
    return None if match is None else f"<{match[1].lower()}>"


def _user_to_user(value: str) -> str | None:
    data, semicolon, rest = value.partition(";")
    data = data.strip(" \t")
    if len(value) > USER_TO_USER_CHARACTERS or not is_token(unquoted(data)):
        return None
    try:
        params = parse_params(rest, "User-to-User") if semicolon else ()
    except ParseError:
        return None
    # "the quotes MUST be ignored", RFC 7433 §4.2
    kept = tuple([item for item in params if item[0] in ("purpose", "content", "encoding") and is_token(item[1] or "")])
    return unquoted(data) + params_text(kept)


_EARLY_MEDIA: Final = frozenset({"sendrecv", "sendonly", "recvonly", "inactive", "gated", "supported"})


def _early_media(value: str) -> str | None:
    word = value.strip().lower()
    return word if word in _EARLY_MEDIA else None  # "Unrecognized parameters SHALL be silently discarded", RFC 5009 §8


def _package(value: str) -> str | None:
    name = value.partition(";")[0].strip(" \t")
    return name if is_token(name) and len(name) <= 64 else None


def _answer_mode(value: str) -> str | None:
    mode, _, rest = value.partition(";")
    mode = mode.strip().capitalize()
    if mode not in ("Auto", "Manual"):
        return None
    return f"{mode};require" if rest.strip().lower() == "require" else mode


def _preference(value: str) -> str | None:
    star, semicolon, rest = value.partition(";")
    if star.strip() != "*" or "urn:" in rest.lower():  # an instance is one device of one side
        return None
    try:
        return "*" + params_text(parse_params(rest, "Accept-Contact")) if semicolon else None
    except ParseError:
        return None


_CALLS: Final = frozenset({"INVITE"})
_TEXTS: Final = frozenset({"INVITE", "MESSAGE"})
_ASKING: Final = frozenset({"INVITE", "MESSAGE", "SUBSCRIBE"})

_DEFAULTS: Final = {
    # What people say to people, and for how urgent they hold it. Other values of Priority claim a treatment, as
    # "psap-callback" does (RFC 7090), or mean something within one system only.
    "Subject": _Rule(_subject, _TEXTS, is_list=False),
    "Priority": _Rule(_priority, _ASKING, is_list=False),
    # The language of announcements and of people who answer: a preference of the caller's, and no name.
    "Accept-Language": _Rule(_language, _ASKING),
    # How it shall ring, in the words that RFC 7462 has registered. URLs of sounds name hosts.
    "Alert-Info": _Rule(_alert, _CALLS, responses=True),
    # Data between applications at the ends: "considered an opaque series of octets", RFC 7433 §4.
    "User-to-User": _Rule(_user_to_user, frozenset({"INVITE", "BYE"}), responses=True),
    # Where a network opens its gate for early media (RFC 5009 §8): both ends of a border have one.
    "P-Early-Media": _Rule(_early_media, frozenset({"INVITE", "PRACK", "UPDATE"}), responses=True),
    # What an INFO is about, and which INFOs are understood (RFC 6086 §5): only the ends know.
    "Info-Package": _Rule(_package, frozenset({"INFO"})),
    "Recv-Info": _Rule(_package, frozenset({"INVITE", "UPDATE", "PRACK", "ACK"}), responses=True),
    # Which of the callee's telephones is meant, by what it can do (RFC 3841).
    "Accept-Contact": _Rule(_preference, _ASKING),
    "Reject-Contact": _Rule(_preference, _ASKING),
    # A telephone that answers by itself opens a microphone: between one's own systems only (RFC 5373).
    "Answer-Mode": _Rule(_answer_mode, _CALLS, responses=True, is_list=False),
}


def _defaults(from_: Peer, to: Peer) -> dict[str, _Rule]:
    rules = dict(_DEFAULTS)
    if from_.kind != "pbx" or to.kind != "pbx":
        del rules["Answer-Mode"]
    if "INFO" not in to.methods:
        del rules["Recv-Info"]  # `to` may not send what `from_` is ready to receive
    if "INFO" not in from_.methods:
        del rules["Info-Package"]
    if to.early_media == "ringback":
        del rules["P-Early-Media"]  # it hears none
    return rules


def _words(value: str) -> list[str]:
    return [word.strip() for word in value.split(";")]
