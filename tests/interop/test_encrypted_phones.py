"""Telephones over TLS and SRTP: baresip and linphone, keys by SDES and by DTLS, plain RTP or SRTP on the other side.

Each hears the other one, and on the encrypted network there is neither a word of SIP nor a packet of plain sound.
"""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sbc.testing.certificates import Authority

from .baresip import Baresip
from .capture import Capture, Datagram
from .linphone import Linphone
from .namespaces import CARRIER, INSIDE, OTHER_CARRIER, OUTSIDE, PBX
from .node import Node

# RFC: 3711 4568 5763 5764 5922

pytestmark = [pytest.mark.interop, pytest.mark.root, pytest.mark.slow]

_TALK_SECONDS = 4.0
_POLICY = """
pbxs:
  secure-office:
    interface: inside
    address: "sip:{pbx}:5061;transport=tls"
    tls: {{domain: pbx.example}}
    srtp: required
    dids: ["+14155550200-+14155550299"]
trunks:
  secure:
    interface: outside
    servers: ["sip:{carrier}:5061;transport=tls"]
    tls: {{domain: carrier.example}}
    srtp: {srtp}
routes:
  - {{name: secure-out, from: [office, secure-office], to: [national], via: [secure]}}
  - {{name: secure-in, from: secure, to: dids}}
"""


class Files(NamedTuple):
    """PEM files of one party."""

    certificate: Path
    key: Path
    both: Path


class Encrypted:
    """An SBC with TLS on both sides, and telephones beside it: `office` by UDP, `secure-office` and `secure` by TLS."""

    def __init__(self, namespaces: Any, node: Callable[..., Node], started: Callable[[Any], Any], folder: Path) -> None:
        self._namespaces, self._node, self._started, self._folder = namespaces, node, started, folder
        self._authority = Authority()
        self._trusted = folder / "authority.pem"
        self._trusted.write_text(self._authority.pem)
        self.sbc: Node

    def border(self, srtp: str) -> None:
        """`srtp`: what the trunk's policy says of it."""
        ours = self._files("sbc.example", [INSIDE, OUTSIDE])
        self.sbc = self._node(
            inside=INSIDE, outside=OUTSIDE, pbx=PBX, carrier=OTHER_CARRIER, prefix=self._namespaces.enter("sbc"),
            pbx_more="transports: [udp]", interfaces=_interfaces(ours, self._trusted),
            more=_POLICY.format(pbx=PBX, carrier=CARRIER, srtp=srtp),
        )  # fmt: skip
        self._cables = [
            self._started(Capture(side, self._folder, self._namespaces.enter(side))) for side in ("pbx", "carrier")
        ]

    def plain_pbx(self) -> Baresip:
        return self._baresip("caller", "pbx", PBX, INSIDE, "+14155550100", 400)

    def secure_pbx(self) -> Baresip:
        tls = self._files("pbx.example", [PBX])
        return self._baresip(
            "caller", "pbx", PBX, INSIDE, "+14155550200", 400, tls=(tls.both, self._trusted), media="srtp-mand"
        )

    def carrier(self, media: str) -> Baresip:
        tls = self._files("carrier.example", [CARRIER])
        return self._baresip(
            "callee", "carrier", CARRIER, OUTSIDE, "+14155559999", 1000, tls=(tls.both, self._trusted), media=media
        )

    def linphone(self, media: str) -> Linphone:
        self._namespaces.change("carrier", "route", "add", "default", "via", OUTSIDE)  # by it, it finds its address
        tls = self._files("carrier.example", [CARRIER])
        return self._started(
            Linphone("callee", self._folder, address=CARRIER, user="+14155559999", hertz=1000, media=media,
                     tls=(tls.certificate, tls.key, self._trusted), prefix=self._namespaces.enter("carrier"))
        )  # fmt: skip

    def datagrams(self) -> tuple[list[Datagram], list[Datagram]]:
        """What went over the cables of the PBX and of the carrier."""
        inside, outside = [cable.datagrams() for cable in self._cables]
        return inside, outside

    def record(self) -> dict[str, Any]:
        cdr = self.sbc.cdr_of_only_call()
        self.sbc.has_no_call_within(5)
        assert self.sbc.complaints() == []
        return cdr

    def _baresip(self, name: str, side: str, address: str, through: str, user: str, hertz: int, **more: Any) -> Baresip:
        prefix = self._namespaces.enter(side)
        return self._started(
            Baresip(name, self._folder, address=address, through=through, user=user, hertz=hertz, prefix=prefix, **more)
        )

    def _files(self, name: str, addresses: Sequence[str]) -> Files:
        issued = self._authority.issue(name, ips=addresses)  # telephones match the address that they dial
        certificate, key = issued.write(self._folder, name)
        both = self._folder / f"{name}.both"
        both.write_text(issued.key + issued.pem)
        return Files(certificate, key, both)


@pytest.fixture
def encrypted(namespaces, node, started, tmp_path) -> Encrypted:
    return Encrypted(namespaces, node, started, tmp_path)


@pytest.mark.parametrize(
    ("srtp", "media", "suite"),
    [
        ("required", "srtp-mand", "AES_CM_128_HMAC_SHA1_80"),
        ("{mode: required, suites: [AEAD_AES_256_GCM]}", "srtp-mand", "AEAD_AES_256_GCM"),
        ("{mode: required, keying: dtls}", "dtls_srtp", ""),
    ],
)
def test_plain_rtp_inside_and_baresip_with_srtp_outside_hear_each_other(encrypted, srtp, media, suite):
    encrypted.border(srtp)
    callee, caller = encrypted.carrier(media), encrypted.plain_pbx()
    _calls(caller, f"dial sip:+14155559999@{INSIDE}")
    caller.says("hangup")
    callee.child.until("session closed")
    cdr = encrypted.record()
    _stopped(caller, callee)
    _both_heard(caller, callee)
    _is_encrypted(*encrypted.datagrams())
    _says_srtp(cdr, egress=True, ingress=False)
    assert suite in json.loads(cdr["media"])["egress"][0]["srtp"]


@pytest.mark.parametrize("keying", ["sdes", "dtls"])
def test_a_carriers_linphone_calls_a_did_of_the_plain_pbx(encrypted, keying):
    encrypted.border(f"{{mode: required, keying: {keying}}}")
    caller, callee = encrypted.linphone("srtp" if keying == "sdes" else "dtls"), encrypted.plain_pbx()
    caller.says(f"call sip:+14155550100@{OUTSIDE}:5061;transport=tls")
    callee.child.until("Call established")
    time.sleep(_TALK_SECONDS)
    caller.says("terminate")
    callee.child.until("session closed")
    cdr = encrypted.record()
    _stopped(caller, callee)
    _both_heard(callee, caller)
    _is_encrypted(*encrypted.datagrams())
    _says_srtp(cdr, ingress=True, egress=False)


@pytest.mark.parametrize(("keying", "media"), [("sdes", "srtp-mand"), ("dtls", "dtls_srtp")])
def test_srtp_on_both_sides_is_encrypted_anew(encrypted, keying, media):
    """Held and resumed by the PBX; its keys are never the carrier's."""
    encrypted.border(f"{{mode: required, keying: {keying}}}")
    callee, caller = encrypted.carrier(media), encrypted.secure_pbx()
    _calls(caller, f"dial sip:+14155559999@{INSIDE}:5061;transport=tls")
    caller.says("hold")
    time.sleep(1.5)
    caller.says("resume")
    time.sleep(_TALK_SECONDS)
    callee.says("hangup")
    caller.child.until("session closed")
    cdr = encrypted.record()
    _stopped(caller, callee)
    _both_heard(caller, callee)
    inside, outside = encrypted.datagrams()
    _is_encrypted(inside, outside)
    payloads = {one.data[12:44] for one in inside if one.is_rtp}
    assert payloads.isdisjoint(one.data[12:44] for one in outside if one.is_rtp)
    assert not [one for one in inside if one.is_sip]
    _says_srtp(cdr, ingress=True, egress=True)


@pytest.mark.parametrize(("media", "is_srtp"), [("srtp", True), ("", False)])
def test_where_srtp_is_optional_the_carrier_gets_what_it_can_do(encrypted, media, is_srtp):
    """We offer RTP/AVP with keys beside it; baresip without SRTP answers as to any other offer."""
    encrypted.border("optional")
    callee, caller = encrypted.carrier(media), encrypted.plain_pbx()
    _calls(caller, f"dial sip:+14155559999@{INSIDE}")
    caller.says("hangup")
    callee.child.until("session closed")
    cdr = encrypted.record()
    _stopped(caller, callee)
    _both_heard(caller, callee)
    _says_srtp(cdr, ingress=False, egress=is_srtp)
    inside, outside = encrypted.datagrams()
    if is_srtp:
        _is_encrypted(inside, outside)


@pytest.mark.parametrize(("media", "is_srtp"), [("srtp", True), ("", False)])
def test_where_srtp_is_optional_the_carrier_may_offer_what_it_likes(encrypted, media, is_srtp):
    encrypted.border("optional")
    caller, callee = encrypted.carrier(media), encrypted.plain_pbx()
    _calls(caller, f"dial sip:+14155550100@{OUTSIDE}:5061;transport=tls", callee)
    caller.says("hangup")
    callee.child.until("session closed")
    cdr = encrypted.record()
    _stopped(caller, callee)
    _both_heard(callee, caller)
    _says_srtp(cdr, ingress=is_srtp, egress=False)


def test_a_carrier_that_offers_plain_rtp_where_srtp_is_required_gets_488(encrypted):
    encrypted.border("required")
    callee, caller = encrypted.plain_pbx(), encrypted.linphone("none")
    caller.says(f"call sip:+14155550100@{OUTSIDE}:5061;transport=tls")
    cdr = encrypted.record()
    assert (cdr["sip_status"], cdr["ended_by"]) == (488, "sbc")
    _stopped(caller, callee)


def _calls(caller: Baresip, command: str, callee: Baresip | None = None) -> None:
    caller.says(command)
    (callee or caller).child.until("Call established")
    time.sleep(_TALK_SECONDS)


def _stopped(*phones: Baresip | Linphone) -> None:
    for phone in phones:
        phone.stop()


def _both_heard(inner: Baresip, outer: Baresip | Linphone) -> None:
    """The inner one plays 400 Hz, the outer one 1000 Hz."""
    inside, outside = inner.heard(), outer.heard()
    print(f"loudness of 1000 Hz inside {inside[1000]:.2f}, of 400 Hz outside {outside[400]:.2f}")
    assert inside[1000] > 0.1 > inside[400]
    assert outside[400] > 0.1 > outside[1000]


def _is_encrypted(inside: Sequence[Datagram], outside: Sequence[Datagram]) -> None:
    """Outside: no SIP by UDP, RTP that is longer by its tag than the 160 octets of 20 ms of G.711, and noise."""
    packets = [one.data for one in outside if one.is_rtp]
    print(f"{len(packets)} packets of RTP outside, {sum(one.is_rtp for one in inside)} inside")
    assert len(packets) > 100
    assert not [one for one in outside if one.is_sip]
    assert all(len(data) > 172 for data in packets)
    octets = b"".join(data[12:172] for data in packets)
    assert max(octets.count(value) for value in range(256)) < len(octets) / 64  # a tone has few values, and often


def _says_srtp(cdr: dict[str, Any], **expected: bool) -> None:
    assert (cdr["cause"], cdr["sip_status"]) == ("normal", 200)
    media = json.loads(cdr["media"])
    assert {side: bool(media[side][0].get("srtp")) for side in expected} == expected


def _interfaces(ours: Files, trusted: Path) -> str:
    """For `str.format` with the addresses."""
    tls = f"{{{{certificate: {ours.certificate}, key: {ours.key}, authorities: {trusted}}}}}"
    return "\n".join(
        f"  {name}: {{{{sip: [udp:{{{name}}}:5060, tls:{{{name}}}:5061], media: {{{name}}}, tls: {tls}}}}}"
        for name in ("inside", "outside")
    )
