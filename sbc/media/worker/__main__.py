"""`python -m sbc.media.worker --control-fd N`: started by `runtime.media_pool`, never by hand."""

from sbc.media.worker.main import main

main()
