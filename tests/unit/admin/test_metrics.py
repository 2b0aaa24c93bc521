"""Metrics as text: names of the contract, one HELP and TYPE each, values escaped."""

from msgspec import structs

from sbc.admin.metrics import render
from sbc.admin.state import RuntimeView, SpoolView
from sbc.b2bua.overload import OverloadView
from sbc.b2bua.snapshot import EngineView
from sbc.core.tables import Table
from sbc.peering.views import LimitView, PeerView, ServerView

from . import state

ENGINE = EngineView(
    "hq",
    ready=True,
    states=(("answered", 2),),
    ports=4,
    ports_resting=6,
    media=state.HEARD,
    attempts=(("office", "carrier-a", "normal", 7), ("office", "", "no_route", 1)),
    messages=(("received", "INVITE", "", 8), ("sent", "INVITE", "100", 8)),
    dropped=(("stranger", 3), ("outbox", 1)),
    transfers=(("transferred", 2), ("refused", 1)),
    subscriptions=12,
    limits=(LimitView("pbx office", 1, None, 12.5, 6000, None), LimitView("route all", 1, 40, 0.0, None, None)),
    overload=OverloadView(level=0.25, shed=(("office", "INVITE", "refused", 4), ("office", "MESSAGE", "dropped", 2))),
)


def samples(text):
    shown = [line.rpartition(" ") for line in text.splitlines() if not line.startswith(("#", "sbc_alarms{"))]
    return {name: float(value) for name, _, value in shown}


def test_every_metric_shows_what_was_counted():
    runtime = RuntimeView(
        lag_seconds=0.25,
        queue_age_seconds=0.125,
        dropped=(("outbox", 2),),
        version="1.2",
        uptime_seconds=60.5,
        spool=SpoolView(4096, 2, (("cdr.db", 7),)),
        state_pending=12,
        state_behind_seconds=1.5,
    )
    assert samples(render(ENGINE, runtime)) == {
        'sbc_calls{state="trying"}': 0,
        'sbc_calls{state="ringing"}': 0,
        'sbc_calls{state="answered"}': 2,
        'sbc_calls{state="ending"}': 0,
        'sbc_call_attempts_total{ingress="office",egress="carrier-a",outcome="normal"}': 7,
        'sbc_call_attempts_total{ingress="office",egress="",outcome="no_route"}': 1,
        'sbc_sip_messages_total{direction="received",method="INVITE",status=""}': 8,
        'sbc_sip_messages_total{direction="sent",method="INVITE",status="100"}': 8,
        "sbc_call_paths_leaked": 0,
        "sbc_emergency_calls_total": 0,
        'sbc_transfers_total{outcome="transferred"}': 2,
        'sbc_transfers_total{outcome="failed"}': 0,
        'sbc_transfers_total{outcome="refused"}': 1,
        "sbc_subscriptions": 12,
        "sbc_bans": 0,
        "sbc_ready": 1,
        "sbc_uptime_seconds": 60.5,
        'sbc_build_info{version="1.2",name="hq"}': 1,
        'sbc_limit_minutes_today{limit="pbx office"}': 12.5,
        "sbc_media_ports_used": 4,
        "sbc_media_ports_resting": 6,
        'sbc_rtp_packets_total{interface="inside"}': 70,
        'sbc_rtp_packets_total{interface="outside"}': 80,
        "sbc_rtp_lost_total": 3,
        "sbc_rtp_foreign_total": 9,
        'sbc_media_streams{engine="userland"}': 1,
        'sbc_media_streams{engine="kernel"}': 5,
        'sbc_mos_bucket{le="4.0"}': 1,
        'sbc_mos_bucket{le="4.5"}': 3,
        'sbc_mos_bucket{le="+Inf"}': 3,
        "sbc_mos_sum": 12.5,
        "sbc_mos_count": 3,
        'sbc_rtp_jitter_seconds_bucket{le="0.01"}': 2,
        'sbc_rtp_jitter_seconds_bucket{le="+Inf"}': 3,
        "sbc_rtp_jitter_seconds_sum": 0.125,
        "sbc_rtp_jitter_seconds_count": 3,
        'sbc_rtp_round_trip_seconds_bucket{le="0.1"}': 1,
        'sbc_rtp_round_trip_seconds_bucket{le="+Inf"}': 1,
        "sbc_rtp_round_trip_seconds_sum": 0.0625,
        "sbc_rtp_round_trip_seconds_count": 1,
        'sbc_call_setup_seconds_bucket{le="1.0"}': 2,
        'sbc_call_setup_seconds_bucket{le="+Inf"}': 3,
        "sbc_call_setup_seconds_sum": 9.25,
        "sbc_call_setup_seconds_count": 3,
        "sbc_state_pending": 12,
        "sbc_cdr_spool_octets": 4096,
        "sbc_cdr_spool_unsafe": 2,
        'sbc_cdr_spool_pending{destination="cdr.db"}': 7,
        "sbc_state_behind_seconds": 1.5,
        "sbc_engine_lag_seconds": 0.25,
        "sbc_queue_age_seconds": 0.125,
        "sbc_overload_level": 0.25,
        'sbc_overload_shed_total{peer="office",method="INVITE",how="refused"}': 4,
        'sbc_overload_shed_total{peer="office",method="MESSAGE",how="dropped"}': 2,
        'sbc_dropped_total{reason="stranger"}': 3,
        'sbc_dropped_total{reason="outbox"}': 3,
    }


def test_every_metric_is_announced_once_with_its_type():
    lines = render(ENGINE, RuntimeView()).splitlines()

    announced = [line.split()[2:4] for line in lines if line.startswith("# TYPE")]
    assert announced == [
        ["sbc_calls", "gauge"],
        ["sbc_call_attempts_total", "counter"],
        ["sbc_sip_messages_total", "counter"],
        ["sbc_call_paths_used", "gauge"],
        ["sbc_call_paths_limit", "gauge"],
        ["sbc_call_paths_peak_today", "gauge"],
        ["sbc_call_paths_leaked", "counter"],
        ["sbc_trunk_up", "gauge"],
        ["sbc_registration_state", "gauge"],
        ["sbc_server_up", "gauge"],
        ["sbc_emergency_calls_total", "counter"],
        ["sbc_media_ports_used", "gauge"],
        ["sbc_media_ports_resting", "gauge"],
        ["sbc_rtp_packets_total", "counter"],
        ["sbc_rtp_lost_total", "counter"],
        ["sbc_rtp_foreign_total", "counter"],
        ["sbc_media_streams", "gauge"],
        ["sbc_mos", "histogram"],
        ["sbc_rtp_jitter_seconds", "histogram"],
        ["sbc_rtp_round_trip_seconds", "histogram"],
        ["sbc_call_setup_seconds", "histogram"],
        ["sbc_transfers_total", "counter"],
        ["sbc_subscriptions", "gauge"],
        ["sbc_ready", "gauge"],
        ["sbc_uptime_seconds", "gauge"],
        ["sbc_build_info", "gauge"],
        ["sbc_limit_minutes_today", "gauge"],
        ["sbc_certificate_expiry_timestamp_seconds", "gauge"],
        ["sbc_crl_expiry_timestamp_seconds", "gauge"],
        ["sbc_bans", "gauge"],
        ["sbc_table_used", "gauge"],
        ["sbc_table_limit", "gauge"],
        ["sbc_alarms", "gauge"],
        ["sbc_cdr_spool_octets", "gauge"],
        ["sbc_cdr_spool_unsafe", "gauge"],
        ["sbc_cdr_spool_pending", "gauge"],
        ["sbc_cdr_copy_pending", "gauge"],
        ["sbc_state_pending", "gauge"],
        ["sbc_state_behind_seconds", "gauge"],
        ["sbc_engine_lag_seconds", "gauge"],
        ["sbc_queue_age_seconds", "gauge"],
        ["sbc_overload_level", "gauge"],
        ["sbc_overload_shed_total", "counter"],
        ["sbc_dropped_total", "counter"],
    ]
    assert sum(line.startswith("# HELP") for line in lines) == len(announced)


def test_trunks_paths_registrations_and_servers_are_measured():
    shown = samples(render(state.ENGINE, RuntimeView()))

    assert {name: value for name, value in shown.items() if "trunk=" in name or "peer=" in name} == {
        'sbc_call_paths_used{trunk="carrier-a",direction="inbound"}': 0,
        'sbc_call_paths_used{trunk="carrier-a",direction="outbound"}': 1,
        'sbc_call_paths_used{trunk="carrier-b",direction="inbound"}': 0,
        'sbc_call_paths_used{trunk="carrier-b",direction="outbound"}': 0,
        'sbc_call_paths_limit{trunk="carrier-a"}': 24,
        'sbc_call_paths_peak_today{trunk="carrier-a"}': 7,
        'sbc_call_paths_peak_today{trunk="carrier-b"}': 0,
        'sbc_trunk_up{trunk="carrier-a"}': 1,
        'sbc_trunk_up{trunk="carrier-b"}': 0,
        'sbc_registration_state{trunk="carrier-a"}': 1,
        'sbc_server_up{peer="carrier-a",address="udp:192.0.2.1:5060"}': 1,
        'sbc_server_up{peer="carrier-a",address="udp:192.0.2.2:5060"}': 0,
        'sbc_server_up{peer="office",address="udp:192.0.2.9:5060"}': 1,
    }
    assert shown["sbc_emergency_calls_total"] == 2


def test_an_address_behind_two_servers_is_one_sample():
    server = ServerView("sip:one", "udp:192.0.2.1:5060", "up", 0.0, "")
    twice = PeerView("t", "trunk", "up", 0.0, "", (server, structs.replace(server, server="sip:two")))

    text = render(EngineView("hq", ready=True, peers=(twice,)), RuntimeView())

    assert text.count("sbc_server_up{") == 1


def test_label_values_cannot_break_out_of_their_quotes():
    hostile = EngineView("hq", ready=True, dropped=(('a"} 1\nsbc_calls{x="\\', 1),))

    text = render(hostile, RuntimeView())

    assert 'sbc_dropped_total{reason="a\\"} 1\\nsbc_calls{x=\\"\\\\"} 1\n' in text


def test_the_text_ends_with_a_newline():
    assert render(ENGINE, RuntimeView()).endswith("\n")


def test_tables_of_the_engine_and_of_the_runtime_are_shown_alike():
    engine = structs.replace(ENGINE, tables=(Table("calls", 3, 50_000),))
    lines = render(engine, RuntimeView(tables=(Table("log_lines", 0, 10_000),))).splitlines()
    assert [line for line in lines if line.startswith("sbc_table_")] == [
        'sbc_table_used{table="calls"} 3',
        'sbc_table_used{table="log_lines"} 0',
        'sbc_table_limit{table="calls"} 50000',
        'sbc_table_limit{table="log_lines"} 10000',
    ]
