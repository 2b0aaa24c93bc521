"""Makes `reference/limits.md` from `sbc/core/limits.py`: every bound with its reason, what shows it, and its test.

A test that holds a bound has the mark `# BOUND: NAME, NAME` right above it. A bound that no test holds, that no code
reads, or of which nothing is said here that shows it, fails a test (`tests/unit/docs`). Run by `generate.py`.
"""

import ast
import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
LIMITS = ROOT / "sbc" / "core" / "limits.py"
_MARK = re.compile(r"^# BOUND: ([A-Z][A-Z_0-9]*(?:, [A-Z][A-Z_0-9]*)*)$")
_TEST = re.compile(r"^(?:async )?def (test_\w+)")
_NAME = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*\b")

_TABLE = "table"  # `sbc_table_used` and `sbc_table_limit`
_DROPPED = "dropped"  # `sbc_dropped_total`
_SIP = "status"  # `sbc_sip_messages_total`
_RECORD = "record"  # the call's own: its ladder, and `cause` and `why` of its record
_FAMILY = "family"  # a metric of its own

# What shows that a bound is near, or was reached.
SHOWN = {
    # SIP messages
    "MESSAGE_OCTETS HEADER_SECTION_OCTETS": (_DROPPED, "unreadable", "bad_frame"),
    "HEADER_FIELDS HEADER_VALUE_OCTETS VIA_VALUES ROUTE_VALUES URI_OCTETS": (_DROPPED, "unreadable"),
    "REMEMBERED_CHARACTERS REMEMBERED_TEXTS": "nothing: a text that is not remembered is read again",
    "REMEMBERED_NUMBERS REMEMBERED_NUMBER_CHARACTERS": "nothing: a number that is not remembered is read again",
    "DIVERSION_VALUES HISTORY_VALUES PRIVACY_VALUES DISPLAY_CHARACTERS GEOLOCATION_VALUES": (_RECORD,),
    "BODY_PARTS BODY_PART_HEADER_OCTETS": (_SIP, "400", "413"),
    # authentication
    "CHALLENGES_PER_RESPONSE CREDENTIALS_PER_REQUEST CLIENT_NONCES": (_SIP, "401", "407"),
    "SERVER_NONCE_SECONDS": (_SIP, "401"),
    "SERVER_NONCES": (_TABLE, "nonces"),
    # streams
    "INCOMPLETE_MESSAGE_SECONDS": (_DROPPED, "tcp_timed_out"),
    "OUTBOX_OCTETS": (_TABLE, "outbox_octets"),
    "CONNECT_SECONDS": (_FAMILY, "sbc_server_up"),
    "CONNECT_FAILURES_SAID": "the log: `tcp.connect_failed` of a remote comes more often than once a minute",
    "REMEMBERED_CHAINS": "the log: `tls.refused` of who goes on with a session that is not remembered",
    "FLUSH_SECONDS LINGER_SECONDS HALF_CLOSED_SECONDS": (_TABLE, "connections"),
    "UDP_BACKLOG": (_TABLE, "udp_backlog"),
    "UDP_FLOWS": "nothing: a flow that is forgotten is made anew",
    "PROBED_SECONDS UNACKNOWLEDGED_SECONDS": (_TABLE, "connections"),
    "IDLE_CONNECTION_SECONDS FIRST_MESSAGE_SECONDS": (_TABLE, "connections"),
    "CONNECTIONS_PER_LISTENER CONNECTIONS_PER_PEER CONNECTIONS_OF_STRANGERS CONNECTIONS_PER_STRANGER": (
        _DROPPED,
        "tcp_connections_full",
    ),
    "STRANGER_OUTBOX_OCTETS": (_DROPPED, "tcp_outbox_full"),
    "UNREAD_SECONDS": (_DROPPED, "tcp_unread"),
    "HANDSHAKE_OCTETS": (_DROPPED, "tls_handshake_failed"),
    "SMALL_RECORDS SMALL_RECORDS_PER_SECOND": (_DROPPED, "tls_small_records"),
    "HANDSHAKE_SECONDS HANDSHAKE_THREADS": (_TABLE, "handshakes"),
    "HANDSHAKES_PER_LISTENER HANDSHAKES_PER_PEER HANDSHAKES_OF_STRANGERS HANDSHAKES_PER_STRANGER": (
        _DROPPED,
        "tls_handshakes_full",
    ),
    "STRANGER_HANDSHAKES_PER_SECOND": (_DROPPED, "tls_handshakes_full"),
    "TLS_CONNECTIONS_REMEMBERED": (_TABLE, "tls_connections"),
    # names
    "NAMES": (_TABLE, "names"),
    "RECORDS_PER_SET SERVERS_PER_NAME ADDRESSES_PER_NAME WATCHED_ADDRESSES GONE_ADDRESS_SECONDS": (
        _FAMILY,
        "sbc_server_up",
    ),
    "TTL_FLOOR_SECONDS TTL_SECONDS NEGATIVE_TTL_SECONDS LOOK_UP_RETRY_SECONDS LOOK_UP_RETRY_CEILING_SECONDS": (
        _DROPPED,
        "dns_failed",
    ),
    "LOOK_UPS LOOK_UPS_AT_ONCE": (_TABLE, "look_ups"),
    "CNAMES LOOK_UP_SECONDS FAILING_NAMES_SAID": (_DROPPED, "dns_failed"),
    "NAME_WAIT_SECONDS REQUESTS_AWAITING_NAMES": (_TABLE, "requests_awaiting_names"),
    # SDP
    "SDP_OCTETS SDP_LINES MEDIA_LINES FORMATS_PER_MEDIA": (_SIP, "488"),
    "CRYPTO_LINES_PER_MEDIA KEYS_PER_CRYPTO_LINE FINGERPRINTS_PER_MEDIA": (_SIP, "488"),
    # engine
    "PEER_SHARE": (_DROPPED, "calls_full", "transactions_full", "exchanges_full", "subscriptions_full"),
    "DATAGRAMS_PER_WAKEUP DRAIN_SECONDS": (_FAMILY, "sbc_engine_lag_seconds"),
    "TRANSACTIONS_DUE_AT_ONCE CALLS_DUE_AT_ONCE PEERS_DUE_AT_ONCE": (
        "nothing: what is due beyond has its turn a hundredth of a second later"
    ),
    "UDP_QUEUE_OCTETS": (_TABLE, "udp_queue_octets"),
    "REFUSED_REMEMBERED": (_TABLE, "refused_remembered"),
    "THROTTLED_SERVERS": (_TABLE, "throttled_servers"),
    "TRANSACTIONS TRANSACTIONS_RESERVED": (_TABLE, "transactions"),
    "TRANSACTION_OCTETS": (_TABLE, "transaction_octets"),
    "CALLS EMERGENCIES": (_TABLE, "calls"),
    "FORMER_POLICIES": (_TABLE, "former_policies"),
    "TRANSFERS_PER_CALL": (_FAMILY, "sbc_transfers_total"),
    "REDIRECT_CONTACTS REDIRECT_CONTACTS_READ": (_RECORD,),
    "ATTEMPTS_PER_CALL REDIRECTS_PER_CALL OPEN_REQUESTS_PER_LEG EARLY_DIALOGS_PER_LEG PROVISIONALS_WAITING": (_RECORD,),
    "SESSION_SECONDS REFUSED_SESSION_INTERVALS": (_SIP, "422"),
    "REFER_HEADERS": (_FAMILY, "sbc_transfers_total"),
    "TRACE_MESSAGES_PER_CALL TRACE_OCTETS_PER_CALL": "the ladder: it says how many entries were left out",
    "TRACE_OCTETS_RUNNING": (_TABLE, "trace_octets_running"),
    "TRACE_CALLS": (_TABLE, "trace_calls"),
    "TRACE_OCTETS": (_TABLE, "trace_octets"),
    "TRACE_AT_THE_DOOR TRACE_OCTETS_AT_THE_DOOR": (_TABLE, "trace_at_the_door"),
    "TRACE_FORMER_DIALOGS": (_TABLE, "trace_former_dialogs"),
    "TRACE_PEERS": (_TABLE, "trace_peers"),
    "TRACE_MESSAGES_PER_PEER TRACE_OCTETS_PER_PEER": "the peer's ladder: it says how many entries were left out",
    "HEP_QUEUE": (_TABLE, "hep"),
    "HEP_QUEUE_OCTETS": (_TABLE, "hep_octets"),
    # what crosses
    "CROSSING_FIELDS CROSSING_VALUE_CHARACTERS NAMES_PER_MESSAGE SUBJECT_CHARACTERS USER_TO_USER_CHARACTERS": (
        _RECORD,
    ),
    # beside calls
    "EXCHANGES": (_TABLE, "exchanges"),
    "SUBSCRIPTIONS": (_TABLE, "subscriptions"),
    "REQUESTS_PER_SUBSCRIPTION": (_SIP, "500"),
    "SUBSCRIPTION_SECONDS": (_FAMILY, "sbc_subscriptions"),
    "PUBLICATIONS PUBLICATION_SECONDS": (_TABLE, "publications"),
    # registration
    "BINDINGS_PER_AOR CONTACT_CHARACTERS PATH_CHARACTERS": (_SIP, "400"),
    "AORS_PER_PBX": (_TABLE, "aors"),
    "LOST_BINDINGS": (_TABLE, "lost_bindings"),
    "PINGS": (_TABLE, "pings"),
    "TEST_CALL_SECONDS": (_RECORD,),
    # keeping out
    "BANS": (_TABLE, "bans"),
    "BANS_IN_KERNEL BANS_AT_ONCE BAN_WHY_CHARACTERS STREAMED_BANS": (_FAMILY, "sbc_bans"),
    "STRUCK_SOURCES": (_TABLE, "struck_sources"),
    "PROVED_SOURCES PROVED_SECONDS": (_TABLE, "proved_sources"),
    "REMEMBERED_SOURCES": "nothing: an address that is not remembered is looked up again",
    "COUNTED_SOURCES STRANGERS_MESSAGES_PER_SECOND": (_DROPPED, "strangers_over_rate"),
    "STRANGER_MESSAGES_PER_SECOND USERS_MESSAGES_PER_SECOND": (_DROPPED, "stranger_over_rate"),
    "BANNED_EMERGENCIES_PER_SECOND": (_DROPPED, "banned"),
    # state, API
    "STATE_KEYS": (_TABLE, "state_keys"),
    "STATE_CALLS": (_TABLE, "state_calls"),
    "STATE_OCTETS": (_TABLE, "state_memory"),
    "STATE_BEHIND_SECONDS": (_FAMILY, "sbc_state_behind_seconds"),
    "STATE_VALUE_OCTETS": "the alarm `state.too_long`",
    "CLOCK_GAP_SECONDS": "nothing: the wall has gone wrong by more than anything lasts",
    "RECORDING_OCTETS RECORDING_STEPS_WAITING RECORDING_OCTETS_WAITING": "the log: `recording.ended` says why",
    "RECORDING_SEGMENT_OCTETS": "nothing: a replay reads all of them",
    "ALERTS": (_TABLE, "alerts"),
    "ALARMS": (_TABLE, "alarms"),
    "ADMIN_CLIENTS ADMIN_CLIENTS_PER_HOST": (_DROPPED, "admin_clients"),
    "EVENT_READERS": "the answer, 503",
    "ADMIN_BODY_OCTETS ADMIN_BODY_SECONDS": "the answer, 413 or 408",
    "ADMIN_STUCK_SECONDS ADMIN_ANSWER_SECONDS": (_DROPPED, "admin_slow_client"),
    "CDR_READERS CDR_QUESTION_SECONDS": "the answer, 503",
    "LOG_LINES": (_TABLE, "log_lines"),
    "LOG_FIELD_CHARACTERS LOG_EXCEPTION_CHARACTERS": "the line, which ends there",
    "STREAMED_CALLS LISTED_CALLS": (_FAMILY, "sbc_calls"),
    # records
    "CDR_SET_ASIDE CDR_COPY_BEHIND": (_FAMILY, "sbc_cdr_copy_pending"),
    "CDR_QUEUE": (_TABLE, "records"),
    "CDR_START_SECONDS": "the call's record, `overload`",
    "SPOOL_OCTETS SPOOL_KEPT_OCTETS": (_FAMILY, "sbc_cdr_spool_octets"),
    # media
    "CONTROL_MESSAGE_OCTETS": "the log: `media.worker_died` names it",
    "MEDIA_REQUESTS_WAITING": (_TABLE, "media_requests"),
    "MEDIA_SLOTS": (_TABLE, "media_slots"),
    "MEDIA_REPORTS_WAITING": (_TABLE, "media_reports"),
    "LATCH_CANDIDATES LATCH_KEPT_OCTETS": (_FAMILY, "sbc_rtp_foreign_total"),
    "HANDED_SECONDS": (_RECORD,),
    "SRTP_SOURCES SRTP_KEYS SRTP_KEYS_TRIED SRTP_ROLLOVERS_TRIED": (_RECORD,),
    "SRTP_RECORDS": (_TABLE, "media_srtp_records"),
    "DTLS_SOURCES": (_TABLE, "media_dtls_handshakes"),
    "DTLS_STRANGERS_PER_SECOND": (_TABLE, "media_dtls_strangers"),
    "DTLS_RECORDS_PER_SECOND": (_RECORD,),
    "DTLS_FINGERPRINTS DTLS_GIVE_UP_SECONDS DTLS_KEPT_SECONDS": (_RECORD,),
    "DIGITS_WAITING DIGITS_HEARD_PER_SECOND DIGIT_MILLISECONDS": (_RECORD,),
    "DIGITS_UNSAID": (_TABLE, "media_digits_unsaid"),
    "PORT_QUARANTINE_SECONDS PORT_QUARANTINE_MINIMUM_SECONDS PORT_QUARANTINE_MAXIMUM_SECONDS": (
        _FAMILY,
        "sbc_media_ports_resting",
    ),
    "ONE_WAY_SECONDS ONE_WAY_PACKETS FELL_SILENT_SECONDS PAST_STREAMS COUNTS_KEPT_SECONDS": (_RECORD,),
    "FORGED_PACKETS": (_RECORD,),
    "FOREIGN_PACKETS_PER_SECOND": (_FAMILY, "sbc_rtp_foreign_total"),
    "AUDIO_PACKETS_PER_SECOND RTCP_PACKETS_PER_SECOND VIDEO_PACKETS_PER_SECOND OTHER_PACKETS_PER_SECOND": (_RECORD,),
}


class Bound(NamedTuple):
    section: str
    name: str
    value: str
    reason: str


def page() -> str:
    tests, shown = marked(), what_shows()
    lines = [
        "# Limits",
        "",
        "Every bound of this program: how much a peer, a stranger, an operator or a disk can make it spend. What goes",
        "beyond is refused, cut or forgotten as the table says, and nobody else is the worse for it. They stand in",
        "`sbc/core/limits.py`, not keys of the policy: none needs tuning to a site. What a site may want otherwise",
        "(call paths, rates, calls a second) is [policy](policy.md). Made by `docs/generate.py`.",
        "",
        "Of a table that all peers fill (calls, transactions, exchanges, subscriptions) one peer may have",
        "`PEER_SHARE`; of publications who has most loses its oldest. Emergency calls need no share, nor do requests",
        "within a dialog and CANCEL, which have some room beyond the table. Strangers fill no table but those of",
        "[keeping out](../explanation/security.md). What waits for names that a peer has made up leaves half of the",
        "room to those of servers.",
        "",
        "The unit is the last word of a name, else it is a number of things. A test is named by its file and function.",
        "`sbc_table_used` and `sbc_table_limit` are [metrics](metrics.md) of every table; of those marked there, four",
        "fifths are an alarm, `table.filling`. Media workers tell of theirs every two seconds, and of what lasts for a",
        "moment the most of the last 16 seconds; of several workers the one is shown where a table is fullest.",
    ]
    section = ""
    for bound in bounds():
        if bound.section != section:
            section = bound.section
            lines += ["", f"## {section}", "", "| name | value | why, and what happens beyond | seen by | test |"]
            lines += ["|---|---|---|---|---|"]
        where = "<br>".join(f"`{path}` `{test}`" for path, test in tests[bound.name][:2])
        seen = shown.get(bound.name, "")
        lines.append(f"| `{bound.name}` | {bound.value} | {bound.reason} | {seen} | {where} |")
    return "\n".join([*lines, ""])


def bounds() -> list[Bound]:
    """In the order of the file. `reason` is empty where it has no comment."""
    text = LIMITS.read_text("utf-8")
    lines = text.splitlines()
    found = []
    for node in ast.parse(text).body:
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name) or node.value is None:
            continue
        reason = " ".join(line.partition("  # ")[2] for line in lines[node.lineno - 1 : node.end_lineno]).strip()
        section = next(line[2:] for line in reversed(lines[: node.lineno]) if line.startswith("# "))
        found.append(Bound(section, node.target.id, _written(node.value), reason.replace("|", "\\|")))
    return found


def _written(value: ast.expr) -> str:
    number = ast.literal_eval(value)
    numbers = number if isinstance(number, tuple) else (number,)
    return " to ".join(f"{one:,}".removesuffix(".0") for one in numbers)


def marked() -> dict[str, list[tuple[str, str]]]:
    """By bound, the tests that have its mark: file and function. KeyError for a mark of no bound."""
    known: dict[str, list[tuple[str, str]]] = {bound.name: [] for bound in bounds()}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        if "# BOUND: " not in (text := path.read_text("utf-8")):
            continue
        lines = text.splitlines()
        for at, line in enumerate(lines):
            mark = _MARK.match(line)
            if mark is None:
                continue
            test = next(found[1] for later in lines[at:] if (found := _TEST.match(later)))
            for name in mark[1].split(", "):
                known[name].append((str(path.relative_to(ROOT)), test))
    return known


def what_shows() -> dict[str, str]:
    """By bound, in words."""
    return {name: _words(said) for names, said in SHOWN.items() for name in names.split()}


def _words(said: str | tuple[str, ...]) -> str:
    if isinstance(said, str):
        return said
    kind, *names = said
    if kind == _TABLE:
        return " ".join(f'`sbc_table_used{{table="{name}"}}`' for name in names)
    if kind == _DROPPED:
        return " ".join(f'`sbc_dropped_total{{reason="{name}"}}`' for name in names)
    if kind == _SIP:
        return " ".join(f'`sbc_sip_messages_total{{status="{name}"}}`' for name in names)
    return "the call's ladder and record" if kind == _RECORD else " ".join(f"`{name}`" for name in names)


def shown(kind: str) -> set[str]:
    """The tables, or the reasons, that are named here."""
    return {name for said in SHOWN.values() if not isinstance(said, str) and said[0] == kind for name in said[1:]}


def read_in_code() -> set[str]:
    """Every name that production code has and that could be a bound's."""
    found: set[str] = set()
    for path in (ROOT / "sbc").rglob("*.py"):
        if path != LIMITS and "testing" not in path.parts:
            found |= set(_NAME.findall(path.read_text("utf-8")))
    return found
