"""The engine's tables as the operator sees them: how full each is, and how full it may get.

It only counts, in a time that does not depend on how much is in them. Used by the switch; a test holds that every bound
of the engine that is a table's stands here.
"""

from collections.abc import Sized

from sbc.b2bua.beside.beside import Beside
from sbc.b2bua.context import Context
from sbc.b2bua.former import FormerPolicies
from sbc.core import limits
from sbc.core.tables import Table
from sbc.sip.endpoint import Endpoint
from sbc.trace.doorstep import Doorstep


def engine_tables(
    context: Context,
    endpoint: Endpoint,
    beside: Beside,
    former: FormerPolicies,
    doorstep: Doorstep,
    unstored: Sized,
) -> tuple[Table, ...]:
    """`unstored`: calls whose records the disk does not take."""
    layer, relations, ports, keeping_out = endpoint.layer, context.relations, context.ports, context.keeping_out
    return (
        Table("calls", len(context.calls), limits.CALLS),
        Table("records", len(unstored), limits.CDR_QUEUE),
        Table("transactions", layer.places.total, limits.TRANSACTIONS),
        Table("transaction_octets", layer.octets.total, limits.TRANSACTION_OCTETS),
        Table("exchanges", beside.exchanges, limits.EXCHANGES),
        Table("subscriptions", beside.subscriptions, limits.SUBSCRIPTIONS),
        Table("publications", beside.publications, limits.PUBLICATIONS),
        Table("aors", relations.registrar.most_aors, limits.AORS_PER_PBX),
        Table("lost_bindings", relations.registrar.lost_bindings, limits.LOST_BINDINGS, is_ring=True),
        Table("nonces", relations.nonces, limits.SERVER_NONCES, is_ring=True),
        Table("names", endpoint.locator.names, limits.NAMES, is_ring=True),
        Table("look_ups", endpoint.locator.look_ups, limits.LOOK_UPS),
        Table("requests_awaiting_names", endpoint.waiting, limits.REQUESTS_AWAITING_NAMES),
        Table("media_ports", ports.in_use, ports.in_all),
        Table("pings", len(relations.health.pings()), limits.PINGS, is_ring=True),
        Table("former_policies", len(former), limits.FORMER_POLICIES, is_ring=True),
        Table("bans", len(keeping_out.bans), limits.BANS),
        Table("struck_sources", keeping_out.bans.struck, limits.STRUCK_SOURCES, is_ring=True),
        Table("proved_sources", keeping_out.proved, limits.PROVED_SOURCES, is_ring=True),
        Table("tls_connections", len(endpoint.connections), limits.TLS_CONNECTIONS_REMEMBERED, is_ring=True),
        Table("throttled_servers", len(relations.throttle), limits.THROTTLED_SERVERS, is_ring=True),
        *_traces(context, doorstep),
    )


def _traces(context: Context, doorstep: Doorstep) -> tuple[Table, ...]:
    trace, peers = context.trace, context.peer_tapes
    return (
        Table("trace_calls", trace.finished, limits.TRACE_CALLS, is_ring=True),
        Table("trace_octets", trace.octets_finished, limits.TRACE_OCTETS, is_ring=True),
        Table("trace_octets_running", trace.octets_running, limits.TRACE_OCTETS_RUNNING, is_ring=True),
        Table("trace_former_dialogs", trace.former_dialogs, limits.TRACE_FORMER_DIALOGS, is_ring=True),
        Table("trace_at_the_door", len(doorstep), limits.TRACE_AT_THE_DOOR, is_ring=True),
        Table("trace_peers", len(peers), limits.TRACE_PEERS, is_ring=True),
        Table("hep", trace.waiting, limits.HEP_QUEUE, is_ring=True),
        Table("hep_octets", trace.octets_waiting, limits.HEP_QUEUE_OCTETS, is_ring=True),
    )
