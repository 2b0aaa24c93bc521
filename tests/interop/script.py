"""SIPp scenarios of a call in which much happens: written in Python, a line a message; SIPp gets the XML.

A `Script` is what one side does, in order; a `Dialog` of it knows its Call-ID, tags, target and CSeq numbers. All that
comes is kept (Via, From, To, CSeq), so that anything can be answered at any time later. What a message must say and
must not say is checked by SIPp itself (`has`, `lacks`: POSIX regular expressions over the whole message), and any other
message than the one that is awaited ends the call as failed.
"""

from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

ALLOW = "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE, INFO, REFER, NOTIFY, MESSAGE, SUBSCRIBE"
REASONS = {100: "Trying", 180: "Ringing", 183: "Session Progress", 200: "OK", 202: "Accepted", 422: "Too Small",
           486: "Busy Here", 488: "Not Acceptable Here", 491: "Request Pending", 603: "Decline"}  # fmt: skip
T38 = "m=image 6004 udptl t38\na=T38FaxVersion:0\na=T38MaxBitRate:14400\na=T38FaxUdpEC:t38UDPRedundancy"
SDP = "application/sdp"


def sdp(version: int = 1, *, says: str = "", media: str = "") -> str:
    """`says`: more lines of the audio stream, such as a=sendonly; `media`: other m-lines instead."""
    audio = "m=audio 6000 RTP/AVP 0 101\na=rtpmap:0 PCMU/8000\na=rtpmap:101 telephone-event/8000"
    lines = f"v=0\no=[me] 53655765 {version} IN IP4 [local_ip]\ns=[me]\nc=IN IP4 [media_ip]\nt=0 0\n"
    return lines + (media or "\n".join(line for line in (audio, says) if line))


class Script:
    """What one SIPp does. `write` makes the file of it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.calls_first = False
        self._steps: list[str] = []
        self._variables: set[str] = set()
        self._dialogs = 0

    def calls(self, *fields: str, body: str = "", to: str = "[service]") -> "Dialog":
        """INVITE: a dialog of which this is the caller."""
        return self.asks("INVITE", *fields, body=body, to=to)

    def asks(self, method: str, *fields: str, body: str = "", kind: str = SDP, to: str = "[service]") -> "Dialog":
        """A request outside any dialog; it may begin one."""
        self.calls_first |= not self._steps
        dialog = self._dialog(is_caller=True, called=to)
        dialog.asks(method, *fields, body=body, kind=kind)
        return dialog

    def is_called(self, method: str = "INVITE", *, has: Sequence[str] = (), lacks: Sequence[str] = ()) -> "Dialog":
        dialog = self._dialog(is_caller=False, called="")
        dialog.gets(method, has=has, lacks=lacks)
        return dialog

    def waits(self, milliseconds: int) -> None:
        self.step(f'<pause milliseconds="{milliseconds}"/>')

    def write(self, folder: Path) -> Path:
        path = folder / f"{self.name}.xml"
        seen = f'<Reference variables="{",".join(sorted(self._variables))}"/>' if self._variables else ""
        steps = "\n".join([*self._steps, seen])
        path.write_text(
            f'<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="{self.name}">\n{steps}\n</scenario>\n'
        )
        return path

    def step(self, xml: str) -> None:
        self._steps.append(xml)

    def variable(self, name: str) -> str:
        self._variables.add(name)
        return name

    def _dialog(self, *, is_caller: bool, called: str) -> "Dialog":
        self._dialogs += 1
        return Dialog(self, self._dialogs, is_caller=is_caller, called=called)


class Dialog:
    """One dialog of a script. The second one's Call-ID begins with `d2///`, by which SIPp knows whose it is."""

    def __init__(self, script: Script, n: int, *, is_caller: bool, called: str) -> None:
        self._script = script
        self._n = n
        self._is_caller = is_caller
        self._seq = 0
        self._called = called
        self.allows_update = True
        self._has_dialog = not is_caller  # what is to be known of the other end is known
        self._nothing_came = True
        self._untagged: set[str] = set()  # their requests without our tag: it is added in what we say
        self._last: dict[str, tuple[str, int, int]] = {}  # our last request of a method: transaction, CSeq, status
        self.call_id = "[call_id]" if n == 1 else f"d{n}///[call_id]"
        self.tag = f"[pid]d{n}t[call_number]"

    # --- our requests -------------------------------------------------------------------------------------------------

    def asks(self, method: str, *fields: str, body: str = "", kind: str = SDP) -> None:
        self._seq += 1
        transaction = f"d{self._n}x{self._seq}"
        self._last[method] = (transaction, self._seq, 0)
        self._send(self._request(method, self._seq, fields, body, kind), f'retrans="500" start_txn="{transaction}"')
        if method == "INVITE":
            self._recv(f'response="100" optional="true" response_txn="{transaction}"')

    def hears(self, status: int, to: str = "INVITE", *, has: Sequence[str] = (), lacks: Sequence[str] = ()) -> None:
        """The response to our last request of the method `to`."""
        transaction, seq, _ = self._last[to]
        self._last[to] = (transaction, seq, status)
        keeps = []
        if self._is_caller and to in ("INVITE", "SUBSCRIBE") and 100 < status < 300:
            keeps += [("remote", "To:", ".*"), ("target", "Contact:", "<(sips?:[^>]*)>")]
            keeps.append(("to_tag", "To:", "tag=([^;>]+)"))
            self._has_dialog = True
        if to == "INVITE" and 100 < status < 200:
            keeps.append(("rseq", "RSeq:", "[0-9]+"))
        self._recv(f'response="{status}" response_txn="{transaction}"', has, lacks, keeps)

    def acks(self, body: str = "") -> None:
        """Our last INVITE's final response; one that refused it must be the last message that came."""
        transaction, seq, status = self._last["INVITE"]
        text = self._request("ACK", seq, (), body, SDP, refused=status >= 300)
        self._send(text, f'ack_txn="{transaction}"')

    def pracks(self, body: str = "") -> None:
        """The reliable provisional response that came last."""
        _, seq, _ = self._last["INVITE"]
        self.asks("PRACK", f"RAck: {self._kept('rseq')} {seq} INVITE", body=body)

    def waits(self, milliseconds: int) -> None:
        self._script.waits(milliseconds)

    def named_in_uri(self) -> str:
        """This dialog, as its caller names it in the Replaces of a Refer-To (RFC 3891 §6.1, RFC 3261 §19.1.1)."""
        return f"{self.call_id}%3Bto-tag%3D{self._kept('to_tag')}%3Bfrom-tag%3D{self.tag}"

    def named(self) -> str:
        """… as its caller's side names it in a Replaces field."""
        return f"{self.call_id};to-tag={self._kept('to_tag')};from-tag={self.tag}"

    def hangs_up(self, *fields: str) -> None:
        self.asks("BYE", *fields)
        self.hears(200, "BYE")

    # --- their requests -----------------------------------------------------------------------------------------------

    def gets(self, method: str, *, has: Sequence[str] = (), lacks: Sequence[str] = ()) -> None:
        keeps = [(f"{method}_{name}", f"{name}:", ".*") for name in ("Via", "From", "To", "CSeq")]
        if self._nothing_came and not self._is_caller:
            keeps += [("remote", "From:", ".*"), ("local", "To:", ".*"), ("target", "Contact:", "<(sips?:[^>]*)>")]
            self._untagged.add(method)
        elif method != "CANCEL":
            self._untagged.discard(method)
        self._nothing_came = False
        self._recv(f'request="{method}"', has, lacks, [] if method == "ACK" else keeps)

    def says(self, status: int, *fields: str, to: str = "INVITE", body: str = "", kind: str = SDP) -> None:
        """The response to their last request of the method `to`, whatever else came since."""
        tag = f";tag={self.tag}" if to in self._untagged and status > 100 else ""
        kept = [f"{name}:{self._kept(f'{to}_{name}')}" for name in ("Via", "From", "To")]
        text = _message(
            f"SIP/2.0 {status} {REASONS.get(status, 'Whatever')}", kept[0], kept[1], kept[2] + tag,
            f"Call-ID: {self.call_id}", f"CSeq:{self._kept(f'{to}_CSeq')}", *self._about_us("Server"), *fields,
            body=body, kind=kind,
        )  # fmt: skip
        self._send(text, 'retrans="500"' if to == "INVITE" and status >= 200 else "")

    def is_notified(self, status: int, *, last: bool = False) -> None:
        """How a transfer goes, in a NOTIFY: a status line (RFC 3515 §2.4.4), and whether it was the last."""
        state = "terminated" if last else "active"
        said = ["Event: *refer", f"Subscription-State: *{state}", "Content-Type: *message/sipfrag", f"SIP/2.0 {status}"]
        self.gets("NOTIFY", has=said)
        self.says(200, to="NOTIFY")

    def is_hung_up(self, *, has: Sequence[str] = ()) -> None:
        self.gets("BYE", has=has)
        self.says(200, to="BYE")

    # --- how it looks in XML ------------------------------------------------------------------------------------------

    def _request(
        self, method: str, seq: int, fields: Sequence[str], body: str, kind: str, *, refused: bool = False
    ) -> str:
        """`refused`: the ACK of a failure, which repeats the Via and takes the To of what came last."""
        uri, theirs = f"sip:{self._called}@[remote_ip]:[remote_port]", f"<sip:{self._called}@[remote_ip]:[remote_port]>"
        if self._has_dialog:
            uri, theirs = self._kept("target"), self._kept("remote")
        ours = "<sip:[caller]@[local_ip]:[local_port]>" if self._is_caller else self._kept("local")
        via = "[last_Via:]" if refused else "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]"
        return _message(
            f"{method} {uri} SIP/2.0", via, f"From: {ours};tag={self.tag}",
            "[last_To:]" if refused else f"To: {theirs}", f"Call-ID: {self.call_id}",
            f"CSeq: {seq} {method}", "Max-Forwards: 70", *self._about_us("User-Agent"), *fields,
            body=body, kind=kind,
        )  # fmt: skip

    def _about_us(self, software: str) -> tuple[str, ...]:
        allow = ALLOW if self.allows_update else ALLOW.replace("UPDATE, ", "")
        return ("Contact: <sip:[me]@[local_ip]:[local_port]>", allow, f"{software}: [me]/[local_ip]")

    def _kept(self, name: str) -> str:
        return f"[$d{self._n}{name}]"

    def _send(self, text: str, attributes: str) -> None:
        self._script.step(f"<send {attributes}>\n<![CDATA[\n{text}\n]]>\n</send>")

    def _recv(
        self,
        attributes: str,
        has: Sequence[str] = (),
        lacks: Sequence[str] = (),
        keeps: Sequence[tuple[str, str, str]] = (),
    ) -> None:
        lines = [self._ereg("msg", regexp, "said", 'check_it="true"') for regexp in has]
        lines += [self._ereg("msg", regexp, "unsaid", 'check_it_inverse="true"') for regexp in lacks]
        for name, header, regexp in keeps:
            group = "(" in regexp
            into = f"d{self._n}{name}"
            where = f'hdr" header="{header}'
            lines.append(self._ereg(where, regexp, f"whole,{into}" if group else into, ""))
        if lines:
            self._script.step(f"<recv {attributes}>\n<action>\n{chr(10).join(lines)}\n</action>\n</recv>")
        else:
            self._script.step(f"<recv {attributes}/>")

    def _ereg(self, where: str, regexp: str, into: str, attributes: str) -> str:
        for name in into.split(","):
            self._script.variable(name)
        return f'<ereg regexp={quoteattr(regexp)} search_in="{where}" assign_to="{into}" {attributes}/>'


def talking_caller() -> tuple[Script, Dialog]:
    """A PBX whose call rings and is answered."""
    script = Script("pbx")
    dialog = script.calls(body=sdp())
    dialog.hears(180)
    dialog.hears(200, has=["m=audio"])
    dialog.acks()
    return script, dialog


def talking_callee(*, rings_ms: int = 0, **checks: Sequence[str]) -> tuple[Script, Dialog]:
    """A carrier that rings and answers. `checks`: what the INVITE `has` and `lacks`."""
    script = Script("carrier")
    dialog = script.is_called(**checks)
    dialog.says(180)
    if rings_ms:
        dialog.waits(rings_ms)
    dialog.says(200, body=sdp())
    dialog.gets("ACK")
    return script, dialog


def _message(start: str, *lines: str, body: str, kind: str) -> str:
    about = (f"Content-Type: {kind}", "Content-Length: [len]") if body else ("Content-Length: 0",)
    return "\n".join([start, *lines, *about, "", body])
