"""Policy files in, a `Policy` out, or every error that they hold. The one module here that touches files.

Files are taken as given; a folder means its `*.yaml`, sorted by name, not recursive. `parse_policy` does the same from
texts, for tests and for whoever has read the files already. The environment is an argument.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from sbc.policy.build import build_policy
from sbc.policy.documents import read_documents
from sbc.policy.engine import Policy
from sbc.policy.merge import read_sections
from sbc.policy.model import Where
from sbc.policy.problems import PolicyError, Problems
from sbc.policy.secrets import Vault

_LARGEST_FILE: Final = 16 * 1024 * 1024  # octets; far beyond any policy written by people
_LARGEST_SECRET: Final = 4_096  # octets
_LARGEST_PEM: Final = 4 * 1024 * 1024  # octets; all authorities of the web are a quarter of a MiB, and lists are larger


Stamp = tuple[int, ...] | None
"""By which a file that was changed is told from itself; None: it cannot be looked at."""


class Source(Struct, frozen=True):
    """One file's name, as cited in errors, and its octets. `stamp`: from before it was read."""

    file: str
    data: bytes
    stamp: Stamp = None


def load_policy(
    paths: Sequence[Path | str],
    *,
    environment: Mapping[str, str] | None = None,
    wants_secrets: bool = False,
    now: float | None = None,
) -> Policy:
    """Raises `PolicyError` with all problems. `environment` gives the default of `data_dir`, and passwords.

    `wants_secrets`: the policy is to be run, so that a password or certificate that cannot be read is an error. `now`:
    seconds since 1970; with it, certificates that have expired are warned of.
    """
    problems = Problems()
    sources = [source for path in _files(paths, problems) if (source := _read(path, problems)) is not None]
    policy = _parse(sources, environment or {}, now, problems)
    if wants_secrets and policy.unresolved:
        raise PolicyError(policy.unresolved)
    return policy


def parse_policy(
    sources: Sequence[Source], *, environment: Mapping[str, str] | None = None, now: float | None = None
) -> Policy:
    return _parse(sources, environment or {}, now, Problems())


def _parse(sources: Sequence[Source], environment: Mapping[str, str], now: float | None, problems: Problems) -> Policy:
    files = tuple(source.file for source in sources)
    documents = []
    for source in sources:
        text = _decode(source, problems)
        if text is not None:
            documents += read_documents(source.file, text, problems)
    start = Where(files[0] if files else "policy", 1)
    if not documents and not problems.errors:
        problems.wrong(start, "the policy is empty", "expected the sections interfaces, pbxs, trunks and routes")
    problems.raise_any(files)
    draft = read_sections(documents, start, problems)
    certificates: dict[str, Stamp] = {}

    def read_pem(path: Path) -> bytes:
        certificates[str(path)] = stamp_of(path)
        return _read_pem(path)

    policy = build_policy(draft, start, files, Vault(environment, _read_secret, read_pem, now), problems)
    policy.files = {source.file: source.stamp for source in sources}
    policy.texts = {source.file: source.data for source in sources}
    policy.certificate_files = certificates
    return policy


def stamp_of(path: Path) -> Stamp:
    """Of a file as it is now."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _decode(source: Source, problems: Problems) -> str | None:
    try:
        return source.data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = source.data[: error.start]
        where = Where(source.file, before.count(b"\n") + 1, error.start - before.rfind(b"\n"))
        problems.wrong(
            where, f"the octet 0x{source.data[error.start]:02x} is not UTF-8", "expected a text file in UTF-8"
        )
        return None


def _files(paths: Sequence[Path | str], problems: Problems) -> list[Path]:
    """Every file once, in the order of the command line."""
    files: dict[Path, Path] = {}
    for given in paths:
        path = Path(given)
        for file in _in_folder(path, problems) if _is_folder(path) else [path]:
            files.setdefault(_identity(file), file)
    return list(files.values())


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False  # reading it as a file will say why


def _identity(file: Path) -> Path:
    """The same for two ways to write one path."""
    try:
        return file.resolve()
    except (OSError, RuntimeError, ValueError):  # a loop of links, an impossible name: reading it will say so
        return file


def _in_folder(folder: Path, problems: Problems) -> list[Path]:
    """As the shell's `*.yaml` would: no hidden files, which are editors' locks and backups, and no folders."""
    try:
        names = [file for file in folder.iterdir() if file.suffix == ".yaml" and not file.name.startswith(".")]
        found = sorted((file for file in names if not file.is_dir()), key=lambda file: file.name)
    except OSError as error:
        problems.wrong(Where(str(folder), 1), f"cannot be read: {error.strerror}", "expected a readable folder")
        return []
    if not found:
        problems.wrong(Where(str(folder), 1), "no *.yaml in this folder", "expected policy files")
    return found


def _read(file: Path, problems: Problems) -> Source | None:
    stamp = stamp_of(file)
    try:
        with file.open("rb") as stream:
            data = stream.read(_LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        problems.wrong(Where(str(file), 1), f"cannot be read: {reason}", "expected a readable YAML file")
        return None
    if len(data) > _LARGEST_FILE:
        problems.wrong(Where(str(file), 1), "larger than 16 MiB", "expected a policy")
        return None
    return Source(str(file), data, stamp)


def _read_secret(path: Path) -> bytes:
    """Raises OSError or ValueError."""
    return _read_within(path, _LARGEST_SECRET, "4 KiB")


def _read_pem(path: Path) -> bytes:
    """Raises OSError or ValueError."""
    return _read_within(path, _LARGEST_PEM, "4 MiB")


def _read_within(path: Path, most: int, shown: str) -> bytes:
    """What is no file could keep us waiting."""
    if path.exists() and not path.is_file():
        raise ValueError("not a file")
    with path.open("rb") as stream:
        data = stream.read(most + 1)
    if len(data) > most:
        raise ValueError(f"larger than {shown}")
    return data


__all__ = ["PolicyError", "Source", "load_policy", "parse_policy"]
