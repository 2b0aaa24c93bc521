"""Early dialogs: several callees that describe themselves, early media by policy, and what of it is final.

RFC 3261 §12.1 (an early dialog for each To tag), RFC 3960 (early media), RFC 6337 §3.2, RFC 6228 (199). Towards the
caller we are one callee for each different answer: within one dialog all answers to an offer are the same.
"""
# RFC: 3960

import pytest

from sbc.sdp import Direction
from sbc.sip.message import Response
from sbc.sip.multipart import description_of
from sbc.testing.byhand import ByHand
from sbc.testing.world import FAR, POLICY

RINGBACK = POLICY.replace("office: {", "office: {early_media: ringback, ")
A, B, C = 4000, 5000, 6000  # media ports of the forks


def description(codec, port, direction="sendrecv"):
    return (
        f"v=0\r\no=- {port} 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n"
        f"m=audio {port} RTP/AVP {codec}\r\na={direction}\r\n"
    ).encode()


def reliably(n):
    return (("Require", "100rel"), ("RSeq", str(n)))


class Story:
    """Both ends by hand. The caller knows 100rel if `reliable`."""

    def __init__(self, world, *, reliable=True, sdp=True, policy=POLICY):
        self.sbc = world(policy)
        self.office, self.carrier = self.sbc.office(), self.sbc.carrier()
        self.caller, self.callee = ByHand(self.sbc, self.office), ByHand(self.sbc, self.carrier)
        fields = (("Supported", "100rel"), ("Allow", "INVITE, ACK, CANCEL, BYE, PRACK, UPDATE")) if reliable else ()
        self.caller.sends("INVITE", f"sip:{FAR}@10.0.0.1", sdp=sdp, fields=fields)
        self.invite = self.callee.requests("INVITE")[0]
        self.cseq = 1

    def fork(self, status, tag, codec=None, port=A, *, rel=0, **options):
        """A response of the fork `tag`."""
        body = b"" if codec is None else description(codec, port)
        allow = (("Allow", "INVITE, ACK, CANCEL, BYE, PRACK, UPDATE"),)
        fields = (*allow, *(reliably(rel) if rel else ()))
        self.callee.replies(status, to=self.invite, tag=tag, body=body, fields=fields, **options)

    @property
    def told(self):
        """What the caller has heard of its INVITE: (status, our tag, codecs), repetitions left out."""
        found = []
        for message in self.caller.heard:
            if isinstance(message, Response) and message.cseq.method == "INVITE" and message.status > 100:
                body = description_of(message).decode()
                codecs = body.partition("RTP/AVP ")[2].partition("\r")[0]
                found.append((message.status, message.to.tag, codecs))
        return list(dict.fromkeys(found))

    def prack(self, body=b""):
        """The caller acknowledges the last that was reliable, in its dialog."""
        last = [m for m in self.caller.heard if isinstance(m, Response) and m.header("RSeq")][-1]
        self.cseq += 1
        type_ = (("Content-Type", "application/sdp"),) if body else ()
        fields = (("RAck", f"{last.header('RSeq')} 1 INVITE"), *type_)
        self.caller.sends("PRACK", to_tag=last.to.tag, cseq=self.cseq, fields=fields, body=body)

    def confirm(self):
        """Every PRACK that the callees have heard is answered."""
        for request in self.callee.requests("PRACK"):
            self.callee.replies(200, to=request)

    def hangs_up(self):
        tag = self.told[-1][1]
        self.caller.sends("ACK", to_tag=tag, cseq=1, body=b"")
        self.caller.sends("BYE", to_tag=tag, cseq=self.cseq + 1)
        assert self.caller.statuses("BYE") == [200]
        self.callee.replies(200, to=self.callee.requests("BYE")[-1])
        assert self.sbc.cdr.only.cause == "normal"
        assert self.sbc.idle()


def remote_port(sbc):
    """Where we send what the caller says: the egress port of the relay as it is now."""
    view = sbc.switch.snapshot(sbc.now)
    (call,) = view.calls
    egress = [text for side, text in call.media if side == "egress"]
    return int(egress[0].rpartition(":")[2])


# --- several early dialogs --------------------------------------------------------------------------------------------


def test_forks_with_different_answers_are_early_dialogs_of_their_own(world):
    story = Story(world, reliable=False)
    story.fork(183, "a", 0, A)
    story.fork(183, "b", 8, B)
    first, second = story.told
    assert (first[2], second[2]) == ("0", "8")
    assert first[1] != second[1]
    story.fork(180, "a")
    story.fork(200, "a", 0, A)
    assert story.told[-1] == (200, first[1], "0")
    assert remote_port(story.sbc) == A
    story.hangs_up()


def test_forks_with_the_same_answer_are_one_for_the_caller(world):
    """They differ for us, not for him: the address is ours, and the codecs are the same."""
    story = Story(world, reliable=False)
    story.fork(183, "a", 0, A)
    story.fork(183, "b", 0, B)
    assert len({tag for _, tag, _ in story.told}) == 1
    assert remote_port(story.sbc) == B
    story.fork(200, "a", 0, A)
    assert len({tag for _, tag, _ in story.told}) == 1
    assert remote_port(story.sbc) == A
    story.hangs_up()


def test_ringing_forks_are_one_for_the_caller(world):
    story = Story(world, reliable=False)
    for tag in ("a", "b", "c"):
        story.fork(180, tag)
    story.fork(200, "b", 8, B)
    assert len({tag for _, tag, _ in story.told}) == 1
    story.hangs_up()


def test_the_answer_of_a_fork_that_has_said_nothing_before(world):
    story = Story(world, reliable=False)
    story.fork(183, "a", 0, A)
    story.fork(200, "b", 8, B)
    (_, early, _), (status, final, codecs) = story.told
    assert (status, codecs) == (200, "8")
    assert early != final
    assert remote_port(story.sbc) == B
    story.hangs_up()


def test_a_thousand_forks_are_bounded(world):
    story = Story(world, reliable=False)
    for n in range(200):
        story.fork(183, f"tag-{n}", n % 90, 4000 + 2 * n)
    assert len({tag for _, tag, _ in story.told}) <= 32
    story.fork(200, "tag-0", 0, 4000)
    assert remote_port(story.sbc) == 4000
    story.hangs_up()


def test_183_then_180_then_the_answer(world):
    story = Story(world, reliable=False)
    story.fork(183, "a", 0, A)
    story.fork(180, "a")
    assert [status for status, _, _ in story.told] == [183, 180]
    assert remote_port(story.sbc) == A  # an 180 without description takes no early media away
    story.fork(200, "a", 0, A)
    story.hangs_up()


def test_199_tells_the_caller_nothing(world):
    """One early dialog has ended (RFC 6228), and another may go on: the caller waits for the final response."""
    story = Story(world, reliable=False)
    story.fork(183, "a", 0, A)
    story.fork(199, "a")
    story.fork(183, "b", 8, B)
    assert [status for status, _, _ in story.told] == [183, 183]
    story.fork(200, "b", 8, B)
    story.hangs_up()


def test_199_that_is_reliable_has_its_prack(world):
    story = Story(world)
    story.fork(183, "a", 0, A, rel=1)
    story.prack()
    story.fork(199, "a", rel=2)
    assert len(story.callee.requests("PRACK")) == 2
    story.confirm()
    assert [status for status, _, _ in story.told] == [183]
    story.fork(200, "b", 8, B)
    assert story.told[-1][2] == "8"
    story.hangs_up()


# --- answers that are final in their early dialog ---------------------------------------------------------------------


def test_two_forks_answer_reliably_and_the_first_is_taken(world):
    story = Story(world)
    story.fork(183, "a", 0, A, rel=1)
    story.prack()
    story.fork(183, "b", 8, B, rel=70)
    story.prack()
    story.confirm()
    assert remote_port(story.sbc) == B
    (_, first, _), (_, second, _) = story.told
    assert first != second
    story.fork(200, "a")
    assert story.told[-1] == (200, first, "")
    assert remote_port(story.sbc) == A
    assert story.callee.requests("ACK")[-1].to.tag == "a"
    story.hangs_up()


def test_two_forks_answer_reliably_and_the_first_is_taken_with_its_answer_said_again(world):
    story = Story(world)
    story.fork(183, "a", 0, A, rel=1)
    story.prack()
    story.fork(183, "b", 8, B, rel=70)
    story.prack()
    story.confirm()
    story.fork(200, "a", 0, A)
    assert story.told[-1] == (200, story.told[0][1], "")
    assert remote_port(story.sbc) == A
    story.hangs_up()


def test_one_fork_answers_reliably_and_another_in_its_200(world):
    story = Story(world)
    story.fork(183, "a", 0, A, rel=1)
    story.prack()
    story.confirm()
    story.fork(200, "b", 8, B)
    (_, early, _), (status, final, codecs) = story.told
    assert (status, codecs) == (200, "8")
    assert final != early
    assert remote_port(story.sbc) == B
    story.hangs_up()


def test_one_fork_answers_reliably_and_another_in_its_200_for_a_caller_without_100rel(world):
    story = Story(world, reliable=False)
    story.fork(183, "a", 0, A, rel=1)
    story.confirm()
    story.fork(183, "b", 8, B)
    story.fork(200, "a")
    assert story.told[-1][2] == "0"
    assert story.told[-1][1] == story.told[0][1]
    assert remote_port(story.sbc) == A
    story.hangs_up()


def test_a_second_answer_while_the_first_waits_for_its_prack(world):
    """Two different reliable answers at once: the caller hears of one, and what is answered in the end is right."""
    story = Story(world)
    story.fork(183, "a", 0, A, rel=1)
    story.fork(183, "b", 8, B, rel=70)
    assert len(story.told) == 1
    story.prack()
    assert len(story.told) == 2
    story.confirm()
    story.fork(200, "b")
    assert story.told[-1][0] == 183
    story.prack()
    assert story.told[-1][0] == 200
    told = {tag: codecs for status, tag, codecs in story.told if codecs}
    assert told[story.told[-1][1]] == "8"
    assert remote_port(story.sbc) == B
    story.hangs_up()


def test_the_200_of_another_fork_while_a_prack_is_awaited(world):
    story = Story(world)
    story.fork(183, "a", 0, A, rel=1)
    story.confirm()
    story.fork(200, "b", 8, B)
    assert [status for status, _, _ in story.told] == [183]
    story.prack()
    assert story.told[-1][0] == 200
    told = {tag: codecs for status, tag, codecs in story.told if codecs}
    assert told[story.told[-1][1]] == "8"
    story.hangs_up()


def test_offers_of_two_forks_are_answered_one_after_the_other(world):
    """INVITE without offer: each fork makes one in its 183, and each has its own answer in its own PRACK."""
    story = Story(world, sdp=False)
    story.fork(183, "a", 0, A, rel=1)
    story.fork(183, "b", 8, B, rel=70)
    assert story.callee.requests("PRACK") == []
    for codec in (0, 8):
        body = description(codec, 7000).replace(b"198.51.100.7", b"10.0.0.5")
        story.prack(body)
    racks = [(request.to.tag, b"AVP 0" in request.body) for request in story.callee.requests("PRACK")]
    assert racks == [("a", True), ("b", False)]
    story.confirm()
    first, second = (tag for _, tag, _ in story.told)
    assert first != second
    story.fork(200, "a")
    assert story.told[-1] == (200, first, "")
    assert remote_port(story.sbc) == A
    story.hangs_up()


def test_offers_of_two_forks_and_the_answer_of_a_third(world):
    story = Story(world, sdp=False)
    story.fork(183, "a", 0, A, rel=1)
    story.prack(description(0, 7000).replace(b"198.51.100.7", b"10.0.0.5"))
    story.confirm()
    story.fork(200, "c", 8, C)
    status, tag, codecs = story.told[-1]
    assert (status, codecs) == (200, "8 0")
    assert tag != story.told[0][1]
    body = description(8, 7000).replace(b"198.51.100.7", b"10.0.0.5")
    story.caller.sends("ACK", to_tag=tag, cseq=1, body=body, fields=(("Content-Type", "application/sdp"),))
    ack = story.callee.requests("ACK")[-1]
    assert ack.to.tag == "c"
    assert b"AVP 8" in ack.body
    assert remote_port(story.sbc) == C
    story.hangs_up()


def test_a_preview_that_the_200_belies(world):
    """The caller has the preview as an answer, for good: an offer tells it what came of it."""
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.uses_100rel()
    callee = ByHand(sbc, carrier)
    office.invites(FAR)
    invite = callee.requests("INVITE")[0]
    callee.replies(183, to=invite, tag="a", body=description(0, A))
    assert office.got(183, "200 PRACK")
    callee.replies(200, to=invite, tag="a", body=description(8, B))
    sbc.run(1.0)
    assert office.got(183, 200, "UPDATE")
    assert office.call.remote_sdp.media[0].formats == ("8", "0")
    assert remote_port(sbc) == B
    office.hangs_up()
    callee.replies(200, to=callee.requests("BYE")[-1])
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


# --- UPDATE in early dialogs ------------------------------------------------------------------------------------------


def update_by(story, tag, cseq, direction):
    """UPDATE of a callee, in the early dialog of its tag."""
    invite = story.invite
    options = {"call_id": invite.call_id, "from_tag": tag, "to_tag": invite.from_.tag, "cseq": cseq}
    type_ = (("Content-Type", "application/sdp"),)
    uri = str(invite.contacts[0].uri)
    options["branch"] = f"z9hG4bKfork-{tag}-{len(story.callee.heard)}"
    story.callee.sends("UPDATE", uri, body=description(0, A, direction), fields=type_, **options)


def test_an_update_of_the_fork_that_is_heard_crosses_and_that_of_another_does_not(world):
    """Nobody can be asked in the dialog that the media does not follow: 504 (RFC 3311 §5.2)."""
    story = Story(world)
    for tag, codec, port, rel in (("a", 0, A, 1), ("b", 8, B, 70)):
        story.fork(183, tag, codec, port, rel=rel)
        story.prack()
    story.confirm()
    update_by(story, "a", 1, "sendonly")
    assert story.callee.statuses("UPDATE") == [504]
    assert story.caller.requests("UPDATE") == []
    update_by(story, "b", 1, "sendonly")
    asked = story.caller.requests("UPDATE")[0]
    assert asked.from_.tag == story.told[1][1]
    answer = description(0, 7000, "recvonly").replace(b"198.51.100.7", b"10.0.0.5")
    story.caller.replies(200, to=asked, body=answer)
    assert story.callee.statuses("UPDATE") == [504, 200]
    story.fork(200, "b")
    story.hangs_up()


def test_an_update_of_the_caller_in_the_dialog_that_is_not_followed(world):
    story = Story(world)
    for tag, codec, port, rel in (("a", 0, A, 1), ("b", 8, B, 70)):
        story.fork(183, tag, codec, port, rel=rel)
        story.prack()
    story.confirm()
    story.cseq += 1
    story.caller.sends("UPDATE", to_tag=story.told[0][1], cseq=story.cseq, sdp=True)
    assert story.caller.statuses("UPDATE") == [504]
    assert story.callee.requests("UPDATE") == []
    story.fork(200, "b")
    story.hangs_up()


def test_an_early_update_is_open_when_another_fork_answers(world):
    """The change was agreed with nobody: it is refused, and the other fork's session is as it says."""
    story = Story(world)
    story.fork(183, "a", 0, A, rel=1)
    story.prack()
    story.confirm()
    update_by(story, "a", 1, "sendonly")
    asked = story.caller.requests("UPDATE")[0]
    story.fork(200, "b", 8, B)
    assert story.callee.statuses("UPDATE") == [491]
    answer = description(0, 7000, "recvonly").replace(b"198.51.100.7", b"10.0.0.5")
    story.caller.replies(200, to=asked, body=answer)
    assert story.told[-1][0] == 200
    assert story.told[-1][2] == "8"
    assert remote_port(story.sbc) == B
    story.hangs_up()


# --- early media by policy --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("knows", [True, False])
@pytest.mark.parametrize("rel", [0, 1])
def test_ringback_a_caller_hears_180_and_the_answer_in_the_200(world, knows, rel):
    story = Story(world, policy=RINGBACK, reliable=knows)
    story.fork(183, "a", 0, A, rel=rel)
    story.confirm()
    assert [(status, codecs) for status, _, codecs in story.told] == [(180, "")]
    story.fork(183, "b", 8, B)
    story.fork(200, "a", *((0, A) if not rel else ()))
    assert story.told[-1][0] == 200
    assert story.told[-1][2] == "0"
    assert len({tag for _, tag, _ in story.told}) == 1
    assert remote_port(story.sbc) == A
    story.hangs_up()


def test_ringback_an_offer_of_the_callee_must_reach_the_caller(world):
    """Else its PRACK could not have the answer."""
    story = Story(world, policy=RINGBACK, sdp=False)
    story.fork(183, "a", 0, A, rel=1)
    assert [(status, codecs) for status, _, codecs in story.told] == [(183, "0 8")]
    story.prack(description(0, 7000).replace(b"198.51.100.7", b"10.0.0.5"))
    story.confirm()
    story.fork(200, "a")
    story.hangs_up()


@pytest.mark.parametrize("final", [404, 486, 603])
def test_early_media_then_a_refusal(world, final):
    """An announcement says why, and then the status does."""
    story = Story(world)
    story.fork(183, "a", 0, A, rel=1)
    story.prack()
    story.confirm()
    story.fork(final, "a")
    assert story.told[-1][0] == final
    story.caller.sends("ACK", f"sip:{FAR}@10.0.0.1", cseq=1, branch="z9hG4bKbyhand1", to_tag=story.told[-1][1])
    assert len(story.sbc.cdr) == 1
    assert story.sbc.idle()


def test_phones_with_early_media_from_two_forks_and_the_answer_of_a_third(world):
    """The same with phones, which watch every version, tag and number."""
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.script.sees_forks = True
    office.invites(FAR)
    first = carrier.call
    second, third = carrier.forks(), carrier.forks()
    carrier.progresses(call=first)
    assert office.direction is Direction.SENDRECV
    carrier.progresses(call=second)
    carrier.rings(call=third)
    carrier.answers(call=third)
    assert office.is_talking
    office.holds()
    assert third.heard[-3:] == ["ACK", "INVITE", "ACK"]
    office.resumes()
    assert sbc.hears(office, carrier)
    office.hangs_up()
    for party in (first, second):
        carrier.agent.bench.end(party, 487)  # its proxy has cancelled them
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()
