"""The first wall against toll fraud: calls at once, calls a second, minutes a day, the longest call."""

import pytest

from sbc.testing.world import DID, FAR, POLICY


def limited(limits, *, on="pbx"):
    if on == "route":
        return POLICY.replace('to: [national, "+44X."]', f'to: [national, "+44X."], limits: {{{limits}}}')
    return POLICY.replace("dids: [", f"limits: {{{limits}}}, dids: [")


def talk(sbc, seconds):
    office, carrier = sbc.phones[:2]
    office.invites(FAR)
    carrier.answers()
    sbc.run(seconds)
    office.hangs_up()


@pytest.mark.parametrize("on", ["pbx", "route"])
def test_calls_at_once(world, on):
    sbc = world(limited("call_paths: 1", on=on))
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    office.invites(FAR)
    assert office.got(503)
    assert sbc.cdr.only.cause == "paths_full"
    carrier.invites(DID)  # calls to it are not its own
    office.answers()
    carrier.hangs_up()
    office.agent.parties[:] = office.agent.parties[:1]
    office.hangs_up()
    talk(sbc, 1.0)
    assert sbc.idle()


@pytest.mark.parametrize("on", ["pbx", "route"])
def test_calls_per_second(world, on):
    sbc = world(limited("cps: 2", on=on))
    office, carrier = sbc.office(), sbc.carrier()
    carrier.answers_by_itself(after=0.01, rings=None, hangs_up_after=0.01)
    for _ in range(3):
        office.invites(FAR)
    assert office.got(503)
    assert sbc.cdr[0].cause == "rate_limited"
    sbc.run(1.0)
    office.invites(FAR)
    sbc.run(1.0)
    assert [record.cause for record in sbc.cdr].count("normal") == 3
    assert sbc.idle()


def test_minutes_a_day_run_out_and_come_back_at_midnight(world):
    sbc = world(limited("minutes_per_day: 2"))
    sbc.office()
    sbc.carrier()
    talk(sbc, 130.0)
    sbc.phones[0].invites(FAR)
    assert sbc.phones[0].got(503)
    assert sbc.cdr[-1].cause == "rate_limited"
    sbc.run(86_400.0)
    talk(sbc, 1.0)
    assert sbc.cdr[-1].cause == "normal"
    assert sbc.idle()


def test_minutes_that_were_spent_stay_spent_over_a_restart(world):
    sbc = world(limited("minutes_per_day: 2"))
    sbc.office()
    sbc.carrier()
    talk(sbc, 130.0)
    sbc.run(61.0)
    assert sbc.idle(after=0.0, but=("transactions", "phones", "deadline"))
    again = world(limited("minutes_per_day: 2"), kept=sbc.kept)
    office = again.office()
    office.invites(FAR)
    assert office.got(503)
    assert again.cdr.only.cause == "rate_limited"
    assert again.idle()


@pytest.mark.parametrize("on", ["pbx", "route"])
def test_the_longest_call(world, on):
    sbc = world(limited("max_duration: 1m", on=on))
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    sbc.run(59.0)
    assert office.is_talking
    sbc.run(1.5)
    assert office.got("BYE")
    assert carrier.got("BYE")
    record = sbc.cdr.only
    assert (record.cause, record.ended_by, record.billable_ms) == ("rate_limited", "sbc", 60_000)
    assert sbc.idle()


def test_the_rate_of_a_trunk_sends_calls_to_the_next(world):
    policy = (
        POLICY.replace('servers: ["sip:198.51.100.7:5060"]', 'servers: ["sip:198.51.100.7:5060"], cps: 1')
        .replace("routes:\n", "  spare: {interface: outside, servers: ['sip:198.51.100.8:5060'], cps: 1}\nroutes:\n")
        .replace("via: [carrier]", "via: [carrier, spare]")
    )
    sbc = world(policy)
    office = sbc.office()
    for phone in (sbc.carrier(), sbc.phone("second.carrier.net", "198.51.100.8:5060", through="203.0.113.1:5060")):
        phone.answers_by_itself(after=0.01, rings=None, hangs_up_after=0.01)
    for _ in range(3):
        office.invites(FAR)
    sbc.run(1.0)
    assert sorted((record.egress, record.cause) for record in sbc.cdr) == [
        ("carrier", "normal"), ("carrier", "rate_limited"), ("spare", "normal"),
    ]  # fmt: skip
    assert sbc.idle()


def test_the_rate_of_the_node(world):
    sbc = world(POLICY.replace("country: US", "country: US, cps: 2"))
    office, carrier = sbc.office(), sbc.carrier()
    carrier.answers_by_itself(after=0.01, rings=None, hangs_up_after=0.01)
    for _ in range(3):
        office.invites(FAR)
    assert office.got(503)
    assert b"Retry-After" not in b"".join(sbc.net.sent_to(office.name))
    sbc.run(1.0)
    assert sorted(record.cause for record in sbc.cdr) == ["normal", "normal", "rate_limited"]
    assert sbc.idle()


def test_what_a_pbxs_own_limits_refuse_uses_nothing_of_the_nodes_rate(world):
    policy = limited("cps: 1").replace("country: US", "country: US, cps: 3")
    policy = policy.replace("trunks:\n", "  branch: {interface: inside, address: sip:10.0.0.6:5060}\ntrunks:\n")
    sbc = world(policy.replace("from: office,", "from: [office, branch],"))
    office, carrier = sbc.office(), sbc.carrier()
    branch = sbc.phone("pbx-12.branch.internal", "10.0.0.6:5060", through="10.0.0.1:5060")
    carrier.answers_by_itself(after=0.01, rings=None, hangs_up_after=0.01)
    for _ in range(10):
        office.invites(FAR)
    branch.invites(FAR)
    sbc.run(0.1)
    assert branch.got(200)
    assert sbc.idle()


def test_a_process_that_was_stopped_for_a_while_ends_the_longest_call_all_the_same(world):
    """Two timers of the call are over when it is asked again; the first ends it."""
    sbc = world(limited("max_duration: 90s"))
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    sbc.run(40.0)
    carrier.script.reinvites = None
    office.holds()
    sbc.run(1.0)
    sbc.net.perform(sbc.host, sbc.host.tick(sbc.now + 70.0))
    sbc.run(70.0)  # to where the engine is already: what it remembers of the call has its time from there
    assert not [log for log in sbc.logs if log.event == "call.crashed"]
    assert (sbc.cdr.only.cause, sbc.cdr.only.sip_status) == ("rate_limited", 200)
    assert sbc.idle()
