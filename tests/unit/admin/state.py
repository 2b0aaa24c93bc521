"""A program's state as the admin API sees it, held still for tests."""

from sbc.admin.state import RuntimeView, Why
from sbc.b2bua.snapshot import CallView, EngineView

CALL = CallView(
    ref="k3v7q2mxya",
    state="answered",
    ingress="office",
    egress="carrier-a",
    route="outbound",
    caller="+14155550100",
    called="+442079460000",
    started_at=1_738_314_000.0,
    answered_at=1_738_314_005.25,
    media=(("engine", "userland"),),
)


class StillState:
    """Implements `AdminState`. `ladders` by ref."""

    def __init__(self, engine=None, runtime=None, ladders=None):
        self._engine = engine or EngineView("hq", ready=True, calls=(CALL,), transactions=3, dialogs=2, ports=4)
        self._runtime = runtime or RuntimeView(tasks=17, lag_seconds=0.002)
        self._ladders = ladders or {}

    def engine(self):
        return self._engine

    def runtime(self):
        return self._runtime

    def ladder(self, ref):
        return self._ladders.get(ref)

    def why(self, peer, called, caller):
        if peer != "office":
            raise ValueError(f"`{peer}` is no peer of this policy")
        return Why(called == "666", f"pbx {peer} calls {called} as {caller}")
