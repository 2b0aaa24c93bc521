"""Metrics in Prometheus' text exposition format 0.0.4, drawn from one snapshot.

The names are the contract's. Only what is truly counted is shown; a metric whose feature is not built does not appear.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from sbc.admin.alarm_kinds import KINDS
from sbc.admin.peer_views import DIRECTIONS, paths_of, used_in
from sbc.admin.state import AlarmView, RuntimeView, SpoolView
from sbc.b2bua.snapshot import EngineView
from sbc.core.histogram import Counted
from sbc.core.tables import Table

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
TRANSFERS: Final = ("transferred", "failed", "refused")
STATES: Final = ("trying", "ringing", "answered", "ending")

Sample = tuple[tuple[str, ...], float]  # label values, value


def render(engine: EngineView, runtime: RuntimeView, alarms: Iterable[AlarmView] = ()) -> str:
    states = dict.fromkeys(STATES, 0)
    states |= dict(engine.states)
    return "".join(
        (
            _family("sbc_calls", "gauge", "Running calls", ("state",), _samples(states.items())),
            _family(
                "sbc_call_attempts_total",
                "counter",
                "Ended calls by where they came from and went (egress empty: nowhere) and the CDR's cause",
                ("ingress", "egress", "outcome"),
                _counted(engine.attempts),
            ),
            _family(
                "sbc_sip_messages_total",
                "counter",
                "SIP messages; status is empty for requests, and 4xx and the like for one that no RFC has",
                ("direction", "method", "status"),
                _counted(engine.messages),
            ),
            *_peer_families(engine),
            *_media_families(engine),
            _family(
                "sbc_transfers_total",
                "counter",
                "Transfers by what came of them",
                ("outcome",),
                _samples((dict.fromkeys(TRANSFERS, 0) | dict(engine.transfers)).items()),
            ),
            _family("sbc_subscriptions", "gauge", "Subscriptions across the SBC", (), [((), engine.subscriptions)]),
            *_node_families(engine, runtime),
            _family(
                "sbc_certificate_expiry_timestamp_seconds",
                "gauge",
                "When a certificate ends: of ours by its file, of one that a peer has shown as `peer NAME`",
                ("name",),
                _samples(runtime.certificates),
            ),
            _family(
                "sbc_crl_expiry_timestamp_seconds",
                "gauge",
                "When the revocation list of an authority ends",
                ("authority",),
                _samples(runtime.revocation_lists),
            ),
            _family("sbc_bans", "gauge", "Sources that are banned", (), [((), len(engine.bans))]),
            *_table_families((*engine.tables, *runtime.tables)),
            _family("sbc_alarms", "gauge", "Active alarms", ("event",), _alarms(alarms)),
            *_spool_families(runtime.spool),
            _family(
                "sbc_cdr_copy_pending",
                "gauge",
                "Call records that the other database has not yet; missing where there is none",
                (),
                [] if runtime.copy_pending is None else [((), runtime.copy_pending)],
            ),
            _family(
                "sbc_state_pending",
                "gauge",
                "Values (calls, bindings, orders) that state.db does not have yet",
                (),
                [((), runtime.state_pending)],
            ),
            _family(
                "sbc_state_behind_seconds",
                "gauge",
                "How long the oldest of them has waited for the disk",
                (),
                [((), runtime.state_behind_seconds)],
            ),
            _family(
                "sbc_engine_lag_seconds",
                "gauge",
                "How late the engine's loop last woke up",
                (),
                [((), runtime.lag_seconds)],
            ),
            *_overload_families(engine, runtime),
            _family(
                "sbc_dropped_total",
                "counter",
                "Messages dropped without an answer",
                ("reason",),
                _dropped(engine, runtime),
            ),
        )
    )


def _spool_families(spool: SpoolView) -> tuple[str, ...]:
    return (
        _family("sbc_cdr_spool_octets", "gauge", "Octets of the spool of call records", (), [((), spool.octets)]),
        _family("sbc_cdr_spool_unsafe", "gauge", "Call records that are not on the disk yet", (), [((), spool.unsafe)]),
        _family(
            "sbc_cdr_spool_pending",
            "gauge",
            "Call records of the spool that a destination has not yet, at most: cdr.db, files",
            ("destination",),
            _samples(spool.pending),
        ),
    )


def _node_families(engine: EngineView, runtime: RuntimeView) -> tuple[str, ...]:
    return (
        _family(
            "sbc_ready",
            "gauge",
            "1 while new calls are taken; 0 in a drain, and while the disk keeps them out",
            (),
            [((), engine.takes_calls)],
        ),
        _family("sbc_uptime_seconds", "gauge", "Since signalling has started", (), [((), runtime.uptime_seconds)]),
        _family("sbc_build_info", "gauge", "What runs", ("version", "name"), [((runtime.version, engine.name), 1)]),
        _family(
            "sbc_limit_minutes_today",
            "gauge",
            "Minutes of this day (UTC) that count against `minutes_per_day` of a PBX or route",
            ("limit",),
            _samples((one.name, one.minutes_today) for one in engine.limits if one.minutes_per_day is not None),
        ),
    )


def _table_families(tables: Sequence[Table]) -> tuple[str, ...]:
    return (
        _family(
            "sbc_table_used",
            "gauge",
            "How much of a table, a queue or a buffer is in use, in places or, where its name says so, in octets",
            ("table",),
            _samples((table.name, table.used) for table in tables),
        ),
        _family(
            "sbc_table_limit",
            "gauge",
            "How much of it there may be",
            ("table",),
            _samples((table.name, table.most) for table in tables),
        ),
    )


def _overload_families(engine: EngineView, runtime: RuntimeView) -> tuple[str, ...]:
    overload = engine.overload
    return (
        _family(
            "sbc_queue_age_seconds",
            "gauge",
            "How long the oldest message that was read last had waited in the kernel; a peak that fades",
            (),
            [((), runtime.queue_age_seconds)],
        ),
        _family(
            "sbc_overload_level",
            "gauge",
            "The fraction of new work that is refused now for want of time: 0 none, 1 all",
            (),
            [((), overload.level)],
        ),
        _family(
            "sbc_overload_shed_total",
            "counter",
            "Requests that were refused with 503, or dropped, for want of time; they leave no call records",
            ("peer", "method", "how"),
            _counted(overload.shed),
        ),
    )


def _media_families(engine: EngineView) -> tuple[str, ...]:
    media = engine.media
    return (
        _family("sbc_media_ports_used", "gauge", "Media port pairs lent to calls", (), [((), engine.ports)]),
        _family(
            "sbc_media_ports_resting",
            "gauge",
            "Media port pairs that wait until their former peer is silent",
            (),
            [((), engine.ports_resting)],
        ),
        _family(
            "sbc_rtp_packets_total",
            "counter",
            "RTP packets that were relayed, by the interface that they came in on",
            ("interface",),
            _samples(media.packets),
        ),
        _family("sbc_rtp_lost_total", "counter", "RTP packets that never came (RFC 3550 A.3)", (), [((), media.lost)]),
        _family(
            "sbc_rtp_foreign_total",
            "counter",
            "Packets at ports of calls that came from a source that may not send there, and were dropped",
            (),
            [((), media.foreign)],
        ),
        _family(
            "sbc_media_streams",
            "gauge",
            "Streams of running calls, each way counted, by who relays them",
            ("engine",),
            _samples(media.streams),
        ),
        _histogram("sbc_mos", "Mean opinion score of what came from each side, at the end of a call", media.mos),
        _histogram(
            "sbc_rtp_jitter_seconds",
            "Interarrival jitter of what came from each side (RFC 3550 6.4.1), at the end of a call",
            media.jitter_seconds,
        ),
        _histogram(
            "sbc_rtp_round_trip_seconds",
            "Round trip to each side by its RTCP, where it told, at the end of a call",
            media.round_trip_seconds,
        ),
        _histogram("sbc_call_setup_seconds", "From the INVITE to the answer", media.setup_seconds),
    )


def _peer_families(engine: EngineView) -> tuple[str, ...]:
    paths = [path for path in paths_of(engine) if path.kind == "trunk"]
    trunks = [peer for peer in engine.peers if peer.kind == "trunk"]
    return (
        _family(
            "sbc_call_paths_used",
            "gauge",
            "Call paths that are held, emergencies included",
            ("trunk", "direction"),
            [((path.trunk, direction), used_in(path, direction)) for path in paths for direction in DIRECTIONS],
        ),
        _family(
            "sbc_call_paths_limit",
            "gauge",
            "Call paths of a trunk, or of the pool that it shares; absent where unlimited",
            ("trunk",),
            [((path.trunk,), path.limit) for path in paths if path.limit is not None],
        ),
        _family(
            "sbc_call_paths_peak_today",
            "gauge",
            "Most call paths that were held at once on this day (UTC)",
            ("trunk",),
            _samples((path.trunk, path.peak_today) for path in paths),
        ),
        _family(
            "sbc_call_paths_leaked",
            "counter",
            "Call paths that outlived their call: must be 0",
            (),
            [((), engine.paths_leaked)],
        ),
        _family(
            "sbc_trunk_up",
            "gauge",
            "1 while new calls may use the trunk; 0 while it is down, excluded or busied out",
            ("trunk",),
            _samples((trunk.name, trunk.state == "up") for trunk in trunks),
        ),
        _family(
            "sbc_registration_state",
            "gauge",
            "1 while a trunk that registers is registered, else 0",
            ("trunk",),
            _samples((one.name, one.registration.state == "registered") for one in trunks if one.registration),
        ),
        _family(
            "sbc_server_up",
            "gauge",
            "1 while a server's address may be used, known to be up or not known yet; 0 while down or suspended",
            ("peer", "address"),
            _servers(engine),
        ),
        _family(
            "sbc_emergency_calls_total", "counter", "Emergency calls since the start", (), [((), engine.emergencies)]
        ),
    )


def _servers(engine: EngineView) -> list[Sample]:
    """An address that stands behind two servers of a peer is one sample: twice the same labels would be an error."""
    usable: dict[tuple[str, ...], float] = {}
    for peer in engine.peers:
        for server in peer.servers:
            usable[peer.name, server.address] = server.state in {"up", "unknown"}
    return list(usable.items())


def _alarms(alarms: Iterable[AlarmView]) -> list[Sample]:
    active = dict.fromkeys(KINDS, 0)
    for alarm in alarms:
        active[alarm.event] = active.get(alarm.event, 0) + alarm.is_active
    return _samples(active.items())


def _dropped(engine: EngineView, runtime: RuntimeView) -> list[Sample]:
    total: dict[str, int] = {}
    for reason, count in (*engine.dropped, *runtime.dropped):
        total[reason] = total.get(reason, 0) + count
    return _samples(total.items())


def _samples(pairs: Iterable[tuple[str, float]]) -> list[Sample]:
    return [((label,), value) for label, value in pairs]


def _counted(rows: Iterable[tuple[str, str, str, int]]) -> list[Sample]:
    return [(row[:3], row[3]) for row in rows]


def _family(name: str, kind: str, text: str, labels: tuple[str, ...], samples: list[Sample]) -> str:
    lines = [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
    for values, value in samples:
        pairs = ",".join(f'{label}="{_escaped(text)}"' for label, text in zip(labels, values, strict=True))
        number = int(value) if isinstance(value, bool) else value
        lines.append(f"{name}{{{pairs}}} {number}" if pairs else f"{name} {number}")
    return "\n".join(lines) + "\n"


def _histogram(name: str, text: str, counted: Counted) -> str:
    lines = [f"# HELP {name} {text}", f"# TYPE {name} histogram"]
    lines += [f'{name}_bucket{{le="{bound}"}} {count}' for bound, count in counted.buckets]
    lines += [f'{name}_bucket{{le="+Inf"}} {counted.count}']
    lines += [f"{name}_sum {counted.total}", f"{name}_count {counted.count}"]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return escaped.encode("utf-8", "backslashreplace").decode()
