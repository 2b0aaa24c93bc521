"""XML documents written anew: nothing of the sending side is left in them."""

import time
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.b2bua.documents import document_across

NAMES = frozenset({"pbx.corp.example", "corp.example", "phones"})
OURS = "203.0.113.9"

DIALOGS = """\ufeff<?xml version="1.0" encoding="UTF-8"?>
<!-- pbx.corp.example 10.0.0.1 -->
<d:dialog-info xmlns:d="urn:ietf:params:xml:ns:dialog-info"
 version="1" state="full" entity="sip:bob@pbx.corp.example:5060">
 <d:dialog id="7" call-id="a84b@10.0.0.1" local-tag='19' remote-tag="z" direction="initiator">
  <d:state event="rejected" code="486">terminated</d:state>
  <d:replaces call-id="a" local-tag="b" remote-tag="c"/>
  <d:session-description type="application/sdp">o=bob 1 1 IN IP4 10.0.0.8</d:session-description>
  <d:local><d:identity display="Bob at DB7.corp.example">sip:bob;x=1@10.0.0.1</d:identity>
   <d:target uri="sip:bob@[fe80::1]:5070;ob?x=1&amp;y"><d:param pname="+sip.rendering" pval="no"/></d:target></d:local>
 </d:dialog>
</d:dialog-info>"""


def _crossed(document, names=NAMES):
    octets = document_across(document.encode() if isinstance(document, str) else document, names, OURS)
    return None if octets is None else octets.decode()


def _tree(document):
    return ET.fromstring(_crossed(document))


def test_dialogs_keep_their_state_and_lose_their_names():
    tree = _tree(DIALOGS)
    space = "{urn:ietf:params:xml:ns:dialog-info}"
    dialog = tree.find(f"{space}dialog")
    assert tree.get("entity") == "sip:bob@203.0.113.9"
    assert set(dialog.keys()) == {"id", "direction"}
    assert dialog.get("id") != "7"
    assert dialog.find(f"{space}state").attrib == {"event": "rejected", "code": "486"}
    assert dialog.find(f"{space}replaces") is None
    assert dialog.find(f"{space}session-description").text is None
    identity = dialog.find(f"{space}local/{space}identity")
    assert (identity.get("display"), identity.text) == ("Bob at 203.0.113.9", "sip:bob@203.0.113.9")
    assert dialog.find(f"{space}local/{space}target").get("uri") == "sip:bob@203.0.113.9"
    assert dialog.find(f"{space}local/{space}target/{space}param").get("pval") == "no"


def test_an_identifier_is_replaced_by_the_same_each_time():
    first, second = _tree('<a><b id="x"/><c id="x"/><d id="y"/></a>'), _tree('<a><b id="x"/></a>')
    assert first[0].get("id") == first[1].get("id") == second[0].get("id") != first[2].get("id")


def test_call_ids_of_a_conference_are_there_but_say_nothing():
    text = _crossed("<sip><call-id>1@10.0.0.1</call-id><from-tag>a</from-tag><display-text>Bob</display-text></sip>")
    assert "10.0.0.1" not in text
    assert "<from-tag>a<" not in text
    assert "<display-text>Bob<" in text


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("sips:bob@h.corp.example", "sips:bob@203.0.113.9"),
        ("sip:10.0.0.1:5060", "sip:203.0.113.9"),
        ("sip:10.0.0.1@x", "sip:anonymous@203.0.113.9"),
        ("sip:%31%30.0.0.1@x", "sip:anonymous@203.0.113.9"),
        ("sip:bob:secret@x", "sip:bob@203.0.113.9"),
        ("im:bob@inner", "im:bob@203.0.113.9"),
        ("tel:+1-212-555-0123;phone-context=corp.example", "tel:+12125550123"),
        ("http://wiki/secret", "https://anonymous.invalid/"),
        ("msrp://10.0.0.1:2855/x;tcp", "https://anonymous.invalid/"),
        ("bob@inner", "bob@203.0.113.9"),
        ("call &#49;0.0.0.1 now", "call 203.0.113.9 now"),
        ("on nas.local, please", "on 203.0.113.9, please"),
        ("PHONES", "203.0.113.9"),
        ("at 2026-11-21T07:49:29Z", "at 2026-11-21T07:49:29Z"),
        ("5 &lt; 6 &#233;", "5 &lt; 6 &#233;"),
    ],
)
def test_texts_and_values_name_us(said, told):
    assert f"<note>{told}</note>" in _crossed(f"<note>{said}</note>")
    assert f'<a b="{told}"/>' in _crossed(f"<a b='{said}'/>")


def test_a_device_is_another_and_the_same():
    said = "<a>urn:uuid:00000000-0000-1000-8000-000A95A0E128</a>"
    assert "000a95a0e128" not in _crossed(said).lower()
    assert _crossed(said) == _crossed(said.lower())


@pytest.mark.parametrize(
    "document",
    [
        '<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>',
        "<a><![CDATA[<b>10.0.0.1</b>]]></a>",
        '<?xml version="1.0" encoding="ISO-8859-1"?><a/>',
        b"\xff\xfe<\x00a\x00>\x00",
        "<a",
        "<a b=c/>",
        "<a b='1>2'/>",
        "a < b",
        '<a xmlns="http://pbx.corp.example/x"/>',
        "<a.corp.example/>",
    ],
)
def test_what_is_no_plain_document_stays_behind(document):
    assert _crossed(document) is None


def test_a_vocabulary_keeps_its_name():
    said = '<a xmlns="urn:ietf:params:xml:ns:pidf" xmlns:x="http://www.w3.org/2001/XMLSchema-instance"/>'
    assert said in _crossed(said)


INNER = ("10.0.0.30", "2001:db8::7", "pbx.corp.example", "DB4.corp.example", "192.168.7.9:5060")
SHAPES = (
    "{}", "sip:bob@{}", "sip:{}", "http://{}/x", "<b c='{}'/>", '<b id="{}"/>', "<call-id>{}</call-id>", "&#97;{}",
    "<!-- {} -->", "<b call-id='{}'/>", "bob@{}", "urn:uuid:{}", "tel:{}", "<?x {} ?>", "a.{}",
    "<b x='a@{};y'/>",
    "<session-description>{}</session-description>", "pres:{}", "{}{}", "sip:{}@x", ":{}:",
)  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from(SHAPES), st.sampled_from(INNER)), max_size=8))
def test_nothing_of_the_sending_side_is_left(pieces):
    crossed = _crossed("<a>" + " ".join([shape.replace("{}", host) for shape, host in pieces]) + "</a>")
    if crossed is not None:
        assert not any(host.partition(":50")[0].lower() in crossed.lower() for host in INNER)


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "a.",
        "1:",
        "sip:",
        "1.1.",
        "a@",
        "<!--",
        "<?",
        "<",
        "<a b='",
        "&#49;",
        "a" * 63 + ".",
        " ",
        "<a ",
        "id=",
        "corp.",
    ],
)
def test_a_long_one_takes_no_long_time(piece):
    document = "<a>" + piece * (60_000 // len(piece))
    names = [f"h{i}.corp.example" for i in range(64)]
    before = time.process_time()
    document_across(document.encode(), names, OURS)
    assert time.process_time() - before < 1.0
