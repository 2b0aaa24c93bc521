"""`python -m sbc.media.worker --listen-fd N …`: started by `sbc run` or systemd, never by hand; see `main`."""

from sbc.media.worker.main import main

main()
