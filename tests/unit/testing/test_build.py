from sbc.testing.build import FLOW, THERE, request, response_to


def test_an_invite_in_one_line():
    invite = request(to="sip:+441632960001@192.0.2.1", sdp=True)
    assert (invite.method, invite.uri_text, invite.cseq.number) == ("INVITE", "sip:+441632960001@192.0.2.1", 1)
    assert invite.to.tag is None
    assert invite.body.startswith(b"v=0")
    assert invite.headers("Contact") == [f"<sip:{THERE}>"]
    assert FLOW.remote == THERE


def test_a_request_within_a_dialog():
    bye = request("BYE", to_tag="t", from_tag="f", cseq=7, call_id="c")
    assert (bye.to.tag, bye.from_.tag, bye.cseq.number, bye.call_id) == ("t", "f", 7, "c")


def test_responses_have_what_a_far_side_would_give_them():
    invite = request()
    assert response_to(invite, 100).to.tag is None
    ok = response_to(invite, 200, body=b"v=0")
    assert (ok.status, ok.to.tag, ok.content_type) == (200, "to-1", "application/sdp")
    assert len(ok.headers("Contact")) == 1
    assert response_to(invite, 486).headers("Contact") == []
