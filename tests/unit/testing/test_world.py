"""The world itself: that it notices what a flow test relies on it to notice."""

import re

import pytest

from sbc.b2bua.call import Call
from sbc.sip.commands import SendMessage
from sbc.testing.net import Conditions
from sbc.testing.world import FAR, POLICY, World, read_policy


def talking():
    sbc = World()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    return sbc, office, carrier


def test_a_call_that_is_still_up_is_not_idle():
    sbc, _office, _carrier = talking()
    with pytest.raises(AssertionError, match=r"calls: .*dialogs: 2; ports: 2; call paths: .*; media sessions.*phones"):
        sbc.idle()


def test_a_call_that_never_ends_by_itself_is_not_idle(monkeypatch):
    sbc, office, _carrier = talking()
    monkeypatch.setattr(Call, "is_over", property(lambda _self: False))
    office.hangs_up()
    with pytest.raises(AssertionError, match="calls:"):
        sbc.idle()


def test_a_word_of_one_side_that_is_sent_to_the_other_is_a_leak():
    sbc, office, carrier = talking()
    flow = next(m for m in carrier.agent.request(carrier.call, "OPTIONS", sbc.now)).flow
    for word in (office.name.upper(), office.address.host, office.call.call_id, "10.0.0.1"):
        data = f"NOTIFY sip:x SIP/2.0\r\nX-Leak: {word};\r\n\r\n".encode()
        back = flow.__class__(flow.transport, "outside", flow.remote, flow.local)
        sbc.net.perform(sbc.host, [SendMessage(back, data)])
        assert len(sbc.leaks()) == 1, word
        sbc.net.log.pop()


def test_a_tag_of_one_side_that_is_sent_to_the_other_is_a_leak():
    sbc, office, carrier = talking()
    flow = next(m for m in carrier.agent.request(carrier.call, "OPTIONS", sbc.now)).flow
    back = flow.__class__(flow.transport, "outside", flow.remote, flow.local)
    text = f"INVITE sip:x SIP/2.0\r\nReplaces: x;to-tag={office.call.local_tag};from-tag=y\r\n\r\n"
    sbc.net.perform(sbc.host, [SendMessage(back, text.encode())])
    assert office.call.local_tag in sbc.leaks()[0]


@pytest.mark.parametrize("mark", [rb";tag=(\w+)", rb";branch=(\w+)", rb"\r\nCall-ID: (\w+)", rb"\r\no=- (\w+)"])
def test_what_we_made_for_one_side_is_a_leak_on_the_other(mark):
    """Seen on two sides, it says which call is which."""
    sbc, office, carrier = talking()
    made = re.findall(mark, b"".join(sent.data for sent in sbc.net.log if sent.receiver == carrier.name))[-1]
    flow = next(m for m in office.agent.request(office.call, "OPTIONS", sbc.now)).flow
    back = flow.__class__(flow.transport, "inside", flow.remote, flow.local)
    sbc.net.perform(sbc.host, [SendMessage(back, b"INFO sip:x SIP/2.0\r\nX: " + made + b";y\r\n\r\n")])
    assert made.decode().lower() in sbc.leaks()[0]


def test_peers_can_be_told_more_in_one_line():
    sbc = World(peers={"office": {"transfer": "refuse"}, "carrier": {"codecs": ["PCMA"], "methods": ["INVITE"]}})
    assert sbc.policy.peers["office"].transfer == "refuse"
    assert sbc.policy.peers["carrier"].codecs.allow == ("pcma",)
    assert "REFER" not in sbc.policy.peers["carrier"].methods


def test_only_a_policy_of_text_with_such_a_peer_can_be_told_more():
    with pytest.raises(ValueError, match="no peer nobody"):
        World(peers={"nobody": {"transfer": "refuse"}})
    with pytest.raises(ValueError, match="policy of text"):
        World(read_policy(POLICY), peers={"office": {"transfer": "refuse"}})


def test_a_network_that_becomes_bad_excuses_what_it_reorders():
    sbc, office, _carrier = talking()
    assert office.script.in_order
    sbc.net.conditions = Conditions(loss=0.1)
    office.requests("OPTIONS")
    sbc.run(10.0)
    assert not office.script.in_order


def test_numbers_that_only_contain_an_address_are_no_leak():
    sbc, _office, carrier = talking()
    flow = next(m for m in carrier.agent.request(carrier.call, "OPTIONS", sbc.now)).flow
    back = flow.__class__(flow.transport, "outside", flow.remote, flow.local)
    sbc.net.perform(sbc.host, [SendMessage(back, b"NOTIFY sip:110.0.0.1 SIP/2.0\r\nX: 10.0.0.12 10.0.0.51\r\n\r\n")])
    assert sbc.leaks() == []


def test_a_call_that_went_another_way_is_shown_beside_its_story():
    sbc, office, _carrier = talking()
    office.hangs_up()
    with pytest.raises(AssertionError) as info:
        sbc.expects("ingress > INVITE sdp", "ingress < 486 Busy Here (INVITE)")
    assert "expected" in str(info.value)
    assert "! ingress < 486 Busy Here (INVITE) | ingress < 100 Trying (INVITE)" in str(info.value)


def test_story_has_ladders_phones_and_logs():
    sbc, office, carrier = talking()
    story = sbc.story()
    assert "office                                 sbc                                  carrier" in story
    assert f"{office.name}: talking: 100 200" in story
    assert f"{carrier.name}: talking: INVITE ACK" in story
    assert "call.answered" in story


def test_more_or_fewer_records_than_one_are_not_the_only_one():
    with pytest.raises(AssertionError, match="0 CDRs"):
        _ = World().cdr.only


def test_the_same_seed_tells_the_same_story():
    def octets():
        sbc, office, _carrier = talking()
        office.hangs_up()
        return [sent.data for sent in sbc.net.log]

    assert octets() == octets()


def test_a_phone_behind_nothing_of_ours_must_say_its_side():
    with pytest.raises(ValueError, match="no listener"):
        World().phone("x", "192.0.2.5:5060", through="192.0.2.6:5060")
