"""baresip as a telephone without a sound card: it plays a tone from a file and writes what it hears to others."""

import math
import struct
import wave
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from .children import Child, program

RATE = 8000
_CONFIG = """
poll_method epoll
sip_listen {address}:5060
net_interface eth0
call_local_timeout 120
call_max_calls 4
audio_player aubridge,nobody
audio_source aufile,{folder}/tone.wav
audio_alert aufile,{folder}/alert.wav
ausrc_srate 8000
auplay_srate 8000
ausrc_channels 1
auplay_channels 1
rtp_ports 10000-10100
rtp_stats no
module_path {modules}
module stdio.so
module g711.so
module aufile.so
module aubridge.so
module sndfile.so
snd_path {folder}
{encryption}
module_tmp account.so
module_app menu.so
"""
_TLS = """
sip_certificate {certificate}
sip_cafile {authority}
sip_verify_server yes
"""
MediaEncryption = Literal["", "srtp", "srtp-mand", "dtls_srtp"]


class Baresip:
    def __init__(
        self,
        name: str,
        folder: Path,
        *,
        address: str,
        through: str,
        user: str,
        hertz: int,
        prefix: Sequence[str] = (),
        registers: str = "",
        tls: tuple[Path, Path] | None = None,
        media: MediaEncryption = "",
    ) -> None:
        """`registers`: the parameters of its account with `through`; without them it is called where it is.

        `tls`: its certificate with its key, and the authority that it trusts; it then speaks TLS alone, at port 5061.
        """
        self.folder = folder / name
        self.folder.mkdir()
        write_tone(self.folder / "tone.wav", hertz)
        encryption = "" if tls is None else _TLS.format(certificate=tls[0], authority=tls[1])
        encryption += f"module {'dtls_srtp' if media == 'dtls_srtp' else 'srtp'}.so" if media else ""
        text = _CONFIG.format(address=address, folder=self.folder, modules=_modules(), encryption=encryption)
        (self.folder / "config").write_text(text)
        transport, port = (";transport=tls", 5061) if tls is not None else ("", 5060)
        account = f"<sip:{user}@{through if registers else address}{transport}>;{registers or 'regint=0'}"
        account += ";answermode=auto;audio_codecs=PCMU"
        account += f";mediaenc={media}" if media else ""
        account += "" if "outbound" in registers else f';outbound="sip:{through}:{port}{transport}"'
        (self.folder / "accounts").write_text(account + "\n")
        (self.folder / "contacts").write_text("")
        argv = [program("baresip"), "-f", self.folder, "-p", self.folder]
        self.child = Child(name, argv, self.folder, prefix=prefix, keep_stdin=True)
        self.child.until("baresip is ready")

    def says(self, command: str) -> None:
        """A command of its menu: `dial sip:…`, `hold`, `resume`, `hangup`."""
        assert self.child.process.stdin
        self.child.process.stdin.write(f"/{command}\n".encode())
        self.child.process.stdin.flush()

    def stop(self) -> None:
        self.child.stop()

    def heard(self) -> dict[int, float]:
        """Loudness by pitch of what it heard, 0 to 1, in its loudest second. Read it when the call is over."""
        return {hertz: loudest(self.folder, hertz) for hertz in (400, 700, 1000)}


def loudest(folder: Path, hertz: int) -> float:
    """Of all that a telephone has written there of what it heard: how loud one pitch was in its loudest second."""
    seconds = [second for path in folder.glob("dump-*-dec.wav") for second in _seconds(path)]
    return max((loudness(second, hertz) for second in seconds), default=0.0)


def _seconds(path: Path) -> list[tuple[int, ...]]:
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
        frames = file.readframes(file.getnframes())
    return list(seconds_of(frames, RATE))


def seconds_of(frames: bytes, rate: int) -> Iterator[tuple[int, ...]]:
    """Whole seconds of samples of 16 bits."""
    for n in range(0, len(frames) - 2 * rate + 1, 2 * rate):
        yield struct.unpack(f"<{rate}h", frames[n : n + 2 * rate])


def loudness(samples: Sequence[int], hertz: int, rate: int = RATE) -> float:
    """Amplitude of one frequency, by Goertzel's method."""
    factor = 2 * math.cos(2 * math.pi * hertz / rate)
    before = now = 0.0
    for sample in samples:
        before, now = now, sample / 32768 + factor * now - before
    power = now * now + before * before - factor * now * before
    return 2 * math.sqrt(max(0.0, power)) / len(samples)


def write_tone(path: Path, hertz: int, seconds: int = 60) -> None:
    one = struct.pack(f"<{RATE}h", *(round(16000 * math.sin(2 * math.pi * hertz * n / RATE)) for n in range(RATE)))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(one * seconds)


def _modules() -> Path:
    """Debian 12 keeps them in /usr/lib/baresip/modules, others below the machine's library folder."""
    return next(iter(sorted(Path("/usr/lib").glob("**/baresip/modules"))))
