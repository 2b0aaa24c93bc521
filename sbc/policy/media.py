"""Media in a policy: the section `media`, and the keys of a peer that say how its packets are received.

What the relay makes of them is said in `media.wire`. Codecs and digits have modules of their own.
"""

import ipaddress
from collections.abc import Sequence
from typing import Final

from sbc.policy import values
from sbc.policy.addresses import ANY, network
from sbc.policy.model import MediaSettings
from sbc.policy.problems import Problems, UnfitError
from sbc.policy.schema import At, Fields, Key, choice, one, some

_NEVER: Final = "off"
_DEFAULT: Final = MediaSettings()
_BROAD: Final = {4: 8, 6: 16}  # bits of a prefix; a shorter one holds more than any one operator has


def _silence(text: str) -> float:
    """0.0 for `off`. Shorter than 10 s would end calls in the pause before somebody answers a question."""
    return 0.0 if text == _NEVER else values.seconds_within("10s", "1d")(text)


def _network(text: str) -> str:
    if text == ANY:
        raise UnfitError("`any` is no network", "expected networks such as 198.51.100.0/24: whom else would it let in")
    return network(text)


MEDIA_KEYS: Final = (
    Key(
        "ports",
        "FIRST-LAST",
        "RTP takes the even port, RTCP the odd one above",
        one(values.media_ports),
        default="20000-29999",
    ),
    Key(
        "engine",
        "auto, kernel or userland",
        "who relays packets; auto: the kernel what it can, if it lets us, and a process of ours the rest; kernel: the "
        "same, and an alarm where it does not let us; userland: the process alone",
        choice("auto", "kernel", "userland"),
        default="auto",
    ),
    Key(
        "workers",
        "a number",
        "processes that relay packets; calls are spread over them; 1 to 16",
        one(values.within(1, 16)),
        default="1",
    ),
    Key(
        "silence_timeout",
        "a duration or off",
        "no RTP and no RTCP either way for so long ends a call; held calls are exempt; 10s at least",
        one(_silence),
        default="300s",
    ),
    Key(
        "orphan_timeout",
        "a duration",
        "media of a call that signalling does not know any more goes on for so long; 10s at least",
        one(values.seconds_within("10s", "1d")),
        default="1h",
    ),
)

PEER_MEDIA_KEYS: Final = (
    Key(
        "latching",
        "strict, address or nat",
        "where its media may come from; strict: the address and port of its SDP; address: that address, any port; nat: "
        "any address within `media_from`, and media to it goes back there",
        choice("strict", "address", "nat"),
        default="address",
    ),
    Key(
        "media_from",
        "a network or a list of them",
        "which sources `latching: nat` may learn, and the narrower the better: until its media comes, who guesses a "
        "port may take its place",
        some(one(_network)),
    ),
    Key(
        "transcode",
        "auto or off",
        "auto: where the other side has only one G.711 law, this peer is offered the other one too, and is recoded if "
        "it takes that; off: never",
        choice("auto", "off"),
        default="auto",
    ),
)


def media_settings(fields: Fields) -> MediaSettings:
    first, last = fields.get("ports", (_DEFAULT.first_port, _DEFAULT.last_port))
    return MediaSettings(
        first,
        last,
        fields.get("engine", _DEFAULT.engine),
        fields.get("workers", _DEFAULT.workers),
        fields.get("silence_timeout", _DEFAULT.silence_timeout),
        fields.get("orphan_timeout", _DEFAULT.orphan_timeout),
    )


def check_latching(fields: Fields, interface: Fields | None, problems: Problems) -> None:
    """The keys of one peer against each other, and against the interface that it is on."""
    latching = fields.get("latching", "address")
    if latching == "nat" and "media_from" not in fields.written:
        problems.wrong(
            fields.place("latching"),
            "`latching: nat` without `media_from`",
            "expected the networks that its media comes from, such as media_from: [198.51.100.0/24]",
        )
    networks: Sequence[At] = fields.get("media_from", ())
    if latching != "nat" and networks and "latching" not in fields.written - fields.found.keys():
        problems.warn(
            fields.place("media_from"),
            f"`media_from` means nothing with `latching: {latching}`",
            "expected `latching: nat`, or no `media_from`",
        )
    for at in networks:
        known = ipaddress.ip_network(at.value)
        if known.prefixlen < _BROAD[known.version]:
            problems.warn(
                at.where,
                f"media may be learned from {at.value}",
                "anybody in there may take the place of this peer in a call; expected the networks that it is in",
            )
    if interface is not None:
        _check_families(networks, interface, problems)


def _check_families(networks: Sequence[At], interface: Fields, problems: Problems) -> None:
    """Packets of a family that the interface has no media address in cannot come."""
    families = {ipaddress.ip_address(at.value).version for at in interface.get("media", ())}
    foreign = [at for at in networks if ipaddress.ip_network(at.value).version not in families]
    if not families or not foreign:
        return
    complain = problems.wrong if len(foreign) == len(networks) else problems.warn
    for at in foreign:
        version = ipaddress.ip_network(at.value).version
        complain(
            at.where,
            f"no IPv{version} media comes to this interface, so none from {at.value}",
            f"expected IPv{version} in the interface's `media`, or networks of its family",
        )
