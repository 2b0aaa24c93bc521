"""What holds over every sequence of exchanges, whoever makes them, rejects them, or takes another one's place."""

from hypothesis import given
from hypothesis import strategies as st

from sbc.b2bua.media import CallMedia, SideName
from sbc.b2bua.ports import PortPool
from sbc.policy.model import CodecRules
from sbc.sdp.model import Media, SdpError, Session, same_except_origin
from sbc.sdp.negotiate import check_answer
from sbc.sdp.parse import parse_sdp
from sbc.sdp.payload_types import Meaning, meanings_of
from sbc.sdp.serialize import serialize_sdp

from .calls import CARRIER, OFFICE, THIRD, media, pool

STATIC = {"PCMU/8000": "0", "PCMA/8000": "8"}
SOUNDS = ("PCMU/8000", "PCMA/8000", "opus/48000/2", "AMR/8000", "telephone-event/8000")
NAMES: tuple[SideName, SideName] = ("ingress", "egress")


class Phone:
    """A peer that keeps the rules itself: its numbers mean the same in all that it has said and heard."""

    def __init__(self, host: str, call: CallMedia, name: SideName) -> None:
        self.host, self.call, self.name = host, call, name
        self.known: list[dict[str, str]] = []
        self.told: dict[tuple[int, str], Meaning] = {}
        self.last: Session | None = None
        self.lines = 0

    def hear(self, body: bytes) -> Session:
        heard = parse_sdp(body)
        last = self.last
        if last is not None:
            version, before = int(heard.origin.split()[2]), int(last.origin.split()[2])
            assert version == before + (0 if same_except_origin(heard, last) else 1)
            assert heard.origin.split()[1] == last.origin.split()[1]
        self.last = heard
        for i, stream in enumerate(heard.media):
            if not stream.port:
                self._forget(i)
            if stream.port:
                assert len(set(stream.formats)) == len(stream.formats)
                for number, meaning in meanings_of(stream).items():
                    assert self.told.setdefault((i, number), meaning) == meaning
                    self._learn(i, number, f"{meaning.codec.name}/{meaning.codec.rate}")
        return heard

    def offer(self, kinds: list[tuple[bool, list[str]]], first: int) -> bytes:
        streams = []
        for i in range(max(len(kinds), self.lines)):
            is_wanted, codecs = kinds[i] if i < len(kinds) else (False, ["PCMU/8000"])
            if not is_wanted:
                streams.append(Media("audio", 0, "RTP/AVP", ("0",)))
                continue
            numbers = [(self._number(i, codec, first), codec) for codec in codecs]
            streams.append(self._stream(i, 4000 + 2 * i, numbers))
        return self._say(streams)

    def answer(self, offer: Session, choice: int, shift: int) -> bytes:
        """Some of what is offered, in numbers of its own where it is that kind of phone."""
        streams = []
        for i, offered in enumerate(offer.media):
            if not offered.port:
                streams.append(Media("audio", 0, "RTP/AVP", ("0",)))
                continue
            meanings = meanings_of(offered)
            chosen = [n for at, n in enumerate(meanings) if (choice >> at) & 1] or list(meanings)[:1]
            numbers = [(n, self._spelt(meanings[n])) for n in chosen]
            if shift:
                numbers = [(self._number(i, codec, shift), codec) for _, codec in numbers]
            streams.append(self._stream(i, 4000 + 2 * i, numbers))
        return self._say(streams)

    def _say(self, streams: list[Media]) -> bytes:
        self.lines = len(streams)
        head = parse_sdp(f"v=0\r\no=- 1 1 IN IP4 {self.host}\r\ns=-\r\nc=IN IP4 {self.host}\r\nt=0 0\r\n".encode())
        return serialize_sdp(Session(head.origin, head.name, head.connection, head.lines, tuple(streams)))

    def _stream(self, i: int, port: int, numbers: list[tuple[str, str]]) -> Media:
        for number, codec in numbers:
            self._learn(i, number, codec)
        lines = tuple(f"a=rtpmap:{number} {codec}" for number, codec in numbers)
        return Media("audio", port, "RTP/AVP", tuple(number for number, _ in numbers), None, lines)

    def _number(self, i: int, codec: str, first: int) -> str:
        if codec in STATIC:
            return STATIC[codec]
        known = self.known[i] if i < len(self.known) else {}
        for number, meant in known.items():
            if meant == _short(codec):
                return number
        number = next(str(n) for n in (*range(first, 128), *range(96, first)) if str(n) not in known)
        self._learn(i, number, codec)
        return number

    def _forget(self, i: int) -> None:
        """A stream without a port is none: another one may take its place, with numbers of its own (RFC 3264 §8.1)."""
        if i < len(self.known):
            self.known[i] = {}
        self.told = {place: meaning for place, meaning in self.told.items() if place[0] != i}

    def _learn(self, i: int, number: str, codec: str) -> None:
        self.known += [{} for _ in range(i + 1 - len(self.known))]
        self.known[i].setdefault(number, _short(codec))

    def _spelt(self, meaning: Meaning) -> str:
        return next(codec for codec in SOUNDS if _short(codec) == f"{meaning.codec.name}/{meaning.codec.rate}")


def _short(codec: str) -> str:
    return "/".join(codec.lower().split("/")[:2])


codec_lists = st.lists(st.sampled_from(SOUNDS), min_size=1, max_size=5, unique=True)
offers = st.lists(st.tuples(st.booleans(), codec_lists), min_size=1, max_size=3)
steps = st.tuples(
    st.sampled_from(("offer", "offer", "offer", "reject", "early", "join", "reoffer", "local")),
    st.sampled_from(NAMES),
    offers,
    st.sampled_from((96, 97, 98, 101, 110)),
    st.integers(1, 31),
    st.sampled_from((0, 0, 96, 100)),
)
rules = st.sampled_from((
    CodecRules(),
    CodecRules(("pcmu", "opus", "telephone-event")),
    CodecRules((), ("opus", "pcma")),
))  # fmt: skip


class Walk:
    def __init__(self, office: CodecRules, carrier: CodecRules) -> None:
        self.ports: PortPool = pool()
        self.call = media(self.ports, office=office, carrier=carrier)
        self.phones: dict[SideName, Phone] = {
            "ingress": Phone(OFFICE, self.call, "ingress"),
            "egress": Phone(CARRIER, self.call, "egress"),
        }
        self.now = 0.0

    def step(self, what, by, kinds, first, choice, shift) -> None:
        self.now += 60.0
        to: SideName = "egress" if by == "ingress" else "ingress"
        try:
            if what == "join":
                self.join(by)
            elif what == "reoffer":
                self.reoffer(to, choice, shift)
            elif what == "local":
                offer = self.phones[by].offer(kinds, first)
                answer = self.call.answer_locally(by, self.call.read(offer), self.now)
                self.check(offer, self.phones[by].hear(answer))
            else:
                self.cross(what, by, to, kinds, first, choice, shift)
        except SdpError:  # nothing that both may use
            self.call.restore(self.now)
        self.check_relay()

    def cross(self, what, by, to, kinds, first, choice, shift) -> None:
        offer = self.phones[by].offer(kinds, first)
        heard = self.phones[to].hear(self.call.pass_offer(by, self.call.read(offer), self.now))
        if what != "reject":
            answer = self.phones[to].answer(heard, choice, shift)
            self.check(offer, self.phones[by].hear(self.call.pass_answer(self.call.read(answer))))
        if what == "offer":
            self.call.settle(self.now)
        else:
            before = [side.settled for side in self.call.sides.values()]
            self.call.restore(self.now)
            assert [side.now for side in self.call.sides.values()] == before

    def reoffer(self, to, choice, shift) -> None:
        offer = self.call.reoffer(to, self.now)
        if offer is None:
            return
        heard = self.phones[to].hear(offer)
        assert self.call.pass_answer(self.call.read(self.phones[to].answer(heard, choice, shift))) == b""
        self.call.settle(self.now)

    def join(self, name) -> None:
        """Somebody from another call takes the place of that side."""
        other = media(self.ports)
        newcomer = Phone(THIRD, other, "egress")
        partner = Phone(OFFICE, other, "ingress")
        offer = partner.offer([(True, ["AMR/8000", "PCMU/8000", "PCMA/8000", "opus/48000/2"])], 99)
        heard = newcomer.hear(other.pass_offer("ingress", other.read(offer), self.now))
        other.pass_answer(other.read(newcomer.answer(heard, 31, 0)))
        other.settle(self.now)
        self.call.take_side(name, other.give_side("egress"), self.now)
        self.phones[name] = newcomer
        other.release(self.now)

    def check(self, offer: bytes, answer: Session) -> None:
        described = parse_sdp(offer)
        check_answer(described, answer)
        for asked, told in zip(described.media, answer.media, strict=True):
            if told.port:
                known = meanings_of(asked)
                for number, meaning in meanings_of(told).items():
                    assert known[number] == meaning

    def check_relay(self) -> None:
        for stream in self.call.relay().streams:
            assert stream.ingress.port
            assert stream.egress.port
            for pairs in (stream.ingress_to_egress, stream.egress_to_ingress):
                assert len({one for one, _ in pairs}) == len(pairs)


@given(rules, rules, st.lists(steps, min_size=1, max_size=12))
def test_answers_match_and_numbers_and_versions_keep_their_meaning(office, carrier, walked):
    walk = Walk(office, carrier)
    for step in walked:
        walk.step(*step)
    walk.call.release(walk.now)
    assert walk.ports.in_use == 0
