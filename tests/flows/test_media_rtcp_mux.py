"""RTCP on RTP's port is agreed upon with each side for itself (RFC 5761, RFC 8858): neither hears of the other's."""
# RFC: 5761

import pytest

from sbc.sdp import describe, parse_sdp, serialize_sdp
from sbc.testing.byhand import ByHand
from sbc.testing.world import DID, FAR, POLICY

MUX = "a=rtcp-mux"
SDP = (("Content-Type", "application/sdp"),)


def said(host, *lines, port=4000, version=1, codecs=("PCMU", "PCMA", "telephone-event")):
    text = serialize_sdp(describe(host, port, codecs, version=version))
    return text + "".join(f"{line}\r\n" for line in lines).encode()


def told(message):
    return parse_sdp(message.body).media[0].lines


def ends(sbc):
    [ref] = sbc.media.worker.sessions
    stream = sbc.media.worker.session(ref).streams[0]
    return stream.ingress.mux, stream.egress.mux


class Call:
    """The office calls the carrier; both are written by hand."""

    def __init__(self, world, *offer, answer=(), policy=POLICY, codecs=("PCMU", "PCMA", "telephone-event")):
        self.sbc = world(policy)
        self.office, self.carrier = ByHand(self.sbc, self.sbc.office()), ByHand(self.sbc, self.sbc.carrier())
        self.office.sends("INVITE", f"sip:{FAR}@10.0.0.1", body=said("10.0.0.5", *offer, codecs=codecs), fields=SDP)
        self.invite = self.carrier.requests("INVITE")[0]
        self.carrier.replies(200, body=said("198.51.100.7", *answer))
        self.answer = self.office.heard[-1]
        self.office.sends("ACK", to_tag=self.office.our_tag)

    def reinvites(self, *lines, version=2):
        body = said("10.0.0.5", "a=sendonly", *lines, version=version).replace(b"a=sendrecv\r\n", b"")
        self.office.sends("INVITE", cseq=version, to_tag=self.office.our_tag, body=body, fields=SDP)
        return self.carrier.requests("INVITE")[-1]

    def hangs_up(self):
        self.office.sends("BYE", cseq=9, to_tag=self.office.our_tag)
        self.carrier.replies(200, to=self.carrier.requests("BYE")[0])
        return self.sbc.idle()


@pytest.mark.parametrize("wish", [(MUX,), (MUX, "a=rtcp-mux-only"), ("a=rtcp-mux-only",)])
def test_who_offers_it_has_it_whatever_the_other_side_does(world, wish):
    call = Call(world, *wish)
    assert not [line for line in told(call.invite) if "mux" in line]
    assert [line for line in told(call.answer) if "mux" in line] == [MUX]  # never rtcp-mux-only: RFC 8858 §4
    assert ends(call.sbc) == (True, False)
    assert call.hangs_up()


def test_an_answer_may_not_have_what_was_not_offered(world):
    """RFC 8035 §3.1.2: then nothing is agreed upon, and nobody is told of it."""
    call = Call(world, answer=(MUX,))
    assert not [line for line in told(call.answer) if "mux" in line]
    assert ends(call.sbc) == (False, False)
    assert call.hangs_up()


def test_a_payload_type_that_looks_like_rtcp_forbids_it(world):
    """RFC 5761 §4."""
    call = Call(world, MUX)
    body = said("10.0.0.5", MUX, "a=rtpmap:72 PCMU/8000", version=2).replace(b"AVP 0 8 101", b"AVP 0 8 101 72")
    call.office.sends("INVITE", cseq=2, to_tag=call.office.our_tag, body=body, fields=SDP)
    call.carrier.replies(
        200, to=call.carrier.requests("INVITE")[-1],
        body=said("198.51.100.7", "a=rtpmap:72 PCMU/8000", version=2).replace(b"AVP 0 8 101", b"AVP 0 72 101"),
    )  # fmt: skip
    assert MUX not in told(call.office.heard[-1])
    assert ends(call.sbc) == (False, False)
    call.office.sends("ACK", cseq=2, to_tag=call.office.our_tag)
    assert call.hangs_up()


def test_the_next_offer_of_that_side_decides_anew(world):
    call = Call(world, MUX)
    for version, wish, has_it in ((2, (MUX,), True), (3, (), False), (4, (MUX,), True)):
        asked = call.reinvites(*wish, version=version)
        assert MUX not in told(asked)
        call.carrier.replies(200, to=asked, body=said("198.51.100.7", version=version))
        assert (MUX in told(call.office.heard[-1])) is has_it
        assert ends(call.sbc) == (has_it, False)
        call.office.sends("ACK", cseq=version, to_tag=call.office.our_tag)
    assert call.hangs_up()


@pytest.mark.parametrize("answers", [True, False])
def test_an_offer_of_the_other_side_asks_a_peer_that_has_it_to_keep_it(world, answers):
    """And its answer decides."""
    sbc = world()
    office, carrier = ByHand(sbc, sbc.office()), sbc.carrier()
    office.sends("INVITE", f"sip:{FAR}@10.0.0.1", body=said("10.0.0.5", MUX), fields=SDP)
    carrier.answers()
    office.sends("ACK", to_tag=office.our_tag)
    carrier.holds()
    asked = office.requests("INVITE")[-1]
    assert MUX in told(asked)
    office.replies(200, to=asked, body=said("10.0.0.5", *((MUX,) if answers else ()), version=2))
    assert carrier.call.last_status == 200
    assert MUX not in carrier.call.remote_sdp.media[0].lines
    assert ends(sbc) == (answers, False)
    carrier.resumes()
    asked = office.requests("INVITE")[-1]
    assert (MUX in told(asked)) is answers
    office.replies(200, to=asked, body=said("10.0.0.5", version=3))
    carrier.hangs_up()
    office.replies(200, to=office.requests("BYE")[0])
    assert sbc.idle()


def test_our_own_lines_are_plain(world):
    """RTCP is heard on the port above RTP's: no a=rtcp says so (RFC 3605 §2.1). What is in RTCP is up to the two."""
    call = Call(world, "a=rtcp:4444", "a=rtcp-rsize", answer=("a=rtcp:5555 IN IP4 198.51.100.7", "a=rtcp-rsize"))
    for lines in (told(call.invite), told(call.answer)):
        assert [line for line in lines if line.startswith("a=rtcp")] == ["a=rtcp-rsize"]
    [ref] = call.sbc.media.worker.sessions
    stream = call.sbc.media.worker.session(ref).streams[0]
    assert (stream.ingress.remote.rtcp_port, stream.egress.remote.rtcp_port) == (4444, 5555)
    assert call.hangs_up()


def test_an_a_rtcp_with_rtps_own_port_is_no_agreement(world):
    call = Call(world, "a=rtcp:4000")
    [ref] = call.sbc.media.worker.sessions
    end = call.sbc.media.worker.session(ref).streams[0].ingress
    assert (end.mux, end.remote.rtcp_port) == (False, 4001)
    assert call.hangs_up()


def test_a_stream_that_is_no_rtp_never_has_it(world):
    sbc = world()
    office = ByHand(sbc, sbc.office())
    carrier = sbc.carrier(fax_port=5002)
    fax = said("10.0.0.5") + b"m=image 4002 udptl t38\r\na=rtcp-mux\r\n"
    office.sends("INVITE", f"sip:{FAR}@10.0.0.1", body=fax, fields=SDP)
    carrier.answers()
    assert MUX not in parse_sdp(office.heard[-1].body).media[1].lines
    office.sends("ACK", to_tag=office.our_tag)
    assert ends(sbc) == (False, False)
    carrier.hangs_up()
    office.replies(200, to=office.requests("BYE")[0])
    assert sbc.idle()


def test_a_refresh_is_answered_with_what_was_agreed(world):
    call = Call(world, MUX)
    body = said("10.0.0.5", MUX)
    call.office.sends("INVITE", cseq=2, to_tag=call.office.our_tag, body=body, fields=SDP)
    assert MUX in told(call.office.heard[-1])
    assert len(call.carrier.requests("INVITE")) == 1
    call.office.sends("ACK", cseq=2, to_tag=call.office.our_tag)
    assert ends(call.sbc) == (True, False)
    assert call.hangs_up()


def test_a_call_to_the_office_that_has_it(world):
    """An offer without it, by whoever calls: the office is not asked for it."""
    sbc = world()
    office, carrier = ByHand(sbc, sbc.office()), ByHand(sbc, sbc.carrier())
    carrier.sends("INVITE", f"sip:{DID}@203.0.113.1", body=said("198.51.100.7", MUX), fields=SDP)
    assert MUX not in told(office.requests("INVITE")[0])
    office.replies(200, body=said("10.0.0.5"))
    assert ends(sbc) == (True, False)
    here = f"sip:{DID}@203.0.113.1"
    carrier.sends("ACK", here, to_tag=carrier.our_tag)
    carrier.sends("BYE", here, cseq=2, to_tag=carrier.our_tag)
    office.replies(200, to=office.requests("BYE")[0])
    assert sbc.idle()
