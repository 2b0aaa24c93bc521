"""The whole engine with a good PBX and a good carrier, a rogue on either side, and a stranger: rogues say whatever a
test has written, and meanwhile good calls work.

The rogue PBX calls the rogue carrier, who takes and ends what reaches it. What either is sent is looked at: it can be
read, and tells nothing of the other side.
"""

import re
from typing import Final

from sbc.core.address import Address, Flow, Transport
from sbc.policy.load import Source, parse_policy
from sbc.sip.errors import ParseError
from sbc.sip.message import Request, Response
from sbc.sip.parse import parse_message
from sbc.sip.serialize import serialize
from sbc.testing.build import response_to, sdp_of
from sbc.testing.world import FAR, INSIDE, OUTSIDE, World

_MORE: Final = (
    "methods: [INVITE, UPDATE, INFO, REFER, MESSAGE, SUBSCRIBE, NOTIFY, PUBLISH, OPTIONS], "
    "events: [refer, dialog, presence], transfer: terminate, redirect: follow, t38: pass"
)
POLICY: Final = f"""
sbc: {{name: test, data_dir: /nowhere, country: US}}
interfaces:
  inside: {{sip: [udp:10.0.0.1:5060, tcp:10.0.0.1:5060], media: 10.0.0.1}}
  outside: {{sip: [udp:203.0.113.1:5060, tcp:203.0.113.1:5060], media: 203.0.113.1}}
pbxs:
  office: {{interface: inside, address: sip:10.0.0.5:5060, dids: ["+14155550100-+14155550139"]}}
  rogue: {{interface: inside, address: sip:10.0.0.66:5060, dids: ["+14155550140-+14155550199"], {_MORE}}}
trunks:
  carrier: {{interface: outside, servers: ["sip:198.51.100.7:5060"]}}
  crook: {{interface: outside, servers: ["sip:198.51.100.66:5060"], {_MORE}}}
routes:
  - {{name: good, from: office, to: ["+44X."], via: [carrier]}}
  - {{name: crooked, from: [rogue, office], via: [crook]}}
  - {{name: inbound, from: [carrier, crook], to: dids}}
"""
READ: Final = parse_policy([Source("arena.yaml", POLICY.encode())])
CALLED: Final = "+4930123456"
OURS: Final = ("10.0.0.1", "203.0.113.1")
ROGUE, CROOK, STRANGER = "10.0.0.66", "198.51.100.66", "10.0.0.99"
SECRETS: Final = {"rogue": ("10.0.0.66", "10.0.0.5", "rogueid", "roguetag"), "crook": ("198.51.100", "crooktag")}
# One message in: an answer, what it makes the other side be told, and a retransmission of something older each.
MOST_AT_ONCE: Final = 6
_REFUSAL: Final = re.compile(
    rb"SIP/2\.0 [45][0-9]{2} [ -~]+\r\n(?:[A-Za-z-]+: [^\x00-\x08\x0a-\x1f\x7f]*\r\n)+Content-Length: 0\r\n\r\n"
)
_WORKING: Final = ("peer.", "server.", "registration.", "interface.", "paths.")


class Arena:
    """`answers`: the rogue carrier takes calls; `ends`: and ends them at once."""

    def __init__(self, *, answers: bool = True, ends: bool = True) -> None:
        self.world = world = World(READ)
        self.office, self.carrier = world.office(), world.carrier()
        self.rogue = world.phone("rogue.internal", ROGUE, through=INSIDE)
        self.crook = world.phone("crook.example", CROOK, through=OUTSIDE)
        self.stranger = world.phone("stranger", STRANGER, through=INSIDE)
        for one in (self.rogue, self.crook, self.stranger):
            one.ignores()
        self._answers = answers
        self._ends = ends
        self._looked_at = 0
        self.n = 0
        self.heard: dict[str, list[Request | Response]] = {"rogue": [], "crook": []}

    # --- what is said -------------------------------------------------------------------------------------------------

    def from_rogue(self, data: bytes) -> int:
        """How many messages that made us send."""
        return self._says(data, "inside", INSIDE, ROGUE)

    def from_crook(self, data: bytes) -> int:
        return self._says(data, "outside", OUTSIDE, CROOK)

    def from_stranger(self, data: bytes) -> None:
        assert self._says(data, "inside", INSIDE, STRANGER) == 0, "a stranger was heard"

    def _says(self, data: bytes, interface: str, ours: str, source: str) -> int:
        world, host = self.world, self.world.host
        flow = Flow(Transport.UDP, interface, _address(ours), Address(source, 5060))
        before = len(world.net.log)
        world.net.perform(host, host.receive(data, flow, world.now))
        at_once = sum(sent.sender == "sbc" for sent in world.net.log[before:])
        assert at_once <= MOST_AT_ONCE, f"{at_once} messages for one"
        world.net.settle()
        self._look()
        return at_once

    def passes(self, seconds: float) -> None:
        self.world.run(seconds)
        self._look()

    # --- what is heard ------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Everything that was sent to a rogue since the last look; the rogue carrier answers what it was asked."""
        while self._looked_at < len(self.world.net.log):
            sent = self.world.net.log[self._looked_at]
            self._looked_at += 1
            who = {"rogue.internal": "rogue", "crook.example": "crook"}.get(sent.receiver or "")
            if sent.sender != "sbc" or who is None or not sent.data.strip():
                assert sent.receiver != "stranger"
                continue
            message = _readable(sent.data)
            if message is None:
                continue
            told = sent.data.decode("latin-1").lower()
            other = "crook" if who == "rogue" else "rogue"
            leaked = [secret for secret in SECRETS[other] if secret in told]
            assert not leaked, f"{leaked} in {sent.data!r}"
            assert re.search(rb"[\r\n]X-Injected", sent.data) is None, sent.data
            # Who answers an answer has put our own Via on it. What has no start line of an answer is none: it gets 400.
            assert isinstance(message, Request) or message.via.host not in OURS or message.status == 400, sent.data
            self.heard[who].append(message)
            if isinstance(message, Request) and (who == "rogue" or self._answers):
                self._obeys(who, message)

    def _obeys(self, who: str, request: Request) -> None:
        """200 to everything but INVITEs of the rogue PBX's side; a call that was taken is ended."""
        say = self.from_rogue if who == "rogue" else self.from_crook
        address = ROGUE if who == "rogue" else CROOK
        if request.method in ("ACK", "CANCEL"):
            return
        body = sdp_of(address) if request.method == "INVITE" else b""
        answer = response_to(request, 200, to_tag=f"{who}tag{self.n}", contact=f"sip:{address}", body=body)
        say(serialize(answer))
        if request.method == "INVITE" and request.to.tag is None and self._ends:
            say(self.within(request, "BYE", who, 100, f"{who}tag{self.n}"))

    def within(self, invite: Request, method: str, who: str, number: int, tag: str) -> bytes:
        """A request of the callee of `invite`."""
        address = ROGUE if who == "rogue" else CROOK
        uri = invite.contacts[0].uri  # type: ignore[index]
        return (
            f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {address}:5060;branch=z9hG4bK{method}{number}{invite.call_id}"
            f"\r\nMax-Forwards: 70\r\nFrom: <{invite.to.uri}>;tag={tag}\r\n"
            f"To: <{invite.from_.uri}>;tag={invite.from_.tag}\r\n"
            f"Call-ID: {invite.call_id}\r\nCSeq: {number} {method}\r\nContent-Length: 0\r\n\r\n"
        ).encode()

    # --- what must hold -----------------------------------------------------------------------------------------------

    def lives(self) -> None:
        """A good call is set up and ended."""
        call = self.office.invites(FAR)
        self.carrier.answers()
        assert call.stage == "talking", call.stage
        self.office.hangs_up(call=call)
        assert call.stage == "ended", call.stage
        self.unbroken()

    def unbroken(self) -> None:
        broken = [log for log in self.world.logs if log.level == "error" and not log.event.startswith(_WORKING)]
        assert not broken, broken

    def rests(self) -> None:
        """Nothing is left of anything."""
        self.passes(400.0)
        self.unbroken()
        for phone in (self.rogue, self.crook, self.stranger):
            phone.agent.complaints.clear()
        world = self.world
        assert world.idle(but=["leaks"])
        refs = [record.ref for record in world.cdr]
        assert len(refs) == len(set(refs)), "a call with two records"


def _readable(data: bytes) -> Request | Response | None:
    """None for a refusal that repeats, as it must (RFC 3261 §8.2.6.2), a field that nobody can read."""
    try:
        return parse_message(data, stream=True)
    except ParseError:
        assert _REFUSAL.fullmatch(data), data
        return None


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return Address(host, int(port))
