"""The messages of which `anomalies` makes wrong ones. Values that are alike in all of them are filled in at last."""

from typing import Final

SDP: Final = """
v=⟦0⟧
o=⟦-⟧ ⟦4711⟧ ⟦1⟧ ⟦IN⟧ ⟦IP4⟧ ⟦%host%⟧
s=⟦-⟧
i=a session
b=AS:⟦64⟧
c=IN ⟦IP4⟧ ⟦%host%⟧
t=⟦0⟧ ⟦0⟧
a=⟦sendrecv⟧
m=⟦audio⟧ ⟦4000⟧ ⟦RTP/AVP⟧ ⟦0⟧ 8 ⟦101⟧
c=IN IP4 ⟦%host%⟧
a=rtpmap:⟦0⟧ ⟦PCMU⟧/⟦8000⟧
a=rtpmap:101 ⟦telephone-event⟧/8000/⟦1⟧
a=fmtp:⟦101⟧ ⟦0-16⟧
a=ptime:⟦20⟧
a=maxptime:⟦40⟧
a=rtcp:⟦4001⟧ IN IP4 ⟦%host%⟧
a=rtcp-mux
a=mid:⟦1⟧
a=crypto:⟦1⟧ ⟦AES_CM_128_HMAC_SHA1_80⟧ inline:⟦WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz⟧|⟦2^20⟧|⟦1:4⟧
a=fingerprint:⟦sha-256⟧ ⟦4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B⟧
a=setup:⟦actpass⟧
a=candidate:1 1 UDP ⟦2130706431⟧ %host% 4000 typ host
m=⟦image⟧ ⟦4002⟧ ⟦udptl⟧ ⟦t38⟧
a=T38FaxVersion:⟦0⟧
a=T38MaxBitRate:⟦14400⟧
"""

_INVITE: Final = """
⟦INVITE⟧ ⟦sip⟧:⟦%called%⟧@⟦%ours%⟧;⟦user⟧=⟦phone⟧ ⟦SIP/2.0⟧
Via: ⟦SIP/2.0⟧/⟦UDP⟧ ⟦%host%⟧:⟦5060⟧;branch=⟦z9hG4bK%branch%⟧;⟦rport⟧;received=⟦192.0.2.9⟧;maddr=⟦192.0.2.8⟧;ttl=⟦5⟧
Max-Forwards: ⟦70⟧
From: ⟦"Alice"⟧ <⟦sip⟧:⟦+14155550142⟧@⟦%host%⟧>;tag=⟦%tag%⟧;⟦x⟧=⟦y⟧
To: ⟦Bob⟧ <sip:⟦%called%⟧@⟦%ours%⟧>
Call-ID: ⟦%call_id%⟧
CSeq: ⟦1⟧ ⟦INVITE⟧
Contact: <sip:⟦alice⟧@⟦%host%⟧:⟦5060⟧;transport=⟦udp⟧>;q=⟦0.5⟧;expires=⟦60⟧;+sip.instance=⟦"<urn:uuid:1>"⟧
Record-Route: <sip:⟦p1.%host%⟧;⟦lr⟧>, <sip:p2.%host%;lr>
Supported: ⟦timer⟧, ⟦100rel⟧, replaces
Allow: ⟦INVITE⟧, ACK, BYE, CANCEL, UPDATE, INFO, PRACK, REFER, NOTIFY
Session-Expires: ⟦1800⟧;refresher=⟦uac⟧
Min-SE: ⟦90⟧
Expires: ⟦180⟧
P-Asserted-Identity: ⟦"Alice"⟧ <sip:⟦+14155550142⟧@⟦%host%⟧>
P-Preferred-Identity: <tel:⟦+14155550142⟧>
Privacy: ⟦none⟧
Diversion: <sip:⟦+14155550143⟧@%host%>;reason=⟦user-busy⟧;counter=⟦2⟧;privacy=⟦off⟧
History-Info: <sip:⟦+14155550144⟧@%host%?Reason=⟦SIP%3Bcause%3D302⟧>;index=⟦1⟧, <sip:b@%host%>;index=⟦1.1⟧
User-Agent: ⟦Phone⟧/1.0
Subject: ⟦about us⟧
Organization: ⟦us⟧
Priority: ⟦normal⟧
Date: ⟦Sat, 21 Nov 2026 17:00:00 GMT⟧
Timestamp: ⟦54⟧
Accept: ⟦application/sdp⟧;q=⟦0.3⟧, application/dtmf-relay
Accept-Language: ⟦en⟧
Alert-Info: <⟦urn:alert:service:call-waiting⟧>
Call-Info: <http://⟦%host%⟧/a.png>;purpose=⟦icon⟧
Reason: ⟦Q.850⟧;cause=⟦16⟧;text=⟦"Terminated"⟧
Referred-By: <sip:⟦c⟧@%host%>;cid=⟦"1@x"⟧
In-Reply-To: ⟦a@b⟧
Session-ID: ⟦0123456789abcdef0123456789abcdef⟧;remote=⟦00000000000000000000000000000000⟧
User-to-User: ⟦56a390f3d2b7⟧;encoding=⟦hex⟧
Geolocation: <⟦cid:a@b⟧>
Geolocation-Routing: ⟦yes⟧
P-Early-Media: ⟦supported⟧
P-Charging-Vector: icid-value=⟦1⟧;icid-generated-at=⟦192.0.2.7⟧
P-Access-Network-Info: ⟦3GPP-E-UTRAN⟧
Authorization: Digest username=⟦"a"⟧, realm=⟦"test"⟧, nonce=⟦"b"⟧, uri=⟦"sip:x"⟧, response=⟦"c"⟧, nc=⟦00000001⟧
Identity: ⟦eyJhbGciOiJFUzI1NiJ9.e30.c2ln⟧;info=<⟦https://cert.example/a.pem⟧>;alg=⟦ES256⟧
X-Unknown: ⟦anything⟧
MIME-Version: ⟦1.0⟧
Content-Disposition: ⟦session⟧;handling=⟦required⟧
Content-Language: ⟦en⟧
Content-Type: ⟦application⟧/⟦sdp⟧
Content-Length: ⟦%length%⟧
"""
INVITE: Final = f"{_INVITE.strip()}\n{SDP}"

_ANSWER: Final = """
⟦SIP/2.0⟧ ⟦{status}⟧ ⟦{reason}⟧
Via: %via%
From: %from%
To: ⟦Bob⟧ <sip:⟦%called%⟧@⟦%ours%⟧>;tag=⟦%tag%⟧
Call-ID: ⟦%call_id%⟧
CSeq: ⟦%number%⟧ ⟦INVITE⟧
Contact: <sip:⟦crook⟧@⟦%host%⟧:⟦5060⟧;transport=⟦udp⟧>;q=⟦0.5⟧;expires=⟦60⟧
"""
_OF_ANSWERS: Final = """
Record-Route: <sip:⟦p1.%host%⟧;⟦lr⟧>, <sip:p2.%host%;lr>
Supported: ⟦timer⟧, replaces
Allow: ⟦INVITE⟧, ACK, BYE, CANCEL, UPDATE
Server: ⟦Switch⟧/1.0
P-Asserted-Identity: ⟦"Bob"⟧ <sip:⟦+4930123456⟧@%host%>
Session-ID: ⟦0123456789abcdef0123456789abcdef⟧;remote=⟦00000000000000000000000000000000⟧
Reason: ⟦Q.850⟧;cause=⟦16⟧;text=⟦"x"⟧
Warning: ⟦399⟧ ⟦x⟧ ⟦"text"⟧
User-to-User: ⟦56a390f3d2b7⟧;encoding=⟦hex⟧
P-Early-Media: ⟦sendrecv⟧
Alert-Info: <⟦urn:alert:service:call-waiting⟧>
"""
_WITH_SDP: Final = """
Content-Type: ⟦application⟧/⟦sdp⟧
Content-Length: ⟦%length%⟧
"""
# What each status may have besides.
_BESIDES: Final = {
    180: "Require: ⟦100rel⟧\nRSeq: ⟦1⟧",
    183: "Require: ⟦100rel⟧\nRSeq: ⟦1⟧",
    200: "Require: ⟦timer⟧\nSession-Expires: ⟦1800⟧;refresher=⟦uas⟧\nMin-SE: ⟦90⟧",
    302: "Expires: ⟦60⟧\nDiversion: <sip:⟦+4930123456⟧@%host%>;reason=⟦unconditional⟧;counter=⟦1⟧",
    401: (
        'WWW-Authenticate: Digest realm=⟦"c"⟧, nonce=⟦"n"⟧, algorithm=⟦MD5⟧, qop=⟦"auth,auth-int"⟧, opaque=⟦"5"⟧, '
        "stale=⟦false⟧"
    ),
    422: "Min-SE: ⟦3600⟧",
    503: "Retry-After: ⟦5⟧ (⟦x⟧);duration=⟦10⟧",
}
_REASONS: Final = {180: "Ringing", 183: "Session Progress", 200: "OK", 302: "Moved Temporarily", 401: "Unauthorized"}


def answer(status: int) -> str:
    """To our INVITE. What all have in common, and the description, is only in the 200."""
    text = _ANSWER.format(status=status, reason=_REASONS.get(status, "Refused")).strip() + f"\n{_BESIDES[status]}"
    if status == 200:
        text += f"\n{_OF_ANSWERS.strip()}"
    if status == 200:
        return f"{text}\n{_WITH_SDP.strip()}\n{SDP}"
    return f"{text}\nContent-Length: ⟦%length%⟧"


_REQUEST: Final = """
⟦{method}⟧ ⟦sip⟧:⟦%ours%⟧ ⟦SIP/2.0⟧
Via: ⟦SIP/2.0⟧/⟦UDP⟧ ⟦%host%⟧:⟦5060⟧;branch=⟦z9hG4bK%branch%⟧;⟦rport⟧
Max-Forwards: ⟦70⟧
From: ⟦"A"⟧ <⟦sip⟧:⟦%user%⟧@⟦%host%⟧>;tag=⟦%tag%⟧
To: <sip:⟦%called%⟧@⟦%ours%⟧>;tag=⟦%our_tag%⟧
Call-ID: ⟦%call_id%⟧
CSeq: ⟦%number%⟧ ⟦{method}⟧
"""
_CONTACT: Final = "Contact: <sip:⟦alice⟧@⟦%host%⟧:⟦5060⟧>"
# Of each method what gives it a meaning.
_WITHIN: Final = {
    "INVITE": f"{_CONTACT}\nSupported: timer\nSession-Expires: ⟦1800⟧;refresher=⟦uac⟧\nAllow: ⟦UPDATE⟧{_WITH_SDP}{SDP}",
    "UPDATE": f"{_CONTACT}\nSession-Expires: ⟦1800⟧;refresher=⟦uas⟧\nSupported: timer\nContent-Length: ⟦%length%⟧",
    "PRACK": "RAck: ⟦1⟧ ⟦1⟧ ⟦INVITE⟧\nContent-Length: ⟦%length%⟧",
    "BYE": 'Reason: ⟦Q.850⟧;cause=⟦16⟧;text=⟦"x"⟧\nContent-Length: ⟦%length%⟧',
    "INFO": (
        "Info-Package: ⟦x⟧\nContent-Type: ⟦application⟧/⟦dtmf-relay⟧\nContent-Length: ⟦%length%⟧\n\n"
        "Signal=⟦5⟧\nDuration=⟦160⟧"
    ),
    "MESSAGE": "Content-Type: ⟦text⟧/⟦plain⟧;charset=⟦utf-8⟧\nExpires: ⟦60⟧\nContent-Length: ⟦%length%⟧\n\n⟦hello⟧",
    "REFER": (
        f"{_CONTACT}\nRefer-To: ⟦<sip:⟧⟦+4930999⟧@%ours%?⟦Replaces⟧=⟦a%3Bto-tag%3Db%3Bfrom-tag%3Dc⟧>;method=⟦INVITE⟧\n"
        'Referred-By: <sip:⟦a⟧@%host%>;cid=⟦"1@x"⟧\nRefer-Sub: ⟦true⟧\nContent-Length: ⟦%length%⟧'
    ),
    "NOTIFY": (
        f"{_CONTACT}\nEvent: ⟦refer⟧;id=⟦1⟧\nSubscription-State: ⟦active⟧;expires=⟦60⟧;reason=⟦giveup⟧\n"
        "Content-Type: ⟦message/sipfrag⟧\nContent-Length: ⟦%length%⟧\n\n⟦SIP/2.0⟧ ⟦200⟧ ⟦OK⟧"
    ),
    "SUBSCRIBE": (
        f"{_CONTACT}\nEvent: ⟦dialog⟧;id=⟦1⟧\nExpires: ⟦600⟧\nAccept: ⟦application/dialog-info+xml⟧\n"
        "Content-Length: ⟦%length%⟧"
    ),
    "OPTIONS": "Accept: ⟦*/*⟧\nContent-Length: ⟦%length%⟧",
    "ACK": "Content-Length: ⟦%length%⟧",
    "CANCEL": "Reason: ⟦SIP⟧;cause=⟦200⟧\nContent-Length: ⟦%length%⟧",
}


WITHIN: Final = tuple(_WITHIN)


def within(method: str) -> str:
    """A request within a call, of the rogue PBX that has begun it."""
    return f"{_REQUEST.format(method=method).strip()}\n{_WITHIN[method].strip()}"
