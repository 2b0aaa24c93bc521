"""The whole engine with the quickstart policy, in memory, and its office as the one who sends odd octets.

The carrier behind it is silent. What comes out is collected until every timer has run off.
"""

from pathlib import Path

from sbc.core.address import Address, Flow, Transport
from sbc.sip.commands import CloseFlow, SendMessage
from sbc.sip.framing import BadFrame, Ping, StreamFramer
from sbc.testing.timeline import run_until
from sbc.testing.world import World

from .expect import CLOSED, PROCESSED, SILENCE, UNFINISHED

QUICKSTART = Path(__file__).parents[3] / "policies" / "quickstart"
OFFICE = Address("127.0.0.30", 5060)
CARRIER = Address("127.0.0.40", 5060)
SBC = Address("127.0.0.10", 5060)
_QUIET = 400.0


class Wire:
    def __init__(self, transport):
        self.world = World(QUICKSTART)
        connection = 0 if transport is Transport.UDP else 1
        self.flow = Flow(transport, "inside", SBC, OFFICE, connection)
        self.framer = StreamFramer()
        self.sent = []

    def takes(self, data):
        """The octets come in, and then nothing more, for longer than any timer."""
        start = self.world.now
        if self.flow.transport is Transport.UDP:
            self.sent += self.world.host.receive(data, self.flow, start)
        else:
            for frame in self.framer.feed(data, start):
                self._take(frame, start)
        self.sent += [out for _, out in run_until(self.world.host, start, start + _QUIET)]
        view = self.world.switch.snapshot(start + _QUIET)
        assert (view.calls, view.transactions, view.dialogs, view.ports) == ((), 0, 0, 0)
        assert not [log for log in self.world.logs if log.level == "error"]

    def _take(self, frame, now):
        if isinstance(frame, BadFrame):
            self.sent += self.world.host.bad_frame(frame.data, self.flow, frame.reason, now)
        elif not isinstance(frame, Ping):
            self.sent += self.world.host.receive(frame, self.flow, now)

    @property
    def answers(self):
        """What the office got, repetitions left out."""
        found = [out.data for out in self.sent if isinstance(out, SendMessage) and out.flow.remote.host == OFFICE.host]
        return list(dict.fromkeys(found))

    @property
    def finals(self):
        statuses = [int(data.split(b" ")[1]) for data in self.answers if data.startswith(b"SIP/2.0 ")]
        return tuple(status for status in statuses if status >= 200)

    @property
    def strangers(self):
        """Who was sent something besides the office and its carrier."""
        remotes = {out.flow.remote.host for out in self.sent if isinstance(out, SendMessage)}
        return remotes - {OFFICE.host, CARRIER.host}

    @property
    def is_closed(self):
        return any(isinstance(out, CloseFlow) for out in self.sent)

    def got(self, expected):
        """Whether the outcome is the expected one; several outcomes are those of several messages."""
        wanted = expected if isinstance(expected, tuple) else (expected,)
        statuses = [one for one in wanted if one not in (CLOSED, SILENCE, UNFINISHED)]
        return (
            self.is_closed is (CLOSED in wanted)
            and (self.framer.deadline is not None) is (UNFINISHED in wanted)
            and bool(self.answers) is bool(statuses)
            and len(statuses) == len(self.finals)
            and all(map(_fits, statuses, self.finals))
        )


def _fits(wanted, status):
    if wanted == PROCESSED:
        return status != 400 and not 500 <= status < 600
    return wanted == status
