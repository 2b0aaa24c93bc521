"""Every SRTP key of a worker, each with its one `Sender` or `Receiver`, and the sessions that hold it.

So a key that stays keeps its counters and replay lists, through re-INVITEs, in whichever of an end's places it stands,
and on a port that goes on in another session. A session holds each key that it ever had, SRTP_KEYS of each kind
besides those it has now, until it is over: a key that comes back must not begin anew. Used by `securing`.
"""

from collections.abc import Collection

from sbc.core.limits import SRTP_KEYS
from sbc.media.wire import Crypto, KeyState
from sbc.media.worker.slots import Memory
from sbc.media.worker.srtp import Receiver, Sender
from sbc.media.worker.srtp_memory import BEHIND, Record, Records, has_room, owner_of

Name = tuple[str, bytes, bool]  # suite, key, whether we send under it


class Keyring:
    """`memory`: that of the slots, of a worker's own, with room behind them; else what is known dies with us.

    It is looked through when the first key comes: a start is a gap that callers hear.
    """

    __slots__ = ("_held", "_holders", "_memory", "_receivers", "_records", "_senders")

    def __init__(self, memory: Memory | None = None) -> None:
        self._memory = memory
        self._records: Records | None = None
        self._senders: dict[Name, Sender] = {}
        self._receivers: dict[Name, Receiver] = {}
        self._holders: dict[Name, set[str]] = {}
        self._held: dict[str, dict[Name, None]] = {}  # by session, in the order in which they were put last

    @property
    def records(self) -> Records:
        if self._records is None:
            self._records = Records(self._memory, BEHIND) if has_room(self._memory) else Records()
        return self._records

    @property
    def used(self) -> int:
        """Records that are not free. They are not looked through for it."""
        return 0 if self._records is None else self._records.used

    def sender(
        self, ref: str, crypto: Crypto, *, is_resumed: bool, is_lost: bool = False, is_adopted: bool = False
    ) -> Sender:
        """The one of `crypto.send`, which this session holds from now on. `is_lost`: see `Sender`.
        `is_adopted`: see `PutSession.adopted`.
        """
        key = crypto.send.key
        name = (crypto.suite, key, True)
        sender = self._senders.get(name)
        if sender is None:
            is_unknown = is_adopted and not self.records.has(owner_of(key, is_sent=True))
            sender = Sender(crypto.suite, key, self.records, is_resumed=is_resumed, is_lost=is_lost or is_unknown)
            self._senders[name] = sender
        elif is_lost:
            sender.lose()
        self._hold(ref, name)
        return sender

    def receivers(self, ref: str, crypto: Crypto, *, is_adopted: bool = False) -> list[Receiver]:
        """Those of `crypto.receive`, in that order."""
        found: list[Receiver] = []
        for one in crypto.receive:
            name = (crypto.suite, one.key, False)
            receiver = self._receivers.get(name)
            if receiver is None:
                is_unknown = is_adopted and not self.records.has_any(owner_of(one.key, is_sent=False))
                receiver = self._receivers[name] = Receiver(crypto.suite, one.key, self.records, goes_on=is_unknown)
            self._hold(ref, name)
            found.append(receiver)
        return found

    def states(self, crypto: Crypto) -> list[KeyState]:
        """How far these keys have come, for another worker."""
        owners = [owner_of(crypto.send.key, is_sent=True)]
        owners += [owner_of(one.key, is_sent=False) for one in crypto.receive]
        return [
            KeyState(owner, source, record.index, record.rtcp_index, record.shift)
            for owner in owners
            for source, record in self.records.sources(owner).items()
        ]

    def take_over(self, states: Collection[KeyState]) -> None:
        """What another worker says of its `states`."""
        owners = {state.owner for state in states}
        for state in states:
            record = self.records.take(state.owner, state.source)
            record.reach(state.index, state.rtcp_index, state.shift)
            if not state.source and state.shift:
                record.mark()
        held: list[Sender | Receiver] = [*self._senders.values(), *self._receivers.values()]
        for one in held:
            if one.owner in owners:
                one.reload()

    def counter(self, owner: int) -> Record:
        """What was refused at one end, `slots.owner_of` it."""
        return self.records.take(owner)

    def forget_counter(self, owner: int) -> None:
        if self._records is not None:
            self._records.give_back(owner)

    def tidy(self, ref: str, used: Collection[Crypto]) -> None:
        """Of what this session holds, keep what it uses and the latest of what it has used."""
        held = self._held.get(ref)
        if held is None or len(held) <= SRTP_KEYS:
            return
        names = {(crypto.suite, crypto.send.key, True) for crypto in used}
        names |= {(crypto.suite, one.key, False) for crypto in used for one in crypto.receive}
        spare = [name for name in held if name not in names]
        for name in spare[:-SRTP_KEYS]:
            del held[name]
            self._let_go(ref, name)

    def release(self, ref: str) -> None:
        """This session is over."""
        for name in self._held.pop(ref, {}):
            self._let_go(ref, name)

    def clear_away(self, owners: Collection[int]) -> None:
        """Forget what former workers wrote of keys that nobody holds, and of ends that are none of `owners`."""
        known = {one.owner for one in self._senders.values()} | {one.owner for one in self._receivers.values()}
        known.update(owners)
        for owner in self.records.owners() - known:
            self.records.give_back(owner)

    def _hold(self, ref: str, name: Name) -> None:
        held = self._held.setdefault(ref, {})
        held.pop(name, None)
        held[name] = None
        self._holders.setdefault(name, set()).add(ref)

    def _let_go(self, ref: str, name: Name) -> None:
        holders = self._holders.get(name, set())
        holders.discard(ref)
        if holders:
            return
        self._holders.pop(name, None)
        gone: Sender | Receiver | None
        gone = self._senders.pop(name, None) if name[2] else self._receivers.pop(name, None)
        if gone is not None:
            self.records.give_back(gone.owner)
