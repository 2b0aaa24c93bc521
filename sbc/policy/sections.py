"""The sections of a policy and all their keys: the contract with the operator, as tables.

`reference` prints them, `schema` reads by them, `build` makes values of what was read.
"""

from typing import Final, Literal

from msgspec import Struct

from sbc.policy import values
from sbc.policy.documents import Node
from sbc.policy.problems import Problems, UnfitError
from sbc.policy.schema import Fields, Key, choice, mapping, one, read_fields, some


class Section(Struct, frozen=True):
    """`settings`: one mapping of keys; `named`: a mapping of names to mappings; `list`: a list of mappings."""

    name: str
    shape: Literal["settings", "named", "list"]
    about: str
    keys: tuple[Key, ...]
    is_built: bool = True


def _workers(text: str) -> int:
    if text == "1":
        return 1
    values.whole(text, 1, 64)
    raise UnfitError("more than one media worker is not built yet", "expected 1")


def _read_numbers(node: Node, problems: Problems) -> tuple[str, str] | None:
    """One word sets both."""
    form = choice(*values.NUMBER_FORMS)
    if node.pairs is None:
        word = form(node, problems)
        return None if word is None else (word, word)
    keys = (
        Key("called", "a form", "", form, default="e164"),
        Key("caller", "a form", "", form, default="e164"),
    )
    fields = read_fields(node, keys, "`numbers`", problems)
    return fields.get("called", "e164"), fields.get("caller", "e164")


def _read_did(node: Node, problems: Problems) -> tuple[str, str] | None:
    if node.pairs is None:
        return one(values.did)(node, problems)  # type: ignore[no-any-return]
    keys = (
        Key("numbers", "a number or FIRST-LAST", "", one(values.did), required=True),
        Key("disaster", "a list of steps", ""),
    )
    return read_fields(node, keys, "an entry of `dids`", problems).get("numbers")  # type: ignore[no-any-return]


def _read_via(node: Node, problems: Problems) -> str | None:
    if node.pairs is not None:
        problems.wrong(node.where, "weights in `via` are not built yet", "expected the name of a peer")
        return None
    return one(values.name)(node, problems)  # type: ignore[no-any-return]


def _read_advertise(node: Node, problems: Problems) -> Fields:
    return read_fields(node, ADVERTISE, "`advertise`", problems)


DSCP: Final = (
    Key("sip", "a code point", "signalling that we send", one(values.dscp), default="0"),
    Key("media", "a code point", "RTP and RTCP that we send", one(values.dscp), default="0"),
)

ADVERTISE: Final = (
    Key("sip", "HOST[:PORT]", "shown in Via and Contact", one(values.advertised)),
    Key("media", "an IP address", "shown in SDP", one(values.ip_literal)),
)

SBC: Final = Section(
    "sbc",
    "settings",
    "The node itself.",
    (
        Key("name", "a text", "shows in logs, CDRs and metrics", one(values.label), default="sbc"),
        Key("data_dir", "a path", "where CDRs are kept", one(values.path), default="$STATE_DIRECTORY, else ./var"),
        Key(
            "admin",
            "HOST:PORT, unix:PATH or off",
            "the HTTP API, loopback or Unix socket only",
            one(values.admin),
            default="127.0.0.1:8088",
        ),
        Key("country", "a country code", "whose plan national numbers follow", one(values.country), default="US"),
        Key(
            "stop_after",
            "a duration",
            "a stop ends the remaining calls after this",
            one(values.patience),
            default="10s",
        ),
        Key("cps", "a number", "new calls per second, whole node"),
        Key("alerts", "a mapping", "where alarms are posted"),
    ),
)

INTERFACES: Final = Section(
    "interfaces",
    "named",
    "One per network that the SBC has a foot in.",
    (
        Key(
            "sip",
            "a listener or a list of them",
            "where SIP is heard: udp:ADDRESS:PORT or tcp:ADDRESS:PORT; tls is not built yet",
            some(one(values.listener)),
            required=True,
        ),
        Key(
            "media",
            "an IP address, or one per family",
            "where RTP is heard",
            some(one(values.own_address)),
            required=True,
        ),
        Key(
            "dscp",
            "a mapping of sip and media",
            "marks on packets that we send: cs0 to cs7, af11 to af43, ef, va, or 0 to 63",
            mapping(DSCP, "`dscp`"),
            default="0",
        ),
        Key(
            "advertise",
            "a mapping of sip and media",
            "behind static NAT: shown to peers instead of our own addresses",
            _read_advertise,
        ),
    ),
)

MEDIA: Final = Section(
    "media",
    "settings",
    "The relay of RTP.",
    (
        Key(
            "ports",
            "FIRST-LAST",
            "RTP takes the even port, RTCP the odd one above",
            one(values.media_ports),
            default="20000-29999",
        ),
        Key(
            "engine",
            "auto or userland",
            "kernel is not built yet",
            choice("auto", "userland", later=("kernel",)),
            "auto",
        ),
        Key("workers", "1", "more than one is not built yet", one(_workers), default="1"),
        Key("silence_timeout", "a duration", "ends calls without any RTP and RTCP"),
    ),
)

_ANY_PEER: Final = (
    Key(
        "numbers",
        "a form, or a mapping of called and caller",
        "how the peer writes numbers: " + ", ".join(values.NUMBER_FORMS),
        _read_numbers,
        default="e164",
    ),
    Key(
        "no_reply",
        "a duration",
        "no response at all while another target remains: the next one is tried",
        one(values.timer),
        default="4s",
    ),
    Key("no_progress", "a duration", "100 but no 18x: the next one is tried", one(values.timer), default="20s"),
    Key("no_answer", "a duration", "ringing", one(values.timer), default="180s"),
    Key(
        "latching",
        "strict or address",
        "strict: media from SDP's address and port only; address: any port; nat is not built yet",
        choice("strict", "address", later=("nat",)),
        default="address",
    ),
    Key("media_from", "networks", "where latching may learn"),
    Key("auth", "a mapping", "who authenticates how"),
    Key("health", "a mapping or passive", "whether a peer is up", harmless=("off",)),
    Key("codecs", "a list", "which codecs cross"),
    Key("transfer", "a word", "what becomes of REFER"),
    Key("t38", "a word", "fax over image streams", harmless=("pass",)),
    Key("dtmf", "a word", "how digits cross"),
    Key("methods", "a list", "which methods cross"),
    Key("headers", "a list", "which headers cross"),
    Key("srtp", "a word", "encrypted media", harmless=("off",)),
    Key("tls", "a word or a mapping", "encrypted signalling", harmless=("off",)),
)

_INTERFACE_KEY: Final = Key("interface", "the name of an interface", "where it is", one(values.name), required=True)

_ACCEPT_TYPE: Final = "a network or a list of them"

PBXS: Final = Section(
    "pbxs",
    "named",
    "Inside peers.",
    (
        _INTERFACE_KEY,
        Key(
            "address",
            "a SIP URI or a list of them",
            "where calls to it go, in this order",
            some(one(values.server)),
            required=True,
        ),
        Key(
            "accept",
            _ACCEPT_TYPE,
            "who may speak as this peer; `any` is not built yet",
            some(one(values.network)),
            default="the hosts in address",
        ),
        Key(
            "dids",
            "a number, a range FIRST-LAST, or a list of them",
            "the numbers that it owns; a disaster plan of their own is not built yet",
            some(_read_did),
        ),
        Key("registers", "true", "it registers to us", harmless=("false",)),
        Key("caller_id", "a mapping", "screening of callers"),
        Key("limits", "a mapping", "call paths, rate and minutes"),
        *_ANY_PEER,
    ),
)

TRUNKS: Final = Section(
    "trunks",
    "named",
    "Relations to carriers.",
    (
        _INTERFACE_KEY,
        Key("servers", "a SIP URI or a list of them", "in this order", some(one(values.server)), required=True),
        Key(
            "accept",
            _ACCEPT_TYPE,
            "who may speak as this carrier; `any` is not built yet",
            some(one(values.network)),
            default="what servers resolve to",
        ),
        Key(
            "domain",
            "a host",
            "the host in R-URI, To and From",
            one(values.domain),
            default="the server's host",
        ),
        Key(
            "called_from",
            "ruri, to or p-called-party-id",
            "where this carrier puts the DID",
            choice(*values.CALLED_FROM),
            default="ruri",
        ),
        Key("register", "a mapping", "registers to the carrier", harmless=("false",)),
        Key("call_paths", "a number or a mapping", "simultaneous calls"),
        Key("when_full", "a mapping", "what is answered when all paths are taken"),
        Key("cps", "a number", "new calls per second towards it"),
        Key("limits", "a mapping", "call paths, rate and minutes"),
        *_ANY_PEER,
    ),
)

PATH_POOLS: Final = Section(
    "path_pools", "settings", "Paths bought once, shared by several trunks.", (), is_built=False
)

ROUTES: Final = Section(
    "routes",
    "list",
    "First match wins; a number that no route takes gets 404.",
    (
        Key("name", "a text", "shows in CDRs and in `sbc why`", one(values.label), default="route-N"),
        Key("from", "a peer or a list of them", "who asks", some(one(values.name)), default="any peer"),
        Key("to", "a pattern or a list of them", "the called number", some(one(values.pattern)), default="any number"),
        Key("caller", "a pattern or a list of them", "who may use it", some(one(values.pattern)), default="any caller"),
        Key("strip", "a number", "digits taken from the front, a plus with them", one(values.strip_count), default="0"),
        Key("prepend", "digits", "put in front after that", one(values.prefix), default="nothing"),
        Key(
            "via",
            "a peer or a list of them",
            "the hunt, in this order; {to, weight} is not built yet",
            some(_read_via),
            default="for dids, the PBX that owns the number",
        ),
        Key("reject", "a SIP status", "400 to 699, instead of via", one(values.reject_status)),
        Key("no_answer", "a duration", "ringing", one(values.timer), default="the peer's"),
        Key("emergency", "true", "tried before all others, exempt from caps", harmless=("false",)),
        Key("disaster", "a list of steps", "the plan for when a PBX is out of service"),
        Key("limits", "a mapping", "call paths, rate and minutes"),
        Key("continue_on", "a list of statuses", "failures after which the hunt goes on"),
        Key("stop_on", "a list of statuses", "failures that end the hunt"),
    ),
)

SECTIONS: Final = (SBC, INTERFACES, MEDIA, PBXS, TRUNKS, PATH_POOLS, ROUTES)
