"""Finding SIP servers by RFC 3263: from a next hop's URI to the flows that are to be tried."""

from sbc.sip.locate.locate import Locator, News
from sbc.sip.locate.procedure import Local, LocalKey, Unlocated

__all__ = ["Local", "LocalKey", "Locator", "News", "Unlocated"]
