"""What an engine has left in the kernel, ended by who has no engine there: flows of a life that was killed, or all.

A flow that nobody knows goes on relaying what comes to its port, and drops what comes there from elsewhere, until
`alive` runs out; a call in userland that is given this port would hear nothing. Used by `main`, and by `engine` in the
end.
"""

import contextlib
from typing import Final

from sbc.media import wire
from sbc.media.worker.kernel import bpf, pins
from sbc.media.worker.kernel.directory import directory_of
from sbc.media.worker.kernel.flow import is_of
from sbc.media.worker.kernel.helper import Helper
from sbc.media.worker.kernel.report import handle_of

_DETACH_SECONDS: Final = 5.0


def end_flows(configure: wire.Configure) -> None:
    """Those of this worker, and of workers that there are no longer. What the kernel refuses is left."""
    _end_flows(configure.node, configure)


def take_away(node: str) -> None:
    """Flows, program and pins of all workers of this node. Takes up to some seconds: for the end."""
    _end_flows(node, None)
    with contextlib.suppress(OSError):
        helper = Helper("detach", str(handle_of(node)))
        helper.wait(_DETACH_SECONDS)
        helper.end()
    pins.remove(directory_of(node))


def _end_flows(node: str, only_of: wire.Configure | None) -> None:
    with contextlib.suppress(OSError):
        flows, info = bpf.open_map(f"{directory_of(node)}/flows")
        with contextlib.closing(flows):
            is_readable = info.name == pins.map_name("flows")  # else of another version, which nobody will ever own
            for key, value in flows.entries():
                if not (only_of and is_readable) or is_of(value, only_of.number, only_of.workers):
                    flows.delete(key)
