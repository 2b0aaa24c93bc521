"""What a simulation found: a rule that did not hold, when, and for which call."""


class Violation(Exception):  # noqa: N818 - it is no error of the program that raises it
    """`rule` is the invariant's name; `call`: the Call-ID of the caller's leg, where one call is concerned."""

    def __init__(self, rule: str, what: str, call: str = "") -> None:
        super().__init__(f"{rule}: {what}")
        self.rule = rule
        self.what = what
        self.call = call
