"""Neither side learns anything of the other's network: every octet on both cables is searched."""

import pytest

from .capture import Capture, host_names, leaks
from .children import until
from .namespaces import CARRIER, INSIDE, OUTSIDE, PBX
from .sipp import Sipp

pytestmark = [pytest.mark.interop, pytest.mark.root, pytest.mark.slow]

CALLS = 5
OF_PBX = [PBX, INSIDE, "10.77.", "SecretPbx", "pbxorigin", "pbxsession", "internal matter"]
OF_CARRIER = [CARRIER, OUTSIDE, "198.51.100.", "SecretCarrier", "carrierorigin", "carriersession"]


def test_no_octet_of_a_call_names_the_other_side(namespaces, node, started, tmp_path):
    sbc = node(inside=INSIDE, outside=OUTSIDE, pbx=PBX, carrier=CARRIER, prefix=namespaces.enter("sbc"))
    inside, outside = (started(Capture(side, tmp_path, namespaces.enter(side))) for side in ("pbx", "carrier"))

    def play(name: str, scenario: str, **options) -> Sipp:
        part, local, remote = ("pbx", PBX, INSIDE) if name.startswith("pbx") else ("carrier", CARRIER, OUTSIDE)
        calls = options.pop("remote", False)
        return started(
            Sipp(name, scenario, tmp_path, local=local, remote=f"{remote}:5060" if calls else "", calls=CALLS, rate=10,
                 prefix=namespaces.enter(part), **options)
        )  # fmt: skip

    carrier = play("carrier-called", "uas")
    pbx = play("pbx-calls", "uac", remote=True)
    assert pbx.child.wait() == 0, pbx.errors
    # A refusal is built here, from what the PBX sent.
    refused = play("pbx-refused", "uac", remote=True, number="999123")
    assert refused.child.wait() == 1
    carrier.stop()
    called = play("pbx-called", "uas_hangs_up")
    caller = play("carrier-calls", "uac_waits", remote=True, number="+14155550100", caller="+14155557777")
    assert caller.child.wait() == 0, caller.errors
    assert called.child.wait() == 0, called.errors

    until(lambda: len(sbc.cdrs()) == 3 * CALLS, "the records")
    ids: dict[str, list[str]] = {"office": [], "carrier-a": []}
    for cdr in sbc.cdrs():
        ids[cdr["ingress"]].append(cdr["ingress_call_id"])
        if cdr["egress_call_id"]:
            ids[cdr["egress"]].append(cdr["egress_call_id"])
    of_pbx = [*OF_PBX, *host_names(), *ids["office"]]
    of_carrier = [*OF_CARRIER, *host_names(), *ids["carrier-a"]]
    at_pbx, at_carrier = inside.datagrams(), outside.datagrams()
    assert leaks(at_carrier, OUTSIDE, of_pbx) == []
    assert leaks(at_pbx, INSIDE, of_carrier) == []
    assert len(leaks(at_pbx, PBX, of_pbx)) > 3 * CALLS  # what is looked for is there where it may be
    assert len(leaks(at_carrier, CARRIER, of_carrier)) > 3 * CALLS
