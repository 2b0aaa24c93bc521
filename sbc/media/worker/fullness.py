"""How full the tables of one worker are, for `wire.Report`.

Looked at when signalling asks for the counters of all sessions, never for a packet. It bounds nothing: that is done
where each table is filled. What is bounded for one call alone (sources of a key, keys of a session, digits) is seen in
that call's counters. Used by `service`.
"""

from sbc.core.limits import DTLS_SOURCES, DTLS_STRANGERS_PER_SECOND, MEDIA_REPORTS_WAITING, MEDIA_SLOTS, SRTP_RECORDS
from sbc.core.tables import Table
from sbc.media.worker.surroundings import Surroundings


def tables(around: Surroundings, unread: int) -> tuple[Table, ...]:
    """`unread`: the most replies that have waited for signalling of late."""
    slots = around.slots
    slots_used, slots_most = (0, MEDIA_SLOTS) if slots is None else (slots.most - slots.free, slots.most)
    records = sum(keyring.used for keyring in around.secrets)
    at_one_port = max(
        (one.handshakes for pair in around.associations.values() for one in pair.values()),
        default=0,
    )
    return (
        Table("media_slots", slots_used, slots_most),
        Table("media_srtp_records", records, SRTP_RECORDS),
        Table("media_dtls_handshakes", at_one_port, DTLS_SOURCES, is_ring=True),
        Table("media_dtls_strangers", _strangers(around), DTLS_STRANGERS_PER_SECOND),
        Table("media_reports", min(unread, MEDIA_REPORTS_WAITING), MEDIA_REPORTS_WAITING),
    )


def _strangers(around: Surroundings) -> int:
    """Who wanted a handshake, in the worst second of late; those that got none are not counted."""
    return min(max((one.strangers.tell() for one in around.identities), default=0), DTLS_STRANGERS_PER_SECOND)
