"""The subjects of the wire's contract suites, as fixtures."""

from collections.abc import Iterator

import pytest

from .worker_subjects import Fake, InMemory, MemoryService, Process, Subject


@pytest.fixture(params=["fake", "service", pytest.param("process", marks=pytest.mark.loopback)])
def worker(request: pytest.FixtureRequest) -> Iterator[Subject]:
    if request.param == "fake":
        yield Fake()
    elif request.param == "service":
        yield MemoryService()
    else:
        process = Process()
        yield process
        process.close()


@pytest.fixture(params=[Fake, MemoryService], ids=["fake", "service"])
def in_memory(request: pytest.FixtureRequest) -> InMemory:
    subject: InMemory = request.param()
    return subject
