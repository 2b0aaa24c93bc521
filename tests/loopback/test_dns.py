"""The resolver and a name server of the test's own, over real sockets."""
# RFC: 2782, 3263

from collections import Counter

import dns.name
import pytest
import trio

from sbc.core.address import Address, Transport
from sbc.runtime.dns import Resolver
from sbc.sip.commands import LookUp
from sbc.sip.events import LookedUp, NaptrRecord, SrvRecord
from sbc.sip.locate import Local, Locator, Unlocated
from sbc.testing.dns import DnsServer
from sbc.testing.seeds import seeded_ids

pytestmark = [pytest.mark.loopback, pytest.mark.slow]

PATIENCE = 10.0


@pytest.fixture
def server():
    with DnsServer() as server:
        server.add("carrier.test", "NAPTR", '10 20 "s" "SIP+D2U" "" _sip._udp.carrier.test.', ttl=120)
        server.add("_sip._udp.carrier.test", "SRV", "10 60 5060 A.carrier.test.", ttl=90)
        server.add("a.carrier.test", "A", "192.0.2.1", ttl=45)
        server.add("a.carrier.test", "AAAA", "2001:db8::1", ttl=45)
        server.add("closed.test", "SRV", "0 0 0 .")
        server.add("alias.test", "CNAME", "a.carrier.test.", ttl=7)
        server.add("pbx.office.test", "A", "192.0.2.7")
        yield server


class Client:
    def __init__(self, tmp_path, servers=None, conf=""):
        (tmp_path / "hosts").write_text("")
        (tmp_path / "resolv.conf").write_text(conf)
        send, self._told = trio.open_memory_channel(2000)
        self.resolver = Resolver(
            send.send_nowait, Counter(), servers=servers, conf=tmp_path / "resolv.conf", hosts=tmp_path / "hosts"
        )

    async def ask(self, *asked):
        """The answers to these, in order of asking."""
        for name, kind in asked:
            self.resolver.look_up(LookUp(name, kind))
        with trio.fail_after(PATIENCE):
            told = [await self._told.receive() for _ in asked]
        by_key = {(event.name, event.kind): event for event in told}
        return [by_key[key] for key in asked]

    async def ask_one(self, name, kind):
        [event] = await self.ask((name, kind))
        return event


@pytest.fixture
async def client(server, tmp_path, nursery):
    client = Client(tmp_path, [server.address])
    await nursery.start(client.resolver.run)
    yield client
    nursery.cancel_scope.cancel()


async def test_every_kind_of_record_comes_with_its_lifetime(client):
    assert await client.ask(
        ("carrier.test", "NAPTR"), ("_sip._udp.carrier.test", "SRV"), ("a.carrier.test", "A"),
        ("a.carrier.test", "AAAA"), ("closed.test", "SRV"),
    ) == [
        LookedUp(
            "carrier.test", "NAPTR", ttl=120.0,
            naptr=(NaptrRecord(10, 20, "s", "SIP+D2U", "_sip._udp.carrier.test"),),
        ),
        LookedUp(
            "_sip._udp.carrier.test", "SRV", ttl=90.0,
            srv=(SrvRecord(10, 60, 5060, "a.carrier.test"),),
        ),
        LookedUp("a.carrier.test", "A", ("192.0.2.1",), ttl=45.0),
        LookedUp("a.carrier.test", "AAAA", ("2001:db8::1",), ttl=45.0),
        LookedUp("closed.test", "SRV", srv=(SrvRecord(0, 0, 0, "."),), ttl=60.0),
    ]  # fmt: skip


async def test_an_alias_is_followed_and_the_shortest_lifetime_counts(client):
    assert await client.ask_one("alias.test", "AAAA") == LookedUp("alias.test", "AAAA", ("2001:db8::1",), ttl=7.0)


async def test_that_there_is_none_is_an_answer_with_the_lifetime_of_the_soa(client, server):
    server.negative_ttl = 17
    assert await client.ask(("nowhere.test", "A"), ("pbx.office.test", "AAAA")) == [
        LookedUp("nowhere.test", "A", ttl=17.0),
        LookedUp("pbx.office.test", "AAAA", ttl=17.0),
    ]


@pytest.mark.parametrize("rcode", ["SERVFAIL", "REFUSED", "NOTIMP", "FORMERR"])
async def test_a_server_that_cannot_say_is_a_failure_and_no_answer(client, server, rcode):
    server.refusing["carrier.test"] = rcode
    event = await client.ask_one("carrier.test", "NAPTR")
    assert rcode in event.failed
    assert event.naptr == ()


async def test_a_silent_server_is_a_failure_within_seconds(client, server):
    server.silent.add("*")
    with trio.fail_after(6):
        event = await client.ask_one("a.carrier.test", "A")
    assert event.failed
    assert server.times_asked("a.carrier.test", "A") >= 2, "a datagram may be lost"
    server.silent.clear()
    assert (await client.ask_one("a.carrier.test", "A")).addresses


async def test_a_lost_datagram_costs_little(client, server):
    server.silent.add("a.carrier.test")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_after, 0.5, server.silent.clear)
        start = trio.current_time()
        assert (await client.ask_one("a.carrier.test", "A")).addresses
    assert trio.current_time() - start < 3.0


async def _after(seconds, act):
    await trio.sleep(seconds)
    act()


async def test_an_answer_that_does_not_fit_is_fetched_by_tcp(client, server):
    server.add("_sip._udp.big.test", "SRV", *(f"{n} 0 5060 host-{n}.of-a-long-domain.big.test." for n in range(60)))
    server.truncated.add("_sip._udp.big.test")
    event = await client.ask_one("_sip._udp.big.test", "SRV")
    assert len(event.srv) == 60
    assert [transport for transport, _, _ in server.asked] == ["udp", "tcp"]


async def test_octets_that_are_no_answer_are_passed_over(client, server):
    server.garbage.add("a.carrier.test")
    assert (await client.ask_one("a.carrier.test", "A")).addresses == ("192.0.2.1",)


async def test_an_answer_that_comes_late_is_an_answer(client, server):
    server.delays["a.carrier.test"] = 1.0
    assert (await client.ask_one("a.carrier.test", "A")).addresses == ("192.0.2.1",)


async def test_a_slow_name_delays_no_other(client, server):
    server.silent.add("_sip._udp.slow.test")
    client.resolver.look_up(LookUp("_sip._udp.slow.test", "SRV"))
    with trio.fail_after(1.0):
        event = await client.ask_one("a.carrier.test", "A")
    assert event.addresses
    assert client.resolver.under_way == 1


async def test_the_next_name_server_is_asked_where_the_first_is_away(server, tmp_path, nursery):
    gone = DnsServer()
    gone.__enter__().stop()
    client = Client(tmp_path, [gone.address, server.address])
    await nursery.start(client.resolver.run)
    assert (await client.ask_one("a.carrier.test", "A")).addresses
    nursery.cancel_scope.cancel()


async def test_the_next_name_server_is_asked_where_the_first_cannot_say(server, tmp_path, nursery):
    with DnsServer() as broken:
        broken.refusing["*"] = "SERVFAIL"
        client = Client(tmp_path, [broken.address, server.address])
        await nursery.start(client.resolver.run)
        assert (await client.ask_one("a.carrier.test", "A")).addresses
        nursery.cancel_scope.cancel()


async def test_a_host_of_one_label_is_looked_for_in_the_local_domain(client, server):
    client.resolver._stub.search = [dns.name.from_text("office.test.")]
    assert (await client.ask_one("pbx", "A")).addresses == ("192.0.2.7",)


async def test_a_name_server_comes_and_goes(server, tmp_path, nursery):
    """Failures are failures, and what was said before is said again, by whoever sits at that address."""
    host, port = server.address
    client = Client(tmp_path, [server.address])
    await nursery.start(client.resolver.run)
    assert (await client.ask_one("a.carrier.test", "A")).addresses
    server.stop()
    assert (await client.ask_one("a.carrier.test", "A")).failed
    with DnsServer(host, port) as again:
        again.add("a.carrier.test", "A", "192.0.2.9")
        assert (await client.ask_one("a.carrier.test", "A")).addresses == ("192.0.2.9",)
    nursery.cancel_scope.cancel()


async def test_a_thousand_look_ups_at_once(client, server):
    names = [(f"{n}.many.test", "A") for n in range(1000)]
    for name, _ in names:
        server.add(name, "A", "192.0.2.1")
    events = await client.ask(*names)
    assert sum(bool(event.addresses) for event in events) == 1000


async def test_a_thousand_calls_go_by_priority_and_weight(client, server):
    """From the name to the flow: this name server, the resolver, the procedure of RFC 3263, the draw of RFC 2782."""
    weights = {"192.0.2.11": 70, "192.0.2.12": 20, "192.0.2.13": 10}
    records = [f"10 {weight} 5060 host-{host[-2:]}.test." for host, weight in weights.items()]
    server.add("trunk.test", "NAPTR", '10 10 "s" "SIP+D2U" "" _sip._udp.trunk.test.')
    server.add("_sip._udp.trunk.test", "SRV", "20 0 5060 host-14.test.", *records)
    for host in (*weights, "192.0.2.14"):
        server.add(f"host-{host[-2:]}.test", "A", host)
    here = Local(Address("192.0.2.1", 5060), "192.0.2.1:5060")
    locator = Locator({("outside", Transport.UDP, False): here}, seeded_ids())
    while isinstance(locator.candidates("sip:trunk.test", "outside", 0.0), Unlocated):
        asked = [(out.name, out.kind) for out in locator.due(0.0) if isinstance(out, LookUp)]
        assert asked, "nothing is asked, and nothing known"
        for event in await client.ask(*asked):
            locator.learn(event, 0.0)

    orders = [locator.candidates("sip:trunk.test", "outside", 0.0) for _ in range(1000)]
    assert {order[-1].remote.host for order in orders} == {"192.0.2.14"}
    firsts = Counter(order[0].remote.host for order in orders)
    print("first picks of 1000:", dict(sorted(firsts.items())))
    chi_square = sum((firsts[host] - weight * 10) ** 2 / (weight * 10) for host, weight in weights.items())
    assert chi_square < 18.4, firsts  # two degrees of freedom, 99.99 %
