"""Digest authentication as the test kit does it: its own reading, its own arithmetic, so that the SBC's are judged.

RFC 7616 §3.4, RFC 3261 §22.4. `Keyring` is what a phone answers challenges with; `challenger` makes them.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from sbc.core.ids import IdSource
from sbc.sip.message import Request, Response

_PARAM: Final = re.compile(r'([A-Za-z*-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s,"]+)')
_HASHES: Final = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}
PAIRS: Final = {"WWW-Authenticate": "Authorization", "Proxy-Authenticate": "Proxy-Authorization"}


def params_of(text: str) -> dict[str, str]:
    """The parameters of a challenge or of credentials, quotes and all."""
    return {name.lower(): value for name, value in _PARAM.findall(text.partition(" ")[2])}


def bare(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


def digest_of(params: Mapping[str, str], username: str, password: str, request: Request) -> str:
    """What `response` must be for these (bare) parameters of credentials in this request."""

    def hashed(text: str, body: bytes = b"") -> str:
        return hashlib.new(_HASHES[params.get("algorithm", "MD5").upper()], text.encode() + body).hexdigest()

    qop = params.get("qop", "")
    secret = hashed(f"{username}:{params['realm']}:{password}")
    what = f"{request.method}:{params['uri']}"
    if qop == "auth-int":
        what += f":{hashed('', request.body)}"
    middle = f"{params['nc']}:{params['cnonce']}:{qop}:" if qop else ""
    return hashed(f"{secret}:{params['nonce']}:{middle}{hashed(what)}")


class Keyring(Struct, eq=False):
    """One account. Answers the topmost challenge that it can, once, and once more where that was only stale."""

    username: str
    password: str
    nonces: dict[str, int] = {}
    knows: tuple[str, ...] = ("MD5", "SHA-256", "SHA-512-256")

    def answer(self, response: Response, request: Request, ids: IdSource) -> tuple[str, str] | None:
        """The header to be added to `request` before it is sent again, or None."""
        for name, header in PAIRS.items():
            for text in response.headers(name):
                raw = params_of(text)
                asked = {key: bare(value) for key, value in raw.items()}
                if asked.get("algorithm", "MD5").upper() not in self.knows:
                    continue
                if self._was_refused(header, asked, request):
                    return None
                return header, self._credentials(raw, asked, request, ids)
        return None

    def _was_refused(self, header: str, asked: Mapping[str, str], request: Request) -> bool:
        tried = [bare(params_of(text)["realm"]) for text in request.headers(header)]
        return asked.get("realm") in tried and asked.get("stale", "").lower() != "true"

    def _credentials(self, raw: Mapping[str, str], asked: Mapping[str, str], request: Request, ids: IdSource) -> str:
        count = self.nonces[asked["nonce"]] = self.nonces.get(asked["nonce"], 0) + 1
        params = {key: asked[key] for key in ("realm", "nonce", "algorithm") if key in asked}
        params |= {"uri": request.uri_text}
        if "auth" in re.split(r"[\s,]+", asked.get("qop", "")):
            params |= {"qop": "auth", "nc": f"{count:08x}", "cnonce": ids.tag()}
        response = digest_of(params, self.username, self.password, request)
        shown = {key: raw[key] for key in ("realm", "nonce", "algorithm", "opaque") if key in raw}
        shown |= {key: params[key] for key in ("qop", "nc") if key in params}
        shown |= {key: f'"{params[key]}"' for key in ("uri", "cnonce") if key in params}
        name = self.username.replace("\\", "\\\\").replace('"', '\\"')
        shown |= {"username": f'"{name}"', "response": f'"{response}"'}
        return f"Digest {', '.join(f'{key}={value}' for key, value in shown.items())}"
