"""Where the kernel engine may not be: one clear warning, and calls as ever by the userland engine."""

import os
import signal
from typing import Any

import pytest

from .children import program, until
from .lab import Lab

pytestmark = [pytest.mark.interop, pytest.mark.root, pytest.mark.slow]


@pytest.mark.parametrize(
    ("without", "has_bpffs"),
    [
        ("setpriv --bounding-set=-bpf,-sys_admin", True),
        ("", False),
        ("unshare --user --map-root-user", True),
    ],
    ids=["no CAP_BPF", "no bpffs", "a user namespace, as in a container"],
)
def test_without_permission_calls_are_relayed_in_userland(lab: Lab, without: str, has_bpffs: bool) -> None:
    for command in without.split()[:1]:
        program(command)
    lab.start("auto", without=without, has_bpffs=has_bpffs)
    lab.has_engine("userland")
    worker = lab.node.status()["media"][0]
    print(worker["reason"])
    assert worker["reason"]
    with lab.calls(3) as calls:
        calls.talk(1)
        os.kill(lab.worker(), signal.SIGKILL)
        calls.talk(1)
    lab.has_engine("userland")
    assert (calls.missing(), calls.doubled(), calls.astray()) == ([], 0, [])
    until(lambda: len(lab.node.cdrs()) == 3, "the records")
    assert warnings_about_the_engine(lab.node.child.log) == 1
    assert lab.node.complaints() == []


def test_who_wants_userland_is_not_warned(lab: Lab) -> None:
    lab.start("userland")
    assert warnings_about_the_engine(lab.node.child.log) == 0
    assert lab.node.status()["media"][0]["reason"] == ""


def test_the_kernel_engine_says_where_it_listens(lab: Lab) -> None:
    lab.start("auto")
    lab.has_engine("kernel")  # before the first call
    worker: dict[str, Any] = lab.node.status()["media"][0]
    assert (sorted(worker["devices"]), worker["reason"]) == (["inside", "outside"], "")
    assert warnings_about_the_engine(lab.node.child.log) == 0


def warnings_about_the_engine(log: str) -> int:
    return sum("warning" in line and "media.engine" in line for line in log.splitlines())
