"""A firewall between us and a peer that forgets a connection, or a peer whose power is gone: nobody says so."""
# RFC: 9293 1122

import contextlib
import select
import socket
import time

import pytest

from sbc.core import limits
from sbc.runtime.connecting import tune

from .children import program
from .namespaces import CARRIER, OUTSIDE

pytestmark = [pytest.mark.interop, pytest.mark.root]

_DROPS = "table inet wall { chain in { type filter hook input priority 0; meta l4proto tcp drop; }; }"
_SECONDS = 2.0


@pytest.fixture
def ends(namespaces, monkeypatch):
    """A connection as each of ours is, and its other end."""
    monkeypatch.setattr(limits, "PROBED_SECONDS", 1.0)
    monkeypatch.setattr(limits, "UNACKNOWLEDGED_SECONDS", _SECONDS)
    with contextlib.ExitStack() as stack:
        with namespaces.inside("carrier"):
            listener = stack.enter_context(socket.create_server((CARRIER, 5061)))
        with namespaces.inside("sbc"):
            ours = stack.enter_context(socket.create_connection((CARRIER, 5061), 5, (OUTSIDE, 0)))
        tune(ours, 0)
        theirs = stack.enter_context(listener.accept()[0])
        yield ours, theirs


def falls(namespaces):
    namespaces._run(*namespaces.enter("carrier"), program("nft"), "-f", "-", text=_DROPS)


def is_lost_within(ours, seconds):
    """The loop that reads it is woken with an error."""
    began = time.monotonic()
    assert select.select([ours], [], [], seconds)[0], f"nothing was said of it for {seconds} s"
    with pytest.raises(TimeoutError):
        ours.recv(1)
    print(f"lost after {time.monotonic() - began:.1f} s")


# BOUND: UNACKNOWLEDGED_SECONDS
def test_what_nobody_acknowledges_ends_the_connection_while_another_can_be_tried(ends, namespaces):
    ours, _ = ends
    falls(namespaces)
    ours.send(b"BYE")
    is_lost_within(ours, 4 * _SECONDS)


# BOUND: PROBED_SECONDS
def test_a_connection_on_which_nothing_is_said_is_asked_whether_it_is_there(ends, namespaces):
    ours, theirs = ends
    assert not select.select([ours], [], [], 3.5)[0]  # it is, and so it stays
    theirs.send(b"OPTIONS")
    assert ours.recv(7) == b"OPTIONS"
    falls(namespaces)
    is_lost_within(ours, 6 * _SECONDS)


def test_half_a_transaction_is_left_for_another_try():
    assert limits.CONNECT_SECONDS + limits.UNACKNOWLEDGED_SECONDS < 32.0  # timers B and F, RFC 3261 appendix A
