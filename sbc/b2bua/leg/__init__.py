"""One leg of a call: a dialog and all that is said in it. `leg` is what the call uses, the rest its parts."""

from sbc.b2bua.leg.leg import Leg
from sbc.b2bua.leg.state import Out

__all__ = ["Leg", "Out"]
