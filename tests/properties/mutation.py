"""Octets spoilt by chance: cuts, doublings, and what parsers like least put in."""

from hypothesis import strategies as st


def mutations_of(spice, *, within, fewest=0, most):
    """Lists of changes for `mutated`. `spice`: octets worth putting in; `within`: places to change, from the start."""
    change = st.tuples(
        st.sampled_from(("cut", "insert", "replace", "double")),
        st.integers(0, within),
        st.integers(0, 40),
        st.one_of(st.sampled_from(spice), st.binary(max_size=6)),
    )
    return st.lists(change, min_size=fewest, max_size=most)


def mutated(data, changes):
    for kind, where, span, spice in changes:
        at = where % (len(data) + 1)
        if kind == "cut":
            data = data[:at] + data[at + span :]
        elif kind == "insert":
            data = data[:at] + spice + data[at:]
        elif kind == "replace":
            data = data[:at] + spice + data[at + len(spice) :]
        else:
            data = data[:at] + data[at : at + span] + data[at:]
    return data
