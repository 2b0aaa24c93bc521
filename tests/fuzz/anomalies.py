"""Messages with one thing wrong each: every line, every part of a line that is marked, with every anomaly that we know.

A template is the text of a message in lines; parts of it that get anomalies of their own stand in ⟦…⟧. `%name%` is
filled in at last, by whoever sends; `%length%` is the length of the body. The names of cases say where and what.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from msgspec import Struct

_MARK: Final = re.compile(r"⟦([^⟧]*)⟧")
_FILLED: Final = re.compile(r"%([a-z_]+)%")

# What becomes of a value. Octets that are no UTF-8 stand as surrogates.
ANOMALIES: Final[Mapping[str, Callable[[str], str]]] = {
    "empty": lambda _: "",
    "blank": lambda _: " ",
    "a tab": lambda good: f"\t{good}\t",
    "long": lambda good: good + "a" * 300,
    "longer": lambda _: "a" * 2_100,
    "overlong": lambda _: "a" * 8_300,
    "many elements": lambda good: ",".join([good] * 200),
    "many parameters": lambda good: good + ";a=b" * 200,
    "minus one": lambda _: "-1",
    "zero": lambda _: "0",
    "one": lambda _: "1",
    "a fraction": lambda _: "1.5",
    "hexadecimal": lambda _: "0x7f",
    "exponent": lambda _: "1e9",
    "two to the 31st": lambda _: "2147483648",
    "two to the 32nd": lambda _: "4294967296",
    "two to the 64th": lambda _: "18446744073709551616",
    "hundreds of digits": lambda _: "9" * 400,
    "digits of another script": lambda _: "٣१９²",
    "letters": lambda _: "abcXYZ",
    "upper case": lambda good: good.upper(),
    "lower case": lambda good: good.lower(),
    "utf-8": lambda good: good + "é€😀",
    "right to left": lambda good: "\u202e" + good + "\u200f\u2066",
    "overlong utf-8": lambda good: good + "\udcc0\udcaf\udce0\udc80\udcaf",
    "broken utf-8": lambda good: good + "\udcff\udcfe\udcc3",
    "utf-8 of a surrogate": lambda good: good + "\udced\udca0\udc80",
    "a nul": lambda good: good[: len(good) // 2] + "\0" + good[len(good) // 2 :],
    "controls": lambda good: "\x01\x08\x1b[31m\x7f" + good,
    "a line feed": lambda good: good + "\nX-Injected: 1",
    "a carriage return": lambda good: good + "\rX-Injected: 1",
    "a line break": lambda good: good + "\r\nX-Injected: 1",
    "escaped line break": lambda good: good + "%0d%0aX-Injected:%201",
    "escaped nul": lambda good: good + "%00%fe%zz%",
    "folded": lambda good: good[:1] + "\r\n " + good[1:],
    "a quote": lambda good: good + '"',
    "quoted": lambda good: f'"{good}"',
    "a backslash": lambda good: good + "\\",
    "angle brackets": lambda good: f"<<{good}>>",
    "an open bracket": lambda good: "<" + good,
    "square brackets": lambda good: f"[{good}",
    "a comma": lambda good: f",{good},",
    "a semicolon": lambda good: f";{good};=;",
    "an equals sign": lambda good: f"={good}=",
    "a colon": lambda good: f":{good}:",
    "an at": lambda good: f"@{good}@",
    "a question mark": lambda good: f"{good}?Route=%3Csip:evil%3E&X=1",
    "slashes": lambda good: f"../../{good}//",
    "twice": lambda good: good + good,
    "a star": lambda _: "*",
    "format strings": lambda good: good + "%s%n%x{0}{{}}${a}",
    "markup": lambda good: good + "<script>'--&amp;",
}
# What becomes of a whole line: its name, what separates, its value.
LINES: Final[Mapping[str, Callable[[str, str, str], list[str]]]] = {
    "missing": lambda _name, _sign, _value: [],
    "repeated": lambda name, sign, value: [f"{name}{sign}{value}"] * 2,
    "repeated and different": lambda name, sign, value: [f"{name}{sign}{value}", f"{name}{sign}x"],
    "many times": lambda name, sign, value: [f"{name}{sign}{value}"] * 90,
    "no sign": lambda name, _sign, value: [f"{name} {value}"],
    "a blank before its sign": lambda name, sign, value: [f"{name} \t{sign}{value}"],
    "no name": lambda _name, sign, value: [f"{sign}{value}"],
    "in upper case": lambda name, sign, value: [f"{name.upper()}{sign}{value}"],
    "indented": lambda name, sign, value: [f" {name}{sign}{value}"],
}


class Case(Struct, frozen=True):
    """`text` still has what is filled in at last."""

    name: str
    text: str

    def octets(self, **filled: str) -> bytes:
        """The message as it is sent, with the right length of its body where nothing is wrong with that."""
        head, blank, body = self.text.partition("\r\n\r\n")
        body = _fill(body, filled)
        size = len(body.encode("utf-8", "surrogateescape"))
        return (_fill(head, filled | {"length": str(size)}) + blank + body).encode("utf-8", "surrogateescape")


def cases(template: str) -> Iterator[Case]:
    """Every case that is another message than all before it, the sound one first."""
    lines = template.strip("\n").split("\n")
    seen = set[str]()
    named = Counter[str]()
    for name, wrong in _variants(lines):
        text = "\r\n".join(line for one in wrong for line in one)
        text += "" if "" in lines else "\r\n\r\n"
        if text not in seen:
            seen.add(text)
            named[name] += 1
            yield Case(name if named[name] == 1 else f"{name} ({named[name]})", text)


def _variants(lines: list[str]) -> Iterator[tuple[str, list[list[str]]]]:
    plain = [[_MARK.sub(r"\1", line)] for line in lines]
    yield "nothing wrong", plain
    body = lines.index("") if "" in lines else len(lines)
    for at, line in enumerate(lines):
        if not line:
            continue
        for name, instead in _of_line(line, is_start=at == 0, is_body=at > body):
            yield name, [*plain[:at], instead, *plain[at + 1 :]]


def _of_line(line: str, *, is_start: bool, is_body: bool) -> Iterator[tuple[str, list[str]]]:
    plain = _MARK.sub(r"\1", line)
    sign = "=" if is_body else ": "
    name, found, value = plain.partition(sign)
    shown = "start line" if is_start else f"{name}={value.partition(':')[0]}" if name == "a" and is_body else name
    if not is_start and found:
        for what, change in LINES.items():
            yield f"{shown}: {what}", change(name, sign.strip(), value)
        for what, wrong in ANOMALIES.items():
            yield f"{shown}: {what}", [f"{name}{sign}{wrong(value)}"]
    for n, mark in enumerate(_MARK.finditer(line), 1):
        before, after = (_MARK.sub(r"\1", part) for part in (line[: mark.start()], line[mark.end() :]))
        for what, wrong in ANOMALIES.items():
            yield f"{shown} part {n}: {what}", [f"{before}{wrong(mark[1])}{after}"]


def _fill(text: str, filled: Mapping[str, str]) -> str:
    return _FILLED.sub(lambda found: filled.get(found[1], found[0]), text)
