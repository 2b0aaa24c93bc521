"""SRTP in the descriptions of a test phone: `a=crypto` (RFC 4568), or the fingerprint of a certificate (RFC 5763).

It has keys of its own, written here once more and not by the engine's rules, and judges what it is told: an answer has
one line, with a tag that it has offered, and with no key that it has ever used. It encrypts no packet; see `srtp`.
Used by `voice` and `offers`.
"""

import hashlib
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from sbc.sdp import SdpError, Session
from sbc.sdp.model import Media
from sbc.sdp.security import KEY_OCTETS, CryptoLine, DtlsSetup, InlineKey, Security, Setup
from sbc.testing.party import Party

_SECURED: Final = {"RTP/AVP": "RTP/SAVP", "RTP/AVPF": "RTP/SAVPF"}


class PhoneSrtp(Struct, frozen=True):
    """`required`: it offers RTP/SAVP, and takes nothing else; else RTP/AVP with keys beside it, and what comes."""

    required: bool = True
    keying: Literal["sdes", "dtls"] = "sdes"
    suites: tuple[str, ...] = ("AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32")


def offered(rules: PhoneSrtp, party: Party, host: str, session: Session) -> Session:
    streams = [
        replace(media, security=_offer(rules, party, host, i, media)) if media.port and media.is_rtp else media
        for i, media in enumerate(session.media)
    ]
    return replace(session, media=tuple(streams))


def answered(rules: PhoneSrtp | None, party: Party, host: str, offer: Session, session: Session) -> Session:
    """SdpError 488 where nothing is left. A phone without rules refuses what is secured."""
    streams = [
        _answered(rules, party, host, i, asked, media)
        for i, (asked, media) in enumerate(zip(offer.media, session.media, strict=True))
    ]
    if any(media.port for media in session.media) and not any(media.port for media in streams):
        raise SdpError("no stream that is secured as it should be", 488)
    return replace(session, media=tuple(streams))


def complaints_about_keys(asked: Session, got: Session) -> list[str]:
    """An answer of theirs to our offer (RFC 4568 §5.1.2, §7.1.2)."""
    found = []
    for i, (ours, theirs) in enumerate(zip(asked.media, got.media, strict=False)):
        if not theirs.port or not theirs.is_rtp:
            continue
        offer, answer = ours.security, theirs.security
        if (offer.proto if offer else "") != (answer.proto if answer else ""):
            found.append(f"stream {i} in another protocol than offered")
        if answer is None or offer is None:
            continue
        tags = {(line.tag, line.suite) for line in offer.crypto}
        if offer.crypto and [(line.tag, line.suite) in tags for line in answer.crypto] != [True]:
            found.append(f"not one of the offered a=crypto in the answer of stream {i}")
        if {key.key for line in offer.crypto for key in line.keys} & {line.keys[0].key for line in answer.crypto}:
            found.append(f"our own key comes back in stream {i}")
        if answer.dtls is not None and answer.dtls.setup not in ("active", "passive"):
            found.append(f"a=setup:{answer.dtls.setup} in an answer")
    return found


def key_of(party: Party, host: str, stream: int, suite: str) -> bytes:
    """The phone's: other ones in each dialog, stream and suite, and after `Phone.rekeys`."""
    seed = f"{host} {party.n} {party.call_id} {stream} {suite} {party.talk.keys_made}"
    return hashlib.sha512(seed.encode()).digest()[: KEY_OCTETS[suite]]


def _offer(rules: PhoneSrtp, party: Party, host: str, i: int, media: Media) -> Security:
    proto = _SECURED[media.proto] if rules.required else ""
    if rules.keying == "dtls":
        return Security(f"UDP/TLS/{proto}" if proto else "", dtls=_dtls(party, host, "actpass"))
    lines = [_line(n, suite, party, host, i) for n, suite in enumerate(rules.suites, 1)]
    return Security(proto, tuple(lines))


def _answered(rules: PhoneSrtp | None, party: Party, host: str, i: int, asked: Media, media: Media) -> Media:
    security = asked.security
    proto = "" if security is None else security.proto
    if not media.port or not media.is_rtp:
        return replace(media, security=Security(proto)) if proto else media
    if rules is not None and security is not None:
        if security.dtls is not None and rules.keying == "dtls":
            setup: Setup = "passive" if security.dtls.setup == "active" else "active"
            return replace(media, security=Security(proto, dtls=_dtls(party, host, setup)))
        for line in security.crypto if rules.keying == "sdes" else ():
            if line.suite in rules.suites:
                return replace(media, security=Security(proto, (_line(line.tag, line.suite, party, host, i),)))
    if proto or (rules is not None and rules.required):
        return Media(media.kind, 0, media.proto, media.formats, security=Security(proto) if proto else None)
    return media


def _line(tag: int, suite: str, party: Party, host: str, i: int) -> CryptoLine:
    return CryptoLine(tag, suite, (InlineKey(key_of(party, host, i, suite)),))


def _dtls(party: Party, host: str, setup: Setup) -> DtlsSetup:
    digest = hashlib.sha256(f"{host} {party.n} {party.talk.keys_made}".encode()).hexdigest().upper()
    value = ":".join(digest[at : at + 2] for at in range(0, 64, 2))
    return DtlsSetup((("sha-256", value),), setup)
