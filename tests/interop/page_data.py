"""Canned answers of the API for tests of the page: a small company on a bad day, with a hostile caller among others."""

from datetime import UTC, datetime, timedelta
from typing import Any

HOSTILE = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>\u202etxt.exe\u200b'
REF = "c-0001"
_NOW = datetime.now(UTC)


def ago(seconds: float) -> str:
    return (_NOW - timedelta(seconds=seconds)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def problem(status: int, detail: str, **more: Any) -> dict[str, Any]:
    titles = {401: "Unauthorized", 404: "Not Found", 409: "Conflict", 503: "Service Unavailable"}
    return {"type": "about:blank", "title": titles[status], "status": status, "detail": detail} | more


def state() -> dict[str, Any]:
    return {
        "status": {
            "name": "border-1", "ready": True, "draining": False, "version": "0.1.0", "started_at": ago(93_784),
            "uptime_seconds": 93_784.0, "calls": 24, "transactions": 9, "dialogs": 48, "ports": 48, "tasks": 0,
            "rates": {"calls_per_second": 1.4, "answered_per_second": 0.9},
            "pids": {"supervisor": 811, "signalling": 812},
            "media": [
                {"worker": 0, "pid": 813, "engine": "kernel", "reason": "", "devices": ["eth0"], "sessions": 14},
                {"worker": 1, "pid": 814, "engine": "userland", "reason": "no permission to load programs (CAP_BPF)",
                 "devices": [], "sessions": 10},
            ],
        },
        "trunks": [
            trunk("carrier-a", "up", used=19, limit=30, inbound=8, peak=27),
            trunk("carrier-b", "down", used=0, limit=30, inbound=0, peak=12,
                  why="no answer to 3 OPTIONS in a row from any server"),
            trunk("carrier-c", "up", used=5, limit=5, inbound=1, peak=5),
            trunk("emergency", "busyout", used=0, limit=None, inbound=0, peak=1, why="by an operator"),
        ],
        "pbxs": [
            peer("office", "up") | {"bindings": [{"aor": "sip:+14155550100@office",
             "contact": "sip:100@192.0.2.10:5060",
             "address": "udp:192.0.2.10:5060", "expires_at": ago(-1800)}]},
            peer("branch", "drill", "drill: it is treated as down") | {"bindings": []},
        ],
        "paths": [],
        "limits": [
            {"name": "pbx office", "call_paths_used": 19, "call_paths": 20, "minutes_today": 812.4,
             "minutes_per_day": 2000, "cps": 5},
            {"name": "route international", "call_paths_used": 2, "call_paths": 2, "minutes_today": 12.0,
             "minutes_per_day": None, "cps": None},
        ],
        "alarms": [
            alarm("peer.down", "carrier-b", "carrier-b is down: no answer to 3 OPTIONS in a row", 1260, count=1),
            alarm("media.one_way", "c-0003", f"one-way audio: nothing heard from carrier-a, caller {HOSTILE}", 40,
                  count=3),
            alarm("registration.failing", "carrier-c", "carrier-c does not answer to REGISTER", 2400, ended=1900),
        ],
    }  # fmt: skip


def peer(name: str, state: str, why: str = "") -> dict[str, Any]:
    server = {"server": f"sip:{name}.example:5060", "address": "udp:198.51.100.7:5060", "since": ago(1260)}
    is_down = state == "down"
    return {
        "name": name, "state": state, "since": ago(1260), "why": why,
        "servers": [
            server | {"state": "down" if is_down else "up", "why": "no answer" if is_down else ""},
            server | {"address": "udp:198.51.100.8:5060", "state": "down" if is_down else "suspended",
                      "why": "no answer" if is_down else "it answers 503, Retry-After 30"},
        ],
    }  # fmt: skip


def trunk(
    name: str, state: str, *, used: int, limit: int | None, inbound: int, peak: int, why: str = ""
) -> dict[str, Any]:
    registration = {
        "state": "registered", "aor": "sip:trunk@carrier.example", "since": ago(5000), "why": "",
        "expires_at": ago(-2400), "next_at": ago(-1100), "registrar": "udp:198.51.100.7:5060",
    }  # fmt: skip
    paths = {"used": used, "limit": limit, "inbound": inbound, "outbound": used - inbound, "pool": None}
    return peer(name, state, why) | {
        "registration": registration if name == "carrier-c" else None,
        "call_paths": paths | {"peak_today": peak},
    }


def alarm(
    event: str, subject: str, text: str, since: float, *, count: int = 1, ended: float | None = None
) -> dict[str, Any]:
    return {
        "event": event, "subject": subject, "text": text, "since": ago(since), "last": ago(min(since, 20)),
        "count": count, "active": ended is None, "ended_at": None if ended is None else ago(ended),
        "fields": {"peer": subject, "why": "no answer"},
    }  # fmt: skip


def calls(count: int = 24) -> list[dict[str, Any]]:
    return [call(n) for n in range(1, count + 1)]


def call(n: int, **more: Any) -> dict[str, Any]:
    state = ("answered", "answered", "answered", "ringing", "answered", "trying")[n % 6]
    is_up = state == "answered"
    quality: dict[str, Any] = {
        "ingress": [stream(1500 + n, 4.4)] if is_up else [],
        "egress": [stream(1490 + n, 4.3 if n % 7 else 3.1)] if is_up else [],
    }
    if n == 3:
        quality["one_way"] = "egress"
        state, quality["ingress"], quality["egress"] = "answered", [stream(900, 4.4)], [stream(0, None)]
    return {
        "ref": f"c-{n:04}", "state": state, "ingress": "office", "route": "outbound",
        "egress": None if state == "trying" else "carrier-a",
        "caller": HOSTILE if n == 3 else f"+1415555{n:04}", "called": f"+1212555{n:04}", "joined": [],
        "started_at": ago(40.0 * n + 8), "answered_at": ago(40.0 * n) if state == "answered" else None,
        "media": {}, "quality": quality, "emergency": False,
    } | more  # fmt: skip


def stream(packets: int, mos: float | None) -> dict[str, Any]:
    return {
        "codec": "PCMA", "packets": packets, "lost": 0 if mos is None or mos > 4 else packets // 12, "mos": mos,
        "jitter_ms": 1.2, "jitter_max_ms": 6.8, "round_trip_ms": 31.5, "source": "192.0.2.10:4000" if packets else "",
        "foreign_source": "", "engine": "kernel" if packets else "userland", "why": "", "silent_seconds": 0,
    }  # fmt: skip


def answers() -> dict[str, tuple[int, Any]]:
    """Those that change nothing, and those of actions."""
    now = state()
    ok: dict[str, Any] = {
        "GET calls/c-0001/trace": trace(),
        "GET calls/c-0001/ladder": "0.000  office -- INVITE --> sbc\n",
        "GET calls/c-0001/pcap": b"\xd4\xc3\xb2\xa1",
        "GET peers/carrier-a/trace": beside_calls(),
        "GET peers/carrier-a/ladder": "01-31 09:00:00.000  |<-- REGISTER --|\n",
        "GET peers/carrier-a/pcap": b"\xd4\xc3\xb2\xa1",
        "GET history": history(),
        "GET report": report(),
        "POST peers/carrier-a/ping": {"peer": "carrier-a", "results": [
            {"server": "sip:carrier-a.example:5060", "address": "udp:198.51.100.7:5060", "status": 200,
             "milliseconds": 12.4, "why": ""},
            {"server": "sip:carrier-a.example:5060", "address": "udp:198.51.100.8:5060", "status": None,
             "milliseconds": None, "why": "no answer yet"}]},
        "POST trunks/carrier-a/busyout": now["trunks"][0] | {"state": "busyout", "why": "by an operator"},
        "DELETE trunks/emergency/busyout": now["trunks"][3] | {"state": "up", "why": ""},
        "POST drill/office": now["pbxs"][0] | {"state": "drill", "why": "drill: it is treated as down"},
        "DELETE drill/branch": now["pbxs"][1] | {"state": "up", "why": ""},
        "POST drain": {"draining": True, "calls": 24, "ends_at": ago(-600)},
        "DELETE drain": {"draining": False, "calls": 24, "ends_at": None},
        "DELETE calls/c-0001": call(1, state="ending"),
    }  # fmt: skip
    refused = problem(409, "the policy has 2 problems; the one in force stays", problems=[
        "policy/10-trunks.yaml:14: trunks.carrier-a.servers: expected a list of SIP URIs, found `carrier`",
        "policy/20-routes.yaml:3: routes[0].via: no trunk is called `carier-b`; did you mean `carrier-b`?",
    ])  # fmt: skip
    return {asked: (200, said) for asked, said in ok.items()} | {"POST reload": (409, refused)}


def trace() -> dict[str, Any]:
    """A call that fails at one carrier, and is answered by the other."""
    rows: list[tuple[float, str, bool, str]] = [
        (0.000, "ingress", False, "INVITE sdp"), (0.002, "ingress", True, "100 Trying (INVITE)"),
        (0.004, "egress", True, "INVITE sdp"), (0.021, "egress", False, "503 Service Unavailable (INVITE)"),
        (0.022, "egress", True, "ACK"), (0.023, "egress-2", True, "INVITE sdp"),
        (0.055, "egress-2", False, "180 Ringing (INVITE)"), (0.056, "ingress", True, "180 Ringing (INVITE)"),
        (4.310, "egress-2", False, "200 OK (INVITE) sdp"), (4.311, "ingress", True, "200 OK (INVITE) sdp"),
        (4.340, "ingress", False, "ACK"), (4.341, "egress-2", True, "ACK"),
    ]  # fmt: skip
    entries = [_message(*row) for row in rows]
    notes = [
        (1, 0.001, ["route outbound: office to +12125550001, a national number", "via carrier-b, then carrier-a"]),
        (6, 0.022, ["carrier-b answered 503: carrier-a is next"]),
        (14, 4.345, ["media: PCMA both ways, relayed by the kernel"]),
    ]
    for at, time, lines in notes:
        entries.insert(at, _message(time, "", False, "") | {"message": None, "label": "", "note": lines})
    peers = {"ingress": "office", "egress": "carrier-b", "egress-2": "carrier-a"}
    return {"ref": REF, "running": True, "peers": peers, "entries": entries}


def beside_calls() -> dict[str, Any]:
    """A trunk that does not register."""
    rows = [(0.0, "peer", True, "REGISTER"), (0.1, "peer", False, "401 Unauthorized (REGISTER)")]
    entries = [_message(*row) for row in rows]
    note = {"message": None, "label": "", "note": [f"registration.rejected: 401 {HOSTILE}"]}
    return {
        "peer": "carrier-a", "peers": {"peer": "carrier-a"}, "entries": [*entries, _message(0.1, "", False, "") | note],
    }  # fmt: skip


def _message(at: float, leg: str, sent: bool, label: str) -> dict[str, Any]:
    start = (
        f"SIP/2.0 {label.partition(' (')[0]}"
        if label[:1].isdigit()
        else f"{label.partition(' ')[0]} sip:+12125550001@a SIP/2.0"
    )
    text = (
        f"{start}\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK{leg}\r\n"
        f'From: "{HOSTILE}" <sip:+14155550001@192.0.2.1>;tag=1\r\nTo: <sip:+12125550001@192.0.2.1>\r\n'
        f"Call-ID: {leg}-1\r\nCSeq: 1 INVITE\r\nProxy-Authorization: (masked)\r\nContent-Length: 0\r\n\r\n"
    )
    return {
        "at": at, "time": ago(40 - at), "leg": leg, "sent": sent, "label": label, "message": text, "note": None,
        "local": "192.0.2.1:5060", "remote": "192.0.2.10:5060", "transport": "udp",
    }  # fmt: skip


def history() -> dict[str, Any]:
    samples = [
        {"at": ago(60.0 * (60 - n)), "calls": 14 + (n * 7) % 11, "attempts": 60 + (n * 13) % 30,
         "answered": 40 + n % 20, "mos": None if n % 9 == 0 else 4.2 - (n % 5) / 10,
         "lost_percent": (n % 6) / 10, "jitter_ms": 1 + (n % 4) / 3,
         "paths": {"carrier-a": 10 + (n * 5) % 17, "carrier-b": n % 6}}
        for n in range(60)
    ]  # fmt: skip
    return {"step_seconds": 60, "samples": samples}


def report() -> dict[str, Any]:
    trunks = ("carrier-a", "carrier-b")
    rows = [
        _row(f"2025-01-{day}", trunk, direction)
        for day in (30, 31)
        for trunk in trunks
        for direction in ("inbound", "outbound")
    ]
    totals = [_row(None, trunk, direction) for trunk in trunks for direction in ("inbound", "outbound", "both")]
    return {
        "timezone": "Europe/Zurich", "since": "2025-01-29T23:00:00.000Z", "until": "2025-01-31T23:00:00.000Z",
        "rows": rows, "totals": totals,
    }  # fmt: skip


def _row(day: str | None, trunk: str, direction: str) -> dict[str, Any]:
    calls = 1600 if direction == "both" else 800
    at = f"{day or '2025-01-31'}T10:12:44.000Z"
    return {
        "day": day, "trunk": trunk, "direction": direction, "calls": calls, "answered": calls - 170,
        "asr_percent": 78.8, "minutes": 1931.2, "minutes_started": 2204, "acd_seconds": 181.0, "peak_paths": 27,
        "peak_at": at, "busy_hour": at[:14] + "00:00.000Z", "busy_hour_paths": 21, "trunk_peak_paths": 29,
        "trunk_peak_at": at, "emergency": 0, "disaster": 0,
    }  # fmt: skip


def cdr(n: int) -> dict[str, Any]:
    cause = ("normal", "normal", "busy", "normal", "unreachable", "normal", "cancelled")[n % 7]
    is_up = cause == "normal"
    times = {"started_at": ago(100.0 * n + 60), "ended_at": ago(100.0 * n), "ringing_at": ago(100.0 * n + 58)}
    attempt = {
        "peer": "carrier-a", "server": "sip:carrier-a.example:5060", "called_as_sent": f"+1212555{n:04}",
        "started_at": times["started_at"], "ended_at": times["ended_at"], "sip_status": 200 if is_up else 503,
        "cause": cause, "call_id": f"e-{n}",
    }  # fmt: skip
    return times | {
        "ref": f"r-{n:04}", "ingress": "office", "egress": "carrier-a", "route": "outbound",
        "caller": HOSTILE if n == 2 else f"+1415555{n:04}", "called": f"+1212555{n:04}",
        "called_as_sent": f"+1212555{n:04}", "answered_at": ago(100.0 * n + 52) if is_up else None,
        "billable_ms": 52_000 if is_up else 0, "sip_status": 200 if is_up else 486, "q850": 16, "ended_by": "caller",
        "cause": cause, "emergency": 0, "disaster": 0, "joined_to": None, "ingress_call_id": f"i-{n}",
        "egress_call_id": f"e-{n}", "attempts": [attempt],
        "media": {"ingress": [_recorded(4.4)], "egress": [_recorded(4.2)]} if is_up else {"ingress": [], "egress": []},
    }  # fmt: skip


def _recorded(mos: float) -> dict[str, Any]:
    keys = ("codec", "packets", "lost", "jitter_ms", "jitter_max_ms", "mos", "round_trip_ms")
    return {key: value for key, value in stream(2600, mos).items() if key in keys}


CDRS = [cdr(n) for n in range(130, 0, -1)]  # oldest first


def page_of_cdrs(query: dict[str, str]) -> dict[str, Any]:
    number, cause = query.get("number", ""), query.get("cause", "")
    found = [one for one in CDRS if number in one["caller"] + one["called"] and cause in ("", one["cause"])]
    found = [
        one for one in found if one["ended_at"] < query.get("until", "9") and one["ref"] == query.get("ref", one["ref"])
    ]
    if "last" in query:
        return {"cdrs": found[-int(query["last"]) :], "next": None}
    begin, limit = int(query.get("next", 0)), int(query.get("limit", 100))
    return {"cdrs": found[begin : begin + limit], "next": str(begin + limit) if begin + limit < len(found) else None}
