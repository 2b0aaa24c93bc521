"""`sbc replay --as-test`: one recorded call becomes a flow test that stands alone, and passes before it is written.

The test has the policy as YAML, what the peers of that call said and when, and what is expected: the messages of the
call in order, and its record. It does not hold what was before the call (registrations, bans, other calls that use up
limits): a call whose course depends on that makes no test, and that is said.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from sbc.b2bua.commands import WriteCdr
from sbc.b2bua.events import HangUpOrdered, PolicyChanged
from sbc.cdr.record import CallRecord
from sbc.cli.output import printable
from sbc.core.address import Flow
from sbc.core.errors import OperatorError
from sbc.runtime.recording import frames
from sbc.runtime.recording.files import Torn, read_life
from sbc.runtime.recording.frames import Life
from sbc.runtime.recording.replaying import Difference, Done, Replay, UnfitError
from sbc.sip.commands import SendMessage
from sbc.sip.events import FlowClosed, FlowFailed, LookedUp
from sbc.trace.ladder import moves
from sbc.trace.masking import masked_in_place

_AFTER_SECONDS: Final = 33.0  # of a call: what still comes late belongs to it
_ECHOED: Final = ("Via", "From", "Call-ID", "CSeq")  # by every response (RFC 3261 §8.2.6.2)
_SECONDS: Final = 6  # digits behind the point
_NO_NAME: Final = re.compile(r"\W+")


class _Heard(Struct, frozen=True):
    at: float
    flow: Flow
    data: bytes


class _Sent(Struct, frozen=True):
    data: bytes


class _Happened(Struct, frozen=True):
    at: float
    event: HangUpOrdered


_Moment = _Heard | _Sent | _Happened


class _Story(Struct):
    """One call as a recording has it. `moments`: in order, what was repeated only once where the SBC sent it."""

    ref: str
    texts: tuple[tuple[str, bytes], ...]
    names: dict[str, tuple[str, ...]]
    moments: list[_Moment]
    moves: list[str]
    record: CallRecord | None
    ends_at: float


def write_test(lives: Mapping[int, Sequence[Path]], ref: str, only: int | None, target: Path) -> int:
    """Raises OperatorError for a call that cannot become a test."""
    for number, segments in lives.items():
        if only not in (None, number):
            continue
        story = _Finding(ref).story(segments)
        if story is not None:
            text = "\n".join(_lines(story, target)) + "\n"
            _try(text, ref)
            try:
                target.write_text(text, "utf-8")
            except OSError as error:
                raise OperatorError(f"{target}: {error.strerror or error}") from error
            print(printable(f"{target}: a flow test of the call {ref}, and it passes"))
            return 0
    raise OperatorError(f"no call {ref} is in the recording")


# --- finding it -------------------------------------------------------------------------------------------------------


class _Finding:
    """Runs a life until the call is over, and picks out what belongs to it."""

    def __init__(self, ref: str) -> None:
        self._ref = ref
        self._texts: dict[int, tuple[tuple[str, bytes], ...]] = {}
        self._policy = 0
        self._names: dict[str, tuple[str, ...]] = {}
        self._done: list[Done] = []
        self._seen = False
        self._over_at: float | None = None

    def story(self, segments: Sequence[Path]) -> _Story | None:
        torn: list[Torn] = []
        read = read_life(segments, torn)
        life = next(read, None)
        if not isinstance(life, Life):
            return None
        replay = Replay(life)
        try:
            for result in replay.run(self._noted(read)):
                if isinstance(result, Difference):
                    raise OperatorError(f"the recording does not replay here: step {result.number} comes out otherwise")
                if self._is_enough(result, replay):
                    break
        except UnfitError as error:
            raise OperatorError(f"life {life.number}: {error}") from error
        return self._told(replay) if self._seen else None

    def _noted(self, read: Iterator[frames.Frame]) -> Iterator[frames.Frame]:
        for frame in read:
            if isinstance(frame, frames.PolicyRead):
                self._texts[frame.number] = frame.texts
            elif isinstance(frame, frames.PolicyPut) and not self._seen:
                self._policy = frame.policy
            yield frame

    def _is_enough(self, result: Done, replay: Replay) -> bool:
        self._done.append(result)
        event = _event_of(result)
        if isinstance(event, LookedUp) and event.addresses and not self._seen:
            self._names[event.name] = tuple(dict.fromkeys((*self._names.get(event.name, ()), *event.addresses)))
        trace = replay.running.trace
        if self._ref in trace and not self._seen:
            self._seen = True
            del self._done[:-1]
        elif not self._seen:
            del self._done[:]
        if not self._seen or trace.is_running(self._ref):
            return False
        now = result.step.now
        self._over_at = now if self._over_at is None else self._over_at
        return now > self._over_at + _AFTER_SECONDS

    def _told(self, replay: Replay) -> _Story:
        if self._over_at is None:
            raise OperatorError(f"the call {self._ref} is not over in the recording: it makes no test yet")
        entries = replay.running.trace.entries(self._ref, keeps_length=True)
        known = {(entry.at, entry.sent, entry.data) for entry in entries}
        zero = self._done[0].step.now
        moments: list[_Moment] = []
        record = None
        for done in self._done:
            at = done.step.now
            if isinstance(done.step, frames.Received) and (at, False, masked_in_place(done.step.data)) in known:
                moments.append(_Heard(at - zero, done.step.flow, done.step.data))
            event = _event_of(done)
            if isinstance(event, HangUpOrdered) and event.ref == self._ref:
                moments.append(_Happened(at - zero, event))
            if isinstance(event, (FlowFailed, FlowClosed, PolicyChanged)):
                continue  # what it brought about shows in the messages, or the test does not pass
            for command in done.commands:
                if isinstance(command, SendMessage) and (at, True, masked_in_place(command.data)) in known:
                    sent = _Sent(command.data)
                    moments += [] if sent in moments else [sent]
                if isinstance(command, WriteCdr) and command.record.ref == self._ref:
                    record = command.record
        texts = self._texts.get(self._policy, ())
        if not texts:
            raise OperatorError("the recording has no text of its policy")
        return _Story(self._ref, texts, self._names, moments, moves(entries), record, self._over_at - zero)


def _event_of(done: Done) -> Any:
    return frames.event_of(done.step) if isinstance(done.step, frames.Handled) else None


# --- writing it -------------------------------------------------------------------------------------------------------


def _lines(story: _Story, target: Path) -> Iterator[str]:
    name = _NO_NAME.sub("_", target.stem.removeprefix("test_")).strip("_") or "a_recorded_call"
    yield f'"""The call {story.ref} of a recording. Made by `sbc replay --as-test`."""'
    yield ""
    is_one = len(story.texts) == 1
    ordered = any(isinstance(moment, _Happened) for moment in story.moments)
    yield from ["from sbc.b2bua.events import HangUpOrdered"] * ordered
    yield from ["from sbc.policy.load import Source, parse_policy"] * (not is_one)
    yield from ("from sbc.testing.net import Conditions", "from sbc.testing.retold import Retold", "")
    for n, (_, text) in enumerate(story.texts):
        yield f"POLICY{'' if is_one else n + 1} = {_literal(text.decode('utf-8', 'replace').rstrip() + chr(10))}"
    yield from ("", "", f"def test_{name}(world):")
    policy = "POLICY"
    if not is_one:
        sources = [f'Source("policy-{n + 1}.yaml", POLICY{n + 1}.encode())' for n in range(len(story.texts))]
        policy = f"parse_policy([{', '.join(sources)}])"
    names = f", names={ {name: list(of) for name, of in sorted(story.names.items())}!r}" if story.names else ""
    yield f"    sbc = world({policy}, conditions=Conditions(delay=0.0){names})".replace("'", '"')
    yield "    story = Retold(sbc)"
    yield from _told(story)
    yield f"    story.ends({_time(story.ends_at)})"
    yield "    sbc.expects("
    yield from (f"        {_quoted(move)}," for move in story.moves)
    yield "    )"
    if story.record is not None:
        of = story.record
        yield "    record = sbc.cdr.only"
        yield f"    assert (record.cause, record.sip_status) == ({_quoted(of.cause)}, {of.sip_status})"
        yield f"    assert (record.caller, record.called) == ({_quoted(of.caller)}, {_quoted(of.called)})"
    yield "    assert sbc.idle()"


def _told(story: _Story) -> Iterator[str]:
    from sbc.testing.retold import way_of

    sent: list[bytes] = []
    for moment in story.moments:
        if isinstance(moment, _Sent):
            sent.append(moment.data)
            yield f"    # {len(sent)}: the SBC sends {_first(moment.data)}"
        elif isinstance(moment, _Happened):
            yield f"    story.happens({_time(moment.at)}, HangUpOrdered(sbc.switch.trace.refs()[-1]))"
        else:
            text = _with_places(moment.data, sent)
            yield f"    story.receives({_time(moment.at)}, {_quoted(way_of(moment.flow))}, {_literal(text)})"


def _with_places(data: bytes, sent: Sequence[bytes]) -> str:
    """What it repeats of messages of ours, by where it has it from."""
    from sbc.testing.retold import parts_of

    text = data.decode("utf-8", "surrogateescape")
    parts = [parts_of(one) for one in sent]
    if text.startswith("SIP/2.0"):
        text = _echoes(text, parts)
    tokens: dict[str, str] = {}
    for n, of in enumerate(parts, 1):
        is_answer = sent[n - 1].startswith(b"SIP/2.0")  # whose Call-ID is the peer's own
        for part in ("tag", "contact") if is_answer else ("tag", "contact", "call-id"):
            if part in of and len(of[part]) > 4:
                tokens.setdefault(of[part], f"{{{n}.{part}}}")
    head, gap, body = text.partition("\r\n\r\n")
    for token in sorted(tokens, key=len, reverse=True):
        head = head.replace(token, tokens[token])
    return head + gap + body


def _echoes(text: str, parts: Sequence[Mapping[str, str]]) -> str:
    """Of a response: whole fields of the request that it answers."""
    head, gap, body = text.partition("\r\n\r\n")
    lines = head.split("\r\n")
    vias = [line for line in lines if line.partition(":")[0].strip().lower() in ("via", "v")]
    branch = _branch(vias[0]) if vias else ""
    cseq = next((line.partition(":")[2].strip() for line in lines if line.lower().startswith("cseq")), "")
    found = [
        n
        for n, of in enumerate(parts, 1)
        if branch and branch == _branch(of.get("Via", "")) and of.get("CSeq", "").partition(":")[2].strip() == cseq
    ]
    if not found:
        return text
    kept: list[str] = []
    for line in lines:
        name = next((n for n in _ECHOED if line.partition(":")[0].strip().lower() in (n.lower(), _SHORT.get(n))), None)
        place = line if name is None else f"{{{found[-1]}.{name}}}"
        if name is None or place not in kept:
            kept.append(place)
    return "\r\n".join(kept) + gap + body


_SHORT: Final = {"Via": "v", "From": "f", "Call-ID": "i"}


def _branch(via: str) -> str:
    return via.partition("branch=")[2].partition(";")[0].partition(",")[0].strip()


def _literal(text: str) -> str:
    """Three quotes where that says exactly this."""
    plain = text.replace("\r\n", "\n")
    is_plain = text in (plain, plain.replace("\n", "\r\n")) and not plain.endswith('"')
    if is_plain and '"""' not in plain and "\\" not in plain and all(c == "\n" or c.isprintable() for c in plain):
        return f'"""\\\n{plain}"""'
    return repr(text)


def _quoted(text: object) -> str:
    return "None" if text is None else '"' + str(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _time(at: float) -> str:
    return f"{at:.{_SECONDS}f}".rstrip("0") + ("0" if f"{at:.{_SECONDS}f}".rstrip("0").endswith(".") else "")


def _first(data: bytes) -> str:
    words = data.split(b"\r\n", 1)[0].decode("utf-8", "replace").split(" ")
    return " ".join(words[1:]) if words[0] == "SIP/2.0" else words[0]


# --- trying it --------------------------------------------------------------------------------------------------------


def _try(text: str, ref: str) -> None:
    """The test that is about to be written is run once."""
    from sbc.testing.world import World

    space: dict[str, Any] = {}
    try:
        exec(compile(text, "<test>", "exec"), space)  # noqa: S102 - written by this module, texts as literals
        [test] = [found for name, found in space.items() if name.startswith("test_")]
        test(World)
    except Exception as error:
        raise OperatorError(
            f"the call {ref} makes no test that passes: it may depend on what was before it, as registrations and "
            f"challenges do\n{type(error).__name__}: {str(error)[:2000]}"
        ) from error
