"""Of tables that several workers have."""

from sbc.core.tables import Table, fullest


def test_of_each_name_the_table_that_is_nearest_to_its_bound_is_told():
    half, most, none = Table("slots", 5, 10), Table("slots", 3, 4), Table("slots", 0, 4)
    assert fullest([half, Table("keys", 0, 9), most, none]) == (most, Table("keys", 0, 9))
    assert fullest([most, half]) == (most,)


def test_a_table_without_room_is_no_reason_to_fail():
    assert fullest([Table("slots", 0, 0), Table("slots", 0, 0)]) == (Table("slots", 0, 0),)
    assert fullest([]) == ()
