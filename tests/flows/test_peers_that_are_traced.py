"""Why a trunk does not register, why it is down, why a PBX gets 401 for ever: what was said beside calls is shown."""

from sbc.core import limits
from sbc.sip.serialize import serialize
from sbc.testing.byhand import ByHand
from sbc.testing.world import CARRIER, DID, FAR, INSIDE, POLICY
from sbc.trace.ladder import PEER, draw, moves

ACCOUNT = "auth: {username: acme, password: s3cret}"
AOR = "sip:acme@carrier.example"
REGISTERING = POLICY.replace(
    f'servers: ["sip:{CARRIER}"]', f"servers: ['sip:{CARRIER}'], {ACCOUNT}, register: {{aor: '{AOR}', expires: 600s}}"
)
WATCHED = POLICY.replace(
    f'servers: ["sip:{CARRIER}"]', f"servers: ['sip:{CARRIER}'], health: {{options: 30s, retry: 5s, timeout: 4s}}"
)
PBX = "auth: {username: office, password: 0ff1ce}"
PBX_THAT_REGISTERS = POLICY.replace("address: sip:10.0.0.5:5060", f"registers: true, accept: [10.0.0.0/24], {PBX}")
ANYBODY = POLICY.replace("address: sip:10.0.0.5:5060", f"registers: true, accept: any, {PBX}")
CHALLENGED_PBX = POLICY.replace("address: sip:10.0.0.5:5060", f"{PBX}, address: sip:10.0.0.5:5060")


def entries(sbc, peer, **how):
    return sbc.switch.peer_tapes.entries(peer, **how)


def said(sbc, peer):
    return moves(entries(sbc, peer))


def notes(sbc, peer):
    return [str(entry.note) for entry in entries(sbc, peer) if entry.note is not None]


def text(sbc, peer):
    return b"".join(entry.data or b"" for entry in entries(sbc, peer))


def test_a_registration_that_is_refused_shows_what_was_asked_what_was_answered_and_what_was_decided(world):
    sbc = world(REGISTERING)
    carrier = sbc.carrier()
    carrier.becomes_registrar().rejects(403)
    sbc.run(30)
    assert said(sbc, "carrier")[-2:] == ["peer < REGISTER", "peer > 403 Forbidden (REGISTER)"]
    assert any(note.startswith("registration.rejected: 403 Forbidden") for note in notes(sbc, "carrier"))
    drawn = draw(entries(sbc, "carrier"), peers={PEER: "carrier"}, clock=1_735_689_600.0)
    assert drawn.splitlines()[1].startswith("01-01 00:16:40.000  |")
    assert "403 Forbidden (REGISTER)" in drawn
    assert sbc.idle()


def test_a_wrong_password_of_ours_shows_the_challenge_and_no_credentials(world):
    sbc = world(REGISTERING)
    sbc.carrier().challenges("acme", "another")
    sbc.run(30)
    assert said(sbc, "carrier")[-4:] == [
        "peer < REGISTER", "peer > 401 Unauthorized (REGISTER)",
        "peer < REGISTER", "peer > 401 Unauthorized (REGISTER)",
    ]  # fmt: skip
    assert any("the credentials were refused" in note for note in notes(sbc, "carrier"))
    assert b"Authorization: Digest (not shown)" in text(sbc, "carrier")
    assert b"response=" not in text(sbc, "carrier")
    assert sbc.idle()


def test_a_probe_that_gets_no_reply_shows_its_copies_and_when_the_server_went_down_and_came_back(world):
    sbc = world(WATCHED)
    carrier = sbc.carrier()
    sbc.run(120)
    carrier.ignores("OPTIONS")
    sbc.run(200)
    carrier.wakes()
    sbc.run(3600)
    lines, why = said(sbc, "carrier"), "\n".join(notes(sbc, "carrier"))
    assert lines[-4:] == ["peer < OPTIONS", "peer > 200 OK (OPTIONS)"] * 2, (
        "an hour of good probes has not pushed it out"
    )
    assert lines.count("peer < OPTIONS") > 6
    assert "server.down" in why
    assert "no answer to OPTIONS within 4 s" in why
    assert "server.up" in why
    assert sbc.idle()


def test_a_pbx_with_a_wrong_password_is_shown_with_why(world):
    sbc = world(PBX_THAT_REGISTERS)
    office = sbc.phone("pbx-77.office.internal", "10.0.0.5:5060", through=INSIDE, user=DID)
    office.has_credentials("office", "wrong")
    office.registers("sip:office@10.0.0.1")
    sbc.run(5)
    assert said(sbc, "office")[-2:] == ["peer > REGISTER", "peer < 401 Unauthorized (REGISTER)"]
    assert "its user name is right, its password or the way that it was hashed is not" in notes(sbc, "office")
    assert b"response=" not in text(sbc, "office")
    assert sbc.idle()


def test_a_pbx_with_a_wrong_user_name_is_told_from_one_with_a_wrong_password(world):
    sbc = world(PBX_THAT_REGISTERS)
    office = sbc.phone("pbx-77.office.internal", "10.0.0.5:5060", through=INSIDE, user=DID)
    office.has_credentials("1000", "0ff1ce")
    office.registers("sip:office@10.0.0.1")
    sbc.run(5)
    assert "its user name is 1000, and that of office is office" in notes(sbc, "office")
    assert sbc.idle()


def test_who_guesses_passwords_does_not_hide_the_telephone_that_has_a_wrong_one(world):
    sbc = world(ANYBODY)
    office = sbc.phone("pbx-77.office.internal", "10.0.0.5:5060", through=INSIDE, user=DID)
    office.has_credentials("office", "wrong")
    office.registers("sip:office@10.0.0.1")
    stranger = sbc.phone("stranger.attacker.example", "10.0.0.66:5060", through=INSIDE, user="1")
    stranger.has_credentials("office", "123456")
    for n in range(30):
        stranger.registers(f"sip:{n}@10.0.0.1")
    sbc.run(5)
    hosts = {entry.flow.remote.host for entry in entries(sbc, "office") if entry.data is not None}
    assert "10.0.0.5" in hosts
    assert len(said(sbc, "office")) < 30
    assert sbc.idle()


def test_a_message_that_we_refuse_is_on_its_peers_tape(world):
    sbc = world()
    office, _ = sbc.office(), sbc.carrier()
    phone = ByHand(sbc, office)
    phone.sends("MESSAGE", f"sip:{FAR}@10.0.0.1", fields=(("Content-Type", "text/plain"),), body=b"hello")
    assert phone.statuses("MESSAGE") == [405]
    assert said(sbc, "office") == ["peer > MESSAGE", "peer < 405 Method Not Allowed (MESSAGE)"]
    assert said(sbc, "carrier") == []
    assert sbc.idle()


def test_an_invite_with_a_wrong_digest_is_on_its_peers_tape_and_one_that_was_only_challenged_is_not(world):
    sbc = world(CHALLENGED_PBX)
    office, carrier = sbc.office(), sbc.carrier()
    office.has_credentials("office", "0ff1ce")
    office.invites(FAR)
    carrier.answers()
    office.hangs_up()
    assert said(sbc, "office") == [], "all of it stands in the call's ladder"
    office.has_credentials("office", "wrong")
    office.invites(FAR)
    sbc.run(2)
    assert said(sbc, "office") == ["peer > INVITE sdp", "peer < 401 Unauthorized (INVITE)"]
    assert len(sbc.cdr) == 1
    assert sbc.idle()


def test_calls_write_nothing_on_the_tapes_of_their_peers(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    office.hangs_up()
    assert said(sbc, "office") == said(sbc, "carrier") == []
    assert sbc.idle()


def test_what_cannot_be_read_is_on_the_tape_with_our_answer(world):
    sbc = world()
    office = sbc.office()
    sbc.inject(
        b"OPTIONS sip:10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.5:5060;branch=z9hG4bKx\r\nCSeq: x\r\n\r\n", office
    )
    assert notes(sbc, "office")[-1] == "this cannot be read"
    assert said(sbc, "office")[0] == "peer > OPTIONS"
    assert said(sbc, "office")[1].startswith("peer < 400")
    assert sbc.idle(but=("complaints",))


def test_a_goodbye_of_a_dialog_that_nobody_knows_is_on_the_tape(world):
    sbc = world()
    office = sbc.office()
    phone = ByHand(sbc, office)
    phone.sends("BYE", f"sip:{FAR}@10.0.0.1", to_tag="gone")
    assert said(sbc, "office") == ["peer > BYE", "peer < 481 Call/Transaction Does Not Exist (BYE)"]
    assert sbc.idle()


def test_a_peer_that_a_reload_takes_away_has_no_tape_any_more(world):
    sbc = world(WATCHED)
    sbc.carrier()
    sbc.run(60)
    assert said(sbc, "carrier")
    sbc.reload(WATCHED.replace("carrier", "other"))
    assert said(sbc, "carrier") == []
    sbc.run(60)
    assert said(sbc, "other")
    assert sbc.idle()


# BOUND: TRACE_OCTETS_PER_PEER
def test_a_tape_stays_within_its_bounds_whatever_comes(world, monkeypatch):
    monkeypatch.setattr(limits, "TRACE_OCTETS_PER_PEER", 4_000)
    sbc = world()
    office = sbc.office()
    phone = ByHand(sbc, office)
    for n in range(60):
        method = ("MESSAGE", "PUBLISH", "SUBSCRIBE", "REFER", f"X{n}")[n % 5]
        phone.sends(method, f"sip:{FAR}@10.0.0.1", fields=(("X", "y" * 500),))
    assert 0 < len(text(sbc, "office")) <= 4_000
    assert sbc.idle()


TALKING = "methods: [INVITE, OPTIONS, MESSAGE, SUBSCRIBE, NOTIFY]"
BOTH_TALK = POLICY.replace("address: sip:10.0.0.5:5060", f"address: sip:10.0.0.5:5060, {TALKING}").replace(
    f'servers: ["sip:{CARRIER}"]', f'servers: ["sip:{CARRIER}"], {TALKING}'
)


def test_a_message_that_crosses_is_on_both_tapes_each_side_as_it_saw_it(world):
    sbc = world(BOTH_TALK)
    phone, far = ByHand(sbc, sbc.office()), ByHand(sbc, sbc.carrier())
    phone.sends("MESSAGE", f"sip:{FAR}@10.0.0.1", fields=(("Content-Type", "text/plain"),), body=b"hello")
    far.replies(404, to=far.requests("MESSAGE")[0])
    assert said(sbc, "office") == ["peer > MESSAGE", "peer < 404 Not Found (MESSAGE)"]
    assert said(sbc, "carrier") == ["peer < MESSAGE", "peer > 404 Not Found (MESSAGE)"]
    assert b"10.0.0.5" not in text(sbc, "carrier")
    assert sbc.idle()


def test_a_message_that_nobody_answers_says_so(world):
    sbc = world(BOTH_TALK)
    office, carrier = sbc.office(), sbc.carrier()
    carrier.ignores()
    ByHand(sbc, office).sends("MESSAGE", f"sip:{FAR}@10.0.0.1", fields=(("Content-Type", "text/plain"),), body=b"hello")
    sbc.run(40)
    assert any(note.startswith("request.relayed") and "carrier" in note for note in notes(sbc, "office"))
    assert said(sbc, "carrier")[0] == "peer < MESSAGE"
    carrier.wakes()
    assert sbc.idle()


def test_a_subscription_that_is_refused_says_why(world):
    sbc = world(BOTH_TALK)
    phone, _ = ByHand(sbc, sbc.office()), sbc.carrier()
    phone.sends("SUBSCRIBE", f"sip:{FAR}@10.0.0.1", fields=(("Event", "teleport"), ("Expires", "60")))
    assert said(sbc, "office") == ["peer > SUBSCRIBE", "peer < 489 Bad Event (SUBSCRIBE)"]
    phone.sends("MESSAGE", "sip:+999@10.0.0.1", fields=(("Content-Type", "text/plain"),), body=b"x")
    assert any(note.startswith("request.refused, method MESSAGE") for note in notes(sbc, "office"))
    assert sbc.idle()


def test_copies_that_a_peer_sends_because_it_does_not_hear_us_are_seen(world):
    sbc = world()
    office = sbc.office()
    asked = ByHand(sbc, office).sends("MESSAGE", f"sip:{FAR}@10.0.0.1")
    sbc.inject(serialize(asked), office)
    assert said(sbc, "office") == ["peer > MESSAGE", "peer < 405 Method Not Allowed (MESSAGE)"] * 2
    assert sbc.idle()


def test_a_merged_invite_is_on_the_tape_though_the_call_has_the_other(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    invite = next(data for data in sbc.net.sent_by(office.name) if data.startswith(b"INVITE"))
    sbc.inject(invite.replace(b"branch=z9hG4bK", b"branch=z9hG4bKother"), office)
    assert said(sbc, "office")[:2] == ["peer > INVITE sdp", "peer < 482 Loop Detected (INVITE)"]
    carrier.answers()
    office.hangs_up()
    assert sbc.idle(but=("complaints",))
