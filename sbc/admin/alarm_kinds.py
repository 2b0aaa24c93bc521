"""Every alarm that the program can raise: the sentence for people, what it is about, and which line says it is over.

An alarm is a log line with `alarm`, of this event. A kind with `cleared_by` stands until one of these lines is said of
the same subject; one without is momentary. A test holds this table against the code. Used by `alarms`.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

_OPTIONAL: Final = re.compile(r"\[([^\[\]]*)\]")
_FIELD: Final = re.compile(r"\{([a-z_]+)\}")


class Kind(Struct, frozen=True):
    """`sentence` has `{field}` for a field of the line; what stands in `[…]` is left out where one of its fields is
    missing. `subject`: fields that tell two alarms apart; the first that is there counts, with its name.
    """

    sentence: str
    subject: tuple[str, ...] = ()
    cleared_by: tuple[str, ...] = ()


_STARTED: Final = ("media.worker_started",)
_REGISTERED: Final = ("registration.registered",)

KINDS: Final[Mapping[str, Kind]] = {
    # peers
    "peer.down": Kind("No call can reach {peer}[: {why}].", ("peer",), ("peer.up",)),
    "registration.rejected": Kind(
        "The carrier of {trunk} refuses our registration[: {why}].",
        ("trunk",),
        (*_REGISTERED, "registration.failing"),
    ),
    "registration.failing": Kind(
        "{trunk} is not registered, and no registrar answers well[: {why}].",
        ("trunk",),
        (*_REGISTERED, "registration.rejected"),
    ),
    "interface.down": Kind("The interface {interface} cannot be used[: {why}].", ("interface",), ("interface.up",)),
    # certificates
    "tls.refused": Kind(
        "An encrypted connection with {peer}[ at {remote}] was refused[: {reason}].", ("peer",), ("tls.proved",)
    ),
    "tls.unproved": Kind(
        "{peer} comes without its certificate[ from {remote}], and is served as somebody who has not logged in"
        "[: {reason}].",
        ("peer",),
        ("tls.proved",),
    ),
    "certificates.away": Kind(
        "Files of certificates or keys cannot be read, and the next start would fail: {files}.",
        (),
        ("certificates.there_again",),
    ),
    "certificate.expires": Kind(
        "The certificate {certificate} ends on {ends}[, in {days} days].",
        ("certificate",),
        ("certificate.renewed", "certificate.unused", "certificate.expired"),
    ),
    "certificate.expired": Kind(
        "The certificate {certificate} has ended on {ends}: encrypted connections are refused.",
        ("certificate",),
        ("certificate.renewed", "certificate.unused"),
    ),
    "crl.expires": Kind(
        "The revocation list of {authority} ends on {ends}, and there is no newer one.",
        ("authority",),
        ("crl.renewed", "crl.unused", "crl.expired"),
    ),
    "crl.expired": Kind(
        "The revocation list of {authority} has ended on {ends}: new connections with its certificates are refused.",
        ("authority",),
        ("crl.renewed", "crl.unused"),
    ),
    # calls
    "call.emergency": Kind("An emergency call to {called}[ from {caller}][ of {ingress}][, over {egress}].", ("ref",)),
    "paths.full": Kind("Calls of or to {peer} are refused for want of call paths[: {why}].", ("peer",)),
    "call.crashed": Kind("A bug ended the call {ref}[: {error}][, in {where}].", ("where",)),
    "call.not_recovered": Kind(
        "The call {ref} could not be taken up again after a restart of signalling[: {reason}].", ("ref",)
    ),
    "call.not_journaled": Kind("The call {ref} cannot be written down[: {reason}]; it goes on.", ("ref",)),
    "engine.failure": Kind("A bug outside of any call[, in {where}]; what came next was served.", ("where",)),
    "hep.unreachable": Kind(
        "Copies of messages do not reach the capture server {server}[: {reason}].", ("server",), ("hep.reachable",)
    ),
    "overload.began": Kind(
        "More arrives than this machine can serve: {percent} % of the new calls are refused[, most of them of {most}].",
        (),
        ("overload.ended",),
    ),
    # media
    "media.worker_died": Kind("Media worker {worker} has died; it is being replaced.", ("worker",), _STARTED),
    "media.worker_killed": Kind("Media worker {worker} had to be ended[: {reason}].", ("worker",), _STARTED),
    "media.worker_not_started": Kind(
        "Media worker {worker} cannot be started[: {reason}]; its calls hear nothing.", ("worker",), _STARTED
    ),
    "media.engine": Kind(
        "Media is relayed by the engine {engine}, not by the kernel alone[: {reason}].", (), ("media.engine",)
    ),
    "media.ports_short": Kind(
        "There are only {pairs} media port pairs on {local}[: {reason}].", ("local",), ("media.ports_opened",)
    ),
    "media.no_ports": Kind("No media port can be opened on {local}[: {reason}].", ("local",), ("media.ports_opened",)),
    "media.ports_lost": Kind(
        "{pairs} media port pairs on {local} cannot be opened again[: {reason}]; their calls ended.", ("local",)
    ),
    "media.ports_exhausted": Kind("A call was refused: every media port on {local} is in use.", ("local",)),
    "media.foreign_packets": Kind(
        "Somebody else sends {per_second} packets a second to the media port of a call of {peer}[, from {source}].",
        ("peer",),
    ),
    "media.forged": Kind(
        "{packets} packets of a call of {peer} are not by its SRTP keys, and were dropped.", ("peer",)
    ),
    # networks
    "tcp.no_socket": Kind("A TCP connection was not taken[: {reason}]."),
    # keeping out
    "ban.many": Kind("{bans} sources are banned at once, of {room} that there is room for.", (), ("ban.few_again",)),
    "ban.not_mirrored": Kind(
        "Banned sources are not kept out by the kernel[: {reason}]; we drop what they send ourselves.",
        (),
        ("ban.mirrored", "ban.mirror_ended"),
    ),
    # room
    "table.filling": Kind(
        "The table `{table}` is filling: {used} of {most}; beyond, what is new is refused.",
        ("table",),
        ("table.room_again",),
    ),
    # records and state
    "cdr.not_stored": Kind(
        "Call records cannot be written to the disk[: {reason}]. {records} are kept in memory, "
        "and their calls are listed as ending until then.",
        (),
        ("cdr.stored_again",),
    ),
    "cdr.refusing": Kind(
        "New calls are refused, but for emergencies: the disk takes no call records, and the policy has `cdr: strict`.",
        (),
        ("cdr.taking_calls",),
    ),
    "cdr.spool_damaged": Kind(
        "The spool of call records is damaged[: {octets} octets of segment {segment}], and what stood there is lost; "
        "all else is taken on. Calls of which only the beginning is left are closed with an estimated end.",
        ("segment", "offset"),
    ),
    "cdr.feed_failing": Kind(
        "Call records do not get to {destination}[: {reason}]; they are safe in the spool.",
        ("destination",),
        ("cdr.fed_again", "cdr.feed_ended"),
    ),
    "cdr.copy_failing": Kind(
        "Call records are not copied[ to {destination}][: {reason}]; they are safe in our own store.",
        ("destination",),
        ("cdr.copied_again", "cdr.copy_ended"),
    ),
    "cdr.copy_behind": Kind(
        "{pending} call records wait to be copied[ to {destination}]; they are safe in our own store.",
        ("destination",),
        ("cdr.copy_caught_up", "cdr.copy_ended"),
    ),
    "cdr.copy_refused": Kind(
        "{destination} refuses the call record {ref} for good[: {reason}]; it was set aside, the rest is copied.",
        ("destination",),
        ("cdr.refused_copied", "cdr.copy_ended"),
    ),
    "state.not_read": Kind(
        "What was kept before the start could not be read[ from {path}][: {reason}].", (), ("state.stored_again",)
    ),
    "state.not_stored": Kind(
        "Calls, registrations and orders could not be written to the disk[: {reason}]; they are kept in memory.",
        (),
        ("state.stored_again",),
    ),
    "state.unreadable": Kind(
        "{path} was damaged[: {reason}], and is now {moved_to}: what was kept is lost, unless memory still had it."
    ),
    "state.full": Kind(
        "{keys} values are kept; new ones of the kind {kind} will not survive a restart.",
        ("table",),
        ("state.room_again",),
    ),
    "state.too_long": Kind("A value of {octets} octets of the kind {kind} is too long to be kept.", ("kind",)),
    "state.behind": Kind(
        "The disk is behind: {values} calls, registrations and orders have waited for it for up to {seconds} s.",
        (),
        ("state.caught_up",),
    ),
    "state.memory_full": Kind(
        "There is no memory for more calls and registrations[: {reason}]; some are kept on the disk alone.",
        (),
        ("state.memory_room_again",),
    ),
    "state.memory_refused": Kind("What was kept in memory was not taken[: {reason}]; the disk was read instead."),
    "recording.ended": Kind("The recording in {path} has ended[: {why}]; calls are not touched."),
    # the program
    "restart.refused": Kind("The installed program did not take over: {reason}", (), ("restart.done",)),
    "signalling.restarted": Kind(
        "Signalling died with status {after_status} and was started again. Calls that were up go on; "
        "those that nobody had answered were ended."
    ),
    "supervisor.gone": Kind("The supervisor was killed; this program ends."),
    "child.died": Kind("The process {child} died with status {status}; it is started again.", ("child",)),
    "child.not_started": Kind("The process {child} cannot be started[: {reason}].", ("child",), ("child.started",)),
    "reload.refused": Kind("The changed policy was refused, the old one is in force: {text}", (), ("reload.done",)),
    "log.stalled": Kind("Log lines cannot be written[: {reason}][; {dropped} were lost].", (), ("log.flowing",)),
    "alerts.not_posted": Kind("The webhook does not take alarms[: {reason}].", (), ("alerts.posted_again",)),
    "admin.slow_client": Kind("A client of the admin API did not read, and was dropped[: {client}][, {reason}]."),
}

# The other way round: the line, and which alarms it ends.
CLEARS: Final[Mapping[str, tuple[str, ...]]] = {
    line: tuple(event for event, kind in KINDS.items() if line in kind.cleared_by)
    for line in {line for kind in KINDS.values() for line in kind.cleared_by}
}


def subject_of(event: str, fields: Mapping[str, Any]) -> str:
    """What an alarm, or the end of one, is about: `peer office`. Empty where there is only one of it."""
    kind = KINDS.get(event)
    keys = kind.subject if kind is not None else ("peer", "where")
    return next((f"{key} {fields[key]}" for key in keys if fields.get(key) not in (None, "")), "")


def sentence_of(event: str, fields: Mapping[str, Any]) -> str:
    """For people. What a peer sent stands in it as it stands in `fields`, and is never read as a template."""
    kind = KINDS.get(event)
    if kind is None:
        return " ".join([event, *(f"{key}={value}" for key, value in fields.items())])
    text = _OPTIONAL.sub(lambda part: part[1] if _all_there(part[1], fields) else "", kind.sentence)
    return _FIELD.sub(lambda found: str(fields.get(found[1], "?")), text)


def _all_there(part: str, fields: Mapping[str, Any]) -> bool:
    return all(fields.get(found[1]) not in (None, "") for found in _FIELD.finditer(part))
