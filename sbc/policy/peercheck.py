"""Peers against the interfaces and path pools that they name, and their own keys against each other."""

from msgspec.structs import replace

from sbc.core.address import Address, canonical_ip
from sbc.policy.addresses import ANY
from sbc.policy.capacity import check_rules
from sbc.policy.codecs import lacks_telephone_event
from sbc.policy.media import check_latching
from sbc.policy.merge import Draft
from sbc.policy.methods import EVENT_METHODS, allowed_methods, meant_by
from sbc.policy.model import CodecRules, Listener, PathRules, Server
from sbc.policy.problems import Problems
from sbc.policy.schema import Fields, nearest
from sbc.policy.srtp import check_srtp
from sbc.policy.tls import tls_fields


def check_peers(draft: Draft, problems: Problems) -> None:
    interfaces = draft.named["interfaces"]
    for name, fields in draft.named["trunks"].items():
        _check_interface(name, fields, interfaces, problems)
        _check_digits(fields, problems)
        _check_methods(fields, problems)
        _check_events(fields, problems)
        check_latching(fields, interfaces.get(fields.get("interface")), problems)
        check_srtp(fields, interfaces.get(fields.get("interface")), problems)
        if "register" in fields.found and "auth" not in fields.written:
            problems.warn(fields.where, f"`{name}` registers without `auth`", "a carrier that challenges refuses it")
    for name, fields in draft.named["pbxs"].items():
        _check_interface(name, fields, interfaces, problems)
        _check_address(name, fields, problems)
        _check_accept(name, fields, problems)
        _check_health(fields, problems)
        _check_digits(fields, problems)
        _check_methods(fields, problems)
        _check_events(fields, problems)
        check_latching(fields, interfaces.get(fields.get("interface")), problems)
        check_srtp(fields, interfaces.get(fields.get("interface")), problems)
    _check_pools(draft, problems)


def _check_address(name: str, fields: Fields, problems: Problems) -> None:
    """Calls to a PBX go to its address, or to where it registered."""
    if fields.get("registers"):
        if "address" in fields.written:
            problems.wrong(
                fields.place("address"), f"`pbxs.{name}` has `address` and `registers: true`", "expected one of them"
            )
    elif "address" not in fields.written and "registers" not in fields.written - fields.found.keys():
        problems.wrong(
            fields.where,
            f"`pbxs.{name}` has no `address`",
            "expected a SIP URI, a list of them, or `registers: true`",
        )


def _check_health(fields: Fields, problems: Problems) -> None:
    if fields.get("registers") and "health" in fields.found:
        problems.warn(
            fields.place("health"), "`health` means nothing with `registers: true`", "it is up while it is registered"
        )


def _check_accept(name: str, fields: Fields, problems: Problems) -> None:
    accepted = fields.get("accept", ())
    for at in accepted:
        if at.value != ANY:
            continue
        if len(accepted) > 1:
            problems.wrong(at.where, "`any` beside networks", "expected `any` alone, or networks")
        if "auth" not in fields.written and tls_fields(fields).get("identity") != "certificate":
            problems.wrong(
                at.where,
                "`accept: any` without `auth`",
                "expected auth: {username, password}, or tls: {identity: certificate}",
            )
    if not fields.get("registers"):
        return
    if "accept" not in fields.written:
        problems.wrong(
            fields.where,
            f"nothing says from where `{name}` may register",
            "expected `accept`: networks, or any with `auth` or with tls: {identity: certificate}",
        )
    elif "auth" not in fields.written and ANY not in [at.value for at in accepted]:
        problems.warn(
            fields.where, f"`{name}` registers without `auth`", "whoever speaks from its networks gets its calls"
        )


def _check_digits(fields: Fields, problems: Problems) -> None:
    """Digits are relayed or converted, never read out of the sound: without telephone-event there are none."""
    rules: CodecRules = fields.get("codecs", CodecRules())
    if not lacks_telephone_event(rules):
        return
    dtmf, place = fields.get("dtmf", "pass"), fields.place("codecs")
    if dtmf != "pass":
        problems.wrong(
            fields.place("dtmf"),
            f"`dtmf: {dtmf}` where `codecs` lacks telephone-event",
            f"expected it there; `codecs` is at {place}",
        )
    elif "dtmf" not in fields.written:
        problems.warn(
            place, "`codecs` lacks telephone-event", "digits cross as tones, or by INFO; `dtmf: pass` means so"
        )


def _check_methods(fields: Fields, problems: Problems) -> None:
    """A list of methods against the keys that need some of them."""
    listed = fields.get("methods", ())
    if not listed:
        return
    methods, place = allowed_methods(listed), fields.place("methods")
    if fields.get("dtmf") == "info" and "INFO" not in methods:
        problems.wrong(
            fields.place("dtmf"),
            "`dtmf: info` where `methods` lacks INFO",
            f"expected it there; `methods` is at {place}",
        )
    transfer = fields.get("transfer", "refuse")
    if transfer != "refuse" and "REFER" not in methods:
        problems.warn(
            fields.place("transfer"),
            f"`transfer: {transfer}` means nothing where `methods` lacks REFER",
            f"a REFER gets 405; `methods` is at {place}",
        )
    if "events" in fields.found and not methods & EVENT_METHODS:
        problems.warn(
            fields.place("events"),
            f"`events` means nothing without {', '.join(sorted(EVENT_METHODS))}",
            f"expected one of them in `methods` at {place}",
        )


def _check_events(fields: Fields, problems: Problems) -> None:
    """A slip of the pen would leave the lamps of telephones dark."""
    for at in fields.get("events", ()):
        meant = meant_by(at.value)
        if meant is not None:
            problems.warn(at.where, f"`{at.value}` is no event package that we know", f"did you mean `{meant}`?")


def _check_pools(draft: Draft, problems: Problems) -> None:
    pools = draft.settings["path_pools"]
    used = set()
    for fields in draft.named["trunks"].values():
        rules: PathRules | None = fields.get("call_paths")
        if rules is None or rules.pool is None:
            continue
        used.add(rules.pool)
        _check_pool(rules, fields, pools, problems)
    for name, at in pools.found.items():
        if name not in used:
            problems.warn(at.where, f"no trunk uses the pool `{name}`", "expected call_paths: {pool: …} on a trunk")


def _check_pool(rules: PathRules, fields: Fields, pools: Fields, problems: Problems) -> None:
    where = fields.place("call_paths")
    if rules.pool not in pools.found:
        known = tuple(pools.found)
        hint = nearest(str(rules.pool), known) if known else "expected it in the section path_pools"
        problems.wrong(where, f"`{rules.pool}` is no path pool", hint)
    elif (total := pools.get(str(rules.pool))) is not None:
        check_rules(replace(rules, total=total), lambda _key: where, problems)


def _check_interface(name: str, fields: Fields, interfaces: dict[str, Fields], problems: Problems) -> None:
    interface = fields.get("interface")
    if interface is None:
        return
    if interface not in interfaces:
        problems.wrong(fields.place("interface"), f"`{interface}` is no interface", nearest(interface, interfaces))
        return
    _check_not_ourselves(name, fields, interfaces, problems)
    _check_reachable(name, fields, interfaces[interface], problems)


def _check_not_ourselves(name: str, fields: Fields, interfaces: dict[str, Fields], problems: Problems) -> None:
    """On whichever interface: a call that we send to ourselves comes from a stranger."""
    listeners: list[Listener] = [at.value for interface in interfaces.values() for at in interface.get("sip", ())]
    for at in (*fields.get("address", ()), *fields.get("servers", ())):
        if any(_is_at(listener, at.value) for listener in listeners):
            problems.wrong(at.where, f"`{at.value.text}` is our own listener", f"expected where `{name}` listens")


def _check_reachable(name: str, fields: Fields, interface: Fields, problems: Problems) -> None:
    """A server needs a listener of its transport: Via and Contact show that one."""
    listeners: list[Listener] = [at.value for at in interface.get("sip", ())]
    if not listeners:
        return
    for at in (*fields.get("address", ()), *fields.get("servers", ())):
        if not any(_reaches(listener, at.value) for listener in listeners):
            literal = canonical_ip(at.value.host)
            where = fields.get("interface")
            family = "" if literal is None else " IPv6" if ":" in literal else " IPv4"
            problems.wrong(
                at.where,
                f"no{family} {at.value.transport} listener on `{where}` to reach `{at.value.text}` from",
                f"expected one in interfaces.{where}.sip, or another transport for `{name}`",
            )


def _reaches(listener: Listener, server: Server) -> bool:
    literal = canonical_ip(server.host)
    if literal is None and server.port is None and not server.names_transport and not server.is_sips:
        return True  # NAPTR and SRV may name any transport (RFC 3263 §4.1)
    if listener.transport is not server.transport:
        return False
    return literal is None or listener.address.is_ipv6 == (":" in literal)


def _is_at(listener: Listener, server: Server) -> bool:
    port = server.port or server.transport.default_port
    return listener == Listener(server.transport, Address(server.host, port))
