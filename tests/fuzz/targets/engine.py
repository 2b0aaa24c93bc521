"""The whole engine, for which every datagram is somebody's: no crash barrier is needed, and one octet more is not ten.

Each input is a list of datagrams: an octet that says from which side, two for the length, then the octets.
"""

from sbc.b2bua.commands import Log
from sbc.policy.load import Source, parse_policy
from sbc.testing.world import DID, FAR, POLICY, World
from tests.fuzz import seeds

INSTRUMENTED = ("sbc.b2bua", "sbc.sip", "sbc.sdp", "sbc.peering")
ACCEPTS = ()


def _said(side, *datagrams):
    return b"".join(bytes([side]) + len(data).to_bytes(2) + data for data in datagrams)


_BYE = b"BYE" + seeds.INVITE.replace(b"1 INVITE", b"2 BYE")[6:]
_CANCEL = b"CANCEL" + seeds.INVITE.replace(b"1 INVITE", b"1 CANCEL")[6:]
_INWARD = seeds.INVITE.replace(FAR.encode(), DID.encode()).replace(b"10.0.0.5", b"198.51.100.7")
SEEDS = (
    _said(0, seeds.INVITE), _said(0, seeds.INVITE, _BYE), _said(0, seeds.INVITE, _CANCEL, seeds.INVITE), _said(1,
    _INWARD),
    *(_said(0, message) for message in seeds.MESSAGES),
)  # fmt: skip
WORDS = (
    *seeds.WORDS,
    b"REGISTER ",
    b"REFER ",
    b"UPDATE ",
    b"PRACK ",
    b"SUBSCRIBE ",
    b"NOTIFY ",
    b"MESSAGE ",
    b"Refer-To: ",
    b"+442079460001",
)
READ = parse_policy([Source("fuzz.yaml", POLICY.encode())])
BROKEN = ("call.crashed", "engine.failure")


def check(data):
    world = World(READ)
    office, carrier = world.office(), world.carrier()
    office.ignores(), carrier.ignores()
    at = 0
    while at + 3 <= len(data):
        side, size = data[at], int.from_bytes(data[at + 1 : at + 3])
        datagram = data[at + 3 : at + 3 + size]
        at += 3 + size
        before = len(world.net.sent_by("sbc"))
        world.inject(datagram, carrier if side & 1 else office)
        assert len(world.net.sent_by("sbc")) - before <= 4
        world.run((side >> 1) / 4)
    broken = [log for log in world.logs if isinstance(log, Log) and log.event in BROKEN]
    assert not broken, broken
    world.run(300.0)
    assert not world.switch.calls
    assert world.switch.ports.in_use == 0
