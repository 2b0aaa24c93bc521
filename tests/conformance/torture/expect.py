"""What each message of RFC 4475 gets from us, as data.

A status, PROCESSED (an INVITE that is taken seriously: any final answer but 400 and 5xx), SILENCE, or an end that only
a stream has; several are those of several messages.

Where the RFC leaves a choice, this is ours. Registrations get 405, because there is no registrar.
"""

PROCESSED = "processed"
SILENCE = "silence"
CLOSED = "closed"  # after the answers: the end of a message cannot be found, and so neither can the next one
UNFINISHED = "unfinished"  # nothing happens until the deadline, at which the runtime closes

UDP = {
    # 3.1.1 valid messages
    "wsinv": PROCESSED,
    "intmeth": 501,
    "esc01": PROCESSED,
    "escnull": 405,
    "esc02": 501,
    "lwsdisp": 200,
    "longreq": PROCESSED,
    "dblreq": 405,
    "semiuri": 200,
    "transports": 200,
    "mpart01": 405,
    "unreason": SILENCE,
    "noreason": SILENCE,
    # 3.1.2 invalid messages
    "badinv01": 400,
    "clerr": 400,
    "ncl": 400,
    "scalar02": 400,
    "scalarlg": SILENCE,
    "quotbal": 400,
    "ltgtruri": 400,
    "lwsruri": 400,
    "lwsstart": 400,
    "trws": 400,
    "escruri": 400,
    "baddate": PROCESSED,  # nothing here depends on Date
    "regbadct": 400,
    "badaspec": 400,
    "baddn": 400,
    "badvers": 505,
    "mismatch01": 400,
    "mismatch02": 501,
    "bigcode": SILENCE,
    # 3.2 transaction layer
    "badbranch": 200,  # matched as in RFC 2543
    # 3.3 application layer
    "insuf": 400,
    "unkscm": 416,
    "novelsc": 416,
    "unksm2": 405,
    "bext01": 420,
    "invut": 415,
    "regaut01": 405,
    "multi01": 400,
    "mcl01": 400,
    "bcast": SILENCE,
    "zeromf": 200,  # an OPTIONS to ourselves is not forwarded
    "cparam01": 405,
    "cparam02": 405,
    "regescrt": 405,
    "sdp01": 406,
    # 3.4 backward compatibility
    "inv2543": PROCESSED,
    # in the archive, in no section: its request line has no version
    "test": SILENCE,
}

# Where a stream makes a difference.
TCP = UDP | {
    # What follows Content-Length is the next message: an INVITE, with "m =" in its SDP and with a Content-Length that
    # cuts that short, so that what is left of it is no message.
    "dblreq": (405, 404, CLOSED),
    "clerr": UNFINISHED,
    "baddn": UNFINISHED,  # the archive's file has no empty line at its end
    "ncl": (400, CLOSED),
    "mcl01": (400, CLOSED),
    "inv2543": (400, CLOSED),  # no Content-Length, which a stream cannot do without
}
