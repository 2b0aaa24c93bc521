"""A door for one test call: what is laid over the policy while `sbc testcall` runs, and nothing of it before or after.

An interface on 127.0.0.1, a PBX `testcall` behind it, which must log in and may have one call at a time, and a route
from it to one number over one trunk. Where that number is one of ours there is also a route for it from that trunk to
`testcall`, so that a carrier's whole way in is tried. Real callers of the number still reach their PBX: the tester
turns away whatever is not its own call, and the hunt goes on. Pure; used by `runtime.call_door`.
"""

from typing import Final

from msgspec import Struct

from sbc.core.address import Address, Transport
from sbc.core.secret import Secret
from sbc.policy.engine import Policy
from sbc.policy.model import (
    Auth,
    CallerId,
    Interface,
    Limits,
    Listener,
    Peer,
    Route,
    Server,
    Via,
)

NAME: Final = "testcall"  # of the interface, of the PBX and of the account
HOST: Final = "127.0.0.1"  # of the door
TESTER: Final = "127.83.66.67"  # of the telephones: media from an address of our own would be nobody's
BACK: Final = "testcall-back"
NOT_MINE: Final = 480  # what the tester says to a call that is not its own; the hunt goes on to the PBX
_RING_SECONDS: Final = 60.0


class Wanted(Struct, frozen=True):
    """`caller` empty: one of our numbers. `seconds`: of talk. `phone`: where the tester takes SIP, at TESTER.

    `one_way`: a number of ours is left to its PBX, as if somebody else had called it.
    """

    trunk: str
    called: str
    phone: Address
    caller: str = ""
    seconds: float = 5.0
    one_way: bool = False


class Door(Struct, frozen=True):
    """`called` and `caller`: in E.164 where they have such a form; `sent_…`: as the trunk sees them.

    `owner`: the PBX that has the number; empty: the call cannot come back in. `listen`: where we take the tester's SIP.
    """

    wanted: Wanted
    called: str
    caller: str
    sent_called: str
    sent_caller: str
    owner: str
    listen: Address
    password: Secret


def plan_door(policy: Policy, wanted: Wanted, listen: Address, password: Secret) -> Door:
    """ValueError says why there is none."""
    trunk = policy.peers.get(wanted.trunk)
    if trunk is None or trunk.kind != "trunk":
        raise ValueError(f"no trunk is called `{wanted.trunk[:64]}`")
    if NAME in policy.peers or NAME in policy.interfaces:
        raise ValueError(f"the policy has a peer or an interface of its own that is called {NAME}")
    called = policy.plan.read(wanted.called)
    if not called.is_numeric:
        raise ValueError(f"`{wanted.called[:40]}` is no telephone number")
    sent_called = policy.plan.write(called, trunk.called_form)
    # It may be an emergency number in another form alone: +1911 goes out as 911, or the carrier makes it that.
    forms = (called.dialled, sent_called, policy.plan.write(called, "national"))
    words = frozenset[str]().union(*(policy.plan.words(policy.plan.read(form)) for form in forms))
    for word in ("emergency", "premium"):  # nobody's bars stand before the door's own route
        if word in words:
            raise ValueError(f"{called.dialled} is a number of the kind {word}: it is not called for a test")
    caller = policy.plan.read(wanted.caller or _own_number(policy, called.best))
    if not caller.is_numeric:
        raise ValueError(f"`{wanted.caller[:40]}` is no telephone number")
    owner = policy.owner(called)
    return Door(
        wanted,
        called.best,
        caller.best,
        sent_called,
        policy.plan.write(caller, trunk.caller_form),
        "" if owner is None or wanted.one_way else owner.name,
        listen,
        password,
    )


def with_door(policy: Policy, door: Door) -> Policy:
    """The policy with the door in it; as it is, where a reload has taken away what the door leads to."""
    if door.wanted.trunk not in policy.peers or NAME in policy.peers or NAME in policy.interfaces:
        return policy
    return policy.extended(interfaces=[_interface(door)], peers=[_pbx(door)], routes=_routes(policy, door))


def _own_number(policy: Policy, called: str) -> str:
    """Who calls, where nobody said it: a number of ours, rather another one than the one that is called."""
    firsts = [did.first for did in policy.dids]
    return next((first for first in firsts if first != called), firsts[0] if firsts else called)


def _interface(door: Door) -> Interface:
    return Interface(NAME, (Listener(Transport.UDP, door.listen),), (HOST,))


def _pbx(door: Door) -> Peer:
    phone, seconds = door.wanted.phone, door.wanted.seconds
    return Peer(
        NAME,
        "pbx",
        NAME,
        (Server(phone.host, phone.port, Transport.UDP, f"sip:{phone}"),),
        accept=(f"{TESTER}/32",),
        no_answer=_RING_SECONDS,
        auth=Auth(NAME, door.password),
        limits=Limits(call_paths=1, max_duration=seconds + _RING_SECONDS),
        caller_id=CallerId("pass"),
        session_timer=None,
    )


def _routes(policy: Policy, door: Door) -> tuple[Route, ...]:
    out = Route(NAME, (NAME,), (door.called,), via=(Via(door.wanted.trunk),), no_answer=_RING_SECONDS)
    # And nothing else, whatever the policy's own routes would take from anybody.
    bar = Route(f"{NAME}-only", (NAME,), reject=403)
    owner = policy.owner(policy.plan.read(door.called))  # of the policy as it is now
    if owner is None or door.wanted.one_way:
        return out, bar
    back = Route(
        BACK, (door.wanted.trunk,), (door.called,), via=(Via(NAME), Via(owner.name)), continue_on=frozenset({NOT_MINE})
    )
    return out, bar, back
