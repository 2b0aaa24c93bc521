from sbc.core import limits
from sbc.core.address import Address, Flow, Transport
from sbc.trace.recorder import Entry, LeftOut, Recorder


def test_entries_come_back_in_the_order_in_which_they_were_written():
    recorder = Recorder()
    recorder.message("a", 1.0, "ingress", False, b"INVITE")
    recorder.note("a", 1.1, "outbound matched")
    recorder.message("a", 1.2, "egress", True, b"INVITE")
    assert recorder.entries("a") == (
        Entry(1.0, "ingress", False, b"INVITE", None),
        Entry(1.1, "", False, None, "outbound matched"),
        Entry(1.2, "egress", True, b"INVITE", None),
    )


def test_unknown_call_has_no_entries():
    assert Recorder().entries("nobody") == ()


def test_finished_call_keeps_its_entries_and_takes_late_ones():
    recorder = Recorder()
    recorder.message("a", 1.0, "ingress", False, b"INVITE")
    recorder.end("a", False, 2.0)
    recorder.message("a", 3.0, "ingress", False, b"BYE")
    assert [entry.data for entry in recorder.entries("a")] == [b"INVITE", b"BYE"]
    assert len(recorder) == 1


# BOUND: TRACE_MESSAGES_PER_CALL
def test_long_call_keeps_its_beginning_and_its_end_and_says_what_is_missing():
    recorder = Recorder()
    for n in range(1000):
        recorder.message("a", float(n), "ingress", False, b"%d" % n)
    entries = recorder.entries("a")
    assert len(entries) <= limits.TRACE_MESSAGES_PER_CALL + 1
    assert entries[0].data == b"0"
    assert entries[-1].data == b"999"
    gaps = [entry.note for entry in entries if isinstance(entry.note, LeftOut)]
    assert len(gaps) == 1
    assert gaps[0].entries + len(entries) - 1 == 1000
    numbers = [int(entry.data) for entry in entries if entry.data is not None]
    assert numbers == sorted(numbers)


# BOUND: TRACE_OCTETS_PER_CALL
def test_huge_messages_are_bounded_in_octets_too():
    recorder = Recorder()
    for n in range(50):
        recorder.message("a", float(n), "ingress", False, bytes([n]) * 60_000)
    kept = sum(len(entry.data) for entry in recorder.entries("a") if entry.data is not None)
    assert kept <= limits.TRACE_OCTETS_PER_CALL
    assert recorder.entries("a")[0].data == bytes(60_000)
    assert recorder.entries("a")[-1].data == bytes([49]) * 60_000


def test_failed_calls_outlive_good_ones():
    recorder = Recorder()
    for n in range(limits.TRACE_CALLS + 500):
        ref = f"{n}"
        recorder.note(ref, float(n), "routed")
        recorder.end(ref, n < 100, float(n))
    assert len(recorder) == limits.TRACE_CALLS
    assert all(recorder.entries(f"{n}") for n in range(100))
    assert recorder.entries("100") == ()
    assert recorder.entries(f"{limits.TRACE_CALLS + 499}")


def test_a_flood_of_failed_calls_leaves_room_for_good_ones():
    recorder = Recorder()
    recorder.note("good", 0.0, "routed")
    recorder.end("good", False, 0.0)
    for n in range(2 * limits.TRACE_CALLS):
        recorder.note(f"{n}", 1.0, "refused")
        recorder.end(f"{n}", True, 1.0)
    assert len(recorder) == limits.TRACE_CALLS
    assert recorder.entries("good")
    assert recorder.entries("0") == ()


# BOUND: TRACE_OCTETS
def test_finished_calls_are_bounded_in_octets_together(monkeypatch):
    monkeypatch.setattr(limits, "TRACE_OCTETS", 10_000)
    recorder = Recorder()
    for n in range(10):
        recorder.message(f"{n}", 0.0, "ingress", False, bytes(3_000))
        recorder.end(f"{n}", False, 0.0)
    assert [ref for ref in recorder.refs() if recorder.entries(ref)] == ["7", "8", "9"]


def test_running_calls_are_bounded_even_if_nobody_ends_them(monkeypatch):
    monkeypatch.setattr(limits, "CALLS", 3)
    recorder = Recorder()
    for n in range(5):
        recorder.note(f"{n}", 0.0, "routed")
    assert recorder.refs() == ("2", "3", "4")


def test_legs_are_known_by_their_peers_for_as_long_as_the_call_is():
    recorder = Recorder()
    recorder.message("a", 0.0, "ingress", False, b"x")
    recorder.begins("a", 0, "office")
    recorder.begins("a", 1, "carrier-a")
    recorder.begins("a", 2, "carrier-b")
    known = {"ingress": "office", "egress": "carrier-a", "egress-2": "carrier-b"}
    assert recorder.peers("a") == known
    recorder.end("a", failed=False, at=1.0)
    assert recorder.peers("a") == known
    assert recorder.peers("b") == {}


WAY = Flow(Transport.UDP, "inside", Address("192.0.2.1", 5060), Address("192.0.2.9", 5060))


def test_a_message_keeps_the_way_that_it_has_come():
    recorder = Recorder()
    recorder.message("a", 1.0, "ingress", False, b"INVITE", WAY)
    recorder.note("a", 1.0, "routed")
    assert [(entry.flow, entry.note) for entry in recorder.entries("a")] == [(WAY, None), (None, "routed")]


def test_nothing_is_laid_out_unless_somebody_wants_it():
    recorder = Recorder()
    recorder.message("a", 1.0, "ingress", False, b"INVITE", WAY)
    assert recorder.fetch(10) == []


def test_messages_are_fetched_once_masked_and_in_their_order():
    recorder = Recorder()
    recorder.lay_out(on=True)
    for n in range(3):
        recorder.message("a", float(n), "ingress", False, b"%d\r\nAuthorization: Digest s3cret\r\n\r\n" % n, WAY)
    recorder.note("a", 4.0, "routed")
    fetched = recorder.fetch(2) + recorder.fetch(10)
    assert [(ref, entry.at, entry.flow) for ref, entry in fetched] == [("a", float(n), WAY) for n in range(3)]
    assert all(b"s3cret" not in entry.data for _, entry in fetched)
    assert recorder.fetch(10) == []


# BOUND: HEP_QUEUE
def test_what_nobody_fetches_is_counted_and_the_call_keeps_it(monkeypatch):
    monkeypatch.setattr(limits, "HEP_QUEUE", 2)
    recorder = Recorder()
    recorder.lay_out(on=True)
    for n in range(5):
        recorder.message("a", float(n), "ingress", False, b"x")
    assert recorder.unfetched == 3
    assert [entry.at for _, entry in recorder.fetch(10)] == [0.0, 1.0]
    assert len(recorder.entries("a")) == 5


def test_laying_out_can_be_ended_and_is_not_begun_twice():
    recorder = Recorder()
    recorder.lay_out(on=True)
    recorder.message("a", 1.0, "ingress", False, b"x")
    recorder.lay_out(on=True)
    assert len(recorder.fetch(10)) == 1
    recorder.message("a", 2.0, "ingress", False, b"x")
    recorder.lay_out(on=False)
    recorder.message("a", 3.0, "ingress", False, b"x")
    assert recorder.fetch(10) == []


# BOUND: TRACE_FORMER_DIALOGS
def test_dialogs_that_are_over_are_known_for_a_while(monkeypatch):
    monkeypatch.setattr(limits, "TRACE_FORMER_DIALOGS", 2)
    recorder = Recorder()
    recorder.dialog_over("unknown", None)
    for n in range(3):
        recorder.dialog_over(f"t{n}", ("a", n))
    assert [recorder.former_dialog(tag) for tag in ("unknown", "t0", "t1", "t2")] == [None, None, ("a", 1), ("a", 2)]


# BOUND: TRACE_OCTETS_RUNNING
def test_where_running_calls_keep_too_much_the_long_ones_lose_their_middle(monkeypatch):
    monkeypatch.setattr(limits, "TRACE_OCTETS_RUNNING", 100_000)
    recorder = Recorder()
    for n in range(10):
        recorder.message(f"short{n}", 0.0, "ingress", False, b"x" * 1_000)
    for n in range(1_000):
        recorder.message(f"long{n % 10}", float(n), "ingress", False, b"x" * 4_000)
    assert recorder.octets_running < 10 * limits.TRACE_OCTETS_PER_CALL // 8 + 100_000
    assert all(len(recorder.entries(f"short{n}")) == 1 for n in range(10))
    for ref in recorder.refs():
        recorder.end(ref, failed=False, at=0.0)
    assert recorder.octets_running == 0


def test_what_comes_late_for_a_finished_call_is_counted_too(monkeypatch):
    monkeypatch.setattr(limits, "TRACE_OCTETS", 50_000)
    recorder = Recorder()
    for n in range(5):
        recorder.message(f"c{n}", 0.0, "ingress", False, b"x" * 1_000)
        recorder.end(f"c{n}", failed=False, at=0.0)
    while "c4" in recorder:
        recorder.message("c4", 1.0, "ingress", False, b"x" * 4_000)
    assert recorder.octets_finished <= 50_000
    assert "c4" not in recorder, "it alone is more than all may have"
    assert recorder.octets_running == 0


# BOUND: HEP_QUEUE_OCTETS
def test_what_waits_for_the_capture_server_is_bounded_in_octets(monkeypatch):
    monkeypatch.setattr(limits, "HEP_QUEUE_OCTETS", 10_000)
    recorder = Recorder()
    recorder.lay_out(on=True)
    for n in range(5):
        recorder.message("a", float(n), "ingress", False, b"x" * 4_000)
    assert (recorder.unfetched, recorder.octets_waiting) == (3, 8_000)
    assert len(recorder.fetch(1)) == 1
    recorder.message("a", 9.0, "ingress", False, b"x" * 4_000)
    assert (recorder.unfetched, len(recorder.fetch(10)), recorder.octets_waiting) == (3, 2, 0)
