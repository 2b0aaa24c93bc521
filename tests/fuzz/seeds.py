"""What more than one target begins with."""

from tests.conformance.torture.own import OWN

MESSAGES: tuple[bytes, ...] = tuple(octets for octets, *_ in OWN.values() if len(octets) < 2_000)
SDP = (
    b"v=0\r\no=- 1 1 IN IP4 10.0.0.5\r\ns=-\r\nc=IN IP4 10.0.0.5\r\nb=AS:64\r\nt=0 0\r\na=sendrecv\r\n"
    b"m=audio 4000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=rtcp:4001\r\n"
    b"a=ptime:20\r\na=rtcp-mux\r\nm=image 4002 udptl t38\r\na=T38FaxVersion:0\r\n"
)
INVITE = (
    b"INVITE sip:+442079460001@10.0.0.1 SIP/2.0\r\nv: SIP/2.0/UDP 10.0.0.5:5060;branch=z9hG4bK2;rport,\r\n"
    b' SIP/2.0/TCP p.example;received=192.0.2.4;branch=z9hG4bK3\r\nMax-Forwards: 7\r\nf: "A" <sip:a@10.0.0.5>;tag=2\r\n'
    b"t: <sip:+442079460001@10.0.0.1>\r\ni: 2@x\r\nCSeq: 1 INVITE\r\nm: <sip:a@10.0.0.5;transport=udp>;+x\r\n"
    b"Record-Route: <sip:p1;lr>, <sip:p2;lr>\r\nSupported: timer, 100rel\r\nSession-Expires: 1800;refresher=uac\r\n"
    b"P-Asserted-Identity: <tel:+14155550100>\r\nPrivacy: id\r\nReplaces: a;to-tag=b;from-tag=c\r\n"
    b"c: application/sdp\r\nl: %d\r\n\r\n%b" % (len(SDP), SDP)
)
RESPONSE = (
    b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK5\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\n"
    b"Call-ID: 5\r\nCSeq: 2 INVITE\r\nContact: <sip:x@y>\r\nContent-Length: 0\r\n\r\n"
)
WORDS = (
    b"\r\n", b"\r\n ", b"\r\n\t", b"\r\n\r\n", b"\n\n", b"\r\r", b"SIP/2.0", b"INVITE ", b"ACK ", b"z9hG4bK",
    b";tag=", b";branch=",
    b";received=", b";rport", b";lr", b"sip:", b"sips:", b"tel:", b"Content-Length", b"\r\nl:",
    b"\r\nContent-Length: 5",
    b"\r\nContent-Length :", b"\r\nVia: ", b"\r\nRoute: ", b"\r\nContact: *", b"%00",
    b'\\"', b"[::1]", b"<>", b"99999999999",
    b"\xc5\xbf", b"\xe2\x84\xaa",
)  # fmt: skip
