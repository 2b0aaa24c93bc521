"""Certificates that end, and files that change: what is said, and what is put in force."""

import datetime as dt
from types import SimpleNamespace

import pytest
import trio

from sbc.core.address import Address, Transport
from sbc.policy.load import stamp_of
from sbc.policy.model import Interface, Listener
from sbc.policy.protection import InterfaceTls
from sbc.runtime import certificates
from sbc.runtime.certificates import CertificateWatch
from sbc.testing.certificates import BEGINS, Authority

DAY = 86_400.0
NOW = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
AUTHORITY = Authority()


def ending(days, name="ours.pem"):
    return AUTHORITY.issue("sbc.example", dates=(BEGINS, NOW + dt.timedelta(days=days))).pair(name)


def policy(*pairs, files=(), certificate_files=()):
    listener = Listener(Transport.TLS, Address("127.0.0.1", 5061))
    return SimpleNamespace(
        interfaces={"outside": Interface("outside", (listener,), ("127.0.0.1",), tls=InterfaceTls(pairs))},
        peers={},
        files={str(path): stamp_of(path) for path in files},
        certificate_files={str(path): stamp_of(path) for path in certificate_files},
    )


class Watched:
    def __init__(self, monkeypatch, in_force, shown=None):
        self.policy, self.shown, self.wall, self.reloads, self.said = in_force, shown or {}, NOW.timestamp(), 0, []
        for level in ("info", "warning", "error"):
            monkeypatch.setattr(
                certificates.log, level, lambda event, **fields: self.said.append((event, fields.get("certificate")))
            )
        self.watch = CertificateWatch(lambda: self.policy, self.shown, self.reload, wall=lambda: self.wall)

    async def reload(self):
        self.reloads += 1

    async def look(self):
        await self.watch._look()
        said, self.said[:] = list(self.said), []
        return said


@pytest.fixture
def no_pause(monkeypatch):
    monkeypatch.setattr(certificates, "_SETTLED_SECONDS", 0.0)


async def test_the_end_is_an_alarm_three_weeks_before_once_a_day_and_another_when_it_has_come(monkeypatch):
    watched = Watched(monkeypatch, policy(ending(30)))
    assert await watched.look() == []
    watched.wall += 10 * DAY
    assert await watched.look() == [("certificate.expires", "ours.pem")]
    assert await watched.look() == []
    watched.wall += DAY
    assert await watched.look() == [("certificate.expires", "ours.pem")]
    watched.wall += 19 * DAY
    assert await watched.look() == [("certificate.expired", "ours.pem")]
    watched.policy = policy(ending(365))
    assert await watched.look() == [("certificate.renewed", "ours.pem")]
    assert await watched.look() == []


async def test_one_that_is_not_used_any_more_is_no_alarm_any_more(monkeypatch):
    watched = Watched(monkeypatch, policy(ending(1)))
    assert await watched.look() == [("certificate.expires", "ours.pem")]
    watched.policy = policy(ending(365, "new.pem"))
    assert await watched.look() == [("certificate.unused", "ours.pem")]


async def test_what_a_peer_has_shown_counts_too(monkeypatch):
    watched = Watched(monkeypatch, policy(ending(365)), {"carrier": NOW.timestamp() + 3 * DAY})
    assert await watched.look() == [("certificate.expires", "peer carrier")]
    assert dict(watched.watch.expiries()) == {
        "ours.pem": NOW.timestamp() + 365 * DAY,
        "peer carrier": NOW.timestamp() + 3 * DAY,
    }


async def test_files_that_have_changed_are_reloaded_once(monkeypatch, tmp_path, no_pause):
    pem = tmp_path / "ours.pem"
    pem.write_text("old")
    watched = Watched(monkeypatch, policy(ending(365), certificate_files=[pem]))
    assert await watched.look() == []
    pem.write_text("new one")
    assert await watched.look() == [("certificates.changed", None)]
    assert await watched.look() == []  # the reload was refused; what is wrong was said, and nothing has changed since
    assert watched.reloads == 1
    pem.write_text("a newer one")
    assert await watched.look() == [("certificates.changed", None)]
    watched.policy = policy(ending(365), certificate_files=[pem])
    assert await watched.look() == []
    assert watched.reloads == 2


async def test_a_policy_that_was_changed_as_well_does_not_come_in_by_the_way(monkeypatch, tmp_path, no_pause):
    pem, yaml = tmp_path / "ours.pem", tmp_path / "policy.yaml"
    for path in (pem, yaml):
        path.write_text("old")
    watched = Watched(monkeypatch, policy(ending(365), files=[yaml], certificate_files=[pem]))
    yaml.write_text("half of it")
    assert await watched.look() == []
    pem.write_text("new one")
    assert await watched.look() == [("certificates.waiting", None)]
    assert await watched.look() == []
    assert watched.reloads == 0


async def test_a_file_that_is_away_is_waited_for(monkeypatch, tmp_path, no_pause):
    pem = tmp_path / "ours.pem"
    pem.write_text("old")
    watched = Watched(monkeypatch, policy(ending(365), certificate_files=[pem]))
    pem.unlink()
    assert await watched.look() == [("certificates.away", None)]
    assert await watched.look() == []
    pem.write_text("new one")
    assert await watched.look() == [("certificates.there_again", None), ("certificates.changed", None)]
    assert watched.reloads == 1


async def test_a_file_that_may_not_be_read_any_more_is_an_alarm_before_the_next_start(monkeypatch, tmp_path, no_pause):
    pem = tmp_path / "ours.key"
    pem.write_text("secret")
    watched = Watched(monkeypatch, policy(ending(365), certificate_files=[pem]))
    readable = []
    monkeypatch.setattr(certificates.os, "access", lambda *_: bool(readable))
    assert await watched.look() == [("certificates.away", None)]
    readable.append(True)
    assert await watched.look() == [("certificates.there_again", None)]
    assert watched.reloads == 0


async def test_a_new_policy_is_looked_at_at_once_and_a_bug_ends_nothing(monkeypatch, nursery):
    watched = Watched(monkeypatch, policy(ending(365)))
    looks = []

    async def look():
        looks.append(1)
        raise OSError("a bug")

    monkeypatch.setattr(watched.watch, "_look", look)
    monkeypatch.setattr(certificates.log, "exception", lambda *_, **__: None)
    nursery.start_soon(watched.watch.run)
    with trio.fail_after(5):
        while len(looks) < 3:
            watched.watch.policy_changed()
            await trio.sleep(0.001)
    nursery.cancel_scope.cancel()
