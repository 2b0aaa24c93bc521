"""Messages of our own making in the same spirit, so that something runs where those of RFC 4475 are not at hand.

Name: octets, what they get over UDP, what they get over TCP.
"""

from .expect import CLOSED, PROCESSED, SILENCE, UNFINISHED

SDP = b"v=0\r\no=- 1 1 IN IP4 127.0.0.30\r\ns=-\r\nc=IN IP4 127.0.0.30\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"


def octets(start, *lines, body=b"", base=True, length=True):
    cseq = start.split(" ")[0]
    head = [start]
    if base:
        head += [
            "Via: SIP/2.0/UDP 127.0.0.30:5060;branch=z9hG4bKown;rport",
            "From: <sip:a@127.0.0.30>;tag=1",
            "To: <sip:b@127.0.0.10>",
            "Call-ID: own",
            f"CSeq: 1 {cseq}",
        ]
    head += lines
    if length:
        head.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*head, "", ""]).encode("utf-8", "surrogateescape") + body


CONTACT = "Contact: <sip:a@127.0.0.30>"
TYPE = "Content-Type: application/sdp"
OPTIONS = "OPTIONS sip:127.0.0.10 SIP/2.0"
INVITE = "INVITE sip:4155550123@127.0.0.10 SIP/2.0"
NOWHERE = "INVITE sip:99@127.0.0.10 SIP/2.0"

OWN = {
    "options": (octets(OPTIONS), 200, 200),
    "lower case version": (octets("OPTIONS sip:127.0.0.10 sip/2.0"), 200, 200),
    "unknown method": (octets("oPTIONS sip:127.0.0.10 SIP/2.0"), 501, 501),
    "known method": (octets("SUBSCRIBE sip:127.0.0.10 SIP/2.0"), 405, 405),
    "unknown dialog": (octets("BYE sip:127.0.0.10 SIP/2.0"), 481, 481),
    "cancel of nothing": (octets("CANCEL sip:127.0.0.10 SIP/2.0"), 481, 481),
    "ack of nothing": (octets("ACK sip:127.0.0.10 SIP/2.0"), SILENCE, SILENCE),
    "broken ack": (octets("ACK sip:127.0.0.10 SIP/2.0", "To: <sip:b@127.0.0.10>"), SILENCE, SILENCE),
    "invite to nowhere": (octets(NOWHERE, CONTACT, TYPE, body=SDP), 404, 404),
    "invite to a silent carrier": (octets(INVITE, CONTACT, TYPE, body=SDP), 408, 408),
    "invite without contact": (octets(INVITE, TYPE, body=SDP), PROCESSED, PROCESSED),
    "invite without a body": (octets(INVITE, CONTACT), PROCESSED, PROCESSED),
    "invite with no sdp in it": (octets(INVITE, CONTACT, TYPE, body=b"hello\r\n"), 400, 400),
    "zipped sdp": (octets(INVITE, CONTACT, TYPE, "Content-Encoding: gzip", body=SDP), 415, 415),
    "two call-ids": (octets(OPTIONS, "i: another"), 400, 400),
    "two equal from": (octets(OPTIONS, "f: <sip:a@127.0.0.30>;tag=1"), 400, 400),
    "a length beyond every bound": (octets(OPTIONS, "Content-Length: 70000", length=False), 400, (513, CLOSED)),
    "two lengths": (octets(OPTIONS, "l: 5"), 400, (400, CLOSED)),
    "folded length": (octets(OPTIONS, "Content-Length:\r\n 0", length=False), 200, 200),
    "no length": (octets(OPTIONS, length=False), 200, (400, CLOSED)),
    "length with a sign": (octets(OPTIONS, "Content-Length: +0", length=False), 400, (400, CLOSED)),
    "length of another digit": (octets(OPTIONS, "Content-Length: \u0663", length=False), 400, (400, CLOSED)),
    "bare line feeds": (octets(OPTIONS).replace(b"\r\n", b"\n"), SILENCE, UNFINISHED),
    "one bare line feed": (octets(OPTIONS, "X: 1\nRoute: <sip:127.0.0.99>"), 400, 400),
    "a nul": (octets(OPTIONS, "X: \0"), 400, 400),
    "octets that are no utf-8": (octets(OPTIONS, "X: \udcff\udcfe"), 200, 200),
    "header in the request uri": (octets("OPTIONS sip:127.0.0.10?Route=x SIP/2.0"), 400, 400),
    "no base header": (octets(OPTIONS, base=False), SILENCE, SILENCE),
    "stray response": (octets("SIP/2.0 200 OK").replace(b"1 SIP/2.0", b"1 INVITE"), SILENCE, SILENCE),
    "keep-alive": (b"\r\n\r\n", SILENCE, SILENCE),
    "one octet": (b"\0", SILENCE, UNFINISHED),
    "nothing that we know": (b"GET / HTTP/1.1\r\nHost: 127.0.0.10\r\n\r\n", SILENCE, CLOSED),
    "no end": (b"OPTIONS sip:127.0.0.10 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.30\r\n", 400, UNFINISHED),
    "a header section too long": (octets(OPTIONS, *["X: y" * 200] * 60), 513, (513, CLOSED)),
    "too many headers": (octets(OPTIONS, *["X: y"] * 300), 513, 513),
    "too many vias": (octets(OPTIONS, *["Via: SIP/2.0/UDP 127.0.0.31"] * 80), 513, 513),
}
