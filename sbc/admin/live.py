"""How each peer is right now, in words: what `why` adds to a dry run of the policy.

Pure; made of one snapshot. Used by the running program's view, and with it by `GET why`.
"""

from collections.abc import Iterator, Mapping

from sbc.admin.peer_views import wall_text
from sbc.b2bua.snapshot import EngineView
from sbc.peering.views import PathView, PeerView, RegistrationView


def live_texts(engine: EngineView) -> Mapping[str, str]:
    """By the peer's name, a line for each thing that a call would meet; by "" what every call meets."""
    reason = engine.refusing if engine.ready else "draining"
    node = f"{reason}: new calls get 503, but emergency calls" if reason else ""
    paths = {path.trunk: path for path in engine.paths if path.kind == "trunk"}
    pools = {path.trunk: path for path in engine.paths if path.kind == "pool"}
    texts = {peer.name: "\n".join(_lines(peer, paths.get(peer.name), pools, engine)) for peer in engine.peers}
    return texts | {"": node}


def _lines(peer: PeerView, path: PathView | None, pools: Mapping[str, PathView], engine: EngineView) -> Iterator[str]:
    yield _state(peer.state, peer.since, peer.why, engine)
    for server in peer.servers:
        if server.state in {"down", "suspended"}:
            yield f"{server.address} {_state(server.state, server.since, server.why, engine)}"
    if peer.registration is not None:
        yield _registration(peer.registration, engine)
    for binding in peer.bindings:
        yield f"bound to {binding.contact} until {_time(binding.expires_at, engine)}"
    if path is not None and (path.limit is not None or path.used):
        yield _paths(path, pools)


def _state(state: str, since: float, why: str, engine: EngineView) -> str:
    return f"{state} since {_time(since, engine)}{f': {why}' if why else ''}"


def _registration(registration: RegistrationView, engine: EngineView) -> str:
    if registration.state == "registered" and registration.expires_at is not None:
        return f"registered until {_time(registration.expires_at, engine)}"
    next_try = "" if registration.next_at is None else f"; next try at {_time(registration.next_at, engine)}"
    return f"registration {_state(registration.state, registration.since, registration.why, engine)}{next_try}"


def _paths(path: PathView, pools: Mapping[str, PathView]) -> str:
    pool = pools.get(path.pool)
    if pool is not None:
        return f"call paths: {path.used} used, of the pool {path.pool} {pool.used} of {pool.limit}"
    return f"call paths: {path.used} used" + ("" if path.limit is None else f" of {path.limit}")


def _time(at: float, engine: EngineView) -> str:
    """To the second."""
    text = wall_text(at, engine)
    return "the start" if text is None else f"{text[:19]}Z"
