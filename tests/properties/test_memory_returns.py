"""Attackers fill every table that a peer can fill, in one process, with bounds far below the real ones: each table
stays within its bound, others' calls go on meanwhile, and when the attackers are gone the memory is as it was.
"""

import gc
import tracemalloc
from itertools import count

import pytest

from sbc.b2bua.commands import OpenPorts, WriteCdr
from sbc.b2bua.events import CdrDurable, PortsOpened
from sbc.b2bua.switch import Switch
from sbc.core import limits
from sbc.core.address import Address, Flow, Transport
from sbc.sip.commands import LookUp, SendMessage
from sbc.sip.events import LookedUp
from sbc.testing.build import request
from sbc.testing.seeds import seeded_ids
from sbc.testing.world import DID, FAR, POLICY, read_policy

INSIDE = Flow(Transport.UDP, "inside", Address("10.0.0.1", 5060), Address("10.0.0.5", 5060))
OUTSIDE = Flow(Transport.UDP, "outside", Address("203.0.113.1", 5060), Address("198.51.100.7", 5060))
TALKATIVE = {
    "methods": ["INVITE", "INFO", "MESSAGE", "OPTIONS", "PUBLISH", "SUBSCRIBE", "NOTIFY"],
    "events": ["presence"],
}
SMALL = {
    "CALLS": 40,
    "TRANSACTIONS": 400,
    "TRANSACTIONS_RESERVED": 40,
    "TRANSACTION_OCTETS": 2_000_000,
    "EXCHANGES": 40,
    "SUBSCRIPTIONS": 40,
    "PUBLICATIONS": 40,
    "NAMES": 50,
    "LOOK_UPS": 40,
    "REQUESTS_AWAITING_NAMES": 20,
    "TRACE_CALLS": 40,
    "TRACE_OCTETS": 400_000,
    "TRACE_OCTETS_RUNNING": 400_000,
    "TRACE_FORMER_DIALOGS": 40,
    "TRACE_PEERS": 10,
    "HEP_QUEUE": 100,
    "HEP_QUEUE_OCTETS": 400_000,
}
PRESENCE = (("Event", "presence"), ("Contact", "<sip:a@10.0.0.5>"), ("Expires", "60"))
FLOOD = 600  # of each kind: more than any table of a peer's holds


class Siege:
    """An engine, its runtime, and its attackers. `now` is the engine's clock; nothing here is real."""

    def __init__(self):
        peers = {"office": TALKATIVE, "carrier": TALKATIVE}
        self.switch = Switch(read_policy(POLICY, peers), seeded_ids())
        self.now = 0.0
        self.n = count()
        self.answers = 0
        self.perform(self.switch.start(0.0))
        self.switch.trace.lay_out(on=True)

    def perform(self, commands):
        for command in commands:
            assert getattr(command, "event", "") not in ("call.crashed", "engine.failure"), command
            match command:
                case OpenPorts(local, pairs):
                    ports = tuple(range(20_000, 20_000 + 2 * pairs, 2))
                    self.perform(self.switch.handle(PortsOpened(local, ports), self.now))
                case WriteCdr(record):
                    self.perform(self.switch.handle(CdrDurable(record.ref), self.now))
                case LookUp(name, kind):
                    if next(self.n) % 2:  # half of the name servers say nothing
                        self.perform(self.switch.handle(LookedUp(name, kind, failed="SERVFAIL"), self.now))
                case SendMessage():
                    self.answers += 1

    def receives(self, data, flow):
        self.perform(self.switch.receive(data, flow, self.now))
        self.within_bounds()

    def within_bounds(self):
        for table in self.switch.tables():
            spare = limits.TRANSACTIONS_RESERVED if table.name == "transactions" else 0
            spare += 70_000 if table.name == "transaction_octets" else 0  # the message that fills it
            assert table.used <= table.most + spare, table

    def passes(self, seconds):
        end = self.now + seconds
        while (at := self.switch.next_deadline()) is not None and at <= end:
            self.now = max(self.now, at)
            self.perform(self.switch.tick(self.now))
        self.now = end
        self.perform(self.switch.tick(end))

    def asks(self, method, flow, *, to=FAR, size=0, **options):
        n = next(self.n)
        fields = options.pop("fields", ())
        if size:
            fields = (*fields, ("Content-Type", "text/plain"))
        made = request(
            method,
            uri=f"sip:{to}@{flow.local.host}",
            to=f"sip:{to}@{flow.local.host}",
            sender=f"sip:+14155550100@{flow.remote.host}",
            source=flow.remote,
            call_id=f"siege-{n}",
            branch=f"z9hG4bKsiege{n}",
            from_tag=f"t{n}",
            fields=fields,
            **options,
        )
        lines = [f"{made.method} {made.uri_text} SIP/2.0", *(f"{name}: {value}" for name, value in made.fields)]
        head = [line for line in lines if not line.startswith("Content-Length")]
        body = made.body + b"x" * size
        text = "\r\n".join([*head, f"Content-Length: {len(body)}", "", ""])
        self.receives(text.encode() + body, flow)

    def attack(self):
        """The PBX has been taken over, the carrier too, and the Internet is what it is."""
        for n in range(FLOOD):
            self.asks("INVITE", INSIDE, sdp=True)
            self.asks("INVITE", OUTSIDE, to=DID, sdp=True, contact=f"sip:a@h{n}.hostile.example")
            self.asks("MESSAGE", INSIDE, size=50)
            self.asks("MESSAGE", OUTSIDE, to=DID, size=30_000)
            self.asks("SUBSCRIBE", INSIDE, fields=PRESENCE)
            self.asks("PUBLISH", OUTSIDE, to=DID, fields=PRESENCE)
            self.asks("OPTIONS", OUTSIDE, to="ping", size=30_000)
            self.receives(b"garbage" * 100, INSIDE)
            stranger = Address(f"192.0.{n % 250}.{n // 250 + 1}", 1024 + n)
            self.receives(b"INVITE sip:1@2 SIP/2.0\r\n" * 20, Flow(Transport.UDP, "outside", OUTSIDE.local, stranger))
            self.now += 0.01

    def memory(self):
        gc.collect()
        return tracemalloc.get_traced_memory()[0]


@pytest.fixture
def siege(monkeypatch):
    for name, value in SMALL.items():
        monkeypatch.setattr(limits, name, value)
    tracemalloc.start()
    yield Siege()
    tracemalloc.stop()


def test_every_table_stays_within_its_bound_and_the_memory_comes_back(siege):
    siege.attack()
    siege.passes(600.0)  # what is kept of what is over (rings, caches) has been filled once
    siege.attack()
    during = siege.memory()
    full = {table.name for table in siege.switch.tables() if table.used >= table.most * limits.PEER_SHARE * 0.9}
    assert full >= {"calls", "transactions", "transaction_octets", "exchanges"}, full
    siege.passes(600.0)
    after = siege.memory()
    left = {t.name: t.used for t in siege.switch.tables() if t.used and not t.is_ring and t.name != "publications"}
    assert left == {}
    siege.attack()
    again = siege.memory()
    siege.passes(600.0)
    end = siege.memory()
    print(
        f"\nmemory: {during / 1e6:.1f} MB in the siege, {after / 1e6:.1f} after, {again / 1e6:.1f} and {end / 1e6:.1f}"
    )
    assert end - after < 300_000, "another siege leaves nothing that those before have not left"
    assert again < during * 1.1
    assert siege.switch.is_idle


def test_another_peer_is_served_in_the_middle_of_it(siege):
    """The carrier's calls come in while the PBX's fill its share, and the PBX's while the carrier's do."""
    for _ in range(FLOOD):
        siege.asks("INVITE", INSIDE, sdp=True)
        siege.asks("MESSAGE", INSIDE, size=3_000)
    calls = len(siege.switch.calls)
    siege.asks("INVITE", OUTSIDE, to=DID, sdp=True)
    assert len(siege.switch.calls) == calls + 1
    siege.passes(600.0)
    assert siege.switch.is_idle
