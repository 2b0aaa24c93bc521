from msgspec import Struct, msgpack

from sbc.core.surrogates import plain, spelled


class Inner(Struct, frozen=True):
    text: str
    texts: tuple[str, ...] = ()


class Outer(Struct, frozen=True):
    inner: Inner
    by_name: dict[str, list[str]]
    octets: bytes = b"\xff"
    number: float = 1.5


def test_lone_surrogates_become_question_marks_wherever_they_are():
    odd = "caf\udce9"
    value = Outer(Inner(odd, (odd, "é", "plain")), {odd: [odd]})
    made = plain(value)
    assert made == Outer(Inner("caf?", ("caf?", "é", "plain")), {"caf?": ["caf?"]})
    assert msgpack.decode(msgpack.encode(made), type=Outer) == made


def test_for_people_they_are_written_out():
    odd = "café \udce9"
    assert plain(Outer(Inner("é", (odd,)), {odd: []}), spelled) == Outer(
        Inner("é", ("café \\udce9",)), {"café \\udce9": []}
    )


def test_what_has_none_is_the_same():
    value = Outer(Inner("é", ("日本",)), {"a": ["b"]})
    assert plain(value) == value
    assert plain(value, spelled) == value
