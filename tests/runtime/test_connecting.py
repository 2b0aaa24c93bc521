"""What is said of servers that cannot be connected to."""

from sbc.core import limits
from sbc.runtime.connecting import SAID_AGAIN_SECONDS, Sayings


# BOUND: CONNECT_FAILURES_SAID
def test_it_is_said_once_a_minute_of_so_many_remotes():
    now = 1_000.0
    sayings = Sayings(lambda: now)
    assert all(sayings.is_due(str(n)) for n in range(limits.CONNECT_FAILURES_SAID))
    assert not any(sayings.is_due(str(n)) for n in range(limits.CONNECT_FAILURES_SAID))
    assert sayings.is_due("one more")
    assert len(sayings._said_at) == 1, "all are forgotten together"
    assert sayings.is_due("0")
    now += SAID_AGAIN_SECONDS
    assert sayings.is_due("0")
