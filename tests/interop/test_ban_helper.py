"""The helper that tells the kernel whom to drop keeps CAP_NET_ADMIN, whatever it was started with, and nothing else."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sbc.runtime import ban_wire
from sbc.runtime.ban_mirror import PROGRAM

pytestmark = [pytest.mark.interop, pytest.mark.root]

NET_ADMIN_ALONE = f"{1 << 12:016x}"
AGAIN = b"this is no message"


@pytest.fixture
def helper():
    """The process, and our end of its socket."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(20)
    with ours, theirs:
        argv = [sys.executable, *PROGRAM, "--fd", str(theirs.fileno())]
        child = subprocess.Popen(argv, pass_fds=[theirs.fileno()])
        theirs.close()
        try:
            yield child, ours
        finally:
            ours.close()
            assert child.wait(20) == 0, "it ends with whoever has started it"


def test_of_all_that_root_may_it_keeps_one_capability(helper):
    child, ours = helper
    ours.send(AGAIN)
    assert ours.recv(ban_wire.MESSAGE_OCTETS)  # it has begun to serve, and so has given up the rest
    status = Path(f"/proc/{child.pid}/status").read_text("ascii")
    kept = dict(line.split(":\t") for line in status.splitlines() if line.startswith("Cap"))
    assert {name: kept[name] for name in ("CapPrm", "CapEff", "CapBnd")} == dict.fromkeys(
        ("CapPrm", "CapEff", "CapBnd"), NET_ADMIN_ALONE
    )
    assert kept["CapAmb"] == f"{0:016x}"
    assert os.geteuid() == 0  # what it was started with
