"""What goes wrong at a start is said clearly, with the right exit status, and leaves nothing half-started behind."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from .children import needs_root, program, until
from .node import INTERFACES, POLICY
from .sipp import Sipp

pytestmark = [pytest.mark.interop, pytest.mark.slow]

# Root may read and write everything; without these two capabilities it is like any user.
_LIKE_A_USER = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")
_SOMEBODY_ELSE = 4321


class Ended(NamedTuple):
    status: int
    text: str


class Setup:
    """A policy in a folder that a test spoils."""

    def __init__(self, folder: Path, net: str) -> None:
        self.folder = folder
        self.net = net
        self.policy = folder / "policy" / "all.yaml"
        self.policy.parent.mkdir()
        self.write(
            POLICY.format(
                folder=folder, admin=folder / "a", inside=f"{net}.10", outside=f"{net}.20", pbx=f"{net}.30",
                carrier=f"{net}.40", pbx_where=f"address: sip:{net}.30:5060", pbx_more="", trunk_where="",
                trunk_more="", media="{ports: 20000-29999}",
                interfaces=INTERFACES.format(inside=f"{net}.10", outside=f"{net}.20"),
            )
        )  # fmt: skip

    def write(self, text: str) -> None:
        self.policy.write_text(text)

    def change(self, old: str, new: str) -> None:
        text = self.policy.read_text()
        assert old in text
        self.write(text.replace(old, new))

    def run(self, *arguments: str, like_a_user: bool = False) -> Ended:
        """`sbc run` until it gives up; nothing of it may be left then."""
        prefix = _LIKE_A_USER if like_a_user and os.geteuid() == 0 else ()
        argv = [*prefix, sys.executable, "-m", "sbc", "run", *(arguments or ("policy",))]
        done = subprocess.run(argv, cwd=self.folder, capture_output=True, text=True, timeout=30, check=False)
        assert "Traceback" not in done.stderr
        assert "sbc: ready" not in done.stderr
        assert not (self.folder / "a").exists()
        for host in (f"{self.net}.10", f"{self.net}.20"):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                if host not in done.stderr:
                    probe.bind((host, 5060))
        print(done.stderr)
        return Ended(done.returncode, done.stderr)


@pytest.fixture
def setup(tmp_path, net) -> Setup:
    return Setup(tmp_path, net)


def test_no_policy_named_is_wrong_usage(setup):
    done = subprocess.run([sys.executable, "-m", "sbc", "run"], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert "POLICY" in done.stderr


def test_a_policy_that_does_not_exist(setup):
    done = setup.run("nowhere")
    assert done.status == 1
    assert "nowhere" in done.text
    assert "No such file" in done.text


def test_a_file_that_may_not_be_read(setup):
    if os.geteuid() == 0:
        os.chown(setup.policy, _SOMEBODY_ELSE, _SOMEBODY_ELSE)
        setup.policy.chmod(0o600)
    else:
        setup.policy.chmod(0)
    done = setup.run(like_a_user=True)
    assert done.status == 1
    assert "policy/all.yaml:1:1: cannot be read: Permission denied" in done.text
    assert not (setup.folder / "data").exists()


def test_what_is_not_yaml(setup):
    setup.change("routes:", "routes: [\n:")
    done = setup.run()
    assert done.status == 1
    assert "policy/all.yaml:" in done.text
    assert "not YAML" in done.text
    assert not (setup.folder / "data").exists()


def test_unknown_keys_are_all_said_with_line_and_column(setup):
    setup.change("country: US", "contry: US")
    setup.change("numbers: e164", "numbrs: e164")
    done = setup.run()
    assert done.status == 1
    assert "policy/all.yaml:4:3: unknown key `contry`" in done.text
    assert "unknown key `numbrs`" in done.text
    assert not (setup.folder / "data").exists()


def test_a_port_that_is_taken(setup):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((f"{setup.net}.10", 5060))
        done = setup.run()
    assert done.status == 1
    assert f"udp:{setup.net}.10:5060: address already in use" in done.text
    assert f"tcp:{setup.net}.10" not in done.text


def test_an_interface_address_that_this_machine_has_not(setup):
    setup.change(f"{setup.net}.20", "192.0.2.77")
    done = setup.run()
    assert done.status == 1
    assert "interfaces.outside.sip udp:192.0.2.77:5060: no network interface" in done.text


def test_a_data_dir_without_permission(setup):
    folder = setup.folder / "theirs"
    folder.mkdir(mode=0o755)
    if os.geteuid() == 0:
        os.chown(folder, _SOMEBODY_ELSE, _SOMEBODY_ELSE)
    else:
        folder.chmod(0o555)
    setup.change("/data", "/theirs/data")
    done = setup.run(like_a_user=True)
    assert done.status == 1
    assert f"{folder}/data" in done.text
    assert "permission denied" in done.text


def test_a_data_dir_that_another_sbc_works_in(setup, node, tmp_path):
    running = node(**{name: f"{setup.net}.{n}" for name, n in (("inside", 110), ("outside", 120), ("pbx", 130))})
    setup.change(f"{setup.folder}/data", str(running.folder / "data"))
    done = setup.run()
    assert done.status == 1
    assert "data" in done.text
    assert running.alive()["calls"] == 0


@pytest.fixture
def small_disk(tmp_path, stack):
    """A function that mounts a disk of so many KiB."""

    def mount(folder: Path, size: int) -> None:
        needs_root()
        folder.mkdir(parents=True)
        subprocess.run(
            [program("mount"), "-t", "tmpfs", "-o", f"size={size}k", "none", str(folder)],
            check=True,
            capture_output=True,
        )
        stack.callback(subprocess.run, [program("umount"), str(folder)], check=True)

    return mount


def fill(folder: Path) -> Path:
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            return ballast
    raise AssertionError("this disk has no end")


@pytest.mark.root
def test_a_full_disk_at_the_start(setup, small_disk):
    small_disk(setup.folder / "data", 64)
    fill(setup.folder / "data")
    done = setup.run()
    assert done.status == 1
    assert "the disk is full" in done.text


@pytest.mark.root
def test_a_disk_that_fills_up_while_calls_run_delays_records_and_loses_none(
    node, small_disk, stack, started, tmp_path, request
):
    small_disk(tmp_path / "sbc" / "data", 512)
    sbc = node()
    ballast = fill(sbc.folder / "data")
    started(Sipp("carrier", "uas", tmp_path, local=sbc.carrier, calls=100))
    pbx = started(Sipp("pbx", "uac", tmp_path, local=sbc.pbx, remote=f"{sbc.inside}:5060", calls=100, rate=50))
    assert pbx.child.wait() == 0, pbx.errors
    sbc.child.until("full")
    stored = len(sbc.cdrs())
    print(f"{stored} of 100 records stored on the full disk")
    ballast.unlink()
    until(lambda: len(sbc.cdrs()) == 100, "every record", 30, lambda: sbc.child.log[-2000:])
    sbc.stop()
