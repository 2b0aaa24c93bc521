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
ROUTE_VALUES: Final = 30  # proxies on the way of one dialog (513)
URI_OCTETS: Final = 2_048  # more is no address that anybody dials (414)
REMEMBERED_CHARACTERS: Final = 200  # of a text that came and whose reading is kept; a longer one is read each time
REMEMBERED_TEXTS: Final = 4_096  # of one kind: URIs, addresses
REMEMBERED_NUMBERS: Final = 8_192  # and what they are: 2 MiB; one more, and all are forgotten and read again
REMEMBERED_NUMBER_CHARACTERS: Final = 64  # of one of them; what is longer is not dialled twice
DIVERSION_VALUES: Final = 10  # of one request; a call that was sent on more often is lost anyway
HISTORY_VALUES: Final = 20  # entries of one History-Info that are read; the rest is left
PRIVACY_VALUES: Final = 10  # that are read; the rest is left
DISPLAY_CHARACTERS: Final = 100  # of a caller's name that cross; no screen shows more
GEOLOCATION_VALUES: Final = 5  # of an emergency call, that are read; the rest is left
BODY_PARTS: Final = 16  # of a multipart body
BODY_PART_HEADER_OCTETS: Final = 4_096  # header fields of one part (413)

# Digest authentication
CHALLENGES_PER_RESPONSE: Final = 8  # that are looked at, of each kind; more are ignored
CREDENTIALS_PER_REQUEST: Final = 4  # realms of one response that are answered
CLIENT_NONCES: Final = 256  # of one trunk, whose uses are counted; a forgotten one starts at 1 again: stale
SERVER_NONCE_SECONDS: Final = 60.0  # a nonce of ours is good for so long; then stale=true
SERVER_NONCES: Final = 10_000  # of ours that somebody used; the oldest is forgotten, and refused from then on

# Streams
INCOMPLETE_MESSAGE_SECONDS: Final = 10.0  # a started message must be complete by then, or the connection is closed
OUTBOX_OCTETS: Final = 1_048_576  # unsent bytes per stream connection before it is closed
FLUSH_SECONDS: Final = 10.0  # for a peer that reads slowly, to get what was queued before our end
LINGER_SECONDS: Final = 2.0  # after our end: reading on keeps the kernel from resetting what the peer has not read yet
HALF_CLOSED_SECONDS: Final = 10.0  # after what a peer asked before its own end: time for the answer
CONNECT_SECONDS: Final = 4.0  # until a server has taken our connection; then the next server is tried
CONNECT_FAILURES_SAID: Final = 1_024  # remotes of which it is said once a minute; one more, and all are said anew
PROBED_SECONDS: Final = 60.0  # without a packet of a connection; then TCP sends one, which keeps firewalls open too
UNACKNOWLEDGED_SECONDS: Final = 16.0  # that TCP waits for the other end: half a transaction is left for another try
IDLE_CONNECTION_SECONDS: Final = 900.0  # without a message either way; then the connection is closed
CONNECTIONS_PER_LISTENER: Final = 1_000  # accepted ones; one more is closed at once
CONNECTIONS_PER_PEER: Final = 250  # of these, of one peer; one more is closed at once
CONNECTIONS_OF_STRANGERS: Final = 500  # of these, of all who are known by `accept: any` alone
CONNECTIONS_PER_STRANGER: Final = 10  # of these, from one host (IPv6: its /64)
FIRST_MESSAGE_SECONDS: Final = 10.0  # that a stranger's connection may say nothing; then it is closed
STRANGER_OUTBOX_OCTETS: Final = 131_072  # as OUTBOX_OCTETS, to a stranger
UNREAD_SECONDS: Final = 30.0  # that a peer may take nothing of what waits for it; then its connection is closed
HANDSHAKE_SECONDS: Final = 5.0  # for all of a TLS handshake; then its connection is closed
HANDSHAKE_OCTETS: Final = 262_144  # of one handshake, chains and lists of authorities included; with more it ends
SMALL_RECORDS: Final = 50  # of TLS, below 64 octets, that come at once; then its connection is closed
SMALL_RECORDS_PER_SECOND: Final = 2  # of these; a keep-alive is one, and so is a change of keys, which takes 30 µs
HANDSHAKES_PER_LISTENER: Final = 256  # of TLS that are not finished; one more is closed at once
HANDSHAKES_PER_PEER: Final = 64  # of these, of one peer
HANDSHAKES_OF_STRANGERS: Final = 64  # of these, of all strangers
HANDSHAKES_PER_STRANGER: Final = 4  # of these, from one host (IPv6: its /64)
STRANGER_HANDSHAKES_PER_SECOND: Final = 20  # of a listener; 4 ms of a processor each with an RSA key of 4,096 bits
TLS_CONNECTIONS_REMEMBERED: Final = 4_096  # that messages came by, and aliases of them (RFC 5923)
REMEMBERED_CHAINS: Final = 1_000  # of certificates, for who goes on with a session of TLS 1.2; forgotten together
HANDSHAKE_THREADS: Final = 1  # that reckon for peers, and as many for strangers

# Datagrams
UDP_BACKLOG: Final = 256  # datagrams of a socket that the kernel did not take at once; one more is dropped
UDP_FLOWS: Final = 8_192  # remembered of a socket; forgotten together, so that strangers cost no memory

# Names
NAMES: Final = 10_000  # record sets that are remembered, besides those of configured servers
RECORDS_PER_SET: Final = 64  # that are looked at; more are ignored
SERVERS_PER_NAME: Final = 16  # SRV targets that are tried, the best first
ADDRESSES_PER_NAME: Final = 8  # of one host
WATCHED_ADDRESSES: Final = 256  # that may speak as one server, those of the last hour included
TTL_FLOOR_SECONDS: Final = 5.0  # a lifetime of 0 must not mean a look-up for each call
TTL_SECONDS: Final = 3_600.0  # so that a move of a carrier is noticed within the hour, whatever the record says
NEGATIVE_TTL_SECONDS: Final = 300.0  # that a "there is no such name" is believed at most
GONE_ADDRESS_SECONDS: Final = 3_600.0  # calls are up there still: it may speak so long after the DNS took it back
LOOK_UPS: Final = 5_000  # under way or waiting; one more has failed
LOOK_UPS_AT_ONCE: Final = 200  # that are out; others wait for their turn, and their patience runs meanwhile
CNAMES: Final = 8  # followed, where the name server does not do it
LOOK_UP_SECONDS: Final = 6.0  # for one look-up; the runtime gives up earlier
LOOK_UP_RETRY_SECONDS: Final = 5.0  # after a failed look-up; then twice as long each time
LOOK_UP_RETRY_CEILING_SECONDS: Final = 60.0  # the longest pause between two tries of a failed look-up
FAILING_NAMES_SAID: Final = 10_000  # once each, until they are answered; of more nothing is said
NAME_WAIT_SECONDS: Final = 8.0  # that a request waits for all look-ups for its next hop together
REQUESTS_AWAITING_NAMES: Final = 1_000  # one more fails at once

# SDP
SDP_OCTETS: Final = 32_768  # one description (488)
SDP_LINES: Final = 1_000  # of one description (488)
MEDIA_LINES: Final = 16  # m= lines in one description
FORMATS_PER_MEDIA: Final = 64  # payload types of one m= line (488)
CRYPTO_LINES_PER_MEDIA: Final = 16  # a=crypto; one for each suite that there is, and as many unknown ones
KEYS_PER_CRYPTO_LINE: Final = 4  # each with an MKI of its own
FINGERPRINTS_PER_MEDIA: Final = 8  # a=fingerprint lines of one m= line; more cannot be read (488)

# Engine
PEER_SHARE: Final = 0.5  # of a table that all peers fill, that one of them may have; emergencies may go beyond
DATAGRAMS_PER_WAKEUP: Final = 64  # drained from one socket before others get their turn
DRAIN_SECONDS: Final = 0.01  # likewise: so many calls may begin in one turn
TRANSACTIONS_DUE_AT_ONCE: Final = 256  # that say something when their time has come, before sockets are read again
CALLS_DUE_AT_ONCE: Final = 32  # likewise calls, each of which may end in its turn
PEERS_DUE_AT_ONCE: Final = 16  # likewise servers to be asked, and registrations: a machine that slept makes no storm
UDP_QUEUE_OCTETS: Final = 4_194_304  # of each socket, in the kernel: a burst of some thousand messages waits there
REFUSED_REMEMBERED: Final = 20_000  # requests that an overloaded node has refused, so that none is let in after all
THROTTLED_SERVERS: Final = 1_000  # whose wishes (RFC 7339) are kept; one more, and what has expired or is oldest goes
TRANSACTIONS: Final = 200_000  # of peers that have asked us something; one more request gets 503
TRANSACTIONS_RESERVED: Final = 20_000  # beyond these: for requests within dialogs, CANCEL, and emergencies
TRANSACTION_OCTETS: Final = 268_435_456  # of the messages that these keep, together
CALLS: Final = 50_000  # one more INVITE gets 503
EMERGENCIES: Final = 1_000  # calls beyond `CALLS`, and records beyond `CDR_QUEUE`, that emergencies may make
FORMER_POLICIES: Final = 8  # replaced by reloads while calls are up that began under them
TRANSFERS_PER_CALL: Final = 32  # and replacements, in all calls that have become this one; one more gets 603
ATTEMPTS_PER_CALL: Final = 32  # INVITEs of one hunt, all addresses of all servers together
REDIRECT_CONTACTS: Final = 5  # of one 3xx that are tried, the best first
REDIRECT_CONTACTS_READ: Final = 20  # of one 3xx that are looked at
REDIRECTS_PER_CALL: Final = 5  # numbers that 3xx responses name and that are looked up, all of one call together
OPEN_REQUESTS_PER_LEG: Final = 16  # that cross a call and have no answer yet, both ways together
EARLY_DIALOGS_PER_LEG: Final = 16  # forks of one INVITE that are told apart; of more, provisional responses are ignored
PROVISIONALS_WAITING: Final = 8  # behind one without its PRACK; from then on the newest takes the last one's place
SESSION_SECONDS: Final = 86_400  # longest interval that a session timer of ours asks for or agrees to unasked
REFUSED_SESSION_INTERVALS: Final = 3  # 422s to one request that are answered by sending it again
REFER_HEADERS: Final = 16  # of the URI in a Refer-To; with more it cannot be read
TRACE_MESSAGES_PER_CALL: Final = 200  # kept for its ladder; the middle goes first
TRACE_OCTETS_PER_CALL: Final = 262_144  # messages of one call kept for its ladder; the middle goes first
TRACE_CALLS: Final = 2_000  # finished calls
TRACE_OCTETS_RUNNING: Final = 268_435_456  # of all running calls together; beyond, ladders lose their middle sooner
TRACE_OCTETS: Final = 67_108_864  # of all finished calls together
TRACE_AT_THE_DOOR: Final = 200  # calls that were challenged and have not come again
TRACE_OCTETS_AT_THE_DOOR: Final = 2_097_152  # of these calls together; the oldest goes
TRACE_FORMER_DIALOGS: Final = 4_000  # of calls that are over: what comes for them late stands in their ladders
TRACE_PEERS: Final = 1_000  # whose messages beside calls are kept; one more, and one that has no trouble goes
TRACE_MESSAGES_PER_PEER: Final = 120  # kept of it beside calls; what went well goes first
TRACE_OCTETS_PER_PEER: Final = 65_536  # one message always fits
HEP_QUEUE: Final = 5_000  # messages that wait to be sent to the capture server
HEP_QUEUE_OCTETS: Final = 16_777_216  # of these together

# What crosses from one side to the other
CROSSING_FIELDS: Final = 32  # header fields of one message that cross; what is more stays behind
CROSSING_VALUE_CHARACTERS: Final = 2_048  # of one such field; a longer one stays behind
NAMES_PER_MESSAGE: Final = 64  # by which it calls its own side, and that are looked for in what crosses
SUBJECT_CHARACTERS: Final = 200  # that cross; no screen shows more
USER_TO_USER_CHARACTERS: Final = 1_024  # of one value; the ISDN's had 128 octets, 256 hexadecimal digits

# Beside calls
EXCHANGES: Final = 10_000  # MESSAGE, PUBLISH and the like that wait for their answer; one more gets 503
SUBSCRIPTIONS: Final = 20_000  # one more gets 503
REQUESTS_PER_SUBSCRIPTION: Final = 16  # that wait for their answer; one more gets 500 with Retry-After
SUBSCRIPTION_SECONDS: Final = 86_400  # granted at most, so that what nobody refreshes is gone within the day
PUBLICATIONS: Final = 20_000  # entity-tags that are remembered; a forgotten one gets 412, and its state is sent anew
PUBLICATION_SECONDS: Final = 86_400  # remembered at most, whatever the server grants

# Registration
BINDINGS_PER_AOR: Final = 10  # contacts of one address of record; one more, and the oldest goes
CONTACT_CHARACTERS: Final = 1_024  # of one Contact of a REGISTER with its parameters; all of an AOR go into one 200
PATH_CHARACTERS: Final = 2_048  # of all Path values of a REGISTER together
AORS_PER_PBX: Final = 5_000  # one more gets 503
LOST_BINDINGS: Final = 1_000  # contacts whose connection is gone, remembered for the calls that are up

PINGS: Final = 256  # answers to `sbc ping` that are kept for whoever asked

# Test calls
TEST_CALL_SECONDS: Final = 60.0  # of talk; a door that is forgotten closes by itself a little over a minute later

# Keeping out
BANS: Final = 10_000  # sources; one more, and the one that would end first goes, the operator's own last
STRUCK_SOURCES: Final = 10_000  # whose offences are counted; one more, and the one that was longest quiet is forgotten
BAN_WHY_CHARACTERS: Final = 100  # of the reason that an operator gives; the rest is cut
PROVED_SOURCES: Final = 10_000  # addresses and ports from which right credentials came; the oldest is forgotten
PROVED_SECONDS: Final = 7_200.0  # that such a one is heard as a user, past a ban of its address: as long as a binding
REMEMBERED_SOURCES: Final = 16_384  # of one interface and transport: whose, or nobody's; then all are looked up again
COUNTED_SOURCES: Final = 10_000  # strangers whose requests of this second are counted
STRANGER_MESSAGES_PER_SECOND: Final = 20  # from one address that has proved nothing; more are dropped before parsing
STRANGERS_MESSAGES_PER_SECOND: Final = 200  # from all of these together: some 5 % of the engine's time
USERS_MESSAGES_PER_SECOND: Final = 200  # from other ports of an address where somebody has logged in lately
BANNED_EMERGENCIES_PER_SECOND: Final = 2  # INVITEs from a banned address of users that are looked at
BANS_IN_KERNEL: Final = 20_000  # elements of each nftables set
BANS_AT_ONCE: Final = 1_000  # in one message to the helper that holds the set

# State
STATE_KEYS: Final = 100_000  # values that are kept across a restart, but for calls: bindings, registrations, orders
STATE_CALLS: Final = 70_000  # calls that are kept: `CALLS`, emergencies, and those that ended in the last 32 s
STATE_VALUE_OCTETS: Final = 200_000  # one of them; a call has some 4,000, with the longest descriptions 140,000
STATE_OCTETS: Final = 805_306_368  # of memory for them: 70,000 calls in slots of 8 KiB, and the rest; taken as needed
STATE_BEHIND_SECONDS: Final = 10.0  # that a value waits for the disk; then it is an alarm
CLOCK_GAP_SECONDS: Final = 2_592_000.0  # by which a reboot can set the engine's clock ahead: all has expired by then
ALERTS: Final = 1_000  # that wait for the webhook; the oldest is dropped
ALARMS: Final = 1_000  # on the board, past ones included; one more, and the one that matters least goes

LOG_LINES: Final = 10_000  # that wait for whoever reads the log; one more is dropped and counted
LOG_FIELD_CHARACTERS: Final = 4_000  # of one field; journald splits lines of 48 KiB (LineMax=)
LOG_EXCEPTION_CHARACTERS: Final = 20_000  # of a traceback

# Admin API
ADMIN_BODY_OCTETS: Final = 4_096  # of a request; the longest that means anything is a deadline (413)
ADMIN_BODY_SECONDS: Final = 10.0  # until it is there
ADMIN_STUCK_SECONDS: Final = 10.0  # that a client may take for the next piece of an answer; then it is closed
ADMIN_ANSWER_SECONDS: Final = 120.0  # and for a whole one
CDR_READERS: Final = 2  # questions to the store of records at a time; more wait
CDR_QUESTION_SECONDS: Final = 8.0  # for one of them; clients wait for ten (503)
ADMIN_CLIENTS: Final = 64  # connections; one more is closed at once
ADMIN_CLIENTS_PER_HOST: Final = 32  # from one host beyond loopback (IPv6: its /64), that could keep the others out
EVENT_READERS: Final = 16  # of the event stream; one more gets 503
STREAMED_CALLS: Final = 500  # the newest, in the event stream: no screen shows more
STREAMED_BANS: Final = 200  # the newest, in the event stream
LISTED_CALLS: Final = 1_000  # the newest, in one list of calls unless more are asked for

# CDR
CDR_SET_ASIDE: Final = 1_000  # records that another database has refused; with one more, copying stops and tries again
CDR_COPY_BEHIND: Final = 10_000  # records more than at the start that wait to be copied: an alarm
CDR_QUEUE: Final = 10_000  # records waiting for the disk before new calls are refused
SPOOL_OCTETS: Final = 1_073_741_824  # that wait for their destinations, a million records; beyond, as with a full disk
SPOOL_KEPT_OCTETS: Final = 16_777_216  # that stay when all have them, so that a record that comes again is known
CDR_START_SECONDS: Final = 2.0  # that an answer waits for the disk (`cdr: strict`); then the call is refused

# Media
CONTROL_MESSAGE_OCTETS: Final = 65_536  # one message to or from the media worker
MEDIA_REPORTS_WAITING: Final = 1_000  # to signalling, before it is not told any more what it did not ask for
MEDIA_SLOTS: Final = 32_768  # two for each stream; beyond, counters die with the worker, and the kernel relays nothing
LATCH_CANDIDATES: Final = 8  # sources on probation at once; one more takes the place of the one that was silent longest
LATCH_KEPT_OCTETS: Final = 2_048  # a larger packet is no voice, and is not kept while its source is on probation
MEDIA_REQUESTS_WAITING: Final = 10_000  # unsent to one media worker, beyond its start; with more it is taken for dead
DIGITS_WAITING: Final = 32  # to be played to one end; one more is dropped, as if the caller had dialled too fast
DIGITS_HEARD_PER_SECOND: Final = 20  # from one end, told to signalling; nobody dials faster than 12 (RFC 4733 §3.1)
DIGITS_UNSAID: Final = 100  # that wait for the next media worker, all calls together; older ones are dropped
SRTP_SOURCES: Final = 256  # SSRCs under one key, each way; one more is not heard, or not sent: none may be forgotten
SRTP_RECORDS: Final = 65_536  # of SRTP sources that outlive a worker, 2 MiB; a call of one stream has four or more
SRTP_KEYS: Final = 64  # that a session had and has no more, lest they be used anew; one more, and the oldest is gone
SRTP_KEYS_TRIED: Final = 4  # at one end, while it changes over
SRTP_ROLLOVERS_TRIED: Final = 128  # of a key whose past is lost: a stream of 46 hours at 50 packets a second
HANDED_SECONDS: Final = 1.0  # that a leg which comes from another worker waits for word of its keys; then it is mute
DTLS_SOURCES: Final = 4  # handshakes at once on one port; one more, and the oldest is over
DTLS_RECORDS_PER_SECOND: Final = 50  # datagrams of handshakes on one port that are looked at; a handshake has some six
DTLS_STRANGERS_PER_SECOND: Final = 200  # handshakes that one worker begins with other sources than described, 50 ms
DTLS_FINGERPRINTS: Final = 16  # of one description
DTLS_GIVE_UP_SECONDS: Final = 30.0  # without keys until it is told; it may come about later
DTLS_KEPT_SECONDS: Final = 60.0  # that a handshake which has given keys answers who has missed its last words
DIGIT_MILLISECONDS: Final = (70, 8_000)  # that a digit of ours lasts: RFC 4733 §3.1, and what a duration can express
PORT_QUARANTINE_SECONDS: Final = 30.0  # since the former remote was heard last
PORT_QUARANTINE_MINIMUM_SECONDS: Final = 2.0  # that a pair rests even where pairs run short
PORT_QUARANTINE_MAXIMUM_SECONDS: Final = 300.0  # where pairs run short: a former remote may send for ever
COUNTS_KEPT_SECONDS: Final = 60.0  # from one writing down of what a call has heard to the next
ONE_WAY_SECONDS: Final = 5.0  # of hearing one side alone, before it is called one-way audio
FELL_SILENT_SECONDS: Final = 10.0  # nothing more from a side that was heard, while the other one is
PAST_STREAMS: Final = 16  # of each side of a call that are over, in its record
ONE_WAY_PACKETS: Final = 50  # of the side that is heard: a second of G.711
FOREIGN_PACKETS_PER_SECOND: Final = 20  # to one end of a call, that are worth an alarm: no stray packet, a stream
FORGED_PACKETS: Final = 20  # of SRTP in one call from one side, that are an alarm: more than cross a change of keys
AUDIO_PACKETS_PER_SECOND: Final = 500  # from one end of a stream; 10 ms a packet are 100, a burst after a gap is more
RTCP_PACKETS_PER_SECOND: Final = 200  # from one end of a stream; a report in seconds is usual, feedback (AVPF) is more
VIDEO_PACKETS_PER_SECOND: Final = 5_000  # some 50 Mbit/s
OTHER_PACKETS_PER_SECOND: Final = 1_000  # fax over UDPTL, text

# Recordings
RECORDING_OCTETS: Final = 1_073_741_824  # of one folder of them, on the disk: some 200,000 plain calls; there it ends
RECORDING_SEGMENT_OCTETS: Final = 67_108_864  # of one file; then the next one begins
RECORDING_STEPS_WAITING: Final = 20_000  # of the engine that are not on the disk; one more, and the recording ends
RECORDING_OCTETS_WAITING: Final = 67_108_864  # received in them, about
