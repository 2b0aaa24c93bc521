"""Three parties for stories of transfers: Ann at the office, who transfers; a caller at the carrier; the branch."""

from sbc.testing.referring import refer_to
from sbc.testing.world import DID

POLICY = """
sbc: {name: test, data_dir: /nowhere, country: US}
interfaces:
  inside: {sip: [udp:10.0.0.1:5060, tcp:10.0.0.1:5060], media: 10.0.0.1}
  outside: {sip: [udp:203.0.113.1:5060, tcp:203.0.113.1:5060], media: 203.0.113.1}
pbxs:
  office:
    interface: inside
    address: sip:10.0.0.5:5060
    dids: ["+14155550100-+14155550199"]
    transfer: %s
    caller_id: {mode: screen, default: "+14155550100"}
  branch: {interface: inside, address: sip:10.0.0.6:5060, dids: ["+14155550200-+14155550299"]}
trunks:
  carrier: {interface: outside, servers: ["sip:198.51.100.7:5060"], domain: carrier.example, call_paths: 10}
routes:
  - {name: no-premium, from: office, to: ["+1900."], reject: 403}
  - {name: inbound, from: [carrier, office, branch], to: dids}
  - {name: outbound, from: [office, branch], to: [national, "+44X."], via: [carrier]}
"""
BRANCH = "+14155550200"
ABROAD = "+442079460002"


def three(world, transfer="terminate", **options):
    sbc = world(policy=POLICY % transfer, **options)
    branch = sbc.phone("pbx-88.branch.internal", "10.0.0.6:5060", through="10.0.0.1:5060", user=BRANCH)
    return sbc, sbc.office(), sbc.carrier(), branch


def called(world, transfer="terminate", **options):
    """Somebody abroad talks with the office."""
    sbc, office, carrier, branch = three(world, transfer, **options)
    carrier.invites(DID)
    office.answers()
    return sbc, office, carrier, branch


def refers(phone, number=BRANCH, party=None, *, to=None, fields=()):
    """A REFER in the phone's last call, or in another; what it is told stands in what comes back."""
    target = to or refer_to(number, "10.0.0.1")
    referral = phone.agent.referring.refer(party or phone.call, target, phone.net.now, fields)
    phone._do(phone.agent.drain())
    return referral


def records(sbc):
    """Who called whom, by which peers, in the order in which the calls began."""
    rows = sorted(sbc.cdr, key=lambda record: record.started_at)
    return [(row.ingress, row.egress, row.caller, row.called, str(row.cause)) for row in rows]


def can_talk(sbc, one, other):
    return sbc.hears(one, other) and sbc.hears(other, one)
