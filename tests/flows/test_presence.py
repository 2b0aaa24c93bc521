"""Since when a peer is up or down, and the alarm when a PBX that registers has no binding any more."""

import pytest

from sbc.b2bua.events import BusyOutOrdered, DrillOrdered, PolicyChanged
from sbc.core.address import Transport
from sbc.testing.names import Names
from sbc.testing.world import DID, INSIDE, POLICY, World, read_policy

ACCOUNT = "auth: {username: office, password: 0ff1ce}"
REGISTERING = POLICY.replace("address: sip:10.0.0.5:5060", f"registers: true, accept: [10.0.0.5/32], {ACCOUNT}")
TRUNK_REGISTERS = POLICY.replace(
    'servers: ["sip:198.51.100.7:5060"]',
    "servers: ['sip:198.51.100.7:5060'], register: {aor: 'sip:+14155550100@carrier.example', expires: 600s}",
)
AOR = "sip:office@10.0.0.1"


def pbx_of(sbc, *, address="10.0.0.5:5060", **options):
    pbx = sbc.phone("pbx-77.office.internal", address, through=INSIDE, user=DID, **options)
    pbx.has_credentials("office", "0ff1ce")
    return pbx


def view(sbc, name="office"):
    (peer,) = [peer for peer in sbc.switch.snapshot(sbc.now).peers if peer.name == name]
    return peer


def just_now(sbc):
    return pytest.approx(sbc.now, abs=0.01)


def said(sbc):
    return [(log.level, log.event) for log in sbc.logs if log.event.startswith("peer.")]


DOWN, UP = ("error", "peer.down"), ("info", "peer.up")


def test_a_pbx_that_has_not_registered_yet_is_down_since_the_start_without_an_alarm(world):
    sbc = world(REGISTERING)
    start = sbc.now
    sbc.run(10.0)
    assert (view(sbc).state, view(sbc).since, view(sbc).why) == ("down", start, "not registered")
    pbx_of(sbc).registers(AOR, expires=600)
    assert (view(sbc).state, view(sbc).since) == ("up", just_now(sbc))
    assert said(sbc) == []
    assert sbc.idle()


def test_a_refresh_does_not_change_since_when_a_pbx_is_registered(world):
    sbc = world(REGISTERING)
    pbx = pbx_of(sbc)
    pbx.registers(AOR, expires=600)
    at = view(sbc).since
    assert at == just_now(sbc)
    sbc.run(100.0)
    pbx.refreshes(expires=600)
    assert view(sbc).since == at
    assert sbc.idle()


@pytest.mark.parametrize(
    ("way", "why"),
    [("removed", "not registered: it has unregistered"), ("expired", "not registered: its binding has expired")],
)
def test_a_pbx_that_loses_its_last_binding_raises_an_alarm_and_its_return_clears_it(world, way, why):
    sbc = world(REGISTERING)
    pbx = pbx_of(sbc)
    pbx.registers(AOR, expires=60)
    registered_at = sbc.now
    sbc.run(10.0)
    if way == "removed":
        pbx.unregisters()
        gone_at = sbc.now
    else:
        sbc.run(60.0)
        gone_at = registered_at + 60.0
    seen = view(sbc)
    assert (seen.state, seen.why) == ("down", why)
    assert seen.since == pytest.approx(gone_at, abs=0.1)
    [alarm] = [log for log in sbc.logs if log.event == "peer.down"]
    assert (alarm.level, dict(alarm.fields)) == ("error", {"alarm": True, "peer": "office", "why": why})
    sbc.run(10.0)
    pbx.refreshes(expires=600)
    assert said(sbc) == [DOWN, UP]
    assert (view(sbc).state, view(sbc).since, view(sbc).why) == ("up", just_now(sbc), "registered")
    assert sbc.idle()


def test_one_binding_of_two_is_enough(world):
    sbc = world(REGISTERING)
    pbx = pbx_of(sbc)
    pbx.registers(AOR, expires=600)
    pbx.registers("sip:+14155550142@10.0.0.1", expires=60)
    sbc.run(61.0)
    assert len(view(sbc).bindings) == 1
    assert said(sbc) == []
    sbc.run(600.0)
    assert said(sbc) == [DOWN]
    assert sbc.idle()


def test_a_lost_connection_that_was_the_only_way_is_an_alarm(world):
    """Its Contact names another address than it comes from: a NAT stands before it."""
    sbc = world(REGISTERING)
    pbx = pbx_of(sbc, transport=Transport.TCP)
    binding = pbx.registers(AOR, expires=600)
    pbx.unregisters()
    binding.contact = "sip:office@192.168.1.10:5060;transport=tcp"
    pbx.refreshes(expires=600)
    sbc.net.reset(pbx.agent)
    assert view(sbc).why == "not registered: its connection is gone"
    assert said(sbc) == [DOWN, UP, DOWN]
    assert sbc.idle()


def test_bindings_that_survive_a_restart_make_neither_alarm_nor_age(world):
    sbc = world(REGISTERING)
    pbx_of(sbc).registers(AOR, expires=600)
    again = World(REGISTERING, seed=5, kept=dict(sbc.kept))
    assert (view(again).state, view(again).since) == ("up", again.now)
    assert said(again) == []
    assert again.idle()
    assert sbc.idle()


def test_a_pbx_that_a_reload_takes_away_is_no_alarm_and_new_when_it_comes_back(world):
    sbc = world(REGISTERING)
    pbx_of(sbc).registers(AOR, expires=600)
    sbc.tell(PolicyChanged(read_policy(POLICY)))
    sbc.run(50.0)
    sbc.tell(PolicyChanged(read_policy(REGISTERING)))
    assert (view(sbc).state, view(sbc).since, view(sbc).why) == ("down", sbc.now, "not registered")
    assert said(sbc) == []
    assert sbc.idle()


# --- orders -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("order", "name"), [(BusyOutOrdered, "carrier"), (DrillOrdered, "office")])
def test_a_peer_is_up_since_the_operators_order_was_lifted(world, order, name):
    sbc = world()
    start = sbc.now
    assert (view(sbc, name).state, view(sbc, name).since) == ("up", start)
    sbc.run(100.0)
    sbc.tell(order(name, True))
    sbc.run(100.0)
    sbc.tell(order(name, False))
    assert (view(sbc, name).state, view(sbc, name).since) == ("up", start + 200.0)
    assert sbc.idle()


def test_a_registered_pbx_is_up_since_its_drill_ended(world):
    sbc = world(REGISTERING)
    pbx_of(sbc).registers(AOR, expires=600)
    sbc.tell(DrillOrdered("office", True))
    sbc.run(100.0)
    sbc.tell(DrillOrdered("office", False))
    assert (view(sbc).state, view(sbc).since) == ("up", just_now(sbc))
    assert sbc.idle()


def test_a_trunk_that_is_taken_again_is_up_since_then(world):
    sbc = world(TRUNK_REGISTERS)
    registrar = sbc.carrier().becomes_registrar()
    registrar.rejects(403)
    sbc.run(700.0)
    assert view(sbc, "carrier").state == "excluded"
    registrar.accepts()
    sbc.run(600.0)
    seen = view(sbc, "carrier")
    assert (seen.state, seen.since) == ("up", pytest.approx(registrar.last.at, abs=0.1))
    assert sbc.idle()


def test_a_trunk_that_need_not_register_any_more_is_up_since_then(world):
    sbc = world(TRUNK_REGISTERS)
    sbc.carrier().becomes_registrar().rejects(403)
    sbc.run(100.0)
    sbc.tell(PolicyChanged(read_policy(POLICY)))
    assert (view(sbc, "carrier").state, view(sbc, "carrier").since) == ("up", just_now(sbc))
    assert sbc.idle()


def test_orders_that_a_restart_restores_are_said_once(world):
    sbc = world(kept={"busyout/carrier": b"1", "drill/office": b"1"})
    sbc.run(100.0)
    orders = [(log.level, log.event, dict(log.fields)) for log in sbc.logs if log.event.endswith(".on")]
    assert orders == [
        ("warning", "busyout.on", {"trunk": "carrier", "kept": True}),
        ("warning", "drill.on", {"pbx": "office", "kept": True}),
    ]
    assert sbc.idle()


# --- servers that the DNS does not know -------------------------------------------------------------------------------

NAMED = POLICY.replace("sip:198.51.100.7:5060", "sip:gw.example:5060")
NOWHERE = ("down", "gw.example has no address")


def seen_of(sbc, name="carrier"):
    """Without what each name server said."""
    return view(sbc, name).state, view(sbc, name).why.split(" (")[0]


@pytest.mark.parametrize("way", ["no such name", "failure"])
def test_a_trunk_that_the_dns_does_not_know_is_down_until_it_does(world, way):
    names = Names()
    if way == "failure":
        names.failing.add("gw.example")
    sbc = world(NAMED, names=names)
    start = sbc.now
    assert seen_of(sbc) == NOWHERE
    sbc.run(1000.0)
    assert seen_of(sbc) == NOWHERE
    assert view(sbc, "carrier").since == start
    names.failing.clear()
    names["gw.example"] = ["198.51.100.7"]
    sbc.run(1000.0)
    assert seen_of(sbc) == ("up", "")
    assert sbc.idle()


def test_a_trunk_whose_name_goes_is_down_since_then(world):
    names = Names({"gw.example": ["198.51.100.7"]})
    sbc = world(NAMED, names=names)
    assert seen_of(sbc) == ("up", "")
    sbc.run(100.0)
    del names["gw.example"]
    sbc.run(100.0)
    assert seen_of(sbc) == NOWHERE
    assert view(sbc, "carrier").since > sbc.now - 100.0
    assert sbc.idle()


def test_a_failing_dns_takes_nothing_away_that_was_known(world):
    names = Names({"gw.example": ["198.51.100.7"]})
    sbc = world(NAMED, names=names)
    names.failing.add("gw.example")
    sbc.run(1000.0)
    assert seen_of(sbc) == ("up", "")
    assert sbc.idle()


def test_while_the_dns_is_asked_nothing_is_known_and_its_silence_is_an_answer(world):
    names = Names()
    names.silent.add("gw.example")
    sbc = world(NAMED, names=names)
    assert seen_of(sbc) == ("up", "no server address is known yet")
    sbc.run(60.0)
    assert seen_of(sbc) == NOWHERE
    assert sbc.idle()


def test_one_server_with_an_address_is_enough(world):
    both = "sip:198.51.100.7:5060', 'sip:gw.example:5060"
    sbc = world(POLICY.replace('["sip:198.51.100.7:5060"]', f"['{both}']"))
    sbc.run(60.0)
    assert view(sbc, "carrier").state == "up"
    assert sbc.idle()


def test_a_reload_brings_a_trunk_an_address(world):
    sbc = world(NAMED, names=Names())
    sbc.run(10.0)
    sbc.tell(PolicyChanged(read_policy(POLICY)))
    assert seen_of(sbc) == ("up", "")
    sbc.tell(PolicyChanged(read_policy(NAMED)))
    assert seen_of(sbc) == NOWHERE
    assert view(sbc, "carrier").since == sbc.now
    assert sbc.idle()
