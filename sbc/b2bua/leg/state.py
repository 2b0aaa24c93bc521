"""How far a leg is, and what it says: orders to the SIP stack and reports to its call. For the leg and its parts."""

import enum

from sbc.b2bua.reports import Report
from sbc.sip.commands import Order

Out = Order | Report


class State(enum.StrEnum):
    SETUP = "setup"  # the first INVITE has no final response
    TALKING = "talking"
    ENDING = "ending"  # we want it over: a BYE is out, or waits for the ACK
    CLOSED = "closed"
