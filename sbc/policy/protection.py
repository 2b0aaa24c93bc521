"""What policy says of encryption and of keeping out, as values: TLS, SRTP, bans. Read by `model`, filled by `build`.

Certificates and keys are PEM text here, read with the policy, so that a reload reads them again and a policy that has
been checked can be run. Fingerprints are SHA-256 in lower-case hexadecimal digits without colons.
"""

from typing import Final, Literal

from msgspec import Struct

from sbc.core.secret import Secret

TlsVersion = Literal["1.2", "1.3"]
TlsIdentity = Literal["source", "certificate", "address"]
SrtpMode = Literal["off", "optional", "required"]
Keying = Literal["sdes", "dtls"]
Suite = Literal["AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32", "AEAD_AES_128_GCM", "AEAD_AES_256_GCM"]
"""RFC 4568 §6.2, RFC 7714 §14.2; the names that stand in `a=crypto`."""

SUITES: Final[tuple[Suite, ...]] = (
    "AES_CM_128_HMAC_SHA1_80",
    "AES_CM_128_HMAC_SHA1_32",
    "AEAD_AES_128_GCM",
    "AEAD_AES_256_GCM",
)


class KeyPair(Struct, frozen=True):
    """A certificate with those that lead to its authority, and its key. `name`: the file, for people."""

    name: str
    chain: str
    key: Secret


class Trust(Struct, frozen=True):
    """Whose certificates are good. `authorities`: PEM; empty: those of the operating system.

    `crl`: revocation lists in PEM, which must then be there for every authority; `revoked`: fingerprints of
    certificates, or of public keys, that are refused whoever has signed them.
    """

    authorities: str = ""
    crl: str = ""
    revoked: tuple[str, ...] = ()
    minimum: TlsVersion = "1.2"


class InterfaceTls(Struct, frozen=True):
    """Of the `tls:` listeners of an interface. `pairs`: the first is shown unless a client asks for a name of another;
    none: connections are made and not accepted.
    """

    pairs: tuple[KeyPair, ...] = ()
    trust: Trust = Trust()


class PeerTls(Struct, frozen=True):
    """How a peer proves who it is. `domains`: names, one of which its certificate must hold (RFC 5922 §7.2). `pins`:
    fingerprints of its certificate or of its public key; where there are any, authorities and names do not matter.

    `identity` certificate: it is heard only over connections on which it has proved it; source: its address is enough
    where it opens the connection and shows no certificate; address: it is not even asked for one there. `pair`: what it
    is shown instead of the interface's. `trust` None: the interface's. `reuse`: whether our requests go by connections
    that it has opened, where it speaks by them.
    """

    domains: tuple[str, ...] = ()
    pins: tuple[str, ...] = ()
    identity: TlsIdentity = "source"
    pair: KeyPair | None = None
    trust: Trust | None = None
    reuse: bool = True


class TlsProfile(Struct, frozen=True):
    """What a connection is opened and judged by: a peer's rules with its interface's filled in. Peers whose rules are
    equal share one, and so their connections. `name`: that of the first such peer.
    """

    name: str
    interface: str
    domains: tuple[str, ...] = ()
    pins: tuple[str, ...] = ()
    identity: TlsIdentity = "source"
    pairs: tuple[KeyPair, ...] = ()
    trust: Trust = Trust()


class SrtpRules(Struct, frozen=True):
    """Media of a peer. off: plain RTP, and an offer of SRTP alone gets 488; optional: as it wishes; required: an offer
    of plain RTP gets 488, and we offer nothing else. `keying`, `suites`: in this order.
    """

    mode: SrtpMode = "off"
    keying: tuple[Keying, ...] = ("sdes",)
    suites: tuple[Suite, ...] = SUITES


class BanRules(Struct, frozen=True):
    """Sources that are no trusted peers and misbehave: `strikes` within `within` seconds ban for `lasts` seconds.

    `is_on` False: nobody is banned, but by the operator. `nftables`: the kernel drops their packets, too. `signatures`:
    words in a User-Agent, besides those that we know, that ban at once.
    """

    is_on: bool = True
    strikes: int = 10
    within: float = 60.0
    lasts: float = 600.0
    nftables: bool = False
    signatures: tuple[str, ...] = ()
