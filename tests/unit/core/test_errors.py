from sbc.core.errors import OperatorError, SbcError, TheirFaultError


def test_a_fault_of_theirs_knows_the_status_to_answer_with():
    assert TheirFaultError("x").status == 400
    assert issubclass(TheirFaultError, SbcError)


def test_an_operators_error_is_not_a_peers():
    assert not issubclass(OperatorError, TheirFaultError)
