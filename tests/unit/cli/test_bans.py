"""`sbc bans`: what the operator says of a ban has to reach the SBC."""

import json

import pytest

from sbc.cli import run_command

BAN = {
    "address": "192.0.2.9",
    "since": "2025-01-31T09:00:00Z",
    "until": "2025-02-07T09:00:00Z",
    "by": "operator",
    "why": "",
}


def test_how_long_and_why_reach_the_api(sbc, capsys):
    sbc.knows("POST /api/v1/bans/192.0.2.9", BAN, 201)
    wanted = {"for": "7d", "why": "calls premium numbers"}
    more = [f"--{key}={value}" for key, value in wanted.items()]

    assert run_command(["bans", "add", "192.0.2.9", *more, "--admin", sbc.address]) == 0
    assert json.loads(sbc.bodies[-1]) == wanted
    assert capsys.readouterr().out == "192.0.2.9: banned until 2025-02-07T09:00:00Z\n"


@pytest.mark.parametrize("what", ["add", "lift"])
def test_a_network_is_not_banned(sbc, capsys, what):
    assert run_command(["bans", what, "192.0.2.0/24", "--admin", sbc.address]) == 2
    assert "`192.0.2.0/24` is a network; expected one IP address" in capsys.readouterr().err
    assert sbc.asked == []


def test_of_ipv6_the_network_of_the_list_may_be_named(sbc):
    sbc.knows("DELETE /api/v1/bans/2001%3Adb8%3A%3A", BAN)
    assert run_command(["bans", "lift", "2001:db8::/64", "--admin", sbc.address]) == 0
