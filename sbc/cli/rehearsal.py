"""`python -m sbc.cli.rehearsal VERSION …`: would this program start, and could it take over? The supervisor asks before
it makes way for the program that is installed. Nobody types it.

Everything that signalling imports is imported and the policy is read with its secrets, but nothing is opened: the
sockets and data_dir are still at work. Exit status and stderr are those of every command.
"""

import os
import sys
import time
from pathlib import Path

from sbc.cli import DONE, end_with, guarded
from sbc.core.errors import OperatorError


def main() -> None:
    """`VERSION [--debug] --log-format console|json POLICY…`. VERSION: of the table that we would have to read."""
    _, version, *words = sys.argv
    debug = words[:1] == ["--debug"]
    _, _, *policies = words[debug:]
    end_with(lambda: guarded(lambda: _rehearse(version, policies), debug=debug))


def _rehearse(version: str, policies: list[str]) -> int:
    import sbc
    from sbc.runtime.supervisor.inheritance import READABLE

    if version not in {str(one) for one in READABLE}:
        raise OperatorError(
            f"version {sbc.__version__} cannot take over from the program that runs; restart it instead: "
            "systemctl restart sbc.service"
        )
    import sbc.app
    import sbc.runtime.http
    import sbc.runtime.supervisor.main
    from sbc.policy.load import load_policy
    from sbc.runtime.cdr_postgres import need_psycopg
    from sbc.runtime.dtls_identity import need_dtls
    from sbc.runtime.tls_rules import TlsRules

    paths = [Path(policy) for policy in policies]
    policy = load_policy(paths, environment=os.environ, wants_secrets=True, now=time.time())
    need_psycopg(policy.cdr.postgres)
    need_dtls(policy)
    TlsRules(policy).prepare(policy)
    return DONE


if __name__ == "__main__":
    main()
