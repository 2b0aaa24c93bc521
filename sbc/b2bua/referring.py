"""What a REFER asks for, in whose name the target is called, and what of it crosses (RFC 3515 §2, RFC 3892, RFC 4488).

The host of a Refer-To is not looked at: the number alone counts, and the routes of the transferor's peer say where it
is. Pure: it reads requests and calls, and changes neither. `transfer` uses it.
"""

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from sbc.b2bua.asking import facts_of
from sbc.b2bua.caller import CallerRefused
from sbc.b2bua.identity import ANONYMOUS, DEFAULT_MAX_FORWARDS, Parties, escaped
from sbc.b2bua.joining import number_of_party, shown_number
from sbc.b2bua.replaces import seen_from
from sbc.core.address import bracketed
from sbc.policy.model import Decision, Facts, Peer
from sbc.sip.checks import Refusal
from sbc.sip.headers.identity import number_of
from sbc.sip.headers.transfer import Replaces, parse_refer_to, parse_referred_by
from sbc.sip.message import Fields, Request
from sbc.sip.uri import SipUri

if TYPE_CHECKING:
    from sbc.b2bua.call import Call
    from sbc.b2bua.leg import Leg


class Wish(Struct, frozen=True):
    """`number`: of the target, as its writer dials. `named`: the dialog that shall be replaced there. `claimed`: who he
    says he is, "" for nothing. `is_quiet`: he does not want to be told how it goes (RFC 4488)."""

    number: str
    named: Replaces | None
    claimed: str
    is_quiet: bool
    cseq: int
    max_forwards: int
    is_sips: bool = False


def read_refer(request: Request) -> Wish | Refusal:
    values = request.values("Refer-To")
    target = parse_refer_to(values[0]) if len(values) == 1 else None
    # "MUST return a 400 (Bad Request) if the request contained zero or more than one Refer-To", RFC 3515 §2.4.2
    if target is None:
        return Refusal(400)
    if target.method != "INVITE":
        return Refusal(603)  # we place calls, nothing else
    number = number_of(target.uri)
    if not number:
        return Refusal(484)
    quiet = (request.header("Refer-Sub") or "").partition(";")[0].strip().lower() == "false"
    hops = request.max_forwards
    return Wish(
        number,
        target.replaces,
        _claimed(request),
        quiet,
        request.cseq.number,
        DEFAULT_MAX_FORWARDS if hops is None else hops,
        isinstance(target.uri, SipUri) and target.uri.scheme == "sips",
    )


def parties_for(call: "Call", leg: "Leg", wish: Wish) -> Parties:
    """The transferor calls the target: his number and his privacy, which his peer's rules will judge once more.

    "If that initial dialog was established using SIPS, then the UAC MUST NOT establish a new one using SIP", RFC 5630
    §5.1.1.3.
    """
    secure = wish.is_sips or call.parties.is_sips
    if leg.n == 0:
        return replace(
            call.parties,
            called=wish.number,
            max_forwards=wish.max_forwards,
            diversions=(),
            history=(),
            screened="",
            is_sips=secure,
        )
    is_hidden = not shown_number(call, leg.n)
    privacy = frozenset(("id",)) if is_hidden else frozenset[str]()
    number = number_of_party(call, leg.n) or ANONYMOUS
    return Parties(wish.number, number, "", wish.max_forwards, privacy=privacy, is_anonymous=is_hidden, is_sips=secure)


def referrer(call: "Call", leg: "Leg", wish: Wish) -> str:
    """The number for Referred-By: a PBX's user may claim only what his PBX owns. "": he is not to be named."""
    peer = leg.peer
    if not shown_number(call, leg.n):
        return ""
    if wish.claimed and (peer.kind == "trunk" or call.context.policy.owns_for(peer.name, wish.claimed)):
        return wish.claimed
    own = number_of_party(call, leg.n)
    return "" if own == ANONYMOUS else own


def is_loop(call: "Call", leg: "Leg", kept: "Leg", wish: Wish) -> bool:
    """Whoever shall be transferred is the target."""
    number = call.context.policy.read_called(Facts(leg.peer.name, wish.number, ""))
    return number_of_party(call, kept.n) in (number.best, number.dialled)


def only_to(peer: str, decision: Decision) -> Decision:
    """A Replaces names a dialog of this peer: with anybody else it would be a new call, which nobody has asked for."""
    hunt = tuple([target for target in decision.hunt if target.peer.name == peer])
    if hunt or not decision.hunt:
        return replace(decision, hunt=hunt, has_disaster_plan=False)
    return replace(decision, hunt=(), reject=481, has_disaster_plan=False)


def referred_by_field(number: str, host: str) -> Fields:
    """RFC 3892 §3, with the host by which the reader knows us; nothing where nobody is to be named.

    Deviation: a referee "MUST copy any Referred-By … without modification" (§2.2); its host would show the other side's
    network, and its token signs what we have rewritten.
    """
    return (("Referred-By", f"<sip:{escaped(number)}@{host}>"),) if number else ()


def passed_fields(call: "Call", leg: "Leg", far: "Leg", wish: Wish, named: "Leg | None") -> Fields | Refusal:
    """The REFER for the other side. `named`: the leg, of the other side's own peer, whose dialog shall be replaced.

    The other side is asked to call only whom the transferor may call himself.
    """
    context = call.context
    host = context.hosts[far.peer.interface]
    if named is None:
        facts, judged = facts_of(parties_for(call, leg, wish), leg.peer, context.policy)
        decision = context.policy.decide(facts)
        if isinstance(judged, CallerRefused):
            return Refusal(judged.status)
        if not decision.hunt:
            return Refusal(decision.reject or 404)
        target = _written_for(far.peer, facts, decision, host, call)
    else:
        dialog, replaces = named.dialog, seen_from(named)
        if dialog is None or replaces is None:
            return Refusal(481)
        target = f"<{dialog.remote_target}?Replaces={replaces.escaped}>"
    by = referrer(call, leg, wish)
    written = context.policy.write_caller(leg.peer.name, far.peer, by) if by else ""
    quiet: Fields = (("Refer-Sub", "false"),) if wish.is_quiet else ()
    return (("Refer-To", target), *referred_by_field(written, host), *quiet)


def _written_for(far: Peer, facts: Facts, decision: Decision, our_host: str, call: "Call") -> str:
    """Where the transferor's routes lead to that peer, it finds the target itself; else the target is behind us."""
    first = decision.hunt[0]
    if first.peer.name == far.name:
        host = far.domain or (bracketed(far.servers[0].host) if far.servers else our_host)
        return f"<sip:{escaped(first.called)}@{host}>"
    policy = call.context.policy
    return f"<sip:{escaped(policy.plan.write(policy.read_called(facts), far.called_form))}@{our_host}>"


def _claimed(request: Request) -> str:
    values = request.values("Referred-By")
    named = parse_referred_by(values[0]) if len(values) == 1 else None
    return "" if named is None else number_of(named.uri)
