"""What interop tests share: addresses of their own, and children that end with the test."""

import contextlib
import functools
import random
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .border import Border
from .children import needs_root, program
from .lab import Lab
from .namespaces import Namespaces
from .node import Node

_RESERVED_PORT = 50600


@contextlib.contextmanager
def _network() -> Iterator[str]:
    with socket.socket() as reservation:
        while True:
            net = f"127.{random.randrange(64, 255)}.{random.randrange(255)}"
            with contextlib.suppress(OSError):
                reservation.bind((f"{net}.1", _RESERVED_PORT))
                break
        yield net


@pytest.fixture
def net() -> Iterator[str]:
    """The first three parts of a loopback network that no other test uses, also none of a run beside this one."""
    with _network() as net:
        yield net


@pytest.fixture(scope="session")
def border(tmp_path_factory) -> Iterator[Border]:
    """One SBC for all stories of a call in which much happens. When the last is told, nothing may be alive there."""
    program("sipp")
    with _network() as net, contextlib.closing(Border(tmp_path_factory.mktemp("border"), net)) as border:
        yield border
        border.is_left_empty()


@pytest.fixture
def told(request, border: Border, tmp_path) -> Callable[..., list[dict[str, Any]]]:
    """`told(pbx=Script, carrier_a=Script, ...)`: plays it, and returns the records of its calls."""
    request.node.nodes = [border.node]
    return functools.partial(border.tell, tmp_path)


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture
def started(stack: contextlib.ExitStack) -> Callable[[Any], Any]:
    """`started(Sipp(...))`: it is stopped when the test ends."""

    def remember(child: Any) -> Any:
        stack.callback(child.stop)
        return child

    return remember


@pytest.fixture
def node(request, net: str, tmp_path, started) -> Callable[..., Node]:
    """A function that starts the SBC between a PBX at .30 and a carrier at .40."""

    request.node.nodes = []

    def start(**options: Any) -> Node:
        addresses = {"inside": f"{net}.10", "outside": f"{net}.20", "pbx": f"{net}.30", "carrier": f"{net}.40"}
        node = started(Node(tmp_path, **(addresses | options)))
        request.node.nodes.append(node)
        return node

    return start


@pytest.fixture
def namespaces() -> Iterator[Namespaces]:
    """A PBX's network, the SBC, a carrier's network: three namespaces with cables between them."""
    needs_root()
    with Namespaces(program("ip")) as made:
        yield made


@pytest.fixture
def lab(namespaces: Namespaces, node: Callable[..., Node], tmp_path) -> Lab:
    return Lab(namespaces, node, tmp_path)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test tells what the SBC said and what became of the first call that did not end well."""
    outcome = yield
    report = outcome.get_result()
    if call.when == "call" and report.failed:
        for node in getattr(item, "nodes", ()):
            report.sections.append(("the SBC", _story(node)))


def _story(node):
    """What it has to say may be gone with it, and must not end the run."""
    try:
        return node.story()
    except Exception as error:  # noqa: BLE001
        return f"no story: {error!r}"
