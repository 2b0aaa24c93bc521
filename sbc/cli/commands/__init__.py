"""What can be typed: every command, its arguments and its help. What each one does is in the module that it imports.

A command is added in one of the modules here, in the order in which help shows them within their group.
"""

from sbc.cli.commands import bans, local, looks, measure, orders, records
from sbc.cli.commands.root import app

__all__ = ["app", "bans", "local", "looks", "measure", "orders", "records"]
