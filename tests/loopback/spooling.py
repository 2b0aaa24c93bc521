"""A process that has records written as `sbc run` does, says each one that is safe, and waits to be killed.

`python spooling.py DATA_DIR FOLDER FIRST`: records are `c<FIRST>`, `c<FIRST + 1>`, … A third of the calls of the life
before are alive still, and are ended first; what else was open is closed.
"""

import sys
from pathlib import Path

import trio

from sbc.b2bua.commands import NoteCdr, WriteCdr
from sbc.b2bua.events import CdrDurable
from sbc.cdr.entry import Attempted, Started
from sbc.cdr.record import CallRecord
from sbc.cdr.store import CdrWriter
from sbc.policy.model import CdrRules, RecordFiles
from sbc.runtime.cdr_copy import CdrCopy
from sbc.runtime.cdr_records import CdrRecords
from sbc.runtime.cdr_retention import CdrRetention

OPEN = 5  # calls that are up at any moment


def record(ref: str) -> CallRecord:
    return CallRecord(
        ref=ref, ingress="office", egress="carrier", route="out", caller="+14155550100", called="+442079460001",
        called_as_sent="+442079460001", started_at=1e9, ringing_at=None, answered_at=1e9, ended_at=1e9 + 60,
        billable_ms=60_000, sip_status=200, q850=16, ended_by="caller", cause="normal", emergency=False,
        disaster=False, media=None, ingress_call_id=f"in-{ref}", egress_call_id=f"out-{ref}",
    )  # fmt: skip


async def main(data_dir: Path, folder: Path, first: int) -> None:
    def tell(event: object) -> None:
        if isinstance(event, CdrDurable):
            sys.stdout.write(f"{event.ref}\n")
            sys.stdout.flush()

    rules = CdrRules(files=RecordFiles(str(folder), "json"))
    store = CdrWriter.open(data_dir)
    records = CdrRecords(store, CdrCopy(store), CdrRetention(store, rules), tell, "sbc")
    records.start(rules)
    sink = records.sink
    alive = sorted(records._spool.open_refs())[::3]
    sink.close_open(alive)
    for ref in alive:
        sink.write(WriteCdr(record(ref)))
    n = first
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        ref = f"c{n}"
        sink.note(NoteCdr(Attempted(ref, "office", "1", "2", 1e9, f"in-{ref}")))
        sink.note(NoteCdr(Started(record(ref))))
        if n - OPEN >= first:
            sink.write(WriteCdr(record(f"c{n - OPEN}")))
        n += 1
        await trio.sleep(0.0005)


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
