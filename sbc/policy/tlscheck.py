"""TLS across keys: certificates with their keys, servers, transports and identities of a peer against each other.

What a certificate must hold is named by the policy (RFC 5922 §7.2); where the policy names nothing, nobody could be
told from anybody who has a certificate at all, so that is an error.
"""

from collections.abc import Iterator
from typing import Final

from sbc.core.address import Transport, canonical_ip
from sbc.policy.merge import Draft
from sbc.policy.model import Listener, Register, Server
from sbc.policy.problems import Problems
from sbc.policy.schema import At, Fields
from sbc.policy.tls import is_off, spoken, tls_fields

_TO_MATCH: Final = 'expected tls: {domain: HOST}, or tls: {pin: "sha256:…"}'


def check_tls(draft: Draft, problems: Problems) -> None:
    for name, fields in draft.named["interfaces"].items():
        _check_interface(name, fields, problems)
    for section in ("pbxs", "trunks"):
        for name, fields in draft.named[section].items():
            interface = draft.named["interfaces"].get(fields.get("interface"))
            _check_peer(name, fields, interface, problems)


def _check_interface(name: str, fields: Fields, problems: Problems) -> None:
    written: Fields = fields.get("tls", Fields(fields.where))
    _check_pair(written, problems)
    listeners = [at for at in fields.get("sip", ()) if at.value.transport is Transport.TLS]
    if listeners and "certificate" not in written.written:
        problems.warn(
            listeners[0].where,
            f"`interfaces.{name}` has no certificate",
            f"connections are made from there and not accepted; expected interfaces.{name}.tls.certificate",
        )
    if "tls" in fields.found and not listeners:
        problems.warn(
            fields.place("tls"), f"`interfaces.{name}` has `tls` and no tls listener", "expected one in `sip`"
        )
    if "others" in written.found and "certificate" not in written.written:
        problems.wrong(
            written.place("others"), "`others` without `certificate`", "expected the one that is shown to all others"
        )


def _check_pair(written: Fields, problems: Problems) -> None:
    for has, lacks in (("certificate", "key"), ("key", "certificate")):
        if has in written.written and lacks not in written.written:
            problems.wrong(written.place(has), f"`{has}` without `{lacks}`", "expected both")


def _check_peer(name: str, fields: Fields, interface: Fields | None, problems: Problems) -> None:
    written = tls_fields(fields)
    servers: list[At] = [*fields.get("address", ()), *fields.get("servers", ())]
    by_tls = [at for at in servers if at.value.transport is Transport.TLS]
    _check_pair(written, problems)
    _check_off(fields, by_tls, problems)
    _check_transports(fields, servers, problems)
    _check_identity(name, fields, interface, problems)
    _check_pins(written, interface, problems)
    _check_sips(fields, servers, problems)
    if not is_off(fields) and not _names(fields) and "domain" not in written.written and "pin" not in written.written:
        for at in by_tls:
            problems.wrong(
                at.where,
                f"nothing says what the certificate of `{at.value.text}` must hold; it is an address",
                _TO_MATCH,
            )


def _names(fields: Fields) -> list[str]:
    """What `profiles` takes as its domains where `tls` gives none."""
    register = fields.get("register")
    domain = fields.get("domain", register.host if register is not None else None)
    if domain is not None and canonical_ip(domain) is None:
        return [domain]
    servers: Iterator[Server] = (at.value for at in (*fields.get("address", ()), *fields.get("servers", ())))
    return [server.host for server in servers if canonical_ip(server.host) is None]


def _check_off(fields: Fields, by_tls: list[At], problems: Problems) -> None:
    if not is_off(fields):
        return
    for at in by_tls:
        problems.wrong(at.where, f"`{at.value.text}` is by TLS, and `tls` is off", f"`tls` is at {fields.place('tls')}")
    for at in fields.get("transports", ()):
        if at.value == "tls":
            problems.wrong(at.where, "`transports` has tls, and `tls` is off", f"`tls` is at {fields.place('tls')}")


def _check_transports(fields: Fields, servers: list[At], problems: Problems) -> None:
    """A peer whose answers come by a transport that it may not speak by is not heard at all."""
    if is_off(fields):
        servers = [at for at in servers if at.value.transport is not Transport.TLS]  # `_check_off` has said it
    if "transports" not in fields.found:
        by = spoken(fields, [at.value for at in servers])
    else:
        by = frozenset([Transport(at.value) for at in fields.get("transports")])
    for at in servers:
        if at.value.transport not in by and not _is_open(at.value):
            problems.wrong(
                at.where,
                f"`{at.value.text}` is by {at.value.transport}, by which this peer may not speak",
                f"expected {' or '.join(sorted(by))}, or another list of `transports`",
            )


def _is_open(server: Server) -> bool:
    """Whether NAPTR and SRV may choose its transport."""
    is_named = server.names_transport or server.is_sips or server.port is not None
    return not is_named and canonical_ip(server.host) is None


def _check_identity(name: str, fields: Fields, interface: Fields | None, problems: Problems) -> None:
    written = tls_fields(fields)
    if written.get("identity") != "certificate":
        return
    place = written.place("identity")
    if not {"domain", "pin"} & written.written and not _names(fields):
        problems.wrong(place, f"nothing says what the certificate of `{name}` must hold", _TO_MATCH)
    others = [at for at in fields.get("transports", ()) if at.value != "tls"]
    for at in others:
        problems.wrong(
            at.where,
            f"`identity: certificate` is proved over TLS alone, not by {at.value}",
            f"`identity` is at {place}",
        )
    listeners: list[Listener] = [] if interface is None else [at.value for at in interface.get("sip", ())]
    if listeners and not any(listener.transport is Transport.TLS for listener in listeners):
        problems.wrong(
            place, f"`{name}` proves who it is over TLS, and its interface has no tls listener", "expected one"
        )


def _check_sips(fields: Fields, servers: list[At], problems: Problems) -> None:
    register: Register | None = fields.get("register")
    if register is None or not register.is_sips:
        return
    for at in servers:
        if at.value.transport is not Transport.TLS and not _is_open(at.value):
            problems.wrong(
                at.where,
                f"`{at.value.text}` is no way to register `{register.aor}`",
                "expected sips:HOST, or transport=tls",
            )


def _check_pins(written: Fields, interface: Fields | None, problems: Problems) -> None:
    if "pin" not in written.found:
        return
    by_certificate = written.get("identity") == "certificate"
    for key in ("domain", "crl") if by_certificate else ("domain", "authorities", "crl"):
        if key in written.found:
            problems.warn(written.place(key), f"`{key}` means nothing beside `pin`", "a pin is the whole proof")
    above: Fields | None = None if interface is None else interface.get("tls")
    if by_certificate and "authorities" not in written.found and (above is None or "authorities" not in above.found):
        problems.warn(
            written.place("pin"),
            "a peer that connects proves a pin only with a certificate that some authority has signed",
            "expected authorities: the file with its certificate, if it signs its own",
        )
