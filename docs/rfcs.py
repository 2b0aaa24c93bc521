"""Makes `reference/rfcs.md` from the tests: a module that holds us to an RFC says so by a line `# RFC: 3262, 3264`.

In a package's `__init__.py` the line stands for all tests of the folder. What we follow of an RFC is in words here. An
RFC without a test is an error, and so is one that a test names and that has no words here. Run by `generate.py`.
"""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_MARK = re.compile(r"^# RFC: (\d+(?:, \d+)*)$", re.MULTILINE)
_SECTION = re.compile(r"RFC (\d{4}),? (§[A-Z0-9][\d.]*\d?(?:(?:,| and| to) §[A-Z0-9][\d.]*\d?)*)")

AFTER = """\
ITU-T G.107 and G.113 (the score), G.711 (its two laws): `tests/unit/media/test_quality.py`,
`tests/unit/media/worker/test_g711.py`."""
WHAT = (
    (
        "The protocol",
        (
            ("3261", "messages, transactions, dialogs, as both ends of a call"),
            ("2782, 3263", "finding servers by NAPTR, SRV and addresses"),
            ("3581", "answers to where a request came from"),
            ("4320, 4321", "no 408 that comes too late, 100 to slow requests"),
            ("4475", "every torture message"),
            ("5626", "keep-alives of a registration's connection, and their answers"),
            ("5630", "SIPS URIs: over TLS all the way, or not at all"),
            ("5922", "certificates are matched against the domains of the policy"),
            ("5923", "one connection both ways, and a new one in the place of a lost one"),
            ("6026", "the state Accepted"),
            ("7339", "loss-based overload control, as a server and as a client"),
            ("7616", "digest, both ways"),
        ),
    ),
    (
        "Offers, answers, and the time before the answer",
        (
            ("3262", "reliable provisional responses, PRACK, each leg for itself"),
            ("3264", "offer and answer, versions, hold, streams that come and go"),
            ("3311", "UPDATE, also before the answer"),
            ("3960", "early media, gateway model"),
            ("5407", "races of requests and responses, §3.1 to §3.3, on both legs"),
            ("6141", "what a re-INVITE that is refused, or cancelled, leaves behind; when a Contact counts"),
            ("6228", "199 rings nowhere"),
            ("6337", "all patterns of table 1, within a leg and across"),
            ("8866", "session descriptions"),
        ),
    ),
    (
        "Calls that last, and that move",
        (
            ("3515, 4488", "REFER, its subscription, and the wish for none"),
            ("3891", "Replaces, in an INVITE and in a Refer-To"),
            ("3892", "Referred-By, without its token"),
            ("4028", "session timers, one for each leg"),
            ("4579", "`isfocus` and other features of a Contact cross"),
            ("4916", "who talks now"),
            ("5589", "blind and attended transfer"),
        ),
    ),
    (
        "What crosses",
        (
            ("3323, 3325", "privacy, P-Asserted-Identity"),
            ("3326", "Reason, Q.850 made where there is none"),
            ("4733", "digits as packets, from and to INFO"),
            ("5806, 6044, 7044", "Diversion, History-Info, the one made of the other"),
            ("6086", "INFO, and its packages"),
            ("6442", "the location of an emergency caller"),
            ("7433", "User-to-User"),
            ("7989", "Session-ID, and its older form (RFC 7329)"),
        ),
    ),
    (
        "Media",
        (
            ("2474", "DSCP on SIP and media, by either engine"),
            ("3362", "T.38 over UDPTL, relayed as it is"),
            ("3550", "loss, reordering, duplicates, jitter (§6.4.1, §A.1, §A.8), round trip by reports"),
            ("3551", "clock rates and numbers of the usual codecs"),
            ("3605", "`a=rtcp`: where RTCP goes"),
            ("3711", "SRTP and SRTCP, rollover counters, replay lists"),
            ("4568", "keys in the description, with each side for itself"),
            ("5761", "RTP and RTCP on one port, with each peer for itself"),
            ("5763, 5764, 8122, 8842", "keys by DTLS, fingerprints, when a handshake begins anew"),
            ("7362", "latching, and what it is not to allow"),
            ("7714", "AES-GCM"),
            ("8643", "keys beside plain RTP, where SRTP is optional"),
        ),
    ),
    (
        "Beside calls",
        (
            ("3428", "MESSAGE, in and outside of a call"),
            ("3842", "message waiting"),
            ("3903", "PUBLISH, entity-tags"),
            ("6140", "bulk registration"),
            ("6665", "SUBSCRIBE and NOTIFY across two dialogs"),
        ),
    ),
)


def page() -> str:
    tests, sections = marked(), named_sections()
    lines = [
        "# RFCs",
        "",
        "What this program follows, and which tests hold it to that. Made from the tests by `docs/generate.py`: a",
        "test names the RFCs that it is about, and the sections are those that the text of any test speaks of. It is",
        "no claim that every sentence of an RFC has a test. Where we knowingly do otherwise is in",
        "[deviations](deviations.md).",
    ]
    for title, rows in WHAT:
        lines += [
            "",
            f"## {title}",
            "",
            "| RFC | what of it | sections that tests speak of | tests |",
            "|---|---|---|---|",
        ]
        for numbers, words in rows:
            named = numbers.split(", ")
            paths = sorted(set().union(*(tests[number] for number in named)))
            spoken = _in_order(set().union(*(sections.get(number, set()) for number in named)))
            lines.append(f"| {numbers} | {words} | {', '.join(spoken)} | {', '.join(f'`{path}`' for path in paths)} |")
    return "\n".join([*lines, "", AFTER, ""])


def marked() -> dict[str, set[str]]:
    """By RFC, the test modules and folders that have its mark. KeyError for an RFC without words or without a test."""
    known = {number: set[str]() for _, rows in WHAT for numbers, _ in rows for number in numbers.split(", ")}
    for path in (ROOT / "tests").rglob("*.py"):
        for numbers in _MARK.findall(path.read_text("utf-8")):
            place = path.parent if path.name == "__init__.py" else path
            for number in numbers.split(", "):
                known[number].add(str(place.relative_to(ROOT)))
    missing = [number for number, paths in known.items() if not paths]
    if missing:
        raise KeyError(f"no test has the mark of RFC {', '.join(missing)}")
    return known


def named_sections() -> dict[str, set[str]]:
    """By RFC, the sections that the tests' own words name."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "tests").rglob("test_*.py"):
        text = re.sub(r"\s+(?:#\s*)?", " ", path.read_text("utf-8"))
        for number, sections in _SECTION.findall(text):
            found.setdefault(number, set()).update(re.findall(r"§([A-Z0-9][\d.]*\d|[A-Z0-9])", sections))
    return found


def _in_order(sections: set[str]) -> list[str]:
    return [f"§{section}" for section in sorted(sections, key=lambda one: [part.zfill(3) for part in one.split(".")])]
