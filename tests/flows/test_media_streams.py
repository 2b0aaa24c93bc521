"""What else the media worker is told of a stream: digits, clocks and rates; and packet times, which are theirs."""
# RFC: 3362, 3551

from sbc.sdp import describe, parse_sdp, serialize_sdp
from sbc.testing.byhand import ByHand
from sbc.testing.world import FAR

SDP = (("Content-Type", "application/sdp"),)


def call_between(world, offer, answer, **peers):
    sbc = world(peers=peers or None)
    office, carrier = ByHand(sbc, sbc.office()), ByHand(sbc, sbc.carrier())
    office.sends("INVITE", f"sip:{FAR}@10.0.0.1", body=offer, fields=SDP)
    carrier.replies(200, body=answer)
    invite, reply = carrier.requests("INVITE")[0], office.heard[-1]
    office.sends("ACK", to_tag=office.our_tag)
    [ref] = sbc.media.worker.sessions
    streams = sbc.media.worker.session(ref).streams
    office.sends("BYE", cseq=2, to_tag=office.our_tag)
    carrier.replies(200, to=carrier.requests("BYE")[0])
    assert sbc.idle()
    return streams, parse_sdp(invite.body), parse_sdp(reply.body)


def sdp(host, *streams):
    """A stream is its m= line without `m=`, and its attributes."""
    head = serialize_sdp(describe(host, 4000)).partition(b"m=")[0]
    lines = [text for m, *more in streams for text in (f"m={m}", *(f"a={line}" for line in more))]
    return head + "".join(f"{line}\r\n" for line in lines).encode()


OPUS = ("rtpmap:96 opus/48000/2", "rtpmap:97 telephone-event/48000", "rtpmap:101 telephone-event/8000")


def test_clocks_of_what_comes_from_each_end_in_the_numbers_that_it_was_told(world):
    offer = sdp(
        "10.0.0.5", ("audio 4000 RTP/AVP 96 97 0 101", *OPUS), ("video 4002 RTP/AVP 98", "rtpmap:98 H264/90000")
    )
    answer = sdp(
        "198.51.100.7",
        ("audio 5000 RTP/AVP 111 97 101", "rtpmap:111 opus/48000/2", *OPUS[1:]),
        ("video 5002 RTP/AVP 98", "rtpmap:98 H264/90000"),
    )
    (audio, video), _, _ = call_between(world, offer, answer)
    assert dict(audio.ingress_clocks) == {96: 48000, 97: 48000}
    assert dict(audio.egress_clocks) == {96: 48000, 97: 48000}
    assert video.ingress_clocks == video.egress_clocks == ((98, 90000),)
    assert (audio.packets_per_second, video.packets_per_second) == (500, 5000)
    assert (audio.events, audio.event_rates) == ((97, 97), (48000, 48000))
    assert video.events is None


def test_static_numbers_have_the_clocks_of_rfc_3551(world):
    offer = sdp("10.0.0.5", ("audio 4000 RTP/AVP 11 9 6",))
    answer = sdp("198.51.100.7", ("audio 5000 RTP/AVP 11 9",))
    (audio,), _, _ = call_between(world, offer, answer)
    assert dict(audio.ingress_clocks) == {11: 44100}
    assert dict(audio.egress_clocks) == {11: 44100, 6: 16000}


def test_a_fax_is_no_rtp_and_has_a_rate(world):
    fax = "image 4002 udptl t38"
    offer = sdp("10.0.0.5", ("audio 4000 RTP/AVP 0 8",), (fax,))
    (_, image), _, _ = call_between(world, offer, sdp("198.51.100.7", ("audio 5000 RTP/AVP 0",), (fax,)))
    assert (image.rtp, image.packets_per_second, image.events, image.ingress_clocks) == (False, 1000, None, ())


def test_a_clock_that_cannot_be_is_taken_for_the_usual_one(world):
    odd = ("rtpmap:96 opus/0", "rtpmap:97 telephone-event/99999999", "rtpmap:200 opus/48000", "rtpmap:98 x")
    offer = sdp("10.0.0.5", ("audio 4000 RTP/AVP 0 8 96 97 98 200", *odd))
    answer = sdp("198.51.100.7", ("audio 5000 RTP/AVP 0 96 97", *odd))
    (audio,), _, _ = call_between(world, offer, answer)
    assert (audio.ingress_clocks, audio.egress_clocks) == ((), ())
    assert (audio.events, audio.event_rates) == ((97, 97), (8000, 8000))


def test_digits_are_played_only_where_the_policy_converts_them(world):
    both = ("audio 4000 RTP/AVP 0 8 101", "rtpmap:101 telephone-event/8000")
    for dtmf, plays in (("pass", False), ("rfc4733", True)):
        (audio,), _, _ = call_between(
            world, sdp("10.0.0.5", both), sdp("198.51.100.7", both), carrier={"dtmf": dtmf}
        )  # fmt: skip
        assert (audio.events, audio.report_digits, audio.plays_digits) == ((101, 101), (), plays)


def test_packet_times_are_between_the_two(world):
    """Ours is no jitter buffer: packets cross as they are, so that neither is told another packet time."""
    offer = sdp("10.0.0.5", ("audio 4000 RTP/AVP 8", "ptime:30", "maxptime:60"))
    answer = sdp("198.51.100.7", ("audio 5000 RTP/AVP 0", "ptime:20", "maxptime:40"))
    (audio,), asked, told = call_between(world, offer, answer)
    assert len(audio.transcodings) == 2  # even then: a sample is an octet in both laws
    assert [line for line in asked.media[0].lines if "ptime" in line] == ["a=ptime:30", "a=maxptime:60"]
    assert [line for line in told.media[0].lines if "ptime" in line] == ["a=ptime:20", "a=maxptime:40"]
