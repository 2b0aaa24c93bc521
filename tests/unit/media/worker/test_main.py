"""What the worker's process reads of its surroundings."""

import pytest

from sbc.media.worker.main import may_use_bpf


@pytest.mark.parametrize(
    ("effective", "may"),
    [
        ("000001ffffffffff", True),  # root
        ("00000000a80425fb", False),  # root in a container, as Docker has it
        ("0000000000000000", False),
        ("0000008000001000", True),  # CAP_BPF and CAP_NET_ADMIN
        ("0000000000200000", True),  # CAP_SYS_ADMIN, all that there was before Linux 5.8
    ],
)
def test_the_kernel_engine_is_not_imported_where_it_cannot_work(effective: str, may: bool) -> None:
    status = f"Name:\tpython\nCapPrm:\t000001ffffffffff\nCapEff:\t{effective}\nCapBnd:\t000001ffffffffff\n"
    assert may_use_bpf(status.encode()) is may


def test_where_nothing_is_known_of_capabilities_there_are_none() -> None:
    assert not may_use_bpf(b"")
