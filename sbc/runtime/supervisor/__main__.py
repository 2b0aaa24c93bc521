"""`python -m sbc.runtime.supervisor`, what `sbc run` becomes."""

from sbc.runtime.supervisor.main import main

main()
