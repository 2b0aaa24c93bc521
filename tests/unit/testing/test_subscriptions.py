"""Subscriptions and other requests beside calls, between two phones (RFC 6665, RFC 3903, RFC 3428)."""


def test_a_subscription_from_its_beginning_to_its_end(pair):
    two = pair()
    one = two.alice.subscribes("presence", "bob", expires=600)
    assert (one.status, one.granted, one.state) == (200, 600, "active")
    two.bob.notifies(b"<presence/>")
    assert one.heard[-1][1] == b"<presence/>"
    two.alice.unsubscribes()
    assert one.is_over
    assert one.heard[-1][0] == "terminated;reason=timeout"
    assert two.is_over()


def test_it_expires(pair):
    two = pair()
    one = two.alice.subscribes("message-summary", "bob", expires=60)
    two.net.run(50.0)
    two.alice.resubscribes(expires=60)
    two.net.run(50.0)
    assert not one.is_over
    two.net.run(20.0)
    assert one.reason == "timeout"
    assert two.is_over()


def test_it_is_refused(pair):
    two = pair()
    two.bob.answers_requests("SUBSCRIBE", 489)
    one = two.alice.subscribes("nonsense", "bob")
    assert (one.status, one.is_over) == (489, True)
    assert two.is_over()


def test_the_notifier_ends_it(pair):
    two = pair()
    one = two.alice.subscribes("dialog", "bob")
    two.bob.notifies(state="terminated;reason=noresource")
    assert one.reason == "noresource"
    assert two.is_over()


def test_a_subscription_without_a_notify_is_a_fault(pair):
    two = pair()
    two.alice.ignores("NOTIFY")
    two.alice.subscribes("dialog", "bob", expires=40)
    two.net.run(40.0)
    assert two.alice.agent.complaints == ["SUBSCRIBE dialog: no NOTIFY in 32 s"]


def test_messages_and_publications(pair):
    two = pair()
    assert two.alice.messages("bob", "hello").status == 200
    assert two.bob.last("MESSAGE").body == b"hello"
    asked = two.alice.publishes("presence", "bob", b"<presence/>")
    etag = asked.response.header("SIP-ETag")
    assert two.alice.publishes("presence", "bob", etag=etag).status == 200
    assert two.bob.last("PUBLISH").header("SIP-If-Match") == etag
    two.bob.answers_requests("MESSAGE", 415)
    assert two.alice.messages("bob", "again").status == 415
    assert two.is_over()


def test_requests_in_a_call(pair):
    two = pair()
    alice, bob = two.talk()
    alice.presses("5")
    assert bob.last("INFO").body == b"Signal=5\r\nDuration=160\r\n"
    bob.requests("MESSAGE", fields=(("Content-Type", "text/plain"),), body=b"hello")
    assert bob.got("200 MESSAGE")
    bob.answers_requests("INFO", 415)
    alice.presses("6")
    assert alice.got("200 INFO", "415 INFO")
    alice.hangs_up()
    assert two.is_over()


def test_a_challenge_to_a_subscription_and_a_message(pair):
    two = pair()
    two.bob.challenges("alice", "secret-word")
    two.alice.has_credentials("alice", "secret-word")
    one = two.alice.subscribes("presence", "bob")
    assert one.status == 200
    assert two.alice.messages("bob", "hello").status == 200
    two.alice.unsubscribes()
    assert two.is_over()
