"""Keeps a recording: what the switch tells becomes frames, and a thread writes them.

The engine's thread encodes and appends to a queue. Whatever goes wrong here (a full disk, one that is too slow, the
bound on the recording's size, a bug) ends the recording with an alarm, and never hurts a call: one with a hole in it
replays only up to the hole, so that none goes on after one. What was written is out of this process within about a
twentieth of a second, and survives its death. Used by `app`.
"""

import contextlib
import errno
import os
import platform
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog
import trio

import sbc
from sbc.core import limits
from sbc.core.errors import OperatorError
from sbc.core.ids import IdSource
from sbc.policy.engine import Policy
from sbc.runtime.recording import files, frames
from sbc.runtime.recording.engine import RecordedSwitch, Taken
from sbc.runtime.recording.files import framed
from sbc.runtime.recording.frames import Keeps
from sbc.runtime.recording.making import Making, has_policy

GATHER_SECONDS: Final = 0.05  # what comes within this is one block
_TRIES: Final = 10
_AT_ONCE: Final = 2_000  # steps in one block at most

log = structlog.get_logger("recording")


class Recording:
    """`open` first; if there is one, `make_engine` makes the engine; then `announce`, and `finish` at the end."""

    def __init__(self, folder: Path, *, keeps: Keeps = "commands", most: int = limits.RECORDING_OCTETS) -> None:
        """`most`: octets of the folder, earlier lives included."""
        self.folder = folder
        self._most = most
        self._keeps: Keeps = keeps
        self._making = Making(keeps)
        self._waiting: deque[bytes | Taken] = deque()
        self._octets_waiting = 0  # about: both threads count
        self._more = threading.Event()
        self._finishing = threading.Event()
        self._is_over = False
        self._why_none = ""
        self._file = -1
        self._life = 0
        self._segment = 0
        self._in_segment = 0
        self._in_folder = 0
        self._thread = threading.Thread(target=self._write_all, name="recording", daemon=True)

    @property
    def waiting(self) -> int:
        """Steps."""
        return len(self._waiting)

    def open(self) -> bool:
        """Whether there is one from now on; if not, the program runs without: it may be the start after a crash, or
        after a reboot at night.
        """
        try:
            self._open()
        except (OSError, OperatorError) as error:
            self._is_over, self._why_none = True, getattr(error, "strerror", None) or str(error)
            return False
        self._thread.start()
        return True

    def announce(self) -> None:
        """To the log, when alarms are heard."""
        if self._why_none:
            self._is_over = False
            self._over(self._why_none)
        else:
            log.info("recording.began", path=str(self.folder), life=self._life)

    def _open(self) -> None:
        """Raises OSError, and OperatorError where there is no room left in the folder."""
        self.folder.mkdir(mode=files.FOLDER_MODE, parents=True, exist_ok=True)
        with contextlib.suppress(OperatorError):
            self._life = max(files.lives_in(self.folder))
        self._in_folder = sum(path.stat().st_size for path in self.folder.iterdir() if path.suffix == ".rec")
        if self._in_folder >= self._most:
            raise OperatorError(f"{self._in_folder} octets of recordings are in it, and {self._most} are allowed")
        for _ in range(_TRIES):
            self._life += 1
            with contextlib.suppress(FileExistsError):  # a process that begins beside us, as in an upgrade
                self._open_segment()
                break
        else:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        self._write([framed(self._head())])

    def make_engine(self, policy: Policy, ids: IdSource) -> RecordedSwitch:
        return RecordedSwitch(policy, ids, self.tell)

    def _head(self) -> frames.Life:
        return frames.Life(
            frames.FORMAT,
            self._life,
            sbc.__version__,
            f"{platform.python_implementation()} {platform.python_version()}",
            os.environ.get("PYTHONHASHSEED", ""),
            time.time(),
            self._keeps,
        )

    # --- on the engine's side -------------------------------------------------------------------------------------

    def tell(self, taken: Taken) -> None:
        """Returns at once. What has a policy in it is left to the thread, since there may be much of it."""
        if self._is_over:
            return
        waiting = self._waiting
        if has_policy(taken):
            waiting.append(taken)
        else:
            # At once, though it takes some microseconds: to keep what a step made alive costs more.
            try:
                encoded = self._made(taken)
            except Exception as error:  # noqa: BLE001 - a value that cannot be kept is no reason to end calls
                self._over(f"{type(error).__name__}: {error}")
                return
            waiting.append(encoded)
            self._octets_waiting += len(encoded)
        if len(waiting) > limits.RECORDING_STEPS_WAITING or self._octets_waiting > limits.RECORDING_OCTETS_WAITING:
            self._over("the disk does not keep up")
            waiting.clear()
        elif len(waiting) == 1:
            self._more.set()

    async def finish(self, patience: float) -> None:
        """Write what waits, for so many seconds."""
        self._finishing.set()
        self._more.set()
        if self._thread.is_alive():
            await trio.to_thread.run_sync(self._thread.join, patience)

    def _over(self, why: str) -> None:
        if not self._is_over:
            self._is_over = True
            log.error("recording.ended", alarm=True, path=str(self.folder), life=self._life, why=why)

    # --- in the thread --------------------------------------------------------------------------------------------

    def _write_all(self) -> None:
        try:
            while not self._is_over and not (self._finishing.is_set() and not self._waiting):
                self._more.wait()
                self._finishing.wait(GATHER_SECONDS)
                self._more.clear()
                while self._waiting and not self._is_over:
                    self._write_some()
        except OSError as error:
            self._over(error.strerror or str(error))
        except Exception as error:  # noqa: BLE001 - whatever it was, it is no reason to end calls
            self._over(f"{type(error).__name__}: {error}")
        finally:
            self._waiting.clear()
            if self._file >= 0:
                os.close(self._file)

    def _write_some(self) -> None:
        some = [self._waiting.popleft() for _ in range(min(len(self._waiting), _AT_ONCE))]
        self._octets_waiting = 0 if not self._waiting else self._octets_waiting
        self._write([one if isinstance(one, bytes) else self._made(one) for one in some])
        if self._in_folder >= self._most:
            why = f"it has {self._in_folder} octets, and {self._most} are allowed"
            self._write([framed(frames.Ended(why))])
            self._over(why)
        elif self._in_segment >= limits.RECORDING_SEGMENT_OCTETS:
            self._open_segment()

    def _made(self, taken: Taken) -> bytes:
        return b"".join([framed(frame) for frame in self._making.made_of(taken)])

    def _write(self, encoded: Sequence[bytes]) -> None:
        self._put(files.pack(encoded))

    def _put(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[os.write(self._file, left) :]
        self._in_segment += len(data)
        self._in_folder += len(data)

    def _open_segment(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        path = self.folder / files.segment_name(self._life, self._segment + 1)
        self._file = -1
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, files.FILE_MODE)
        self._segment += 1
        self._in_segment = 0
        self._put(files.MAGIC)
