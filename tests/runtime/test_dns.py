"""Host names: never waited for, never forgotten because a name server is away."""

import socket
from collections import Counter

import pytest
import trio

from sbc.runtime import dns
from sbc.runtime.dns import Resolver
from sbc.sip.commands import Resolve
from sbc.sip.events import Resolved


class Names:
    """Stands for the system's resolver, and for the thread that it would run in."""

    def __init__(self):
        self.answers = {}
        self.asked = []

    async def run_sync(self, lookup, host, **_):
        self.asked.append(host)
        await trio.sleep(0.1)
        return lookup(host)

    def lookup(self, host):
        answer = self.answers.get(host)
        if answer is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return answer


@pytest.fixture
def names(monkeypatch):
    names = Names()
    monkeypatch.setattr(trio.to_thread, "run_sync", names.run_sync)
    return names


@pytest.fixture
async def rig(autojump_clock, names, nursery):
    told = []
    resolver = Resolver(told.append, ["carrier.example"], Counter(), names.lookup)
    resolver.told = told
    await nursery.start(resolver.run)
    yield resolver
    nursery.cancel_scope.cancel()


async def test_a_name_is_answered_later_and_an_address_at_once(rig, names, autojump_clock):
    names.answers["carrier.example"] = ("192.0.2.1", "2001:db8::1")
    rig.resolve(Resolve("[2001:DB8::2]"))
    rig.resolve(Resolve("carrier.example"))
    assert rig.told == [Resolved("[2001:DB8::2]", ("2001:db8::2",))]
    assert rig.under_way == 1

    await trio.sleep(0.2)
    assert rig.told[1:] == [Resolved("carrier.example", ("192.0.2.1", "2001:db8::1"))]
    assert rig.under_way == 0


async def test_a_name_that_is_being_looked_up_is_not_looked_up_twice(rig, names, autojump_clock):
    rig.resolve(Resolve("other.example"))
    rig.resolve(Resolve("other.example"))
    await trio.sleep(0.2)
    assert names.asked == ["other.example"]


async def test_a_name_without_an_address_is_answered_with_none(rig, autojump_clock):
    rig.resolve(Resolve("nowhere.example"))
    await trio.sleep(0.2)
    assert rig.told == [Resolved("nowhere.example", ())]
    assert rig._drops["dns_failed"] == 1


async def test_names_of_the_policy_are_asked_again_each_minute(rig, names, autojump_clock):
    names.answers["carrier.example"] = ("192.0.2.1",)
    await trio.sleep(61)
    names.answers["carrier.example"] = ("192.0.2.2",)
    await trio.sleep(60)
    assert rig.told == [Resolved("carrier.example", ("192.0.2.1",)), Resolved("carrier.example", ("192.0.2.2",))]


async def test_a_name_server_that_goes_away_does_not_take_known_addresses_along(rig, names, autojump_clock):
    names.answers["carrier.example"] = ("192.0.2.1",)
    await trio.sleep(61)
    del names.answers["carrier.example"]
    await trio.sleep(60)
    assert rig.told[-1] == Resolved("carrier.example", ("192.0.2.1",))


async def test_a_name_server_that_says_nothing_is_given_up(rig, names, monkeypatch, autojump_clock):
    async def silence(*_, **__):
        await trio.sleep_forever()

    monkeypatch.setattr(trio.to_thread, "run_sync", silence)
    rig.resolve(Resolve("slow.example"))
    await trio.sleep(6)
    assert rig.told == [Resolved("slow.example", ())]


@pytest.mark.parametrize("host", ["a" * 80 + ".example", "..", ""])
async def test_what_cannot_be_a_name_is_a_name_without_an_address(rig, monkeypatch, host, autojump_clock):
    rig._lookup = dns.system_lookup
    monkeypatch.setattr(socket, "getaddrinfo", lambda name, *_, **__: name.encode("idna") and [])
    rig.resolve(Resolve(host))
    await trio.sleep(1)
    assert rig.told == [Resolved(host, ())]
