"""Whatever the DNS says, and in whatever order, or not at all: nobody waits for ever, and every request has its end."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from sbc.core import limits
from sbc.core.address import Address, Flow, Transport
from sbc.sip.commands import LookUp, SendMessage, SendRequest
from sbc.sip.endpoint import Endpoint
from sbc.sip.events import LookedUp, NaptrRecord, SrvRecord
from sbc.sip.locate import Local
from sbc.sip.message import Request
from sbc.sip.transaction.outputs import TransactionFailed
from sbc.testing.build import request
from sbc.testing.seeds import seeded_ids

V4, V6 = Address("192.0.2.1", 5060), Address("2001:db8::1", 5060)
LOCALS = {
    ("outside", Transport.UDP, False): Local(V4, "192.0.2.1:5060"),
    ("outside", Transport.UDP, True): Local(V6, "[2001:db8::1]:5060"),
    ("outside", Transport.TCP, False): Local(V4, "192.0.2.1:5060"),
}
NAMES = ["gw.example", "a.example", "b.example", "_sip._udp.gw.example", "_sip._tcp.gw.example"]
HOSTS = st.sampled_from([*NAMES, ".", "", "192.0.2.9", "2001:db8::9", "224.0.0.1", "%", "a..b", "x" * 300])
WORDS = st.integers(0, 65535)
SRV = st.builds(SrvRecord, WORDS, st.sampled_from([0, 1, 60, 65535]), st.sampled_from([0, 5060, 65535]), HOSTS)
SERVICES = st.sampled_from(["SIP+D2U", "sip+d2t", "SIPS+D2T", "SIP+D2S", "E2U+sip", "", "\u0130"])
NAPTR = st.builds(NaptrRecord, WORDS, WORDS, st.sampled_from(["s", "S", "u", ""]), SERVICES, HOSTS)
ADDRESSES = st.sampled_from(["192.0.2.7", "192.0.2.8", "2001:db8::7", "fd00::7", "::", "255.255.255.255", "::1"])
M_ADDR = "sip:a.example;maddr=b.example"
URIS = st.sampled_from(
    ["sip:gw.example", "sip:gw.example;transport=tcp", "sip:gw.example:5070", "sips:gw.example", M_ADDR]
)


@st.composite
def answers(draw, asked):
    """What comes back for a look-up: anything of its kind, a failure, or nothing (None)."""
    fate = draw(st.sampled_from(["records", "records", "records", "none", "failure", "silence"]))
    ttl = draw(st.sampled_from([0.0, 5.0, 60.0, 1e9]))
    if fate == "silence":
        return None
    if fate == "failure":
        return LookedUp(asked.name, asked.kind, failed="SERVFAIL")
    if fate == "none":
        return LookedUp(asked.name, asked.kind, ttl=ttl)
    match asked.kind:
        case "SRV":
            return LookedUp(asked.name, "SRV", srv=tuple(draw(st.lists(SRV, max_size=5))), ttl=ttl)
        case "NAPTR":
            return LookedUp(asked.name, "NAPTR", naptr=tuple(draw(st.lists(NAPTR, max_size=4))), ttl=ttl)
        case _:
            return LookedUp(asked.name, asked.kind, tuple(draw(st.lists(ADDRESSES, max_size=3))), ttl=ttl)


def order(user, uri):
    made = request("OPTIONS")
    bare = Request("OPTIONS", made.uri_text, tuple(f for f in made.fields if f[0] not in ("Via", "Contact")), b"")
    return SendRequest(user, bare, "outside", uri)


# BOUND: NAME_WAIT_SECONDS
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_every_request_is_sent_or_fails_in_time(data):
    endpoint = Endpoint(LOCALS, seeded_ids(), "sbc")
    now, begun, ended, waiting = 0.0, {}, Counter(), []

    def see(outs):
        for out in outs:
            match out:
                case LookUp():
                    waiting.append(out)
                case SendMessage(user=user) if not ended[user]:
                    assert isinstance(out.flow, Flow)
                    ended[user] += 1
                case TransactionFailed(user=user, why="transport"):
                    ended[user] += 1

    see(endpoint.watch(data.draw(st.lists(st.tuples(URIS, st.just("outside")), max_size=2)), now))
    for step in range(data.draw(st.integers(1, 25))):
        if data.draw(st.booleans()):
            begun[step] = now
            see(endpoint.perform(order(step, data.draw(URIS)), now))
        if waiting and data.draw(st.booleans()):
            asked = waiting.pop(data.draw(st.integers(0, len(waiting) - 1)))
            answer = data.draw(answers(asked))
            if answer is not None:
                see(endpoint.handle(answer, now))
        now += data.draw(st.sampled_from([0.0, 0.1, 1.0, 3.0, 70.0]))
        see(endpoint.tick(now))
        endpoint.news()
    until = now + limits.NAME_WAIT_SECONDS
    while (at := endpoint.next_deadline()) is not None and now < until:
        now = min(max(at, now + 0.001), until)
        see(endpoint.tick(now))
    assert set(begun) == {user for user, times in ended.items() if times}
    assert not endpoint._waiting
    assert len(endpoint.locator._names) < 200
