"""`cps` of a trunk: what is more in one second goes to the next trunk, or is refused."""

import time
from collections import Counter

import pytest

from .children import until
from .sipp import Sipp

pytestmark = [pytest.mark.interop, pytest.mark.slow]

MORE = """
trunks:
  carrier-b: {{interface: outside, servers: ["sip:{net}.50:5060"]}}
routes:
  - {{name: alone, from: office, to: ["+14155551XXX"], via: [carrier-a]}}
  - {{name: hunt, from: office, to: [national], via: [carrier-a, carrier-b]}}
"""


def test_calls_beyond_the_rate_hunt_on_and_a_reload_changes_it(node, net, started, tmp_path):
    sbc = node(trunk_more="cps: 2", more=MORE.format(net=net))
    for name, host in (("a", sbc.carrier), ("b", f"{net}.50")):
        started(Sipp(name, "uas", tmp_path, local=host, calls=100))
    ports = iter(range(5070, 5080))

    def five_at_once(number: str = "4155559999") -> Counter[tuple[str, str, int]]:
        port, before = next(ports), len(sbc.cdrs())
        pbx = started(
            Sipp(f"pbx{port}", "uac", tmp_path, local=sbc.pbx, remote=f"{sbc.inside}:5060", port=port, calls=5,
                 rate=1000, number=number, trace=True)
        )  # fmt: skip
        pbx.child.wait()
        sent = [message.at for message in pbx.messages() if message.method == "INVITE"]
        assert max(sent) - min(sent) < 0.5, "not in one second: this test has shown nothing"
        until(lambda: len(sbc.cdrs()) == before + 5, "the records")
        time.sleep(1.0)  # the second is over
        return Counter((cdr["egress"], cdr["cause"], cdr["sip_status"]) for cdr in sbc.cdrs()[before:])

    assert five_at_once() == {("carrier-a", "normal", 200): 2, ("carrier-b", "normal", 200): 3}
    assert five_at_once() == {("carrier-a", "normal", 200): 2, ("carrier-b", "normal", 200): 3}
    assert five_at_once("4155551000") == {("carrier-a", "normal", 200): 2, ("carrier-a", "rate_limited", 503): 3}
    sbc.change("cps: 2", "cps: 4")
    sbc.says("reload")
    assert five_at_once() == {("carrier-a", "normal", 200): 4, ("carrier-b", "normal", 200): 1}
    assert all(attempt["cause"] == "normal" for attempt in sbc.attempts())
    sbc.has_no_call_within(1)
    assert sbc.complaints() == []
