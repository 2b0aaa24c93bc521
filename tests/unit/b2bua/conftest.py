"""Calls that talk, without a wire: what the machines of transfer need of a call, and nothing else."""

from collections import Counter
from types import SimpleNamespace

import pytest

from sbc.b2bua.account import Account, WallClock
from sbc.b2bua.identity import Parties
from sbc.b2bua.moved import Moves
from sbc.b2bua.reports import LegAsked, LegReplied
from sbc.b2bua.states import Ended, Talking
from sbc.b2bua.totals import Totals
from sbc.b2bua.transfer import Transfer
from sbc.core.timers import TimerTable
from sbc.peering.paths import PathLedger
from sbc.policy.load import Source, parse_policy
from sbc.sip.dialog.dialog import Dialog
from sbc.sip.message import Request, Response
from sbc.sip.timing import DEFAULT_TIMING
from sbc.testing.seeds import seeded_ids
from sbc.trace.recorder import Recorder

POLICY = """
interfaces:
  inside: {sip: [udp:10.0.0.1:5060], media: 10.0.0.1}
  outside: {sip: [udp:203.0.113.1:5060], media: 203.0.113.1}
pbxs:
  office: {interface: inside, address: sip:10.0.0.5:5060, transfer: %s, dids: ["+14155550100-+14155550199"]}
  branch: {interface: inside, address: sip:10.0.0.6:5060, dids: ["+14155550200-+14155550299"]}
trunks:
  carrier: {interface: outside, servers: ["sip:198.51.100.7:5060"], domain: carrier.example}
  spare: {interface: outside, servers: ["sip:198.51.100.8:5060"], transfer: terminate}
routes:
  - {name: no-premium, from: office, to: ["+1900."], reject: 403}
  - {name: inbound, from: [carrier, spare, office], to: dids}
  - {name: outbound, from: office, to: [national, "+44X."], via: [carrier]}
"""
ANN, FAR, TARGET = "+14155550101", "+442079460001", "+442079460002"


class Leg:
    """What it was told, in order: (what, …)."""

    def __init__(self, ref, n, peer):
        self.ref, self.n, self.peer = ref, n, peer
        self.is_closed = False
        self.heard = self.is_quiet = True
        self.dialog = Dialog(
            f"{ref}-{n}@{peer.name}", f"us-{ref}-{n}", f"they-{ref}-{n}", "", "", 1, 1, (), f"sip:x@{peer.name}", ""
        )

    def has_dialog(self, call_id, local_tag, remote_tag):
        dialog = self.dialog
        return (dialog.call_id, dialog.local_tag, dialog.remote_tag) == (call_id, local_tag, remote_tag)

    def ask(self, method, token, fields=(), body=b""):
        return [] if self.is_closed else [("ask", self.n, method, token, dict(fields), body)]

    def reply(self, key, status, fields=(), body=b"", *, contact=False):
        return [("reply", self.n, status, dict(fields))]

    def accept(self, body, now):
        return [("answer", self.n, body)]

    def release(self, status, fields):
        was, self.is_closed = self.is_closed, True
        return [] if was else [("bye", self.n)]


class Media:
    def __init__(self, ref):
        self.ref, self.sides, self.is_up, self.is_answered = (
            ref,
            {"ingress": f"{ref}-i", "egress": f"{ref}-e"},
            True,
            True,
        )
        self.released, self.offer = (), None
        self.fault = None

    def described(self, side):
        return f"as {side} has it"

    def give_side(self, name):
        return self.sides.pop(name)

    def take_side(self, name, side, now):
        self.sides[name] = side

    def answer_locally(self, name, offer, now):
        if self.fault is not None:
            raise self.fault
        return f"answer of {name} to {offer}"

    def relay(self):
        return ("relay", self.ref)

    def report(self, counts):
        return f"heard {counts}"

    def release(self, now):
        self.released = tuple(self.sides.values())


class Holdings:
    def __init__(self, call):
        self.usages, self.returned, self._call = [], [], call

    def give_back_path(self, leg):
        self.returned.append(leg)
        self._call.context.relations.paths.give_back(self._call.ref, leg)

    def take_in(self, other, moved):
        pass

    def answered(self, now):
        pass


class Call:
    """`peers`: of the two legs, the caller's first."""

    def __init__(self, ref, peers, numbers, context):
        self.ref, self.context = ref, context
        self.state = Talking(0.0)
        self.legs = [Leg(ref, n, context.policy.peers[peer]) for n, peer in enumerate(peers)]
        self.pair = (0, 1)
        self.errand = None
        self.parties = Parties(numbers[1], numbers[0], "Somebody", 70, diversions=("x",))
        self.account = Account(ref, peers[0], f"{ref}-0", 0.0)
        self.account.caller, self.account.called = numbers
        self.account.answered_at = 1.0
        self.media, self.holdings, self.joined, self.why = Media(ref), Holdings(self), [], ""
        self.timers = TimerTable()
        self.modification = SimpleNamespace(abandon=lambda now: [("abandon", self.ref)])
        self.transfer = Transfer(self)
        self.tags = [leg.dialog.local_tag for leg in self.legs]
        for leg in self.legs:
            context.dialogs[leg.dialog.local_tag] = (ref, leg.n)
        context.calls[ref] = self

    def opposite(self, leg):
        return self.pair[1] if leg == self.pair[0] else self.pair[0]

    def side_of(self, leg):
        return "ingress" if leg == self.pair[0] else "egress"

    def take_requests(self, other, moved):
        self.requests_of = (other.ref, dict(moved))

    def renegotiate(self, now):
        return [("renegotiate", *self.pair)]

    def explain(self, why, now):
        self.why = why

    def log(self, event, *fields):
        return ("log", event, dict(fields))

    def end(self, ending, now):
        self.state = Ended(ending, now)
        return [*self.transfer.ended(now), ("end", ending)]

    # --- what its legs report -----------------------------------------------------------------------------------------

    def refers(self, by, target, now=1.0, **fields):
        named = [(name.replace("_", "-"), value) for name, value in fields.items()]
        return self.asks(by, "REFER", now, ("Refer-To", target), ("CSeq", "9 REFER"), *named)

    def asks(self, leg, method, now, *fields, body=b""):
        request = Request(method, "sip:us", (("Call-ID", self.legs[leg].dialog.call_id), *fields), body)
        return self.transfer.asked(LegAsked(leg, ("key", method), request), now)

    def replies(self, asked, status, now=1.5, **fields):
        named = tuple((name.replace("_", "-"), value) for name, value in fields.items())
        response = None if status is None else Response(status, "", named)
        return self.transfer.replied(LegReplied(asked[1], asked[3], response), now)


@pytest.fixture
def engine():
    """Makes calls that talk; `transfer` is the office's."""

    def make(transfer="terminate"):
        policy = parse_policy([Source("a.yaml", (POLICY % transfer).encode())])
        return SimpleNamespace(
            policy=policy,
            ids=seeded_ids(),
            calls={},
            dialogs={},
            moves=Moves(),
            session_ids={},
            outcomes=Counter(),
            hosts={"inside": "10.0.0.1", "outside": "sbc.example"},
            wall=WallClock(),
            relations=SimpleNamespace(paths=PathLedger()),
            totals=Totals(),
            trace=Recorder(),
            timing=DEFAULT_TIMING,
        )

    return make


@pytest.fixture
def talking(engine):
    """The carrier's caller talks with Ann of the office (legs 0 and 1); with `more` calls in the same engine."""

    def make(*more, transfer="terminate"):
        context = engine(transfer)
        calls = [Call("one", ("carrier", "office"), (FAR, ANN), context)]
        calls += [Call(*each, context) for each in more]
        return calls[0] if not more else calls

    return make


@pytest.fixture
def consulting(talking):
    """The same, while Ann has a second call, with somebody whom the carrier has brought her to."""

    def make(transfer="terminate", via="carrier"):
        return talking(("two", ("office", via), (ANN, TARGET)), transfer=transfer)

    return make
