"""The units and the install page on a machine with a systemd of its own: from nothing to a call, and back."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from .booted import Booted
from .children import program
from .sipp import Sipp

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.root]

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "howto" / "systemd.md").read_text("utf-8")
ADMIN = "export SBC_ADMIN_TOKEN=$(cat /etc/sbc/secrets/admin-token); /opt/sbc/bin/sbc"
CALLS = 10


def steps(heading: str) -> list[str]:
    """The commands below a heading of the page."""
    (section,) = re.findall(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)


@pytest.fixture
def machine(tmp_path) -> Iterator[Booted]:
    folder = tmp_path / "machine"
    folder.mkdir()
    with Booted(folder) as machine:
        yield machine


@pytest.fixture
def installed(machine: Booted) -> Booted:
    """By the page, up to a running service."""
    for heading in ("User, folders, units", "The policy", "Secrets", "Start"):
        for step in steps(heading):
            machine.shell(step)
    return machine


def call(machine: Booted, started, folder: Path) -> None:
    """Through the policy of the quickstart, in the machine's network."""
    program("sipp")
    started(Sipp("carrier", "uas", folder, local="127.0.0.40", calls=CALLS, prefix=machine.enter, rate=20))
    pbx = started(
        Sipp(
            "pbx", "uac", folder, local="127.0.0.30", remote="127.0.0.10:5060", calls=CALLS, rate=20,
            prefix=machine.enter,
        )
    )  # fmt: skip
    assert pbx.child.wait(60) == 0, (pbx.errors, machine.story())
    assert (pbx.successful, pbx.failed) == (CALLS, 0)


def pids(machine: Booted) -> dict[str, int]:
    """Of the processes of the service, by name, but for the one that only stands by."""
    said = machine.run("ps", "-e", "-o", "pid=,comm=")
    found = {name: int(pid) for pid, name in (line.split() for line in said.splitlines()) if name.startswith("sbc")}
    found.pop("sbc-stand-by", None)
    return found


def test_the_page_leads_to_a_service_that_takes_calls_and_leaves_nothing_when_it_is_gone(installed, started, tmp_path):
    machine = installed
    call(machine, started, tmp_path)
    for heading in ("The first call", "Firewall", "Logs"):
        for step in steps(heading):
            machine.shell(f"export SBC_ADMIN_TOKEN=$(cat /etc/sbc/secrets/admin-token)\n{step}")
    records = json.loads(machine.shell(f"{ADMIN} cdr list --json"))
    assert len(records["cdrs"]) == CALLS
    assert machine.run("stat", "-c", "%U %a", "/var/lib/sbc", "/etc/sbc").split("\n")[:2] == ["sbc 700", "root 750"]
    journal = [json.loads(line) for line in machine.run("journalctl", "-u", "sbc", "-o", "json").splitlines()]
    said = [line for line in journal if "call.ended" in str(line["MESSAGE"])]
    assert len(said) == CALLS
    assert {line["PRIORITY"] for line in said} == {"6"}
    assert not any(str(line["MESSAGE"]).startswith("<") for line in journal)
    assert not re.search(r"PermissionError|Operation not permitted|Traceback", machine.run("journalctl", "-u", "sbc"))

    for step in steps("Uninstall"):
        machine.shell(step)
    left = machine.run("bash", "-c", "ls -d /opt/sbc /etc/systemd/system/sbc* /usr/lib/*/sbc.conf 2> /dev/null || true")
    assert left == ""
    assert machine.run("bash", "-c", "ls /var/lib/sbc").split()  # the records


def test_a_reload_changes_the_policy_and_a_bad_one_is_refused_in_the_journal(installed):
    machine = installed
    main = machine.show("sbc.service", "MainPID")["MainPID"]
    machine.shell("sed -i 's/carrier-a/carrier-z/g' /etc/sbc/*.yaml")
    machine.run("systemctl", "reload", "sbc.service")
    machine.until(f"{ADMIN} trunks", "carrier-z")
    machine.write("/etc/sbc/8-wrong.yaml", "trunks: {broken: {}}")
    machine.run("systemctl", "reload", "sbc.service")
    machine.until("journalctl -u sbc --no-pager", "reload.refused")
    machine.until(f"{ADMIN} alarms", "The changed policy was refused")
    machine.run("rm", "/etc/sbc/8-wrong.yaml")
    machine.run("systemctl", "reload", "sbc.service")
    machine.until(f"{ADMIN} alarms | grep reload.refused", "over")
    assert machine.show("sbc.service", "MainPID")["MainPID"] == main


def test_signalling_that_hangs_is_replaced_by_the_watchdog(installed):
    machine = installed
    machine.write("/etc/systemd/system/sbc.service.d/watchdog.conf", "[Service]\nWatchdogSec=2")
    machine.shell("systemctl daemon-reload; systemctl restart sbc.service")
    before = pids(machine)
    machine.run("sleep", "3")
    assert pids(machine) == before  # a loop that turns is left alone
    machine.run("kill", "-STOP", str(before["sbc-signalling"]))
    machine.until("journalctl -u sbc --no-pager", "Watchdog timeout", 15)
    machine.until(f"{ADMIN} status --json", '"ready": true', 30)
    assert pids(machine)["sbc-signalling"] != before["sbc-signalling"]
    assert machine.show("sbc.service", "NRestarts")["NRestarts"] == "1"


def test_signalling_that_dies_is_replaced_by_the_supervisor_and_systemd_keeps_out_of_it(installed):
    machine = installed
    before = pids(machine)
    machine.run("kill", "-KILL", str(before["sbc-signalling"]))
    machine.until(f"{ADMIN} alarms", "signalling.restarted", 30)
    assert machine.show("sbc.service", "MainPID", "NRestarts") == {"MainPID": str(before["sbc"]), "NRestarts": "0"}
    assert "ready" in machine.show("sbc.service", "StatusText")["StatusText"]


def test_a_media_worker_of_its_own_outlives_a_restart_and_a_stop_ends_with_status_0(installed, started, tmp_path):
    machine = installed
    for step in steps("Media workers as units"):
        machine.shell(step)
    worker = machine.show("sbc-media@0.service", "MainPID", "ActiveState")
    assert worker["ActiveState"] == "active"
    call(machine, started, tmp_path)
    machine.run("systemctl", "restart", "sbc.service")
    assert machine.show("sbc-media@0.service", "MainPID", "ActiveState") == worker
    machine.run("systemctl", "stop", "sbc.service")
    shown = machine.show("sbc.service", "Result", "ExecMainStatus", "ActiveState")
    assert shown == {"Result": "success", "ExecMainStatus": "0", "ActiveState": "inactive"}
    assert "Traceback" not in machine.run("journalctl", "-u", "sbc", "-u", "sbc-media@0", "--no-pager")


def sockets(machine: Booted, process: str) -> set[str]:
    """Inodes of the UDP sockets of this process, which tell whether they are the same ones as before."""
    said = machine.shell(f"ss -Hlnupe 'sport = :5060' | grep '\"{process}\"'")
    return set(re.findall(r" ino:(\d+)", said))


def test_a_restart_hands_the_sockets_over_and_a_stop_does_not(installed, started, tmp_path):
    machine = installed
    before = pids(machine)
    held = sockets(machine, "sbc")
    machine.run("systemctl", "restart", "sbc.service")
    after = pids(machine)
    assert held
    assert sockets(machine, "sbc") == sockets(machine, "sbc-signalling") == held
    assert set(before.values()).isdisjoint(after.values())
    said = machine.run("journalctl", "-u", "sbc", "--no-pager")
    assert "stop.leave" in said
    assert "restart.done" in said
    assert "stop.drain" not in said
    assert not re.search(r"takeover|Traceback|left-over", said)
    call(machine, started, tmp_path)

    machine.run("systemctl", "stop", "sbc.service")
    machine.run("systemctl", "start", "sbc.service")
    assert "stop.drain" in machine.run("journalctl", "-u", "sbc", "--no-pager")
    assert sockets(machine, "sbc").isdisjoint(held)


def test_the_sockets_wait_while_a_policy_is_put_right(installed):
    machine = installed
    held = sockets(machine, "sbc")
    machine.write("/etc/sbc/8-wrong.yaml", "trunks: {broken: {}}")
    machine.run("systemctl", "restart", "sbc.service", ok=False)
    machine.until("journalctl -u sbc --no-pager", "8-wrong.yaml:1")
    machine.run("rm", "/etc/sbc/8-wrong.yaml")
    machine.until("systemctl is-active sbc.service", "active")
    machine.until(f"{ADMIN} status --json", '"ready": true')
    assert sockets(machine, "sbc") == held


def test_the_installed_program_takes_over_in_the_same_process(installed):
    machine = installed
    before, held = pids(machine), sockets(machine, "sbc")
    machine.shell("kill -USR2 $(systemctl show -p MainPID --value sbc.service)")
    machine.until("journalctl -u sbc --no-pager", "restart.done")
    assert "restarted" in machine.shell(f"{ADMIN} restart")
    after = pids(machine)
    assert (after["sbc"], after["sbc-media-0"]) == (before["sbc"], before["sbc-media-0"])
    assert after["sbc-signalling"] != before["sbc-signalling"]
    assert sockets(machine, "sbc") == held
    assert machine.show("sbc.service", "MainPID", "NRestarts") == {"MainPID": str(before["sbc"]), "NRestarts": "0"}


def test_calls_go_on_over_restarts_and_over_the_death_of_all(installed, started, tmp_path):
    machine = installed
    program("sipp")
    talks = {"calls": CALLS, "rate": 20, "prefix": machine.enter}
    started(Sipp("carrier", "uas", tmp_path, local="127.0.0.40", **talks))
    pbx = started(
        Sipp("pbx", "uac", tmp_path, local="127.0.0.30", remote="127.0.0.10:5060", talk_ms=40_000, **talks)
    )  # fmt: skip
    machine.until(f"{ADMIN} status --json", f'"calls": {CALLS}')
    machine.run("systemctl", "restart", "sbc.service")
    machine.shell(f"{ADMIN} restart")
    machine.shell("kill -KILL $(systemctl show -p MainPID --value sbc.service)")
    machine.until(f"{ADMIN} status --json", '"ready": true')
    machine.shell("kill -KILL $(pgrep ^sbc)")
    machine.until(f"{ADMIN} status --json", f'"calls": {CALLS}')
    assert pbx.child.wait(90) == 0, (pbx.errors, machine.story())
    assert (pbx.successful, pbx.failed) == (CALLS, 0)
    machine.until(f"{ADMIN} status --json", '"calls": 0')
    records = json.loads(machine.shell(f"{ADMIN} cdr list --json"))["cdrs"]
    assert [record["cause"] for record in records] == ["normal"] * CALLS
    assert len({record["ref"] for record in records}) == CALLS


def test_a_policy_that_is_wrong_fails_the_start_and_is_said(installed):
    machine = installed
    machine.write("/etc/sbc/8-wrong.yaml", "trunks: {broken: {}}")
    machine.run("systemctl", "restart", "sbc.service", ok=False)
    machine.until("journalctl -u sbc --no-pager", "8-wrong.yaml:1")
