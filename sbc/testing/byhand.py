"""A peer whose every message is written by a test: for what no phone would do, and for the order in which races happen.

It takes the place of a phone, which is told to be deaf. RFC 3261 has no section for what it does.
"""

from typing import Final

from sbc.sdp import SdpError, answer, parse_sdp, serialize_sdp
from sbc.sip.message import Fields, Request, Response
from sbc.sip.parse import parse_message
from sbc.sip.serialize import serialize
from sbc.testing.build import request, response_to, sdp_of
from sbc.testing.phone import Phone
from sbc.testing.world import World

_NO_TAG: Final = "left-out"


class ByHand:
    def __init__(self, world: World, phone: Phone) -> None:
        phone.ignores()
        self._world = world
        self._phone = phone
        self._branches = 0

    @property
    def heard(self) -> list[Request | Response]:
        """Every message that was sent to it, in order."""
        return [parse_message(data, stream=False) for data in self._world.net.sent_to(self._phone.name)]

    def requests(self, method: str) -> list[Request]:
        return [message for message in self.heard if isinstance(message, Request) and message.method == method]

    def statuses(self, method: str = "INVITE") -> list[int]:
        """The responses to its requests of this method."""
        return [m.status for m in self.heard if isinstance(m, Response) and m.cseq.method == method]

    def methods(self) -> list[str]:
        return [message.method for message in self.heard if isinstance(message, Request)]

    def replies(
        self,
        status: int,
        *,
        to: Request | None = None,
        tag: str = "to-1",
        sdp: bool = False,
        contact: str | None = None,
        fields: Fields = (),
        body: bytes = b"",
    ) -> None:
        """To the last INVITE, or to another request that it heard. An empty `tag` is left out, as in RFC 2543."""
        asked = to or self.requests("INVITE")[-1]
        if sdp:
            body = self._description(asked)
        contact = contact or f"sip:{self._phone.address}"
        response = response_to(asked, status, to_tag=tag or _NO_TAG, contact=contact, fields=fields, body=body)
        self._world.inject(serialize(response).replace(f";tag={_NO_TAG}".encode(), b""), self._phone)

    def _description(self, asked: Request) -> bytes:
        """The answer to the offer of `asked`; an offer where it has none, or none that can be taken."""
        host = self._phone.address.host
        try:
            return serialize_sdp(answer(parse_sdp(asked.body), parse_sdp(sdp_of(host))))
        except SdpError:
            return sdp_of(host)

    def sends(self, method: str, uri: str = "sip:+442079460001@10.0.0.1", **options: object) -> Request:
        """A request as `build.request` makes it; a new branch each time."""
        self._branches += 1
        branch = str(options.pop("branch", f"z9hG4bKbyhand{self._branches}"))
        options.setdefault("source", self._phone.address)
        made = request(method, uri=uri, to=uri, branch=branch, **options)  # type: ignore[arg-type]
        self._world.inject(serialize(made), self._phone)
        return made

    @property
    def our_tag(self) -> str:
        """The SBC's tag in its responses to an INVITE of ours."""
        tags = [m.to.tag for m in self.heard if isinstance(m, Response) and m.cseq.method == "INVITE" and m.to.tag]
        return tags[-1] or ""
