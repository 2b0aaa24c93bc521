"""SRTP of one side of a call: what its peer may offer and answer, which keys we tell it, and what the worker is told.

A side's descriptions are plain RTP with a `Security` beside each stream; it never crosses to the other side. Which keys
are in force is read out of what the side's peer has said and was told last, so that an offer that was rejected leaves
nothing behind. Our keys stay as long as the stream and the far end's key do: on refreshes, holds, resumes, and offers
that a transfer makes. One `Securing` for each side whose peer's `srtp` is not off; `sides` and `media` use it.

RFC 4568 (keys in the description), RFC 5763 (DTLS), RFC 8643 (keys beside plain RTP).
"""

from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from sbc.b2bua.associations import Associations, SavedAssociation, begins
from sbc.core.ids import IdSource
from sbc.core.limits import SRTP_KEYS_TRIED
from sbc.media import wire
from sbc.policy.protection import SrtpRules
from sbc.sdp.model import Media, SdpError, Session, same_except_origin
from sbc.sdp.secured import plain, secured_proto
from sbc.sdp.security import KEY_OCTETS, CryptoLine, DtlsSetup, InlineKey, Security

_PLAIN_ANSWER: Final = "plain RTP in the answer to an offer of SRTP"
Fingerprint = tuple[str, str]


class Agreement(Struct, frozen=True):
    """What a side and its peer have in common for one stream: a pair of crypto lines, or two ends of a handshake."""

    ours: CryptoLine | DtlsSetup
    theirs: CryptoLine | DtlsSetup

    @property
    def handshake(self) -> tuple[DtlsSetup, DtlsSetup] | None:
        """Ours and theirs; None: there is none."""
        if isinstance(self.ours, DtlsSetup) and isinstance(self.theirs, DtlsSetup):
            return self.ours, self.theirs
        return None

    @property
    def name(self) -> str:
        """For people."""
        return "by DTLS" if isinstance(self.ours, DtlsSetup) else f"{self.ours.suite} by SDES"


def agreed(told: Security | None, said: Security | None) -> Agreement | None:
    """None: nothing is. One of the two is an offer, and the other one its answer, with one line in it (RFC 4568
    §5.1.2); whichever is which.
    """
    if told is None or said is None:
        return None
    for ours in told.crypto:
        for theirs in said.crypto:
            if (ours.tag, ours.suite) == (theirs.tag, theirs.suite):
                return Agreement(ours, theirs)
    return None if told.dtls is None or said.dtls is None else Agreement(told.dtls, said.dtls)


class SavedSecuring(Struct, frozen=True, omit_defaults=True):
    """For the call journal. `former`: by stream, what was put last, and with which keys of the far end."""

    rules: SrtpRules
    former: tuple[tuple[int, wire.Crypto, tuple[wire.MasterKey, ...]], ...] = ()
    shut: wire.Crypto | None = None
    associations: tuple[SavedAssociation, ...] = ()
    yields: bool = False
    plain: tuple[int, ...] = ()


class Securing:
    """`fingerprint`: of our certificate in DTLS handshakes; None: there are none. `yields`: we offer what the rules
    say, and plain RTP is taken all the same.
    """

    __slots__ = (
        "_answer", "_associations", "_fingerprint", "_former", "_ids", "_plain", "_read", "_rules", "_shut", "_spent",
        "_yields",
    )  # fmt: skip

    def __init__(
        self, rules: SrtpRules, ids: IdSource, fingerprint: Fingerprint | None, *, yields: bool = False
    ) -> None:
        self._rules = rules
        self._yields = yields
        self._plain: frozenset[int] = frozenset()  # streams for which SRTP was offered, and plain RTP answered
        self._ids = ids
        self._fingerprint = fingerprint
        self._read: tuple[Session | None, Session | None] = (None, None)  # an offer as it came, as it is admitted
        self._answer: tuple[Session | None, tuple[Security | None, ...]] = (None, ())  # by what it answers
        self._former: dict[int, tuple[wire.Crypto, tuple[wire.MasterKey, ...]]] = {}  # by stream: what was put last
        self._shut: wire.Crypto | None = None
        self._spent: dict[int, tuple[InlineKey, ...]] = {}  # by stream: keys of ours that are of no use any more
        self._associations = Associations(ids, rules.suites)

    def saved(self) -> SavedSecuring:
        """What holds when no exchange is under way."""
        former = tuple([(i, crypto, keys) for i, (crypto, keys) in self._former.items()])
        associations = self._associations.saved()
        return SavedSecuring(self._rules, former, self._shut, associations, self._yields, tuple(sorted(self._plain)))

    @classmethod
    def restored(cls, saved: SavedSecuring, ids: IdSource, fingerprint: Fingerprint | None) -> "Securing":
        securing = cls(saved.rules, ids, fingerprint, yields=saved.yields)
        securing._plain = frozenset(saved.plain)
        securing._former = {i: (crypto, keys) for i, crypto, keys in saved.former}
        securing._shut = saved.shut
        securing._associations.restore(saved.associations)
        return securing

    @property
    def is_required(self) -> bool:
        """Nothing else is taken."""
        return self._insists and not self._yields

    @property
    def _insists(self) -> bool:
        """Nothing else is offered."""
        return self._rules.mode == "required"

    # --- what its peer says -------------------------------------------------------------------------------------------

    def admitted(self, session: Session, told: Session | None) -> Session:
        """Its peer's offer with port 0 where a stream may not be as it is. SdpError 488 where none is left.

        The same value for the same offer. `told`: what its peer was told last, whose keys may not come back.
        """
        known, admitted = self._read
        if known is session and admitted is not None:
            return admitted
        streams = tuple([self._admitted(media, _stream(told, i)) for i, media in enumerate(session.media)])
        admitted = session
        if any(one is not other for one, other in zip(streams, session.media, strict=True)):
            admitted = replace(session, media=streams)
            if any(media.port for media in session.media) and not any(media.port for media in streams):
                raise SdpError(self._why_not(session), 488)
        self._read = (session, admitted)
        return admitted

    def check_answer(self, told: Session, said: Session) -> None:
        """SdpError 488 unless each stream of the answer is secured as the offer `told` wants it (RFC 4568 §5.1.3)."""
        plain_streams: list[int] = []
        for i, (offered, answered) in enumerate(zip(told.media, said.media, strict=False)):
            if not (offered.port and answered.port and answered.is_rtp):
                continue
            if self._check(offered.security, answered.security):
                plain_streams.append(i)
        self._plain = frozenset(plain_streams)

    def is_unchanged(self, session: Session, told: Session | None, said: Session | None) -> bool:
        """Whether a new offer says the same as `said` did, and asks for the keys that are in force: that it names other
        suites beside does not matter.
        """
        if told is None or said is None or len(session.media) != len(said.media):
            return False
        if not same_except_origin(plain(session), plain(said)):
            return False
        for i, media in enumerate(session.media):
            now = agreed(_security(told, i), _security(said, i))
            chosen = self._chosen(media.security, _stream(told, i))
            if media.port and not (chosen is None if now is None else _is_same_key(chosen, now.theirs)):
                return False
        return True

    def _admitted(self, media: Media, told: Media | None) -> Media:
        if not media.port:
            return media
        if not media.is_rtp:
            return replace(media, port=0) if self.is_required else media
        security = media.security
        if self._chosen(security, told) is not None:
            return media
        if self.is_required or (security is not None and security.proto):
            return replace(media, port=0)
        return media if security is None else replace(media, security=None)  # plain RTP will do (RFC 8643 §3.2)

    def _why_not(self, session: Session) -> str:
        asked = [media for media in session.media if media.port and media.security is not None]
        return "nothing that can be used in the offer of SRTP" if asked else "plain RTP, and `srtp` is required"

    def _chosen(self, security: Security | None, told: Media | None) -> CryptoLine | DtlsSetup | None:
        """What of an offer we take: of the keying that our policy prefers, the first that we support (§5.1.2)."""
        if security is None:
            return None
        for keying in self._rules.keying:
            if keying == "dtls":
                dtls = security.dtls
                if dtls is not None and dtls.setup != "holdconn" and self._fingerprint is not None:
                    return dtls
                continue
            for line in security.crypto:
                if line.suite in self._rules.suites and not _is_ours(line, None if told is None else told.security):
                    return line
        return None

    def _check(self, offered: Security | None, answered: Security | None) -> bool:
        """Whether it is plain RTP, against our offer."""
        if offered is None:
            if answered is not None and answered.proto:
                raise SdpError("SRTP in the answer to an offer of plain RTP", 488)
            return False
        if answered is None or (offered.proto and not answered.proto):
            if (offered.proto and not self._yields) or self.is_required:
                raise SdpError(_PLAIN_ANSWER, 488)
            return bool(offered.proto)
        if len(answered.crypto) > 1:
            raise SdpError("several a=crypto lines in the answer", 488)
        found = agreed(offered, answered)
        if found is None or any(_is_ours(line, offered) for line in answered.crypto):
            raise SdpError("SRTP in the answer that was not offered, or with keys that are not good", 488)
        if found.handshake is not None and not _is_answer(*(end.setup for end in found.handshake)):
            raise SdpError(f"a=setup:{found.handshake[1].setup} in the answer", 488)
        return False

    # --- what its peer is told ----------------------------------------------------------------------------------------

    def spend(self, i: int, told: Media | None) -> bool:
        """Nothing can be sent under our key of this stream any more: the next offer or answer has another one.

        True: it came of a handshake. Another one begins when our port is another (RFC 8842 §3.1).
        """
        security = None if told is None else told.security
        if security is None:
            return False
        if security.crypto:
            self._spent[i] = security.crypto[0].keys
            return False
        self._associations.renew(i)
        return security.dtls is not None

    def is_spent(self, i: int, told: Media | None) -> bool:
        """Whether what a peer was `told` of this stream is of no use any more."""
        security = None if told is None else told.security
        return security is not None and bool(security.crypto) and self._spent.get(i) == security.crypto[0].keys

    def offering(self, text: Session, told: Session | None) -> Session:
        """Our offer: streams that are there keep what was `told` of them. SdpError 488 where nothing is left.

        An answer of ours has one line; an offer that follows has it too, and no other suites than that.
        """
        streams = tuple(
            [
                media if i in self._plain else self._offered(media, self._kept(i, _stream(told, i)))
                for i, media in enumerate(text.media)
            ]
        )
        if any(media.port for media in text.media) and not any(media.port for media in streams):
            raise SdpError("no stream is left that can be SRTP", 488)
        return replace(text, media=streams)

    def answering(self, text: Session, received: Session, told: Session | None, said: Session | None) -> Session:
        """Our answer to `received`, in whose protocols it is. All answers to one offer have the same keys, so that a
        caller can be told of one fork after the other within a dialog. `told`, `said`: the last exchange.
        """
        answers = self.answers(received, told, said)
        streams = [
            media if one is None else replace(media, security=one if media.port else _refused(one))
            for media, one in zip(text.media, answers, strict=False)
        ]
        return replace(text, media=(*streams, *text.media[len(streams) :]))

    def answers(self, received: Session, told: Session | None, said: Session | None) -> tuple[Security | None, ...]:
        """What we answer to each stream of an offer."""
        known, answers = self._answer
        if known is not received:
            now = [agreed(_security(told, i), _security(said, i)) for i in range(len(received.media))]
            answers = tuple(
                [
                    self._answer_to(media, _stream(told, i), None if self.is_spent(i, _stream(told, i)) else now[i])
                    for i, media in enumerate(received.media)
                ]
            )
            self._answer = (received, answers)
            self._plain -= {i for i, one in enumerate(answers) if one is not None}
        return answers

    def _answer_to(self, media: Media, told: Media | None, now: Agreement | None) -> Security | None:
        security = media.security
        if security is None:
            return None
        chosen = self._chosen(security, told) if media.port else None
        match chosen:
            case CryptoLine(tag, suite):
                kept = now is not None and _is_same_key(chosen, now.theirs) and isinstance(now.ours, CryptoLine)
                keys = now.ours.keys if kept and now is not None and isinstance(now.ours, CryptoLine) else ()
                return Security(security.proto, (CryptoLine(tag, suite, keys or self._new_keys(suite)),))
            case DtlsSetup():
                ends = None if now is None or not _is_same_key(chosen, now.theirs) else now.handshake
                role: Literal["active", "passive"] = "active" if begins(chosen, ends) else "passive"
                return Security(security.proto, dtls=self._our_dtls(role))
            case _:
                return _refused(security)

    def _kept(self, i: int, told: Media | None) -> Media | None:
        """As it was told, with another key in place of one that is spent."""
        if told is None or told.security is None or not self.is_spent(i, told):
            return told
        lines = [CryptoLine(line.tag, line.suite, self._new_keys(line.suite)) for line in told.security.crypto]
        return replace(told, security=replace(told.security, crypto=tuple(lines)))

    def _offered(self, media: Media, told: Media | None) -> Media:
        if not media.port:
            return media
        if not media.is_rtp:
            return replace(media, port=0) if self.is_required else media
        known = None if told is None or not told.port or not told.is_rtp else told.security
        if known is None and (self.is_required or told is None or not told.port or not told.is_rtp):
            known = self._new_offer(media.proto)
            return replace(media, port=0) if known is None and self.is_required else replace(media, security=known)
        if known is not None and known.proto:
            # With feedback once, with feedback always: the other side's sound may have none (`sdp.secured`).
            plainly = "RTP/AVPF" if known.proto.upper().endswith("F") else media.proto
            known = replace(known, proto=secured_proto(plainly, by_handshake=not known.crypto))
        return media if known is None else replace(media, security=known)

    def _new_offer(self, proto: str) -> Security | None:
        # Deviation: where SRTP is optional we offer plain RTP with keys beside it (RFC 8643), and no other profile;
        # RFC 4568 has them beside secured RTP only. One who knows nothing of it answers plainly, and nobody has to be
        # asked twice.
        keyings = [one for one in self._rules.keying if one == "sdes" or self._fingerprint is not None]
        if not keyings:
            return None
        if self._insists:
            keyings = keyings[:1]
        lines = [CryptoLine(n, suite, self._new_keys(suite)) for n, suite in enumerate(self._rules.suites, 1)]
        return Security(
            secured_proto(proto, by_handshake="dtls" in keyings) if self._insists else "",
            tuple(lines) if "sdes" in keyings else (),
            self._our_dtls("actpass") if "dtls" in keyings else None,
        )

    def _our_dtls(self, setup: Literal["active", "passive", "actpass"]) -> DtlsSetup | None:
        return None if self._fingerprint is None else DtlsSetup((self._fingerprint,), setup)

    def _new_keys(self, suite: str) -> tuple[InlineKey, ...]:
        return (InlineKey(self._ids.key(KEY_OCTETS[suite])),)

    # --- what the worker is told --------------------------------------------------------------------------------------

    def end(
        self, i: int, described: tuple[Media | None, Media | None], remote: wire.Remote | None
    ) -> wire.Crypto | wire.Dtls | None:
        """`described`: stream `i` as its peer was told of it, and as that has said. None: plain RTP is agreed upon.
        Where SRTP is offered, or required, and nothing is agreed yet, nothing is let in.
        """
        told, said = [None if media is None else media.security for media in described]
        found = agreed(told, said)
        if found is None and i in self._plain:
            return None
        if found is None:
            return self._closed(told) if self.is_required or (told is not None and told.proto) else None
        if isinstance(found.ours, DtlsSetup) and isinstance(found.theirs, DtlsSetup):
            return self._associations.agreed(i, found.ours, found.theirs, remote)
        if isinstance(found.ours, CryptoLine) and isinstance(found.theirs, CryptoLine):
            return self._keyed(i, found.ours, found.theirs)
        raise AssertionError(f"{found.name} with two kinds of keys")

    def established(self) -> None:
        """The session is up: keys of forks and targets that it was not set up with are let in no more."""
        self._former.clear()

    def _closed(self, told: Security | None) -> wire.Crypto:
        """What comes is not let in, and what goes out nobody can read but who has our offer."""
        if told is not None and told.crypto:
            return wire.Crypto(told.crypto[0].suite, _master_keys(told.crypto[0])[0])
        if self._shut is None:
            suite = self._rules.suites[0]
            self._shut = wire.Crypto(suite, wire.MasterKey(self._ids.key(KEY_OCTETS[suite])))
        return self._shut

    def _keyed(self, i: int, ours: CryptoLine, theirs: CryptoLine) -> wire.Crypto:
        """The far end changes over to a new key when it has our answer: until then the one before is good as well."""
        send, receive = _master_keys(ours)[0], _master_keys(theirs)
        before = self._former.get(i)
        if before is not None and before[0].suite == ours.suite:
            was, current = before
            if was.send == send and current == receive:
                return was
            former = current if current != receive else tuple([key for key in was.receive if key not in receive])
            receive = (*[key for key in former if key not in receive], *receive)[-SRTP_KEYS_TRIED:]
        crypto = wire.Crypto(ours.suite, send, receive)
        self._former[i] = (crypto, _master_keys(theirs))
        return crypto


def _refused(security: Security) -> Security | None:
    """Of a stream with port 0: what is left is the name of its protocol."""
    return Security(security.proto) if security.proto else None


def _stream(session: Session | None, i: int) -> Media | None:
    return None if session is None or i >= len(session.media) else session.media[i]


def _security(session: Session | None, i: int) -> Security | None:
    media = _stream(session, i)
    return None if media is None or not media.port else media.security


def _is_ours(line: CryptoLine, told: Security | None) -> bool:
    """A key of ours that comes back: "the master key(s) included in the answer MUST be different from those in the
    offer" (§7.1.2), for one key stream for two texts gives both away.
    """
    ours = {key.key for one in told.crypto for key in one.keys} if told is not None else ()
    return any(key.key in ours for key in line.keys)


def _is_same_key(chosen: CryptoLine | DtlsSetup | None, theirs: CryptoLine | DtlsSetup) -> bool:
    match chosen, theirs:
        case CryptoLine(), CryptoLine():
            return (chosen.suite, chosen.keys) == (theirs.suite, theirs.keys)
        case DtlsSetup(), DtlsSetup():
            return (chosen.fingerprints, chosen.tls_id) == (theirs.fingerprints, theirs.tls_id)
        case _:
            return False


def _master_keys(line: CryptoLine) -> tuple[wire.MasterKey, ...]:
    return tuple([wire.MasterKey(key.key, key.mki) for key in line.keys])


def _is_answer(ours: str, theirs: str) -> bool:
    """Whether it is known who begins."""
    # Deviation: baresip answers `actpass` (RFC 5763 §5: active or passive); to an offer in which we have said what we
    # are, as when it is put on hold, that is as good.
    return theirs != "holdconn" and (theirs != "actpass" or ours != "actpass")


def protection(told: Media | None, said: Media | None) -> str:
    """By what a stream is secured, for people; empty: it is not."""
    found = None if told is None or said is None else agreed(told.security, said.security)
    return "" if found is None else found.name
