"""Carriers that die in every way: the second trunk rings in time, nobody is left ringing, nothing is billed twice."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from .children import until
from .dying import Mute, Resetting
from .namespaces import CARRIER, INSIDE, OUTSIDE, PBX
from .node import Node
from .sipp import Sipp

pytestmark = [pytest.mark.interop, pytest.mark.slow]

NO_REPLY, NO_PROGRESS = 1.0, 1.5
AFTER_SILENCE, AFTER_REFUSAL = 0.2, 0.1
CLOCKS = 0.1  # a busy SIPp notes a message a little after it has sent it
MORE = """
trunks:
  dying: {{interface: outside, servers: ["{server}"], call_paths: 2, no_reply: 1s, no_progress: 1500ms}}
routes:
  - {{name: hunt, from: office, to: [national], via: [dying, carrier-a]}}
"""

HOLE = "203.0.113.40"

Start = Callable[[str, Any], Any]


class Death(NamedTuple):
    """How a carrier dies. `within`: seconds until the next one must have its INVITE, or the timer and some."""

    start: Start
    after: float
    within: float
    cause: str
    status: int
    transport: str = "udp"


def nothing(host: str, tmp_path) -> None:
    """Nobody listens: an ICMP refusal, or for TCP a RST."""


def sipp(scenario: str, **keys: str) -> Start:
    def start(host: str, tmp_path) -> Sipp:
        return Sipp("dying", scenario, tmp_path, local=host, keys=keys, trace=True)

    return start


def mute(*, trying: bool = False) -> Start:
    return lambda host, _: Mute(host, trying=trying)


def resetting(*, trying: bool = False) -> Start:
    return lambda host, _: Resetting(host, trying=trying)


DEATHS = {
    "silent": Death(mute(), NO_REPLY, AFTER_SILENCE, "no_reply", 408),
    "icmp": Death(nothing, 0, AFTER_REFUSAL, "unreachable", 503),
    "rst": Death(nothing, 0, AFTER_REFUSAL, "unreachable", 503, "tcp"),
    "reset-after-invite": Death(resetting(), 0, AFTER_REFUSAL, "unreachable", 503, "tcp"),
    "reset-after-100": Death(resetting(trying=True), 0, AFTER_REFUSAL, "unreachable", 503, "tcp"),
    "503": Death(sipp("uas_503", also="Server: tired"), 0, AFTER_REFUSAL, "failed", 503),
    "503-retry-after": Death(sipp("uas_503", also="Retry-After: 30"), 0, AFTER_REFUSAL, "failed", 503),
    "100-and-silence": Death(mute(trying=True), NO_PROGRESS, AFTER_SILENCE, "no_reply", 408),
    "100-and-cancelled": Death(sipp("uas_trying"), NO_PROGRESS, AFTER_SILENCE, "no_reply", 408),
    "answer-after-cancel": Death(sipp("uas_late"), NO_PROGRESS, AFTER_SILENCE, "no_reply", 408),
}


def call_through(sbc: Node, started, tmp_path, **prefixes) -> tuple[Sipp, Sipp]:
    """One call of the PBX, which the second carrier answers; both SIPps when it is over."""
    carrier = started(
        Sipp("carrier", "uas", tmp_path, local=sbc.carrier, trace=True, prefix=prefixes.get("carrier", ()))
    )
    pbx = started(
        Sipp("pbx", "uac", tmp_path, local=sbc.pbx, remote=f"{sbc.inside}:5060", trace=True,
             prefix=prefixes.get("pbx", ()))
    )  # fmt: skip
    assert pbx.child.wait() == 0, pbx.errors
    assert pbx.errors == ""
    return pbx, carrier


def seconds_to_second(pbx: Sipp, carrier: Sipp) -> float:
    """From the PBX's INVITE to the one that the second carrier gets."""
    asked = next(message.at for message in pbx.messages() if message.method == "INVITE")
    return next(message.at for message in carrier.messages() if message.method == "INVITE") - asked


def call_was_clean(sbc: Node, pbx: Sipp, carrier: Sipp, cause: str, status: int) -> None:
    assert [status for status in pbx.statuses("INVITE") if status >= 180] == [180, 200]
    until(lambda: any(m.method == "BYE" for m in carrier.messages()), "the carrier's BYE")
    assert [m.method for m in carrier.messages() if m.method] == ["INVITE", "ACK", "BYE"]
    cdr = sbc.cdr_of_only_call()
    assert (cdr["cause"], cdr["egress"], cdr["sip_status"], cdr["ended_by"]) == ("normal", "carrier-a", 200, "caller")
    assert 180 <= cdr["billable_ms"] <= 1000
    rows = [(row["n"], row["peer"], row["cause"], row["sip_status"]) for row in sbc.attempts()]
    assert rows == [(1, "dying", cause, status), (2, "carrier-a", "normal", 200)]
    assert sbc.complaints() == []


@pytest.mark.parametrize("name", DEATHS)
def test_the_second_carrier_rings_in_time(name, net, node, started, tmp_path):
    death = DEATHS[name]
    host = f"{net}.41"
    transport = "" if death.transport == "udp" else f";transport={death.transport}"
    sbc = node(more=MORE.format(server=f"sip:{host}:5060{transport}"))
    dying = death.start(host, tmp_path)
    if dying is not None:
        started(dying)
    pbx, carrier = call_through(sbc, started, tmp_path)

    took = seconds_to_second(pbx, carrier)
    print(f"{name}: the second carrier had its INVITE after {took * 1000:.1f} ms")
    assert death.after - CLOCKS <= took <= death.after + death.within
    call_was_clean(sbc, pbx, carrier, death.cause, death.status)
    if isinstance(dying, Sipp):  # it got its ACK, or CANCEL, or BYE: nobody is left ringing there
        assert dying.child.wait(5) == 0, dying.errors
    if isinstance(dying, Resetting):
        # The CANCEL of what may ring there goes by a new connection, which is reset like the first.
        assert dying.resets == (2 if name == "reset-after-100" else 1)
    if name == "silent":
        dying.says("180 Ringing")
        until(lambda: "CANCEL" in dying.methods, "a CANCEL for who rings too late", 2)
        dying.says("200 OK")
        until(lambda: {"ACK", "BYE"} <= set(dying.methods), "the end of what was answered too late", 2)
        assert len(sbc.cdrs()) == 1
    if name == "100-and-silence":
        assert "CANCEL" in dying.methods
    sbc.has_no_call_within(1)


def test_a_busy_hour_leaves_a_silent_carrier_in_time(net, node, started, tmp_path):
    calls = 60
    sbc = node(more=MORE.format(server=f"sip:{net}.41:5060").replace("call_paths: 2", "call_paths: 100"))
    started(Mute(f"{net}.41"))
    carrier = started(Sipp("carrier", "uas", tmp_path, local=sbc.carrier, calls=calls, trace=True))
    pbx = started(
        Sipp("pbx", "uac", tmp_path, local=sbc.pbx, remote=f"{sbc.inside}:5060", calls=calls, rate=30, trace=True)
    )
    assert pbx.child.wait() == 0, pbx.errors
    until(lambda: len(sbc.cdrs()) == calls, "the records")
    asked, rang = (
        {message.call_id: message.at for message in reversed(sipp.messages()) if message.method == "INVITE"}
        for sipp in (pbx, carrier)
    )
    took = [rang[cdr["egress_call_id"]] - asked[cdr["ingress_call_id"]] for cdr in sbc.cdrs()]
    print(f"{calls} calls: the second carrier had its INVITE after {min(took):.3f} to {max(took):.3f} s")
    assert min(took) >= NO_REPLY - CLOCKS
    assert max(took) <= NO_REPLY + AFTER_SILENCE
    assert pbx.retransmissions == 0
    assert {(cdr["cause"], cdr["egress"]) for cdr in sbc.cdrs()} == {("normal", "carrier-a")}
    sbc.has_no_call_within(1)


def test_when_all_are_dead_the_caller_gets_one_clean_answer(net, node, started, tmp_path):
    sbc = node(more=MORE.format(server=f"sip:{net}.41:5060"))
    started(Sipp("dying", "uas_503", tmp_path, local=f"{net}.41", keys={"also": "Retry-After: 30"}))
    started(Sipp("carrier", "uas_503", tmp_path, local=sbc.carrier, keys={"also": "Retry-After: 40"}))
    pbx = started(Sipp("pbx", "uac", tmp_path, local=sbc.pbx, remote=f"{sbc.inside}:5060", trace=True))
    assert pbx.child.wait() == 1
    assert [status for status in pbx.statuses("INVITE") if status >= 180] == [503]
    assert not [message for message in pbx.messages() if message.header("Retry-After")]
    took = next(m.at for m in pbx.messages() if m.status == 503) - pbx.messages()[0].at
    print(f"refused by both after {took * 1000:.1f} ms")
    assert took <= 0.1
    cdr = sbc.cdr_of_only_call()
    assert (cdr["sip_status"], cdr["billable_ms"], cdr["ended_by"]) == (503, 0, "callee")
    assert [(row["peer"], row["sip_status"]) for row in sbc.attempts()] == [("dying", 503), ("carrier-a", 503)]
    sbc.has_no_call_within(1)


def test_a_carrier_that_says_when_to_come_again_is_left_alone_until_then(net, node, started, tmp_path):
    sbc = node(more=MORE.format(server=f"sip:{net}.41:5060").replace("no_reply", "health: passive, no_reply"))
    started(Sipp("carrier", "uas", tmp_path, local=sbc.carrier, calls=3))
    dying = started(
        Sipp("dying", "uas_503", tmp_path, local=f"{net}.41", calls=2, keys={"also": "Retry-After: 2"}, trace=True)
    )

    def peers_tried(n: int) -> list[str]:
        pbx = started(Sipp(f"pbx{n}", "uac", tmp_path, local=sbc.pbx, remote=f"{sbc.inside}:5060"))
        assert pbx.child.wait() == 0, pbx.errors
        until(lambda: len(sbc.cdrs()) == n, "the record")
        return [row["peer"] for row in sbc.attempts() if row["ref"] == sbc.cdrs()[-1]["ref"]]

    assert peers_tried(1) == ["dying", "carrier-a"]
    refused = time.time()
    assert sbc.ask("trunks/dying")["servers"][0]["state"] == "suspended"
    assert peers_tried(2) == ["carrier-a"]
    until(lambda: sbc.ask("trunks/dying")["servers"][0]["state"] != "suspended", "its return", 4)
    print(f"asked again after {time.time() - refused:.1f} s")
    assert peers_tried(3) == ["dying", "carrier-a"]
    assert dying.child.wait(5) == 0, dying.errors


@pytest.mark.root
@pytest.mark.parametrize(
    ("name", "server", "after", "within", "cause", "status"),
    [
        ("a black hole", f"sip:{HOLE}:5060", NO_REPLY, AFTER_SILENCE, "no_reply", 408),
        ("a black hole for TCP", f"sip:{HOLE}:5060;transport=tcp", NO_REPLY, AFTER_SILENCE, "no_reply", 408),
        ("nobody on the link", "sip:198.51.100.99:5060", NO_REPLY, AFTER_SILENCE, "no_reply", 408),
        ("no route", "sip:192.0.2.40:5060", 0, AFTER_REFUSAL, "unreachable", 503),
    ],
    ids=["udp-hole", "tcp-hole", "nobody", "no-route"],
)
def test_the_second_carrier_rings_in_time_when_the_network_fails(
    name, server, after, within, cause, status, namespaces, node, started, tmp_path
):
    namespaces.swallow(HOLE)
    sbc = node(
        inside=INSIDE, outside=OUTSIDE, pbx=PBX, carrier=CARRIER, prefix=namespaces.enter("sbc"),
        more=MORE.format(server=server),
    )  # fmt: skip
    prefixes = {part: namespaces.enter(part) for part in ("pbx", "carrier")}
    pbx, carrier = call_through(sbc, started, tmp_path, **prefixes)
    took = seconds_to_second(pbx, carrier)
    print(f"{name}: the second carrier had its INVITE after {took * 1000:.1f} ms")
    assert after - CLOCKS <= took <= after + within
    call_was_clean(sbc, pbx, carrier, cause, status)
    sbc.has_no_call_within(1)
