"""Every flow test also shows that what a call holds can be written down and read again, whatever it has come to."""

import pytest

from sbc.b2bua.living import LivingCalls

from . import saving


@pytest.fixture(autouse=True)
def _media_can_be_written_down(monkeypatch):
    settle = LivingCalls.settle

    def checked(self, call, now, **options):
        settle(self, call, now, **options)
        saving.check(call, now)

    monkeypatch.setattr(LivingCalls, "settle", checked)
