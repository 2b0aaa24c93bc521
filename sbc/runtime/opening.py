"""Opens everything that can be missing or taken, before anything is started: all of it, or every problem at once.

It starts nothing. Used by `app`.
"""

import contextlib
import socket
from functools import partial
from pathlib import Path

from msgspec import Struct

from sbc.cdr.store import CdrWriter
from sbc.core.errors import OperatorError
from sbc.policy.engine import Policy
from sbc.runtime import sockets
from sbc.runtime.admin_socket import label_of, open_admin_socket, remove_socket
from sbc.runtime.cdr_postgres import need_psycopg
from sbc.runtime.data_dir import make_data_dir
from sbc.runtime.dtls_identity import need_dtls
from sbc.runtime.held_memory import open_journal
from sbc.runtime.keeper import Keeper
from sbc.runtime.sockets import OpenSocket
from sbc.runtime.state_keeper import StateKeeper
from sbc.runtime.state_store import StateStore


class Opened(Struct, frozen=True, eq=False):
    """`admin`: None where it is off. `lost`: addresses that the machine has lost since an earlier life of ours."""

    listeners: tuple[OpenSocket, ...]
    admin: socket.socket | None
    store: CdrWriter
    state: StateKeeper
    lost: frozenset[str]


def open_all(policy: Policy, admin: str, keeper: Keeper, stack: contextlib.ExitStack) -> Opened:
    """`stack` closes it. Raises one OperatorError with every problem."""
    problems: list[str] = []
    listeners: tuple[OpenSocket, ...] = ()
    lost: frozenset[str] = frozenset()
    admin_socket: socket.socket | None = None
    store: CdrWriter | None = None
    try:
        lost = _lost(policy) if keeper.is_restart else frozenset()
        listeners = sockets.open_listeners(policy.interfaces.values(), keeper.listen, but_media=lost)
        stack.callback(sockets.close_all, listeners)
    except OperatorError as error:
        problems.append(str(error))
    try:
        admin_socket = _open_admin(admin, stack, has_token=policy.admin_token is not None)
    except OperatorError as error:
        problems.append(str(error))
    try:
        data_dir = make_data_dir(Path(policy.data_dir), is_restart=keeper.is_restart)
        store = stack.enter_context(CdrWriter.open(data_dir, is_restart=keeper.is_restart))
    except OperatorError as error:
        problems.append(str(error))
    try:
        need_psycopg(policy.cdr.postgres)
    except OperatorError as error:
        problems.append(str(error))
    try:
        need_dtls(policy)
    except OperatorError as error:
        problems.append(str(error))
    if problems or store is None:
        raise OperatorError("\n".join(problems))
    state = StateStore(store.path.parent, partial(open_journal, keeper, stack))
    return Opened(listeners, admin_socket, store, state, lost)


def _lost(policy: Policy) -> frozenset[str]:
    """A next life goes on with the sockets that it had, also where the machine has lost an address meanwhile: the peers
    on other interfaces need it.
    """
    interfaces = policy.interfaces.values()
    hosts = {listener.address.host for interface in interfaces for listener in interface.listeners}
    hosts |= {host for interface in interfaces for host in interface.media}
    return frozenset(host for host in hosts if sockets.refusal_of(host) is not None)


def _open_admin(address: str, stack: contextlib.ExitStack, *, has_token: bool) -> socket.socket | None:
    if address == "off":
        return None
    listener = open_admin_socket(address, has_token=has_token)
    stack.enter_context(remove_socket(label_of(listener)))
    stack.enter_context(listener)
    return listener
