"""The resolver without a network: whom it asks, what it asks for, and that it answers, whatever happens."""

from collections import Counter
from types import SimpleNamespace

import dns.exception
import dns.message
import dns.name
import dns.resolver
import pytest
import structlog.testing
import trio

from sbc.core import limits
from sbc.core.errors import OperatorError
from sbc.runtime.dns import Resolver, name_servers
from sbc.sip.commands import LookUp
from sbc.sip.events import LookedUp

CARRIER = LookUp("carrier.example", "A")


class Stub:
    """Stands for dnspython: remembers, and raises or waits as the test says."""

    def __init__(self):
        self.asked = []
        self.follows = False
        self.error = dns.resolver.NoNameservers(errors=[], request=dns.message.make_query("x.", "A"))

    async def resolve(self, name, kind, *, search, **_):
        self.asked.append((name.to_text(), kind, search))
        await trio.sleep(0.1)
        if self.follows:  # the name is an alias of another, which is one of another
            return SimpleNamespace(rrset=None, canonical_name=dns.name.from_text(f"n{len(self.asked)}."), qname=name)
        if self.error is None:
            await trio.sleep_forever()
        raise self.error


@pytest.fixture
async def rig(autojump_clock, nursery, tmp_path, monkeypatch):
    told = []
    hosts = tmp_path / "hosts"
    hosts.write_text("192.0.2.5 pbx pbx.office.example\n2001:db8::5 pbx\n")
    resolver = Resolver(told.append, Counter(), conf=tmp_path / "resolv.conf", hosts=hosts)
    resolver.told, resolver.stub = told, Stub()
    monkeypatch.setattr(resolver, "_current", lambda: resolver.stub)
    await nursery.start(resolver.run)
    yield resolver
    nursery.cancel_scope.cancel()


async def test_what_is_being_looked_up_is_not_looked_up_twice(rig, autojump_clock):
    rig.look_up(CARRIER)
    rig.look_up(CARRIER)
    rig.look_up(LookUp("carrier.example", "AAAA"))
    assert rig.under_way == 2
    await trio.sleep(1)
    assert rig.under_way == 0
    assert len(rig.stub.asked) == len(rig.told) == 2


async def test_names_of_the_hosts_file_are_answered_without_asking(rig, autojump_clock):
    for kind in ("A", "AAAA", "NAPTR"):
        rig.look_up(LookUp("pbx", kind))
    rig.look_up(LookUp("_sip._udp.pbx.office.example", "SRV"))
    rig.look_up(LookUp("pbx.office.example", "AAAA"))
    await trio.sleep(1)
    assert rig.stub.asked == []
    assert {(event.name, event.kind): event.addresses for event in rig.told} == {
        ("pbx", "A"): ("192.0.2.5",),
        ("pbx", "AAAA"): ("2001:db8::5",),
        ("pbx", "NAPTR"): (),
        ("_sip._udp.pbx.office.example", "SRV"): (),
        ("pbx.office.example", "AAAA"): (),
    }
    assert not any(event.failed for event in rig.told)


async def test_only_hosts_of_one_label_are_looked_for_in_the_local_domains(rig, autojump_clock):
    for asked in (LookUp("sip", "A"), LookUp("sip", "NAPTR"), CARRIER, LookUp("_sip._udp.sip", "SRV")):
        rig.look_up(asked)
    await trio.sleep(1)
    assert sorted(rig.stub.asked) == [
        ("_sip._udp.sip.", "SRV", False),
        ("carrier.example.", "A", False),
        ("sip", "A", True),
        ("sip.", "NAPTR", False),
    ]


@pytest.mark.parametrize("name", ["a" * 80 + ".example", "..", "", ".", "a..example", ".".join(["abcdefg"] * 40)])
async def test_what_cannot_be_a_name_is_a_name_without_records(rig, name, autojump_clock):
    rig.look_up(LookUp(name, "A"))
    await trio.sleep(1)
    assert rig.told == [LookedUp(name, "A", ttl=300.0)]
    assert rig.stub.asked == []


@pytest.mark.parametrize(
    "error",
    [
        dns.resolver.NoNameservers(errors=[], request=dns.message.make_query("x.", "A")),
        dns.exception.Timeout(),
        dns.exception.FormError("bad"),
        OSError("no"),
        AssertionError("a bug in a library"),
    ],
)
async def test_every_failure_is_one_and_counted(rig, error, autojump_clock):
    rig.stub.error = error
    rig.look_up(CARRIER)
    await trio.sleep(1)
    [event] = rig.told
    assert event.failed
    assert rig._drops["dns_failed"] == 1


async def test_a_name_server_that_says_nothing_is_given_up(rig, autojump_clock):
    rig.stub.error = None
    rig.look_up(CARRIER)
    await trio.sleep(4.9)
    assert rig.told == []
    await trio.sleep(0.2)
    assert rig.told == [LookedUp("carrier.example", "A", failed="no answer within 5 s")]


# BOUND: LOOK_UPS_AT_ONCE
async def test_a_look_up_that_finds_no_room_is_answered_in_time_too(rig, autojump_clock):
    rig.stub.error = None
    for n in range(limits.LOOK_UPS_AT_ONCE + 50):
        rig.look_up(LookUp(f"{n}.example", "A"))
    await trio.sleep(5.1)
    assert len(rig.told) == limits.LOOK_UPS_AT_ONCE + 50
    assert len(rig.stub.asked) == limits.LOOK_UPS_AT_ONCE


# BOUND: LOOK_UPS
async def test_look_ups_are_bounded(rig, monkeypatch, autojump_clock):
    monkeypatch.setattr(limits, "LOOK_UPS", 10)
    for n in range(15):
        rig.look_up(LookUp(f"{n}.example", "A"))
    assert [event.failed for event in rig.told] == ["too many look-ups at once"] * 5
    assert rig.under_way == 10


async def test_a_failing_name_is_said_once(rig, autojump_clock):
    with structlog.testing.capture_logs() as logs:
        for _ in range(5):
            rig.look_up(CARRIER)
            await trio.sleep(1)
    assert [(entry["event"], entry["name"]) for entry in logs] == [("dns.failed", "carrier.example")]


# BOUND: FAILING_NAMES_SAID
async def test_that_names_fail_is_said_of_so_many_until_they_are_answered(rig, monkeypatch, autojump_clock):
    monkeypatch.setattr(limits, "FAILING_NAMES_SAID", 3)
    with structlog.testing.capture_logs() as logs:
        for n in range(5):
            rig.look_up(LookUp(f"{n}.example", "A"))
            await trio.sleep(1)
        rig._answered(LookUp("1.example", "A"))
        rig.look_up(LookUp("4.example", "A"))
        await trio.sleep(1)
    assert [(entry["event"], entry["name"]) for entry in logs] == [
        *(("dns.failed", f"{n}.example") for n in range(3)),
        ("dns.answered_again", "1.example"),
        ("dns.failed", "4.example"),
    ]
    assert rig._drops["dns_failed"] == 6, "each is counted"


# --- which name servers -----------------------------------------------------------------------------------------------


def test_the_system_s_name_servers_are_read_again_when_the_file_changes(tmp_path):
    conf = tmp_path / "resolv.conf"
    conf.write_text("nameserver 192.0.2.53\nnameserver 2001:db8::53\nsearch office.example\n")
    resolver = Resolver(print, Counter(), conf=conf)
    first = resolver._current()
    assert first.nameservers == ["192.0.2.53", "2001:db8::53"]
    assert resolver._current() is first
    conf.unlink()
    conf.write_text("nameserver 192.0.2.54\n")
    assert resolver._current().nameservers == ["192.0.2.54"]


@pytest.mark.parametrize(
    "text", [None, "", "nameserver\n", "nameserver not-an-address\n", "search " + "a" * 300 + "\n"]
)
def test_without_a_usable_file_the_name_server_is_on_this_machine(tmp_path, text):
    conf = tmp_path / "resolv.conf"
    if text is not None:
        conf.write_text(text)
    resolver = Resolver(print, Counter(), conf=conf)
    assert resolver._current().nameservers == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("text", "servers"),
    [
        (None, None),
        ("", None),
        ("127.0.0.53:5353", [("127.0.0.53", 5353)]),
        ("127.0.0.53:53, [::1]:5353", [("127.0.0.53", 53), ("::1", 5353)]),
    ],
)
def test_the_environment_may_name_other_name_servers(text, servers):
    environment = {} if text is None else {"SBC_DNS": text}
    assert name_servers(environment) == servers


@pytest.mark.parametrize(
    "text", ["127.0.0.53", "dns.example:53", "127.0.0.53:", "127.0.0.53:0", "127.0.0.53:99999", ","]
)
def test_what_is_no_name_server_is_said(text):
    with pytest.raises(OperatorError, match="SBC_DNS"):
        name_servers({"SBC_DNS": text})


# BOUND: CNAMES
async def test_names_that_stand_for_each_other_are_not_followed_for_ever(rig, autojump_clock):
    rig.stub.follows = True
    rig.look_up(CARRIER)
    await trio.sleep(4)
    assert len(rig.stub.asked) == limits.CNAMES
    assert [event.addresses for event in rig.told] == [()]
