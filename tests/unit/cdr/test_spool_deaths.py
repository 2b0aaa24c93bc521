"""Kills and power cuts at every operation of the spool's writer and of the destinations.

Whatever was promised is in every destination afterwards, once; and nothing is there twice, promised or not.
"""

from collections import Counter

import msgspec
import pytest

from sbc.cdr.entry import Attempted, Started, Stopped
from sbc.cdr.feed import Feed
from sbc.cdr.filed import RecordFiles
from sbc.cdr.spool import Spool, SpoolError, Spot
from sbc.testing.power import Disk, Fate, deaths

SEGMENT = 2_500  # so that there are many
MOST = 20_000  # of which a quarter stays


class Database:
    """As SQLite: a batch and the spot in one transaction, and no ref twice."""

    def __init__(self, disk):
        self.disk = disk

    def fed(self):
        return self.disk.tables.get("cdr", ((), Spot()))[1]

    def take(self, records, spot):
        refs, _ = self.disk.tables.get("cdr", ((), Spot()))
        new = [one.ref for one in records if one.ref not in refs]
        self.disk.commit("cdr", ((*refs, *new), spot))


class Life:
    """A process on a disk. `begin` is the start of one; it must never fail."""

    def __init__(self, disk, style="json", rotate=60.0):
        self.disk = disk
        self.wall = 1_735_689_600.0
        self.spool = Spool(disk.folder("spool"), most=MOST, segment=SEGMENT)
        self.database = Database(disk)
        self.files = RecordFiles(disk.folder("out"), "/out", style, rotate, "sbc", disk.folder("spool"))
        self.files.begin(Spot())
        self.files.tell_time(self.wall)
        self.damages = self.spool.load([self.database.fed(), self.files.fed()])
        self.feeds = [Feed(self.spool, one, one.fed()) for one in (self.database, self.files)]

    def write(self, *entries):
        self.spool.write(entries)
        for entry in entries:
            self.disk.mark((type(entry), entry.ref))

    def feed(self):
        for feed in self.feeds:
            while feed.step():
                pass

    def tidy(self):
        self.spool.tidy([feed.spot for feed in self.feeds])

    def recover(self, alive=()):
        self.write(*(Stopped(one) for one in self.spool.closing(alive)))
        self.feed()

    def in_files(self):
        folder = self.disk.folder("out")
        text = b"".join(folder.read(name, 0, 1 << 30) for name in folder.names())
        return [msgspec.json.decode(line)["ref"] for line in text.splitlines()]

    def in_database(self):
        return list(self.disk.tables.get("cdr", ((), Spot()))[0])


def live(disk, record, calls=30):
    """Calls that overlap; records that come twice; files that turn; segments that go."""
    life = Life(disk)
    for n in range(calls):
        ref = f"c{n}"
        life.write(Attempted(ref, "office", "100", "200", float(n), f"id-{n}"))
        if n % 3:
            life.write(Started(record(ref, cause="normal")))
        if n >= 2:
            over = f"c{n - 2}"
            life.write(Stopped(record(over, cause="normal")), *([Stopped(record(over))] if n % 5 == 0 else []))
        if n % 4 == 0:
            life.feed()
            life.tidy()
        if n % 7 == 0:
            life.wall += 45.0
            life.files.tell_time(life.wall)
            life.files.turn()
    return life


def judge(record, promised, fate, left, n):
    life = Life(left)
    where = f"{fate} after {n}"
    assert not [damage for damage in life.damages if not damage.is_end and fate is not Fate.HOLES], where
    life.recover()
    # The journal forgets a call a little later than its record is safe: it brings the last ones again.
    again = [ref for kind, ref in promised if kind is Stopped][-3:]
    life.write(*(Stopped(record(ref)) for ref in again))
    life.feed()
    database, files = life.in_database(), life.in_files()
    for there in (database, files):
        assert max(Counter(there).values(), default=1) == 1, f"{where}: doubled"
        assert set(there) >= {ref for _, ref in promised}, f"{where}: lost"
    assert set(database) == set(files), where


def test_no_promised_record_is_lost_and_none_doubled_wherever_a_life_ends(record):
    disk = Disk()
    live(disk, record)
    points = 0
    for n, fate, left in deaths(disk):
        judge(record, disk.promised(n), fate, left, n)
        points += 1
    assert points >= 1_000


@pytest.mark.parametrize("first", [0.3, 0.6, 0.95])
def test_a_recovery_may_die_as_well(record, first):
    disk = Disk()
    live(disk, record, calls=18)
    at = int(len(disk.done) * first)
    promised = disk.promised(at)
    for n, fate, left in deaths(disk):
        if n != at:
            continue
        second = Life(left)
        second.recover()
        for m, later, left_again in deaths(left, seed=1):
            judge(record, [*promised, *left.promised(m)], later, left_again, f"{n} {fate} {m}")


def test_a_full_disk_at_any_write_loses_nothing_of_what_was_promised(record):
    for room in range(0, 9_000, 150):
        disk = Disk()
        disk.room = room
        life = Life.__new__(Life)
        try:
            life.__init__(disk)
            for n in range(20):
                life.write(Stopped(record(f"c{n}")))
                if n % 3 == 0:
                    life.feed()
        except (SpoolError, OSError):
            pass
        for fate in Fate:
            judge(record, disk.promised(len(disk.done)), fate, disk.left(fate, str(room)), len(disk.done))


def test_after_a_write_that_failed_the_same_process_goes_on_and_nothing_stands_twice(record):
    disk = Disk()
    life = Life(disk)
    failures = 0
    for n in range(40):
        entry = Stopped(record(f"c{n}"))
        disk.room = 300 if n % 3 == 0 else None  # half of it fits
        try:
            life.write(entry)
        except SpoolError:
            failures += 1
            disk.room = None
            life.write(entry)
        if n % 4 == 0:
            life.feed()
            life.tidy()
    assert failures > 10
    points = 0
    for n, fate, left in deaths(disk):
        judge(record, disk.promised(n), fate, left, n)
        points += 1
    assert points > 500
