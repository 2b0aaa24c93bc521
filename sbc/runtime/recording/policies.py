"""A policy written out and read again: the values that it was made of, and nothing that the engine does not ask.

Certificates stay, their private keys do not; nor do the API's token and what is known of webhooks, capture servers and
databases. Passwords of digest accounts stay, because a challenge is answered with them, and what is sent is compared.
Each value says what it is, so that no file beside the recording is needed to read it. Only the types named here are
ever made. Used by `writer` and `replaying`.
"""

import enum
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from sbc.core import address, secret
from sbc.core.secret import Secret
from sbc.policy import model, protection
from sbc.policy.engine import Policy

_DEEPEST: Final = 20
_MODULES: Final = (model, protection, address, secret)
_TYPES: Final[Mapping[str, Callable[..., Any]]] = {
    name: found
    for module in _MODULES
    for name, found in vars(module).items()
    if isinstance(found, type) and issubclass(found, (Struct, enum.StrEnum)) and found is not Struct
}
_PARTS: Final = ("settings", "interfaces", "media", "peers", "routes", "dids", "path_pools")


def write_policy(policy: Policy) -> bytes:
    settings = replace(
        policy.settings,
        admin_token=None,
        webhook=None,
        hep=None,
        cdr=replace(policy.settings.cdr, postgres=None),
    )
    parts = {
        "settings": settings,
        "interfaces": tuple(policy.interfaces.values()),
        "media": policy.media,
        "peers": tuple(policy.peers.values()),
        "routes": policy.routes,
        "dids": policy.dids,
        "path_pools": dict(policy.path_pools),
    }
    return msgspec.msgpack.encode({name: _written(part) for name, part in parts.items()})


def without_secrets(text: bytes, policy: Policy) -> bytes:
    """One of its files, without what `write_policy` leaves out, where that stands in it."""
    settings = policy.settings
    hep, postgres = settings.hep, settings.cdr.postgres
    for of in (settings.admin_token, hep and hep.password, postgres and postgres.password):
        if of:
            text = text.replace(of.text.encode(), b"x" * len(of.text))
    if settings.webhook:
        text = text.replace(settings.webhook.encode(), b"https://masked.invalid/")
    if postgres:
        text = text.replace(postgres.url.encode(), b"postgresql://masked.invalid/sbc")
    return text


def read_policy(data: bytes) -> Policy:
    """Raises ValueError for what `write_policy` of this version does not write."""
    found = msgspec.msgpack.decode(data)
    if not isinstance(found, dict) or set(found) != set(_PARTS):
        raise ValueError("the policy in it is none of this version")
    try:
        parts = {name: _read(part, 0) for name, part in found.items()}
        return Policy(parts.pop("settings"), **parts)
    except (TypeError, AttributeError, LookupError) as error:
        raise ValueError(f"the policy in it is none of this version: {error}") from error


def _written(value: object) -> object:
    """A list whose first item says what the others are; texts, numbers and nothing as they are."""
    if isinstance(value, protection.KeyPair):
        value = replace(value, key=Secret(""))
    if isinstance(value, Struct):
        fields = [(name, _written(getattr(value, name))) for name in value.__struct_fields__]
        return [type(value).__name__, *fields]
    if isinstance(value, enum.StrEnum):
        return [type(value).__name__, value.value]
    if isinstance(value, tuple):
        return ["tuple", *map(_written, value)]
    if isinstance(value, frozenset):
        return ["frozenset", *map(_written, sorted(value))]
    if isinstance(value, Mapping):
        return ["dict", *((_written(key), _written(of)) for key, of in value.items())]
    if value is None or isinstance(value, (str, bool, int, float, bytes)):
        return value
    raise TypeError(f"a policy holds a {type(value).__name__}, which a recording cannot keep")


def _read(value: object, depth: int) -> Any:
    if depth > _DEEPEST:
        raise ValueError("the policy in it goes too deep")
    if not isinstance(value, list):
        return value
    kind, *rest = value
    if kind == "tuple":
        return tuple([_read(one, depth + 1) for one in rest])
    if kind == "frozenset":
        return frozenset([_read(one, depth + 1) for one in rest])
    if kind == "dict":
        return {_read(key, depth + 1): _read(of, depth + 1) for key, of in rest}
    made = _TYPES[kind]
    if isinstance(made, type) and issubclass(made, enum.StrEnum):
        return made(rest[0])
    return made(**{str(name): _read(of, depth + 1) for name, of in rest})
