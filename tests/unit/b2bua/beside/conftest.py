"""`Beside` alone, without transactions or a network: requests and responses go in, its orders are kept."""

import pytest

from sbc.b2bua.beside.beside import Beside
from sbc.b2bua.context import Context
from sbc.b2bua.media import MediaRules
from sbc.b2bua.ports import PortPool
from sbc.b2bua.reachable import locals_of
from sbc.core.address import Address, Flow, Transport
from sbc.peering.relations import Relations
from sbc.policy.engine import Policy
from sbc.sip.commands import Respond, SendRequest
from sbc.sip.locate import Locator
from sbc.sip.message import Request
from sbc.sip.timing import DEFAULT_TIMING
from sbc.sip.transaction.key import server_key
from sbc.sip.transaction.outputs import RequestReceived, ResponseReceived, TransactionFailed
from sbc.testing.build import request, response_to
from sbc.testing.seeds import seeded_ids
from sbc.testing.world import CARRIER, DID, FAR, INSIDE, OFFICE, OUTSIDE, POLICY, address_of, read_policy
from sbc.trace.recorder import Recorder

OURS = {"inside": INSIDE, "outside": OUTSIDE}
THEIRS = {"inside": OFFICE, "outside": CARRIER}


def context_of(policy):
    ids, interfaces = seeded_ids(), policy.interfaces
    locator = Locator(locals_of(interfaces.values()), ids)
    return Context(
        policy,
        Relations(policy, ids, locator.candidates),
        ids=ids,
        timing=DEFAULT_TIMING,
        ports=PortPool((), 20000, 20100, ids),
        media_rules=MediaRules(frozenset(), (20000, 20100)),
        trace=Recorder(),
    )


class Desk:
    """Plays both sides. `sent`: requests of ours; `answers`: (method, Respond); `logs`: whatever else came out."""

    def __init__(self, policy=POLICY):
        policy = policy if isinstance(policy, Policy) else read_policy(policy)
        self.now = 0.0
        self.context = context_of(policy)
        self.policy = policy
        self.beside = Beside(self.context)
        self.sent = []
        self.answers = []
        self.logs = []
        self.asked = {}  # the requests that were taken, by key
        self._n = 0

    def asks(self, method, *, side="inside", in_dialog=False, peer=None, max_forwards=70, **options):
        """A request from a peer. Returns what `Beside` has said to it."""
        self._n += 1
        source = address_of(THEIRS[side])
        options.setdefault("branch", f"z9hG4bKdesk{self._n}")
        if not in_dialog:
            called = FAR if side == "inside" else DID
            options.setdefault("call_id", f"desk-{self._n}")
            options.setdefault("uri", f"sip:{called}@{OURS[side]}")
            options.setdefault("to", options["uri"])
        options.setdefault("sender", f"sip:{DID if side == 'inside' else FAR}@{source}")
        made = request(method, source=source, **options)
        fields = [(name, str(max_forwards) if name == "Max-Forwards" else value) for name, value in made.fields]
        made = Request(method, made.uri_text, tuple(fields), made.body)
        flow = Flow(Transport.UDP, side, address_of(OURS[side]), source)
        received = RequestReceived(server_key(made), made, flow)
        speaker = self.policy.identify(side, source.host, source.port) if peer is None else self.policy.peers[peer]
        take = self.beside.take_in_dialog if in_dialog else self.beside.take
        outs = take(received, speaker, self.now)
        if outs is None:
            return None
        self.asked[received.key] = made
        return self._keep(outs)

    def answered(self, status, *, n=-1, genuine=True, **options):
        """A response to a request of ours, by default the last."""
        order = self.sent[n]
        hop = order.flow or Flow(Transport.UDP, order.interface, Address("", 0), address_of(THEIRS[order.interface]))
        asked = order.request
        via = ("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx")
        with_via = Request(asked.method, asked.uri_text, (via, *asked.fields), asked.body)
        response = response_to(with_via, status, **options)
        out = ResponseReceived(order.user, ("", order.request.method), response, hop, order.request)
        return self._keep(self.beside.take_response(order.user, out, self.now, genuine=genuine))

    def fails(self, why="timeout", *, n=-1):
        order = self.sent[n]
        failure = TransactionFailed(order.user, ("", order.request.method), why, "")
        return self._keep(self.beside.take_failure(order.user, failure, self.now))

    def waits(self, seconds):
        """Time passes, deadline by deadline."""
        until = self.now + seconds
        outs = []
        while (at := self.beside.next_deadline()) is not None and at <= until:
            self.now = max(self.now, at)
            outs += self._keep(self.beside.tick(self.now))
        self.now = until
        return outs

    def ends(self):
        return self._keep(self.beside.end(self.now))

    def reloads(self, policy):
        self.policy = self.context.policy = read_policy(policy)
        return self._keep(self.beside.change_policy(self.now))

    @property
    def last(self) -> Request:
        """The request that went out last."""
        return self.sent[-1].request

    @property
    def statuses(self):
        return [answer.status for answer in self.answers]

    def is_idle(self):
        beside = self.beside
        return not (beside.subscriptions or beside.exchanges or beside.tags) and beside.next_deadline() is None

    def _keep(self, outs):
        for out in outs:
            if isinstance(out, SendRequest):
                self.sent.append(out)
            elif isinstance(out, Respond):
                self.answers.append(out)
            else:
                self.logs.append(out)
        return outs


@pytest.fixture
def desk():
    """A function that makes a `Desk`, by default of the policy that all stories know."""
    return Desk
