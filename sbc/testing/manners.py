"""The manners of a test phone: what it does from now on without being told, what it supports, whom it lets in.

Each is a method of `Phone`; most set a field of its `Script`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from sbc.core.address import Address
from sbc.testing.binding import Binding
from sbc.testing.challenger import Challenger
from sbc.testing.digest import Keyring
from sbc.testing.registrar import Registrar

if TYPE_CHECKING:
    from sbc.testing.phone import Phone


def supports(phone: "Phone", *tags: str) -> None:
    """These extensions from now on, besides those before."""
    phone.script.supports = tuple(dict.fromkeys((*phone.script.supports, *tags)))


def allows(phone: "Phone", *methods: str) -> None:
    phone.script.allow = tuple(dict.fromkeys((*phone.script.allow, *methods)))


def disallows(phone: "Phone", *methods: str) -> None:
    """Its Allow does not name them, and it complains where they come all the same."""
    phone.script.allow = tuple([method for method in phone.script.allow if method not in methods])


def uses_100rel(phone: "Phone", *, required: bool = False) -> None:
    """`required`: its INVITEs say so, and it refuses those that know nothing of it."""
    phone.supports("100rel")
    phone.script.requires = ("100rel",) if required else ()


def holds_back_pracks(phone: "Phone") -> None:
    """Until `pracks` is said."""
    phone.script.pracks = False


def offers_in_pracks(phone: "Phone") -> None:
    phone.script.offers_in_prack = True


def uses_session_timer(
    phone: "Phone",
    expires: int | None = 1800,
    *,
    min_se: int = 90,
    refresher: Literal["uac", "uas"] | None = None,
    refreshes: Literal["INVITE", "UPDATE"] | None = "UPDATE",
) -> None:
    """RFC 4028, in seconds. `expires` None: it asks for none. `refreshes` None: it never does, though it should."""
    phone.supports("timer")
    phone.script.session_expires, phone.script.min_se = expires, min_se
    phone.script.refresher, phone.script.refreshes = refresher, refreshes


def never_acks(phone: "Phone") -> None:
    """Or only when `acks` is said."""
    phone.script.acks = False


def acks_again(phone: "Phone") -> None:
    """By itself, from now on."""
    phone.script.acks = True


def retries_glare(phone: "Phone", *, wanted: bool = True) -> None:
    """Whether what got 491 is said again after the time of RFC 3261 §14.1."""
    phone.script.retries_glare = wanted


def answers_reinvites(phone: "Phone", status: int | None) -> None:
    """None: when told by `answers` or `refuses`."""
    phone.script.reinvites = status


def answers_updates(phone: "Phone", status: int | None) -> None:
    """None: never."""
    phone.script.updates = status


def answers_refers(
    phone: "Phone", status: int | None, *, notifies: Literal["all", "final", "first", "none"] = "all"
) -> None:
    """With 202 it places the call that is asked for, and tells how that goes as `notifies` says."""
    phone.script.refers, phone.script.notifies_refer = status, notifies


def answers_requests(phone: "Phone", method: str, status: int) -> None:
    """INFO, MESSAGE, PUBLISH, unsolicited NOTIFY and such; SUBSCRIBE too."""
    if method == "SUBSCRIBE":
        phone.script.subscribes = status
    else:
        phone.script.statuses[method] = status


def ignores(phone: "Phone", *methods: str) -> None:
    """Acts as if these had never come; without names, as if nothing ever came."""
    phone.script.deaf = not methods
    phone.script.ignored = frozenset(methods)


def wakes(phone: "Phone") -> None:
    """Hears everything again."""
    phone.script.deaf = False
    phone.script.ignored = frozenset()
    for party in phone.agent.parties:
        party.talk.may_skip = True


def answers_options(phone: "Phone", status: int = 200, *, retry_after: int | None = None) -> None:
    """For silence see `ignores("OPTIONS")`."""
    phone.script.options = status
    phone.script.options_fields = () if retry_after is None else (("Retry-After", str(retry_after)),)


def challenges(
    phone: "Phone",
    username: str,
    password: str,
    *,
    realm: str = "carrier.example",
    algorithm: str | tuple[str, ...] = "MD5",
    status: Literal[401, 407] = 401,
    fresh: bool = False,
    stale: bool = False,
    qop: str = "auth",
    methods: Sequence[str] = (),
) -> Challenger:
    """From now on any request but ACK and CANCEL needs these credentials, besides those demanded before."""
    algorithms = (algorithm,) if isinstance(algorithm, str) else algorithm
    challenger = Challenger(
        username, password, phone._ids, realm=realm, algorithms=algorithms, status=status,
        fresh=fresh, stale=stale, qop=qop, methods=methods,
    )  # fmt: skip
    challenger.complaints = phone.agent.complaints
    phone.agent.challengers.append(challenger)
    return challenger


def has_credentials(phone: "Phone", username: str, password: str) -> Keyring:
    """Answers challenges from now on."""
    phone.agent.keyring = Keyring(username, password)
    return phone.agent.keyring


def becomes_registrar(phone: "Phone") -> Registrar:
    """Takes REGISTERs from now on; whose, its challenges say."""
    registrar = Registrar()
    registrar.complaints = phone.agent.complaints
    phone.agent.registrar = registrar
    return registrar


def registers(
    phone: "Phone", aor: str, *, expires: int = 600, gin: bool = False, to: Address | str | None = None
) -> Binding:
    """A new registration, with the phone's own Contact; refreshed and removed when told."""
    me = phone.agent.line.identity
    contact = f"sip:{phone.address};bnc" if gin else me.contact[1].strip("<>")
    call_id = f"{phone._ids.call_id()[:12]}@{me.name}"
    phone._do_register(Binding(aor, phone._target(to), contact, call_id, phone._ids.tag(), expires, gin))
    return phone.agent.bindings[-1]


def refreshes(phone: "Phone", binding: Binding | None = None, *, expires: int | None = None) -> None:
    """The last registration, or another, once more."""
    binding = binding or phone.agent.bindings[-1]
    binding.expires = binding.expires if expires is None else expires
    phone._do_register(binding)


def unregisters(phone: "Phone", binding: Binding | None = None) -> None:
    phone.refreshes(binding, expires=0)


def dies(phone: "Phone", *, silently: bool = False) -> None:
    """Its ports refuse (ICMP, RST), or the whole machine is gone and nobody says so. Its calls are lost."""
    phone.agent.crash()
    phone.net.kill(phone.agent, silently=silently)


def revives(phone: "Phone") -> None:
    """Back at its addresses, with no memory of calls."""
    phone.net.revive(phone.agent)


def reboots(phone: "Phone") -> None:
    """At once: it hears and answers, and knows none of its calls any more."""
    phone.agent.crash()


def answers_by_itself(
    phone: "Phone", after: float = 0.1, *, rings: int | None = 180, hangs_up_after: float | None = None
) -> None:
    phone.script.rings, phone.script.answers_after, phone.script.hangs_up_after = rings, after, hangs_up_after
