"""Call paths: who gets one, who does not, and what is left when everybody is gone."""

import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sbc.peering.paths import PathLedger
from sbc.peering.views import HolderView, PathView
from sbc.policy.model import PathRules

IN, OUT = "inbound", "outbound"
NOW = 60.0
DAY = 86_400.0


def _ledger(pools=(), **rules):
    ledger = PathLedger()
    ledger.set_rules(rules, dict(pools))
    return ledger


def _fill(ledger, trunk, direction, count, **options):
    return [ledger.take(trunk, f"{direction}-{n}", 1, direction, float(n), **options) for n in range(count)]


def test_as_many_calls_as_the_trunk_has_paths_and_no_more():
    ledger = _ledger(a=PathRules(total=2))
    assert _fill(ledger, "a", OUT, 3) == [True, True, False]
    assert ledger.used("a") == 2
    assert not ledger.would_fit("a", IN)


def test_a_path_that_is_given_back_goes_to_the_next_call():
    ledger = _ledger(a=PathRules(total=1))
    assert ledger.take("a", "one", 1, OUT, 0.0)
    ledger.give_back("one", 1)
    assert ledger.take("a", "two", 1, OUT, 1.0)
    assert ledger.used("a") == 1


def test_a_leg_holds_one_path_however_often_it_takes_it_and_gives_it_back():
    ledger = _ledger(a=PathRules(total=1))
    assert [ledger.take("a", "one", 1, OUT, t) for t in (0.0, 1.0)] == [True, True]
    assert ledger.used("a") == 1
    ledger.give_back("one", 1)
    ledger.give_back("one", 1)
    ledger.give_back_all("one")
    assert ledger.used("a") == 0


def test_a_call_that_comes_in_and_goes_out_on_one_trunk_holds_two():
    ledger = _ledger(a=PathRules(total=2))
    assert ledger.take("a", "one", 0, IN, 0.0)
    assert ledger.take("a", "one", 1, OUT, 0.0)
    assert (ledger.used("a"), ledger.used("a", IN), ledger.used("a", OUT)) == (2, 1, 1)
    ledger.give_back("one", 1)
    assert ledger.used("a") == 1
    ledger.give_back_all("one")
    assert ledger.used("a") == 0


def test_one_leg_that_hunts_over_two_trunks_gives_back_both():
    ledger = _ledger(a=PathRules(total=1), b=PathRules(total=1))
    assert ledger.take("a", "one", 1, OUT, 0.0)
    assert ledger.take("b", "one", 1, OUT, 4.0)
    ledger.give_back("one", 1)
    assert (ledger.used("a"), ledger.used("b"), len(ledger)) == (0, 0, 0)


def test_each_direction_has_its_own_maximum():
    ledger = _ledger(a=PathRules(total=4, inbound=1, outbound=2))
    assert _fill(ledger, "a", OUT, 3) == [True, True, False]
    assert _fill(ledger, "a", IN, 2) == [True, False]


@pytest.mark.parametrize(
    ("rules", "direction", "admitted"),
    [
        (PathRules(total=4, reserve_inbound=1), OUT, 3),
        (PathRules(total=4, reserve_inbound=1), IN, 4),
        (PathRules(total=4, reserve_outbound=3), IN, 1),
        (PathRules(total=4, reserve_emergency=1), OUT, 3),
        (PathRules(total=4, reserve_emergency=1, reserve_inbound=1, reserve_outbound=1), OUT, 2),
        (PathRules(total=2, reserve_emergency=3), OUT, 0),
    ],
)
def test_a_reserve_caps_all_others_at_what_is_left(rules, direction, admitted):
    assert sum(_fill(_ledger(a=rules), "a", direction, 6)) == admitted


def test_a_reserve_that_is_in_use_is_not_kept_free_twice():
    ledger = _ledger(a=PathRules(total=4, reserve_inbound=2))
    assert all(_fill(ledger, "a", IN, 2))
    assert _fill(ledger, "a", OUT, 3) == [True, True, False]


def test_an_emergency_in_the_emergency_reserve_takes_nothing_from_others():
    ledger = _ledger(a=PathRules(total=3, reserve_emergency=1))
    assert ledger.take("a", "help", 1, OUT, 0.0, emergency=True)
    assert _fill(ledger, "a", OUT, 3) == [True, True, False]


def test_emergencies_exceed_every_limit_and_hold_paths_like_others():
    ledger = _ledger(a=PathRules(total=2, outbound=1))
    assert _fill(ledger, "a", OUT, 1) == [True]
    assert [ledger.take("a", f"help-{n}", 1, OUT, 9.0, emergency=True) for n in range(3)] == [True] * 3
    assert ledger.used("a") == 4
    ledger.give_back("help-0", 1)
    assert not ledger.would_fit("a", IN)
    for n in range(3):
        ledger.give_back(f"help-{n}", 1)
    assert ledger.would_fit("a", IN)


def test_an_emergency_counts_towards_its_directions_maximum():
    ledger = _ledger(a=PathRules(total=9, outbound=2))
    assert ledger.take("a", "help", 1, OUT, 0.0, emergency=True)
    assert _fill(ledger, "a", OUT, 2) == [True, False]


def test_a_trunk_without_rules_has_no_limit():
    ledger = _ledger(a=PathRules())
    assert all(_fill(ledger, "a", OUT, 100))
    assert all(_fill(ledger, "stranger", IN, 100))
    assert ledger.views(NOW)[0].limit is None


def test_trunks_of_a_pool_share_its_paths():
    ledger = _ledger({"acme": 3}, a=PathRules(pool="acme", outbound=2), b=PathRules(pool="acme"))
    assert _fill(ledger, "a", OUT, 3) == [True, True, False]  # its own maximum
    assert _fill(ledger, "b", IN, 2) == [True, False]  # the pool's
    assert (ledger.used("a"), ledger.used("b")) == (2, 1)
    ledger.give_back("outbound-0", 1)
    assert ledger.would_fit("b", IN)


def test_a_pool_keeps_the_largest_reserve_that_its_trunks_ask_for():
    ledger = _ledger(
        {"acme": 4}, a=PathRules(pool="acme", reserve_inbound=1), b=PathRules(pool="acme", reserve_inbound=2)
    )
    assert sum(_fill(ledger, "a", OUT, 5)) == 2


def test_views_name_the_holders_oldest_first_and_pools_after_trunks():
    ledger = _ledger({"acme": 4}, a=PathRules(pool="acme"), b=PathRules(total=7))
    assert ledger.take("a", "young", 1, OUT, 5.0)
    assert ledger.take("a", "old", 0, IN, 2.0, emergency=True)
    old, young = HolderView("a", "old", 0, IN, 2.0, True), HolderView("a", "young", 1, OUT, 5.0, False)
    assert ledger.views(NOW) == (
        PathView("a", 4, 2, (old, young), pool="acme", peak_today=2, inbound=1, outbound=1),
        PathView("b", 7, 0),
        PathView("acme", 4, 2, (old, young), kind="pool", peak_today=2, inbound=1, outbound=1),
    )


def test_peaks_remember_the_most_that_was_held_at_once():
    ledger = _ledger(a=PathRules(total=9), b=PathRules(total=9))
    _fill(ledger, "a", OUT, 3)
    for n in range(3):
        ledger.give_back(f"outbound-{n}", 1)
    _fill(ledger, "a", OUT, 2)
    assert ledger.peaks(NOW) == {"a": 3}


def test_a_new_day_begins_with_what_is_held():
    ledger = _ledger({"acme": 9}, a=PathRules(pool="acme"))
    ledger.today.set_wall(1000 * DAY - 10.0, 0.0)  # ten seconds before midnight
    _fill(ledger, "a", OUT, 3)
    ledger.give_back("outbound-0", 1)
    assert [view.peak_today for view in ledger.views(9.0)] == [3, 3]
    assert [view.peak_today for view in ledger.views(10.0)] == [2, 2]
    ledger.give_back("outbound-1", 1)
    assert ledger.take("a", "late", 1, OUT, 10.0 + DAY)  # nobody has looked for a day
    assert ledger.peaks(10.0 + DAY) == {"a": 2}


def test_a_wall_clock_that_is_stepped_moves_midnight():
    ledger = _ledger(a=PathRules(total=9))
    ledger.today.set_wall(0.0, 0.0)
    _fill(ledger, "a", OUT, 2)
    ledger.give_back("outbound-0", 1)
    ledger.today.set_wall(DAY - 60.0, 30.0)
    assert ledger.peaks(59.0) == {"a": 2}
    assert ledger.peaks(60.0) == {"a": 1}


def test_a_reload_that_lowers_the_cap_touches_nobody_and_admits_nobody_until_there_is_room():
    ledger = _ledger(a=PathRules(total=3))
    _fill(ledger, "a", OUT, 3)
    ledger.set_rules({"a": PathRules(total=1)}, {})
    assert ledger.used("a") == 3
    ledger.give_back("outbound-0", 1)
    ledger.give_back("outbound-1", 1)
    assert not ledger.would_fit("a", OUT)
    ledger.give_back("outbound-2", 1)
    assert ledger.would_fit("a", OUT)


def test_a_reload_that_raises_the_cap_counts_at_once():
    ledger = _ledger(a=PathRules(total=1))
    _fill(ledger, "a", OUT, 1)
    ledger.set_rules({"a": PathRules(total=2)}, {})
    assert ledger.would_fit("a", OUT)


def test_a_trunk_that_leaves_the_policy_is_shown_until_its_last_call_ends():
    ledger = _ledger(a=PathRules(total=3))
    _fill(ledger, "a", OUT, 2)
    ledger.set_rules({}, {})
    assert [(view.trunk, view.limit, view.used) for view in ledger.views(NOW)] == [("a", None, 2)]
    ledger.give_back("outbound-0", 1)
    ledger.give_back("outbound-1", 1)
    assert ledger.views(NOW) == ()


def test_a_trunk_that_leaves_the_policy_goes_on_using_its_pool():
    ledger = _ledger({"acme": 2}, a=PathRules(pool="acme"), b=PathRules(pool="acme"))
    _fill(ledger, "a", OUT, 2)
    ledger.set_rules({"b": PathRules(pool="acme")}, {"acme": 2})
    assert not ledger.would_fit("b", OUT)
    ledger.give_back("outbound-0", 1)
    assert ledger.would_fit("b", OUT)


def test_a_reload_may_move_a_trunk_with_calls_into_a_pool_and_out_of_it():
    ledger = _ledger(a=PathRules(total=5))
    _fill(ledger, "a", OUT, 2)
    ledger.set_rules({"a": PathRules(pool="acme"), "b": PathRules(pool="acme")}, {"acme": 2})
    assert not ledger.would_fit("b", OUT)
    ledger.set_rules({"a": PathRules(total=2), "b": PathRules(pool="acme")}, {"acme": 2})
    assert ledger.would_fit("b", OUT)
    assert not ledger.would_fit("a", OUT)
    ledger.give_back("outbound-0", 1)
    assert ledger.would_fit("a", OUT)


def test_reconciling_finds_nothing_while_every_holder_is_alive():
    ledger = _ledger(a=PathRules(total=3))
    _fill(ledger, "a", OUT, 2)
    assert ledger.reconcile({"outbound-0", "outbound-1"}) == []
    assert (ledger.used("a"), ledger.leaked) == (2, 0)


def test_reconciling_takes_back_what_a_call_that_is_gone_still_holds_and_counts_it():
    ledger = _ledger(a=PathRules(total=2))
    _fill(ledger, "a", OUT, 2)
    assert ledger.reconcile({"outbound-1"}) == [HolderView("a", "outbound-0", 1, OUT, 0.0, False)]
    assert (ledger.used("a"), ledger.leaked) == (1, 1)
    assert ledger.would_fit("a", OUT)


def test_ten_thousand_random_arrivals_failures_and_hang_ups_never_exceed_four_and_never_stick():
    chance = random.Random(20250131)
    ledger = _ledger(a=PathRules(total=4))
    up, refused, now = {}, 0, 0.0
    for n in range(10_000):
        now += chance.expovariate(1.0)
        for ref in [ref for ref, ends_at in up.items() if ends_at <= now]:
            chance.choice((lambda r: ledger.give_back(r, 1), ledger.give_back_all))(ref)
            if chance.random() < 0.2:
                ledger.give_back_all(ref)  # the other leg's end comes late
            del up[ref]
        if ledger.take("a", f"call-{n}", 1, chance.choice((IN, OUT)), now):
            up[f"call-{n}"] = now + chance.choice((0.0, chance.expovariate(1 / 6.0)))
        else:
            refused += 1
            assert len(up) == 4  # nobody is refused while a path is free
        assert ledger.used("a") == len(up) <= 4
    assert refused > 1_000
    for ref in up:
        ledger.give_back_all(ref)
    assert (ledger.used("a"), len(ledger), ledger.peaks(NOW)["a"]) == (0, 0, 4)
    assert ledger.take("a", "last", 1, OUT, now)


RULES = st.builds(
    PathRules,
    total=st.integers(1, 6),
    inbound=st.none() | st.integers(0, 6),
    outbound=st.none() | st.integers(0, 6),
    reserve_emergency=st.integers(0, 2),
    reserve_inbound=st.integers(0, 2),
    reserve_outbound=st.integers(0, 2),
)
POOLED = st.builds(PathRules, pool=st.just("acme"), inbound=st.none() | st.integers(0, 4))
TRUNKS = st.sampled_from(["a", "b", "c"])
DIRECTIONS = st.sampled_from([IN, OUT])
REFS = st.integers(0, 7).map("call-{}".format)


class Calls(RuleBasedStateMachine):
    """A plain list of who holds what is the model; the ledger must say the same, whatever happens."""

    def __init__(self):
        super().__init__()
        self.ledger = PathLedger()
        self.held = {}  # ref, leg, trunk -> direction, emergency
        self.now = 0.0
        self.rules = {}
        self.pool = 3
        self.reload({"a": PathRules(total=4), "b": PathRules(pool="acme"), "c": PathRules(pool="acme")}, 3)

    @rule(rules=st.fixed_dictionaries({"a": RULES, "b": POOLED, "c": RULES | POOLED}), pool=st.integers(1, 5))
    def reload(self, rules, pool):
        self.rules, self.pool = rules, pool
        self.ledger.set_rules(rules, {"acme": pool})

    @rule(trunk=TRUNKS, ref=REFS, leg=st.integers(0, 1), direction=DIRECTIONS, emergency=st.booleans())
    def call(self, trunk, ref, leg, direction, emergency):
        self.now += 0.5
        holds = (ref, leg, trunk) in self.held
        fits = self._fits(trunk, direction)
        assert self.ledger.would_fit(trunk, direction) is fits
        taken = self.ledger.take(trunk, ref, leg, direction, self.now, emergency=emergency)
        assert taken is (holds or emergency or fits)
        if taken and not holds:
            self.held[ref, leg, trunk] = direction, emergency

    @rule(ref=REFS, leg=st.integers(0, 1))
    def leg_ends(self, ref, leg):
        self.ledger.give_back(ref, leg)
        self.held = {key: value for key, value in self.held.items() if key[:2] != (ref, leg)}

    @rule(ref=REFS)
    def call_ends(self, ref):
        self.ledger.give_back_all(ref)
        self.held = {key: value for key, value in self.held.items() if key[0] != ref}

    @precondition(lambda self: self.held)
    @rule()
    def everybody_hangs_up(self):
        for ref in {key[0] for key in self.held}:
            self.ledger.give_back_all(ref)
        self.held = {}
        assert len(self.ledger) == 0

    @invariant()
    def used_is_the_number_of_holders(self):
        for trunk in "abc":
            holders = [key for key in self.held if key[2] == trunk]
            assert self.ledger.used(trunk) == len(holders)
        assert self.ledger.reconcile({key[0] for key in self.held}) == []
        views = {view.trunk: view for view in self.ledger.views(NOW)}
        for view in views.values():
            assert len(view.holders) == view.used
            assert [holder.since for holder in view.holders] == sorted(holder.since for holder in view.holders)
        pooled = [key for key in self.held if self.rules[key[2]].pool]
        assert views["acme"].used == len(pooled)

    def _fits(self, trunk, direction):
        """The rule as the contract has it, counted from scratch."""
        rules = self.rules[trunk]
        most = rules.inbound if direction == IN else rules.outbound
        mine = [value for key, value in self.held.items() if key[2] == trunk]
        if most is not None and sum(value[0] == direction for value in mine) >= most:
            return False
        members = [name for name in self.rules if name == trunk or (rules.pool and self.rules[name].pool)]
        values = [value for key, value in self.held.items() if key[2] in members]
        reserve = {
            "emergency": max(self.rules[name].reserve_emergency for name in members),
            IN: max(self.rules[name].reserve_inbound for name in members),
            OUT: max(self.rules[name].reserve_outbound for name in members),
        }
        used = dict.fromkeys(reserve, 0)
        for went, emergency in values:
            used["emergency" if emergency else went] += 1
        others = sum(max(used[name], reserve[name]) for name in reserve if name != direction)
        return used[direction] + 1 + others <= (self.pool if rules.pool else rules.total)


TestCalls = Calls.TestCase
TestCalls.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_a_path_moves_with_its_leg_into_another_call():
    ledger = _ledger(a=PathRules(total=2))
    ledger.take("a", "child", 1, OUT, 5.0, emergency=True)
    ledger.take("a", "child", 0, IN, 5.0)
    ledger.move("child", 1, "call", 3)
    (trunk,) = ledger.views(NOW)
    assert HolderView("a", "call", 3, OUT, 5.0, emergency=True) in trunk.holders
    assert (trunk.used, ledger.peaks(NOW)["a"]) == (2, 2)
    ledger.give_back_all("child")
    assert ledger.used("a") == 1
    ledger.give_back("call", 3)
    assert ledger.used("a") == 0


def test_a_move_raises_no_peak_of_a_pool_either():
    ledger = _ledger({"acme": 2}, a=PathRules(pool="acme"), b=PathRules(pool="acme"))
    ledger.take("a", "one", 1, "outbound", NOW)
    ledger.take("b", "two", 1, "outbound", NOW)
    ledger.move("one", 1, "two", 7)
    assert [(view.trunk, view.peak_today) for view in ledger.views(NOW)] == [("a", 1), ("b", 1), ("acme", 2)]


def test_a_move_of_nothing_moves_nothing():
    ledger = _ledger(a=PathRules(total=2))
    ledger.take("a", "child", 1, OUT, 0.0)
    ledger.move("child", 2, "call", 3)
    ledger.move("other", 1, "call", 3)
    assert ledger.used("a") == 1
    ledger.give_back_all("child")
    assert len(ledger) == 0


def test_a_path_of_a_trunk_that_left_the_policy_moves_in_its_pool():
    ledger = _ledger(pools={"p": 3}, a=PathRules(pool="p"))
    ledger.take("a", "child", 1, OUT, 0.0)
    ledger.set_rules({}, {"p": 3})
    ledger.move("child", 1, "call", 2)
    assert [view.used for view in ledger.views(NOW)] == [1, 1]
    ledger.give_back_all("call")
    assert [view.used for view in ledger.views(NOW)] == [0]
