"""A policy file: every fault becomes a problem with its line, and what is accepted can be asked."""

from sbc.policy.load import PolicyError, Source, parse_policy
from sbc.testing.world import POLICY

INSTRUMENTED = ("sbc.policy",)
ACCEPTS = (PolicyError,)
SEEDS = (
    POLICY.encode(),
    POLICY.replace("\n", "\r\n").encode(),
    b"sbc: {name: [a, &x {b: *x}]}\n---\n? {a: b}\n: c\n",
    b"interfaces: {a: {sip: ['tls:[::1]:5061'], media: 1.2.3.4}}\n",
    b"trunks: {b: {servers: [sips:x.example], srtp: required, transports: [tls]}}\n",
    b"pbxs: {o: {registers: true, accept: any, auth: {username: a, password: {file: /x}}, dids: ['+1X.', '+1-+9']}}\n",
    b"sbc: {bans: {strikes: 3, for: 10m}, api: {listen: '0.0.0.0:80'}}\nmedia: {ports: 1-70000}\n",
)
WORDS = (
    b"sbc:", b"interfaces:", b"pbxs:", b"trunks:", b"routes:", b"media:", b"&a ", b"*a", b"<<: ", b"!!python", b"? ",
    b"- ", b"{", b"}",
    b"[", b"]", b"\n  ", b"tls:", b"sips:", b"srtp:", b"bans:", b"tls: {pin: 'sha256:", b"transports:", b"via:",
    b"from:", b"to:",
    b"+1X.", b"10m", b"emergency: true", b"rate: ", b"accept: any", b"1e999", b"0x10", b"\xef\xbb\xbf",
)  # fmt: skip


def check(data):
    policy = parse_policy([Source("fuzz.yaml", data)])
    for interface in policy.interfaces.values():
        policy.identify(interface.name, "192.0.2.1", 5060)
