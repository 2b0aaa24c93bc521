"""What signals mean: drain, end now, reload."""

import signal

import pytest
import trio

from sbc.runtime.signals import watch_signals


async def until(condition):
    with trio.fail_after(5):
        while not condition():  # noqa: ASYNC110 - it waits for a signal
            await trio.sleep(0.001)


@pytest.fixture
async def heard(nursery):
    heard = []

    async def reload():
        heard.append("reload")
        await trio.sleep_forever()

    said = [lambda word=word: heard.append(word) for word in ("drain", "now", "leave")]
    await nursery.start(watch_signals, *said[:2], reload, said[2])
    return heard


async def test_hangups_reload_the_first_stop_drains_and_the_second_ends_even_while_a_reload_hangs(heard):
    signal.raise_signal(signal.SIGHUP)
    await until(lambda: heard == ["reload"])
    signal.raise_signal(signal.SIGTERM)
    await until(lambda: heard == ["reload", "drain"])
    signal.raise_signal(signal.SIGHUP)  # too late to change anything
    signal.raise_signal(signal.SIGINT)
    await until(lambda: heard == ["reload", "drain", "now"])


async def test_leaving_is_told_at_any_time_also_while_draining(heard):
    signal.raise_signal(signal.SIGUSR2)
    await until(lambda: heard == ["leave"])
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGUSR2)
    await until(lambda: sorted(heard) == ["drain", "leave", "leave"])
