"""What a switch told becomes the frames of a recording. One for each life; used by `writer`, and by tests at once."""

from collections.abc import Iterator
from weakref import WeakKeyDictionary

from sbc.b2bua.events import Event, PolicyChanged
from sbc.policy.engine import Policy
from sbc.runtime.recording import frames
from sbc.runtime.recording.engine import Taken
from sbc.runtime.recording.frames import Frame, Keeps
from sbc.runtime.recording.policies import without_secrets, write_policy


class Making:
    """`keeps`: the commands themselves, by which a replay shows what differs, or a digest of them."""

    def __init__(self, keeps: Keeps = "commands") -> None:
        self._keeps: Keeps = keeps
        # The same policy again is the same object again: the engine teaches it what DNS says.
        self._numbers: WeakKeyDictionary[Policy, int] = WeakKeyDictionary()
        self._policies = 0

    def made_of(self, taken: Taken) -> Iterator[Frame]:
        kind, args, now, drawn, came_out = taken
        if kind == "made":
            yield from self._policy(args[0])
            yield frames.Made(self._numbers[args[0]], drawn)
            return
        if kind == "shown":
            yield frames.Shown(args[0])
            return
        outcome = frames.outcome_of(came_out, self._keeps)
        if kind == "receive":
            yield frames.Received(now, args[0], args[1], drawn, outcome)
        elif kind == "tick":
            yield frames.Ticked(now, drawn, outcome)
        elif kind == "handle":
            yield from self._event(args[0], now, drawn, outcome)
        elif kind == "bad_frame":
            yield frames.BadFrame(now, args[0], args[1], args[2], drawn, outcome)
        elif kind == "start":
            yield frames.Started(now, drawn, outcome)
        else:
            yield frames.Asked(now, args[0], args[1], drawn, outcome)

    def _event(self, event: Event, now: float, drawn: frames.Draws, outcome: bytes) -> Iterator[Frame]:
        if isinstance(event, PolicyChanged):
            yield from self._policy(event.policy)
            yield frames.PolicyPut(now, self._numbers[event.policy], drawn, outcome)
        else:
            yield frames.handled(event, now, drawn, outcome)

    def _policy(self, policy: Policy) -> Iterator[Frame]:
        if policy not in self._numbers:
            self._numbers[policy] = self._policies
            self._policies += 1
            texts = tuple([(name, without_secrets(text, policy)) for name, text in policy.texts.items()])
            yield frames.PolicyRead(self._numbers[policy], write_policy(policy), texts)


def has_policy(taken: Taken) -> bool:
    return taken[0] == "made" or (taken[0] == "handle" and isinstance(taken[1][0], PolicyChanged))
