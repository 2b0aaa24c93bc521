"""Metrics as text: names of the contract, one HELP and TYPE each, values escaped."""

from sbc.admin.metrics import render
from sbc.admin.state import RuntimeView
from sbc.b2bua.snapshot import EngineView

from .state import CALL

ENGINE = EngineView(
    "hq",
    ready=True,
    calls=(CALL, CALL),
    ports=4,
    attempts=(("office", "carrier-a", "normal", 7), ("office", "", "no_route", 1)),
    messages=(("received", "INVITE", "", 8), ("sent", "INVITE", "100", 8)),
    dropped=(("stranger", 3), ("outbox", 1)),
)


def samples(text):
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in text.splitlines() if line[0] != "#"}


def test_every_metric_shows_what_was_counted():
    assert samples(render(ENGINE, RuntimeView(lag_seconds=0.25, dropped=(("outbox", 2),)))) == {
        'sbc_calls{state="trying"}': 0,
        'sbc_calls{state="ringing"}': 0,
        'sbc_calls{state="answered"}': 2,
        'sbc_calls{state="ending"}': 0,
        'sbc_call_attempts_total{ingress="office",egress="carrier-a",outcome="normal"}': 7,
        'sbc_call_attempts_total{ingress="office",egress="",outcome="no_route"}': 1,
        'sbc_sip_messages_total{direction="received",method="INVITE",status=""}': 8,
        'sbc_sip_messages_total{direction="sent",method="INVITE",status="100"}': 8,
        "sbc_media_ports_used": 4,
        "sbc_engine_lag_seconds": 0.25,
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
        ["sbc_media_ports_used", "gauge"],
        ["sbc_engine_lag_seconds", "gauge"],
        ["sbc_dropped_total", "counter"],
    ]
    assert sum(line.startswith("# HELP") for line in lines) == len(announced)


def test_label_values_cannot_break_out_of_their_quotes():
    hostile = EngineView("hq", ready=True, dropped=(('a"} 1\nsbc_calls{x="\\', 1),))

    text = render(hostile, RuntimeView())

    assert 'sbc_dropped_total{reason="a\\"} 1\\nsbc_calls{x=\\"\\\\"} 1\n' in text


def test_the_text_ends_with_a_newline():
    assert render(ENGINE, RuntimeView()).endswith("\n")
