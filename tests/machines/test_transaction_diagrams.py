"""The page of state diagrams says what the tables say."""

from pathlib import Path

import pytest

from sbc.sip.transaction import client, invite_client, invite_server, server
from sbc.sip.transaction.diagram import diagram, page

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "state-diagrams.md"


def test_the_page_is_not_stale():
    assert PAGE.read_text() == page(), "write what sbc.sip.transaction.diagram.page() returns to the file"


@pytest.mark.parametrize("module", [invite_client, invite_server, client, server])
def test_every_state_is_drawn_and_terminated_is_the_end(module):
    text = diagram(module.TABLE, next(iter(module.State)))
    for state in module.State:
        assert str(state) in text
    assert "    terminated --> [*]" in text.splitlines()
    assert not [line for line in text.splitlines() if line.strip().startswith("terminated -->") and "[*]" not in line]
