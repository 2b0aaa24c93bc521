"""MESSAGE, SUBSCRIBE with its NOTIFYs, and what a peer may not use: SIPp on both sides (RFC 3428, RFC 6665)."""
# RFC: 3428

import pytest

from .script import Dialog, Script

pytestmark = [pytest.mark.interop, pytest.mark.slow]

SUMMARY = "application/simple-message-summary"


def test_a_message_crosses(told):
    pbx = Script("pbx")
    sender = pbx.asks("MESSAGE", body="Lunch at noon?", kind="text/plain")
    sender.hears(200, "MESSAGE")
    carrier = Script("carrier")
    receiver = carrier.is_called("MESSAGE", has=["Content-Type: *text/plain", "Lunch at noon"], lacks=["Contact:"])
    receiver.says(200, to="MESSAGE")
    told(pbx=pbx, carrier_a=carrier, calls=0)


def test_a_method_that_policy_does_not_list_gets_405_and_goes_nowhere(told):
    pbx = Script("pbx")
    sender = pbx.asks("MESSAGE", body="Lunch?", kind="text/plain")
    sender.hears(405, "MESSAGE", has=["Allow: .*INVITE"], lacks=["Allow: .*MESSAGE"])
    told(carrier_c=pbx, calls=0, number="+14155550100")


def test_a_subscription_lives_across_until_its_end(told):
    """A telephone asks for its messages waiting: SUBSCRIBE, NOTIFYs with what there is, the end by Expires: 0."""
    pbx = Script("pbx")
    watcher = pbx.asks("SUBSCRIBE", "Event: message-summary", "Expires: 600", f"Accept: {SUMMARY}")
    watcher.hears(200, "SUBSCRIBE", has=["Expires: *600"])
    watcher.gets("NOTIFY", has=["Event: *message-summary", "Subscription-State: *active", "Messages-Waiting: yes"])
    watcher.says(200, to="NOTIFY")
    watcher.asks("SUBSCRIBE", "Event: message-summary", "Expires: 0", f"Accept: {SUMMARY}")
    watcher.hears(200, "SUBSCRIBE")
    watcher.gets("NOTIFY", has=["Subscription-State: *terminated"])
    watcher.says(200, to="NOTIFY")
    carrier = Script("carrier")
    notifier = carrier.is_called("SUBSCRIBE", has=["Event: *message-summary", "Expires: *600"])
    notifier.says(200, "Expires: 600", to="SUBSCRIBE")
    _notifies(notifier, "active;expires=600")
    notifier.gets("SUBSCRIBE", has=["Expires: *0"])
    notifier.says(200, "Expires: 0", to="SUBSCRIBE")
    _notifies(notifier, "terminated;reason=timeout")
    told(pbx=pbx, carrier_a=carrier, calls=0)


def test_an_event_that_policy_does_not_list_gets_489(told):
    pbx = Script("pbx")
    watcher = pbx.asks("SUBSCRIBE", "Event: weather", "Expires: 600")
    watcher.hears(489, "SUBSCRIBE", has=["Allow-Events: .*message-summary"])
    told(pbx=pbx, calls=0)


def _notifies(notifier: Dialog, state: str) -> None:
    notifier.asks("NOTIFY", "Event: message-summary", f"Subscription-State: {state}",
                  body="Messages-Waiting: yes\nMessage-Account: sip:+14155550100@[local_ip]", kind=SUMMARY)  # fmt: skip
    notifier.hears(200, "NOTIFY")
