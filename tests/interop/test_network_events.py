"""The machine loses an address or a link: calls go another way within milliseconds, and come back by themselves."""

import os
import signal
import socket
import time

import pytest

from .children import until
from .lab import Lab
from .namespaces import BACKUP, BACKUP_OUTSIDE, CARRIER, INSIDE, OUTSIDE, PBX
from .node import Node, ms_between
from .sipp import Sipp

pytestmark = [pytest.mark.interop, pytest.mark.slow]

MORE = f"""
interfaces:
  backup: {{sip: [udp:{BACKUP_OUTSIDE}:5060], media: {BACKUP_OUTSIDE}}}
trunks:
  carrier-b: {{interface: backup, servers: ["sip:{BACKUP}:5060"]}}
routes:
  - {{name: both, from: office, to: [national], via: [carrier-a, carrier-b]}}
"""
LOSSES = {
    "link": (("link", "set", "outside", "down"), ("link", "set", "outside", "up"), "link outside is down"),
    "address": (
        ("address", "del", f"{OUTSIDE}/24", "dev", "outside"),
        ("address", "add", f"{OUTSIDE}/24", "dev", "outside"),
        f"{OUTSIDE} is gone",
    ),
}


@pytest.fixture
def sbc(lab: Lab) -> Node:
    lab.namespaces.second_way()
    lab.engine = "userland"
    node = lab.start("userland", more=MORE)
    time.sleep(0.5)  # pyroute2 is imported after `ready`
    return node


@pytest.fixture
def call(sbc, lab, tmp_path, started):
    """Calls once, and tells who took it and after how many milliseconds."""
    ports = iter(range(5070, 5100))

    def place() -> tuple[str, float]:
        port, before = next(ports), len(sbc.cdrs())
        pbx = started(
            Sipp(f"pbx{port}", "uac", tmp_path, local=PBX, remote=f"{INSIDE}:5060", port=port,
                 prefix=lab.namespaces.enter("pbx"), talk_ms=50)
        )  # fmt: skip
        assert pbx.child.wait() == 0, pbx.errors
        until(lambda: len(sbc.cdrs()) > before, "the record", 5)
        cdr = sbc.cdrs()[-1]
        attempts = [one for one in sbc.attempts() if one["ref"] == cdr["ref"]]
        assert len(attempts) == 1, attempts
        return cdr["egress"], ms_between(cdr["started_at"], cdr["answered_at"])

    return place


def carrier_of(sbc, name="carrier-a"):
    return next(trunk for trunk in sbc.ask("trunks")["trunks"] if trunk["name"] == name)


def is_down(sbc):
    return carrier_of(sbc)["state"] == "down"


@pytest.mark.parametrize("loss", LOSSES)
def test_calls_go_another_way_at_once_and_come_back(sbc, lab, tmp_path, started, call, loss):
    lose, give_back, why = LOSSES[loss]
    for name, host in (("carrier", CARRIER), ("backup", BACKUP)):
        started(Sipp(name, "uas", tmp_path, local=host, calls=50, prefix=lab.namespaces.enter(name)))
    assert call()[0] == "carrier-a"

    lab.namespaces.change("sbc", *lose)
    begun = time.monotonic()
    until(lambda: is_down(sbc), "the trunk to be down", 1)
    print(f"{loss}: known after {(time.monotonic() - begun) * 1000:.0f} ms at most")
    assert carrier_of(sbc)["why"] == f"interface outside: {why}"
    egress, took = call()
    assert (egress, took < 300) == ("carrier-b", True), took
    alarms = {alarm["event"] for alarm in sbc.ask("alarms")["alarms"] if alarm["active"]}
    assert "interface.down" in alarms
    assert "peer.down" not in alarms

    lab.namespaces.change("sbc", *give_back)
    until(lambda: not is_down(sbc), "the trunk to be back", 2)
    assert call()[0] == "carrier-a"
    active = {alarm["event"] for alarm in sbc.ask("alarms")["alarms"] if alarm["active"]}
    assert "interface.down" not in active
    assert sbc.complaints() == []


@pytest.mark.parametrize("loss", LOSSES)
def test_a_call_that_is_up_is_heard_again_and_tcp_is_taken_again(sbc, lab, loss):
    lose, give_back, _ = LOSSES[loss]
    with lab.calls(1) as calls:
        calls.talk(0.5)
        lab.namespaces.change("sbc", *lose)
        until(lambda: is_down(sbc), "the trunk to be down", 1)
        assert sbc.alive()["calls"] == 1
        lab.namespaces.change("sbc", *give_back)
        until(lambda: not is_down(sbc), "the trunk to be back", 2)
        before = [len(end.heard) for end in calls.ends]
        calls.talk(1)
        heard = [len(end.heard) - was for end, was in zip(calls.ends, before, strict=True)]
        assert min(heard) >= 45, heard
    until(sbc.cdrs, "the record", 5)
    assert sbc.cdrs()[0]["cause"] == "normal"
    assert options_by_tcp(lab) == "SIP/2.0 200 OK"
    assert sbc.complaints() == []


def test_a_signalling_that_dies_meanwhile_comes_back_and_uses_what_is_left(sbc, lab, tmp_path, started, call):
    """One lost address must not keep all trunks down."""
    lose, give_back, why = LOSSES["address"]
    started(Sipp("backup", "uas", tmp_path, local=BACKUP, calls=50, prefix=lab.namespaces.enter("backup")))
    lab.namespaces.change("sbc", *lose)
    until(lambda: is_down(sbc), "the trunk to be down", 1)
    was = sbc.ask("status")["pids"]["signalling"]
    os.kill(was, signal.SIGKILL)

    def is_back():
        try:
            return sbc.ask("status")["pids"]["signalling"] != was and is_down(sbc)
        except OSError:
            return False

    until(is_back, "signalling to be back, and to know what is lost", 15)
    assert carrier_of(sbc)["why"] == f"interface outside: {why}"
    assert call()[0] == "carrier-b"
    lab.namespaces.change("sbc", *give_back)
    until(lambda: not is_down(sbc), "the trunk to be back", 2)


def test_a_carrier_that_pulls_the_plug_is_noticed(sbc, lab, tmp_path, started, call):
    """The other end of the cable: ours has no carrier then, and is not told to be down."""
    started(Sipp("backup", "uas", tmp_path, local=BACKUP, calls=50, prefix=lab.namespaces.enter("backup")))
    lab.namespaces.change("carrier", "link", "set", "eth0", "down")
    until(lambda: is_down(sbc), "the trunk to be down", 1)
    assert carrier_of(sbc)["why"] == "interface outside: link outside is down"
    assert call()[0] == "carrier-b"
    lab.namespaces.change("carrier", "link", "set", "eth0", "up")
    until(lambda: not is_down(sbc), "the trunk to be back", 2)


def options_by_tcp(lab: Lab) -> str:
    with lab.namespaces.inside("carrier"):
        connection = socket.socket()
    with connection:
        connection.settimeout(5)
        connection.connect((OUTSIDE, 5060))
        here = connection.getsockname()
        text = (
            f"OPTIONS sip:{OUTSIDE} SIP/2.0\r\nVia: SIP/2.0/TCP {here[0]}:{here[1]};branch=z9hG4bKafter\r\n"
            f"From: <sip:c@{CARRIER}>;tag=1\r\nTo: <sip:{OUTSIDE}>\r\nCall-ID: after\r\nCSeq: 1 OPTIONS\r\n"
            "Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        )
        connection.sendall(text.encode())
        return connection.recv(4096).decode().partition("\r\n")[0]
