"""The web page's files: read once, and served from memory, so that no path of a request ever reaches a disk.

What the page does is its own; this half gives it its name, its type, its ETag and a policy that lets it load nothing
from elsewhere. Used by `http`.
"""

import hashlib
from collections.abc import Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

from msgspec import Struct

from sbc.admin.exchange import TEXT, Reply, problem

PREFIX: Final = "/page/"
_START: Final = "/page/index.html"
_TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
    "ico": "image/x-icon",
    "woff2": "font/woff2",
    "json": "application/json",
}
# Nothing inline, nothing from elsewhere, in nobody's frame (CSP level 3).
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class File(Struct, frozen=True):
    content_type: str
    body: bytes
    etag: str  # with its quotes


Page = Mapping[str, File]  # by the path of a request


def read_page() -> Page:
    """Blocks. Whatever is in the package's folder, and nothing else."""
    return dict(_files(resources.files("sbc.admin").joinpath("page"), PREFIX))


def is_of_page(path: str) -> bool:
    return path == "/" or path.startswith(PREFIX)


def page_reply(page: Page, method: str, path: str, if_none_match: str) -> Reply:
    """A file as it is; 304 where the browser has it already (RFC 9110 §13.1.2)."""
    file = page.get(_START if path == "/" else path)
    if file is None:
        return problem(404, f"there is nothing at {path[:200]}")
    if method not in {"GET", "HEAD"}:
        return problem(405, f"{path[:200]} knows GET, HEAD", (("Allow", "GET, HEAD"),))
    # Each use asks whether it is still the same: a new version of the program brings a new page.
    headers = (("ETag", file.etag), ("Cache-Control", "no-cache"), ("Content-Security-Policy", _POLICY))
    if _is_known(file.etag, if_none_match):
        return Reply(304, "", b"", headers)
    return Reply(200, file.content_type, file.body, headers)


def _is_known(etag: str, if_none_match: str) -> bool:
    known = [one.strip().removeprefix("W/") for one in if_none_match[:1000].split(",")]
    return etag in known or known == ["*"]


def _files(folder: Traversable, prefix: str) -> list[tuple[str, File]]:
    """An installation without the folder has no page."""
    if not folder.is_dir():
        return []
    found: list[tuple[str, File]] = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _files(entry, f"{prefix}{entry.name}/")
        elif not entry.name.startswith("."):
            found.append((prefix + entry.name, _file(entry)))
    return found


def _file(entry: Traversable) -> File:
    body = entry.read_bytes()
    kind = _TYPES.get(entry.name.rpartition(".")[2].lower(), TEXT)
    return File(kind, body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
