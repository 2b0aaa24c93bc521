"""What `sbc bench media` prints: microseconds of CPU per packet, and the ratios that the project wants to keep.

It judges nothing but whether a figure means what it says. Where namespaces cannot be had, loopback says what it can.
"""

import statistics
from collections.abc import Iterable
from typing import Final

from sbc.cli import bench_flood, bench_media, bench_talk
from sbc.cli.bench_lab import UnavailableError, reason
from sbc.cli.bench_relays import BARE, CONTENDERS, DROPPED, FORWARDING, KERNEL, RTPENGINE, USERLAND

_AIMS: Final = {
    KERNEL: [(FORWARDING, 1.3)],
    USERLAND: [(RTPENGINE, 0.9), (BARE, 1.15)],
}  # and what is compared with what
_NO_COST: Final = 100.0  # ns: forwarding a packet takes longer than that on any machine


def run_media_bench(calls: int, seconds: float) -> int:
    """`calls` for `seconds` are the second part. The exit status is 0 whatever could be measured."""
    print(f"RTP from a PBX to a carrier, flood of {bench_flood.STREAMS} streams through veth: CPU per packet")
    try:
        table = bench_flood.run()
    except UnavailableError as error:
        print(f"  not measured: {error}")
        _on_loopback()
        return 0
    _print(flood_lines(table))
    print(f"{calls} calls, RTP both ways at 50 packets/s ({calls * 100} packets/s), {seconds:g} seconds")
    forwarding = None
    for talk in bench_talk.run(calls, seconds):
        if isinstance(talk, bench_talk.Talk) and talk.name == FORWARDING:
            forwarding = talk
        _print(talk_lines(talk, forwarding))
    return 0


def _on_loopback() -> None:
    print("RTP relay in user space, over loopback")
    try:
        bench_media.run()
    except (UnavailableError, OSError) as error:
        print(f"  not measured: {reason(error)}")


def flood_lines(table: bench_flood.Table) -> list[str]:
    lines = [_line(table, name) for name in CONTENDERS if name != DROPPED]
    lines += [
        f"{name}: {table.lost(name)} of {table.sent(name)} packets did not arrive"
        for name in table.names
        if name != DROPPED and table.lost(name)
    ]
    if KERNEL in table.names and table.in_kernel < 0.999:
        lines.append(f"only {table.in_kernel:.1%} of the kernel engine's packets were relayed by the kernel")
    if table.costs(FORWARDING) and _median(table, FORWARDING) < _NO_COST:
        lines.append("this kernel keeps interrupts out of a process's time: figures of the kernel's part do not hold")
    return lines


def _line(table: bench_flood.Table, name: str) -> str:
    costs = table.costs(name)
    if not costs:
        return f"{name:<32}not measured: {table.missing.get(name, 'no turn was finished')}"
    parts = ""
    if (process := statistics.median(cost.process for cost in costs)) > 0:
        parts = f"({process / 1000:.2f} in the process) "
    ratios = [
        f"{ratio:.2f} × {other} (aim {aim} ×)"
        for other, aim in _AIMS.get(name, [])
        if (ratio := table.ratio(name, other)) is not None
    ]
    return f"{name:<32}{_median(table, name) / 1000:>13.2f} µs CPU   {parts}{', '.join(ratios)}".rstrip()


def _median(table: bench_flood.Table, name: str) -> float:
    return statistics.median(cost.whole for cost in table.costs(name))


def talk_lines(talk: bench_talk.Talk | bench_talk.Missing, forwarding: bench_talk.Talk | None) -> list[str]:
    if isinstance(talk, bench_talk.Missing):
        return [f"{talk.name:<32}not measured: {talk.why}"]
    heard = talk.heard
    latency = f"latency {heard.latency(0.5):.1f} µs, p99 {heard.latency(0.99):.1f} µs"
    if heard.latency(0.99) >= bench_talk.LONGEST_US:
        latency += " or more"
    elif forwarding is not None and forwarding is not talk:
        latency += f", {heard.latency(0.99) - forwarding.heard.latency(0.99):+.1f} µs beside forwarding"
    process = f"; {talk.process / talk.sent / 1000:.2f} µs CPU each in the process" if talk.process else ""
    lines = [
        f"{talk.name:<32}{talk.rate:>7.0f} packets/s   {latency}",
        f"{'':<32}{talk.sent} packets, {talk.sent - heard.packets} lost, {heard.late} late or doubled{process}",
    ]
    if talk.userland:
        middle, most = statistics.median(talk.userland), max(talk.userland)
        lines.append(f"{'':<32}before the kernel had a stream: {middle:.0f} packets of it, at most {most}")
    return lines


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(f"  {line}", flush=True)
