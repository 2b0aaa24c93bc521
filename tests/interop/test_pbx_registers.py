"""A PBX that registers with us: baresip with its account, by UDP and by TCP, and SIPp with a bulk registration."""

import time
from typing import Any

import pytest

from .baresip import Baresip
from .children import until
from .namespaces import CARRIER, INSIDE, OUTSIDE, PBX
from .node import Node, ms_between
from .sipp import Sipp

pytestmark = [pytest.mark.interop, pytest.mark.slow]

DID, FAR = "+14155550100", "+14155559999"
USER, PASSWORD = "office", "open-sesame-7"
WHERE = "registers: true"
ACCOUNT = f'accept: any\n    auth: {{username: {USER}, password: "{PASSWORD}"}}'
PLAN = f"""
routes:
  - {{name: with-plan, from: carrier-a, to: dids, disaster: [{{forward: "{FAR}", via: [carrier-a]}}]}}
"""


class Office:
    """baresip in the PBX's network, registered with the SBC; another one as the carrier's telephone."""

    def __init__(self, transport: str, namespaces, node, started, tmp_path, **options: Any) -> None:
        self.sbc: Node = node(
            inside=INSIDE, outside=OUTSIDE, pbx=PBX, carrier=CARRIER, prefix=namespaces.enter("sbc"),
            pbx_where=WHERE, pbx_more=ACCOUNT, **options,
        )  # fmt: skip
        account = (
            f'auth_user={USER};auth_pass={PASSWORD};regint=3600;outbound="sip:{INSIDE}:5060;transport={transport}"'
        )
        self.phone = started(
            Baresip("phone", tmp_path, address=PBX, through=INSIDE, user=DID, hertz=400,
                    prefix=namespaces.enter("pbx"), registers=account)
        )  # fmt: skip
        self.far = started(
            Baresip("far", tmp_path, address=CARRIER, through=OUTSIDE, user=FAR, hertz=1000,
                    prefix=namespaces.enter("carrier"))
        )  # fmt: skip
        until(self.bindings, "a binding", story=lambda: self.phone.child.log)

    def bindings(self) -> list[dict[str, Any]]:
        (office,) = self.sbc.ask("pbxs")["pbxs"]
        return office["bindings"]

    def is_called(self, seconds: float = 0.5) -> None:
        before = self.far.child.log.count("Call established")
        self.far.says(f"dial sip:{DID}@{OUTSIDE}")
        until(lambda: self.far.child.log.count("Call established") > before, "an answer", 5, lambda: self.far.child.log)
        time.sleep(seconds)
        self.far.says("hangup")

    def has_records(self, count: int) -> list[dict[str, Any]]:
        until(lambda: len(self.sbc.cdrs()) == count, f"{count} records", 5, self.sbc.cdrs)
        return self.sbc.cdrs()


@pytest.mark.root
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_phone_registers_calls_holds_is_called_and_quits(transport, namespaces, node, started, tmp_path):
    office = Office(transport, namespaces, node, started, tmp_path, more=PLAN)
    (binding,) = office.bindings()
    assert binding["aor"] == DID
    assert binding["address"].startswith(f"{transport}:{PBX}:")

    office.phone.says(f"dial sip:{FAR}@{INSIDE}")
    office.phone.child.until("Call established")
    time.sleep(1.5)
    for order in ("hold", "resume"):
        office.phone.says(order)
        time.sleep(1.5)
    office.phone.says("hangup")
    office.has_records(1)
    office.is_called(1.5)
    office.has_records(2)

    office.phone.says("quit")
    until(lambda: not office.bindings(), "the binding to go", 3, lambda: office.phone.child.log)
    office.is_called()  # by the plan: it rings at the carrier
    out, back, planned = office.has_records(3)
    for phone in (office.phone, office.far):
        phone.stop()
    assert (out["ingress"], out["egress"], out["caller"], out["cause"]) == ("office", "carrier-a", DID, "normal")
    assert (back["ingress"], back["egress"], back["cause"], back["disaster"]) == ("carrier-a", "office", "normal", 0)
    assert (planned["egress"], planned["called_as_sent"], planned["disaster"]) == ("carrier-a", FAR, 1)
    assert office.phone.heard()[1000] > 0.1 > office.phone.heard()[400]
    assert office.far.heard()[400] > 0.1
    assert office.sbc.complaints() == []


@pytest.mark.root
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_binding_survives_when_the_sbc_is_killed(transport, namespaces, node, started, tmp_path):
    office = Office(transport, namespaces, node, started, tmp_path)
    (before,) = office.bindings()
    time.sleep(0.5)  # what is to be kept is on disk by then
    office.sbc.crash()
    office.sbc.start()
    (after,) = office.bindings()
    assert (after["aor"], after["contact"]) == (before["aor"], before["contact"])
    assert abs(ms_between(before["expires_at"], after["expires_at"])) < 2000
    office.is_called()
    (record,) = office.has_records(1)
    assert (record["ingress"], record["egress"], record["cause"]) == ("carrier-a", "office", "normal")
    assert office.sbc.complaints() == []


@pytest.mark.root
def test_without_a_binding_and_a_plan_a_call_is_refused(namespaces, node, started, tmp_path):
    office = Office("udp", namespaces, node, started, tmp_path)
    office.phone.says("quit")
    until(lambda: not office.bindings(), "the binding to go", 3)
    office.far.says(f"dial sip:{DID}@{OUTSIDE}")
    (record,) = office.has_records(1)
    assert (record["cause"], record["ended_by"]) == ("unreachable", "sbc")
    assert record["sip_status"] in (480, 503)
    office.far.child.until(f"{record['sip_status']} ")


def test_a_bulk_registration_brings_every_did_to_the_pbx(net, node, started, tmp_path):
    sbc = node(pbx_where=WHERE, pbx_more=ACCOUNT)
    register = started(
        Sipp("register", "register_bulk", tmp_path, local=sbc.pbx, remote=f"{sbc.inside}:5060", trace=True,
             more=["-au", USER, "-ap", PASSWORD])
    )  # fmt: skip
    assert register.child.wait() == 0, register.errors
    (office,) = sbc.ask("pbxs")["pbxs"]
    (binding,) = office["bindings"]
    assert binding["contact"] == f"sip:{sbc.pbx}:5060;bnc"
    assert f"<sip:{sbc.pbx}:5060;bnc>;expires=600" in register.messages()[-1].text

    dids = ["+14155550100", "+14155550142"]
    for n, did in enumerate(dids):
        pbx = started(Sipp(f"pbx-{n}", "uas_hangs_up", tmp_path, local=sbc.pbx, trace=True))
        phone = started(
            Sipp(f"phone-{n}", "uac_waits", tmp_path, local=sbc.carrier, remote=f"{sbc.outside}:5060", number=did,
                 caller="+14155557777")
        )  # fmt: skip
        assert phone.child.wait() == 0, phone.errors
        assert pbx.child.wait() == 0, pbx.errors
        invite = pbx.messages()[0].text
        assert invite.startswith(f"INVITE sip:{did}@{sbc.pbx}:5060 SIP/2.0")
    until(lambda: len(sbc.cdrs()) == len(dids), "the records")
    assert {(cdr["egress"], cdr["cause"]) for cdr in sbc.cdrs()} == {("office", "normal")}
