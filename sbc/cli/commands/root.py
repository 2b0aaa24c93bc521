"""The command `sbc` itself, and the groups that its help shows the others in.

Examples in a command's help stand last, indented by two, after a sentence that is not (else cyclopts takes the indent
away), and never under a heading such as `Examples:`, which it would take for a docstring's section. A test parses every
one of them.
"""

from typing import Final

from cyclopts import App, Group, Parameter

import sbc

LOCAL: Final = Group("On this machine", sort_key=1)
LOOKS: Final = Group("Look at the running SBC", sort_key=2)
ORDERS: Final = Group("Order the running SBC", sort_key=3)
RECORDS: Final = Group("Call records", sort_key=4)
OTHER: Final = Group("Other", sort_key=5)

app = App(
    name="sbc",
    help="""A session border controller between an IP-PBX and its carriers.

See it work, without root and without configuration: sbc demo

Exit status: 0 done, 1 refused with a reason, 2 wrong usage.
Where an unexpected error came from: sbc --debug COMMAND""",
    version=f"sbc {sbc.__version__}",
    help_format="plaintext",
    default_parameter=Parameter(negative=()),
)
app["--help"].group = OTHER
app["--version"].group = OTHER
