"""`python -m sbc`."""

from sbc.cli import main

main()
