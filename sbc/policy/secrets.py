"""The key `auth`: a digest account whose password comes from a file, the environment or systemd, or stands there.

Reading finds out where a password is to be had; `account` fetches it, when all else is known. A password that cannot be
had is no error of the policy: `check` warns, `run` refuses. No message of this module repeats a password, nor what may
have been meant as one. Files are read by whoever is passed in (`load`); the environment is an argument.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from msgspec import Struct

from sbc.core.secret import Secret
from sbc.policy import values
from sbc.policy.documents import Node
from sbc.policy.model import Auth, Where
from sbc.policy.problems import Problems, UnfitError
from sbc.policy.schema import Fields, Key, Reader, mapping, one, read_names, some

ReadFile = Callable[[Path], bytes]  # raises OSError or ValueError

_SOURCES: Final = ("file", "env", "credential")
FORMS: Final = "{file: PATH}, {env: NAME} or {credential: NAME}"
_LONGEST: Final = 1_024  # octets


class PasswordSource(Struct, frozen=True):
    """Where a password is to be had. `name`: a path, a variable or a credential; `literal`: it stood in the policy."""

    kind: Literal["literal", "file", "env", "credential"]
    where: Where
    name: str = ""
    literal: Secret | None = None


class Vault(Struct, frozen=True):
    """What passwords, certificates and keys are fetched from. `read_pem` reads as `read_file` does, and larger files.

    `now`: by the calendar, seconds since 1970, for certificates that have expired; None: nobody looks.
    """

    environment: Mapping[str, str]
    read_file: ReadFile
    read_pem: ReadFile
    now: float | None = None

    def __repr__(self) -> str:
        return "Vault(***)"  # an environment may hold the passwords of others, too


def read_password(node: Node, problems: Problems) -> PasswordSource | None:
    if node.text is not None:
        if not node.text or not node.text.isprintable():
            problems.wrong(node.where, "this cannot be a password", f"expected printable characters, or {FORMS}")
            return None
        return PasswordSource("literal", node.where, literal=Secret(node.text))
    return read_place(node, "password", _SOURCES, FORMS, problems)


def read_place(node: Node, what: str, kinds: Sequence[str], forms: str, problems: Problems) -> PasswordSource | None:
    """`{file: PATH}` and its like, one of `kinds`. `what`: the key's name; `forms`: what it might have been."""
    named = [] if node.pairs is None else list(read_names(node, f"`{what}`", problems).items())
    if len(named) != 1 or named[0][0] not in kinds or not named[0][1][1].text:
        problems.wrong(node.where, f"`{what}` does not say where it is to be had", f"expected {forms}")
        return None
    kind, (_, value) = named[0]
    return _source(kind, value, forms, problems)


def _source(kind: Any, value: Node, forms: str, problems: Problems) -> PasswordSource | None:
    name = value.text or ""
    if kind == "credential" and ("/" in name or name in (".", "..")):
        problems.wrong(value.where, "this credential is a path", "expected a name, found in $CREDENTIALS_DIRECTORY")
        return None
    if "\0" in name or (kind == "env" and "=" in name):
        problems.wrong(value.where, f"this cannot be the name of `{kind}`", f"expected {forms}")
        return None
    return PasswordSource(kind, value.where, name)


def _auth_keys(*more: Key) -> tuple[Key, ...]:
    return (
        Key("username", "a text", "the account's name", one(values.account), required=True),
        Key(
            "password",
            f"a text, {FORMS}",
            "file: relative to the file that names it; env: a variable of the environment; credential: a file of "
            "$CREDENTIALS_DIRECTORY (systemd); a final newline is cut. A password that stands here works, with a "
            "warning. One that cannot be read is a warning of `sbc check`, and `sbc run` exits 1",
            read_password,
            required=True,
        ),
        *more,
    )


def _algorithms() -> Reader:
    one_of = some(one(_algorithm))

    def read(node: Node, problems: Problems) -> tuple[str, ...] | None:
        found = one_of(node, problems)
        if found is None:
            return None
        for position, at in enumerate(found):
            if at.value in [before.value for before in found[:position]]:
                problems.wrong(at.where, f"`{at.value}` stands twice", "expected each algorithm once")
        return tuple([at.value for at in found])

    return read


def _algorithm(text: str) -> str:
    if text.lower() not in values.ALGORITHMS:
        raise UnfitError(f"`{text}` is no algorithm here", f"expected {', '.join(values.ALGORITHMS)}")
    return text.lower()


PBX_AUTH: Final = _auth_keys(
    Key(
        "algorithms",
        "a list of " + ", ".join(values.ALGORITHMS),
        "a challenge for each, in this order; old PBXs understand only the first, and some give up "
        "when another one is there. PBXs that may speak from one source are challenged alike, with the "
        "algorithms of all of them",
        _algorithms(),
        default="md5",
    )
)
TRUNK_AUTH: Final = _auth_keys(
    Key("algorithms", "", "", misplaced="expected it on a pbx; towards a trunk, the carrier's challenge chooses")
)

read_pbx_auth: Final = mapping(PBX_AUTH, "`auth`")
read_trunk_auth: Final = mapping(TRUNK_AUTH, "`auth`")


def account(fields: Fields, vault: Vault, problems: Problems) -> Auth:
    """The account, with its password where that can be had now."""
    source: PasswordSource = fields.get("password")
    return Auth(
        username=fields.get("username"),
        password=fetch(source, vault, problems),
        algorithms=fields.get("algorithms", ("md5",)),
        where=fields.where,
    )


def fetch(source: PasswordSource, vault: Vault, problems: Problems) -> Secret | None:
    """The password; None where it cannot be had now, which has been said."""
    if source.literal is not None:
        problems.warn(source.where, "a password stands in the policy", f"better {FORMS}")
        return source.literal
    try:
        return Secret(_text(source, vault))
    except UnfitError as error:
        problems.lack_secret(source.where, error.wrong, error.expected)
        return None


def _text(source: PasswordSource, vault: Vault) -> str:
    if source.kind == "env":
        what = f"the environment variable `{source.name}`"
        found = vault.environment.get(source.name)
        if found is None:
            raise UnfitError(f"{what} is not set", "expected it to hold the password")
        return _one_line(found, what)
    path = path_of(source, vault)
    what = f"the secret `{path}`"
    try:
        data = vault.read_file(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnfitError(f"{what} cannot be read: {reason}", "expected a readable file") from None
    try:
        return _one_line(data.decode("utf-8"), what)
    except UnicodeDecodeError:
        raise UnfitError(f"{what} is not UTF-8", "expected a password in UTF-8") from None


def path_of(source: PasswordSource, vault: Vault) -> Path:
    """Of a file or a credential. Raises UnfitError."""
    if source.kind == "file":
        return Path(source.where.file).parent / source.name
    folder = vault.environment.get("CREDENTIALS_DIRECTORY")
    if not folder:
        raise UnfitError(
            f"the credential `{source.name}` cannot be read: $CREDENTIALS_DIRECTORY is not set",
            "expected LoadCredential= in the unit",
        )
    return Path(folder) / source.name


def _one_line(text: str, what: str) -> str:
    password = text.removesuffix("\n").removesuffix("\r")
    if not password:
        raise UnfitError(f"{what} is empty", "expected a password")
    if not password.isprintable() or len(password) > _LONGEST:
        raise UnfitError(f"{what} holds more than a password", "expected one line of printable characters")
    return password
