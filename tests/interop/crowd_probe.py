"""Is the SBC there? An OPTIONS every 50 ms, from a thread that does nothing else."""

import contextlib
import socket
import threading
import time

from .children import until
from .phones import header

_PROBE_SECONDS = 0.05


class Probe:
    """From the PBX's host, over UDP, to the SBC's address there."""

    def __init__(self, host: str, to: str) -> None:
        self._host, self._to = host, to
        self._sent: list[float] = []
        self._answered: list[tuple[float, float]] = []  # when it was asked, when it answered
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.settimeout(_PROBE_SECONDS)
        self._sock.bind((host, 5070))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="probe", daemon=True)
        self._thread.start()

    def back_after(self, moment: float, seconds: float) -> float:
        """Seconds from then to the first answer to what was asked later than that."""

        def answer() -> float | None:
            return next((at for asked, at in reversed(self._after(moment)) if asked > moment), None)

        until(lambda: answer() is not None, f"an answer to OPTIONS after {moment}", seconds)
        at = answer()
        assert at is not None
        return at - moment

    def longest_wait(self, since: float) -> float:
        """Seconds that an answer to what was asked since then took at most; what nobody answered waits to this day."""
        answered = dict(self._answered)
        now = time.time()
        return max(answered.get(asked, now) - asked for asked in tuple(self._sent) if asked >= since)

    def close(self) -> None:
        self._over.set()
        self._thread.join(5)
        self._sock.close()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._over.is_set():
            if time.monotonic() >= due:
                due = time.monotonic() + _PROBE_SECONDS
                self._asks()
            with contextlib.suppress(TimeoutError):
                self._reads()

    def _after(self, moment: float) -> list[tuple[float, float]]:
        """The newest first, up to the first one that was asked after that moment."""
        found = []
        for one in reversed(self._answered):
            if one[0] <= moment:
                break
            found.append(one)
        return found

    def _asks(self) -> None:
        n = len(self._sent)
        self._sent.append(time.time())
        text = "\r\n".join([
            f"OPTIONS sip:{self._to}:5060 SIP/2.0", f"Via: SIP/2.0/UDP {self._host}:5070;branch=z9hG4bK-probe{n};rport",
            "Max-Forwards: 70", f"From: <sip:probe@{self._host}>;tag=p", f"To: <sip:{self._to}>",
            f"Call-ID: probe@{self._host}", f"CSeq: {n + 1} OPTIONS", "Content-Length: 0", "", "",
        ])  # fmt: skip
        self._sock.sendto(text.encode(), (self._to, 5060))

    def _reads(self) -> None:
        data = self._sock.recv(65535).decode()
        n = int(header(data, "CSeq").split()[0]) - 1
        self._answered.append((self._sent[n], time.time()))
