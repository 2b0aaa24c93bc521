"""The keys of pbxs and trunks, as tables. Concepts with keys of their own are in modules of their own."""

from typing import Final, Literal

from msgspec import Struct

from sbc.policy import addresses, values
from sbc.policy.capacity import CPS, read_call_paths, read_limits, read_when_full
from sbc.policy.codecs import read_codecs
from sbc.policy.documents import Node
from sbc.policy.headers import read_headers
from sbc.policy.health import read_health
from sbc.policy.identity import read_caller_id
from sbc.policy.media import PEER_MEDIA_KEYS
from sbc.policy.methods import IMPLIED_EVENTS, IMPLIED_METHODS, event, method
from sbc.policy.model import EVENTS, TALK_METHODS
from sbc.policy.problems import Problems
from sbc.policy.registration import read_register
from sbc.policy.schema import At, Key, choice, every, one, read_fields, some
from sbc.policy.secrets import read_pbx_auth, read_trunk_auth
from sbc.policy.sessiontimer import read_session_timer
from sbc.policy.srtp import read_srtp
from sbc.policy.steps import read_disaster
from sbc.policy.tls import TRANSPORTS, read_peer_tls


class DidEntry(Struct, frozen=True):
    """Numbers (first, last) as written, each with its place, and the steps of a disaster plan of their own."""

    numbers: tuple[At, ...]
    disaster: tuple[At, ...] = ()


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


DID: Final = (
    Key("numbers", "a number, FIRST-LAST, or a list of them", "which ones", some(one(values.did)), required=True),
    Key(
        "disaster",
        "a step or a list of them",
        "the plan for these numbers, in place of the route's",
        read_disaster,
        default="the route's",
    ),
)


def _read_did(node: Node, problems: Problems) -> DidEntry | None:
    if node.pairs is None:
        number = one(values.did)(node, problems)
        return None if number is None else DidEntry((At(number, node.where),))
    fields = read_fields(node, DID, "an entry of `dids`", problems)
    return DidEntry(fields.get("numbers", ()), fields.get("disaster", ()))


_ANY_PEER: Final = (
    Key(
        "numbers",
        "a form, or a mapping of called and caller",
        "how the peer writes numbers: " + ", ".join(values.NUMBER_FORMS),
        _read_numbers,
        default="e164",
    ),
    Key(
        "health",
        "a mapping, passive or off",
        "mapping: OPTIONS to each of its servers, any reply proves that it is up, 503 suspends new calls; passive: by "
        "live traffic alone. A PBX that registers is up while it is registered",
        read_health,
        default="off",
    ),
    Key(
        "no_reply",
        "a duration",
        "no response at all while another target remains: the next one is tried. The last target gets 32 s",
        one(values.timer),
        default="4s",
    ),
    Key("no_progress", "a duration", "100 but no 18x: the next one is tried", one(values.timer), default="20s"),
    Key("no_answer", "a duration", "ringing", one(values.timer), default="180s"),
    *PEER_MEDIA_KEYS,
    Key(
        "codecs",
        "a list, or a mapping of allow and order",
        "by their RTP names, in any case: a list allows these and no others, in this order",
        read_codecs,
        default="all, as offered",
    ),
    Key(
        "t38",
        "pass or refuse",
        "fax over image streams, offered by or to it; refuse: the call stays with its sound",
        choice("pass", "refuse"),
        default="pass",
    ),
    Key(
        "hold",
        "pass or inactive",
        "how a hold is told to it; pass: in the words of who holds; inactive: as `a=inactive` alone, for a peer that "
        "knows no other. Its music is not heard then",
        choice("pass", "inactive"),
        default="pass",
    ),
    Key(
        "dtmf",
        "pass, rfc4733 or info",
        "how it sends and hears digits; pass: as whoever is on the other side",
        choice("pass", "rfc4733", "info"),
        default="pass",
    ),
    Key(
        "early_media",
        "pass or ringback",
        "what it hears before the answer; ringback: a plain 180, so that it makes the tone itself",
        choice("pass", "ringback"),
        default="pass",
    ),
    Key(
        "delayed_offer",
        "pass or convert",
        "an INVITE without SDP that is to go there; convert: it gets one with an offer, which we make",
        choice("pass", "convert"),
        default="pass",
    ),
    Key(
        "reliable",
        "offer or off",
        "provisional responses (RFC 3262); off: we do not say that we know 100rel",
        choice("offer", "off"),
        default="offer",
    ),
    Key(
        "session_timer",
        "a mapping of expires and min, or off",
        "RFC 4028; off: we ask for none",
        read_session_timer,
        default="1800s, and 90s at least",
    ),
    Key(
        "methods",
        "a method or a list of them",
        f"what it may send us; all else gets 405. {', '.join(sorted(IMPLIED_METHODS))} need no mention",
        every(one(method)),
        default=", ".join(sorted(TALK_METHODS - IMPLIED_METHODS)),
    ),
    Key(
        "events",
        "an event package or a list of them",
        "what it may subscribe to, publish and notify of; all else gets 489",
        some(one(event)),
        default=", ".join(sorted(EVENTS - IMPLIED_EVENTS)),
    ),
    Key(
        "headers",
        "a mapping",
        "which header fields cross, beyond those that always do",
        read_headers,
        default="no others",
    ),
    Key(
        "overload",
        "auto, rfc7339 or off",
        "whether we tell each other how many calls to leave out (RFC 7339); auto: from when the peer has asked for it; "
        "rfc7339: we ask from the first request on",
        choice("auto", "rfc7339", "off"),
        default="auto",
    ),
    Key(
        "rate",
        "a number",
        "requests outside of dialogs per second that it may send us, of all methods; more get 503, emergencies are "
        "exempt",
        one(values.within(1, 100_000)),
        default="unlimited",
    ),
    Key(
        "srtp",
        "off, optional or required, or a mapping of mode, keying and suites",
        "whether its media is encrypted (RFC 3711), whatever the other side's is",
        read_srtp,
        default="off",
    ),
    Key(
        "tls",
        "a mapping or off",
        "how it proves who it is where signalling is encrypted; off: it never is",
        read_peer_tls,
        default="by the names of its servers",
    ),
    TRANSPORTS,
)


def _moving_on(transfer: Literal["terminate", "refuse"], redirect: Literal["follow", "refuse"]) -> tuple[Key, ...]:
    """What a peer may do with a call that is not its own to place: the defaults trust PBXs, and no carrier."""
    return (
        Key(
            "transfer",
            "pass, terminate or refuse",
            "a REFER from it; terminate: we call the target, by the routes that are for this peer; pass: the other "
            "side is asked to",
            choice("pass", "terminate", "refuse"),
            default=transfer,
        ),
        Key(
            "redirect",
            "follow or refuse",
            "a 3xx from it; follow: the routes that are for this peer say where to; refuse: a failure like others",
            choice("follow", "refuse"),
            default=redirect,
        ),
    )


_INTERFACE_KEY: Final = Key("interface", "the name of an interface", "where it is", one(values.name), required=True)

_ACCEPT_TYPE: Final = "a network or a list of them"

PBX_KEYS: Final = (
    _INTERFACE_KEY,
    Key(
        "address",
        "a SIP URI or a list of them",
        "where calls to it go, in this order; host names resolve by RFC 3263",
        some(one(addresses.server)),
        default="required, but with `registers`",
    ),
    Key(
        "registers",
        "true or false",
        "it registers to us, and calls go where it did: single AORs, or all its DIDs at once (RFC 6140). Instead of "
        "`address`; needs `accept`",
        one(values.flag),
        default="false",
    ),
    Key(
        "accept",
        _ACCEPT_TYPE + ", or any",
        "who may speak as this peer; `any` requires `auth`, so that REGISTER and INVITE are challenged and all else is "
        "silent, or `tls: {identity: certificate}`",
        some(one(addresses.network_or_any)),
        default="the hosts in address",
    ),
    Key(
        "auth",
        "a mapping",
        "its requests outside a dialog are challenged (RFC 7616)",
        read_pbx_auth,
    ),
    Key(
        "dids",
        "a number, a range FIRST-LAST, a mapping, or a list of them",
        "the numbers that it owns; a mapping gives some a disaster plan of their own",
        some(_read_did),
    ),
    Key(
        "caller_id",
        "a mapping",
        "which callers it may name to the world",
        read_caller_id,
        default="whatever it says",
    ),
    Key("limits", "a mapping", "on calls from this PBX; emergencies are exempt", read_limits, default="unlimited"),
    Key("call_paths", "", "", misplaced="expected it on a trunk; for a pbx, say limits: {call_paths: N}"),
    Key("cps", "", "", misplaced="expected it on a trunk; for a pbx, say limits: {cps: N}"),
    *_ANY_PEER,
    *_moving_on("terminate", "follow"),
)

TRUNK_KEYS: Final = (
    _INTERFACE_KEY,
    Key(
        "servers",
        "a SIP URI or a list of them",
        "in this order; host names resolve by RFC 3263",
        some(one(addresses.server)),
        required=True,
    ),
    Key(
        "accept",
        _ACCEPT_TYPE,
        "who may speak as this carrier",
        some(one(addresses.network)),
        default="what servers resolve to",
    ),
    Key(
        "domain",
        "a host",
        "the host in R-URI, To and From",
        one(addresses.domain),
        default="the register AOR's host, else the server's",
    ),
    Key("auth", "a mapping", "answers this carrier's challenges, and nobody else's", read_trunk_auth),
    Key("register", "a mapping or false", "registers to the carrier", read_register, default="false"),
    Key(
        "called_from",
        "ruri, to or p-called-party-id",
        "where this carrier puts the DID",
        choice(*values.CALLED_FROM),
        default="ruri",
    ),
    Key(
        "call_paths",
        "a number or a mapping",
        "calls at once; each leg on the trunk holds one, and only emergencies may exceed it",
        read_call_paths,
        default="unlimited",
    ),
    Key(
        "when_full",
        "a mapping of outbound and inbound",
        "what is answered when all paths are taken, without Retry-After",
        read_when_full,
        default="503 and 486",
    ),
    Key(
        "cps",
        "a number",
        "new calls per second towards it; more hunt on, or are refused",
        CPS,
        default="unlimited",
    ),
    Key("limits", "", "", misplaced="expected it on a pbx or a route; for a trunk, say call_paths and cps"),
    *_ANY_PEER,
    *_moving_on("refuse", "refuse"),
)
