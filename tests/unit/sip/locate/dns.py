"""A locator and the DNS that it asks, for the tests of this folder."""

from sbc.core.address import Address, Flow, Transport
from sbc.sip.commands import LookUp
from sbc.sip.locate import Local, Locator
from sbc.testing.names import Names
from sbc.testing.seeds import seeded_ids

V4, V6, SECURE = Address("192.0.2.1", 5060), Address("2001:db8::1", 5060), Address("192.0.2.1", 5061)
LOCALS = {
    ("outside", Transport.UDP, False): Local(V4, "192.0.2.1:5060"),
    ("outside", Transport.UDP, True): Local(V6, "[2001:db8::1]:5060"),
    ("outside", Transport.TCP, False): Local(V4, "192.0.2.1:5060"),
    ("plain", Transport.UDP, False): Local(V4, "192.0.2.1:5060"),
    ("streams", Transport.TCP, False): Local(V4, "192.0.2.1:5060"),
    ("secure", Transport.UDP, False): Local(V4, "192.0.2.1:5060"),
    ("secure", Transport.TLS, False): Local(SECURE, "192.0.2.1:5061"),
}


def udp(host, port=5060, interface="outside"):
    return Flow(Transport.UDP, interface, V6 if ":" in host else V4, Address(host, port))


def tcp(host, port=5060, interface="outside"):
    return Flow(Transport.TCP, interface, V4, Address(host, port))


def tls(host, port=5061):
    return Flow(Transport.TLS, "secure", SECURE, Address(host, port))


class Rig:
    """`answers()` gives the locator what the DNS says, as often as it asks for more."""

    def __init__(self, seed=0):
        self.dns = Names()
        self.locator = Locator(LOCALS, seeded_ids(seed))
        self.logs = []
        self.now = 0.0

    def asks(self):
        due = self.locator.due(self.now)
        self.logs += [out for out in due if not isinstance(out, LookUp)]
        return [out for out in due if isinstance(out, LookUp)]

    def answers(self):
        rounds = 0
        while asked := self.asks():
            rounds += 1
            for one in asked:
                event = self.dns.answer(one)
                if event is not None:
                    self.locator.learn(event, self.now)
        return rounds

    def candidates(self, uri, interface="outside"):
        return self.locator.candidates(uri, interface, self.now)

    def found(self, uri, interface="outside"):
        """With as many look-ups as it takes."""
        self.candidates(uri, interface)
        while self.answers():
            self.candidates(uri, interface)
        return self.candidates(uri, interface)
