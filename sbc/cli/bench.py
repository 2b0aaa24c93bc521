"""`sbc bench`: what a message, a call and a packet cost here, as ratios where the same run has something to compare.

It prints what it measures and judges nothing: the machine may be busy. Loopback only; about a minute.
"""

from typing import Final

from sbc.cli import bench_calls, bench_declared, bench_engine, bench_shed

PARSE_AIM_US: Final = 60.0
CALL_AIM_MS: Final = 1.5
MEMORY_AIM_KIB: Final = 48.0
SHED_AIM: Final = 0.03
CALL_RATES: Final = (60.0, 200.0)  # the first is where other programs have been measured


def run_bench() -> int:
    print("SIP messages (the bench's INVITE: 14 header fields and a session description)")
    parse_us, print_us = bench_engine.parse_and_print()
    total = parse_us + print_us
    _line("parse", f"{parse_us:.1f} µs CPU")
    _line("print", f"{print_us:.1f} µs CPU")
    _line("parse and print", f"{total:.1f} µs CPU", f"{total / PARSE_AIM_US:.2f} of the aim of {PARSE_AIM_US:.0f} µs")

    print("One complete call in the engine (14 messages, both legs, routing, SDP, CDR; no sockets)")
    call_us = bench_engine.call_cost()
    _line("engine", f"{call_us / 1000:.2f} ms CPU", f"{call_us / total:.0f} × parse and print of one INVITE")
    octets = bench_engine.memory_per_call()
    _line(
        "memory per established call",
        f"{octets / 1024:.1f} KiB",
        f"{octets / 1024 / MEMORY_AIM_KIB:.2f} of the aim of {MEMORY_AIM_KIB:.0f} KiB",
    )

    print("One complete call through `sbc run` and real UDP sockets (signalling process)")
    failed = 0
    for rate in CALL_RATES:
        cost = bench_calls.call_cost(calls=round(rate * 8), rate=rate)
        failed += cost.failed
        _line(
            f"at {rate:.0f} calls/s",
            f"{cost.sbc_ms:.2f} ms CPU",
            f"{cost.sbc_ms / CALL_AIM_MS:.2f} of the aim of {CALL_AIM_MS} ms, "
            f"{cost.sbc_ms / cost.bare_ms:.0f} × bare sockets, {cost.failed} of {cost.calls} failed",
        )

    print("What a loaded SBC can do (one PBX, one carrier, UDP; signalling on one CPU)")
    shed = bench_shed.shed_cost()
    _line("a call that is refused", f"{shed.both_us:.1f} µs CPU", _share_of_call(shed, call_us))
    with bench_calls.bench_sbc() as pid:
        declared = bench_declared.measure(pid)
    _line("declared rate", f"{declared.rate:.0f} calls/s", f"{declared.busy:.0%} of one CPU, {declared.said}")

    from sbc.cli import bench_media

    print("RTP relay in user space")
    bench_media.run()
    return 0 if failed == 0 else 1


def _share_of_call(shed: bench_shed.ShedCost, call_us: float) -> str:
    share = shed.both_us / call_us
    return f"{share:.1%} of a call in the engine (aim {SHED_AIM:.0%}), its 503 and its ACK"


def _line(what: str, value: str, ratio: str = "") -> None:
    print(f"  {what:<32}{value:>16}   {ratio}".rstrip())
