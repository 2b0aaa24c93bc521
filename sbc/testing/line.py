"""A test phone's line: what it sends, in which dialog and to whom, by way of the transaction layer.

RFC 3261 §8.1.1 (requests), §8.2.6 (responses), §12.2.1.1 (within a dialog), §13.2.2.4 (ACK). It decides nothing and
hears nothing; `agent` does.
"""

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from sbc.core.address import Address, Flow, Transport
from sbc.core.ids import IdSource
from sbc.sip.message import Fields, Request
from sbc.sip.transaction.layer import TransactionLayer
from sbc.sip.transaction.outputs import Out
from sbc.testing.binding import Binding
from sbc.testing.digest import PAIRS
from sbc.testing.party import Party, Stage
from sbc.testing.script import Script

_TARGETED: Final = frozenset({"INVITE", "UPDATE", "REFER", "SUBSCRIBE", "NOTIFY"})  # target refreshes: with Contact
_SDP_TYPE: Final = ("Content-Type", "application/sdp")


class Identity(Struct, frozen=True):
    """Who the phone is: `user`, `domain` and `name` stand in From, Contact, Call-ID and User-Agent."""

    name: str
    user: str
    domain: str
    address: Address
    transport: Transport
    interface: str

    @property
    def software(self) -> str:
        return f"{self.name}-phone/7.1"

    @property
    def contact(self) -> tuple[str, str]:
        suffix = "" if self.transport is Transport.UDP else f";transport={self.transport}"
        return ("Contact", f"<sip:{self.user}@{self.address}{suffix}>")


class Line:
    def __init__(self, identity: Identity, layer: TransactionLayer, ids: IdSource, script: Script) -> None:
        self.identity = identity
        self.layer = layer
        self.names: dict[str, str] = {}  # what host names in the far side's URIs resolve to
        self.spoil: Callable[[bytes], bytes] = bytes  # a test's hand on every description that goes out
        self.outbound: Address | None = None  # where new calls of its own accord go
        self.contact_at: Address | None = None  # where it wants to be reached, if not where it sends from
        self.script = script
        self._ids = ids

    def begin(self, party: Party, number: str, to: Address, *, domain: str | None, caller: str | None) -> None:
        """The dialog that a call of ours will have."""
        me = self.identity
        party.call_id = f"{self._ids.call_id()[:12]}@{me.name}.{me.domain.partition(':')[0]}"
        party.local_tag = self._ids.tag()
        party.local = f"<sip:{caller or me.user}@{me.domain}>"
        party.remote = f"<sip:{number}@{domain or to}>"
        party.target = party.remote[1:-1]
        party.next_hop = to
        party.stage = Stage.CALLING
        party.local_seq = 1 + self._ids.number(1000)

    @property
    def contact(self) -> tuple[str, str]:
        if self.contact_at is None:
            return self.identity.contact
        return ("Contact", f"<sip:{self.identity.user}@{self.contact_at}>")

    @property
    def allow(self) -> tuple[str, str]:
        return ("Allow", ", ".join(self.script.allow))

    @property
    def abilities(self) -> Fields:
        """Allow and Supported, as requests and responses that make or refresh a dialog carry them."""
        supported = ", ".join(self.script.supports)
        return (self.allow, ("Supported", supported)) if supported else (self.allow,)

    def invite(self, party: Party, now: float, *, sdp: bytes | None, fields: Fields = ()) -> list[Out]:
        party.local_seq += 1
        party.invite_seq = party.local_seq
        party.last_status = 0
        has_type = sdp is None or any(name == "Content-Type" for name, _ in fields)
        base: Fields = (self.contact, *self.abilities, *fields, *(() if has_type else (_SDP_TYPE,)))
        return self._start(party, "INVITE", base, self.spoil(sdp or b""), party.user(), now)

    def request(
        self,
        party: Party,
        method: str,
        now: float,
        *,
        fields: Fields = (),
        body: bytes = b"",
        sdp: bytes = b"",
        user: tuple[str, int] | None = None,
    ) -> list[Out]:
        """Within the dialog. `sdp`: a description; `body`: anything else, whose type `fields` say."""
        party.local_seq += 1
        if method in _TARGETED:
            fields = (self.contact, *fields)
        if sdp:
            fields, body = (*fields, _SDP_TYPE), self.spoil(sdp)
        kind, n = user or (method, party.n)
        return self._start(party, method, fields, body, (kind, n, party.local_seq), now)

    def ack(self, party: Party, invite: Request, body: bytes) -> list[Out]:
        """The ACK of a 2xx goes where any request in the dialog goes, with the INVITE's number (§13.2.2.4)."""
        # "UACs creating an ACK message will duplicate all of the Authorization … values", §22.1
        fields = tuple([field for field in invite.fields if field[0] in PAIRS.values()])
        ack = party.request("ACK", invite.cseq.number, (*fields, _SDP_TYPE) if body else fields, body)
        user = ("invite", party.n, invite.cseq.number)
        return self.layer.send_ack(ack, self._flow(self._next_hop(party, "ACK")), str(self.identity.address), user)

    def respond(self, party: Party, status: int, now: float, body: bytes, fields: Fields = ()) -> list[Out]:
        """To the INVITE that waits."""
        if party.invite_key is None:
            return []
        if status > 100:
            fields = (*party.record_routes(), *fields)
        if 100 < status < 300:
            fields = (self.contact, *self.abilities, *fields)
        return self.reply(party.invite_key, status, now, tag=party.local_tag, fields=fields, sdp=body)

    def reply(
        self, key: tuple[str, ...], status: int, now: float, *, tag: str = "", fields: Fields = (), sdp: bytes = b""
    ) -> list[Out]:
        """To any request."""
        if sdp:
            sdp = self.spoil(sdp)
            fields = (*fields, _SDP_TYPE)
        fields = (*fields, ("Server", self.identity.software))
        return self.layer.respond(key, status, now, to_tag=tag, fields=fields, body=sdp)

    def ask(self, method: str, uri: str, to: Address, now: float, fields: Fields, body: bytes, n: int) -> list[Out]:
        """A request outside of any dialog, the `n`th."""
        me = self.identity
        base: Fields = (
            ("Max-Forwards", "70"),
            ("From", f"<sip:{me.user}@{me.domain}>;tag={self._ids.tag()}"),
            ("To", f"<{uri}>"),
            ("Call-ID", f"{self._ids.call_id()}@{me.name}"),
            ("CSeq", f"1 {method}"),
            ("User-Agent", me.software),
        )
        request = Request(method, uri, base + fields, body)
        return self.layer.send_request(request, self._flow(to), str(me.address), ("ask", n, 1), now)[1]

    def register(self, n: int, binding: Binding, now: float, fields: Fields) -> list[Out]:
        me = self.identity
        request = binding.request(me.software, fields)
        user = ("register", n, binding.cseq)
        return self.layer.send_request(request, self._flow(binding.registrar), str(me.address), user, now)[1]

    def again(
        self,
        request: Request,
        flow: Flow,
        credentials: tuple[str, str],
        whose: Party | Binding | None,
        user: tuple[object, ...],
        now: float,
    ) -> list[Out]:
        """The same with credentials and the next CSeq, to the same place (§22.2)."""
        number = request.cseq.number + 1
        if isinstance(whose, Party):
            number = whose.local_seq = max(whose.local_seq + 1, number)
            if request.method == "INVITE":
                whose.invite_seq = number
        elif whose is not None:
            number = whose.cseq = whose.cseq + 1
        fields = [
            (name, f"{number} {request.method}" if name == "CSeq" else value)
            for name, value in request.fields
            if name != credentials[0]
        ]
        made = Request(request.method, request.uri_text, (*fields, credentials), request.body)
        return self.layer.send_request(made, flow, str(self.identity.address), (user[0], user[1], number), now)[1]

    def _start(
        self, party: Party, method: str, fields: Fields, body: bytes, user: tuple[str, int, int], now: float
    ) -> list[Out]:
        fields = (*fields, ("User-Agent", self.identity.software))
        request = party.request(method, party.local_seq, fields, body)
        flow = self._flow(self._next_hop(party, method))
        return self.layer.send_request(request, flow, str(self.identity.address), user, now)[1]

    def _next_hop(self, party: Party, method: str) -> Address:
        is_in_dialog = party.answered_at is not None or (method != "INVITE" and party.remote_tag is not None)
        if not is_in_dialog and party.next_hop is not None:
            return party.next_hop
        uri = party.route_set[0].strip("<>") if party.route_set else party.target
        host = uri.partition(":")[2].rpartition("@")[2].partition(";")[0].partition("?")[0]
        name, _, port = host.rpartition(":") if not host.endswith("]") and ":" in host else (host, "", "")
        name = name.strip("[]")
        return Address(self.names.get(name.lower(), name), int(port or 5060))

    def _flow(self, to: Address) -> Flow:
        me = self.identity
        return Flow(me.transport, me.interface, me.address, to)
