"""The sections of a policy and all their keys: the contract with the operator, as tables.

`reference` prints them, `schema` reads by them, `build` makes values of what was read. The keys of
peers are in `peers`.
"""

from typing import Final, Literal

from msgspec import Struct

from sbc.policy import addresses, values
from sbc.policy.bans import BANS, read_bans
from sbc.policy.capacity import CALL_PATHS, CPS, LIMITS, RESERVE, WHEN_FULL, read_limits
from sbc.policy.codecs import CODECS
from sbc.policy.headers import HEADERS
from sbc.policy.health import HEALTH
from sbc.policy.identity import CALLER_ID
from sbc.policy.media import MEDIA_KEYS
from sbc.policy.operation import CDR, HEP, LOG, POSTGRES, RECORD_FILES, read_cdr
from sbc.policy.peers import DID, PBX_KEYS, TRUNK_KEYS
from sbc.policy.registration import REGISTER
from sbc.policy.schema import Key, mapping, one, some
from sbc.policy.secrets import FORMS, PBX_AUTH, TRUNK_AUTH, read_password
from sbc.policy.sessiontimer import SESSION_TIMER
from sbc.policy.srtp import SRTP
from sbc.policy.steps import STEP, VIA, read_disaster, read_via
from sbc.policy.tls import INTERFACE_TLS, OTHER, PEER_TLS


class Section(Struct, frozen=True):
    """`settings`: one mapping of keys; `named`: a mapping of names to mappings; `list`: a list of mappings;
    `values`: a mapping of names to single values, which the one key describes.
    """

    name: str
    shape: Literal["settings", "named", "list", "values"]
    about: str
    keys: tuple[Key, ...]


DSCP: Final = (
    Key("sip", "a code point", "signalling that we send", one(values.dscp), default="0"),
    Key("media", "a code point", "RTP and RTCP that we send", one(values.dscp), default="0"),
)

ALERTS: Final = (
    Key("webhook", "an http or https URL", "gets each of them by POST", one(addresses.webhook), required=True),
)

ADVERTISE: Final = (
    Key("sip", "HOST[:PORT]", "shown in Via and Contact", one(addresses.advertised)),
    Key("media", "an IP address", "shown in SDP", one(addresses.ip_literal)),
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
            "the HTTP API and the web page; an address beyond loopback takes `admin_token`",
            one(addresses.admin),
            default="127.0.0.1:8088",
        ),
        Key(
            "admin_token",
            f"a text, {FORMS}",
            "over TCP the API then wants `Authorization: Bearer TOKEN`, except for /healthz and /readyz; a Unix socket "
            "wants none. 16 characters at least",
            read_password,
        ),
        Key("country", "a country code", "whose plan national numbers follow", one(values.country), default="US"),
        Key(
            "stop_after",
            "a duration",
            "a stop ends the remaining calls after this",
            one(values.patience),
            default="10s",
        ),
        Key("cps", "a number", "new calls per second, whole node; emergencies are exempt", CPS, default="unlimited"),
        Key("alerts", "a mapping", "where alarms and emergency calls are posted", mapping(ALERTS, "`alerts`")),
        Key("log", "a mapping", "what log lines show", mapping(LOG, "`log`")),
        Key("hep", "a mapping", "a Homer server that gets the SIP messages of calls by HEP3", mapping(HEP, "`hep`")),
        Key("cdr", "strict or a mapping", "how sure and how long records are kept, and where else they go", read_cdr),
        Key(
            "bans",
            "off or a mapping",
            "strangers that guess passwords or scan are not heard for a while; peers never are banned",
            read_bans,
            default="10 offences in a minute: 10 minutes",
        ),
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
            "where SIP is heard: udp:ADDRESS:PORT, tcp:ADDRESS:PORT or tls:ADDRESS:PORT",
            some(one(addresses.listener)),
            required=True,
        ),
        Key(
            "media",
            "an IP address, or one per family",
            "where RTP is heard",
            some(one(addresses.own_address)),
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
            mapping(ADVERTISE, "`advertise`"),
        ),
        Key(
            "tls", "a mapping", "of its tls listeners, and of connections that we make", mapping(INTERFACE_TLS, "`tls`")
        ),
    ),
)

MEDIA: Final = Section("media", "settings", "The relay of RTP.", MEDIA_KEYS)

PBXS: Final = Section("pbxs", "named", "Inside peers.", PBX_KEYS)

TRUNKS: Final = Section("trunks", "named", "Relations to carriers.", TRUNK_KEYS)

PATH_POOLS: Final = Section(
    "path_pools",
    "values",
    "Paths bought once, shared by the trunks that say `call_paths: {pool: NAME}`.",
    (Key("NAME", "a number", "call paths", one(values.within(1, 100_000)), required=True),),
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
        Key(
            "emergency",
            "true or false",
            "tried before all others; the number goes out as dialled; every failure continues the hunt; exempt from "
            "caps, rates, limits and the drain's deadline",
            one(values.flag),
            default="false",
        ),
        Key(
            "strip", "a number", "digits taken from the front, a plus with them", one(values.within(0, 32)), default="0"
        ),
        Key("prepend", "digits", "put in front after that", one(values.prefix), default="nothing"),
        Key(
            "via",
            "a peer, {to, weight}, or a list of them",
            "the hunt, in this order; weighted ones that stand together are drawn by weight",
            some(read_via),
            default="for dids, the PBX that owns the number",
        ),
        Key("reject", "a SIP status", "400 to 699, instead of via", one(values.reject_status)),
        Key("no_answer", "a duration", "ringing", one(values.timer), default="the peer's"),
        Key(
            "continue_on",
            "a status or a list of them",
            "300 to 699: after these, the hunt goes on",
            some(one(values.failure_status)),
            default="403, 408, 430, 500, 502, 503, 504",
        ),
        Key(
            "stop_on",
            "a status or a list of them",
            "300 to 699: these end the hunt",
            some(one(values.failure_status)),
            default="all others",
        ),
        Key(
            "disaster",
            "a step or a list of them",
            "the plan for when the PBX is out of service, or a call to it meets silence, a transport failure or 503; "
            "for DIDs without their own",
            read_disaster,
        ),
        Key("limits", "a mapping", "on calls that this route takes", read_limits, default="unlimited"),
    ),
)

SECTIONS: Final = (SBC, INTERFACES, MEDIA, PBXS, TRUNKS, PATH_POOLS, ROUTES)

# Mappings inside of sections, in the order of the reference page.
NESTED: Final = (
    ("sbc.alerts", ALERTS),
    ("sbc.log", LOG),
    ("sbc.hep", HEP),
    ("sbc.cdr", CDR),
    ("sbc.cdr.postgres", POSTGRES),
    ("sbc.cdr.files", RECORD_FILES),
    ("sbc.bans", BANS),
    ("interfaces.NAME.dscp", DSCP),
    ("interfaces.NAME.advertise", ADVERTISE),
    ("interfaces.NAME.tls", INTERFACE_TLS),
    ("interfaces.NAME.tls.others[]", OTHER),
    ("pbxs.NAME.auth", PBX_AUTH),
    ("pbxs.NAME.dids[]", DID),
    ("pbxs.NAME.caller_id", CALLER_ID),
    ("pbxs.NAME.limits, routes[].limits", LIMITS),
    ("trunks.NAME.auth", TRUNK_AUTH),
    ("trunks.NAME.register", REGISTER),
    ("trunks.NAME.call_paths", CALL_PATHS),
    ("trunks.NAME.call_paths.reserve", RESERVE),
    ("trunks.NAME.when_full", WHEN_FULL),
    ("pbxs.NAME.health, trunks.NAME.health", HEALTH),
    ("pbxs.NAME.tls, trunks.NAME.tls", PEER_TLS),
    ("pbxs.NAME.srtp, trunks.NAME.srtp", SRTP),
    ("pbxs.NAME.codecs, trunks.NAME.codecs", CODECS),
    ("pbxs.NAME.session_timer, trunks.NAME.session_timer", SESSION_TIMER),
    ("pbxs.NAME.headers, trunks.NAME.headers", HEADERS),
    ("routes[].via[]", VIA),
    ("routes[].disaster[], pbxs.NAME.dids[].disaster[]", STEP),
)
