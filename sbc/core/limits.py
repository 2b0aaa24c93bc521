"""Every bound in one file. Each number names its unit and why it is what it is.

A peer can make us spend at most this; what goes over is refused with the status named here.
"""

from typing import Final

# SIP messages
MESSAGE_OCTETS: Final = 65_535  # one UDP datagram; the same on streams (413, stream closed)
HEADER_SECTION_OCTETS: Final = 32_768  # start line and all header fields
HEADER_FIELDS: Final = 200  # fields in one message
HEADER_VALUE_OCTETS: Final = 8_192  # one field after unfolding
VIA_VALUES: Final = 70  # Max-Forwards starts at 70, so a longer path is no honest one
ROUTE_VALUES: Final = 30
URI_OCTETS: Final = 2_048

# Streams
INCOMPLETE_MESSAGE_SECONDS: Final = 10.0  # a started message must be complete by then, or the connection is closed
OUTBOX_OCTETS: Final = 1_048_576  # unsent bytes per stream connection before it is closed
CONNECT_SECONDS: Final = 4.0
IDLE_CONNECTION_SECONDS: Final = 900.0
CONNECTIONS_PER_LISTENER: Final = 1_000

# SDP
SDP_OCTETS: Final = 32_768
SDP_LINES: Final = 1_000
MEDIA_LINES: Final = 16  # m= lines in one description
FORMATS_PER_MEDIA: Final = 64

# Engine
DATAGRAMS_PER_WAKEUP: Final = 64  # drained from one socket before others get their turn
TRANSACTIONS: Final = 200_000
CALLS: Final = 50_000
EARLY_DIALOGS_PER_LEG: Final = 16
TRACE_MESSAGES_PER_CALL: Final = 200
TRACE_OCTETS_PER_CALL: Final = 262_144  # messages of one call kept for its ladder; the middle goes first
TRACE_CALLS: Final = 2_000  # finished calls
TRACE_OCTETS: Final = 67_108_864  # of all finished calls together

# CDR
CDR_QUEUE: Final = 10_000  # records waiting for the disk before new calls are refused

# Media
CONTROL_MESSAGE_OCTETS: Final = 65_536  # one message to or from the media worker
PORT_QUARANTINE_SECONDS: Final = 30.0
PORT_QUARANTINE_MINIMUM_SECONDS: Final = 2.0
