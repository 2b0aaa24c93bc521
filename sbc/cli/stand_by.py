"""`python -m sbc.cli.stand_by`: signalling that has imported everything and waits until it is needed. Nobody types it.

The supervisor starts it (`supervisor.stand_by`). With the version of a table it says first whether this program would
start and could take over: the policy is read with its secrets, but nothing is opened, since the sockets and data_dir
are at work. Exit status and stderr are those of every command.
"""

import array
import gc
import os
import socket
import sys
import time
from pathlib import Path

import msgspec

from sbc.cli import DONE, end_with, guarded, signalling
from sbc.cli.signalling import Words
from sbc.core.errors import OperatorError

_MESSAGE_OCTETS = 65_536
_DESCRIPTORS = 3  # the supervisor's control, stdout, stderr


def main() -> None:
    """`LINE VERSION|- …`: our end of the line to the supervisor, and the arguments of signalling."""
    number, version, *arguments = sys.argv[1:]
    line = socket.socket(fileno=int(number))
    line.set_inheritable(False)
    words = Words.parse(arguments)
    end_with(lambda: _stand_by(line, version, words))


def _stand_by(line: socket.socket, version: str, words: Words) -> int:
    status = guarded(lambda: _prepare(words, version), debug=words.debug)
    given = None if status else _wait(line)
    if given is not None:
        signalling.start(given)
    return status


def _prepare(words: Words, version: str) -> int:
    import sbc
    from sbc.runtime.supervisor.inheritance import READABLE
    from sbc.runtime.supervisor.starting import name_process

    name_process("sbc-stand-by")
    if version != "-" and version not in {str(one) for one in READABLE}:
        raise OperatorError(
            f"version {sbc.__version__} cannot take over from the program that runs; restart it instead: "
            "systemctl restart sbc.service"
        )
    import sbc.app
    import sbc.runtime.http
    import sbc.runtime.supervised_keeper
    import sbc.runtime.supervisor.main

    if version != "-":
        _rehearse(words)
    gc.collect()
    return DONE


def _rehearse(words: Words) -> None:
    from sbc.policy.load import load_policy
    from sbc.runtime.cdr_postgres import need_psycopg
    from sbc.runtime.dtls_identity import need_dtls
    from sbc.runtime.tls_rules import TlsRules

    paths = [Path(policy) for policy in words.policies]
    policy = load_policy(paths, environment=os.environ, wants_secrets=True, now=time.time())
    need_psycopg(policy.cdr.postgres)
    need_dtls(policy)
    TlsRules(policy).prepare(policy)


def _wait(line: socket.socket) -> list[str] | None:
    """The arguments of signalling, when it is our turn; None: nobody is there any more."""
    from sbc.runtime.supervisor.stand_by import READY

    try:
        line.send(READY)
        data, ancillary, _, _ = line.recvmsg(
            _MESSAGE_OCTETS, socket.CMSG_SPACE(4 * _DESCRIPTORS), socket.MSG_CMSG_CLOEXEC
        )
    except OSError:
        return None
    descriptors = array.array("i")
    for level, kind, octets in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(octets[: len(octets) // 4 * 4])
    if not data or len(descriptors) != _DESCRIPTORS:
        return None
    line.close()
    control, *streams = descriptors
    for number, stream in enumerate(streams, start=1):  # a rehearsal's own were a pipe
        os.dup2(stream, number)
        os.close(stream)
    return ["--supervisor-fd", str(control), *msgspec.msgpack.decode(data, type=list[str])]


if __name__ == "__main__":
    main()
