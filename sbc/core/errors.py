"""Errors in two halves: theirs (a peer or an operator is to blame) and ours (a bug or a missing resource).

Expected outcomes such as busy or no answer are not errors but values; see `cause`.
"""


class SbcError(Exception):
    """Base of everything that we raise on purpose."""


class TheirFaultError(SbcError):
    """A peer sent something wrong. `status` is what it should be answered with."""

    status: int = 400


class OperatorError(SbcError):
    """The operator gave something that cannot be used: a message for the terminal, exit status 1."""
