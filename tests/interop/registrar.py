"""Kamailio as a carrier that has registrations and asks for credentials: registrar, user location and proxy in one.

It keeps no database; its mood can be changed while it runs, and what it holds can be seen, by its control socket.
"""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Literal, NamedTuple

from . import kamailio
from .children import program, until

USER, PASSWORD, REALM = "acme", "open-sesame-7", "carrier.example"
AOR_USER = "+14155550100"

Mood = Literal["accepts", "rejects", "unavailable", "silent"]

_CONFIG = """
debug=1
log_stderror=yes
children=1
auto_aliases=no
tcp_children=1
listen=udp:{address}:5060
listen=tcp:{address}:5060
{tls_listener}
alias="{realm}"
loadmodule "ctl.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "siputils.so"
loadmodule "textops.so"
loadmodule "xlog.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
loadmodule "nathelper.so"
{tls_module}
modparam("ctl", "binrpc", "unix:{control}")
modparam("tm", "fr_timer", 4000)
modparam("pv", "shvset", "mood=s:{mood}")
modparam("registrar", "max_expires", {grants})
modparam("registrar", "default_expires", {grants})
modparam("registrar", "max_contacts", 10)
modparam("auth", "algorithm", "{algorithm}")
modparam("nathelper|registrar", "received_avp", "$avp(received)")

request_route {{
  if (is_method("REGISTER")) {{
    xlog("L_ERR", "asked: $ci $cs $hdr(Expires) <$au>\\n");
    if ($shv(mood) == "silent") exit;
    if ($shv(mood) == "rejects") {{
      sl_send_reply("403", "Forbidden");
      exit;
    }}
    if ($shv(mood) == "unavailable") {{
      sl_send_reply("503", "Service Unavailable");
      exit;
    }}
    if ($au != "{user}" || !pv_www_authenticate("{realm}", "{password}", "0")) {{
      www_challenge("{realm}", "1");
      exit;
    }}
    if ($hdr(Expires) != "0" && $(hdr(Expires){{s.int}}) < {at_least}) {{
      append_to_reply("Min-Expires: {at_least}\\r\\n");
      sl_send_reply("423", "Interval Too Brief");
      exit;
    }}
    if (proto == TLS) fix_nated_register();
    save("location");
    exit;
  }}
  if (has_totag()) {{
    if (loose_route()) {{
      if ($si == "{sbc}" && !is_method("ACK")) route(CHALLENGE);
      t_relay();
      exit;
    }}
    if (is_method("ACK") && t_check_trans()) {{
      t_relay();
      exit;
    }}
    xlog("L_ERR", "strays: $rm from $si\\n");
    exit;
  }}
  if (is_method("CANCEL")) {{
    if (t_check_trans()) t_relay();
    exit;
  }}
  if ($si == "{sbc}") {{
    route(CHALLENGE);
    record_route();
    $du = "sip:{behind}:5060";
    t_relay();
    exit;
  }}
  if (!lookup("location")) {{
    sl_send_reply("480", "Not Registered");
    exit;
  }}
  record_route();
  t_relay();
}}

route[CHALLENGE] {{
  if ($au != "{user}" || !pv_proxy_authenticate("{realm}", "{password}", "0")) {{
    xlog("L_ERR", "challenged: $rm\\n");
    proxy_challenge("{realm}", "1");
    exit;
  }}
  xlog("L_ERR", "accepted: $rm\\n");
  consume_credentials();
}}
"""

# What it sends goes down the connection that the registration came on: calls by fix_nated_register, what follows in
# their dialogs by the alias of RFC 5923.
_TLS_LISTENER = """
enable_tls=yes
tcp_accept_aliases=yes
listen=tls:{}:5061
"""
_TLS_MODULE = """
loadmodule "tls.so"
modparam("tls", "tls_method", "TLSv1.2+")
modparam("tls", "certificate", "{certificate}")
modparam("tls", "private_key", "{key}")
modparam("tls", "ca_list", "{authority}")
modparam("tls", "verify_certificate", {verifies})
modparam("tls", "require_certificate", {verifies})
"""


class Tls(NamedTuple):
    """Its files, and whether it wants to see a certificate of ours."""

    certificate: Path
    key: Path
    authority: Path
    verifies: bool = False


class Asked(NamedTuple):
    """One REGISTER that came. `user`: of its credentials, "" without any."""

    call_id: str
    cseq: int
    expires: int
    user: str


class CarrierRegistrar:
    """`grants`: the most seconds that it gives; `at_least`: less gets a 423. `behind`: the carrier's telephones.
    `tls`: it listens at port 5061 as well.
    """

    def __init__(
        self, folder: Path, name: str, *, address: str, sbc: str, behind: str = "127.0.0.1", grants: int = 600,
        at_least: int = 0, password: str = PASSWORD, algorithm: Literal["MD5", "SHA-256"] = "MD5",
        mood: Mood = "accepts", tls: Tls | None = None,
    ) -> None:  # fmt: skip
        self.name = name
        self._folder = folder / name
        self._folder.mkdir()
        self._short = Path(tempfile.mkdtemp(prefix="kam-"))  # the name of a Unix socket is short
        self._starts = 0
        self._config = self._folder / "kamailio.cfg"
        module = "" if tls is None else _TLS_MODULE.format(**tls._asdict() | {"verifies": int(tls.verifies)})
        self._config.write_text(
            _CONFIG.format(
                tls_listener="" if tls is None else _TLS_LISTENER.format(address), tls_module=module,
                address=address, sbc=sbc, behind=behind, grants=grants, at_least=at_least, user=USER,
                realm=REALM, password=password, algorithm=algorithm, mood=mood, control=self._short / "ctl",
            )
        )  # fmt: skip
        self.start()

    # --- its life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Also after a crash: it has forgotten everything."""
        self._starts += 1
        self.child = kamailio.start(self._folder, f"{self.name}-{self._starts}", self._config)
        until(lambda: "mood" in self._tell("pv.shvGet"), f"{self.name} to listen", 10, lambda: self.log)

    def crash(self) -> None:
        os.killpg(self.child.pid, signal.SIGKILL)
        self.child.process.wait(5)

    def stop(self) -> None:
        self.child.stop()
        shutil.rmtree(self._short, ignore_errors=True)

    def becomes(self, mood: Mood) -> None:
        self._tell("pv.shvSet", "mood", "str", mood)

    # --- what it saw --------------------------------------------------------------------------------------------------

    def contacts(self) -> list[str]:
        """What it holds and still is good."""
        found = re.findall(r"Address: (\S+)\s+Expires: (\S+)", self._tell("ul.dump"))
        return [address for address, expires in found if expires.isdigit()]

    def is_bound(self) -> bool:
        return self.contacts() != []

    def is_bound_within(self, seconds: float) -> None:
        until(self.is_bound, f"a binding at {self.name}", seconds, lambda: self.log)

    def asked(self) -> list[Asked]:
        found = re.findall(r"asked: (\S+) (\d+) (\d+) <(.*)>$", self.log, re.MULTILINE)
        return [
            Asked(call_id, int(cseq), int(expires), user.strip("<>").replace("null", ""))
            for call_id, cseq, expires, user in found
        ]

    def said(self, what: Literal["challenged", "accepted"]) -> list[str]:
        """Methods of requests from the SBC, REGISTER excepted."""
        return re.findall(rf"{what}: (\S+)", self.log)

    @property
    def log(self) -> str:
        """Of all its lives."""
        return "".join(
            (self._folder / f"{self.name}-{n}.log").read_text(errors="replace") for n in range(1, self._starts + 1)
        )

    def _tell(self, *command: str) -> str:
        argv = [program("kamcmd"), "-s", f"unix:{self._short / 'ctl'}", *command]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
        return done.stdout + done.stderr
