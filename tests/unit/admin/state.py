"""A program's state as the admin API sees it, held still for tests."""

from msgspec import structs

from sbc.admin.history import Sample
from sbc.admin.state import RuntimeView, TraceView, Why, WorkerView
from sbc.b2bua.overload import OverloadView
from sbc.b2bua.snapshot import CallView, EngineView, MediaView
from sbc.core.address import Address, Flow, Transport
from sbc.core.histogram import Counted
from sbc.peering.views import (
    BanView,
    BindingView,
    HolderView,
    LimitView,
    PathView,
    PeerView,
    RegistrationView,
    ServerView,
)
from sbc.trace.recorder import Entry

WALL_AT_ZERO = 1_738_314_000.0  # 2025-01-31T09:00:00Z

CALL = CallView(
    ref="k3v7q2mxya",
    state="answered",
    ingress="office",
    egress="carrier-a",
    route="outbound",
    caller="+14155550100",
    called="+442079460000",
    started_at=1_738_314_000.0,
    joined=("taken",),
    answered_at=1_738_314_005.25,
    media=(("engine", "userland"),),
    quality={"ingress": [{"codec": "PCMU", "packets": 50, "mos": 4.41}], "egress": []},
)
WORKERS = (WorkerView(0, 72, "kernel", "", ("eth0", "eth1"), 1), WorkerView(1, None))
RUNTIME = RuntimeView(
    tasks=17,
    lag_seconds=0.002,
    pid=71,
    version="1.2",
    started_at=WALL_AT_ZERO - 3600.0,
    uptime_seconds=3_700.5,
    calls_per_second=1.5,
    answered_per_second=0.25,
    supervisor=70,
    workers=WORKERS,
)
HEARD = MediaView(
    packets=(("inside", 70), ("outside", 80)),
    lost=3,
    foreign=9,
    streams=(("userland", 1), ("kernel", 5)),
    mos=Counted(((4.0, 1), (4.5, 3)), 3, 12.5),
    jitter_seconds=Counted(((0.01, 2),), 3, 0.125),
    round_trip_seconds=Counted(((0.1, 1),), 1, 0.0625),
    setup_seconds=Counted(((1.0, 2),), 3, 9.25),
)
HOLDER = HolderView("carrier-a", CALL.ref, 1, "outbound", 60.0, False)
CARRIER_A = PeerView(
    "carrier-a",
    "trunk",
    "up",
    2.0,
    "",
    (
        ServerView("sip:sip.carrier-a.example", "udp:192.0.2.1:5060", "up", 2.0, "200 to OPTIONS"),
        ServerView("sip:sip.carrier-a.example", "udp:192.0.2.2:5060", "down", 30.0, "no reply to 3 OPTIONS"),
    ),
    RegistrationView("registered", "sip:acme@carrier-a.example", 3.0, "", 603.0, 303.0, "udp:192.0.2.1:5060"),
)
CARRIER_B = PeerView("carrier-b", "trunk", "busyout", 10.0, "by the operator")
OFFICE = PeerView(
    "office", "pbx", "up", 0.0, "", (ServerView("sip:192.0.2.9", "udp:192.0.2.9:5060", "unknown", 0.0, ""),)
)
BRANCH = PeerView(
    "branch",
    "pbx",
    "up",
    5.0,
    "registered",
    bindings=(BindingView("sip:branch@sbc", "sip:branch@192.0.2.8:5062", "udp:192.0.2.8:5062", 3605.0),),
)
PATHS = (
    PathView("carrier-a", 24, 1, (HOLDER,), pool="acme", peak_today=7, outbound=1),
    PathView("carrier-b", None, 0),
    PathView("acme", 24, 1, (HOLDER,), kind="pool", peak_today=7, outbound=1),
)
ENGINE = EngineView(
    "hq",
    ready=True,
    calls=(CALL,),
    states=(("answered", 1),),
    transactions=3,
    dialogs=2,
    ports=4,
    peers=(CARRIER_A, CARRIER_B, OFFICE, BRANCH),
    paths=PATHS,
    wall_at_zero=WALL_AT_ZERO,
    emergencies=2,
    limits=(LimitView("pbx office", 1, 40, 12.5, 6000, None),),
    bans=(BanView("192.0.2.7", 50.0, 650.0, "sbc", "wrong credentials"),),
    overload=OverloadView(is_on=True, level=0.25, age=0.12),
)


class StillState:
    """Implements `AdminState`. `ladders` by ref."""

    def __init__(self, engine=None, runtime=None, ladders=None, now=100.5, alarms=()):
        self._engine = engine or ENGINE
        self._runtime = runtime or RUNTIME
        self._ladders = ladders or {}
        self._now = now
        self._alarms = alarms

    def engine(self):
        return self._engine

    def glance(self, newest):
        engine = self.engine()
        paths = tuple(structs.replace(path, holders=()) for path in engine.paths)
        return structs.replace(engine, calls=engine.calls[-newest:] if newest else (), paths=paths)

    def call(self, ref):
        return next((call for call in self.engine().calls if ref == call.ref or ref in call.joined), None)

    def now(self):
        return self._now

    def runtime(self):
        return self._runtime

    def history(self, minutes):
        return [Sample(WALL_AT_ZERO + 60.0 * n, n, 2, 1, 4.2, 0.1, 3.0, (("carrier-a", 1),)) for n in range(minutes)]

    def alarms(self):
        return self._alarms

    def ladder(self, ref):
        return self._ladders.get(ref)

    def trace(self, ref, *, keeps_length=False):
        if ref not in self._ladders:
            return None
        flow = Flow(Transport.UDP, "inside", Address("192.0.2.1", 5060), Address("192.0.2.9", 5060))
        message = Entry(5.0, "ingress", False, b"INVITE sip:x SIP/2.0\r\n\r\n" + b"x" * keeps_length, None, flow)
        note = Entry(5.25, "", False, None, "why")
        return TraceView(ref, False, {"ingress": "office"}, (message, note), WALL_AT_ZERO)

    def peer_trace(self, name, *, keeps_length=False):
        if all(name != peer.name for peer in self._engine.peers):
            return None
        flow = Flow(Transport.UDP, "outside", Address("192.0.2.1", 5060), Address("192.0.2.9", 5060))
        message = Entry(5.0, "peer", True, b"REGISTER sip:x SIP/2.0\r\n\r\n" + b"x" * keeps_length, None, flow)
        note = Entry(5.25, "", False, None, "registration.rejected: 403 Forbidden")
        return TraceView(name, False, {"peer": name}, (message, note), WALL_AT_ZERO)

    def why(self, peer, called, caller):
        if peer != "office":
            raise ValueError(f"`{peer}` is no peer of this policy")
        return Why(called == "666", f"pbx {peer} calls {called} as {caller}")
