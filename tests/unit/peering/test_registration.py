"""A trunk registers: what goes out when, what is believed, what is tried next, and when somebody is woken."""

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sbc.core.address import Address, Flow, Transport
from sbc.core.commands import Log, StoreState
from sbc.peering.hop import Hop
from sbc.peering.register_message import granted
from sbc.peering.registration import RegistrarFailed, Registration
from sbc.policy.model import Peer, Register, Server
from sbc.sip.auth.client import Authenticator
from sbc.sip.commands import CloseFlow, KeepAlive, SendRequest
from sbc.sip.message import Request, Response
from sbc.sip.status import reason_phrase
from sbc.testing.seeds import seeded_ids
from sbc.testing.timeline import run_until

US = Address("203.0.113.9", 5060)
REGISTER = Register("+14155550100", "carrier.example", expires=600.0, keepalive=0.0)
CHALLENGE = ("WWW-Authenticate", 'Digest realm="carrier", nonce="{}", qop="auth"')


def hop(host="198.51.100.7", transport=Transport.UDP):
    return Hop("carrier", Server(host), Flow(transport, "outside", US, Address(host, 5060)))


ONE, TWO, THREE = hop("198.51.100.7"), hop("198.51.100.8"), hop("198.51.100.9")


class Trunk:
    """The machine with its clock, and a registrar's answers by hand."""

    def __init__(self, ids, register=REGISTER, *, hops=(ONE,), credentials=None, saved=None, start=True):
        self.peer = Peer("carrier", "trunk", "outside", (Server("198.51.100.7"),), register=register)
        authenticator = Authenticator(*credentials, ids) if credentials else None
        self.machine = Registration(self.peer, authenticator, ids, saved=saved)
        self.now = 0.0
        self.timeline = []
        self.sent = []
        if start:
            self.see(self.machine.start(hops, 0.0))

    def see(self, outs):
        self.timeline += [(round(self.now, 3), out) for out in outs]
        self.sent += [out for out in outs if isinstance(out, SendRequest)]
        return outs

    def passes(self, seconds):
        """Only time; returns (time, output) of the span."""
        seen = run_until(self.machine, self.now, self.now + seconds)
        self.now += seconds
        self.timeline += seen
        self.sent += [out for _, out in seen if isinstance(out, SendRequest)]
        return seen

    def until_sent(self, count, limit=100_000.0):
        """Let time pass until that many requests have gone out."""
        while len(self.sent) < count:
            at = self.machine.next_deadline()
            assert at is not None, "nothing is going to happen"
            assert at <= limit, "nothing goes out"
            self.now = max(at, self.now)
            self.see(self.machine.tick(self.now))
        return self.sent[count - 1]

    def answers(self, status, *fields, contact="ours", expires=None, order=None, speaks=True, reason=None):
        order = order or self.sent[-1]
        request = as_sent(order)
        mine = request.header("Contact")
        listed = {"ours": mine, None: None}.get(contact, contact)
        if 200 <= status < 300 and listed is not None:
            asked = int(order.request.header("Expires"))
            fields = (("Contact", f"{listed};expires={asked if expires is None else expires}"), *fields)
        base = tuple((name, request.header(name)) for name in ("From", "To", "Call-ID", "CSeq"))
        response = Response(status, reason or reason_phrase(status), (*base, *fields))
        flow = order.flow
        return self.see(
            self.machine.take_response(order.user, response, request, flow, self.now, speaks_for_peer=speaks)
        )

    def fails(self, why="timeout", order=None):
        return self.see(self.machine.take_failure((order or self.sent[-1]).user, why, self.now))

    @property
    def state(self):
        return self.machine.view().state

    @property
    def last(self):
        return self.sent[-1].request

    def logs(self, level=None):
        found = [out for _, out in self.timeline if isinstance(out, Log)]
        return [log.event for log in found if level is None or log.level == level]

    def registered(self, seconds=600):
        self.answers(200, expires=seconds)
        assert self.state == "registered"
        return self


def as_sent(order):
    """With the Contact that the endpoint writes."""
    user = f"{order.contact}@" if order.contact else ""
    params = f";{order.contact_params}" if order.contact_params else ""
    fields = (*order.request.fields, ("Contact", f"<sip:{user}{US}{params}>"), ("User-Agent", "sbc"))
    return Request("REGISTER", order.request.uri_text, fields)


def requests(timeline):
    return [(at, out) for at, out in timeline if isinstance(out, SendRequest)]


def challenge(nonce="n1", more=""):
    return (CHALLENGE[0], CHALLENGE[1].format(nonce) + more)


# --- the request ------------------------------------------------------------------------------------------------------


def test_the_register_of_a_single_aor(ids):
    order = Trunk(ids).sent[0]
    request = order.request
    assert request.method == "REGISTER"
    assert request.uri_text == "sip:carrier.example"
    assert request.header("To") == "<sip:+14155550100@carrier.example>"
    assert request.header("From").startswith("<sip:+14155550100@carrier.example>;tag=")
    assert request.header("Expires") == "600"
    assert request.supported == ("path",)
    assert request.require == ()
    assert (order.contact, order.contact_params) == ("+14155550100", "")
    assert (order.flow, order.next_hop) == (ONE.flow, ONE.uri)
    assert request.header("Contact") is None  # the endpoint writes it
    assert order.user == ("register", "carrier", 1)


def test_a_bulk_registration_has_everything_that_rfc_6140_wants(ids):
    trunk = Trunk(ids, Register("pbx", "carrier.example", gin=True, keepalive=0.0))
    order = trunk.sent[0]
    assert order.request.require == ("gin",)
    assert order.request.proxy_require == ("gin",)
    assert order.request.supported == ("path",)
    assert order.request.header("To") == "<sip:pbx@carrier.example>"
    assert (order.contact, order.contact_params) == ("", "bnc")
    trunk.answers(200)
    assert trunk.state == "registered"
    assert trunk.machine.contact_user == ""


def test_an_ipv6_domain_stands_in_brackets(ids):
    assert Trunk(ids, Register("a", "2001:db8::1")).last.uri_text == "sip:[2001:db8::1]"


def test_a_peer_that_does_not_register_is_a_mistake_of_the_caller(ids):
    with pytest.raises(ValueError, match="does not register"):
        Registration(Peer("x", "trunk", "outside", ()), None, ids)


# --- refresh ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "earliest", "latest"),
    [(600, 480, 540), (3600, 2880, 3240), (60, 48, 54), (30, 24, 25), (10, 5, 5), (5, 2.5, 2.5), (2, 1, 1)],
)
def test_a_refresh_comes_at_80_to_90_percent_and_not_too_late(ids, seconds, earliest, latest):
    for _ in range(30):
        trunk = Trunk(ids).registered(seconds)
        at = trunk.machine.view().next_at
        assert earliest <= at <= latest
        assert trunk.machine.view().expires_at == seconds


def test_refreshes_keep_call_id_and_tag_and_count_up(ids):
    trunk = Trunk(ids).registered()
    for count in range(2, 6):
        trunk.until_sent(count)
        trunk.registered()
    assert len({order.request.call_id for order in trunk.sent}) == 1
    assert len({order.request.from_.tag for order in trunk.sent}) == 1
    numbers = [order.request.cseq.number for order in trunk.sent]
    assert numbers == list(range(numbers[0], numbers[0] + 5))
    assert trunk.logs() == ["registration.registered"]


@pytest.mark.parametrize(
    ("contact", "fields", "seconds"),
    [
        ("<sip:+14155550100@203.0.113.9:5060>;expires=90", (("Expires", "300"),), 90),  # the parameter counts more
        ("<sip:+14155550100@203.0.113.9:5060>", (("Expires", "300"),), 300),
        ("<sip:+14155550100@203.0.113.9:5060>;expires=soon", (), 600),  # no number: what we asked for
        ("<sip:+14155550100@203.0.113.9>;expires=90", (), 90),  # 5060 is the default
        ("<sip:%2B14155550100@203.0.113.9;transport=udp>;expires=90", (), 90),
        ("<sip:other@192.0.2.1>;expires=9999, <sip:+14155550100@203.0.113.9>;expires=90", (), 90),
        ("<sip:+14155550100@203.0.113.9>;expires=99999999999999999999", (), 86_400),
    ],
)
def test_what_is_granted_is_what_our_own_contact_says(ids, contact, fields, seconds):
    trunk = Trunk(ids)
    trunk.answers(200, ("Contact", contact), *fields, contact=None)
    assert trunk.machine.view().expires_at == seconds


@pytest.mark.parametrize(
    ("contact", "why"),
    [
        (None, "200 without our Contact"),
        ("<sip:+14155550100@192.0.2.1>;expires=600", "200 without our Contact, only 1 of others"),
        ("<sip:+14155550100@203.0.113.9:5062>;expires=600", "200 without our Contact, only 1 of others"),
        ("<sip:+14155550101@203.0.113.9>;expires=600", "200 without our Contact, only 1 of others"),
        ("<tel:+14155550100>;expires=600", "200 without our Contact, only 1 of others"),
        ("*", "200 without our Contact"),
        ("<sip:+14155550100@203.0.113.9>;expires=0", "200 that grants 0 s"),
        ("<sip:+14155550100@203.0.113.9>;expires=1", "200 that grants 1 s"),
        ("<<", "200 with a Contact that cannot be read"),
    ],
)
def test_a_200_that_does_not_hold_our_contact_is_a_failure(ids, contact, why):
    trunk = Trunk(ids)
    trunk.answers(200, *((("Contact", contact),) if contact else ()), contact=None)
    assert trunk.state == "failing"
    assert trunk.machine.view().why == why


@pytest.mark.parametrize("contact", [None, "*", "<tel:+14155550100>"])
def test_a_register_of_ours_without_a_contact_binds_nothing(ids, contact):
    sent = Request("REGISTER", "sip:a", (("Contact", contact),) if contact else ())
    assert granted(Response(200, "OK", ()), sent, 600) == "our REGISTER went out without a Contact"


# --- 423 --------------------------------------------------------------------------------------------------------------


def test_423_raises_the_expiry_at_once_and_for_good(ids):
    trunk = Trunk(ids)
    trunk.answers(423, ("Min-Expires", "1800"))
    assert [order.request.header("Expires") for order in trunk.sent] == ["600", "1800"]
    assert trunk.timeline[-1][0] == 0.0
    trunk.answers(200)
    trunk.until_sent(3)
    assert trunk.last.header("Expires") == "1800"


@pytest.mark.parametrize("minimum", [None, "600", "10", "86401", "99999999999999999", "soon", "-1"])
def test_423_without_a_minimum_that_makes_sense_is_a_refusal(ids, minimum):
    trunk = Trunk(ids)
    trunk.answers(423, *((("Min-Expires", minimum),) if minimum else ()))
    assert len(trunk.sent) == 1
    assert trunk.state == "rejected"


def test_a_second_423_is_a_refusal(ids):
    trunk = Trunk(ids)
    trunk.answers(423, ("Min-Expires", "1800"))
    trunk.answers(423, ("Min-Expires", "3600"))
    assert len(trunk.sent) == 2
    assert trunk.state == "rejected"


# --- Call-ID and CSeq across restarts ---------------------------------------------------------------------------------


def test_call_id_and_numbers_are_stored_before_the_first_register(ids):
    trunk = Trunk(ids)
    kinds = [type(out) for _, out in trunk.timeline]
    assert kinds == [StoreState, SendRequest]
    assert trunk.timeline[0][1].key == "register/carrier"


def test_after_a_restart_the_call_id_is_the_same_and_the_numbers_go_on(ids):
    before = Trunk(ids).registered()
    for count in range(2, 20):
        before.until_sent(count)
        before.registered()
    stores = [out for _, out in before.timeline if isinstance(out, StoreState)]
    assert len(stores) == 1  # and not one for each refresh
    after = Trunk(ids, saved=stores[-1].value)
    assert after.last.call_id == before.last.call_id
    assert after.last.cseq.number > before.last.cseq.number
    again = Trunk(ids, saved=[out for _, out in after.timeline if isinstance(out, StoreState)][-1].value)
    assert again.last.cseq.number > after.last.cseq.number


def test_numbers_beyond_the_promised_ones_are_promised_first(ids):
    trunk = Trunk(ids)
    for count in range(2, 1002):
        trunk.registered(2)
        trunk.until_sent(count)
    values = [msgspec.msgpack.decode(out.value) for _, out in trunk.timeline if isinstance(out, StoreState)]
    assert [promised for _, promised in values] == [1000, 2000]
    assert trunk.last.cseq.number == 1001


@pytest.mark.parametrize("saved", [b"", b"\xff", b"nonsense", msgspec.msgpack.encode(("", 5)), b"\x92\xa1x\xff"])
def test_what_was_kept_and_cannot_be_read_is_left(ids, saved):
    assert Trunk(ids, saved=saved).last.cseq.number == 1


def test_numbers_near_their_end_begin_anew_with_a_new_call_id(ids):
    trunk = Trunk(ids, saved=msgspec.msgpack.encode(("old", 2**31 - 500)))
    assert trunk.last.call_id != "old"
    assert trunk.last.cseq.number == 1


# --- credentials ------------------------------------------------------------------------------------------------------


def test_a_challenge_is_answered_at_the_very_server_that_made_it(ids):
    trunk = Trunk(ids, hops=(ONE, TWO), credentials=("acme", "secret"))
    trunk.answers(401, challenge())
    first, second = trunk.sent
    assert second.flow == first.flow
    assert second.request.cseq.number == first.request.cseq.number + 1
    assert second.request.call_id == first.request.call_id
    assert 'username="acme"' in second.request.header("Authorization")
    assert second.request.header("Contact") is None
    assert second.user != first.user
    trunk.registered()


def test_a_stale_nonce_is_answered_once_more_and_a_wrong_password_is_not(ids):
    trunk = Trunk(ids, credentials=("acme", "secret"))
    trunk.answers(401, challenge("a"))
    trunk.answers(401, challenge("b", ", stale=true"))
    trunk.answers(401, challenge("c", ", stale=true"))
    assert len(trunk.sent) == 3
    assert trunk.state == "rejected"
    wrong = Trunk(ids, credentials=("acme", "secret"))
    wrong.answers(401, challenge("a"))
    wrong.answers(401, challenge("b"))
    assert len(wrong.sent) == 2
    assert wrong.machine.view().why == "401 Unauthorized: the credentials were refused"


def test_a_challenge_of_somebody_else_gets_no_credentials(ids):
    trunk = Trunk(ids, credentials=("acme", "secret"))
    trunk.answers(401, challenge(), speaks=False)
    assert len(trunk.sent) == 1
    assert trunk.state == "failing"


def test_a_challenge_without_credentials_configured_is_a_refusal(ids):
    trunk = Trunk(ids)
    trunk.answers(407, ("Proxy-Authenticate", CHALLENGE[1].format("n")))
    assert trunk.machine.view().why.endswith("no credentials are configured")
    assert trunk.machine.is_excluded


def test_a_challenge_that_we_cannot_answer_is_a_refusal(ids):
    trunk = Trunk(ids, credentials=("acme", "secret"))
    trunk.answers(401, ("WWW-Authenticate", 'Basic realm="x"'))
    assert trunk.machine.view().why == "401 Unauthorized: its challenge cannot be answered"


def test_no_log_and_no_stored_value_holds_a_secret(ids):
    trunk = Trunk(ids, credentials=("acme", "s3cret"))
    trunk.answers(401, challenge("a"))
    trunk.answers(401, challenge("b"))
    said = repr([out for _, out in trunk.timeline if not isinstance(out, SendRequest)]) + repr(trunk.machine.view())
    assert "s3cret" not in said
    assert "response=" not in said


# --- several registrars -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 430, 480, 486, 500, 502, 503, 504, 600, 603, 403, 404])
def test_a_registrar_that_refuses_is_left_for_the_next_at_once(ids, status):
    trunk = Trunk(ids, hops=(ONE, TWO))
    trunk.answers(status)
    assert [order.flow for order in trunk.sent] == [ONE.flow, TWO.flow]
    trunk.registered()
    assert trunk.machine.view().registrar == str(TWO)
    assert trunk.logs("error") == []


def test_a_transport_failure_goes_on_at_once_and_is_told_to_health(ids):
    trunk = Trunk(ids, hops=(ONE, TWO))
    outs = trunk.fails("transport")
    assert outs[0] == RegistrarFailed(ONE, "REGISTER: transport")
    assert trunk.sent[-1].flow == TWO.flow


def test_a_silent_registrar_is_left_after_no_reply_while_another_remains(ids):
    trunk = Trunk(ids, hops=(ONE, TWO))
    seen = trunk.passes(50.0)
    assert [(at, type(out)) for at, out in seen] == [(4.0, RegistrarFailed), (4.0, SendRequest)]
    assert trunk.sent[-1].flow == TWO.flow
    trunk.fails()  # the last one has until Timer F
    assert trunk.fails(order=trunk.sent[0]) == [Log("error", "registration.failing", trunk.timeline[-1][1].fields)]
    assert trunk.state == "failing"


def test_a_slow_registrar_that_accepts_has_us(ids):
    trunk = Trunk(ids, hops=(ONE, TWO))
    trunk.passes(4.5)
    first, second = trunk.sent
    trunk.answers(200, order=first)
    assert trunk.machine.view().registrar == str(ONE)
    assert trunk.fails(order=second) == []  # and the other one counts no more
    assert trunk.state == "registered"


def test_a_slow_challenge_is_answered_beside_the_next_registrar(ids):
    trunk = Trunk(ids, hops=(ONE, TWO), credentials=("acme", "secret"))
    trunk.passes(4.5)
    trunk.answers(401, challenge(), order=trunk.sent[0])
    numbers = [order.request.cseq.number for order in trunk.sent]
    assert numbers == sorted(set(numbers))  # no number twice
    assert [order.flow for order in trunk.sent] == [ONE.flow, TWO.flow, ONE.flow]


def test_a_registrar_is_not_asked_again_while_its_request_runs(ids):
    trunk = Trunk(ids, hops=(ONE, TWO))
    trunk.passes(4.0)
    trunk.answers(503)  # the second; the first is still being asked
    assert trunk.passes(20.0) == []
    assert trunk.state == "registering"
    trunk.fails(order=trunk.sent[0])
    assert trunk.state == "failing"
    assert [order.flow for _, order in requests(trunk.passes(9.0))] == [ONE.flow, TWO.flow]


def test_a_refresh_goes_first_to_the_registrar_that_has_us(ids):
    trunk = Trunk(ids, hops=(ONE, TWO))
    trunk.answers(503)
    trunk.registered()
    trunk.until_sent(3)
    assert trunk.sent[-1].flow == TWO.flow
    trunk.answers(503)
    assert trunk.sent[-1].flow == ONE.flow


# --- failures that pass -----------------------------------------------------------------------------------------------


def test_the_back_off_doubles_to_ten_minutes_and_has_no_end(ids):
    trunk = Trunk(ids)
    waits = []
    for count in range(2, 31):
        trunk.fails()
        before = trunk.now
        trunk.until_sent(count)
        waits.append(trunk.now - before)
    assert waits[0] == 5.0
    bounds = [min(600.0, 30.0 * 2**k) for k in range(28)]
    assert all(bound / 2 <= wait <= bound for wait, bound in zip(waits[1:], bounds, strict=True))
    assert len(set(waits[6:])) > 10  # drawn, so that many trunks do not knock together
    assert trunk.logs() == ["registration.failing"]


def test_the_alarm_is_raised_once_and_taken_back_once(ids):
    trunk = Trunk(ids)
    for count in range(2, 6):
        trunk.fails()
        trunk.until_sent(count)
    trunk.registered()
    failing, back = [out for _, out in trunk.timeline if isinstance(out, Log)]
    assert (failing.level, failing.event, ("alarm", True) in failing.fields) == ("error", "registration.failing", True)
    assert (back.level, back.event) == ("info", "registration.registered")
    trunk.until_sent(6)
    trunk.fails()
    assert trunk.machine.view().next_at == trunk.now + 5.0  # the back-off has been forgotten


@pytest.mark.parametrize(("value", "at"), [("120", 120.0), ("120;duration=5", 120.0), ("99999", 600.0), ("soon", 5.0)])
def test_retry_after_is_honoured_and_bounded(ids, value, at):
    trunk = Trunk(ids)
    trunk.answers(503, ("Retry-After", value))
    trunk.until_sent(2)
    assert trunk.now == at


def test_retry_after_of_one_registrar_does_not_keep_us_from_the_other(ids):
    trunk = Trunk(ids, hops=(ONE, TWO))
    trunk.answers(503, ("Retry-After", "300"))
    trunk.answers(500)
    trunk.until_sent(3)
    assert (trunk.now, trunk.sent[-1].flow) == (5.0, TWO.flow)


def test_a_binding_counts_until_it_expires(ids):
    trunk = Trunk(ids).registered()
    trunk.until_sent(2)
    trunk.fails()
    assert trunk.state == "registered"
    assert trunk.machine.view().why.startswith("not refreshed")
    assert trunk.logs("error") == []
    while trunk.now < 600.0:
        trunk.now = trunk.machine.next_deadline()
        trunk.see(trunk.machine.tick(trunk.now))
        if trunk.machine._round.is_running and trunk.now < 600.0:
            trunk.fails()
    assert trunk.now == 600.0
    assert trunk.state == "failing"
    assert trunk.logs().count("registration.not_refreshed") == 1
    assert trunk.logs("error") == ["registration.failing"]


def test_without_an_address_it_waits_and_says_so(ids):
    trunk = Trunk(ids, hops=())
    assert trunk.timeline == []
    trunk.passes(5.0)
    assert trunk.state == "failing"
    assert trunk.machine.view().why == "no address of the registrar is known"
    trunk.see(trunk.machine.set_hops((ONE,), trunk.now))
    assert trunk.sent[-1].flow == ONE.flow


def test_a_request_that_nobody_ever_reports_on_holds_up_nothing(ids):
    trunk = Trunk(ids)
    trunk.passes(60.0)
    assert trunk.state == "failing"
    trunk.until_sent(2)
    assert trunk.now == 65.0
    trunk.see(trunk.machine.unregister(70.0))
    assert trunk.machine.is_settled


# --- failures that stay -----------------------------------------------------------------------------------------------

PERMANENT = [302, 400, 402, 403, 404, 405, 406, 410, 416, 420, 421, 494, 501, 505, 604]


@pytest.mark.parametrize("status", PERMANENT)
def test_a_refusal_that_stays_excludes_the_trunk_and_is_retried_every_ten_minutes(ids, status):
    trunk = Trunk(ids)
    trunk.answers(status)
    assert trunk.state == "rejected"
    assert trunk.machine.is_excluded
    for count in range(2, 5):
        trunk.until_sent(count)
        assert trunk.now == 600.0 * (count - 1)
        trunk.answers(status)
    assert trunk.logs("error") == ["registration.rejected"]
    trunk.until_sent(5)
    trunk.registered()
    assert not trunk.machine.is_excluded


def test_one_403_on_a_refresh_is_asked_about_again_soon(ids):
    trunk = Trunk(ids).registered()
    trunk.until_sent(2)
    trunk.answers(403)
    assert trunk.state == "registered"
    at = trunk.now
    trunk.until_sent(3)
    assert trunk.now == at + 5.0
    trunk.registered()
    assert trunk.logs("error") == []
    trunk.until_sent(4)
    trunk.answers(403)
    trunk.until_sent(5)
    trunk.answers(403)
    assert trunk.state == "rejected"
    assert trunk.machine.view().expires_at is None


def test_the_first_403_of_a_start_excludes(ids):
    trunk = Trunk(ids)
    trunk.answers(403)
    assert trunk.machine.is_excluded


def test_silence_does_not_lift_an_exclusion(ids):
    trunk = Trunk(ids)
    trunk.answers(403)
    trunk.until_sent(2)
    trunk.fails()
    assert trunk.state == "rejected"
    trunk.until_sent(3)
    assert trunk.now == 1200.0


def test_news_of_the_registrar_does_not_hurry_a_rejected_trunk(ids):
    trunk = Trunk(ids)
    trunk.answers(403)
    trunk.now = 100.0
    assert trunk.machine.registrar_is_back(100.0) == []
    assert trunk.machine.set_hops((TWO,), 100.0) == []
    trunk.until_sent(2)
    assert (trunk.now, trunk.sent[-1].flow) == (600.0, TWO.flow)


# --- news -------------------------------------------------------------------------------------------------------------


def test_a_registrar_that_moves_is_registered_with_at_once(ids):
    trunk = Trunk(ids).registered()
    trunk.now = 60.0
    trunk.see(trunk.machine.set_hops((TWO,), 60.0))
    assert (trunk.sent[-1].flow, trunk.timeline[-1][0]) == (TWO.flow, 60.0)
    trunk.registered()
    assert trunk.machine.view().registrar == str(TWO)


def test_a_new_order_or_one_more_registrar_moves_nobody(ids):
    trunk = Trunk(ids, hops=(ONE, TWO)).registered()
    assert trunk.machine.set_hops((TWO, ONE), 10.0) == []
    assert trunk.machine.set_hops((THREE, TWO, ONE), 11.0) == []
    assert trunk.machine.set_hops((), 12.0) == []  # a DNS that knows nothing takes nothing away
    trunk.until_sent(2)
    assert trunk.sent[-1].flow == ONE.flow


def test_an_answer_of_an_address_that_is_gone_counts_no_more(ids):
    trunk = Trunk(ids)
    trunk.see(trunk.machine.set_hops((TWO,), 1.0))
    assert trunk.sent[-1].flow == TWO.flow
    assert trunk.answers(200, order=trunk.sent[0]) == []


def test_a_registrar_that_moves_there_and_back_is_still_refreshed(ids):
    trunk = Trunk(ids).registered()
    trunk.see(trunk.machine.set_hops((TWO,), 60.0))
    trunk.see(trunk.machine.set_hops((ONE,), 61.0))
    assert [order.flow for order in trunk.sent] == [ONE.flow, TWO.flow, ONE.flow]
    trunk.registered()


def test_a_registrar_that_is_back_is_registered_with_at_once(ids):
    trunk = Trunk(ids).registered()
    trunk.now = 100.0
    trunk.see(trunk.machine.registrar_is_back(100.0))
    assert len(trunk.sent) == 2


def test_news_thick_and_fast_makes_one_register_in_five_seconds(ids):
    trunk = Trunk(ids).registered()
    for tenth in range(1, 200):
        trunk.now = tenth / 10
        trunk.see(trunk.machine.tick(trunk.now))
        trunk.see(trunk.machine.registrar_is_back(trunk.now))
        if trunk.machine._round.is_running:
            trunk.answers(200)
    assert [at for at, _ in requests(trunk.timeline)] == [0.0, 5.0, 10.0, 15.0]


def test_a_keep_alive_that_is_refused_makes_a_refresh_and_its_failure_the_usual_back_off(ids):
    trunk = Trunk(ids).registered()
    trunk.now = 50.0
    assert trunk.machine.flow_failed(TWO.flow, 50.0) == []
    trunk.see(trunk.machine.flow_failed(Flow(Transport.UDP, "outside", US, ONE.flow.remote, 7), 50.0))
    assert len(trunk.sent) == 2
    trunk.fails("transport")
    trunk.now = 52.0
    assert trunk.machine.flow_failed(ONE.flow, 52.0) == []
    trunk.until_sent(3)
    assert trunk.now == 55.0


def test_a_registrar_that_ends_its_connection_is_registered_with_again(ids):
    trunk = Trunk(ids).registered()
    trunk.now = 100.0
    trunk.see(trunk.machine.flow_closed(ONE.flow, 100.0))
    assert len(trunk.sent) == 2


def test_a_registrar_that_keeps_no_connections_is_asked_less_and_less_often(ids):
    trunk = Trunk(ids).registered()
    begun = len(trunk.sent)
    for _ in range(6):
        trunk.now += 1.0
        trunk.see(trunk.machine.flow_closed(ONE.flow, trunk.now))
        trunk.until_sent(len(trunk.sent) + 1)
        trunk.answers(200)
    times = [at for at, _ in requests(trunk.timeline)][begun - 1 :]
    assert [round(after - before) for before, after in itertools.pairwise(times)] == [5, 10, 20, 40, 80, 160]


# --- keep-alive -------------------------------------------------------------------------------------------------------


# RFC: 5626
def test_a_registrar_that_answers_keep_alives_and_stops_is_registered_with_anew_by_another_connection(ids):
    """§4.4.1: "If a pong is not received within 10 seconds … the client MUST treat the flow as failed"."""
    far = hop(transport=Transport.TLS)
    trunk = Trunk(ids, Register("a", "carrier.example", expires=3600.0, keepalive=30.0), hops=(far,))
    trunk.registered(3600)
    connection = replace(far.flow, connection=7, proved=("carrier",))
    ((_, ping),) = trunk.passes(30.0)
    assert isinstance(ping, KeepAlive)
    trunk.machine.ponged(connection)
    seen = trunk.passes(70.0)
    second = next(at for at, out in seen if isinstance(out, KeepAlive))
    after = [(when, out) for when, out in seen if when >= second + 10.0]
    assert [type(out) for _, out in after[:3]] == [CloseFlow, Log, SendRequest]
    assert after[0] == (pytest.approx(second + 10.0), CloseFlow(connection))
    assert trunk.logs("warning") == ["registration.no_pong"]
    trunk.answers(200, expires=3600)
    assert not [out for _, out in trunk.passes(300.0) if isinstance(out, CloseFlow)]  # the new one has yet to answer


# RFC: 5626
def test_a_registrar_that_answers_every_keep_alive_is_left_alone(ids):
    far = hop(transport=Transport.TLS)
    trunk = Trunk(ids, Register("a", "carrier.example", expires=3600.0, keepalive=30.0), hops=(far,))
    trunk.registered(3600)
    for _ in range(120):
        if any(isinstance(out, KeepAlive) for _, out in trunk.passes(5.0)):
            trunk.machine.ponged(replace(far.flow, connection=7))
    assert len(trunk.sent) == 1


def test_a_pong_of_another_connection_says_nothing(ids):
    far = hop(transport=Transport.TLS)
    trunk = Trunk(ids, Register("a", "carrier.example", expires=3600.0, keepalive=30.0), hops=(far,))
    trunk.registered(3600)
    trunk.machine.ponged(replace(far.flow, remote=Address("198.51.100.99", 5061), connection=8))
    trunk.passes(300.0)
    assert len(trunk.sent) == 1


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
def test_keep_alives_go_out_while_registered(ids, transport):
    far = hop(transport=transport)
    trunk = Trunk(ids, Register("a", "carrier.example", expires=3600.0, keepalive=30.0), hops=(far,))
    assert trunk.passes(0.0) == []
    trunk.registered(3600)
    seen = trunk.passes(600.0)
    assert {out for _, out in seen} == {KeepAlive(far.flow, ("register", "carrier", 0))}
    times = [0.0, *(at for at, _ in seen)]
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert all(24.0 <= gap <= 30.0 for gap in gaps)
    assert len({round(gap, 3) for gap in gaps}) > 5


def test_no_keep_alive_where_none_is_wanted_or_nothing_is_registered(ids):
    assert Trunk(ids).registered().passes(400.0) == []
    lost = Trunk(ids, Register("a", "carrier.example", expires=60.0, keepalive=10.0)).registered(60)
    lost.passes(70.0)
    assert lost.state == "failing"
    assert not any(isinstance(out, KeepAlive) for _, out in lost.passes(100.0))


# --- orders -----------------------------------------------------------------------------------------------------------


def test_unregister_takes_away_our_contact_and_nothing_follows(ids):
    trunk = Trunk(ids).registered()
    trunk.see(trunk.machine.unregister(10.0))
    order = trunk.sent[-1]
    assert order.request.header("Expires") == "0"
    assert order.request.call_id == trunk.sent[0].request.call_id
    assert not trunk.machine.is_settled
    assert trunk.answers(200, contact=None) == [Log("info", "registration.unregistered", (("trunk", "carrier"),))]
    assert trunk.machine.is_settled
    assert trunk.state == "unregistered"
    assert trunk.machine.next_deadline() is None
    assert trunk.machine.registrar_is_back(20.0) == []
    assert trunk.machine.set_hops((TWO,), 20.0) == []
    assert trunk.machine.unregister(21.0) == []


def test_unregister_answers_a_challenge_and_gives_up_on_silence(ids):
    trunk = Trunk(ids, credentials=("acme", "secret"))
    trunk.registered()
    trunk.see(trunk.machine.unregister(10.0))
    trunk.answers(401, challenge())
    assert trunk.last.header("Expires") == "0"
    assert "Authorization" in dict(trunk.last.fields)
    trunk.fails()
    assert trunk.logs()[-1] == "registration.not_removed"
    assert trunk.machine.next_deadline() is None


def test_unregister_without_a_binding_says_nothing(ids):
    trunk = Trunk(ids)
    assert trunk.machine.unregister(1.0) == []
    assert trunk.answers(200) == []
    assert trunk.machine.is_settled


def test_start_after_unregister_registers_again(ids):
    trunk = Trunk(ids).registered()
    trunk.see(trunk.machine.unregister(10.0))
    trunk.answers(200, contact=None)
    trunk.see(trunk.machine.start((ONE,), 20.0))
    assert trunk.last.header("Expires") == "600"


def test_a_reload_that_changes_the_account_registers_at_once_with_the_same_call_id(ids):
    trunk = Trunk(ids).registered()
    call_id = trunk.last.call_id
    assert trunk.machine.reconfigure(trunk.peer, None, (ONE,), 5.0) == []
    changed = msgspec.structs.replace(trunk.peer, register=Register("other", "carrier.example", expires=300.0))
    trunk.see(trunk.machine.reconfigure(changed, None, (ONE,), 5.0))
    assert trunk.last.header("To") == "<sip:other@carrier.example>"
    assert trunk.last.header("Expires") == "300"
    assert trunk.last.call_id == call_id


def test_two_trunks_share_nothing(ids):
    one, two = Trunk(ids), Trunk(ids)
    one.answers(403)
    two.registered()
    assert one.last.call_id != two.last.call_id
    assert (one.state, two.state) == ("rejected", "registered")


def test_what_is_nobodys_is_ignored(ids):
    trunk = Trunk(ids)
    assert trunk.machine.take_failure(("register", "carrier", 99), "timeout", 1.0) == []
    assert trunk.machine.take_failure("what", "timeout", 1.0) == []
    assert trunk.answers(100) == []
    assert trunk.answers(200)
    assert trunk.answers(200) == []  # once more


# --- whatever comes ---------------------------------------------------------------------------------------------------

WHATEVER = st.one_of(
    st.tuples(
        st.just("answers"), st.sampled_from([100, 200, 302, 401, 403, 408, 423, 480, 503, 603]), st.integers(0, 3)
    ),
    st.tuples(st.just("fails"), st.sampled_from(["timeout", "transport"]), st.integers(0, 3)),
    st.tuples(st.just("passes"), st.sampled_from([0.0, 0.5, 4.0, 5.0, 33.0, 480.0, 600.0]), st.just(0)),
    st.tuples(st.just("moves"), st.sampled_from([(), (ONE,), (TWO, ONE), (TWO, THREE)]), st.just(0)),
    st.tuples(st.just("hears"), st.sampled_from(["back", "lost"]), st.just(0)),
)


@given(st.lists(WHATEVER, max_size=40), st.booleans())
def test_whatever_comes_it_is_never_stuck_and_asks_no_registrar_twice_at_a_time(steps, has_account):
    trunk = Trunk(seeded_ids(), hops=(ONE, TWO), credentials=("acme", "secret") if has_account else None)
    for what, how, which in steps:
        running = trunk.machine._round._attempts
        order = next((o for o in reversed(trunk.sent) if o.user[2] in running), trunk.sent[-1])
        order = trunk.sent[-1 - which] if which < len(trunk.sent) and which else order
        match what:
            case "answers":
                fields = (challenge(str(len(trunk.sent))), ("Min-Expires", "1800"), ("Retry-After", "40"))
                trunk.answers(how, *fields, order=order)
            case "fails":
                trunk.fails(how, order=order)
            case "passes":
                trunk.passes(how)
            case "moves":
                trunk.see(trunk.machine.set_hops(how, trunk.now))
            case "hears":
                news = trunk.machine.registrar_is_back(trunk.now) if how == "back" else None
                trunk.see(trunk.machine.flow_failed(ONE.flow, trunk.now) if news is None else news)
        flows = [attempt.hop.flow for attempt in trunk.machine._round._attempts.values()]
        assert len(flows) == len(set(flows))
        assert flows or trunk.machine.view().next_at is not None
        assert (trunk.state == "registered") == (trunk.machine.view().expires_at is not None)
    numbers = [order.request.cseq.number for order in trunk.sent]
    assert numbers == list(range(1, len(numbers) + 1))
    events = [event for event in trunk.logs() if event != "registration.not_refreshed"]
    assert all(one != other for one, other in itertools.pairwise(events) if one != "registration.registered")
    while trunk.machine._round.is_running:  # and when all is well again, it registers
        trunk.answers(200, order=next(o for o in reversed(trunk.sent) if o.user[2] in trunk.machine._round._attempts))
    if trunk.state != "registered":
        trunk.until_sent(len(trunk.sent) + 1)
        trunk.answers(200)
    assert trunk.state == "registered"
