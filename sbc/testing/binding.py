"""A test phone's registration with somebody: what it asks for, and what it was granted (RFC 3261 §10.2, RFC 6140 §5.1).

It refreshes nothing by itself; a story says when.
"""

import re

from msgspec import Struct

from sbc.core.address import Address
from sbc.sip.message import Fields, Request, Response


class Binding(Struct, eq=False):
    """`status` of the last answer, 0 while there is none; `granted` in seconds, None where our Contact is not bound."""

    aor: str
    registrar: Address
    contact: str  # the URI
    call_id: str
    tag: str
    expires: int
    gin: bool = False
    cseq: int = 0
    status: int = 0
    granted: int | None = None
    shortest: int | None = None  # Min-Expires of a 423
    contacts: tuple[str, ...] = ()  # all that are bound, as the registrar says

    @property
    def is_registered(self) -> bool:
        return self.status == 200 and self.granted is not None

    def request(self, software: str, fields: Fields) -> Request:
        self.cseq += 1
        self.status = 0
        host = self.aor.rpartition("@")[2]
        bulk: Fields = (("Require", "gin"), ("Proxy-Require", "gin")) if self.gin else ()
        base: Fields = (
            ("Max-Forwards", "70"),
            ("From", f"<{self.aor}>;tag={self.tag}"),
            ("To", f"<{self.aor}>"),
            ("Call-ID", self.call_id),
            ("CSeq", f"{self.cseq} REGISTER"),
            ("Contact", f"<{self.contact}>"),
            ("Expires", str(self.expires)),
            ("Supported", "path"),
            ("User-Agent", software),
        )
        return Request("REGISTER", f"sip:{host}", (*base, *bulk, *fields))

    def take(self, response: Response) -> None:
        self.status = response.status
        if response.status == 423:
            self.shortest = int(response.header("Min-Expires") or 0)
        if response.status == 200:
            self.contacts = tuple(response.values("Contact"))
            self.granted = self._granted()

    def _granted(self) -> int | None:
        for text in self.contacts:
            uri, _, params = text.partition(">")
            if uri.strip("< ").lower() == self.contact.lower():
                found = re.search(r";\s*expires\s*=\s*(\d+)", params, re.IGNORECASE)
                return None if found is None else int(found[1])
        return None
