"""Late messages find the leg that they are for, however often its call was joined into another."""

from sbc.b2bua.moved import Moves


def test_a_user_follows_its_leg():
    moves = Moves()
    moves.note(("child", 1), ("call", 3))
    assert moves.user_of(("child", 1, 4)) == ("call", 3, 4)
    assert moves.user_of(("call", 0, 1)) == ("call", 0, 1)
    assert moves.user_of(("health", "trunk", 1)) == ("health", "trunk", 1)
    assert moves.user_of(None) is None


def test_a_leg_that_moves_twice_is_found_by_all_its_names():
    moves = Moves()
    moves.note(("a", 1), ("b", 2))
    moves.note(("b", 2), ("c", 5))
    assert moves.place_of("a", 1) == ("c", 5)
    assert moves.place_of("b", 2) == ("c", 5)
    assert moves.place_of("c", 5) is None


def test_a_call_that_was_taken_in_is_known_by_its_first_leg():
    moves = Moves()
    moves.note(("a", 0), ("b", 2))
    assert moves.call_of("a") == "b"
    assert moves.call_of("b") is None


def test_nothing_is_left_when_the_survivor_is_gone():
    moves = Moves()
    moves.note(("a", 0), ("b", 2))
    moves.note(("a", 1), ("b", 3))
    moves.note(("b", 0), ("c", 2))
    moves.note(("b", 2), ("c", 4))
    moves.note(("b", 3), ("c", 5))
    moves.forget("b", 4)  # as the switch does for every call that is over
    assert moves.place_of("a", 1) == ("c", 5)
    moves.forget("c", 6)
    assert len(moves) == 0
    assert moves.place_of("a", 0) is None
