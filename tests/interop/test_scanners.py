"""Debian's sipvicious against the whole program: it finds nobody, and learns nothing. And the kernel's part of bans."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from .children import missing, program, until
from .namespaces import ATTACKER, CARRIER, INSIDE, OUTSIDE

_SECONDS = 45
_SOURCE = Path("/usr/share/sipvicious/sipvicious")
# Of a PBX that may log in from anywhere, on the carrier's side of the SBC.
ANYBODY = """
sbc: {bans: {strikes: 5, for: 1h, nftables: NFT}}
pbxs:
  "1000":
    interface: outside
    registers: true
    accept: any
    auth: {username: "1000", password: "s3cret-that-nobody-guesses"}
    dids: ["+14155550200-+14155550210"]
"""

pytestmark = [pytest.mark.interop, pytest.mark.slow]


def run(lab, folder, tool, *words):
    """What it prints."""
    folder.mkdir(exist_ok=True)
    argv = [*lab.namespaces.enter("attacker"), "timeout", str(_SECONDS), tool if "/" in tool else program(tool), *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=folder, env={"HOME": str(folder)})
    return done.stdout + done.stderr


def started(lab, more="", nftables="false"):
    lab.namespaces.attacked()
    lab.start("userland", more=more.replace("NFT", nftables))
    lab.namespaces.change("sbc", "route", "replace", "default", "via", CARRIER)


def learned(text):
    """Rows of the table that these tools print of what they have found."""
    rows = re.findall(r"^\|(?!\s*(?:SIP Device|Extension|-)).*\|$", text, re.MULTILINE)
    return [row for row in rows if not re.match(r"\|[-=+ ]*\|$", row)]


@pytest.mark.parametrize("address", [OUTSIDE, INSIDE])
def test_where_only_peers_may_speak_nothing_is_found(lab, tmp_path, address):
    started(lab)
    said = run(lab, tmp_path / "home", "svmap", address)
    said += run(lab, tmp_path / "home", "svmap", "-m", "INVITE", address)
    said += run(lab, tmp_path / "home", "svwar", "-m", "REGISTER", "-e", "990-1010", address)
    said += run(lab, tmp_path / "home", "svcrack", "-u", "1000", "-r", "1-50", address)
    assert learned(said) == []
    assert lab.metric('sbc_dropped_total{reason="unknown_source"}') > 0
    assert lab.node.status()["transactions"] == 0
    assert not re.search(r"WARNING:TakeASip:found|password", said)


def test_where_anybody_may_log_in_a_scanner_gets_no_answer(lab, tmp_path):
    started(lab, ANYBODY)
    said = run(lab, tmp_path / "home", "svmap", "-m", "REGISTER", OUTSIDE)
    said += run(lab, tmp_path / "home", "svwar", "-m", "REGISTER", "-e", "990-1010", OUTSIDE)
    said += run(lab, tmp_path / "home", "svcrack", "-u", "1000", "-r", "1-50", OUTSIDE)
    assert learned(said) == []
    assert lab.metric('sbc_dropped_total{reason="scanner"}') > 2
    assert 'sbc_sip_messages_total{direction="sent"' not in lab.node.metrics()
    assert lab.node.status()["transactions"] == 0


def test_one_that_calls_itself_a_telephone_learns_neither_a_name_nor_a_password(lab, tmp_path):
    """It is challenged, for every extension alike; and slowed down to what one stranger may send, or banned."""
    started(lab, ANYBODY)
    tools = disguised(tmp_path)
    war = run(lab, tmp_path / "home", str(tools / "svwar"), "-m", "REGISTER", "-e", "990-1010", OUTSIDE)
    assert not [row for row in learned(war) if re.search(r"\b(?:99\d|100\d|1010)\b", row)]
    assert lab.metric('sbc_sip_messages_total{direction="sent",method="REGISTER",status="401"}') > 0
    crack = run(lab, tmp_path / "home", str(tools / "svcrack"), "-u", "1000", "-r", "1-500", OUTSIDE)
    assert learned(crack) == []
    hindered = [lab.metric(f'sbc_dropped_total{{reason="{why}"}}') for why in ("stranger_over_rate", "banned")]
    assert sum(hindered) > 0
    assert lab.node.status()["transactions"] == 0


def disguised(tmp_path):
    """sipvicious under the name of a telephone."""
    if not _SOURCE.is_dir():
        missing(f"{_SOURCE} is not there: sipvicious of Debian")
    shutil.copytree(_SOURCE, tmp_path / "lib" / "sipvicious")
    for path in (tmp_path / "lib").rglob("*.py"):
        path.write_text(path.read_text().replace("friendly-scanner", "Polycom-VVX/5.9"))
    for tool in ("svwar", "svcrack"):
        starter = tmp_path / tool
        starter.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path}/lib exec python3 -m sipvicious.{tool} "$@"\n')
        starter.chmod(0o755)
    return tmp_path


def test_who_guesses_is_dropped_by_the_kernel_until_he_is_forgiven(lab, tmp_path):
    program("nft")
    started(lab, ANYBODY, "true")
    until(lambda: "banned4" in ruleset(lab), "the helper's table", 10, lambda: lab.node.child.log)
    lab.node.says("bans", "add", ATTACKER, "--for", "1h", "--why", "test")
    until(lambda: ATTACKER in ruleset(lab), "the ban in the kernel", 5, lambda: ruleset(lab))
    run(lab, tmp_path / "home", "svmap", OUTSIDE)
    assert re.search(r"@banned4 .* packets [1-9]", ruleset(lab))
    assert lab.metric('sbc_dropped_total{reason="banned"}') == 0
    lab.node.says("bans", "lift", ATTACKER)
    until(lambda: ATTACKER not in ruleset(lab), "the end of the ban", 5, lambda: ruleset(lab))
    assert not [line for line in lab.node.child.log.splitlines() if "not_mirrored" in line]


def ruleset(lab):
    argv = [*lab.namespaces.enter("sbc"), program("nft"), "list", "ruleset"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout
