"""A PBX that registered by a connection: signalling dies, its connection too, and its calls reach it all the same."""

from sbc.core.address import Transport
from sbc.sdp import Direction
from sbc.testing.world import DID, INSIDE, POLICY

OFFICE = "address: sip:10.0.0.5:5060"
REGISTERING = POLICY.replace(
    OFFICE, "registers: true, accept: [10.0.0.5/32], auth: {username: office, password: 0ff1ce}"
)


def called(world):
    sbc = world(REGISTERING)
    pbx = sbc.phone("pbx-77.office.internal", "10.0.0.5:5060", through=INSIDE, user=DID, transport=Transport.TCP)
    pbx.has_credentials("office", "0ff1ce")
    carrier = sbc.carrier()
    pbx.registers("sip:office@10.0.0.1", expires=600)
    carrier.invites(DID)
    pbx.answers()
    sbc.run(1.0)
    return sbc, pbx, carrier


def test_it_hears_the_bye_where_its_contact_says(world):
    sbc, pbx, carrier = called(world)
    sbc.signalling_dies()
    sbc.signalling_lives(after=0.5)
    carrier.hangs_up()
    assert pbx.got("ACK", "BYE")
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_it_is_asked_again_after_two_deaths(world):
    sbc, pbx, carrier = called(world)
    for _ in range(2):
        sbc.signalling_dies()
        sbc.signalling_lives(after=0.5)
        sbc.run(1.0)
    carrier.holds()
    assert pbx.direction in (Direction.SENDONLY, Direction.RECVONLY)
    carrier.resumes()
    pbx.hangs_up()
    assert carrier.got("BYE")
    assert sbc.idle()


def test_it_registers_again_and_its_calls_follow(world):
    sbc, pbx, carrier = called(world)
    sbc.signalling_dies()
    sbc.signalling_lives(after=0.5)
    pbx.refreshes()
    [connection] = sbc.net.streams.of(pbx.name)
    carrier.hangs_up()
    assert pbx.got("ACK", "BYE")
    assert [one.number for one in sbc.net.streams.of(pbx.name)] == [connection.number]
    assert sbc.idle()


def test_who_was_rung_is_told_to_stop(world):
    sbc, pbx, carrier = called(world)
    carrier.hangs_up()
    sbc.run(1.0)
    carrier.invites(DID)
    pbx.rings()
    sbc.signalling_dies()
    sbc.signalling_lives(after=0.5)
    sbc.run(1.0)
    assert pbx.got("INVITE", "CANCEL")
    assert carrier.call.status == 503
    assert sbc.idle()
