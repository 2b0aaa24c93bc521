"""Whether an INVITE that came in is one of ours that has come around (RFC 3261 §16.3, by Via).

It is a loop only where the same peer calls the same number again; a PBX that dials its own DID through the carrier is
none (contract, section 7). Used by the switch, which answers 482.
"""

from collections.abc import Callable, Hashable, Mapping

from sbc.b2bua.call import Call
from sbc.sip.message import Request


def is_loop(call: Call, invite: Request, calls: Mapping[str, Call], user_of_invite: Callable[[str], Hashable]) -> bool:
    """`user_of_invite`: who sent the INVITE with this branch, if it was one of us."""
    fields = invite.headers("Via")
    if len(fields) == 1 and "," not in fields[0]:
        return False  # straight from its peer
    for via in invite.vias[1:]:
        user = user_of_invite(via.branch or "")
        sender = calls.get(user[0]) if isinstance(user, tuple) else None
        if sender is None or sender.account.ingress != call.account.ingress:
            continue
        if sender.parties.called == call.parties.called:
            return True  # whatever else it has passed on its way
    return False
