"""The keys `tls` of interfaces and peers, and `transports`: which certificates are shown, and whose are believed.

Reading finds out where certificates and keys are to be had; `interface_tls` and `peer_tls` fetch them, when all else is
known. One that cannot be had is no error of the policy, as with passwords: `check` warns, `run` refuses. What was had
and is wrong is an error (`certificates`). Nothing of a key is in any message.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any, Final, Literal

from sbc.core.address import Transport, canonical_ip
from sbc.core.secret import Secret
from sbc.policy import addresses, certificates, values
from sbc.policy.documents import Node
from sbc.policy.model import Server
from sbc.policy.problems import Problems, UnfitError
from sbc.policy.protection import InterfaceTls, KeyPair, PeerTls, Trust
from sbc.policy.schema import Fields, Key, Reader, choice, every, mapping, one, read_fields, some
from sbc.policy.secrets import PasswordSource, Vault, path_of, read_place

OFF: Final = "off"
_CERTIFICATE_FORMS: Final = "PATH, {file: PATH} or {credential: NAME}"
_KEY_FORMS: Final = "PATH, {file: PATH}, {env: NAME} or {credential: NAME}"
_FINGERPRINT: Final = re.compile(r"sha256:([0-9A-Fa-f]{2}(?::?[0-9A-Fa-f]{2}){31})")


def _place(what: str, forms: str, *kinds: str) -> Reader:
    def read(node: Node, problems: Problems) -> PasswordSource | None:
        if node.text is None:
            return read_place(node, what, kinds, forms, problems)
        if not node.text or "\0" in node.text or "-----BEGIN" in node.text:
            problems.wrong(node.where, f"`{what}` is not the name of a file", f"expected {forms}")
            return None
        return PasswordSource("file", node.where, node.text)

    return read


def _public(what: str) -> Reader:
    return _place(what, _CERTIFICATE_FORMS, "file", "credential")


def _fingerprint(text: str) -> str:
    found = _FINGERPRINT.fullmatch(text)
    if found is None:
        raise UnfitError("this is no fingerprint", 'expected "sha256:" and 64 hexadecimal digits, colons allowed')
    return found[1].replace(":", "").lower()


def _proved_domain(text: str) -> str:
    if canonical_ip(text) is not None:
        raise UnfitError(f"`{text}` is an address", "expected a name: a certificate is not matched against addresses")
    return addresses.domain(text)


_PAIR: Final = (
    Key("certificate", _CERTIFICATE_FORMS, "", _public("certificate")),
    Key("key", _KEY_FORMS, "", _place("key", _KEY_FORMS, "file", "env", "credential")),
)
OTHER: Final = (
    Key(
        "certificate",
        _CERTIFICATE_FORMS,
        "shown to clients that ask for one of its names",
        _PAIR[0].read,
        required=True,
    ),
    Key("key", _KEY_FORMS, "its private key", _PAIR[1].read, required=True),
)


def _trust_keys(default: str, minimum: str) -> tuple[Key, ...]:
    return (
        Key(
            "authorities",
            _CERTIFICATE_FORMS,
            "whose signatures are believed, in PEM; a certificate that signs itself may be one",
            _public("authorities"),
            default=default,
        ),
        Key(
            "crl",
            _CERTIFICATE_FORMS,
            "revocation lists in PEM, one for every authority in a chain; without one, what it signed is refused",
            _public("crl"),
        ),
        Key(
            "revoked",
            'a "sha256:…" or a list of them',
            "certificates, or public keys, that are refused whoever has signed them",
            some(one(_fingerprint)),
        ),
        Key("minimum", "1.2 or 1.3", "the oldest version of TLS that is spoken", choice("1.2", "1.3"), default=minimum),
    )


INTERFACE_TLS: Final = (
    Key(
        "certificate",
        _CERTIFICATE_FORMS,
        "shown to whoever connects, and to peers that we connect to and that ask; with the certificates between it and "
        "the root, in PEM. A path is relative to the file that names it; without one, connections are made and not "
        "accepted",
        _PAIR[0].read,
    ),
    Key("key", _KEY_FORMS, "its private key in PEM, without a passphrase", _PAIR[1].read),
    Key(
        "others",
        "a mapping of certificate and key, or a list of them",
        "more of them, by name",
        some(mapping(OTHER, "an entry of `others`")),
    ),
    *_trust_keys("the operating system's", "1.2"),
)

PEER_TLS: Final = (
    Key(
        "domain",
        "a host or a list of them",
        "names, one of which its certificate must hold as a subject alternative name (RFC 5922), in full: no "
        "wildcards, no common name, no address",
        some(one(_proved_domain)),
        default="`domain` of a trunk, else the names of its servers",
    ),
    Key(
        "pin",
        'a "sha256:…" or a list of them',
        "the fingerprint of its certificate or of its public key, instead of names and authorities: for a peer that "
        "signs its own",
        some(one(_fingerprint)),
    ),
    Key(
        "identity",
        "source, certificate or address",
        "certificate: it is heard only over TLS, with a certificate that proves who it is; source: where it connects, "
        "its address is enough, but a certificate that it shows must be good; address: it is not asked for one there, "
        "as for a carrier whose certificate is for servers alone. Where we connect, its certificate is always judged",
        choice("source", "certificate", "address"),
        default="source",
    ),
    Key(
        "reuse",
        "true or false",
        "whether our requests within a call go by the connection that it has opened and speaks by; false: by one of "
        "our own, as for a service that reads only answers there",
        one(values.flag),
        default="true",
    ),
    Key("certificate", _CERTIFICATE_FORMS, "shown to this peer", _PAIR[0].read, default="the interface's"),
    Key("key", _KEY_FORMS, "its private key", _PAIR[1].read),
    *_trust_keys("the interface's", "the interface's"),
)


def read_peer_tls(node: Node, problems: Problems) -> Fields | Literal["off"] | None:
    if node.pairs is not None:
        return read_fields(node, PEER_TLS, "`tls`", problems)
    if node.text == OFF:
        return "off"
    problems.wrong(node.where, "this is not how a peer proves who it is", "expected a mapping, or off")
    return None


TRANSPORTS: Final = Key(
    "transports",
    "udp, tcp, tls or a list of them",
    "by which it may speak; what comes from its addresses by another one is a stranger's",
    every(choice("udp", "tcp", "tls")),
    default="all; tls alone where all its servers are by TLS, or where `identity` is certificate",
)


def interface_tls(fields: Fields, vault: Vault, problems: Problems) -> InterfaceTls:
    """`fields`: of the interface."""
    written: Fields = fields.get("tls", Fields(fields.where))
    pairs = [
        _pair(of, vault, problems, as_client=False) for of in (written, *(at.value for at in written.get("others", ())))
    ]
    return InterfaceTls(tuple(pair for pair in pairs if pair is not None), _trust(written, Trust(), vault, problems))


def peer_tls(fields: Fields, interface: InterfaceTls, vault: Vault, problems: Problems) -> PeerTls:
    """`fields`: of the peer."""
    written = tls_fields(fields)
    has_trust = not written.found.keys().isdisjoint(("authorities", "crl", "revoked", "minimum"))
    return PeerTls(
        domains=tuple(dict.fromkeys(at.value for at in written.get("domain", ()))),
        pins=tuple(dict.fromkeys(at.value for at in written.get("pin", ()))),
        identity=written.get("identity", "source"),
        pair=_pair(written, vault, problems, as_client=True),
        trust=_trust(written, interface.trust, vault, problems) if has_trust else None,
        reuse=written.get("reuse", True),
    )


def tls_fields(peer: Fields) -> Fields:
    """What stands at the peer's key `tls`; nothing where it is off or absent."""
    written = peer.get("tls")
    return written if isinstance(written, Fields) else Fields(peer.where)


def is_off(peer: Fields) -> bool:
    return bool(peer.get("tls") == OFF)


def spoken(peer: Fields, servers: Iterable[Server]) -> frozenset[Transport]:
    """By which transports it may speak."""
    written = peer.get("transports")
    if written is not None:
        return frozenset([Transport(at.value) for at in written])
    if is_off(peer):
        return frozenset((Transport.UDP, Transport.TCP))
    by = {server.transport for server in servers}
    if by == {Transport.TLS} or tls_fields(peer).get("identity") == "certificate":
        return frozenset((Transport.TLS,))
    return frozenset(Transport)


def _pair(written: Fields, vault: Vault, problems: Problems, *, as_client: bool) -> KeyPair | None:
    """None where there is none, or where it cannot be had now, which has been said."""
    source: PasswordSource | None = written.get("certificate")
    key_source: PasswordSource | None = written.get("key")
    if source is None or key_source is None:
        return None
    chain = _read(source, "the certificate", vault, problems, certificates.read_chain)
    key = _read(key_source, "the key", vault, problems, lambda text, _what: text)
    if chain is None or key is None:
        return None
    (text, found), (key_text, _) = chain, key
    try:
        certificates.check_key(key_text, found[0], _named(key_source, "the key", vault))
    except UnfitError as error:
        problems.wrong(key_source.where, error.wrong, error.expected)
        return None
    for doubt in certificates.doubts(found, vault.now, as_client=as_client):
        problems.warn(source.where, doubt, "the other side will refuse it")
    return KeyPair(_named(source, "", vault), text, Secret(key_text))


def _trust(written: Fields, above: Trust, vault: Vault, problems: Problems) -> Trust:
    """What is not written is as `above`; but revocation lists belong to the authorities that they were given with."""
    authorities = _checked(written.get("authorities"), "the authorities", vault, problems, _authorities)
    lists = _checked(
        written.get("crl"), "the revocation list", vault, problems, lambda text, what: _crls(text, what, vault)
    )
    for doubt in lists[1]:
        problems.warn(written.place("crl"), doubt, "until then every certificate of that authority is refused")
    keeps = "authorities" not in written.found
    revoked = [at.value for at in written.get("revoked", ())]
    return Trust(
        above.authorities if keeps else authorities[0],
        lists[0] if "crl" in written.found else above.crl if keeps else "",
        tuple(dict.fromkeys([*above.revoked, *revoked])),
        written.get("minimum", above.minimum),
    )


def _authorities(text: str, what: str) -> list[str]:
    certificates.read_certificates(text, what)
    return []


def _crls(text: str, what: str, vault: Vault) -> list[str]:
    return certificates.check_crls(text, what, vault.now)


def _checked(
    source: PasswordSource | None,
    what: str,
    vault: Vault,
    problems: Problems,
    check: Callable[[str, str], list[str]],
) -> tuple[str, list[str]]:
    found = None if source is None else _read(source, what, vault, problems, check)
    return ("", []) if found is None else found


def _read(
    source: PasswordSource, what: str, vault: Vault, problems: Problems, check: Callable[[str, str], Any]
) -> tuple[str, Any] | None:
    """The text, and what `check` made of it."""
    try:
        text = _text(source, what, vault)
    except UnfitError as error:
        problems.lack_secret(source.where, error.wrong, error.expected)
        return None
    try:
        return text, check(text, _named(source, what, vault))
    except UnfitError as error:
        problems.wrong(source.where, error.wrong, error.expected)
        return None


def _text(source: PasswordSource, what: str, vault: Vault) -> str:
    named = _named(source, what, vault)
    if source.kind == "env":
        found = vault.environment.get(source.name)
        if not found:
            raise UnfitError(f"{named} is not set", "expected it to hold PEM")
        return found
    try:
        return vault.read_pem(path_of(source, vault)).decode("ascii", errors="ignore")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnfitError(f"{named} cannot be read: {reason}", "expected a readable file in PEM") from None


def _named(source: PasswordSource, what: str, vault: Vault) -> str:
    """For people: where it is."""
    place = f"${source.name}" if source.kind == "env" else str(path_of(source, vault))
    return f"{what} `{place}`" if what else place
