"""A side of the crowd whose sound is SRTP with keys in the SDP (RFC 4568), and whose signalling goes over TLS."""
# RFC: 3711 4568

import re
import ssl
from base64 import b64decode
from collections.abc import Callable
from functools import partial
from pathlib import Path

from sbc.media import wire
from sbc.testing.certificates import Authority
from sbc.testing.srtp import CM_80, SecuredFar, inline, master_key

from .crowd_exchange import Exchange
from .crowd_sound import Ear
from .crowd_wire import Connections

NAME = "carrier.example"


class SecuredExchange(Exchange):
    """What the SBC's keys are is heard once; after that they must stay."""

    profile = "RTP/SAVP"

    def keys_of(self, ear: Ear | None) -> list[str]:
        seed = ear.ssrc if ear else 1
        return [f"a=crypto:1 {CM_80} {inline(master_key(CM_80, seed))}"]

    def secures(self, ear: Ear, sdp: str) -> None:
        found = re.search(rf"^a=crypto:\d+ {CM_80} inline:([^|\s]+)", sdp, re.MULTILINE)
        assert found, sdp
        if ear.key and ear.key != found[1]:
            self.complaints.append(f"other keys for {ear.port} in the same call")
        if ear.key != found[1]:
            ear.key = found[1]
            far = SecuredFar(CM_80, master_key(CM_80, ear.ssrc), wire.MasterKey(b64decode(found[1])))
            ear.seals, ear.opens = far.rtp, far.opened


class Secrets:
    """What a policy and a carrier need for TLS: `interfaces` for the policy, `wire` for the crowd."""

    def __init__(self, folder: Path, inside: str, outside: str, carrier: str) -> None:
        authority = Authority()
        self.trusted = folder / "authority.pem"
        self.trusted.write_text(authority.pem)
        ours = authority.issue("sbc.example", ips=[inside, outside]).write(folder, "sbc.example")
        theirs = authority.issue(NAME, ips=[carrier]).write(folder, NAME)
        tls = f"{{{{certificate: {ours[0]}, key: {ours[1]}, authorities: {self.trusted}}}}}"
        self.interfaces = "\n".join((
            "  inside: {{sip: [udp:{inside}:5060], media: {inside}}}",
            f"  outside: {{{{sip: [tls:{{outside}}:5061], media: {{outside}}, tls: {tls}}}}}",
        ))  # fmt: skip
        self._files = theirs

    @property
    def wire(self) -> Callable[..., Connections]:
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(*self._files)
        client = ssl.create_default_context(cafile=str(self.trusted))
        client.check_hostname = False
        client.load_cert_chain(*self._files)
        return partial(Connections, to_port=5061, client=client, server=server)
