"""What a policy would run, in words: the text of `sbc check` when nothing is wrong.

Pure: a policy in, lines out. Errors are not its business; they never become a policy.
"""

from collections.abc import Iterator

from sbc.policy.engine import Policy
from sbc.policy.model import Interface, Peer, Route


def summary(policy: Policy) -> str:
    """Several lines, the last without a newline. Warnings come last, each with its place."""
    return "\n".join(_lines(policy))


def _lines(policy: Policy) -> Iterator[str]:
    media = policy.media
    pairs = (media.last_port + 1) // 2 - (media.first_port + 1) // 2
    yield f"{policy.name}: {_counts(policy)}"
    yield f"  admin {policy.admin} · data_dir {policy.data_dir}"
    yield f"  country {policy.country} · stop_after {policy.stop_after:g}s"
    yield f"  media ports {media.first_port}-{media.last_port} ({pairs} pairs per address) · engine {media.engine}"
    yield from (line for interface in policy.interfaces.values() for line in _interface(interface))
    yield from (line for peer in policy.peers.values() for line in _peer(peer, policy))
    yield from (_route(route) for route in policy.routes)
    yield from (f"warning: {warning}" for warning in policy.warnings)


def _counts(policy: Policy) -> str:
    pbxs = sum(peer.kind == "pbx" for peer in policy.peers.values())
    owned = sum(_span(did.first, did.last) for did in policy.dids)
    counts = (
        (len(policy.interfaces), "interface"),
        (pbxs, "pbx"),
        (len(policy.peers) - pbxs, "trunk"),
        (len(policy.routes), "route"),
        (owned, "DID"),
    )
    return ", ".join(f"{count} {_plural(word, count)}" for count, word in counts)


def _interface(interface: Interface) -> Iterator[str]:
    listeners = " ".join(f"{one.transport}:{one.address}" for one in interface.listeners)
    yield f"interface {interface.name}: {listeners} · media {' '.join(interface.media)}"
    shown = [text for text in (interface.sip_advertise, interface.media_advertise) if text]
    if shown:
        yield f"  shown to peers as {' and '.join(shown)}"


def _peer(peer: Peer, policy: Policy) -> Iterator[str]:
    servers = ", then ".join(server.text for server in peer.servers)
    yield f"{peer.kind} {peer.name} on {peer.interface}: {servers}"
    accepted = " ".join(policy.accepted(peer)) or "what its servers resolve to"
    yield f"  speaks from {accepted} · numbers {_forms(peer)}"
    owned = [
        did.first if did.first == did.last else f"{did.first}-{did.last}" for did in policy.dids if did.pbx == peer.name
    ]
    if owned:
        yield f"  owns {', '.join(owned)}"


def _route(route: Route) -> str:
    sources = ", ".join(route.from_peers) or "any peer"
    numbers = ", ".join(route.to) or "any number"
    callers = f" by {', '.join(route.caller)}" if route.caller else ""
    outcome = f"refused with {route.reject}" if route.reject else ", then ".join(step.to for step in route.via) or "the PBX that owns it"
    return f"route {route.name}: {sources} → {numbers}{callers}: {outcome}"


def _forms(peer: Peer) -> str:
    if peer.called_form == peer.caller_form:
        return peer.called_form
    return f"{peer.called_form} (caller {peer.caller_form})"


def _span(first: str, last: str) -> int:
    return int(last.removeprefix("+")) - int(first.removeprefix("+")) + 1


def _plural(word: str, count: int) -> str:
    if count == 1:
        return word
    return word + ("es" if word.endswith("x") else "s")
