from sbc.core import limits


def test_every_limit_is_a_positive_number_and_the_smaller_ones_are_smaller():
    values = {name: value for name, value in vars(limits).items() if name.isupper()}
    assert values
    assert all((min(value) if isinstance(value, tuple) else value) > 0 for value in values.values())
    assert limits.HEADER_VALUE_OCTETS <= limits.HEADER_SECTION_OCTETS <= limits.MESSAGE_OCTETS
    assert limits.SDP_OCTETS <= limits.MESSAGE_OCTETS
    assert limits.TRACE_OCTETS_PER_CALL <= limits.TRACE_OCTETS
    assert limits.PORT_QUARANTINE_MINIMUM_SECONDS < limits.PORT_QUARANTINE_SECONDS
