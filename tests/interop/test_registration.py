"""Kamailio as the carrier's registrar: it restarts, forgets, rejects, moves, is silent; the binding comes back.

How soon says docs/explanation/trunks.md. Beside the trunk of each story another one is registered elsewhere,
and must notice nothing.
"""

import time
from datetime import UTC, datetime
from typing import Any

import pytest

from sbc.testing.dns import DnsServer

from .children import until
from .node import Node
from .registrar import AOR_USER, PASSWORD, REALM, USER, CarrierRegistrar
from .sipp import Sipp

pytestmark = [pytest.mark.interop, pytest.mark.slow]

MORE = """
trunks:
  shaky:
    interface: outside
    servers: [{servers}]
    no_reply: 1s
    {account}
    {shaky_more}
routes:
  - {{name: out, from: office, to: [national], via: [shaky]}}
  - {{name: in, from: shaky, to: dids}}
"""
FIRST_RETRY = 5.0
LEAST_PAUSE = 5.0  # between REGISTERs that news asks for
REJECTED_WAIT = 600.0
TAKES = 1.5  # a registration with its challenge, and looking at it, on a busy machine


class Story:
    """The SBC, registered at a bystander's; a shaky trunk of it, and that one's registrars at .41, .42 …"""

    def __init__(self, net: str, node, started, tmp_path) -> None:
        self._net, self._node, self._started, self._folder = net, node, started, tmp_path
        self.bystander = self.registrar("bystander", 40)
        self.sbc: Node

    def registrar(self, name: str, host: int, **options: Any) -> CarrierRegistrar:
        places = {"address": f"{self._net}.{host}", "sbc": f"{self._net}.20", "behind": f"{self._net}.50"}
        return self._started(CarrierRegistrar(self._folder, name, **places, **options))

    def begin(self, *servers: str, shaky_more: str = "", **options: Any) -> None:
        servers = servers or (f"sip:{self._net}.41:5060",)
        listed = ", ".join(f'"{server}"' for server in servers)
        more = MORE.format(servers=listed, account=registers_as(AOR_USER), shaky_more=shaky_more)
        self.sbc = self._node(more=more, trunk_more=registers_as("+14155550101"), **options)
        self.bystander.is_bound_within(5)

    def call_goes_out(self) -> None:
        phone = self._started(Sipp("phone", "uas", self._folder, local=f"{self._net}.50"))
        pbx = self._started(Sipp("pbx", "uac", self._folder, local=self.sbc.pbx, remote=f"{self.sbc.inside}:5060"))
        assert pbx.child.wait() == 0, pbx.errors
        assert (pbx.errors, phone.errors) == ("", "")

    def call_comes_in(self, through: int = 41) -> None:
        pbx = self._started(Sipp("called", "uas_hangs_up", self._folder, local=self.sbc.pbx))
        phone = self._started(
            Sipp("caller", "uac_waits", self._folder, local=f"{self._net}.51", remote=f"{self._net}.{through}:5060",
                 number=AOR_USER, caller="+14155557777")
        )  # fmt: skip
        assert phone.child.wait() == 0, phone.errors
        assert pbx.child.wait() == 0, pbx.errors
        assert (pbx.errors, phone.errors) == ("", "")

    def call_is_refused(self) -> None:
        pbx = self._started(
            Sipp("pbx", "uac_refused", self._folder, local=self.sbc.pbx, remote=f"{self.sbc.inside}:5060")
        )
        assert pbx.child.wait() == 0, pbx.errors
        assert self.sbc.cdr_of_only_call()["sip_status"] == 503

    # --- what is seen -------------------------------------------------------------------------------------------------

    def trunk(self, name: str = "shaky") -> dict[str, Any]:
        return next(trunk for trunk in self.sbc.ask("trunks")["trunks"] if trunk["name"] == name)

    def registration(self, name: str = "shaky") -> dict[str, Any]:
        return self.trunk(name)["registration"]

    def becomes(self, state: str, seconds: float) -> None:
        until(lambda: self.registration()["state"] == state, f"state {state}", seconds, self.registration)

    def alarms(self) -> list[str]:
        return [line for line in self.sbc.child.log.splitlines() if "alarm" in line]

    def ends(self) -> None:
        """The other trunk has registered once, and nothing went wrong inside."""
        asked = self.bystander.asked()
        assert [(one.expires, one.user) for one in asked] == [(600, ""), (600, USER)]
        assert self.registration("carrier-a")["state"] == "registered"
        assert self.sbc.complaints() == []


def registers_as(user: str) -> str:
    account = f'auth: {{username: {USER}, password: "{PASSWORD}"}}'
    return f'{account}\n    register: {{aor: "sip:{user}@{REALM}", keepalive: 1s}}'


@pytest.fixture
def story(net, node, started, tmp_path) -> Story:
    return Story(net, node, started, tmp_path)


def seconds_until(text: str | None) -> float:
    """None, as for the next REGISTER while one is on its way, is now."""
    if text is None:
        return 0.0
    return (datetime.fromisoformat(text) - datetime.now(UTC)).total_seconds()


# --- all is well ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_a_trunk_registers_calls_and_is_called_with_its_credentials(algorithm, story):
    kamailio = story.registrar("kamailio", 41, algorithm=algorithm)
    story.begin()
    kamailio.is_bound_within(5)
    until(lambda: story.registration()["state"] == "registered", "the trunk to be registered")
    assert kamailio.contacts() == [f"sip:{AOR_USER}@{story.sbc.outside}:5060"]
    assert 590 <= seconds_until(story.registration()["expires_at"]) <= 600
    assert [line for line in story.sbc.says("trunks").splitlines() if "shaky" in line and "registered" in line]

    # Kamailio writes its log after it has answered.
    story.call_goes_out()
    until(lambda: kamailio.said("accepted") == ["INVITE", "BYE"], "the INVITE and its BYE to be accepted")
    story.call_comes_in()
    until(lambda: kamailio.said("accepted") == ["INVITE", "BYE", "BYE"], "the second BYE to be accepted")
    until(lambda: len(story.sbc.cdrs()) == 2, "two records")
    cdrs = story.sbc.cdrs()
    assert [(cdr["ingress"], cdr["egress"], cdr["cause"]) for cdr in cdrs] == [
        ("office", "shaky", "normal"), ("shaky", "office", "normal"),
    ]  # fmt: skip
    # The INVITE that was challenged and the one with credentials are one attempt.
    assert [(row["n"], row["peer"], row["sip_status"]) for row in story.sbc.attempts() if row["peer"] == "shaky"] == [
        (1, "shaky", 200)
    ]
    story.ends()


def test_a_registrar_that_wants_longer_gets_it_at_once(story):
    kamailio = story.registrar("kamailio", 41, at_least=900, grants=3600)
    story.begin()
    kamailio.is_bound_within(TAKES)
    asked = kamailio.asked()
    assert [one.expires for one in asked if one.user] == [600, 900]
    assert len({one.call_id for one in asked}) == 1
    assert 890 <= seconds_until(story.registration()["expires_at"]) <= 900
    story.ends()


# --- it goes and comes again ------------------------------------------------------------------------------------------


def test_a_registrar_that_restarts_and_forgets_has_the_binding_again_with_the_next_refresh(story):
    granted = 8
    kamailio = story.registrar("kamailio", 41, grants=granted)
    story.begin()
    kamailio.is_bound_within(5)
    assert 0 < seconds_until(story.registration()["expires_at"]) <= granted  # it asked for 600
    kamailio.crash()
    kamailio.start()
    forgot = time.monotonic()
    assert kamailio.contacts() == []
    kamailio.is_bound_within(0.9 * granted)
    print(f"registered again {time.monotonic() - forgot:.1f} s after the restart, with {granted} s granted")
    story.call_comes_in()
    asked = kamailio.asked()
    assert len({one.call_id for one in asked}) == 1
    assert [one.cseq for one in asked] == sorted({one.cseq for one in asked})
    story.ends()


def test_a_registrar_that_is_down_is_noticed_by_the_keep_alive(story):
    kamailio = story.registrar("kamailio", 41)
    story.begin()
    kamailio.is_bound_within(5)
    kamailio.crash()
    story.sbc.child.until("udp.unreachable", 1 + TAKES)
    until(lambda: "not refreshed" in story.registration()["why"], "a refresh", LEAST_PAUSE, story.registration)
    kamailio.start()
    back = time.monotonic()
    kamailio.is_bound_within(FIRST_RETRY + TAKES)
    print(f"registered again {time.monotonic() - back:.1f} s after its return")
    assert story.alarms() == []  # the first binding was still good
    story.ends()


def test_a_registrar_whose_connection_ends_is_noticed_at_once(story, net):
    kamailio = story.registrar("kamailio", 41)
    story.begin(f"sip:{net}.41:5060;transport=tcp")
    kamailio.is_bound_within(5)
    story.call_comes_in()
    kamailio.crash()
    kamailio.start()
    back = time.monotonic()
    kamailio.is_bound_within(LEAST_PAUSE + TAKES)
    print(f"registered again {time.monotonic() - back:.1f} s after its return")
    story.call_goes_out()
    story.ends()


def test_a_registrar_that_health_finds_again_is_registered_with_at_once(story):
    story.begin(shaky_more="health: {options: 1s, retry: 1s, timeout: 1s, fall: 1, rise: 1}")
    story.becomes("failing", TAKES)
    # The second try has failed too; the third is 15 to 30 s away.
    until(lambda: seconds_until(story.registration()["next_at"]) > 12, "the second try", FIRST_RETRY + TAKES)
    until(lambda: story.trunk()["state"] == "down", "the trunk to be down", 3, story.trunk)
    kamailio = story.registrar("kamailio", 41)
    back = time.monotonic()
    kamailio.is_bound_within(LEAST_PAUSE + TAKES)
    print(f"registered {time.monotonic() - back:.1f} s after it is there")
    until(lambda: story.trunk()["state"] == "up", "the trunk to be up", 3, story.trunk)
    story.ends()


def test_a_registrar_that_is_silent_is_asked_until_it_answers_and_calls_still_go_out(story):
    granted = 4
    kamailio = story.registrar("kamailio", 41, grants=granted)
    story.begin()
    kamailio.is_bound_within(5)
    kamailio.becomes("silent")
    story.becomes("failing", granted + TAKES)
    assert story.trunk()["state"] == "up"
    story.call_goes_out()
    kamailio.becomes("accepts")
    back = time.monotonic()
    kamailio.is_bound_within(4 + TAKES)  # T2: the REGISTER is still being repeated
    print(f"registered again {time.monotonic() - back:.1f} s after it answers")
    story.becomes("registered", TAKES)
    until(lambda: len(story.alarms()) == 1, "one alarm", 2, story.alarms)
    story.ends()


def test_a_registrar_without_service_is_asked_again_after_five_seconds(story):
    kamailio = story.registrar("kamailio", 41, mood="unavailable")
    story.begin()
    story.becomes("failing", TAKES)
    assert FIRST_RETRY - TAKES <= seconds_until(story.registration()["next_at"]) <= FIRST_RETRY
    kamailio.becomes("accepts")
    kamailio.is_bound_within(FIRST_RETRY + TAKES)
    assert len({one.call_id for one in kamailio.asked()}) == 1
    story.ends()


# --- it rejects -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "tries", "why"),
    [
        ({"mood": "rejects"}, [""], "403 Forbidden"),
        ({"password": "another"}, ["", USER], "the credentials were refused"),
    ],
    ids=["403", "wrong-password"],
)
def test_a_rejected_trunk_is_left_alone_and_asks_again_in_ten_minutes(options, tries, why, story):
    kamailio = story.registrar("kamailio", 41, **options)
    story.begin()
    story.becomes("rejected", TAKES)
    trunk = story.trunk()
    assert why in trunk["registration"]["why"]
    assert trunk["state"] == "excluded"
    assert REJECTED_WAIT - TAKES <= seconds_until(trunk["registration"]["next_at"]) <= REJECTED_WAIT
    until(lambda: len(story.alarms()) == 1, "one alarm", 2, story.alarms)
    time.sleep(1.5)
    assert [one.user for one in kamailio.asked()] == tries
    story.call_is_refused()
    story.ends()


# --- it is elsewhere --------------------------------------------------------------------------------------------------


def test_a_silent_registrar_is_left_after_no_reply_and_a_dead_one_by_the_next_keep_alive(story, net):
    first, second = story.registrar("first", 41, mood="silent"), story.registrar("second", 42)
    story.begin(f"sip:{net}.41:5060", f"sip:{net}.42:5060")
    second.is_bound_within(1 + TAKES)
    story.becomes("registered", TAKES)
    assert story.registration()["registrar"] == f"udp:{net}.42:5060"
    first.becomes("accepts")
    second.crash()
    first.is_bound_within(LEAST_PAUSE + TAKES)
    until(lambda: story.registration()["registrar"] == f"udp:{net}.41:5060", "the other registrar", 2)
    assert len({one.call_id for one in first.asked() + second.asked()}) == 1
    story.ends()


def test_a_registrar_that_moves_is_registered_with_as_soon_as_the_dns_says_so(story, net):
    old, new = story.registrar("old", 41), story.registrar("new", 42)
    with DnsServer(f"{net}.53") as dns:
        dns.add("_sip._udp.shaky.test", "SRV", "10 0 5060 here.shaky.test.", ttl=1)
        dns.add("here.shaky.test", "A", f"{net}.41", ttl=1)
        dns.add("there.shaky.test", "A", f"{net}.42", ttl=1)
        story.begin("sip:shaky.test", env={"SBC_DNS": "{}:{}".format(*dns.address)})
        old.is_bound_within(5)
        dns.add("_sip._udp.shaky.test", "SRV", "10 0 5060 there.shaky.test.", ttl=1)
        moved = time.monotonic()
        new.is_bound_within(10)
        print(f"registered at the new address {time.monotonic() - moved:.1f} s after the DNS had it (TTL 1 s)")
        story.call_comes_in(through=42)
    story.ends()


# --- we go and come again ---------------------------------------------------------------------------------------------


def test_a_killed_sbc_comes_back_with_its_call_id_and_only_a_drain_takes_the_binding_away(story):
    kamailio = story.registrar("kamailio", 41)
    story.begin()
    kamailio.is_bound_within(5)
    before = kamailio.asked()
    until(lambda: story.registration()["state"] == "registered", "the trunk to be registered")
    time.sleep(0.5)  # what is to be kept is on disk by then
    story.sbc.crash()
    assert kamailio.is_bound()
    story.sbc.start()
    until(lambda: story.registration()["state"] == "registered", "the trunk to be registered still")
    story.call_goes_out()
    assert kamailio.asked() == before  # the binding was good, and is known: a restart of many trunks is no storm
    assert len(kamailio.contacts()) == 1

    story.sbc.says("drain")
    until(lambda: not kamailio.is_bound(), "the binding to be taken away", 2, lambda: kamailio.log)
    after = kamailio.asked()[len(before) :]
    assert [one.expires for one in after] == [0, 0]
    assert {one.call_id for one in after} == {one.call_id for one in before}
    assert min(one.cseq for one in after) > max(one.cseq for one in before)
    assert story.registration()["state"] == "unregistered"
