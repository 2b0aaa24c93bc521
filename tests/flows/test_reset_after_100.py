"""A connection that is reset after a 100: the server that held the call is gone, and nobody waits for it."""

from sbc.testing.world import FAR, OUTSIDE, POLICY

OVER_TCP = (
    POLICY.replace('["sip:198.51.100.7:5060"]', '["sip:198.51.100.7:5060;transport=tcp"]')
    .replace("routes:\n", "  spare: {interface: outside, servers: ['sip:198.51.100.8:5060']}\nroutes:\n")
    .replace("via: [carrier]", "via: [carrier, spare]")
)


def cast(world):
    sbc = world(OVER_TCP)
    return (
        sbc,
        sbc.office(),
        sbc.carrier(transport="tcp"),
        sbc.phone("second.carrier.net", "198.51.100.8:5060", through=OUTSIDE),
    )


def test_before_it_rings_the_next_one_is_tried_at_once(world):
    sbc, office, carrier, spare = cast(world)
    office.invites(FAR)
    carrier.waits_for("INVITE")
    sbc.run(0.5)
    carrier.dies()
    spare.waits_for("INVITE", at_most=0.1)
    spare.answers()
    office.hangs_up()
    assert [attempt.cause for attempt in sbc.cdr.only.attempts] == ["unreachable", "normal"]
    assert sbc.idle(but=("phones", "complaints"))


def test_once_it_rings_it_may_come_back_and_answer(world):
    sbc, office, carrier, spare = cast(world)
    office.invites(FAR)
    carrier.rings()
    sbc.net.reset(carrier.agent)
    sbc.run(1.0)
    carrier.answers()
    assert office.is_talking
    assert spare.heard == []
    office.hangs_up()
    assert sbc.idle()
