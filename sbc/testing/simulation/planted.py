"""Bugs that a simulation plants, so that it can be seen to find them. Production code knows nothing of this.

Each takes the place of something in the engine for the time of a `with`. `BUGS` names the invariants that may find it.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from sbc.b2bua.commands import Command, StoreState, WriteCdr
from sbc.b2bua.journal import PREFIX, decode
from sbc.b2bua.leg import saved
from sbc.b2bua.saved_call import SavedCall
from sbc.b2bua.switch import Switch
from sbc.peering.paths import PathLedger
from sbc.peering.views import HolderView
from sbc.sip.commands import SendMessage

Patches = tuple[tuple[Any, str, Any], ...]  # whose attribute, its name, and what it is meanwhile


class Bug(Struct, frozen=True):
    what: str
    found_by: tuple[str, ...]
    patches: Callable[[], Patches]


@contextmanager
def planted(name: str) -> Iterator[None]:
    """ "": none."""
    patches = BUGS[name].patches() if name else ()
    before = [(owner, attribute, getattr(owner, attribute)) for owner, attribute, _ in patches]
    for owner, attribute, value in patches:
        setattr(owner, attribute, value)
    try:
        yield
    finally:
        for owner, attribute, value in before:
            setattr(owner, attribute, value)


def _of_switch(change: Callable[[list[Command]], list[Command]]) -> Patches:
    """Whatever comes out of the engine goes through `change`."""

    def wrapped(method: Callable[..., list[Command]]) -> Callable[..., list[Command]]:
        return lambda *args: change(method(*args))

    return tuple([(Switch, name, wrapped(getattr(Switch, name))) for name in ("receive", "handle", "tick")])


def _record_twice() -> Patches:
    def change(commands: list[Command]) -> list[Command]:
        return [one for command in commands for one in [command] * (1 + isinstance(command, WriteCdr))]

    return _of_switch(change)


def _contact_inside() -> Patches:
    def shown(command: Command) -> Command:
        if isinstance(command, SendMessage) and command.flow.interface == "outside":
            return replace(command, data=command.data.replace(b"@203.0.113.1:5060>", b"@10.0.0.1:5060>"))
        return command

    return _of_switch(lambda commands: [shown(command) for command in commands])


def _answer_forgotten() -> Patches:
    def is_of_talk(command: Command) -> bool:
        is_of_call = isinstance(command, StoreState) and command.key.startswith(PREFIX) and command.value is not None
        return is_of_call and isinstance(decode(command.value or b""), SavedCall)  # type: ignore[union-attr]

    return _of_switch(lambda commands: [command for command in commands if not is_of_talk(command)])


def _cseq_repeated() -> Patches:
    return ((saved, "CSEQ_MARGIN", -1),)


def _paths_forgotten() -> Patches:
    def take_again(_ledger: PathLedger, _holders: Iterable[HolderView]) -> None:
        """Nobody holds what he held before."""

    return ((PathLedger, "take_again", take_again),)


def _path_kept() -> Patches:
    take_again, give_back_all = PathLedger.take_again, PathLedger.give_back_all
    kept: set[str] = set()

    def remember(ledger: PathLedger, holders: Iterable[HolderView]) -> None:
        holders = tuple(holders)
        kept.update(holder.ref for holder in holders)
        take_again(ledger, holders)

    def forget(ledger: PathLedger, ref: str) -> None:
        if ref not in kept:
            give_back_all(ledger, ref)

    return ((PathLedger, "take_again", remember), (PathLedger, "give_back_all", forget))


BUGS: Final = {
    "record-twice": Bug("each record is ordered twice", ("records",), _record_twice),
    "contact-inside": Bug("carriers are shown our inside address", ("topology",), _contact_inside),
    "answer-forgotten": Bug(
        "the journal does not learn that a call was answered", ("lost", "one-sided"), _answer_forgotten
    ),
    "cseq-repeated": Bug("a recovered dialog begins with the last CSeq again", ("cseq",), _cseq_repeated),
    "paths-forgotten": Bug("a recovered call holds no call path", ("caps",), _paths_forgotten),
    "path-kept": Bug("a recovered call never gives its path back", ("leak",), _path_kept),
}
