"""What an operator sees of a transfer: ladders with names, notes that lead from one call to the other."""

from sbc.testing.referring import refer_to_replacing
from sbc.testing.world import DID, FAR, OUTSIDE
from sbc.trace.ladder import draw

from .test_hunts import TWO_CARRIERS
from .transferring import BRANCH, called, refers, three


def blind(world):
    """The two calls of a blind transfer, while the branch talks with the carrier's caller."""
    sbc, office, carrier, branch = called(world)
    (first,) = sbc.switch.calls
    refers(office)
    (second,) = set(sbc.switch.calls) - {first}
    sbc.run(2)
    branch.rings()
    sbc.run(2)
    branch.answers()
    sbc.run(1)
    return sbc, carrier, first, second


def ladder(sbc, ref):
    trace = sbc.switch.trace
    return draw(trace.entries(ref), peers=trace.peers(ref))


def test_each_line_of_a_ladder_has_the_name_of_its_peer(world):
    sbc, carrier, first, second = blind(world)
    assert ladder(sbc, first).splitlines()[0].split() == ["carrier", "sbc", "office", "branch"]
    assert ladder(sbc, second).splitlines()[0].split() == ["office", "sbc", "branch"]
    carrier.hangs_up()
    assert ladder(sbc, first).splitlines()[0].split() == ["carrier", "sbc", "office", "branch"]
    assert sbc.idle()


def test_each_server_of_a_hunt_has_a_line_with_its_name(world):
    sbc = world(TWO_CARRIERS)
    office, carrier = sbc.office(), sbc.carrier()
    spare = sbc.phone("second.carrier.net", "198.51.100.8:5060", through=OUTSIDE)
    office.invites(FAR)
    carrier.refuses(503)
    spare.answers()
    office.hangs_up()
    assert ladder(sbc, sbc.cdr.only.ref).splitlines()[0].split() == ["office", "sbc", "carrier", "spare"]
    assert sbc.idle()


def test_who_is_turned_away_has_his_name_in_the_ladder(world):
    sbc = world()
    office = sbc.office()
    office.invites(FAR, fields=(("Require", "nonsense"),))
    assert office.got(420)
    assert ladder(sbc, sbc.cdr.only.ref).splitlines()[0].split() == ["office", "sbc", "egress", "peer"]
    assert sbc.idle()


def test_the_ladders_of_a_transfer_lead_to_each_other(world):
    sbc, carrier, first, second = blind(world)
    assert f"office transfers to {BRANCH}: call {second}" in ladder(sbc, first)
    assert f"takes in the call {second}" in ladder(sbc, first)
    assert f"placed by a transfer of office in the call {first}" in ladder(sbc, second)
    assert f"goes on in the call {first}" in ladder(sbc, second)
    carrier.hangs_up()
    assert sbc.idle()


def test_the_transferor_hears_how_it_goes_as_the_ladder_says(world):
    sbc, carrier, first, _ = blind(world)
    drawn = ladder(sbc, first)
    assert [status for status in (100, 180, 200) if f" NOTIFY {status} " in drawn] == [100, 180, 200]
    carrier.hangs_up()
    assert sbc.idle()


def test_a_call_that_rings_for_another_one_says_so(world):
    sbc, office, carrier, branch = called(world)
    (first,) = sbc.switch.calls
    party = office.call
    office.invites(BRANCH)
    branch.rings()
    (second,) = set(sbc.switch.calls) - {first}
    refers(office, party=party, to=refer_to_replacing(office.call))
    assert f"rings for the call {first} now: transferred by office" in ladder(sbc, second)
    assert " REFER replaces " in ladder(sbc, first)
    branch.answers()
    sbc.run(1)
    carrier.hangs_up()
    assert sbc.idle()


def test_the_record_of_the_placed_call_names_the_one_that_it_became_part_of(world):
    sbc, carrier, first, second = blind(world)
    carrier.hangs_up()
    assert {record.ref: record.joined_to for record in sbc.cdr} == {first: None, second: first}
    assert sbc.idle()


def test_a_transfer_that_fails_joins_nothing(world):
    sbc, office, carrier, branch = called(world)
    refers(office)
    branch.refuses(486)
    carrier.hangs_up()
    assert [record.joined_to for record in sbc.cdr] == [None, None]
    assert sbc.idle()


def parties(view):
    return view.ingress, view.egress, view.caller, view.called


def test_a_running_call_is_shown_with_those_who_talk_now(world):
    sbc, carrier, first, _ = blind(world)
    (view,) = sbc.switch.snapshot(sbc.now).calls
    assert view.ref == first
    assert parties(view) == ("carrier", "branch", FAR, BRANCH)
    carrier.hangs_up()
    assert sbc.idle()


def test_where_the_caller_has_left_who_was_called_talks_with_the_target(world):
    sbc, office, carrier, branch = three(world)
    office.invites(FAR)
    carrier.answers()
    refers(office)
    branch.answers()
    sbc.run(1)
    (view,) = sbc.switch.snapshot(sbc.now).calls
    assert parties(view) == ("branch", "carrier", BRANCH, FAR)  # the branch stands in the office's place
    carrier.hangs_up()
    assert sbc.idle()


def test_two_callers_who_were_joined_are_both_shown(world):
    """An attended transfer between two who have called the office themselves."""
    sbc, office, carrier, branch = called(world)
    party = office.call
    branch.invites(DID)
    office.answers()
    refers(office, party=party, to=refer_to_replacing(office.call))
    sbc.run(1)
    (view,) = sbc.switch.snapshot(sbc.now).calls
    assert parties(view) == ("carrier", "branch", FAR, BRANCH)
    carrier.hangs_up()
    assert sbc.idle()


def test_the_log_names_those_who_talk_from_the_transfer_on(world):
    sbc, carrier, first, _ = blind(world)
    carrier.hangs_up()
    said = {log.event: dict(log.fields) for log in sbc.logs if ("ref", first) in log.fields}
    names = ("ingress", "egress", "caller", "called")
    assert [said["call.transferring"][name] for name in names] == ["carrier", "office", FAR, DID]
    for event in ("call.transferred", "call.ended"):
        assert [said[event][name] for name in names] == ["carrier", "branch", FAR, BRANCH]
    assert said["call.transferred"]["with"] == said["call.transferring"]["with"]
    record = next(record for record in sbc.cdr if record.ref == first)
    assert (record.egress, record.called) == ("office", DID)  # the record says how it was set up
    assert sbc.idle()
