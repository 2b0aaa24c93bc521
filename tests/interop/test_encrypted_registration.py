"""A trunk that registers over TLS with Kamailio: calls both ways on one connection, which is lost and comes back."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from sbc.testing.certificates import Authority, bad_certificates

from .children import program, until
from .registrar import REALM, CarrierRegistrar, Tls
from .test_registration import Story

# RFC: 5922 5923 5626

pytestmark = [pytest.mark.interop, pytest.mark.slow]

_INTERFACES = """\
  inside: {{{{sip: [udp:{{inside}}:5060], media: {{inside}}}}}}
  outside:
    sip: [udp:{{outside}}:5060, tls:{{outside}}:5061]
    media: {{outside}}
    tls: {{{{certificate: {certificate}, key: {key}, authorities: {authority}}}}}"""


class Registered:
    """A trunk `shaky` that registers with Kamailio over TLS. `show` says which certificate Kamailio shows."""

    def __init__(self, story: Story, folder: Path, net: str) -> None:
        self.story, self._folder, self._net = story, folder, net
        self.authority = Authority()
        self._trusted = folder / "authority.pem"
        self._trusted.write_text(self.authority.pem)
        self.ours = self.authority.issue("sbc.example").write(folder, "ours")
        self._shown = folder / "carrier.pem", folder / "carrier.key"
        self.kamailio: CarrierRegistrar

    def show(self, issued: Any) -> None:
        issued.write(self._folder, "carrier")

    def begin(self, *, verifies: bool = False) -> None:
        tls = Tls(*self._shown, self._trusted, verifies)
        self.kamailio = self.story.registrar("kamailio", 41, tls=tls)
        certificate, key = self.ours
        text = _INTERFACES.format(certificate=certificate, key=key, authority=self._trusted)
        self.story.begin(f"sip:{self._net}.41:5061;transport=tls", interfaces=text)

    def connections(self) -> list[str]:
        """Between the SBC and Kamailio, as `ss` shows the SBC's end of them: local and remote address."""
        argv = [program("ss"), "-Htn", "state", "established"]
        lines = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
        ends = [line.split()[2:4] for line in lines]
        return [
            f"{ours} {theirs}"
            for ours, theirs in ends
            if ours.startswith(f"{self._net}.20:") and theirs.startswith(f"{self._net}.41:")
        ]

    def is_registered(self, seconds: float = 5) -> None:
        until(lambda: self.story.registration()["state"] == "registered", "the trunk to be registered", seconds,
              self.story.registration)  # fmt: skip


@pytest.fixture
def registered(net, node, started, tmp_path) -> Registered:
    made = Registered(Story(net, node, started, tmp_path), tmp_path, net)
    made.show(made.authority.issue(REALM))
    return made


@pytest.mark.parametrize("verifies", [False, True], ids=["its certificate alone", "both certificates"])
def test_one_connection_carries_the_registration_and_calls_both_ways(registered, verifies):
    registered.begin(verifies=verifies)
    registered.is_registered()
    registered.kamailio.is_bound_within(5)
    story = registered.story
    story.call_goes_out()
    until(lambda: registered.kamailio.said("accepted") == ["INVITE", "BYE"], "both to be accepted")
    story.call_comes_in()
    until(lambda: len(story.sbc.cdrs()) == 2, "two records")
    assert sorted((cdr["ingress"], cdr["egress"]) for cdr in story.sbc.cdrs()) == [
        ("office", "shaky"),
        ("shaky", "office"),
    ]
    assert len(registered.connections()) == 1, registered.connections()
    story.ends()


def test_a_registrar_that_restarts_is_registered_with_anew_over_a_new_connection(registered):
    registered.begin()
    registered.is_registered()
    registered.kamailio.crash()
    until(lambda: not registered.connections(), "the end of the connection")
    registered.kamailio.start()
    until(registered.kamailio.is_bound, "a binding", 20, lambda: registered.story.sbc.child.log)
    registered.story.call_comes_in()
    assert len(registered.connections()) == 1, registered.connections()
    registered.story.ends()


def test_a_carrier_whose_certificate_is_bad_gets_neither_registration_nor_password(registered):
    bad = bad_certificates(registered.authority, REALM)["wrong name"]
    registered.show(bad)
    registered.begin()
    story = registered.story
    until(lambda: "other.example" in story.sbc.child.log, "the reason in the log", 10, lambda: story.sbc.child.log)
    assert registered.kamailio.asked() == []
    assert story.registration()["state"] != "registered"
    said = [alarm["event"] for alarm in story.sbc.ask("alarms")["alarms"] if alarm["active"]]
    assert "tls.refused" in said
    story.call_is_refused()
    print("\n".join(line for line in story.sbc.child.log.splitlines() if "tls." in line))
