"""Kamailio as a carrier's proxy: it stays in the path of a dialog (Record-Route) and logs what follows that path."""

from pathlib import Path

from .children import Child, program

_CONFIG = """
debug=1
log_stderror=yes
children=1
tcp_connection_lifetime=30
disable_tcp=yes
auto_aliases=no
listen=udp:{address}:5060
loadmodule "sl.so"
loadmodule "tm.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "siputils.so"
loadmodule "textops.so"
loadmodule "xlog.so"
modparam("tm", "fr_timer", 8000)

request_route {{
  if (has_totag()) {{
    if (loose_route()) {{
      xlog("L_ERR", "follows: $rm from $si\\n");
      t_relay();
      exit;
    }}
    if (is_method("ACK") && t_check_trans()) {{
      t_relay();
      exit;
    }}
    xlog("L_ERR", "strays: $rm from $si\\n");
    sl_send_reply("404", "Not here");
    exit;
  }}
  if (is_method("CANCEL")) {{
    if (t_check_trans()) t_relay();
    exit;
  }}
  record_route();
  if ($si == "{sbc}") {{
    $du = "sip:{behind}:5060";
  }} else {{
    $du = "sip:{sbc}:5060";
  }}
  t_relay();
}}
"""


def start(folder: Path, name: str, config: Path) -> Child:
    argv = [
        program("kamailio"), "-f", config, "-DD", "-E", "-m", "32", "-M", "4", "-Y", folder,
        "-w", folder, "-P", folder / f"{name}.pid",
    ]  # fmt: skip
    child = Child(name, argv, folder)
    child.until("Listening on")
    return child


class Kamailio:
    """Between the SBC and whoever is `behind`: what comes from one goes to the other."""

    def __init__(self, folder: Path, *, address: str, sbc: str, behind: str) -> None:
        self.folder = folder / "kamailio"
        self.folder.mkdir()
        config = self.folder / "kamailio.cfg"
        config.write_text(_CONFIG.format(address=address, sbc=sbc, behind=behind))
        self.child = start(self.folder, "kamailio", config)

    def followed(self, source: str) -> list[str]:
        """Methods of the requests from `source` that followed the route set."""
        return [
            line.split()[-3]
            for line in self.child.log.splitlines()
            if line.endswith(f"from {source}") and "follows" in line
        ]

    @property
    def strays(self) -> list[str]:
        return [line for line in self.child.log.splitlines() if "strays" in line]

    def stop(self) -> None:
        self.child.stop()
