"""What all parts of a test phone share: its line, its calls, its clock, its complaints, and the plainest of moves.

The parts (`calling`, `called`, `updating`, `reliably`, `timing`, `referring`, `beside_calls`) know this and, where they
must, each other; `agent` knows them all and hands each what came for it.
"""

from collections.abc import Callable, Iterable

from sbc.core.ids import IdSource
from sbc.core.timers import Schedule
from sbc.sip.commands import SendMessage
from sbc.sip.message import Fields, Request
from sbc.sip.timing import Timing
from sbc.sip.transaction.layer import TransactionLayer
from sbc.sip.transaction.outputs import Out
from sbc.testing import offers
from sbc.testing.line import Identity, Line
from sbc.testing.party import Party, Stage
from sbc.testing.script import Script
from sbc.testing.voice import Voice

Key = tuple[str, ...]  # of a server transaction


class Bench:
    """`timers`: what happens to party n when its timer of that name is due, told by the parts."""

    def __init__(self, identity: Identity, ids: IdSource, timing: Timing, voice: Voice) -> None:
        self.ids = ids
        self.timing = timing
        self.voice = voice
        self.script = Script()
        self.parties: list[Party] = []
        self.heard: list[str] = []
        self.requests: list[Request] = []  # all that came and are no repetitions, in order
        self.complaints: list[str] = []
        self.layer = TransactionLayer(ids, timing)
        self.line = Line(identity, self.layer, ids, self.script)
        self.timers: dict[str, Callable[[int, float], None]] = {}
        self.due: Schedule[tuple[str, int]] = Schedule()
        self.watchers: list[Callable[[Party, int, float], None]] = []  # hear how calls of ours get on
        self.taker: Callable[[Party, float], None] | None = None  # hears of calls that come, in place of the script
        self.mourners: list[Callable[[Party], None]] = []  # hear that a call is over
        self.out: list[SendMessage] = []
        self.has_crashed = False

    # --- what goes out ------------------------------------------------------------------------------------------------

    def send(self, outs: Iterable[Out]) -> None:
        for out in outs:
            if not isinstance(out, SendMessage):
                raise AssertionError(f"nobody takes {out}")  # noqa: TRY004 - an error of the kit, not of its user
            self.out.append(out)

    def respond(self, party: Party, status: int, now: float, body: bytes = b"", fields: Fields = ()) -> None:
        """To the INVITE that waits."""
        if status >= 200 and party.invite_key is not None:
            party.has_final = True
            if party.answered_at is None:
                party.status = status
        self.send(self.line.respond(party, status, now, body, fields))

    def reply(self, key: Key, status: int, now: float, *, fields: Fields = (), sdp: bytes = b"", tag: str = "") -> None:
        self.send(self.line.reply(key, status, now, tag=tag, fields=fields, sdp=sdp))

    def ask(self, party: Party, method: str, now: float, fields: Fields = (), body: bytes = b"") -> None:
        """A request within the dialog."""
        self.send(self.line.request(party, method, now, fields=fields, body=body))

    def hang_up(self, party: Party, now: float, fields: Fields = ()) -> None:
        self.ask(party, "BYE", now, fields)
        self.end(party, party.status)

    def judge(self, take: offers.Take, party: Party, body: bytes) -> bool:
        """What a description means, and the complaints about it; False where it could not be read.

        While a test spoils what the phone says, nobody can say whether what comes back fits.
        """
        can_read, found = offers.judged(take, party, body)
        self.complaints += found if self.line.spoil is bytes or not can_read else []
        return can_read

    # --- its calls ----------------------------------------------------------------------------------------------------

    def new_party(self, *, is_caller: bool) -> Party:
        party = Party(len(self.parties), is_caller)
        party.talk.wish = self.voice.wish()
        party.talk.lossy = party.talk.may_skip = not self.script.in_order
        self.parties.append(party)
        return party

    def party_of(self, request: Request) -> Party | None:
        """Whose dialog it is within; the newest first, for the sake of long stories."""
        call_id, tag = request.call_id, request.to.tag
        for party in reversed(self.parties):
            if party.call_id == call_id and party.local_tag == tag:
                return party
        return None

    def end(self, party: Party, status: int) -> None:
        if party.stage is not Stage.ENDED:
            for mourn in self.mourners:
                mourn(party)
        party.stage = Stage.ENDED
        party.status = status
        party.unacked = party.interval = party.retry = None
        for what in self.timers:
            self.due.set((what, party.n), None)

    def after(self, seconds: float | None, what: str, n: int, now: float) -> None:
        """Set a timer, or with None stop it."""
        self.due.set((what, n), None if seconds is None else now + seconds)

    def tell(self, party: Party, status: int, now: float) -> None:
        """A call of ours has got that far."""
        for watch in self.watchers:
            watch(party, status, now)

    def crash(self) -> None:
        """Every call, transaction and timer is gone, as after a power cut."""
        self.layer = self.line.layer = TransactionLayer(self.ids, self.timing)
        self.out.clear()
        self.has_crashed = True
        for party in self.parties:
            party.local_tag = ""  # what comes for it is for nobody now
            if party.stage is not Stage.ENDED:
                self.end(party, party.status)
