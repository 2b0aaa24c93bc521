"""`ssl` contexts out of the PEM texts of a policy: what is shown, who is believed, from which version on.

A context verifies chains and knows no names: that a certificate is the one that was meant, `tls_proof` judges. Equal
rules share a context, and a policy that is read again shares those that have not changed; the key never touches a file.
Making one with the operating system's authorities takes 20 ms, so it is done in a thread, before a policy is in force.
Used by `tls_rules`.
"""

import contextlib
import os
import ssl
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal

from cryptography import x509
from msgspec import Struct

from sbc.core import limits
from sbc.core.errors import OperatorError
from sbc.policy.protection import KeyPair, TlsVersion, Trust
from sbc.sip.domain_certificate import read_certificate

_VERSIONS: Final[dict[TlsVersion, ssl.TLSVersion]] = {
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}
_VERIFY: Final = {
    "none": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}
_SYSTEM_FILES: Final = 1_000  # of a folder of authorities


class Rules(Struct, frozen=True):
    """What a context is made of. `verify`: of the other side's certificate. `trusts`: any of them will do; they matter
    only where something is verified. `pairs`: the first is shown, others to clients that ask for them by name.
    """

    is_server: bool
    pairs: tuple[KeyPair, ...]
    trusts: tuple[Trust, ...]
    verify: Literal["none", "optional", "required"]
    minimum: TlsVersion


class Context:
    """`chains`: what verified certificates have led to, by their fingerprint: a client that resumes a session of
    TLS 1.2 shows none anew.
    """

    def __init__(self, made: ssl.SSLContext) -> None:
        self.made = made
        self._chains: dict[str, frozenset[str]] = {}

    def chain_of(self, fingerprint: str, verified: frozenset[str]) -> frozenset[str]:
        """`verified`: of this connection; empty where it has resumed a session."""
        if not verified:
            return self._chains.get(fingerprint, frozenset())
        if len(self._chains) >= limits.REMEMBERED_CHAINS:
            self._chains.clear()
        self._chains[fingerprint] = verified
        return verified


class Contexts:
    """Made when first asked for, and kept until `keep`. May be asked by any thread."""

    def __init__(self) -> None:
        self._made: dict[Rules, Context] = {}
        self._authorities: dict[str, frozenset[str]] = {}
        self._system = ""

    def get(self, rules: Rules) -> Context:
        """Raises OperatorError where OpenSSL does not take what the policy gives."""
        found = self._made.get(rules)
        if found is None:
            found = self._made[rules] = Context(self._make(rules))
        return found

    def keep(self, pairs: set[KeyPair], trusts: set[Trust]) -> None:
        """Of all that was made, what is made of these."""
        gone = [one for one in self._made if not (pairs.issuperset(one.pairs) and trusts.issuperset(one.trusts))]
        for rules in gone:
            self._made.pop(rules, None)

    def read_system(self) -> None:
        """The operating system's authorities, again. Blocks; to be called before the first `get`."""
        text = _system_authorities()
        if text != self._system:
            self._system = text
            for rules in [rules for rules in self._made if any(not trust.authorities for trust in rules.trusts)]:
                self._made.pop(rules, None)

    def authorities(self, trust: Trust) -> frozenset[str]:
        """Fingerprints of those that are believed; where the policy names them, of their keys, too."""
        text = trust.authorities or self._system
        found = self._authorities.get(text)
        if found is None:
            if len(self._authorities) >= limits.REMEMBERED_CHAINS:
                self._authorities.clear()
            found = self._authorities[text] = _fingerprints(text, with_keys=bool(trust.authorities))
        return found

    def _make(self, rules: Rules) -> ssl.SSLContext:
        first = self._plain(rules, rules.pairs[0] if rules.pairs else None)
        if rules.is_server and len(rules.pairs) > 1:
            others = {pair: self._plain(rules, pair) for pair in rules.pairs[1:]}
            by_name: dict[str, ssl.SSLContext] = {}
            for pair, made in {rules.pairs[0]: first, **others}.items():
                for name in _names_of(pair):
                    by_name.setdefault(name, made)
            first.sni_callback = _choice(by_name)  # type: ignore[assignment]  # what typeshed expects is narrower
        return first

    def _plain(self, rules: Rules, pair: KeyPair | None) -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if rules.is_server else ssl.PROTOCOL_TLS_CLIENT)
        made.check_hostname = False  # RFC 5922 is stricter, and knows URIs: `sip.domain_certificate`
        made.verify_mode = _VERIFY[rules.verify]
        made.minimum_version = _VERSIONS[rules.minimum]
        made.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION
        if rules.is_server:
            made.num_tickets = 0  # every connection is verified anew
        if pair is not None:
            _show(made, pair)
        if rules.verify != "none":
            self._believe(made, rules.trusts, lists_of(rules))
        return made

    def _believe(self, made: ssl.SSLContext, trusts: tuple[Trust, ...], lists: frozenset[str]) -> None:
        # A certificate may itself be what is trusted, as that of a PBX which signs its own.
        made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        texts = [trust.authorities or self._system for trust in trusts]
        if lists:
            made.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
            texts += sorted(lists)
        text = "\n".join(dict.fromkeys(texts))
        if not text.strip():
            raise OperatorError("no authority is known: the operating system has none, and the policy names none")
        try:
            with _file_of(text) as path:
                made.load_verify_locations(cafile=path)
        except (OSError, ValueError) as error:  # SSLError is an OSError
            raise OperatorError(f"the authorities or revocation lists cannot be used: {ssl_words(error)}") from None


def lists_of(rules: Rules) -> frozenset[str]:
    """The revocation lists that are asked: all, or none where one of the trusts has none, as OpenSSL has it."""
    lists = frozenset(trust.crl for trust in rules.trusts)
    return frozenset() if "" in lists else lists


def ssl_words(error: Exception) -> str:
    """What OpenSSL has against something, for people."""
    reason = getattr(error, "reason", None)
    return str(reason).lower().replace("_", " ") if reason else str(error) or type(error).__name__


def _show(made: ssl.SSLContext, pair: KeyPair) -> None:
    try:
        with _file_of(pair.chain) as chain, _file_of(pair.key.text) as key:
            made.load_cert_chain(chain, key, password=_no_passphrase)
    except (OSError, ValueError) as error:
        raise OperatorError(f"the certificate `{pair.name}` or its key cannot be used: {ssl_words(error)}") from None


def _no_passphrase() -> str:
    """OpenSSL would ask for one on the terminal."""
    raise ValueError("the key has a passphrase")


@contextlib.contextmanager
def _file_of(text: str) -> Iterator[str]:
    """OpenSSL reads keys and revocation lists from files alone: one in memory, that nobody else sees."""
    number = os.memfd_create("pem")
    try:
        with os.fdopen(os.dup(number), "wb") as stream:
            stream.write(text.encode())
        yield f"/proc/self/fd/{number}"
    finally:
        os.close(number)


def _choice(by_name: dict[str, ssl.SSLContext]) -> object:
    """RFC 6066 §3: who asks for a name that we do not have gets the first certificate, and decides."""

    def choose(connection: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        if name is None:
            return
        name = name.lower()
        found = by_name.get(name) or by_name.get("*." + name.partition(".")[2])
        if found is not None:
            connection.context = found

    return choose


def _names_of(pair: KeyPair) -> tuple[str, ...]:
    """Of one of ours, by which clients may ask for it; wildcards are our own affair here."""
    try:
        certificate = x509.load_pem_x509_certificate(pair.chain.encode())
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return ()
    return tuple(name.lower() for name in found.get_values_for_type(x509.DNSName))


def _fingerprints(text: str, *, with_keys: bool) -> frozenset[str]:
    found: set[str] = set()
    for block in _blocks(text):
        with contextlib.suppress(ValueError):  # what OpenSSL does not take either
            der = ssl.PEM_cert_to_DER_cert(block)
            found.add(sha256(der).hexdigest())
            if with_keys:
                found.add(read_certificate(der).key_fingerprint)
    return frozenset(found - {""})


def _blocks(text: str) -> Iterator[str]:
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    for part in text.split(begin)[1:]:
        yield begin + part.partition(end)[0] + end


def expiry_of(pair: KeyPair) -> float:
    """Seconds since 1970. Raises ValueError."""
    return read_certificate(ssl.PEM_cert_to_DER_cert(next(_blocks(pair.chain), ""))).ends


def _system_authorities() -> str:
    """Where OpenSSL looks: one file, or a folder of them."""
    places = ssl.get_default_verify_paths()
    if places.cafile is not None:
        with contextlib.suppress(OSError):
            return Path(places.cafile).read_text("ascii", "replace")
    folder = Path(places.capath or "/nonexistent")
    bundle = folder / "ca-certificates.crt"
    found = [bundle] if bundle.is_file() else sorted(folder.glob("*.[0-9]"))[:_SYSTEM_FILES]
    texts: list[str] = []
    for path in found:
        with contextlib.suppress(OSError):
            texts.append(path.read_text("ascii", "replace"))
    return "\n".join(texts)
