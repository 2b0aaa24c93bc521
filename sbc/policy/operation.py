"""How the node is operated: who may use the admin API, what log lines show, where messages and records go besides.

The keys of `sbc:` that need more than one value, as tables, and what becomes of them. Used by `sections` and `build`.
"""

from typing import Final

from sbc.core.secret import Secret
from sbc.policy import addresses, values
from sbc.policy.documents import Node
from sbc.policy.model import CdrRules, Hep, LogRules, Postgres, RecordFiles
from sbc.policy.problems import Problems, UnfitError
from sbc.policy.schema import At, Fields, Key, choice, mapping, one, read_fields
from sbc.policy.secrets import FORMS, Vault, fetch, read_password

_KEEP_SECONDS: Final = 36_500 * 86_400.0  # whatever is longer means `forever`
_INTERIM_SECONDS: Final = 10.0  # more often would cost more than a call does
_TOKEN_CHARACTERS: Final = 16  # fewer could be guessed over the network


def _keep(text: str) -> float | None:
    if text == "forever":
        return None
    seconds = values.duration(text)
    if not 86_400 <= seconds <= _KEEP_SECONDS:
        raise UnfitError(f"`{text}` is out of range", "expected 1d to 36500d, or forever")
    return seconds


def _interim(text: str) -> float:
    if text == "never":
        return 0.0
    seconds = values.duration(text)
    if not _INTERIM_SECONDS <= seconds <= 86_400:
        raise UnfitError(f"`{text}` is out of range", "expected 10s to 1d, or never")
    return seconds


def _rotate(text: str) -> float:
    seconds = values.duration(text)
    if not 60 <= seconds <= 31 * 86_400:
        raise UnfitError(f"`{text}` is out of range", "expected 1m to 31d")
    return seconds


LOG: Final = (
    Key(
        "numbers",
        "masked or full",
        "telephone numbers in log lines; masked: all but the last two digits are left out",
        choice("masked", "full"),
        default="masked",
    ),
    Key(
        "level",
        "debug, info, warning or error",
        "lines of less weight are left out",
        choice("debug", "info", "warning", "error"),
        default="info",
    ),
)

HEP: Final = (
    Key("server", "udp:ADDRESS:PORT", "the capture server", one(addresses.hep_server), required=True),
    Key("node", "a number", "our capture agent id", one(values.within(1, 4_294_967_295)), default="2001"),
    Key("password", f"a text, {FORMS}", "the capture server's authenticate key", read_password),
)

POSTGRES: Final = (
    Key(
        "url",
        "postgresql://USER@HOST/DATABASE",
        "without a password; its tables are made where they are missing",
        one(addresses.postgres),
        required=True,
    ),
    Key("password", f"a text, {FORMS}", "of the database's user", read_password),
)

RECORD_FILES: Final = (
    Key("folder", "a path", "where to; made where it is missing", one(values.path), required=True),
    Key(
        "format",
        "csv or json",
        "csv: as `sbc cdr export`; json: a line for each call, with its attempts",
        choice("csv", "json"),
        default="csv",
    ),
    Key(
        "rotate",
        "a duration",
        "a new file so often, by UTC; the one that is written to ends in `.part`; 1m to 31d",
        one(_rotate),
        default="1d",
    ),
)

CDR: Final = (
    Key(
        "keep",
        "a duration or forever",
        "a record is removed from our store so long after its call, once every other destination has it; 1d to 36500d",
        one(_keep),
        default="forever",
    ),
    Key(
        "postgres",
        "a mapping",
        "records are copied to this database as well; takes the extra `postgres`",
        mapping(POSTGRES, "`postgres`"),
    ),
    Key(
        "strict",
        "true or false",
        "a caller hears of the answer only when that is on the disk; while the disk takes nothing, new calls get 503, "
        "emergencies excepted",
        one(values.flag),
        default="false",
    ),
    Key(
        "interim",
        "a duration or never",
        "how often it is noted on the disk that a call still talks, for the case that the power fails; 10s to 1d",
        one(_interim),
        default="1m",
    ),
    Key("files", "a mapping", "records are written to files as well", mapping(RECORD_FILES, "`files`")),
)


def read_cdr(node: Node, problems: Problems) -> Fields | None:
    """`strict`, or a mapping."""
    if node.text == "strict":
        return Fields(node.where, {"strict": At(True, node.where)})
    if node.pairs is None:
        problems.wrong(node.where, f"`cdr` is {node.kind}", "expected strict, or a mapping")
        return None
    return read_fields(node, CDR, "`cdr`", problems)


def admin_token(fields: Fields, vault: Vault, problems: Problems) -> Secret | None:
    """What clients of the admin API must know; None where none is asked for."""
    token = _secret(fields, "admin_token", vault, problems)
    if token is not None and len(token.text) < _TOKEN_CHARACTERS:
        problems.wrong(
            fields.place("admin_token"), "the token is too short", f"expected {_TOKEN_CHARACTERS} characters at least"
        )
    address = fields.get("admin", "off")
    if fields.get("admin_token") is None and addresses.is_beyond_loopback(address):
        problems.wrong(
            fields.place("admin"),
            f"`{address}` is not on loopback, and there is no `admin_token`",
            "expected admin_token: {file: PATH}, or 127.0.0.1:8088, [::1]:8088 or unix:PATH",
        )
    return token


def log_rules(fields: Fields) -> LogRules:
    log = _nested(fields, "log")
    return LogRules(log.get("numbers", "masked"), log.get("level", "info"))


def hep_server(fields: Fields, vault: Vault, problems: Problems) -> Hep | None:
    hep = _nested(fields, "hep")
    server = hep.get("server")
    if server is None:
        return None
    return Hep(server, hep.get("node", 2001), _secret(hep, "password", vault, problems))


def cdr_rules(fields: Fields, vault: Vault, problems: Problems) -> CdrRules:
    cdr = _nested(fields, "cdr")
    postgres = _nested(cdr, "postgres")
    url = postgres.get("url")
    copied_to = None if url is None else Postgres(url, _secret(postgres, "password", vault, problems))
    files = _nested(cdr, "files")
    folder = files.get("folder")
    return CdrRules(
        cdr.get("keep"),
        copied_to,
        strict=cdr.get("strict", False),
        interim=cdr.get("interim", 60.0) or None,
        files=None
        if folder is None
        else RecordFiles(folder, files.get("format", "csv"), files.get("rotate", 86_400.0)),
    )


def _nested(fields: Fields, name: str) -> Fields:
    nested: Fields = fields.get(name, Fields(fields.where))
    return nested


def _secret(fields: Fields, name: str, vault: Vault, problems: Problems) -> Secret | None:
    source = fields.get(name)
    return None if source is None else fetch(source, vault, problems)
