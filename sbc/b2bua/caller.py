"""Which number a PBX may show: its `caller_id` (contract, section 2), applied once per call, before policy is asked.

`screen`: From's number is shown where this PBX owns it. It is shown although foreign where Diversion or History-Info
names an owned DID: somebody here has forwarded the call. Else an owned number of P-Asserted-Identity is shown, then one
of P-Preferred-Identity. A caller without a number passes, unless he asserts a foreign one. All others have failed, and
`on_fail` says what becomes of them. `pass`: all as it is. `fixed`: always the default. Who asks for privacy stays
anonymous in all modes.

What is vouched for towards trunks, `Parties.identity`, is the first owned number of P-Asserted-Identity,
P-Preferred-Identity and From, then the diverting DID, then the default (RFC 3325 §6: "a hint suggesting which of
multiple valid identities"). Afterwards `caller` is who we say that it is, whether it is shown or not. Calls from trunks
are not screened: they show foreign numbers by nature. Used by `call`.
"""

from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from sbc.b2bua.identity import ANONYMOUS, Parties
from sbc.policy.model import CallerId, Peer

Owns = Callable[[str], bool]

_FORBIDDEN: Final = 403  # "it can reject the request (for example, with a 403 Forbidden)", RFC 3325 §6
_SHORTEST_TO_CALL_BACK: Final = 7  # digits; what is shorter is an extension, and nobody outside can call it


class CallerRefused(Struct, frozen=True):
    """`why` is a sentence for the ladder and the log."""

    status: int
    why: str


def screen(parties: Parties, pbx: Peer, owns: Owns) -> Parties | CallerRefused:
    """`owns`: whether a number, as this PBX writes it, is a DID of this PBX."""
    return _judge(parties, pbx.name, pbx.caller_id, owns)


def screen_emergency(parties: Parties, pbx: Peer, owns: Owns) -> Parties:
    """Of the parties as they came. An emergency caller is never refused, and shown whatever he asked for: by a number
    that can be called back if there is one, the PBX's default included, and else by what he gave."""
    shown = replace(parties, privacy=frozenset(), is_anonymous=False)
    rules = pbx.caller_id
    claimed = parties.asserted or parties.preferred or _shown_number(parties)
    if rules.mode == "pass" and (_can_be_called_back(claimed) or owns(claimed) or not rules.default):
        return replace(shown, caller=_shown_number(parties) or claimed or ANONYMOUS, identity=claimed)
    if rules.mode != "fixed":
        rules = CallerId("screen", rules.default, "replace")
    judged = _judge(shown, pbx.name, rules, owns)
    if isinstance(judged, CallerRefused):
        return replace(shown, caller=claimed or ANONYMOUS, identity=claimed)
    return judged


def _judge(parties: Parties, pbx: str, rules: CallerId, owns: Owns) -> Parties | CallerRefused:
    if rules.mode == "pass":
        return _passed(parties, rules, owns)
    if rules.mode == "fixed":
        return _fixed(parties, pbx, rules)
    return _screened(parties, pbx, rules, owns)


def _passed(parties: Parties, rules: CallerId, owns: Owns) -> Parties:
    number = _shown_number(parties)
    identity = parties.asserted or parties.preferred
    if not identity:
        identity = number if number and owns(number) else _diverter(parties, owns) or rules.default
    if not identity:
        return parties
    return replace(parties, caller=number or identity, identity=identity)


def _fixed(parties: Parties, pbx: str, rules: CallerId) -> Parties | CallerRefused:
    default = rules.default
    if not default:
        return CallerRefused(_FORBIDDEN, f"callers of {pbx} are fixed, but caller_id.default names no number")
    why = "" if parties.caller == default else f"caller {parties.caller} shown as {default}: caller_id.mode is fixed"
    return replace(parties, caller=default, identity=default, screened=why)


def _screened(parties: Parties, pbx: str, rules: CallerId, owns: Owns) -> Parties | CallerRefused:
    number = _shown_number(parties)
    vouched = _first_owned((parties.asserted, parties.preferred), owns)
    if number and owns(number):
        return replace(parties, identity=vouched or number)
    diverter = _diverter(parties, owns)
    if diverter:
        why = f"caller {parties.caller} passes: forwarded by {diverter} of {pbx}"
        return replace(parties, identity=vouched or diverter, screened=why)
    if vouched:
        why = f"caller {number} shown as {vouched}, which {pbx} asserts and owns" if number else ""
        return replace(parties, caller=vouched, identity=vouched, screened=why)
    if not (number or parties.asserted or parties.preferred):
        return replace(parties, caller=rules.default or parties.caller, identity=rules.default)
    return _failed(parties, pbx, rules)


def _failed(parties: Parties, pbx: str, rules: CallerId) -> Parties | CallerRefused:
    claimed = _shown_number(parties) or parties.asserted or parties.preferred
    fault = f"caller {claimed} is no DID of {pbx}"
    default = rules.default
    if rules.on_fail == "anonymous":
        why = f"{fault}: anonymous by caller_id.on_fail"
        return replace(parties, caller=default or ANONYMOUS, identity=default, is_anonymous=True, screened=why)
    if rules.on_fail == "replace" and default:
        # The name belonged to the number that was not accepted.
        return replace(parties, caller=default, identity=default, display="", screened=f"{fault}: shown as {default}")
    return CallerRefused(_FORBIDDEN, fault if rules.on_fail == "reject" else f"{fault}, and caller_id has no default")


def _shown_number(parties: Parties) -> str:
    """From's; "" where that is anonymous."""
    return "" if parties.caller == ANONYMOUS else parties.caller


def _diverter(parties: Parties, owns: Owns) -> str:
    """The DID that sent the call on: of Diversion, which has the latest first, or History-Info, which has it last."""
    if not (parties.diversions or parties.history):
        return ""
    numbers = [diversion.number for diversion in parties.diversions]
    numbers += [entry.number for entry in reversed(parties.history)]
    return _first_owned(numbers, owns)


def _first_owned(numbers: Iterable[str], owns: Owns) -> str:
    return next((number for number in numbers if number and owns(number)), "")


def _can_be_called_back(number: str) -> bool:
    digits = number.removeprefix("+")
    return digits.isdecimal() and len(digits) >= _SHORTEST_TO_CALL_BACK
