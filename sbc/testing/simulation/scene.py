"""Who takes part in a simulation: two PBXs, two carriers of three machines, and the policies between them.

The office speaks UDP from a fixed address; the branch registers over TCP. The carrier has two servers by UDP, the
backup one by TCP, where we register. Every trunk has call paths that the traffic fills now and then.
"""

from typing import Final

from sbc.core.address import Address, Transport
from sbc.testing.phone import Phone
from sbc.testing.world import World

POLICY: Final = """
sbc: {name: simulated, data_dir: /nowhere, country: US}
interfaces:
  inside: {sip: [udp:10.0.0.1:5060, tcp:10.0.0.1:5060], media: 10.0.0.1}
  outside: {sip: [udp:203.0.113.1:5060, tcp:203.0.113.1:5060], media: 203.0.113.1}
pbxs:
  office:
    interface: inside
    address: sip:10.0.0.5:5060
    dids: ["+14155550100-+14155550149"]
    session_timer: {expires: 300s}
  branch:
    interface: inside
    registers: true
    accept: [10.0.0.6/32]
    auth: {username: branch, password: 0ff1ce}
    dids: ["+14155550150-+14155550199"]
    session_timer: {expires: 300s}
trunks:
  carrier:
    interface: outside
    servers: ["sip:198.51.100.7:5060", "sip:198.51.100.8:5060"]
    call_paths: CARRIER_PATHS
    session_timer: {expires: 300s}
    health: {options: 60s}
  backup:
    interface: outside
    servers: ["sip:198.51.100.20:5060;transport=tcp"]
    register: {aor: "sip:+14155550100@backup.example", expires: 600s}
    call_paths: BACKUP_PATHS
    session_timer: {expires: 300s}
routes:
  - {name: help, from: [office, branch], to: ["911", emergency], emergency: true, via: [carrier, backup]}
  - {name: outbound, from: [office, branch], to: [national, international], via: [carrier, backup]}
  - {name: inbound, from: [carrier, backup], to: dids}
"""
PATHS: Final = ((6, 4), (8, 3), (4, 6))  # of the carrier and the backup; a reload chooses others
OFFICE_DIDS: Final = range(14155550100, 14155550150)
BRANCH_DIDS: Final = range(14155550150, 14155550200)
INSIDE: Final = "10.0.0.1:5060"
OUTSIDE: Final = "203.0.113.1:5060"


def policy(variant: int) -> str:
    carrier, backup = PATHS[variant % len(PATHS)]
    return POLICY.replace("CARRIER_PATHS", str(carrier)).replace("BACKUP_PATHS", str(backup))


def people(world: World) -> dict[str, Phone]:
    """By name: office, branch, carrier, second, backup."""
    found = {
        "office": world.phone("pbx-77.office.internal", "10.0.0.5:5060", through=INSIDE, user="+14155550100"),
        "branch": world.phone(
            "pbx-78.branch.internal", "10.0.0.6:5060", through=INSIDE, user="+14155550150", transport=Transport.TCP
        ),
        "carrier": world.phone("softswitch-3.carrier.net", "198.51.100.7:5060", through=OUTSIDE, user="trunk"),
        "second": world.phone("softswitch-4.carrier.net", "198.51.100.8:5060", through=OUTSIDE, user="trunk"),
        "backup": world.phone(
            "edge-1.backup.net", "198.51.100.20:5060", through=OUTSIDE, user="trunk", transport=Transport.TCP
        ),
    }
    for n, phone in enumerate(found.values()):
        phone.agent.media = Address(phone.address.host, 4000 + 2 * n)
    found["branch"].has_credentials("branch", "0ff1ce")
    found["backup"].becomes_registrar()
    return found
