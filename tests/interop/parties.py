"""A PBX and a carrier by hand, at both ends of a laboratory, and calls between them whose sound a test makes."""

import socket
from collections.abc import Mapping
from typing import Any, Self

from .lab import Lab
from .namespaces import CARRIER, INSIDE, OUTSIDE, PBX
from .phones import Desk, Dialog, Phone
from .voices import Voice, voice

CALLED = "+14155559999"
HOSTS = {"pbx": PBX, "carrier": CARRIER}


class Talk:
    """A call that is answered: `caller` is the PBX's dialog and `near` its voice, `callee` and `far` the carrier's."""

    def __init__(self, caller: Dialog, callee: Dialog, near: Voice, far: Voice) -> None:
        self.caller, self.callee, self.near, self.far = caller, callee, near, far
        self.goes()

    def goes(self) -> None:
        """To where the other side's latest descriptions say."""
        self.near.goes(self.caller.remote)
        self.far.goes(self.callee.remote)

    @property
    def voices(self) -> tuple[Voice, Voice]:
        return self.near, self.far

    def missed(self) -> tuple[list[int], list[int]]:
        """By the carrier of the PBX, and by the PBX of the carrier."""
        return self.far.missed(self.near), self.near.missed(self.far)


class Parties:
    """`with Parties(lab) as parties: talk = parties.talk()`."""

    def __init__(
        self,
        lab: Lab,
        *,
        pbx: socket.socket | None = None,
        carrier: socket.socket | None = None,
        host: Mapping[str, str] = HOSTS,
        inside: str = INSIDE,
        outside: str = OUTSIDE,
    ) -> None:
        """`pbx`, `carrier`: sockets that their phones use instead of UDP at 5060. The others: who is where."""
        self.lab = lab
        self.host = host
        self.desk = Desk()
        self.pbx = Phone(self.desk, pbx or self.socket("pbx", host["pbx"]), inside)
        self.carrier = Phone(
            self.desk, carrier or self.socket("carrier", host["carrier"]), outside, user="+14155557777"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failed: object) -> None:
        self.desk.__exit__(*failed)

    def socket(self, part: str, host: str, port: int = 5060) -> socket.socket:
        """UDP, in that network."""
        with self.lab.namespaces.inside(part):
            made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((host, port))
        return made

    def voice(self, part: str, host: str = "", **options: Any) -> Voice:
        with self.lab.namespaces.inside(part):
            made = voice(host or self.host[part], **options)
        return self.desk.has(made)

    def talk(
        self,
        near: Voice | None = None,
        far: Voice | None = None,
        *,
        offer: str = "",
        answer: str = "",
        number: str = CALLED,
    ) -> Talk:
        """The PBX calls. `offer`, `answer`: what they say, if it is not what their voices are."""
        near, far = near or self.voice("pbx"), far or self.voice("carrier")
        self.carrier.answers = lambda *_: answer or far.describes()
        caller = self.pbx.calls(number, offer or near.describes())
        assert caller.status == 200, caller.heard
        self.desk.rests(0.1)  # nobody talks within a millisecond of the answer
        return Talk(caller, self.carrier.dialogs[-1], near, far)

    def hangs_up(self, talk: Talk) -> dict[str, Any]:
        """The record of the call."""
        before = len(self.lab.node.cdrs())
        talk.caller.hangs_up()
        self.desk.waits(lambda: talk.callee.is_over, "the BYE to cross", 5, lambda: talk.callee.heard)
        self.desk.waits(lambda: len(self.lab.node.cdrs()) > before, "the record")
        return self.lab.node.cdrs()[-1]

    # --- what the SBC says of calls that are up -----------------------------------------------------------------------

    def quality(self) -> dict[str, Any]:
        """Of the only call."""
        (call,) = self.lab.node.ask("calls")["calls"]
        quality: dict[str, Any] = call["quality"]
        return quality

    def is_relayed_by(self, *engines: str) -> None:
        """What comes from the PBX, and what from the carrier; it may take some seconds to be told."""

        def told() -> list[str]:
            quality = self.quality()
            return [stream["engine"] for side in ("ingress", "egress") for stream in quality[side]]

        self.desk.waits(lambda: told() == list(engines), f"{engines} to relay", 8, self.quality)
