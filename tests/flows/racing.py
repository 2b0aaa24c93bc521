"""What the stories of races share: a call that is up, seen from the leg on which the race is run.

RFC 5407 has two parties. One of them is the SBC, the other is `peer`; `other` is the phone behind the SBC, which must
see nothing of the race.
"""

from typing import Literal, NamedTuple

from sbc.testing.net import Sent
from sbc.testing.phone import Phone
from sbc.testing.world import FAR, World
from sbc.trace.ladder import moves

LegName = Literal["ingress", "egress"]
BOTH_LEGS: tuple[LegName, ...] = ("ingress", "egress")


class Race(NamedTuple):
    sbc: World
    peer: Phone
    other: Phone
    leg: LegName

    @property
    def beyond(self) -> LegName:
        """The leg on which there is no race."""
        return "egress" if self.leg == "ingress" else "ingress"

    @property
    def who(self) -> tuple[str, str]:
        """`peer` and `other`, as CDRs call them."""
        return ("caller", "callee") if self.leg == "ingress" else ("callee", "caller")

    def rungs(self, leg: LegName | None = None, after: int = 0) -> list[str]:
        """Its messages on one leg: `> INVITE sdp` came in, `< BYE` went out. The leg of the race, if none is named."""
        leg = leg or self.leg
        (ref,) = self.sbc.switch.trace.refs()
        found = [move.partition(" ") for move in moves(self.sbc.switch.trace.entries(ref))]
        return [move for name, _, move in found if name == leg][after:]

    def count(self, leg: LegName | None = None) -> int:
        return len(self.rungs(leg))


def about_to_call(world, leg: LegName, **options) -> Race:
    sbc = world(**options)
    office, carrier = sbc.office(), sbc.carrier()
    peer, other = (office, carrier) if leg == "ingress" else (carrier, office)
    return Race(sbc, peer, other, leg)


def talking(world, leg: LegName, **options) -> Race:
    """The office has called the carrier, who has answered."""
    race = about_to_call(world, leg, **options)
    caller, callee = (race.peer, race.other) if leg == "ingress" else (race.other, race.peer)
    caller.invites(FAR)
    callee.answers()
    return race


def ends(race: Race, by: Literal["peer", "other"] = "peer") -> bool:
    """One of them hangs up, and nothing is left."""
    one = race.peer if by == "peer" else race.other
    one.hangs_up()
    return race.sbc.cdr.only.cause == "normal" and race.sbc.idle()


def to_peer(race: Race, method: str = "") -> list[Sent]:
    """What we sent to the peer."""
    return [
        one for one in race.sbc.net.log
        if one.sender == "sbc" and one.receiver == race.peer.name and one.data.startswith(method.encode())
    ]  # fmt: skip
