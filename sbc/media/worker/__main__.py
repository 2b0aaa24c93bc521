"""`python -m sbc.media.worker --listen-fd N …`: started by `sbc run` or systemd, never by hand; see `main`.

A restart is a gap that callers hear, so what takes time and is not needed is left out of the imports.
"""

import gc
import sys

gc.disable()  # nothing that is imported is garbage
sys.modules["typing_extensions"] = None  # type: ignore[assignment] # msgspec needs none: an eighth of the start

from sbc.media.worker.main import main  # noqa: E402

del sys.modules["typing_extensions"]
gc.freeze()
gc.enable()
main()
