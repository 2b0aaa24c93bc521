"""Under calls that talk: another engine by a reload, calls that move between two workers, a neighbour that stops."""

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .children import Child, program, until
from .lab import ENGINES, Engine, Lab, counters_in
from .namespaces import CARRIER, INSIDE, OUTSIDE, PBX, Namespaces
from .node import Node
from .parties import Parties
from .talking import TalkingCalls

pytestmark = [pytest.mark.interop, pytest.mark.root, pytest.mark.slow]

OTHER_INSIDE, OTHER_OUTSIDE = "10.77.0.11", "198.51.100.21"
SECOND = "+14155552002"
BURSTS = 5  # a busy worker says its new engine before it has put all flows there


def test_a_reload_changes_the_engine_under_calls(lab: Lab) -> None:
    """kernel, userland, auto: nothing is lost, doubled or out of place, and counters go on."""
    lab.start("kernel")
    lab.warm_up()
    with lab.calls(3) as calls:
        calls.talk(0.6)
        assert lab.flows() == 6
        before = sum(kernel for _, kernel in lab.counters())
        for old, new, engine in (("kernel", "userland", "userland"), ("userland", "auto", "kernel")):
            lab.node.change(f"engine: {old}", f"engine: {new}")
            calls.talk(0.8, meanwhile={0.2: lambda: lab.node.child.signal(signal.SIGHUP)})
            lab.has_engine(engine)
            flows = 6 if engine == "kernel" else 0
            for _ in range(BURSTS):
                calls.talk(0.2, settle=0)
                if lab.flows() == flows:
                    break
            assert lab.flows() == flows
        calls.talk(0.6)
        assert lab.flows() == 6
        assert sum(kernel for _, kernel in lab.counters()) > before
    assert (calls.missing(), calls.doubled(), calls.disordered(), calls.astray()) == ([], 0, 0, [])
    until(lambda: len(lab.node.cdrs()) == 4, "the records")
    sent = calls.ends[0].sent
    assert {stream["packets"] for call in lab.media_of_calls()[1:] for stream in call.values()} == {sent}
    assert lab.node.complaints() == []


@pytest.mark.parametrize("engine", ENGINES)
def test_a_transfer_joins_calls_of_two_workers(lab: Lab, engine: Engine) -> None:
    """The PBX has two calls, one in each worker, and connects their far ends (RFC 5589 §7.3)."""
    lab.start(engine, media={"workers": "2"})
    with Parties(lab) as parties:
        first, second = parties.talk(), parties.talk(number=SECOND)
        voices = (*first.voices, *second.voices)
        parties.desk.talks(0.5, *voices)
        assert (first.missed(), second.missed()) == (([], []), ([], []))
        assert [worker["sessions"] for worker in lab.node.status()["media"]] == [1, 1]
        if engine == "kernel":
            assert lab.flows() == 4

        target = f"<sip:{SECOND}@{INSIDE}?Replaces={second.caller.named_in_uri()}>"
        first.caller.says("REFER", f"Refer-To: {target}")
        assert first.caller.status == 202
        parties.desk.waits(lambda: first.caller.is_over or notified(first.caller.heard, 200), "the transfer", 5)
        parties.desk.waits(lambda: second.caller.is_over, "the second call to be taken", 5)
        for talk in (first, second):
            talk.far.goes(talk.callee.remote)
            talk.far.heard.clear()
            talk.far.sent.clear()
        parties.desk.talks(0.6, first.far, second.far)
        assert (second.far.missed(first.far), first.far.missed(second.far)) == ([], [])
        assert {packet.ssrc for packet in second.far.heard} == {first.far.ssrc}
        assert {packet.ssrc for packet in first.far.heard} == {second.far.ssrc}
        assert sum(worker["sessions"] for worker in lab.node.status()["media"]) == 1
        if engine == "kernel":
            parties.desk.waits(lambda: lab.flows() == 2, "two flows", 3, lab.flows)

        first.callee.hangs_up()
        parties.desk.waits(lambda: second.callee.is_over, "the BYE to cross", 5)
        parties.desk.waits(lambda: len(lab.node.cdrs()) == 2, "the records")
    assert {cdr["cause"] for cdr in lab.node.cdrs()} == {"normal"}
    assert lab.node.complaints() == []


def notified(heard: list[str], status: int) -> bool:
    return any(text.startswith("NOTIFY ") and f"SIP/2.0 {status}" in text for text in heard)


# --- two of one name --------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def shared_bpffs(namespaces: Namespaces, folder: Path) -> Iterator[tuple[tuple[str, ...], Path]]:
    """One BPF file system for all that enter: the prefix of who does, and where it is."""
    bpffs = folder / "shared-bpf"
    bpffs.mkdir()
    script = f"mount -t bpf bpf '{bpffs}' && echo mounted && exec sleep 600"
    prefix = (*namespaces.enter("sbc"), program("unshare"), "--mount")
    keeper = Child("bpffs", ["sh", "-c", script], folder, prefix=prefix)
    try:
        keeper.until("mounted")
        yield (program("nsenter"), "--target", str(keeper.pid), "--mount", "--net", "--wd=."), bpffs
    finally:
        keeper.stop()


def test_of_two_sbcs_of_one_name_one_stops_and_the_others_flows_stay(namespaces, node, tmp_path) -> None:
    with shared_bpffs(namespaces, tmp_path) as (prefix, bpffs), contextlib.ExitStack() as stack:
        for device, address in (("inside", OTHER_INSIDE), ("outside", OTHER_OUTSIDE)):
            ip = (*namespaces.enter("sbc"), program("ip"), "address", "add", f"{address}/24", "dev", device)
            subprocess.run(ip, check=True)
        same = {
            "pbx": PBX, "carrier": CARRIER, "prefix": prefix, "env": {"SBC_BPFFS": str(bpffs)},
            "media": "{ports: 20000-20099, engine: kernel}",
        }  # fmt: skip
        stays = node(inside=INSIDE, outside=OUTSIDE, **same)
        goes = Node(tmp_path / "other", inside=OTHER_INSIDE, outside=OTHER_OUTSIDE, **same)
        stack.callback(goes.stop)
        with TalkingCalls(goes, 1, inside=namespaces.inside) as calls:
            calls.talk(0.3)
        assert calls.missing() == []
        calls = stack.enter_context(TalkingCalls(stays, 2, inside=namespaces.inside))
        calls.talk(0.6)
        pins = sorted(path.name for path in root_of(goes, bpffs).iterdir())
        assert len(pins) == 2
        calls.talk(1.2, meanwhile={0.1: lambda: goes.child.signal(signal.SIGTERM)})
        assert goes.child.wait(5) == 0
        assert len(list(root_of(stays, bpffs).iterdir())) == 1
        before = kernel_packets(stays, bpffs)
        calls.talk(1.0)
        assert kernel_packets(stays, bpffs) - before > 4 * 40
        assert (calls.missing(), calls.doubled(), calls.disordered(), calls.astray()) == ([], 0, 0, [])
        assert stays.complaints() == []
        stack.close()
        until(lambda: len(stays.cdrs()) == 2, "the records")


def root_of(sbc: Node, bpffs: Path) -> Path:
    return Path(f"/proc/{sbc.child.pid}/root") / bpffs.relative_to("/") / "sbc"


def kernel_packets(sbc: Node, bpffs: Path) -> int:
    """Of all its ways together; it is the only one that is left."""
    (pins,) = root_of(sbc, bpffs).iterdir()
    return sum(in_kernel for _, in_kernel in counters_in(pins))
