"""Knocking at the door of a PBX with `accept: any`: messages of strangers, by hand, and what is answered to them."""

import hashlib
import re

from sbc.core.address import Flow, Transport
from sbc.sip.commands import CloseFlow, SendMessage
from sbc.testing.phone import address_of
from sbc.testing.world import FAR, INSIDE, POLICY

ACCOUNT = "auth: {username: office, password: 0ff1ce}"
ANYWHERE = POLICY.replace("address: sip:10.0.0.5:5060", f"registers: true, accept: any, {ACCOUNT}")
BOTH = ANYWHERE.replace(
    "trunks:\n", "  desk: {interface: inside, address: sip:10.0.0.9:5060, accept: [192.0.2.9]}\ntrunks:\n"
)
HELPING = ANYWHERE.replace(
    "routes:\n", "routes:\n  - {name: help, from: office, to: ['911'], emergency: true, via: [carrier]}\n"
)
STRANGER = "192.0.2.66"
STRIKES = 10


def message(method="REGISTER", *, n=1, fields="", to=FAR, agent="phone/1.0", host=STRANGER, body=""):
    return (
        f"{method} sip:{to}@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {host}:5060;branch=z9hG4bK{n};rport\r\n"
        f"Max-Forwards: 70\r\nFrom: <sip:office@10.0.0.1>;tag=a\r\nTo: <sip:{to}@10.0.0.1>\r\nCall-ID: x{n}@y\r\n"
        f"CSeq: {n} {method}\r\nContact: <sip:office@{host}>\r\n{fields}User-Agent: {agent}\r\n"
        f"Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def flow(host=STRANGER, port=5060, connection=0):
    transport = Transport.TCP if connection else Transport.UDP
    return Flow(transport, "inside", address_of(INSIDE), address_of(f"{host}:{port}"), connection)


def said(sbc, data, way):
    """What is answered to this, and what else is ordered."""
    commands = sbc.switch.receive(data, way, sbc.now)
    sbc.host.perform([c for c in commands if not isinstance(c, SendMessage | CloseFlow)], sbc.now)
    return [c for c in commands if isinstance(c, SendMessage | CloseFlow)]


def nonce_from(sbc, way, n=1000):
    (answer,) = said(sbc, message(n=n), way)
    return re.search(rb'nonce="([^"]+)"', answer.data)[1].decode()


def credentials(nonce, password="wrong", *, method="REGISTER", to=FAR, user="office", count=1):
    uri = f"sip:{to}@10.0.0.1"
    ha1 = hashlib.md5(f"{user}:test:{password}".encode()).hexdigest()
    ha2 = hashlib.md5(f"{method}:{uri}".encode()).hexdigest()
    response = hashlib.md5(f"{ha1}:{nonce}:{count:08x}:c:auth:{ha2}".encode()).hexdigest()
    return (
        f'Authorization: Digest username="{user}", realm="test", nonce="{nonce}", uri="{uri}", response="{response}", '
        f'algorithm=MD5, qop=auth, nc={count:08x}, cnonce="c"\r\n'
    )


def guesses(sbc, way, times=STRIKES, first=1):
    """Wrong passwords, each with a nonce that came to that very source; how many were answered."""
    answered = 0
    for n in range(first, first + times):
        sbc.run(0.2)
        nonce = re.search(
            rb'nonce="([^"]+)"', (said(sbc, message(n=n * 2), way) or [SendMessage(way, b'nonce="-"')])[0].data
        )
        answered += bool(said(sbc, message(n=n * 2 + 1, fields=credentials(nonce[1].decode())), way))
    return answered


def bans(sbc):
    return [ban.source for ban in sbc.switch.snapshot(sbc.now).bans]


def dropped(sbc, reason):
    return dict(sbc.switch.snapshot(sbc.now).dropped).get(reason, 0)
