"""Two baresip telephones talk through the SBC, hold and resume, and learn nothing of each other's network."""

import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest

from .baresip import Baresip
from .capture import Capture, Datagram, host_names, leaks
from .children import until
from .namespaces import CARRIER, INSIDE, OTHER_CARRIER, OUTSIDE, PBX

pytestmark = [pytest.mark.interop, pytest.mark.root, pytest.mark.slow]


def test_two_phones_hear_each_other_hold_and_resume(namespaces, node, started, tmp_path):
    sbc = node(inside=INSIDE, outside=OUTSIDE, pbx=PBX, carrier=CARRIER, prefix=namespaces.enter("sbc"))
    cables = [started(Capture(side, tmp_path, namespaces.enter(side))) for side in ("pbx", "carrier")]
    callee = started(
        Baresip("callee", tmp_path, address=CARRIER, through=OUTSIDE, user="+14155559999", hertz=1000,
                prefix=namespaces.enter("carrier"))
    )  # fmt: skip
    caller = started(
        Baresip("caller", tmp_path, address=PBX, through=INSIDE, user="+14155550100", hertz=400,
                prefix=namespaces.enter("pbx"))
    )  # fmt: skip
    moments = []

    def talk(seconds: float) -> None:
        moments.append(time.time())
        time.sleep(seconds)

    caller.says(f"dial sip:+14155559999@{INSIDE}")
    caller.child.until("Call established")
    talk(6.5)  # long enough for RTCP, which names its sender
    caller.says("hold")
    talk(2.5)
    caller.says("resume")
    talk(3)
    caller.says("hangup")
    callee.child.until("session closed")
    talk(0)
    cdr = sbc.cdr_of_only_call()
    for phone in (caller, callee):
        phone.stop()

    assert (cdr["cause"], cdr["sip_status"], cdr["ended_by"]) == ("normal", 200, "caller")
    assert 11_000 <= cdr["billable_ms"] <= 15_000
    assert caller.heard()[1000] > 0.1 > caller.heard()[400]
    assert callee.heard()[400] > 0.1 > callee.heard()[1000]
    inside, outside = (cable.datagrams() for cable in cables)
    for cable, source in ((outside, CARRIER), (inside, INSIDE)):
        talked, held, resumed = (_rtp(cable, source, *window) for window in pairwise(moments))
        print(f"RTP per second from {source}: {talked:.0f} at first, {held:.0f} on hold, {resumed:.0f} after")
        assert talked > 40
        assert held < 5
        assert resumed > 40
    _no_network_shows(cdr, inside, outside)


def test_a_phone_transfers_the_one_to_the_other(namespaces, node, started, tmp_path):
    """baresip sends REFER; the SBC calls the target, and whom it transferred hears it and is heard."""
    namespaces.add("carrier", OTHER_CARRIER)
    sbc = node(
        inside=INSIDE, outside=OUTSIDE, pbx=PBX, carrier=CARRIER, prefix=namespaces.enter("sbc"), more=_SECOND_TRUNK
    )
    cables = [started(Capture(side, tmp_path, namespaces.enter(side))) for side in ("pbx", "carrier")]

    def phone(name: str, part: str, address: str, through: str, user: str, hertz: int) -> Baresip:
        prefix = namespaces.enter(part)
        return started(Baresip(name, tmp_path, address=address, through=through, user=user, hertz=hertz, prefix=prefix))

    callee = phone("callee", "carrier", CARRIER, OUTSIDE, "+14155559999", 1000)
    target = phone("target", "carrier", OTHER_CARRIER, OUTSIDE, "+12125550000", 700)
    caller = phone("caller", "pbx", PBX, INSIDE, "+14155550100", 400)
    caller.says(f"dial sip:+14155559999@{INSIDE}")
    caller.child.until("Call established")
    time.sleep(2)
    caller.says(f"transfer sip:+12125550000@{INSIDE}")
    target.child.until("Call established")
    caller.child.until("terminated (duration")
    time.sleep(3)
    callee.says("hangup")
    target.child.until("session closed")
    until(lambda: len(sbc.cdrs()) == 2, "both records")
    for one in (caller, callee, target):
        one.stop()

    first, second = sorted(sbc.cdrs(), key=lambda cdr: cdr["called"] == "+12125550000")
    assert [(cdr["ingress"], cdr["cause"]) for cdr in (first, second)] == [("office", "normal")] * 2
    assert (first["egress"], second["egress"]) == ("carrier-a", "carrier-b")
    assert callee.heard()[400] > 0.1  # at first
    assert callee.heard()[700] > 0.1
    assert target.heard()[1000] > 0.1 > target.heard()[400]
    inside, outside = (cable.datagrams() for cable in cables)
    _no_network_shows(first, inside, outside)
    sbc.has_no_call_within(5)
    assert sbc.complaints() == []


_SECOND_TRUNK = f"""
trunks:
  carrier-b:
    interface: outside
    servers: ["sip:{OTHER_CARRIER}:5060"]
routes:
  - {{name: to-b, from: office, to: ["+1212X."], via: [carrier-b]}}
"""


def _rtp(cable: Sequence[Datagram], source: str, start: float, end: float) -> float:
    """Packets per second; the first half second of a window belongs to the signalling."""
    start += 0.5
    found = [one for one in cable if one.is_rtp and one.source[0] == source and start <= one.at < end]
    return len(found) / (end - start)


def _no_network_shows(cdr: dict[str, Any], inside: Sequence[Datagram], outside: Sequence[Datagram]) -> None:
    of_pbx = [PBX, INSIDE, "10.77.", cdr["ingress_call_id"], "baresip", *host_names()]
    of_carrier = [CARRIER, OUTSIDE, "198.51.100.", cdr["egress_call_id"], "baresip", *host_names()]
    assert leaks(outside, OUTSIDE, of_pbx) == []
    assert leaks(inside, INSIDE, of_carrier) == []
    assert leaks(outside, CARRIER, of_carrier)  # what is looked for is there where it may be
    assert leaks(inside, PBX, of_pbx)
