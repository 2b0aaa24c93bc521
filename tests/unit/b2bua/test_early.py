"""What a leg keeps while its first INVITE has no final response (RFC 3262, RFC 6337 §2)."""

from sbc.b2bua.forks import EarlySessions
from sbc.b2bua.leg.early import Calling, Ringing
from sbc.sip.commands import Respond
from sbc.sip.dialog.invite_uac import InviteUac
from sbc.sip.timing import DEFAULT_TIMING
from sbc.testing.build import request, response_to

KEY = ("z9hG4bKtest1", "192.0.2.9:5060", "INVITE")


def ringing(*, required=False, has_offer=True):
    return Ringing(KEY, 1, DEFAULT_TIMING, lambda _below: 6, required=required, has_offer=has_offer)


def prack(rack):
    return request("PRACK", fields=(("RAck", rack),), cseq=2, to_tag="to-1")


def sent(one, *, body=b"", now=0.0):
    orders = one.send([Respond(KEY, 183, body=body)], now, described=bool(body))
    return [dict(order.fields).get("RSeq") for order in orders if isinstance(order, Respond)]


def test_only_what_describes_is_reliable_where_nobody_requires_it():
    one = ringing()
    assert sent(one) == [None]
    assert sent(one, body=b"v=0") == ["7"]
    assert sent(one) == []  # it waits behind that


def test_everything_is_reliable_where_it_is_required():
    one = ringing(required=True)
    assert sent(one) == ["7"]
    assert not one.holds_answer


def test_an_answer_is_settled_by_its_prack():
    one = ringing()
    sent(one, body=b"v=0")
    assert (one.holds_answer, one.is_settled) == (True, False)
    assert one.take_prack(prack("7 1 INVITE"), 1.0) == (True, [])
    assert (one.holds_answer, one.is_settled) == (False, True)


def test_an_offer_is_not_settled_by_its_prack_alone():
    one = ringing(has_offer=False)
    sent(one, body=b"v=0")
    one.take_prack(prack("7 1 INVITE"), 1.0)
    assert one.awaits_answer


def test_a_refused_prack_is_known_when_it_comes_again():
    one = ringing()
    sent(one, body=b"v=0")
    one.take_prack(prack("7 1 INVITE"), 1.0)
    assert not one.has_refused(prack("7 1 INVITE"))
    one.refuse_prack()
    assert one.has_refused(prack("7 1 INVITE"))
    assert not one.has_refused(prack("8 1 INVITE"))
    assert not one.has_refused(request("PRACK", to_tag="to-1"))


def test_another_early_dialog_counts_for_itself():
    one = ringing()
    sent(one, body=b"v=0")
    other = one.again()
    assert not other.has_described
    assert not other.is_busy
    assert one.is_busy


def progressed(uac, tag, rseq):
    response = response_to(
        uac.request, 183, to_tag=tag, contact="sip:192.0.2.1", fields=(("Require", "100rel"), ("RSeq", str(rseq)))
    )
    uac.receive(response, None)
    return response


def test_offers_of_two_forks_are_answered_each_in_its_own_dialog():
    uac = InviteUac(("ref", 1, 1), request(), "inside")
    calling = Calling(uac)
    for tag, rseq in (("a", 1), ("b", 70)):
        response = progressed(uac, tag, rseq)
        calling.take(response)
        assert calling.acknowledgment_of(response, tag, answers=False, offers=True) is None
    first, second = calling.answered("a"), calling.answered("b")
    assert first is not None
    assert second is not None
    assert (first[0].remote_tag, first[1]) == ("a", "1 1 INVITE")
    assert (second[0].remote_tag, second[1]) == ("b", "70 1 INVITE")
    assert calling.agreed == "b"
    assert calling.answered("a") is None  # once


class Media:
    """Stands for the call's media: what it was told to follow, in order."""

    def __init__(self):
        self.followed = []

    def pass_answer(self, answer, offer):
        self.followed.append((offer, answer))
        return b"told"

    def settle(self):
        self.followed.append("settled")


def test_the_session_of_a_fork_comes_back_when_it_answers():
    media = Media()
    early = EarlySessions(media)
    assert early.agree("a", "offer", "answer a") == b"told"
    early.note("b", "offer", "answer b")
    early.turn_back("a")  # it is followed already
    assert media.followed == [("offer", "answer a"), "settled"]
    early.turn_back("b")
    assert media.followed[2:] == [("offer", "answer b"), "settled"]
    assert early.followed == "b"
    early.forget()
    assert "a" not in early
