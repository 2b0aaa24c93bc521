"""The policy reference, made from the tables that the reader itself uses: `docs/reference/policy.md`.

A test fails when that page is stale; `python -m sbc.policy.reference > docs/reference/policy.md` makes it anew.
"""

import sys
from collections.abc import Iterable, Iterator
from typing import Final

from sbc.policy.headers import SECURED, TRANSLATED
from sbc.policy.schema import Key
from sbc.policy.sections import NESTED, SECTIONS, Section

_INTRODUCTION: Final = """\
# Policy reference

Made by `python -m sbc.policy.reference`; do not edit.

`sbc run PATH...` takes YAML files and folders; a folder means its `*.yaml`, sorted by name, not recursive. Documents
are merged: a section may stand in several files, a name in a section may not, and names are unique across pbxs and
trunks. Relative paths are relative to the working directory, but those of secrets to the file that names them.

A key marked *not built yet* is known and refused, but for the values shown, which ask for what happens anyway.

**Scalars are text.** `0441234`, `NO` and `+14155550100` mean what was typed, with or without quotes. YAML's aliases
work; its tags and merge keys (`<<`) do not.

**Durations** are a number and `ms`, `s`, `m`, `h` or `d`; a bare number is an error.

**Patterns** match the whole number, as dialled or as E.164: `X` 0-9, `Z` 1-9, `N` 2-9, `[135-7]` a set, a last `.`
one or more digits; `A-B` a range of equal lengths; `/re/` a regular expression that matches in full; the words
`dids`, `emergency`, `national`, `international`, `premium`. Nothing else is special, but letters that are nearly one of
these words (`premuim`) are an error. Regular expressions are Python's, without look-around, flags and back references;
a group that varies may not repeat, at most two repetitions are without bound, and numbers beyond 40 characters match
none, so that no caller can make one slow.

**Words** follow the country's plan: `national` has the country's calling code and is not of another country that
shares it (+1 876 is international in the US); `international` is every other number with an E.164 form; `premium` is
a number of any country that its plan calls premium rate; `emergency` is an emergency number, as dialled; `dids` are
the numbers that PBXs own.

**Numbers** are read as E.164 by the country's plan: with `+`, with the prefix for calls abroad, with the trunk
prefix, or without one where seven digits or more make a valid national number. What a trunk of the form `e164-bare`
sends is tried as E.164 without its plus first. Everything else, such as the extension `100` or the name `alice`,
passes as it is.

| form | a number of the country | another country's | no E.164 form |
|---|---|---|---|
| `e164` | `+14155550100` | `+442079460000` | as dialled |
| `e164-bare` | `14155550100` | `442079460000` | as dialled |
| `national` | `4155550100`, without trunk prefix | `011442079460000` | as dialled |
| `national-1` | `14155550100`, with trunk prefix (in the UK `02079460000`) | `011442079460000` | as dialled |
| `last-4` | `0100` | `0000` | the last four digits |

**Source match**: interface, longest `accept` prefix, transport (`transports`), over TLS what the certificate has
proved, then source port. A peer with `tls: {identity: certificate}` is nobody without its certificate; who has proved
to be a peer is none of those that share its source. Trunks that share a source are told apart by the Contact that we
registered for each (their AORs must differ), then by the DIDs that their routes take (`from` and `to`; no route may
be for both). PBXs that share one are told apart by `auth`. Certificates tell any two apart whose names differ. What
stays ambiguous is an error.

**Certificates and keys** are PEM: a path, relative to the file that names it, `{file: PATH}`, `{credential: NAME}`, and
for keys `{env: NAME}`. They are read with the policy; one that cannot be read is treated as a secret that cannot. What
was read and is wrong (another key, the order of the chain, a weak key) is an error; what has expired, a warning.

**Secrets**: `password: {file: PATH}`, `{env: NAME}` or `{credential: NAME}`. A password that stands in the policy
works, with a warning. One that cannot be read is a warning of `sbc check`, and `sbc run` exits 1. No message shows a
password.

**Finding servers** (RFC 3263): an address is used as it is; a host name with a port is looked up as an address; a
name without a port by SRV; without `;transport=` as well, NAPTR and SRV choose the transport. Targets are tried in
their order.

**Call paths** are held per leg: a call that comes in and goes out on one trunk holds two of its paths, from the first
INVITE to the call's end. A reserve of k leaves total - k for all others. Only emergencies may exceed the total. A
trunk that is full is passed over in the hunt; `when_full` is answered when no other is left.

**The hunt** goes on after a transport failure, `no_reply`, `no_progress`, refused credentials, 403, 408, 430, 500,
502, 503 and 504. It ends with any other failure, 480 and 486 among them, and with the first 18x. A Q.850 Reason
overrides: 1, 17 to 22 and 28 end it; 2, 3, 34, 38, 41, 42, 44 and 47 let it go on. `continue_on` and `stop_on` of a
route add to that.

**Emergency routes** (`emergency: true`) are tried before all others, wherever they stand. The number goes out as
dialled; every failure continues the hunt, healthy trunks first; caps, rates, limits and a drain do not stop the call.

**Disaster plans** are for DIDs whose PBX is out of service, or fails the call by `no_reply`, a transport failure or
503. The plan of the DID itself, the narrowest range first, comes before that of the route. Its steps are tried in
order: `forward` a number over trunks, another `pbx`, `reject` with a status. A forwarded call obeys caps and rates.

**Transfers and redirections**: where a REFER (`transfer: terminate`) or a 3xx (`redirect: follow`) points to is looked
up as if the peer that sent it had dialled that number: its routes, its bars, its limits, its `caller_id`. The other
side hears nothing of it but the new party. PBXs may do both where the policy says nothing, trunks neither, because
what a carrier could place through us is at our cost.

**Codecs** are taken out of offers and answers. Two peers without a codec in common cannot talk (488), but for G.711:
where one side has A-law alone and the other µ-law alone, what they say is recoded, unless `transcode: off` stands at
the one that would be offered the other law. A codec that both have always comes first. Names of codecs are those of
SDP's rtpmap (`PCMA`, `opus`, `L16/44100`), or a static payload type (`8`). A list that lacks `telephone-event` leaves
digits to the sound and to INFO, which is a warning unless `dtmf: pass` is written out, and an error with the other
values of `dtmf`.

**Where media comes from**: packets for a call are taken from one source, which the first of them that fit have shown;
all others are dropped and counted. `latching` says which sources may. With `strict` and `address` we send to where the
SDP says and nowhere else. A phone or PBX behind a router names an address in its SDP that is not to be reached from
here: it needs `latching: nat`, and `media_from`, the networks that its packets come from. A new session description of
that peer, and nothing else, lets a new source be learned.

**Encrypted media**: each side of a call is for itself, plain RTP on one and SRTP on the other if need be; what is not
authentic crosses nowhere. With `srtp: required` plain RTP gets 488 both ways, in the peer's offers and its answers, and
so does fax by T.38, which nothing encrypts. With `optional` the peer is offered plain RTP with keys beside it (RFC
8643) and takes them or not; what it offers is taken as it comes. With `off` an offer of SRTP alone gets 488. `keying:
sdes` puts keys into the session description, so that TLS has to carry it; `dtls` needs pyOpenSSL. A stream keeps its
keys for as long as it lasts, unless the peer comes with new ones.

**Silence**: a call whose two sides send neither RTP nor RTCP for `media.silence_timeout` is ended; its CDR has the
cause `media_timeout`. Held calls may be silent.

**A reload** may change all of this for calls that come, listeners and interfaces too, and `media.engine` and
`media.orphan_timeout` for those that are up. `media.ports`, `media.workers`, `sbc.name`, `sbc.data_dir` and
`sbc.admin` need a restart.

**Methods and events**: a list replaces the default. MESSAGE, SUBSCRIBE and PUBLISH are for peers that list them, and go
where the routes say for the number that they name; REGISTER is for PBXs with `registers: true`.

**Header fields** that carry a message to its end, or would tell one side of the other, are not up to a policy. Never
passed, added or removed are {secured}. Written by us, so never passed, but kept from a peer by `remove`, are
{translated}; of these, `add` may set Server and User-Agent.
"""


def render() -> str:
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield _INTRODUCTION.replace("{secured}", _names(SECURED)).replace("{translated}", _names(TRANSLATED))
    for section in SECTIONS:
        yield from _section(section)
    for path, keys in NESTED:
        yield from _table(f"`{path}`", keys)


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names, key=str.lower))


def _section(section: Section) -> Iterator[str]:
    path = {"settings": "", "named": ".NAME", "list": "[]", "values": ""}[section.shape]
    yield from _table(f"`{section.name}{path}`", section.keys, section.about)


def _table(title: str, keys: tuple[Key, ...], about: str = "") -> Iterator[str]:
    yield f"## {title}"
    yield ""
    if about:
        yield from (about, "")
    yield "| key | type | default | meaning |"
    yield "|---|---|---|---|"
    for key in keys:
        if key.misplaced:
            continue
        yield f"| `{key.name}` | {key.type} | {_default(key)} | {_meaning(key)} |"
    yield ""


def _default(key: Key) -> str:
    return "required" if key.required else key.default


def _meaning(key: Key) -> str:
    if key.read is not None:
        return key.about
    except_for = f", except for {' and '.join(f'`{value}`' for value in key.harmless)}" if key.harmless else ""
    return f"{key.about}; *not built yet{except_for}*"


if __name__ == "__main__":
    sys.stdout.write(render())
