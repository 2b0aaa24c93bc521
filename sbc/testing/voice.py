"""What a test phone says of its media (RFC 3264 §5, §6, §8; for a fax an m= line changes its kind, §8.3.3).

It only makes descriptions; what they mean for the offer/answer of a dialog, and what comes back, is in `offers`.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from sbc.core.address import Address
from sbc.sdp import Connection, Media, Origin, Session, answer, same_except_origin, serialize_sdp
from sbc.sdp.codecs import STATIC
from sbc.testing.party import Party, Talk, Wish
from sbc.testing.secure_sdp import PhoneSrtp, answered, offered

_NUMBERS: Final = {name.partition("/")[0]: int(number) for number, name in reversed(STATIC.items())}
_DYNAMIC: Final = {
    "telephone-event": (101, "telephone-event/8000"),
    "opus": (96, "opus/48000/2"),
    "iLBC": (97, "iLBC/8000"),
    "AMR-WB": (100, "AMR-WB/16000"),
    "H264": (102, "H264/90000"),
    "VP8": (103, "VP8/90000"),
}
_SWAPS: Final = {"audio": "image", "image": "audio"}  # a fax takes the m= line of the voice, and gives it back


class Voice(Struct, frozen=True):
    """Where one phone takes media and what it knows. `numbers`: payload types of its own choice, by codec name.

    A port of None: the phone knows nothing of such streams, and refuses them.
    """

    media: Address
    codecs: tuple[str, ...]
    video_port: int | None = None
    fax_port: int | None = None
    numbers: Mapping[str, int] = {}
    srtp: PhoneSrtp | None = None

    def wish(self) -> Wish:
        """What it offers before anybody has said anything else."""
        return Wish(kinds=("audio",) if self.video_port is None else ("audio", "video"))

    def offer(self, party: Party) -> Session:
        """Streams that were there keep their places; those that are not wanted any more get port 0 (RFC 3264 §8)."""
        talk = party.talk
        streams = tuple([self._offered(i, kind, talk, alive=alive) for i, (kind, alive) in enumerate(_slots(talk))])
        session = self._session(party, streams)
        return session if self.srtp is None else offered(self.srtp, party, self.media.host, session)

    def answer(self, party: Party, offer: Session) -> Session:
        """SdpError where nothing of the offer can be taken."""
        wish = party.talk.wish
        kinds = [kind for kind in ("audio", "video", "image") if self._port(kind)]
        streams = tuple([self._stream(kind, wish, alive=True) for kind in kinds])
        made = answered(self.srtp, party, self.media.host, offer, answer(offer, self._session(party, streams)))
        alive = tuple([media.kind for media in made.media if media.port])
        party.talk.wish = replace(wish, kinds=alive or wish.kinds)
        return made

    def print(self, party: Party, session: Session) -> bytes:
        """The version goes up by one exactly when something else is said than before (RFC 3264 §8)."""
        talk = party.talk
        if talk.sent is not None and not same_except_origin(session, talk.sent):
            talk.version += 1
        session = replace(session, origin=str(Origin(_session_id(party), talk.version, self.media.host)))
        talk.sent = talk.local = session
        return serialize_sdp(session)

    def _session(self, party: Party, streams: tuple[Media, ...]) -> Session:
        host = self.media.host
        zero = "::" if ":" in host else "0.0.0.0"
        connection = Connection("IP6" if ":" in host else "IP4", zero if party.talk.wish.old_hold else host)
        return Session(str(Origin(_session_id(party), party.talk.version, host)), "-", connection, ("t=0 0",), streams)

    def _port(self, kind: str) -> int:
        if kind == "audio":
            return self.media.port
        return (self.video_port if kind == "video" else self.fax_port) or 0

    def _offered(self, i: int, kind: str, talk: Talk, *, alive: bool) -> Media:
        """In numbers that mean what they have meant in this stream before, whoever said so (RFC 3264 §8.3.2)."""
        known = {number: encoding for (n, of, number), encoding in talk.meanings.items() if (n, of) == (i, kind)}
        return self._stream(kind, talk.wish, alive=alive, known=known)

    def _stream(self, kind: str, wish: Wish, *, alive: bool, known: Mapping[str, str] = {}) -> Media:
        port = self._port(kind) if alive else 0
        if alive and not port:
            raise ValueError(f"this phone has no port for {kind}; give it one when it is made")
        if kind == "image":
            lines: tuple[str, ...] = (
                ("a=T38FaxVersion:0", "a=T38MaxBitRate:14400", "a=T38FaxUdpEC:t38UDPRedundancy") if alive else ()
            )
            return Media(kind, port, "udptl", ("t38",), None, lines)
        codecs = ("H264",) if kind == "video" else wish.codecs or self.codecs
        numbered = _numbered([(name, *self._number(name)) for name in codecs], known)
        formats = tuple([str(number) for _, number, _ in numbered])
        if not alive:
            return Media(kind, 0, "RTP/AVP", formats)
        lines = tuple([line for name, number, encoding in numbered for line in _lines(name, number, encoding)])
        ptime = ("a=ptime:20",) if kind == "audio" else ()
        way = () if wish.old_hold else (f"a={wish.direction}",)
        return Media(kind, port, "RTP/AVP", formats, None, (*lines, *ptime, *way))

    def _number(self, name: str) -> tuple[int, str]:
        if name in _NUMBERS:
            number = _NUMBERS[name]
            return number, STATIC[str(number)]
        number, encoding = _DYNAMIC.get(name, (110, f"{name}/8000"))
        return self.numbers.get(name, number), encoding


def _slots(talk: Talk) -> list[tuple[str, bool]]:
    """The m= lines of the next offer: kind, and whether the stream is to be alive."""
    wanted = list(talk.wish.kinds)
    slots = []
    for media in talk.local.media if talk.local is not None else ():
        kind = media.kind
        other = _SWAPS.get(kind, "")
        if kind not in wanted and not talk.wish.beside and other in wanted:
            kind = other
        alive = kind in wanted
        if alive:
            wanted.remove(kind)
        slots.append((kind, alive))
    return slots + [(kind, True) for kind in wanted]


def _numbered(codecs: list[tuple[str, int, str]], known: Mapping[str, str]) -> list[tuple[str, int, str]]:
    """`known`: what numbers mean in this stream already."""
    if not known:
        return codecs
    found: list[tuple[str, int, str]] = []
    for name, number, encoding in codecs:
        meant = encoding.lower().removesuffix("/1")
        former = [int(other) for other, meaning in known.items() if meaning == meant]
        taken = {one for _, one, _ in (*codecs, *found)}
        free = [one for one in range(96, 128) if str(one) not in known and one not in taken]
        is_mine = number in former or (not former and str(number) not in known)
        found.append((name, number if is_mine else (former or free)[0], encoding))
    return found


def _lines(name: str, number: int, encoding: str) -> list[str]:
    lines = [f"a=rtpmap:{number} {encoding}"]
    return [*lines, f"a=fmtp:{number} 0-16"] if name == "telephone-event" else lines


def _session_id(party: Party) -> int:
    return party.n + 77
