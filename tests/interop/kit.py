"""The test kit's user agent on a UDP socket, for what SIPp cannot do: SHA-256, SHA-512-256, nonces never accepted."""

import re
import socket
import threading
import time
from collections.abc import Callable

from sbc.core.address import Address, Flow, Transport
from sbc.sip.commands import SendMessage
from sbc.testing.agent import UserAgent
from sbc.testing.challenger import Challenger
from sbc.testing.digest import Keyring
from sbc.testing.party import Party, Stage
from sbc.testing.seeds import seeded_ids

from .children import until

_LOOK_SECONDS = 0.01


class KitPhone:
    """At `host`:5060. What it does by itself stands in `agent.script`; `texts` is all that came, as it came."""

    def __init__(self, host: str, user: str = "+14155550100") -> None:
        self._ids = seeded_ids()
        self.agent = UserAgent("kit", Address(host, 5060), self._ids, user=user, codecs=("PCMU",))
        self.texts: list[str] = []
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind((host, 5060))
        self._sock.settimeout(_LOOK_SECONDS)
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"kit {host}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(5)
        self._sock.close()

    # --- what it is told ----------------------------------------------------------------------------------------------

    def calls(self, number: str, through: str) -> Party:
        self._perform(lambda now: self.agent.invite(number, Address(through, 5060), now))
        return self.agent.parties[-1]

    def hangs_up(self, party: Party) -> None:
        self._perform(lambda now: self.agent.hang_up(party, now))

    def answers_by_itself(self) -> None:
        self.agent.script.rings, self.agent.script.answers_after = 180, 0.05

    def sends(self, data: bytes, to: str) -> None:
        self._sock.sendto(data, (to, 5060))

    def challenges(
        self,
        username: str,
        password: str,
        *,
        realm: str,
        algorithm: str = "MD5",
        fresh: bool = False,
        stale: bool = False,
    ) -> Challenger:
        challenger = Challenger(
            username, password, self._ids, realm=realm, algorithms=(algorithm,), fresh=fresh, stale=stale
        )
        challenger.complaints = self.agent.complaints
        self.agent.challengers.append(challenger)
        return challenger

    def has_credentials(self, username: str, password: str) -> None:
        self.agent.keyring = Keyring(username, password)

    # --- what it sees -------------------------------------------------------------------------------------------------

    def is_talking(self, party: Party, seconds: float = 5) -> None:
        until(lambda: party.stage is Stage.TALKING, "an answer", seconds, lambda: party.heard)

    def is_over(self, party: Party, seconds: float = 5) -> None:
        until(lambda: party.stage is Stage.ENDED, "the end", seconds, lambda: party.heard)

    def requests(self, method: str) -> list[str]:
        return [text for text in tuple(self.texts) if text.startswith(f"{method} ")]

    # --- the thread ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                data, (host, port) = self._sock.recvfrom(65_535)
            except TimeoutError:
                pass
            else:
                self.texts.append(data.decode())
                flow = Flow(Transport.UDP, "", self.agent.address, Address(host, port))
                self._perform(lambda now, data=data, flow=flow: self.agent.receive(data, flow, now))
            self._perform(self.agent.tick)

    def _perform(self, move: Callable[[float], list[SendMessage]]) -> None:
        with self._lock:
            for message in move(time.monotonic()):
                self._sock.sendto(message.data, (message.flow.remote.host, message.flow.remote.port))


def credentials_in(text: str) -> list[str]:
    """Every line that holds some."""
    return re.findall(r"^(?:Proxy-)?Authorization:.*$", text, re.MULTILINE | re.IGNORECASE)
