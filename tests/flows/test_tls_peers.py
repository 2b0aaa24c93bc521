"""What goes to peers over TLS beside calls: health, registrations both ways, subscriptions."""

from sbc.core.address import Transport
from sbc.testing.world import DID

from .test_tls import OUTSIDE, POLICY, by_tls, from_us

HEALTH = {"carrier": {"health": {"options": "30s", "retry": "5s", "timeout": "4s", "fall": 2}}}
ACCOUNT = {"carrier": {
    "auth": {"username": "acme", "password": "s3cret"},
    "register": {"aor": "sip:acme@carrier.example", "expires": "600s", "keepalive": "0s"},
}}  # fmt: skip


def events(sbc, event):
    return [dict(log.fields) for log in sbc.logs if log.event == event]


def test_a_probe_proves_its_peer_too(world):
    sbc = world(POLICY, peers=HEALTH)
    carrier = by_tls(sbc)
    sbc.run(35)
    assert "OPTIONS" in carrier.heard
    assert {connection.ends[0].flow.proved for connection in sbc.net.streams.of("sbc")} == {("carrier",)}
    assert not events(sbc, "server.down")


def test_a_server_whose_certificate_is_another_ones_is_down_and_says_why(world):
    sbc = world(POLICY, peers=HEALTH)
    carrier = by_tls(sbc, certificate="other.example")
    sbc.run(60)
    (down,) = events(sbc, "server.down")
    assert "its certificate names other.example, not carrier.example" in down["why"]
    assert from_us(sbc, carrier) == []


def test_a_registration_is_made_over_tls_and_made_anew_when_its_connection_is_lost(world):
    sbc = world(POLICY, peers=ACCOUNT)
    carrier = by_tls(sbc)
    carrier.becomes_registrar()
    sbc.run(20)
    (registered,) = events(sbc, "registration.registered")
    assert registered["registrar"] == "tls:198.51.100.7:5061"
    assert carrier.last("REGISTER").contacts[0].uri.transport == "tls"
    before = carrier.heard.count("REGISTER")
    sbc.net.reset(carrier.agent)
    sbc.run(10)
    assert carrier.heard.count("REGISTER") > before
    assert {sent.transport for sent in from_us(sbc, carrier)} == {Transport.TLS}


def test_no_password_goes_to_whoever_has_another_certificate(world):
    sbc = world(POLICY, peers=ACCOUNT)
    carrier = by_tls(sbc, certificate="other.example")
    carrier.becomes_registrar()
    sbc.run(120)
    assert from_us(sbc, carrier) == []


HOME = (
    POLICY.replace(
        "trunks:",
        "  home: {interface: outside, registers: true, accept: any, auth: {username: home, password: s3cret},"
        " transports: tls, dids: ['+14155550200']}\ntrunks:",
    )
    .replace("from: carrier", "from: [carrier, office]")
    .replace('[national, "+44X."]', '["+44X."]')
)


def home_of(sbc):
    home = sbc.phone(
        "home-4.lan", "192.0.2.77:5061", through=OUTSIDE, user="home", transport=Transport.TLS, side="outside"
    )
    home.has_credentials("home", "s3cret")
    return home


def test_who_registered_by_tls_is_called_by_his_connection(world):
    sbc = world(HOME)
    office, home = sbc.office(), home_of(sbc)
    home.registers("sip:home@203.0.113.1")
    office.invites("+14155550200")
    home.answers()
    home.hangs_up()
    assert office.got("BYE")
    assert {sent.transport for sent in from_us(sbc, home)} == {Transport.TLS}
    assert all(connection.ends[0].host == home.name for connection in sbc.net.streams.of("sbc"))


def test_who_may_speak_by_tls_alone_cannot_register_by_udp(world):
    sbc = world(HOME)
    home = sbc.phone("home-4.lan", "192.0.2.77:5060", through="203.0.113.1:5060", user="home")
    home.has_credentials("home", "s3cret")
    binding = home.registers("sip:home@203.0.113.1")
    sbc.run(40)
    assert sbc.net.sent_to(home) == []
    assert binding is not None
    assert sbc.switch.endpoint.dropped["unknown_source"] > 0


def test_a_subscription_goes_by_the_connection_of_its_subscriber(world):
    extra = {"methods": ["SUBSCRIBE", "NOTIFY"], "events": ["message-summary"]}
    sbc = world(POLICY, peers={"carrier": extra, "office": extra})
    office, carrier = sbc.office(), by_tls(sbc)
    carrier.subscribes("message-summary", DID)
    office.notifies(b"Messages-Waiting: yes\r\n")
    assert "NOTIFY" in carrier.heard
    assert len(sbc.net.streams.of("sbc")) == 1
    assert all(sent.transport is Transport.TLS for sent in from_us(sbc, carrier))


def test_who_speaks_by_tls_alone_since_a_reload_is_not_called_in_the_clear(world):
    sbc = world(HOME.replace("transports: tls", "transports: [udp, tls]"))
    office = sbc.office()
    home = sbc.phone("home-4.lan", "192.0.2.77:5060", through="203.0.113.1:5060", user="home")
    home.has_credentials("home", "s3cret")
    home.registers("sip:home@203.0.113.1")
    sbc.reload(HOME)
    (lost,) = events(sbc, "binding.lost")
    assert lost["from"] == "192.0.2.77:5060"
    before = len(from_us(sbc, home))
    office.invites("+14155550200")
    sbc.run(40)
    assert len(from_us(sbc, home)) == before
    assert office.got(503)
    assert sbc.idle()


def test_who_must_prove_himself_since_a_reload_is_not_called_by_what_has_proved_nothing(world):
    sbc = world(HOME)
    office, home = sbc.office(), home_of(sbc)
    home.registers("sip:home@203.0.113.1")
    before = len(from_us(sbc, home, "INVITE"))
    sbc.reload(HOME.replace("transports: tls", "transports: tls, tls: {identity: certificate, domain: home.example}"))
    office.invites("+14155550200")
    sbc.run(40)
    assert len(from_us(sbc, home, "INVITE")) == before
    assert office.got(503)
    assert sbc.idle()
