"""A recording turned into one without numbers, names, digits, keys and passwords, which replays as well as the first.

Both are run side by side: the first with what it holds, the masked one with the same said otherwise. What the masked
engine orders is recorded anew, so that nothing of the first engine's words gets into it, and the masked recording
replays bit for bit by itself. Where the masked engine takes another course (sends another kind of message, or draws
otherwise) the masking has failed, and is given up. Addresses and host names stay.
Used by `sbc replay --mask`.
"""

import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from sbc.b2bua.commands import Command, StoreState
from sbc.b2bua.events import Event, MediaReplied, PolicyChanged, StateRestored
from sbc.media import wire
from sbc.policy.engine import Policy
from sbc.runtime.recording import frames
from sbc.runtime.recording.engine import RecordedSwitch, Taken
from sbc.runtime.recording.frames import KEY, Frame, Life, Step
from sbc.runtime.recording.making import Making
from sbc.runtime.recording.policies import read_policy
from sbc.runtime.recording.pseudonyms import Pseudonyms
from sbc.runtime.recording.replaying import AstrayError, Difference, Done, Replay, ReplayedIds
from sbc.sip.auth.digest import Terms, algorithm_of, digest_response
from sbc.sip.commands import SendMessage

_VALUES_REMEMBERED: Final = 4  # of one key of the journal: the disk may be behind
_CREDENTIALS: Final = re.compile(rb"(?im)^((?:proxy-)?authorization[ \t]*:[ \t]*digest[ \t]+)([^\r\n]*)")
_PARAMETER: Final = re.compile(r'([A-Za-z-]+)[ \t]*=[ \t]*(?:"([^"]*)"|([^,\s"]+))')


class MaskError(ValueError):
    """Masked, it takes another course."""


class Masking:
    """`key`: random, for numbers; `fresh`: random octets. One for all lives of a recording, in order."""

    def __init__(self, key: bytes, fresh: Callable[[int], bytes]) -> None:
        self.says = Pseudonyms(key)
        self.fresh = fresh
        # By key of the journal: values that it had, with key and value that stand for them.
        self.kept: dict[str, deque[tuple[bytes, str, bytes]]] = {}

    def life(self, life: Life, rest: Iterator[Frame]) -> Iterator[Frame]:
        """The masked frames, the life first. Raises MaskError, and UnfitError as a replay does."""
        yield replace(life, masked=True)
        yield from _Pair(self, life).run(rest)


class _Pair:
    """One life, twice."""

    def __init__(self, masking: Masking, life: Life) -> None:
        self._masking = masking
        self._says = masking.says
        self._replay = Replay(life)
        self._making = Making(life.keeps)
        self._ids = ReplayedIds()
        self._policies: dict[int, Policy] = {}
        self._passwords: dict[str, tuple[str, str]] = {}  # by user name: the real one, and the masked one
        self._switch: RecordedSwitch | None = None
        self._taken: list[Taken] = []
        self._passing: list[Frame] = []

    def run(self, rest: Iterator[Frame]) -> Iterator[Frame]:
        for result in self._replay.run(self._noted(rest)):
            if isinstance(result, Difference):
                raise MaskError(f"step {result.number} comes out otherwise here: only what replays can be masked")
            yield from self._follow(result)
        yield from self._others()

    def _noted(self, rest: Iterator[Frame]) -> Iterator[Frame]:
        for frame in rest:
            if not isinstance(frame, Step):
                self._passing.append(frame)
            yield frame

    # --- beside the steps ---------------------------------------------------------------------------------------------

    def _others(self) -> Iterator[Frame]:
        passing, self._passing = self._passing, []
        for frame in passing:
            if isinstance(frame, frames.PolicyRead):
                self._policies[frame.number] = self._policy(frame)
            elif isinstance(frame, frames.Made):
                self._feed(frame.drawn)
                self._switch = RecordedSwitch(self._policies[frame.policy], self._ids, self._taken.append)
                yield from self._told()
            elif isinstance(frame, frames.Shown):
                self._masked.show_fingerprint(frame.fingerprint)
                yield from self._told()
            elif isinstance(frame, frames.Ended):
                yield frame

    @property
    def _masked(self) -> RecordedSwitch:
        if self._switch is None:
            raise MaskError("its first steps are missing")
        return self._switch

    def _policy(self, frame: frames.PolicyRead) -> Policy:
        for part in _texts(msgspec.msgpack.decode(frame.parts)):
            self._says.learn_policy(part.encode())
        parts = self._part(msgspec.msgpack.decode(frame.parts))
        policy = read_policy(msgspec.msgpack.encode(parts))
        real = read_policy(frame.parts)
        for name, peer in policy.peers.items():
            was = real.peers[name].auth if name in real.peers else None
            if peer.auth is not None and was is not None and peer.auth.password and was.password:
                self._passwords[was.username] = (was.password.text, peer.auth.password.text)
        policy.texts = {name: self._yaml(text) for name, text in frame.texts}
        return policy

    def _part(self, value: Any) -> Any:
        """Of a policy as `policies` writes it."""
        if isinstance(value, str):
            return self._says.text(value.encode()).decode()
        if isinstance(value, dict):
            return {name: self._part(of) for name, of in value.items()}
        if not isinstance(value, list) or not value:
            return value
        if value[0] == "Secret":
            return ["Secret", ["text", "x" * len(str(value[1][1]))]]
        if value[0] == "KeyPair":
            return ["KeyPair", *[[name, "" if name == "chain" else self._part(of)] for name, of in value[1:]]]
        return [value[0], *[self._part(one) for one in value[1:]]]

    def _yaml(self, text: bytes) -> bytes:
        masked = self._says.text(text)
        for secret, other in self._passwords.values():
            pattern = (
                re.escape(secret.encode()) if len(secret) > 3 else rb"(?<=password: )" + re.escape(secret.encode())
            )
            masked = re.sub(pattern, other.encode(), masked)
        return masked

    # --- steps --------------------------------------------------------------------------------------------------------

    def _follow(self, done: Done) -> Iterator[Frame]:
        yield from self._others()
        self._feed(done.step.drawn)
        try:
            self._take(done.step)
        except AstrayError as error:
            raise MaskError(f"step {done.number}: masked, {error}") from None
        except MaskError:
            raise
        except Exception as error:  # a step that raised before raises again, and is recorded so
            if done.commands:
                raise MaskError(f"step {done.number}: masked, it raises {type(error).__name__}") from error
        came_out = self._taken[-1][4]
        commands = came_out if isinstance(came_out, list) else []
        if self._ids.left or _course(commands) != _course(done.commands):
            raise MaskError(
                f"step {done.number}: masked, it orders {', '.join(_course(commands)) or 'nothing'} "
                f"instead of {', '.join(_course(done.commands)) or 'nothing'}"
            )
        self._keep(done.commands, commands)
        yield from self._told()

    def _feed(self, drawn: frames.Draws) -> None:
        """The same digits, so that what peers say of our tags still fits; other keys, of which nobody says anything."""
        self._ids.feed([self._masking.fresh(len(one) // 2 - 2).hex() if one.startswith(KEY) else one for one in drawn])

    def _told(self) -> Iterator[Frame]:
        taken, self._taken[:] = list(self._taken), []
        for one in taken:
            yield from self._making.made_of(one)

    def _take(self, step: Step) -> None:
        switch = self._masked
        match step:
            case frames.Received(now, data, flow):
                switch.receive(self._message(data), flow, now)
            case frames.Ticked(now):
                switch.tick(now)
            case frames.Handled(now):
                switch.handle(self._event(frames.event_of(step)), now)
            case frames.PolicyPut(now, number):
                switch.handle(PolicyChanged(self._policies[number]), now)
            case frames.BadFrame(now, data, flow, reason):
                switch.bad_frame(self._says.message(data), flow, reason, now)
            case frames.Started(now):
                switch.start(now)
            case frames.Asked(_, transport, local):
                switch.lets_go(transport, local)

    def _event(self, event: Event) -> Event:
        match event:
            case StateRestored(items, is_late):
                return StateRestored(tuple([self._restored(key, value) for key, value in items]), is_late)
            case MediaReplied(wire.DigitHeard() as heard):
                return MediaReplied(replace(heard, digit="0"))
            case _:
                return event

    def _restored(self, key: str, value: bytes) -> tuple[str, bytes]:
        for was, other_key, other in self._masking.kept.get(key, ()):
            if was == value:
                return other_key, other
        if key.startswith("call/"):
            raise MaskError("it begins with calls that were up before it, whose keys cannot be found in what was kept")
        for text in (key.encode(), value):
            self._says.learn(text)
        return self._says.text(key.encode()).decode(), self._says.text(value)

    def _keep(self, commands: tuple[Command, ...], masked: list[Command]) -> None:
        for was, other in zip(commands, masked, strict=True):
            if isinstance(was, StoreState) and isinstance(other, StoreState) and was.value and other.value:
                kept = self._masking.kept.setdefault(was.key, deque(maxlen=_VALUES_REMEMBERED))
                kept.append((was.value, other.key, other.value))

    # --- credentials --------------------------------------------------------------------------------------------------

    def _message(self, data: bytes) -> bytes:
        masked = self._says.message(data)
        if b"uthorization" not in data:
            return masked
        method = data.split(b" ", 1)[0].decode("ascii", "replace")
        given, says = _CREDENTIALS.findall(data), self._says

        def answered(found: "re.Match[bytes]") -> bytes:
            was = _parameters(given.pop(0)[1]) if given else {}
            real, other = self._passwords.get(was.get("username", ""), ("", ""))
            shown = _parameters(found[2])
            response = shown.get("response", "")
            # What was wrong stays wrong, and nobody can try passwords on it.
            answer = "0" * len(response)
            if real and _response(was, method, real) == was.get("response", "").lower():
                answer = _response(shown, method, other) or answer
            return found[1] + found[2].replace(response.encode(), answer.encode()) if response else says.text(found[0])

        return _CREDENTIALS.sub(answered, masked)


def _parameters(text: bytes) -> dict[str, str]:
    found = _PARAMETER.findall(text.decode("utf-8", "surrogateescape"))
    return {name.lower(): quoted or plain for name, quoted, plain in found}


def _response(of: Mapping[str, str], method: str, password: str) -> str:
    """Empty where it is of a kind that is not known."""
    algorithm = algorithm_of(of.get("algorithm"))
    if algorithm is None or of.get("qop", "auth").lower() != "auth":
        return ""
    terms = Terms(
        method,
        of.get("uri", ""),
        of.get("realm", ""),
        of.get("nonce", ""),
        algorithm[0],
        session=algorithm[1],
        qop="auth" if "qop" in of else "",
        nc=of.get("nc", ""),
        cnonce=of.get("cnonce", ""),
    )
    return digest_response(terms, of.get("username", ""), password)


def _course(commands: "list[Command] | tuple[Command, ...]") -> list[str]:
    """What is ordered, in a word each."""
    return [
        command.data.split(b" ", 1)[0].decode("ascii", "replace")
        + (command.data[7:11].decode("ascii", "replace") if command.data.startswith(b"SIP/2.0") else "")
        if isinstance(command, SendMessage)
        else type(command).__name__
        for command in commands
    ]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for of in value.values():
            yield from _texts(of)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
