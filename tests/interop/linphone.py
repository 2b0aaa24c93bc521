"""linphonec as a telephone without a sound card: it plays a tone from a file and writes what it hears to another.

A second implementation of TLS and SRTP beside baresip: belle-sip over mbedTLS, libsrtp, DTLS of its own.
"""

import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from .baresip import loudness, seconds_of, write_tone
from .children import Child, program

_CONFIG = """
[sip]
sip_port={udp}
sip_tcp_port=-1
sip_tls_port={tls}
default_proxy=-1
contact="{user}" <sip:{user}@{address}>
use_ipv6=0
media_encryption={media}
media_encryption_mandatory={is_mandatory}
root_ca={authority}
verify_server_certs=1
verify_server_cn=0
client_cert_chain={certificate}
client_cert_key={key}

[net]
firewall_policy=0

[rtp]
audio_rtp_port=10000-10100

[sound]
echocancellation=0

[audio_codec_0]
mime=PCMU
rate=8000
channels=1
enabled=1
"""


class Linphone:
    """`media`: what it demands of RTP."""

    def __init__(
        self,
        name: str,
        folder: Path,
        *,
        address: str,
        user: str,
        hertz: int,
        prefix: Sequence[str] = (),
        tls: tuple[Path, Path, Path] | None = None,
        media: Literal["none", "srtp", "dtls"] = "none",
    ) -> None:
        """`tls`: its certificate, the key to that, and the authority that it trusts; it then speaks TLS alone."""
        self.folder = folder / name
        (self.folder / ".local" / "share" / "linphone").mkdir(parents=True)  # without its database it does not start
        write_tone(self.folder / "tone.wav", hertz)
        certificate, key, authority = tls or ("", "", "")
        (self.folder / "config").write_text(
            _CONFIG.format(
                udp=-1 if tls else 5060, tls=5061 if tls else -1, address=address, user=user, media=media,
                is_mandatory=int(media != "none"), authority=authority, certificate=certificate, key=key,
            )
        )  # fmt: skip
        argv = [program("linphonec"), "-c", self.folder / "config", "-a"]
        self.child = Child(
            name, argv, self.folder, prefix=prefix, keep_stdin=True, env={"HOME": str(self.folder), "LANG": "C"}
        )
        self.child.until("linphonec>")
        self.says("soundcard use files")
        self.says(f"play {self.folder / 'tone.wav'}")
        self.says(f"record {self._heard}")

    @property
    def _heard(self) -> Path:
        return self.folder / "heard.wav"

    def says(self, command: str) -> None:
        """A command of its console: `call sip:…`, `terminate`."""
        assert self.child.process.stdin
        self.child.process.stdin.write(f"{command}\n".encode())
        self.child.process.stdin.flush()

    def stop(self) -> None:
        self.child.stop()

    def heard(self) -> dict[int, float]:
        """Loudness by pitch of what it heard, 0 to 1, in its loudest second. Read it when the call is over."""
        if not self._heard.exists():
            return dict.fromkeys((400, 700, 1000), 0.0)
        with wave.open(str(self._heard)) as file:
            assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
            rate, frames = file.getframerate(), file.readframes(file.getnframes())
        seconds = list(seconds_of(frames, rate))
        return {
            hertz: max((loudness(second, hertz, rate) for second in seconds), default=0.0) for hertz in (400, 700, 1000)
        }
