"""A tenth of the INVITEs with one thing wrong (tests/fuzz), over real UDP and TCP, with good calls among them."""

import contextlib
import json
import select
import socket

import pytest

from tests.fuzz.anomalies import cases
from tests.fuzz.templates import INVITE
from tests.loopback import hostile

pytestmark = [pytest.mark.loopback, pytest.mark.slow]

POLICY = """
sbc: {{name: test, data_dir: {data_dir}, admin: "{admin}", stop_after: 1s}}
interfaces:
  inside: {{sip: ["udp:{host}.10:5060", "tcp:{host}.10:5060"], media: {host}.10}}
  outside: {{sip: ["udp:{host}.20:5060"], media: {host}.20}}
media: {{ports: {ports}}}
pbxs:
  office: {{interface: inside, address: "sip:{host}.30:5060", dids: ["+14155550100"]}}
  rogue: {{interface: inside, address: "sip:{host}.66:5060", dids: ["+14155550140"]}}
trunks:
  carrier: {{interface: outside, servers: ["sip:{host}.40:5060"]}}
routes:
  - {{name: out, from: office, to: ["+X."], via: [carrier]}}
"""
SENT = list(cases(INVITE))[::10]
BETWEEN = 100  # of them, one good call
SLOWEST_CALL = 2.0  # seconds, on a machine that has other things to do


@pytest.mark.parametrize("transport", ["UDP", "TCP"])
def test_good_calls_go_on_among_messages_with_one_thing_wrong(start, carrier, host, transport):
    sbc = start(template=POLICY).ready()
    with contextlib.closing(hostile.Office(host, carrier)) as office, contextlib.ExitStack() as stack:
        says = by_udp(stack, host) if transport == "UDP" else by_tcp(stack, host)
        for n, case in enumerate(SENT):
            says(
                case.octets(
                    called="+4930123456", ours=f"{host}.10", host=f"{host}.66", branch=f"rogue{n}", tag=f"rogue{n}",
                    call_id=f"rogue{n}",
                )
            )  # fmt: skip
            if n % BETWEEN == 0:
                assert office.calls() < SLOWEST_CALL
        assert office.calls() < SLOWEST_CALL
    assert not [line for line in sbc.text.splitlines() if line.startswith("{") and json.loads(line)["level"] == "error"]


def by_udp(stack, host):
    one = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    one.bind((f"{host}.66", 5060))
    return lambda data: one.sendto(data, (f"{host}.10", 5060))


def by_tcp(stack, host):
    """A connection that is made anew when it was closed. Answers are read, or there were too many."""
    streams = []

    def says(data):
        for _ in range(2):
            try:
                if not streams:
                    streams.append(
                        stack.enter_context(socket.create_connection((f"{host}.10", 5060), 5, (f"{host}.66", 0)))
                    )
                streams[0].sendall(data)
                while streams and select.select(streams, [], [], 0)[0]:
                    if not streams[0].recv(65_536):
                        streams.clear()  # it has ended
            except OSError:
                streams.clear()
            else:
                return

    return says
