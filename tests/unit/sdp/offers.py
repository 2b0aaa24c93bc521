"""Descriptions that several of these test modules start from."""

from sbc.sdp.model import Session
from sbc.sdp.parse import parse_sdp

PHONE = """\
v=0
o=alice 2890844526 2890844526 IN IP4 192.0.2.10
s=a call
c=IN IP4 192.0.2.10
t=0 0
m=audio 49170 RTP/AVP 0 8 101
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-16
a=ptime:20
"""


def session(text: str) -> Session:
    return parse_sdp(text.replace("\n", "\r\n").encode())


def with_media(*media_lines: str, head: str = "c=IN IP4 192.0.2.10\nt=0 0") -> Session:
    return session("\n".join(["v=0", "o=- 1 1 IN IP4 192.0.2.10", "s=-", head, *media_lines, ""]))
