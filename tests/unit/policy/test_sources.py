import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.core.address import Transport
from sbc.core.secret import Secret
from sbc.policy.model import Auth, Peer, Server
from sbc.policy.protection import PeerTls
from sbc.policy.sources import SourceTable


def peer(name, *servers, accept=(), interface="outside"):
    return Peer(name, "trunk", interface, tuple(Server(host, port) for host, port in servers), accept=accept)


A = peer("a", ("192.0.2.1", 5060))


def find(table, host, port=5060, interface="outside"):
    found = table.find(interface, host, port)
    return found.name if found else None


def test_servers_given_as_literals_are_accepted_from_any_port():
    table = SourceTable([A])
    assert find(table, "192.0.2.1") == "a"
    assert find(table, "192.0.2.1", 33_000) == "a"


def test_strangers_and_other_interfaces_are_nobody():
    table = SourceTable([A])
    assert find(table, "192.0.2.2") is None
    assert find(table, "192.0.2.2") is None
    assert find(table, "192.0.2.1", interface="inside") is None
    assert find(table, "not an address") is None


def test_accept_replaces_the_servers_addresses():
    table = SourceTable([peer("a", ("192.0.2.1", None), accept=("198.51.100.0/24",))])
    assert find(table, "192.0.2.1") is None
    assert find(table, "198.51.100.7") == "a"


def test_the_longest_prefix_wins():
    table = SourceTable(
        [
            peer("wide", ("h", None), accept=("10.0.0.0/8",)),
            peer("narrow", ("h", None), accept=("10.1.0.0/16", "2001:db8::/32")),
            peer("host", ("h", None), accept=("10.1.1.1/32",)),
            peer("all6", ("h", None), accept=("::/0",)),
        ]
    )
    hosts = ("10.9.9.9", "10.1.9.9", "10.1.1.1", "2001:db8::1", "2001:db9::1", "11.0.0.1")
    assert [find(table, host) for host in hosts] == [
        "wide", "narrow", "host", "narrow", "all6", None,
    ]  # fmt: skip


def test_peers_at_one_address_are_told_apart_by_source_port():
    table = SourceTable([peer("a", ("192.0.2.1", None)), peer("b", ("192.0.2.1", 5070), ("192.0.2.1", 5080))])
    assert [find(table, "192.0.2.1", port) for port in (5060, 5070, 5080)] == ["a", "b", "b"]


def speakers(table, host, port=5060, interface="outside"):
    return [peer.name for peer in table.all(interface, host, port)]


def test_trunks_at_one_address_are_left_to_the_request_where_the_port_says_nothing():
    table = SourceTable([peer("a", ("192.0.2.1", None)), peer("b", ("192.0.2.1", 5070)), peer("c", ("192.0.2.1", 0))])
    assert speakers(table, "192.0.2.1", 5070) == ["b"]
    assert speakers(table, "192.0.2.1", 5060) == ["a", "c"]
    assert speakers(table, "192.0.2.1", 33_000) == ["a", "b", "c"]
    assert find(table, "192.0.2.1", 33_000) == "a"
    assert speakers(table, "192.0.2.2") == []


def pbx(name, *, auth=True, accept=(), servers=(), interface="outside", accepts_any=False):
    account = Auth(name, Secret("x")) if auth else None
    return Peer(name, "pbx", interface, servers, accept=accept, auth=account, accepts_any=accepts_any)


def test_a_pbx_is_nobodys_guess_unless_it_has_to_log_in():
    at = ("192.0.2.1/32",)
    one, two = pbx("one", accept=at), pbx("two", accept=at)
    assert speakers(SourceTable([one, two]), "192.0.2.1") == ["one", "two"]
    plain = pbx("plain", auth=False, accept=at)
    assert speakers(SourceTable([one, plain]), "192.0.2.1") == []
    assert speakers(SourceTable([one, peer("carrier", ("h", None), accept=at)]), "192.0.2.1", 9) == []


def test_a_peer_that_accepts_any_is_whoever_is_nobody_else_on_its_interface():
    roaming = pbx("roaming", accepts_any=True)
    table = SourceTable([A, roaming, pbx("elsewhere", accepts_any=True, interface="inside")])
    assert speakers(table, "192.0.2.1") == ["a"]
    assert speakers(table, "198.51.100.7", 33_000) == ["roaming"]
    assert speakers(table, "2001:db8::7") == ["roaming"]
    assert find(table, "198.51.100.7") == "roaming"
    assert find(table, "198.51.100.7", interface="inside") == "elsewhere"
    assert find(table, "198.51.100.7", interface="none") is None


def test_of_several_that_accept_any_the_credentials_decide_whatever_the_port():
    served = pbx("served", accepts_any=True, servers=(Server("192.0.2.50", 5060),))
    table = SourceTable([served, pbx("roaming", accepts_any=True)])
    assert speakers(table, "198.51.100.7", 5060) == ["served", "roaming"]
    assert speakers(table, "192.0.2.50", 5060) == ["served"]


def test_a_pbx_that_registers_and_accepts_nothing_is_nobody():
    assert find(SourceTable([pbx("phone")]), "192.0.2.1") is None


def test_a_flood_of_strangers_does_not_push_known_peers_out_where_any_is_accepted():
    table = SourceTable([A, pbx("roaming", accepts_any=True)])
    assert find(table, "192.0.2.1") == "a"
    for n in range(20_000):
        assert table.find("outside", f"10.0.{n >> 8}.{n & 255}", 5060)
    assert list(table._known[Transport.UDP]["outside"]) == ["192.0.2.1"]
    assert len(table._strangers[Transport.UDP, "outside"]) <= 16_384


def test_the_default_port_of_a_server_is_its_transports():
    tls = Peer("a", "trunk", "outside", (Server("192.0.2.1", None, Transport.TLS),))
    table = SourceTable([tls, peer("b", ("192.0.2.1", None))])
    assert find(table, "192.0.2.1", 5061) == "a"


def test_a_host_name_is_nobody_until_it_is_learned_and_then_what_it_resolves_to_now():
    table = SourceTable([peer("a", ("SIP.example.com", None))])
    assert find(table, "192.0.2.7") is None
    table.learn("sip.example.com", ["192.0.2.7", "2001:DB8::7"])
    assert find(table, "192.0.2.7") == "a"
    assert find(table, "2001:db8::7") == "a"
    table.learn("sip.example.com", ["192.0.2.8"])
    assert find(table, "192.0.2.7") is None
    assert find(table, "192.0.2.8") == "a"


def test_an_empty_answer_takes_nothing_back():
    table = SourceTable([peer("a", ("sip.example.com", None))])
    table.learn("sip.example.com", ["192.0.2.7"])
    table.learn("sip.example.com", [])
    assert find(table, "192.0.2.7") == "a"


def test_learning_does_not_widen_an_accept_of_its_own():
    table = SourceTable([peer("a", ("sip.example.com", None), accept=("198.51.100.0/24",))])
    table.learn("sip.example.com", ["192.0.2.7"])
    assert find(table, "192.0.2.7") is None


# BOUND: REMEMBERED_SOURCES
def test_a_flood_of_strangers_takes_bounded_memory_and_forgets_no_peer():
    table = SourceTable([A])
    for n in range(20_000):
        table.find("outside", f"10.0.{n >> 8}.{n & 255}", 5060)
    assert len(table._strangers[Transport.UDP, "outside"]) <= 16_384
    assert find(table, "192.0.2.1") == "a"


# BOUND: REMEMBERED_SOURCES
def test_a_flood_from_a_wide_accept_takes_bounded_memory():
    table = SourceTable([peer("a", ("h", None), accept=("10.0.0.0/8",))])
    for n in range(20_000):
        table.find("outside", f"10.0.{n >> 8}.{n & 255}", 5060)
    assert len(table._known[Transport.UDP]["outside"]) <= 16_384


@given(st.ip_addresses(), st.lists(st.integers(0, 32), min_size=1, max_size=5))
def test_longest_prefix_agrees_with_a_plain_search(address, lengths):
    import ipaddress

    networks = {ipaddress.ip_network(f"10.20.30.40/{n}", strict=False) for n in lengths}
    table = SourceTable([peer(str(n), ("h", None), accept=(str(n),)) for n in networks])
    holding = [n for n in networks if n.version == address.version and address in n]
    expected = str(max(holding, key=lambda n: n.prefixlen)) if holding else None
    assert find(table, str(address)) == expected


@pytest.mark.parametrize("host", ["", "::1%eth0", "256.1.1.1", "a" * 1000])
def test_nonsense_is_nobody(host):
    assert find(SourceTable([A]), host) is None


def test_a_network_accepted_twice_is_one_peers():
    assert find(SourceTable([peer("a", ("h", None), accept=("10.0.0.1/32", "10.0.0.1/32"))]), "10.0.0.1", 9) == "a"


# --- by transport and certificate -------------------------------------------------------------------------------------

UDP, TCP, TLS = Transport


def over(name, *transports, identity="source", accept=("192.0.2.1/32",), accepts_any=False):
    rules = PeerTls((f"{name}.example",), identity=identity)
    accept = () if accepts_any else accept
    return Peer(
        name, "pbx", "outside", (), accept, accepts_any=accepts_any, transports=frozenset(transports), tls=rules
    )


def who(table, host, transport, *proved):
    return [found.name for found in table.all("outside", host, 5060, transport, proved)]


def made(*peers):
    return SourceTable(peers, {one.name: one.name for one in peers})


def test_a_source_speaks_by_the_transports_of_its_peer_alone():
    table = made(over("a", TLS))
    for _ in range(2):
        assert who(table, "192.0.2.1", TLS) == ["a"]
        assert who(table, "192.0.2.1", UDP) == []
        assert who(table, "192.0.2.1", TCP) == []


def test_the_narrowest_network_is_searched_once_and_for_all_transports():
    """Who is a TLS peer's address is not taken for its wider neighbour where it speaks by UDP."""
    table = made(over("narrow", TLS), over("wide", UDP, TLS, accept=("192.0.2.0/24",)))
    assert who(table, "192.0.2.1", UDP) == []
    assert who(table, "192.0.2.2", UDP) == ["wide"]


def test_peers_at_one_source_are_told_apart_by_transport():
    table = made(over("a", TLS), over("b", UDP, TCP))
    assert [who(table, "192.0.2.1", transport) for transport in Transport] == [["b"], ["b"], ["a"]]


@pytest.mark.parametrize("identity", ["source", "address"])
def test_who_need_show_no_certificate_is_known_by_its_address(identity):
    table = made(over("a", UDP, TLS, identity=identity))
    assert who(table, "192.0.2.1", UDP) == ["a"]
    assert who(table, "192.0.2.1", TLS) == ["a"]
    assert who(table, "192.0.2.2", TLS) == []


@pytest.mark.parametrize("identity", ["source", "address"])
def test_anybody_is_a_peer_from_anywhere_that_need_show_no_certificate(identity):
    """And is anybody, until its credentials have shown otherwise."""
    table = made(far := over("far", UDP, TLS, identity=identity, accepts_any=True))
    assert who(table, "198.51.100.9", TLS) == who(table, "198.51.100.9", UDP) == ["far"]
    assert far.is_anybody


def test_who_must_show_a_certificate_is_nobody_without():
    table = made(over("a", TLS, identity="certificate"))
    assert who(table, "192.0.2.1", TLS) == []
    assert who(table, "192.0.2.1", TLS, "b") == []
    assert who(table, "192.0.2.1", TLS, "a") == ["a"]
    assert who(table, "192.0.2.2", TLS, "a") == []


def test_who_has_proved_to_be_somebody_is_none_of_its_neighbours():
    table = made(over("a", TLS), over("b", TLS, identity="certificate"), over("c", TLS))
    assert who(table, "192.0.2.1", TLS, "b") == ["b"]
    assert who(table, "192.0.2.1", TLS, "c") == ["c"]
    assert [one.name for one in table.before_proof("outside", "192.0.2.1")] == ["a", "b", "c"]


def test_a_certificate_from_any_address():
    table = made(over("near", UDP, TCP, TLS), over("far", TLS, identity="certificate", accepts_any=True))
    assert who(table, "198.51.100.9", TLS) == []
    assert who(table, "198.51.100.9", TLS, "far") == ["far"]
    assert who(table, "198.51.100.9", UDP) == []
    assert who(table, "192.0.2.1", TLS) == ["near"]
    assert who(table, "192.0.2.1", TLS, "far") == ["far"]
    assert [one.name for one in table.before_proof("outside", "198.51.100.9")] == ["far"]


def test_a_flood_of_proofs_takes_bounded_memory():
    table = made(over("a", TLS, accept=("0.0.0.0/0",)))
    for n in range(20_000):
        assert who(table, f"10.0.{n >> 8}.{n & 255}", TLS, "a") == ["a"]
        assert who(table, "2001:db8::1", TLS, f"x{n}") == []
    assert len(table._known[TLS]["outside"]) <= 16_384
    assert len(table._strangers[TLS, "outside"]) <= 16_384
