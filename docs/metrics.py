"""Makes `reference/metrics.md` from the code: the families of `sbc.admin.metrics`, and every reason of a drop.

Families are read from the calls that write them, so that one without a sample is listed too. Run by `generate.py`.
"""

import ast
import re
from pathlib import Path

SBC = Path(__file__).resolve().parent.parent / "sbc"

# `reason` of sbc_dropped_total, in words. A test holds that the code knows these and no others.
REASONS = {
    "ack_unlocated": "an ACK whose next hop the DNS does not know",
    "admin_clients": "connections to the API beyond the number that is served at once",
    "admin_slow_client": "clients of the API that did not read what they had asked for",
    "admin_wrong_token": "requests to the API with a wrong token, or none",
    "alerts_not_posted": "posts to the webhook that were given up",
    "banned": "messages of banned sources",
    "bad_frame": "TCP connections whose stream could not be read; each was closed",
    "calls_full": "INVITEs refused with 503: there are as many calls as there may be, all or of one peer",
    "dns_failed": "questions that no name server answered",
    "exchanges_full": "requests beside calls refused with 503: too many wait for their answer, all or of one peer",
    "engine_failure": "events that a bug kept from being served",
    "hep": "copies of messages for the capture server that could not be sent",
    "hostile_target": "requests whose Contact, or whose next hop, is loopback, multicast, broadcast or our own address",
    "icmp_unreachable": "ICMP errors that came back for what we had sent by UDP",
    "log_queue_full": "log lines that nobody read in time",
    "peer_over_rate": "requests beyond a peer's `rate`, refused with 503",
    "names_full": "requests of ours that found too many others waiting for the DNS",
    "records_full": "INVITEs refused with 503 because too many records wait for the disk, or any with `cdr: strict`",
    "scanner": "messages of strangers with the signature of a scanner",
    "stranger_over_rate": "messages of a stranger that sent too many in this second",
    "strangers_over_rate": "messages of strangers when all of them together sent too many in this second",
    "subscriptions_full": "SUBSCRIBEs refused with 503: there are too many subscriptions, all or of one peer",
    "tcp_connections_full": "TCP connections beyond what a listener may have",
    "tcp_no_socket": "TCP connections that could not be taken for want of a descriptor",
    "tcp_outbox_full": "TCP connections closed because the peer did not read",
    "tcp_unread": "TCP and TLS connections closed because the peer took nothing of what waited for it",
    "tcp_timed_out": "TCP connections closed because a message was not complete in time",
    "tcp_unknown_source": "TCP connections from addresses that are no peer's",
    "tls_cut_off": "TLS connections whose stream ended and nobody had said that it would (no close_notify)",
    "tls_small_records": "TLS connections closed because of many records that hold next to nothing",
    "tls_handshake_failed": "TLS connections to us whose handshake was refused, broken off or too slow",
    "tls_handshakes_full": "TLS connections closed because too many handshakes were under way",
    "transactions_full": "requests refused with 503: too many are remembered, all or of one peer",
    "udp_backlog_full": "datagrams that the kernel did not take in time",
    "udp_queue_full": "datagrams that came faster than they were read, and that the kernel's buffer had no room for",
    "udp_send_failed": "datagrams that could not be sent; the call was told",
    "udp_send_lost": "datagrams that the machine had no room for; SIP sends again",
    "unauthenticated": "requests met with silence, as the policy has it for those without an account",
    "unknown_source": "SIP messages from addresses that are no peer's",
    "would_amplify": "challenges to strangers that would have been longer than the request",
    "unreadable": "SIP messages that could not be read; a request was answered with 400",
}
_LABELS_OF_HISTOGRAM = ("le",)
_REASON = re.compile(r'\b_?(?:drops|dropped)\["([a-z_]+)"\]')


def page() -> str:
    rows = [
        f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {text.replace('|', ' ')} |"
        for name, kind, labels, text in families()
    ]
    return "\n".join([
        "# Metrics",
        "",
        "`GET /metrics` shows these in Prometheus' text format; [monitoring](../howto/monitoring.md) says what to do",
        "with them. Made from the code by `docs/generate.py`.",
        "",
        "A metric is there from the start, at 0, where its labels are known; a counter with other labels when the",
        "first of them was counted. Counters begin anew when signalling starts. A histogram has `_bucket`, `_sum` and",
        "`_count`.",
        "",
        "| metric | type | labels | what |",
        "|---|---|---|---|",
        *rows,
        "",
        "`outcome` of `sbc_call_attempts_total` is a [cause](causes.md). `limit` is `pbx NAME` or `route NAME`.",
        "`event` of `sbc_alarms` is that of the [log line](log.md).",
        "",
        "## Reasons of `sbc_dropped_total`",
        "",
        "| reason | what was dropped |",
        "|---|---|",
        *(f"| `{reason}` | {words} |" for reason, words in sorted(REASONS.items())),
        "",
    ])  # fmt: skip


def families() -> list[tuple[str, str, tuple[str, ...], str]]:
    """Name, type, labels and help of every family, in the order of the module."""
    found = []
    for node in ast.walk(ast.parse((SBC / "admin" / "metrics.py").read_text("utf-8"))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        if node.func.id == "_family" and isinstance(node.args[0], ast.Constant):
            name, kind, text, labels = (ast.literal_eval(argument) for argument in node.args[:4])
            found.append((node.lineno, (name, kind, labels, text)))
        elif node.func.id == "_histogram" and isinstance(node.args[0], ast.Constant):
            name, text = (ast.literal_eval(argument) for argument in node.args[:2])
            found.append((node.lineno, (name, "histogram", _LABELS_OF_HISTOGRAM, text)))
    return [family for _, family in sorted(found)]


def reasons_in_code() -> set[str]:
    production = [path for path in SBC.rglob("*.py") if not {"testing", "worker"} & set(path.parts)]
    return {reason for path in production for reason in _REASON.findall(path.read_text("utf-8"))}
