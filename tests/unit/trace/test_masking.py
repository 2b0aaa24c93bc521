"""What nobody may read in a trace."""

import pytest
from msgspec import Struct

from sbc.trace.masking import MASKED, masked, masked_in_place, shown_error
from sbc.trace.recorder import Recorder

INFO = b"INFO sip:a@b SIP/2.0\r\nContent-Type: application/dtmf-relay\r\n\r\nSignal=7\r\nDuration=160\r\n"


@pytest.mark.parametrize(
    "data",
    [
        INFO,
        INFO.replace(b"\r\n", b"\n"),
        INFO.replace(b"Content-Type", b"c"),
        INFO.replace(b"INFO ", b"info "),
        INFO.replace(b"dtmf-relay", b"x-unheard-of"),
        INFO.replace(b"INFO", b"NOTIFY").replace(b"dtmf-relay", b"kpml-response+xml"),
        INFO.replace(b"INFO", b"MESSAGE").replace(b"application/dtmf-relay", b"audio/telephone-event"),
        INFO.replace(b"INFO", b"MESSAGE")
        .replace(b"application/dtmf-relay", b"multipart/mixed;boundary=x")
        .replace(b"Signal", b"--x\r\nContent-Type: application/dtmf-relay\r\n\r\nSignal"),
        INFO.replace(b"INFO sip:a@b SIP/2.0", b"SIP/2.0 200 OK"),
        b"\r\n\r\n" + INFO,
        b"\n\n" + INFO,
        INFO.replace(b"Content", b"X: y\r\r\nContent"),
        INFO.replace(b"INFO", b"NOTIFY").replace(b"Type: ", b"Type:\r\n "),
        INFO.replace(b"INFO", b"NOTIFY").replace(b"Content", b"c: text/plain\r\nContent"),
        INFO.replace(b"INFO sip:a@b SIP/2.0", b"SIP/2.0 200 OK\r\nCSeq: 2\r\n INFO").replace(b"dtmf-relay", b"x"),
    ],
)
def test_digits_are_not_shown(data):
    shown = masked(data)
    assert b"Signal" not in shown
    assert b"7" not in shown
    assert shown.endswith(MASKED)


@pytest.mark.parametrize("name", [b"Authorization", b"proxy-authorization", b"AUTHORIZATION"])
def test_credentials_are_not_shown(name):
    data = b"BYE sip:a@b SIP/2.0\r\n" + name + b': Digest username="acme",\r\n response="d41d8cd9"\r\nTo: x\r\n\r\n'
    assert masked(data) == b"BYE sip:a@b SIP/2.0\r\n" + name + b": Digest (not shown)\r\nTo: x\r\n\r\n"


@pytest.mark.parametrize(
    "data",
    [
        b"INVITE sip:a@b SIP/2.0\r\nContent-Type: application/sdp\r\n\r\na=rtpmap:101 telephone-event/8000\r\n",
        b"INFO sip:a@b SIP/2.0\r\nContent-Length: 0\r\n\r\n",
        b"INFO",
        b"",
    ],
)
def test_the_rest_stays_the_same_object(data):
    assert masked(data) is data


def test_whoever_reads_a_tape_reads_it_masked():
    recorder = Recorder()
    recorder.message("a", 1.0, "ingress", False, INFO)
    recorder.message("a", 1.0, "egress", True, INFO)
    assert [b"Signal" in (entry.data or b"") for entry in recorder.entries("a")] == [False, False]


REQUEST = b"INVITE sip:a@b SIP/2.0\r\n\r\nv=0\r\n"
CRYPTO = b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj|2^20|1:32\r\n"
SIPFRAG = b"NOTIFY sip:a@b SIP/2.0\r\nContent-Type: message/sipfrag\r\n\r\nINVITE sip:c SIP/2.0\r\n"
SECRETS = [
    b"INVITE sip:bob:hunter2@pbx SIP/2.0\r\nTo: <sip:bob:hunter2@pbx>\r\n\r\n",
    b"INVITE tel:+1;postd=p4711 SIP/2.0\r\nTo: x\r\n\r\n",
    b"INVITE sip:+1%3Bpostd%3D4711@b SIP/2.0\r\nTo: <sip::hunter2@pbx>\r\n\r\n",
    b"REFER sip:a@b SIP/2.0\r\nRefer-To: <sip:c@d?Authorization=Digest%20response%3D%226629fae4%22>\r\n\r\n",
    b'SIP/2.0 200 OK\r\nAuthentication-Info: rspauth="6629fae4", nc=1\r\n\r\n',
    REQUEST + CRYPTO + b"m=audio 1 RTP/SAVP 0\r\n",
    REQUEST + CRYPTO.replace(b"inline", b"INLINE").replace(b"a=crypto", b"A=CRYPTO"),
    REQUEST + CRYPTO.replace(b"JFhQ", b"\r\n JFhQ"),
    REQUEST + CRYPTO.replace(b" inline", b"\r\n\tinline"),
    REQUEST + CRYPTO.replace(b"inline:", b"inline : "),
    REQUEST + CRYPTO.replace(b"inline:", b"uri:"),
    REQUEST + CRYPTO.replace(b"inline:", b""),
    REQUEST + CRYPTO.replace(b"a=crypto:", b"a = crypto : "),
    REQUEST
    + CRYPTO.replace(b"|2^20|1:32", b"|1:4;inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwHAwJ|2:4 FEC_KEY=inline:d0Rm"),
    REQUEST + b"--x\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n" + CRYPTO + b"--x--\r\n",
    b"REFER sip:a@b SIP/2.0\r\nRefer-To: <sip:c@d?body=a%3Dcrypto%3A1%20X%20inline%3Ad0RmHAwJ%7C2>\r\n\r\n",
    REQUEST + b"a=key-mgmt:mikey\r\n AQAFgM0X\r\n",
    REQUEST + b"k=clear:opensesame\r\na=key-mgmt:mikey AQAFgM0X\r\na=ice-pwd:asd88fgpdd77\r\n",
    SIPFRAG + b'AUTHorization: Digest response="6629fae4"\r\n',
    b"BYE sip:a@b SIP/2.0\rAuthorization: Basic aHVudGVyMg==\r\n\r\n",
]
WORDS = (
    b"hunter2", b"4711", b"6629", b"d0Rm", b"HAwJ", b"opensesame", b"AQAF", b"asd88", b"aHVu", b"d41d8cd9", b"Signal=7",
)  # fmt: skip


@pytest.mark.parametrize("mask", [masked, masked_in_place])
@pytest.mark.parametrize("data", [*SECRETS, INFO])
def test_no_secret_is_left(mask, data):
    assert any(word in data for word in WORDS)
    assert not any(word in mask(data) for word in WORDS)


@pytest.mark.parametrize("data", [*SECRETS, INFO])
def test_masked_in_place_a_message_keeps_its_length_and_its_lines(data):
    shown = masked_in_place(data)
    assert len(shown) == len(data)
    assert [i for i, octet in enumerate(shown) if octet in b"\r\n"] == [
        i for i, octet in enumerate(data) if octet in b"\r\n"
    ]


@pytest.mark.parametrize("data", SECRETS)
def test_a_crash_that_has_a_whole_message_in_its_words_shows_no_secret_either(data):
    class Report(Struct):
        body: bytes

    shown = shown_error(AssertionError(f"{Report(data)} in Hunting"))
    assert not any(word.decode() in shown for word in WORDS)
    assert shown.startswith("AssertionError(")
    assert shown_error(ValueError("no\nsecret")) == repr(ValueError("no\nsecret"))


def test_what_is_no_secret_of_a_message_stays():
    shown = masked(REQUEST + CRYPTO + b"m=audio 1 RTP/SAVP 0\r\n")
    assert b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:(not shown)|2^20|1:32\r\nm=audio 1 RTP/SAVP 0\r\n" in shown
    challenge = b'SIP/2.0 401 Unauthorized\r\nWWW-Authenticate: Digest realm="hq", nonce="abc"\r\nIdentity: eyJ\r\n\r\n'
    assert masked(challenge) is challenge
    assert masked_in_place(challenge) is challenge
    with_ports = (
        b"INVITE sip:bob@10.0.0.1:5060 SIP/2.0\r\nContact: <sip:bob@10.0.0.1:5060>, <sip:10.0.0.2:5060>\r\n\r\n"
    )
    assert masked(with_ports) is with_ports


def test_the_answer_to_an_info_is_not_shown_whatever_it_says_that_it_is():
    data = b"SIP/2.0 200 OK\r\nCSeq: 3 INFO\r\nContent-Type: text/plain\r\n\r\nheard 7\r\n"
    assert masked(data).endswith(b"\r\n\r\n" + MASKED)
