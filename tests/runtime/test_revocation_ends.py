"""Revocation lists that end: when it is said, and of which."""

import datetime as dt
from types import SimpleNamespace

import pytest

from sbc.core.address import Address, Transport
from sbc.policy.model import Interface, Listener
from sbc.policy.protection import InterfaceTls, PeerTls, Trust
from sbc.runtime import certificates, revocation_ends
from sbc.runtime.certificates import CertificateWatch
from sbc.runtime.revocation_ends import RevocationEnds
from sbc.testing.certificates import Authority

HOUR = 3_600.0
DAY = 24 * HOUR
MADE = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
AUTHORITY = Authority()
LIVES = [(HOUR, HOUR / 4), (DAY, 6 * HOUR), (7 * DAY, 7 * DAY / 4), (30 * DAY, 3 * DAY), (365 * DAY, 3 * DAY)]


def crl(seconds, made=MADE, authority=AUTHORITY):
    return authority.crl(begins=made, ends=made + dt.timedelta(seconds=seconds))


def policy(interface="", **peers):
    listener = Listener(Transport.TLS, Address("127.0.0.1", 5061))
    tls = InterfaceTls((), Trust(crl=interface))
    trusts = {name: None if text is None else Trust(crl=text) for name, text in peers.items()}
    return SimpleNamespace(
        interfaces={"outside": Interface("outside", (listener,), ("127.0.0.1",), tls=tls)},
        peers={name: SimpleNamespace(tls=PeerTls(trust=trust)) for name, trust in trusts.items()},
        files={},
        certificate_files={},
    )


@pytest.fixture
def said(monkeypatch):
    found = []
    for level in ("info", "warning", "error"):
        monkeypatch.setattr(revocation_ends.log, level, lambda event, **fields: found.append((event, fields)))
    return found


def looks(ends, in_force, at, said):
    ends.read(in_force)
    ends.say(MADE.timestamp() + at)
    events, said[:] = [event for event, _ in said], []
    return events


@pytest.mark.parametrize(("life", "early"), LIVES)
def test_it_is_said_when_a_quarter_of_its_life_is_left_and_three_days_at_most(said, life, early):
    """RFC 5280 §5.1.2.5: "it will not be issued any later than the indicated date"."""
    ends = RevocationEnds()
    assert looks(ends, policy(crl(life)), 0, said) == []
    assert looks(ends, policy(crl(life)), life - early - 1, said) == []
    assert looks(ends, policy(crl(life)), life - early + 1, said) == ["crl.expires"]
    assert looks(ends, policy(crl(life)), life - 1, said) == (["crl.expires"] if early > DAY else [])
    assert looks(ends, policy(crl(life)), life, said) == ["crl.expired"]


def test_it_is_said_again_once_a_day(said):
    ends, list_ = RevocationEnds(), crl(DAY)
    assert [looks(ends, policy(list_), DAY + hour * HOUR, said) for hour in (0, 1, 23, 24, 25, 48)] == [
        ["crl.expired"], [], [], ["crl.expired"], [], ["crl.expired"],
    ]  # fmt: skip


def test_what_is_said_is_an_alarm_with_its_authority_and_its_end(said):
    ends = RevocationEnds()
    ends.read(policy(crl(7 * DAY)))
    ends.say(MADE.timestamp() + 6 * DAY)
    ends.say(MADE.timestamp() + 8 * DAY)
    (authority, at), *_ = ends.expiries()
    assert at == MADE.timestamp() + 7 * DAY
    fields = {"alarm": True, "authority": authority, "ends": "2030-01-08 00:00 UTC"}
    assert said == [("crl.expires", fields), ("crl.expired", fields)]
    assert authority in AUTHORITY.certificate.subject.rfc4514_string()


def test_a_newer_list_ends_the_alarm_and_so_does_none(said):
    ends = RevocationEnds()
    assert looks(ends, policy(crl(DAY)), 2 * DAY, said) == ["crl.expired"]
    newer = crl(7 * DAY, MADE + dt.timedelta(days=2))
    assert looks(ends, policy(newer), 2 * DAY, said) == ["crl.renewed"]
    assert looks(ends, policy(newer), 8.9 * DAY, said) == ["crl.expires"]
    assert looks(ends, policy(), 8.9 * DAY, said) == ["crl.unused"]
    assert looks(ends, policy(), 20 * DAY, said) == []
    assert ends.expiries() == ()


def test_of_one_authority_the_list_counts_that_ends_first(said):
    ends, other = RevocationEnds(), Authority("another")
    in_force = policy(crl(30 * DAY), carrier=crl(DAY), office=None, second=crl(2 * DAY, authority=other))
    ends.read(in_force)
    assert sorted(at - MADE.timestamp() for _, at in ends.expiries()) == [DAY, 2 * DAY]
    assert looks(ends, in_force, 3 * DAY, said) == ["crl.expired", "crl.expired"]


def test_of_a_file_with_several_lists_each_counts(said):
    ends, other = RevocationEnds(), Authority("another")
    ends.read(policy(crl(DAY) + crl(9 * DAY, authority=other)))
    assert len(ends.expiries()) == 2


def test_a_list_is_read_once_and_forgotten_with_its_policy(monkeypatch):
    reads, ends, first = [], RevocationEnds(), crl(DAY)
    read = revocation_ends.ends_of_lists
    monkeypatch.setattr(revocation_ends, "ends_of_lists", lambda text: reads.append(text) or read(text))
    for _ in range(3):
        ends.read(policy(first, carrier=first))
    assert reads == [first]
    ends.read(policy())
    ends.read(policy(first))
    assert reads == [first, first]


async def test_the_watch_looks_at_lists_as_at_certificates(said):
    async def reload():
        raise AssertionError("nothing has changed")

    watch = CertificateWatch(lambda: policy(crl(DAY)), {}, reload, wall=lambda: MADE.timestamp() + 2 * DAY)
    await watch._look()
    assert [event for event, _ in said] == ["crl.expired"]
    assert [at for _, at in watch.list_expiries()] == [MADE.timestamp() + DAY]
    assert certificates.LOOK_SECONDS <= HOUR / 4  # of the shortest life that anybody would give a list
