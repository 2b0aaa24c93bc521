"""`sbc testcall`: a call out of a trunk, and back in where the number is ours, with real audio that is listened to.

The telephones are in this process; the running SBC opens a door for them (`policy.testcall`) and closes it when we are
done, or by itself. They reach it on the loopback interface, so this runs where the SBC runs.
"""

import ipaddress
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any, Final

import msgspec
import trio
from msgspec.structs import replace

from sbc.admin.address import TcpAddress, parse_admin_address
from sbc.cli.client import find_admin
from sbc.cli.output import printable_lines, show_json
from sbc.cli.running import Running
from sbc.cli.testcall_phone import Handset
from sbc.cli.testcall_report import DIGITS, Back, Outcome, heard, lines
from sbc.core.address import Address
from sbc.core.errors import OperatorError
from sbc.core.ids import IdSource
from sbc.policy.testcall import NAME, NOT_MINE, TESTER
from sbc.sip.commands import SendMessage
from sbc.testing.digest import Keyring
from sbc.testing.party import Party, Stage

_FIRST_WORD_SECONDS: Final = 3.0  # the SBC answers an INVITE at once
_RING_SECONDS: Final = 60.0
_OUR_RING_SECONDS: Final = 0.5
_BACK_SECONDS: Final = 5.0  # after the answer, if it has not come back before
_GOODBYE_SECONDS: Final = 3.0
_ON_ITS_WAY_SECONDS: Final = 0.2  # until what was sent last has arrived
_RECORD_SECONDS: Final = 4.0
_RECORD_LOOK_SECONDS: Final = 0.2
_RECORDS: Final = 20  # of the trunk's last ones, among which ours is
_LOOK_SECONDS: Final = 0.01
_SETTLED: Final = (Stage.TALKING, Stage.ENDED)
_SAME_DIGITS: Final = 9  # at the end of two numbers that are the same one in other forms
_FEWEST_DIGITS: Final = 4


def run_test_call(
    trunk: str, number: str, caller: str | None, seconds: float, sbc: Running, *, one_way: bool = False
) -> int:
    _must_be_here(find_admin(sbc.admin, sbc.policy))
    wanted = {"trunk": trunk, "to": number, "caller": caller, "seconds": seconds, "one_way": one_way}
    say: Callable[[str], None] = _silent if sbc.json else _say
    with ExitStack() as stack:
        test = _Test(sbc, say, stack)
        with _door(sbc, wanted | {"port": test.back.agent.address.port}) as door:
            outcome = test.run(door, seconds)
    if sbc.json:
        show_json(msgspec.to_builtins(outcome) | {"good": outcome.is_good})
    else:
        say("\n".join(lines(outcome)))
    return 0 if outcome.is_good else 1


class _Test:
    """`out` calls; `back` is called where the call comes in again."""

    def __init__(self, sbc: Running, say: Callable[[str], None], stack: ExitStack) -> None:
        ids = IdSource(os.urandom)
        self._sbc = sbc
        self._say = say
        self.out = Handset(NAME, NAME, _udp(stack), _udp(stack), ids, 400, 600)
        self.back = Handset(NAME, NAME, _udp(stack), _udp(stack), ids, 600, 400)
        self._began = 0.0
        self._came_after: float | None = None
        self._ours: Party | None = None
        self._turned_away: list[str] = []

    def run(self, door: dict[str, Any], seconds: float) -> Outcome:
        try:
            return trio.run(self._run, door, seconds)
        except BaseExceptionGroup as group:
            if group.subgroup(KeyboardInterrupt) is not None:
                raise KeyboardInterrupt from None
            raise

    async def _run(self, door: dict[str, Any], seconds: float) -> Outcome:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.out.run)
            nursery.start_soon(self.back.run)
            nursery.start_soon(self._take_calls, door)
            outcome = await self._call(door, seconds)
            nursery.cancel_scope.cancel()
        return outcome

    # --- the call -----------------------------------------------------------------------------------------------------

    async def _call(self, door: dict[str, Any], seconds: float) -> Outcome:
        outcome = Outcome(door["trunk"], door["called"], door["caller"], door["comes_back_from"])
        self._say(_announcement(outcome))
        party = await self._place(door)
        ringing_after = await self._ringing(party)
        await self._until(lambda: party.stage in _SETTLED, _RING_SECONDS)
        if party.stage is Stage.TALKING:
            outcome = await self._talk(outcome, party, seconds)
        else:
            await self._give_up(party)
            outcome = replace(outcome, status=party.status, early_packets=self.out.ear.packets)
        outcome = replace(outcome, ringing_after=ringing_after, turned_away=tuple(self._turned_away))
        return await self._with_record(outcome)

    async def _place(self, door: dict[str, Any]) -> Party:
        host, _, port = door["address"].rpartition(":")
        through = Address(host, int(port))
        self.out.agent.keyring = Keyring(door["username"], door["password"])
        self._began = trio.current_time()
        await self.out.perform(
            lambda now: self.out.agent.invite(door["number"], through, now, caller=door["caller_number"])
        )
        party = self.out.agent.parties[-1]
        if not await self._until(lambda: bool(party.heard), _FIRST_WORD_SECONDS):
            raise OperatorError(f"{through}: the SBC does not answer there; does it run on another machine?")
        return party

    async def _give_up(self, party: Party) -> None:
        if party.stage is not Stage.ENDED:
            self._say(f"nobody answered within {_RING_SECONDS:.0f} s")
            await self.out.perform(lambda now: self.out.agent.cancel(party, now))
            await self._until(lambda: party.stage is Stage.ENDED, _GOODBYE_SECONDS)

    async def _ringing(self, party: Party) -> float | None:
        await self._until(lambda: party.stage is Stage.RINGING or party.stage in _SETTLED, _RING_SECONDS)
        if party.stage is not Stage.RINGING:
            return None
        after = self._elapsed()
        self._say(f"it rings after {after:.1f} s")
        return round(after, 2)

    async def _talk(self, outcome: Outcome, party: Party, seconds: float) -> Outcome:
        answered_after = self._elapsed()
        self._say(f"answered after {answered_after:.1f} s")
        if outcome.comes_back_from is not None:
            await self._until(lambda: self._is_talking(self._ours), _BACK_SECONDS)
        is_back = self._is_talking(self._ours)
        early, sent = self.out.ear.packets, self._listen_anew()
        if is_back and self.out.can_dial():
            self.out.dial(DIGITS)
        calls, paths = await self._seen()
        await self._until(lambda: party.stage is Stage.ENDED, seconds)
        if party.stage is Stage.ENDED:
            self._say(f"it was ended from there after {self._elapsed() - answered_after:.1f} s of talk")
        self.out.is_mute = self.back.is_mute = True
        await trio.sleep(_ON_ITS_WAY_SECONDS)
        sent = self.out.voice.sent - sent[0], self.back.voice.sent - sent[1]
        both = heard("out to in", self.back.ear, sent[0]), heard("in to out", self.out.ear, sent[1])
        await self._hang_up(party)
        return replace(
            outcome,
            answered_after=answered_after,
            early_packets=early,
            back=self._came_back(calls) if is_back else None,
            heard=both if is_back else (heard("from there", self.out.ear),),
            digits=self.back.ear.digits if is_back and self.out.can_dial() else None,
            paths=tuple(paths),
        )

    def _listen_anew(self) -> tuple[int, int]:
        """What counts begins now: the first packets of a call may outrun its relay. How many were sent before."""
        self.out.listen_anew()
        self.back.listen_anew()
        return self.out.voice.sent, self.back.voice.sent

    async def _hang_up(self, party: Party) -> None:
        if party.stage is Stage.TALKING:
            await self.out.perform(lambda now: self.out.agent.hang_up(party, now))
        ours = self._ours
        await self._until(lambda: ours is None or ours.stage is Stage.ENDED, _GOODBYE_SECONDS)
        await self._until(lambda: party.stage is Stage.ENDED, _GOODBYE_SECONDS)

    # --- the call that comes back -------------------------------------------------------------------------------------

    async def _take_calls(self, door: dict[str, Any]) -> None:
        """Ours is answered; whoever else calls the number now goes on to the PBX."""
        judged = 0
        while True:
            for party in self.back.agent.parties[judged:]:
                judged += 1
                caller = _caller_of(party)
                if self._ours is None and is_same_number(caller, door["caller_number"]):
                    self._ours, self._came_after = party, self._elapsed()
                    await self._answer(party, door, caller)
                else:
                    self._turned_away.append(f"a call from {caller or 'an unknown caller'}")
                    await self.back.perform(partial(self._turn_away, party))
            await trio.sleep(_LOOK_SECONDS)

    async def _answer(self, party: Party, door: dict[str, Any], caller: str) -> None:
        shown = f"on {door['trunk']} as caller {caller}, called {party.called}"
        self._say(f"came back in after {self._came_after:.1f} s {shown}")
        await self.back.perform(lambda now: self.back.agent.ring(party, now))
        await self._until(lambda: party.stage is Stage.ENDED, _OUR_RING_SECONDS)
        if party.stage is not Stage.ENDED:
            await self.back.perform(lambda now: self.back.agent.accept(party, now))

    def _turn_away(self, party: Party, now: float) -> list[SendMessage]:
        return self.back.agent.refuse(party, NOT_MINE, now)

    def _came_back(self, calls: list[dict[str, Any]]) -> Back | None:
        call = next((call for call in calls if call["egress"] == NAME), None)
        party, after = self._ours, self._came_after
        if party is None or after is None:
            return None
        ref, trunk = (None, "") if call is None else (str(call["ref"]), str(call["ingress"]))
        return Back(round(after, 2), ref, trunk, _caller_of(party), party.called)

    # --- what the SBC says about it -----------------------------------------------------------------------------------

    async def _seen(self) -> tuple[list[dict[str, Any]], list[str]]:
        """The calls of this test that are up, and the call paths that they hold."""
        found = (await self._ask("/api/v1/calls", key="calls"))["calls"]
        calls = [call for call in found if NAME in (call["ingress"], call["egress"])]
        refs = {call["ref"] for call in calls}
        paths = (await self._ask("/api/v1/paths", key="paths"))["paths"]
        held = [
            f"{holder['trunk']} {holder['direction']}"
            for path in paths
            for holder in path["holders"]
            if path["kind"] == "trunk" and holder["ref"] in refs
        ]
        return calls, held

    async def _with_record(self, outcome: Outcome) -> Outcome:
        """The call's record knows its cause, and what each server said."""
        with trio.move_on_after(_RECORD_SECONDS):
            while True:
                query = {"trunk": outcome.trunk, "last": str(_RECORDS)}
                found = (await self._ask("/api/v1/cdrs", query, key="cdrs"))["cdrs"]
                call_id = self.out.agent.parties[-1].call_id
                record = next((one for one in found if one["ingress_call_id"] == call_id), None)
                if record is not None:
                    return replace(
                        outcome,
                        ref=record["ref"],
                        cause=record["cause"],
                        attempts=_attempts(record),
                        refused_back=_refused_back(record, found) if outcome.comes_back_from else "",
                    )
                await trio.sleep(_RECORD_LOOK_SECONDS)
        return outcome

    async def _ask(self, path: str, query: dict[str, str] | None = None, *, key: str) -> dict[str, Any]:
        return await trio.to_thread.run_sync(partial(self._sbc.ask, path, query, key=key), abandon_on_cancel=True)

    # --- time ---------------------------------------------------------------------------------------------------------

    def _elapsed(self) -> float:
        return trio.current_time() - self._began

    @staticmethod
    def _is_talking(party: Party | None) -> bool:
        return party is not None and party.stage is Stage.TALKING

    @staticmethod
    async def _until(possible: Callable[[], bool], seconds: float) -> bool:
        with trio.move_on_after(seconds):
            while not possible():  # noqa: ASYNC110 - the agents tell nobody
                await trio.sleep(_LOOK_SECONDS)
            return True
        return False


def _announcement(outcome: Outcome) -> str:
    owner = outcome.comes_back_from
    returns = f"; it is a number of {owner}, so it should come back in" if owner else ""
    return f"calling {outcome.called} over {outcome.trunk} as {outcome.caller}{returns}"


def is_same_number(one: str, other: str) -> bool:
    """Whether two numbers are the same one in different forms: national, international, with or without a plus."""
    digits = ["".join(char for char in number if char in "0123456789") for number in (one, other)]
    length = min(_SAME_DIGITS, *map(len, digits))
    return length >= _FEWEST_DIGITS and digits[0][-length:] == digits[1][-length:]


def _refused_back(record: dict[str, Any], others: list[dict[str, Any]]) -> str:
    """How we ended what came back in and was not answered: the first call of the trunk to this number meanwhile."""
    for other in others:
        is_it = other["ingress"] == record["egress"] and other["called"] == record["called"]
        if is_it and other["started_at"] >= record["started_at"] and not other["answered_at"]:
            return f"{other['sip_status']} {other['cause']}, sbc trace {other['ref']}"
    return ""


def _caller_of(party: Party) -> str:
    """The user part of From, as it came; empty where there is none."""
    uri = None if party.invite is None else party.invite.from_.uri
    return getattr(uri, "user", None) or getattr(uri, "number", None) or ""


def _attempts(record: dict[str, Any]) -> tuple[str, ...]:
    return tuple(
        f"{attempt['peer']} {attempt['server']}, called {attempt['called_as_sent']}: "
        f"{attempt['sip_status'] or 'nothing came'}, {attempt['cause']}"
        for attempt in record["attempts"]
    )


@contextmanager
def _door(sbc: Running, wanted: dict[str, Any]) -> Iterator[dict[str, Any]]:
    door = sbc.ask("/api/v1/testcall", key="address", method="POST", body=wanted)
    try:
        yield door
    finally:
        # It would close by itself; and what ended us is what counts.
        with suppress(OperatorError):
            sbc.ask("/api/v1/testcall", key="open", method="DELETE")


def _must_be_here(admin: str) -> None:
    address = parse_admin_address(admin)
    if isinstance(address, TcpAddress) and not is_loopback(address.host):
        raise OperatorError(f"{admin}: a test call is made where the SBC runs; log in there")


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _udp(stack: ExitStack) -> trio.socket.SocketType:
    plain = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    try:
        plain.bind((TESTER, 0))
    except OSError as error:
        raise OperatorError(f"{TESTER}: {error.strerror}") from error
    return trio.socket.from_stdlib_socket(plain)


def _say(text: str) -> None:
    print(printable_lines(text), flush=True)


def _silent(_text: str) -> None:
    """With --json the result alone is printed."""
