"""Peers that share one source, told apart by what the request says."""

from sbc.core.secret import Secret
from sbc.policy.engine import Policy
from sbc.policy.model import Auth, Peer, Register, Route, Server, Settings, Via


def trunk(name, user=None, **more):
    register = Register(user, "carrier.example") if user else None
    return Peer(name, "trunk", "outside", (Server("192.0.2.1"),), register=register, **more)


def pbx(name, username):
    auth = Auth(username, Secret("x"))
    return Peer(name, "pbx", "inside", (), auth=auth, registers=True, accepts_any=True)


ONE = trunk("one", "+14155550100")
TWO = trunk("two", "+14155550200")
PLAIN = trunk("plain")


def which(peers, user="", called="", username=None, routes=()):
    policy = Policy(Settings(), peers=peers, routes=routes)
    candidates = policy.speakers("outside", "192.0.2.1", 5060) or policy.speakers("inside", "192.0.2.9", 5060)
    assert len(candidates) == len(peers)
    return policy.which(candidates, user, called, username).name


def test_the_only_one_is_the_one():
    assert which([ONE], "whatever") == "one"


def test_trunks_are_told_apart_by_the_contact_that_was_registered():
    assert which([ONE, TWO], "+14155550200", "+14155550999") == "two"
    assert which([ONE, TWO], "+14155550100", "+14155550999") == "one"


def test_contacts_are_compared_as_numbers_however_they_are_written():
    for written in ("14155550200", "4155550200", "415-555-0200"):
        assert which([ONE, TWO], written) == "two"
    assert which([trunk("one", "acme"), trunk("two", "beta")], "beta") == "two"


def test_then_by_did_as_the_first_trunk_whose_routes_take_the_number():
    routes = (
        Route("anybody", to=("+1415555XXXX",), via=(Via("plain"),)),
        Route("refused", ("plain",), ("+14155550300",), reject=403),
        Route("for-two", ("two",), ("+141555503XX",), via=(Via("two"),)),
    )
    assert which([ONE, TWO, PLAIN], "gin", "+14155550300", routes=routes) == "two"
    assert which([ONE, TWO, PLAIN], "gin", "+14155550400", routes=routes) == "one"


def test_a_did_decides_among_trunks_that_registered_the_same_user():
    routes = (Route("in", ("second",), ("+14155550123",), via=(Via("second"),)),)
    same = [trunk("first", "acme"), trunk("second", "acme"), trunk("third", "other")]
    assert which(same, "acme", "+14155550123", routes=routes) == "second"
    assert which(same, "other", "+14155550123", routes=routes) == "third"


def test_a_did_is_read_as_each_trunk_writes_it():
    routes = (Route("in", ("bare",), ("+442079460000",), via=(Via("bare"),)),)
    assert which([ONE, trunk("bare", called_form="e164-bare")], "", "442079460000", routes=routes) == "bare"


def test_pbxs_that_speak_from_anywhere_are_told_apart_by_their_accounts():
    peers = [pbx("office", "office-user"), pbx("branch", "branch-user")]
    assert which(peers, "+14155559999", "+14155559999", "branch-user") == "branch"


def test_without_credentials_or_with_foreign_ones_it_is_the_first_who_then_is_challenged():
    peers = [pbx("office", "office-user"), pbx("branch", "branch-user")]
    assert which(peers) == "office"
    assert which(peers, username="nobody") == "office"


def test_our_account_with_a_carrier_does_not_prove_who_speaks():
    carriers = [trunk("one", auth=Auth("acme", None)), trunk("two", auth=Auth("beta", None))]
    assert which(carriers, username="beta") == "one"
