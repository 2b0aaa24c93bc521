"""What a test phone says of its media, and what it makes of what the other side says (RFC 3264 §5, §6, §8).

Its descriptions count their versions as they must, and it complains about those that do not.
"""

from msgspec import Struct
from msgspec.structs import replace

from sbc.core.address import Address
from sbc.sdp import (
    Origin,
    SdpError,
    Session,
    answer,
    describe,
    parse_sdp,
    same_except_origin,
    serialize_sdp,
)
from sbc.testing.inspect import complaints_about_sdp
from sbc.testing.party import Party


class Voice(Struct, frozen=True):
    """Where one phone takes media, and which codecs it knows."""

    media: Address
    codecs: tuple[str, ...]
    video_port: int | None

    def describe(self, party: Party) -> bytes:
        """An offer: what the phone can do now."""
        return self._printed(party, self._session(party))

    def answer(self, party: Party) -> tuple[bytes, list[str]]:
        """To the offer that waits; where none does, an offer. With complaints about an offer that allows no answer."""
        offer = party.remote_sdp
        if offer is None or not party.offer_waits:
            return self.describe(party), []
        party.offer_waits = False
        try:
            return self._printed(party, answer(offer, self._session(party))), []
        except SdpError as error:
            return self.describe(party), [f"offer without anything in common: {error}"]

    def _session(self, party: Party) -> Session:
        return describe(
            self.media.host,
            self.media.port,
            self.codecs,
            self.video_port,
            party.direction,
            session_id=_session_id(party),
            version=party.version,
        )

    def _printed(self, party: Party, session: Session) -> bytes:
        """The version goes up by one exactly when something else is said than before (RFC 3264 §8)."""
        if party.local_sdp is not None and not same_except_origin(session, party.local_sdp):
            party.version += 1
            session = replace(session, origin=str(Origin(_session_id(party), party.version, self.media.host)))
        party.local_sdp = session
        return serialize_sdp(session)


def note_sdp(party: Party, body: bytes) -> list[str]:
    """Keep the far side's description; complaints about it. `offer_waits` says afterwards whether it could be read."""
    try:
        session = parse_sdp(body)
    except SdpError as error:
        party.offer_waits = False
        return [f"unreadable SDP: {error}: {body!r}"]
    found = complaints_about_sdp(party.remote_sdp, session)
    party.remote_sdp = session
    party.offer_waits = True
    return found


def _session_id(party: Party) -> int:
    return party.n + 77
