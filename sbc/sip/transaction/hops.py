"""Whether two flows are one hop: what a connection's failure concerns, and who may cancel what came by another one.

Pure, of two values; what is open nobody here knows. Used by the transaction layer.
"""

from sbc.core.address import Flow, Transport


def goes_by(ours: Flow, failed: Flow) -> bool:
    """What goes by a connection that is open is known by its number alone: of one that we have opened, who sent before
    it was open is told as well, without a number. Else not the connection, but the interface: networks may overlap; and
    over TLS what is proved: another certificate's failure is another connection's. What a connection has proved may be
    judged anew by a reload; its number stays.
    """
    if ours.connection:
        return ours.connection == failed.connection
    if (ours.remote, ours.transport, ours.interface) != (failed.remote, failed.transport, failed.interface):
        return False
    return not ours.proved or not failed.proved or not set(ours.proved).isdisjoint(failed.proved)


def is_same_hop(before: Flow, now: Flow) -> bool:
    """ "a CANCEL request SHOULD be accepted by a server if it comes from the same hop that sent the request being
    canceled (provided that some sort of transport or network layer security association … is in place)", §22.1: who was
    heard over TLS goes on over TLS, with all that he has proved; a branch alone proves nothing.
    """
    if before.transport is not Transport.TLS or before.connection == now.connection:
        return True
    if (now.transport, now.interface) != (before.transport, before.interface):
        return False
    return set(before.proved) <= set(now.proved) and (bool(before.proved) or now.remote.host == before.remote.host)
