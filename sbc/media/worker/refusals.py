"""What is wrong with a `PutSession` (sans-IO). It is refused whole, so it is looked at before anything is changed.

Used by `service`. What only this SBC's own mistakes could cause is looked at too: the worker outlives them.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from sbc.core.limits import DTLS_FINGERPRINTS, SRTP_KEYS_TRIED
from sbc.media import wire
from sbc.media.worker.codecs import can_recode
from sbc.media.worker.latch import canonical
from sbc.media.worker.ports import Ports
from sbc.media.worker.srtp_suite import SUITES, fits

STREAMS_AT_MOST: Final = 40  # of a session: they fit in one report, and are more than a description may have
_REF_OCTETS: Final = 256
_MKI_OCTETS: Final = 128  # RFC 4568 §6.1
_RATES: Final = range(1000, 192_001)  # Hz


def problem(put: wire.PutSession, ends: Sequence[wire.End], ports: Ports, no_dtls: Callable[[], str]) -> str:
    """In words, or empty. `ends`: those of `put`. `no_dtls`: why there are no handshakes, or empty."""
    if not put.ref:
        return "a session needs a name"
    if len(put.ref.encode()) > _REF_OCTETS or len(put.streams) > STREAMS_AT_MOST:
        return f"a session has {STREAMS_AT_MOST} streams at most, and a name of {_REF_OCTETS} octets"
    for stream in put.streams:
        if not stream.rtp and (stream.ingress.secured or stream.egress.secured):
            return "only RTP can be secured"
        for number in _types(stream):
            if not 0 <= number < 128:  # seven bits, RFC 3550 §5.1
                return f"no payload type: {number}"
        for rate in _rates(stream):
            if rate not in _RATES:
                return f"no clock rate: {rate} Hz"
        for one in stream.transcodings:
            if not can_recode(one.source, one.target):
                return f"no way from {one.source!r} to {one.target!r}"
    return _problem_of_ends(ends, ports) or next(filter(None, (_problem_of_keys(end, no_dtls) for end in ends)), "")


def _problem_of_ends(ends: Sequence[wire.End], ports: Ports) -> str:
    seen = set()
    for end in ends:
        key = (end.local, end.port)
        if key not in ports:
            return f"no such media port: {end.local} {end.port}"
        if key in seen:
            return f"a media port is named twice: {end.local} {end.port}"
        seen.add(key)
        if end.remote is not None and not _is_usable(end.remote, end.local):
            return f"no remote address for {end.local}: {end.remote.host!r} {end.remote.port} {end.remote.rtcp_port}"
    return ""


def _problem_of_keys(end: wire.End, no_dtls: Callable[[], str]) -> str:
    match end.secured:
        case wire.Crypto() as crypto:
            return _problem_of_crypto(crypto)
        case wire.Dtls(suites=suites, fingerprints=fingerprints, keys=keys, rtcp_keys=rtcp_keys):
            if not suites or any(suite not in SUITES for suite in suites):
                return f"no suites for a handshake: {suites}"
            if not 0 < len(fingerprints) <= DTLS_FINGERPRINTS:
                return f"a handshake needs fingerprints, {DTLS_FINGERPRINTS} at most"
            known = [_problem_of_crypto(one) for one in (keys, rtcp_keys) if one is not None]
            return next(filter(None, known), "") or no_dtls()
        case None:
            return ""


def _problem_of_crypto(crypto: wire.Crypto) -> str:
    keys = (crypto.send, *crypto.receive)
    if len(crypto.receive) > SRTP_KEYS_TRIED:
        return f"{SRTP_KEYS_TRIED} keys at most are tried at one end"
    if not all(fits(crypto.suite, one.key) and len(one.mki) <= _MKI_OCTETS for one in keys):
        return f"no keys for {crypto.suite!r}"
    return ""


def _types(stream: wire.Stream) -> Iterator[int]:
    for pair in (*stream.ingress_to_egress, *stream.egress_to_ingress):
        yield from pair
    for number, _ in (*stream.ingress_clocks, *stream.egress_clocks):
        yield number
    for one in stream.transcodings:
        yield from (one.payload_type, one.becomes)
    yield from (number for number in stream.events or () if number != wire.NO_EVENTS)


def _rates(stream: wire.Stream) -> Iterator[int]:
    yield from stream.event_rates
    yield from (rate for _, rate in (*stream.ingress_clocks, *stream.egress_clocks))


def is_host_of(host: str, local: str) -> bool:
    """An IP literal of our socket's family."""
    if (":" in host) != (":" in local):
        return False
    try:
        canonical(host)
    except (OSError, ValueError):
        return False
    return True


def _is_usable(remote: wire.Remote, local: str) -> bool:
    """Ports that exist."""
    return is_host_of(remote.host, local) and 0 < remote.port < 65_536 and 0 <= remote.rtcp_port < 65_536
