"""Random sequences of messages, sound and not, from both ends of a call and from a third peer, in virtual time.

The ends know every dialog and transaction that there has been, and use them again: another tag, another branch, a
number that jumps, a message once more, an answer to what was answered. Nobody plays a phone. What must hold is said by
`Sequence.ends`; `story` tells what was said.
"""

import random
from typing import Final

from sbc.b2bua.events import HangUpOrdered
from sbc.sip.message import Request, Response
from sbc.sip.serialize import serialize
from sbc.testing.build import response_to, sdp_of
from tests.fuzz.arena import CALLED, CROOK, ROGUE, Arena

_METHODS: Final = ("INVITE", "ACK", "BYE", "CANCEL", "PRACK", "UPDATE", "INFO", "REFER", "NOTIFY", "MESSAGE", "OPTIONS")
_STATUSES: Final = (100, 180, 183, 199, 200, 202, 302, 401, 407, 408, 422, 481, 486, 487, 491, 500, 503, 603, 699)
_PAUSES: Final = (0.0, 0.0, 0.0, 0.0, 0.001, 0.1, 0.6, 1.0, 4.5, 33.0)
_OURS: Final = {"rogue": "10.0.0.1", "crook": "203.0.113.1"}
_HOSTS: Final = {"rogue": ROGUE, "crook": CROOK}
_OTHER_METHODS: Final = 0.1  # of retransmissions have another method: a branch that is used again
ANSWERS_AT_MOST: Final = 12  # to one message of a peer, all retransmissions of the next minutes together


class Sequence:
    def __init__(self, seed: int, *, steps: int = 40) -> None:
        self.dice = random.Random(seed)
        self.arena = Arena(answers=False)
        self.arena._obeys = lambda _who, _request: None  # type: ignore[method-assign]
        self.said: dict[str, list[bytes]] = {"rogue": [], "crook": []}
        self.dialogs: dict[str, list[tuple[str, str, str | None, str]]] = {"rogue": [], "crook": []}
        self.sent = 0
        self.story: list[str] = []
        for _ in range(steps):
            self._step()
            self.arena.unbroken()

    def _step(self) -> None:
        who = self.dice.choice(("rogue", "rogue", "crook"))
        {
            "request": self._requests, "answer": self._answers, "again": self._repeats, "pause": self._waits,
            "stranger": self._as_stranger,
        }[self.dice.choices(("request", "answer", "again", "pause", "stranger"), (6, 6, 2, 3, 1))[0]](who)  # fmt: skip

    # --- moves --------------------------------------------------------------------------------------------------------

    def _requests(self, who: str) -> None:
        """One that begins something, or within a dialog that there is or was, or nearly."""
        dice = self.dice
        self._learn(who)
        is_new = not self.dialogs[who] or dice.random() < 0.2
        if is_new:
            method = dice.choice(("INVITE", "INVITE", "INVITE", *_METHODS))
            dialog = (f"{who}id{self.sent}", f"{who}tag{self.sent}", None, f"{who}{self.sent}")
            self.dialogs[who].append(dialog)
        else:
            method = dice.choice(_METHODS)
            dialog = dice.choice(self.dialogs[who][-4:])
        self._say(who, self._request(who, method, dialog, is_new=is_new), f"{method} in {dialog[0]}")

    def _request(self, who: str, method: str, dialog: tuple[str, str, str | None, str], *, is_new: bool) -> bytes:
        dice = self.dice
        call_id, tag, ours, branch = dialog
        if dice.random() < 0.08:
            tag = f"{who}tagother"
        if dice.random() < 0.08:
            ours = dice.choice((None, "unknowntag", ""))
        if not (is_new or method in ("ACK", "CANCEL")) or dice.random() < 0.1:
            branch = f"{who}{self.sent}x"
        number = 1 if is_new or method in ("ACK", "CANCEL") else dice.choice((1, 2, 3, 4, 7, 2**31 - 1))
        called = CALLED if who == "rogue" else "+14155550142"
        host = _HOSTS[who]
        has_sdp = method in ("INVITE", "UPDATE", "PRACK", "ACK") and dice.random() < 0.7
        body = sdp_of(host) if has_sdp else b""
        lines = [
            f"{method} sip:{called}@{_OURS[who]} SIP/2.0",
            f"Via: SIP/2.0/UDP {host}:5060;branch=z9hG4bK{branch}",
            "Max-Forwards: 70",
            f"From: <sip:+14155550142@{host}>;tag={tag}",
            f"To: <sip:{called}@{_OURS[who]}>" + ("" if ours is None else f";tag={ours}" if ours else ""),
            f"Call-ID: {call_id}",
            f"CSeq: {number} {method}",
            f"Contact: <sip:me@{host}>",
            *self._extras(method),
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        return "\r\n".join([*lines, "", ""]).encode() + body

    def _extras(self, method: str) -> list[str]:
        dice = self.dice
        extras = ["Supported: " + dice.choice(("timer", "100rel", "timer, 100rel, replaces", ""))]
        if method in ("INVITE", "UPDATE") and dice.random() < 0.4:
            extras.append(f"Session-Expires: {dice.choice((90, 1800, 30))};refresher={dice.choice(('uac', 'uas'))}")
        if method == "PRACK":
            extras.append(f"RAck: {dice.choice((1, 2, 99))} {dice.choice((1, 2))} INVITE")
        if method == "REFER":
            extras.append(f"Refer-To: <sip:+49309999{dice.randint(0, 9)}@x>")
        if method == "NOTIFY":
            extras += ["Event: refer", f"Subscription-State: {dice.choice(('active', 'terminated;reason=noresource'))}"]
        if dice.random() < 0.05:
            extras.append(f"Require: {dice.choice(('100rel', 'timer', 'nonsense'))}")
        return extras

    def _answers(self, who: str) -> None:
        """Something that we asked, answered for the first time or once more, or by somebody who was not asked."""
        dice = self.dice
        asked = [m for m in self.arena.heard[who] if isinstance(m, Request) and m.method != "ACK"]
        if not asked:
            return
        request = dice.choice(asked[-5:])
        status = dice.choice((200, 180, 183, *_STATUSES))
        tag = f"{who}tag{dice.choice(('a', 'a', 'a', 'b', self.sent))}"
        body = sdp_of(_HOSTS[who]) if request.method in ("INVITE", "UPDATE") and dice.random() < 0.6 else b""
        fields = ()
        if 100 < status < 200 and dice.random() < 0.4:
            fields = (("Require", "100rel"), ("RSeq", str(dice.choice((1, 2, 3, 50)))))
        if status in (401, 407):
            name = "WWW-Authenticate" if status == 401 else "Proxy-Authenticate"
            fields = ((name, 'Digest realm="x", nonce="y"'),)
        answer = serialize(
            response_to(request, status, to_tag=tag, contact=f"sip:far@{_HOSTS[who]}", fields=fields, body=body)
        )
        if dice.random() < 0.06:
            answer = answer.replace(b"branch=z9hG4bK", b"branch=z9hG4bKx")
        if dice.random() < 0.06:
            answer = answer.replace(b"CSeq: ", b"CSeq: 9")
        self._say(who, answer, f"{status} to {request.method}")

    def _repeats(self, who: str) -> None:
        """What it has said before, as it was or with another method."""
        if not self.said[who]:
            return
        data = self.dice.choice(self.said[who][-6:])
        if self.dice.random() < _OTHER_METHODS:
            data = data.replace(b" INVITE\r\n", b" BYE\r\n")
        self._say(who, data, "again", known=True)

    def _waits(self, _who: str) -> None:
        seconds = self.dice.choice(_PAUSES)
        self.story.append(f"{seconds} s")
        self.arena.passes(seconds)

    def _as_stranger(self, who: str) -> None:
        """A third party says again what it has seen on the way."""
        if self.said[who]:
            self.arena.from_stranger(self.dice.choice(self.said[who]))

    # --- what they know -----------------------------------------------------------------------------------------------

    def _learn(self, who: str) -> None:
        """The tags that we gave their dialogs, and the dialogs that we began."""
        for message in self.arena.heard[who][-12:]:
            if isinstance(message, Response) and message.to.tag:
                known = [d for d in self.dialogs[who] if d[0] == message.call_id and d[2] is None]
                for dialog in known:
                    place = self.dialogs[who].index(dialog)
                    self.dialogs[who][place] = (dialog[0], dialog[1], message.to.tag, dialog[3])
            elif isinstance(message, Request) and message.method == "INVITE" and message.to.tag is None:
                dialog = (message.call_id, f"{who}taga", message.from_.tag, f"{who}{self.sent}")
                if message.call_id not in [d[0] for d in self.dialogs[who]]:
                    self.dialogs[who].append(dialog)

    def _say(self, who: str, data: bytes, what: str, *, known: bool = False) -> None:
        self.sent += 1
        self.story.append(f"{who}: {what}")
        if not known:
            self.said[who].append(data)
        says = self.arena.from_rogue if who == "rogue" else self.arena.from_crook
        says(data)

    # --- what must hold -----------------------------------------------------------------------------------------------

    def ends(self) -> None:
        """Everybody falls silent. Nothing is alive then; each call has one record; few messages were made of many."""
        world = self.arena.world
        world.falls_silent(1_000.0)
        world.falls_silent(1_000.0)
        for call in world.switch.snapshot(world.now).calls:
            # Established, without a session timer, and on hold, so that nobody need be heard: the operator's to end.
            assert call.state == "answered", call
            world.tell(HangUpOrdered(call.ref))
        self.arena.passes(100.0)
        assert not world.switch.calls, "a call that does not end"
        self.arena.lives()
        self.arena.rests()
        made = sum(sent.sender == "sbc" for sent in world.net.log)
        assert made <= ANSWERS_AT_MOST * (self.sent + 4), f"{made} messages for {self.sent}"
