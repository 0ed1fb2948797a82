from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from datetime import timedelta

import pytest

from etl_core.lifecycle import StopSignals, leaving_within, unfinished
from etl_core.testing.fake_clock import FakeClock
from pipeline_processing.cli.exits import heed_sigterm

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_signal_asks_and_the_second_leaves(number: int) -> None:
    left: list[int] = []
    async with StopSignals(left.append) as signals:
        assert not signals.requested.is_set()
        os.kill(os.getpid(), number)
        await asyncio.wait_for(signals.requested.wait(), 5)
        assert [] == left
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert [130, 130] == left


def test_sigterm_interrupts_who_does_not_listen_yet() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        heed_sigterm()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_who_listens_already_is_left_alone() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        heed_sigterm()
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert [signal.SIGTERM] == heard


async def test_the_signals_are_given_back() -> None:
    async with StopSignals():
        pass
    assert signal.SIG_DFL == signal.getsignal(signal.SIGTERM)
    assert signal.default_int_handler == signal.getsignal(signal.SIGINT)


HUNG = """
import asyncio, os, signal, sys, time
try:
    import {loop} as loop
    factory = loop.new_event_loop
except ImportError:
    factory = None
from etl_core.lifecycle import StopSignals
async def main():
    async with StopSignals() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        await signals.requested.wait()
        print("asked", file=sys.stderr, flush=True)
        while True:
            time.sleep(0.01)  # the loop hangs: nothing but the interpreter can hear the second signal
with asyncio.Runner(loop_factory=factory) as runner:
    runner.run(main())
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_the_second_signal_works_while_the_loop_hangs(loop: str) -> None:
    with subprocess.Popen([sys.executable, "-c", HUNG.format(loop=loop)], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "asked\n" == process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        assert 130 == process.wait(20)


async def test_waiting_ends_with_the_last_task() -> None:
    clock = FakeClock(auto_advance=True)
    tasks = [asyncio.create_task(clock.sleep(SECOND * n)) for n in (1, 2)]
    assert set() == await unfinished(tasks, within=SECOND * 10, clock=clock)
    assert 2 == clock.monotonic()


async def test_waiting_ends_with_the_time_and_cancels_nothing() -> None:
    clock = FakeClock(auto_advance=True)
    quick, slow = (asyncio.create_task(clock.sleep(SECOND * n)) for n in (1, 100))
    assert {slow} == await unfinished([quick, slow], within=SECOND * 10, clock=clock)
    assert 10 == clock.monotonic()
    assert not slow.cancelled()
    slow.cancel()


async def test_waiting_for_a_task_that_fails_does_not_raise() -> None:
    async def fail() -> None:
        raise ValueError

    task = asyncio.create_task(fail())
    assert set() == await unfinished([task], within=SECOND, clock=FakeClock(auto_advance=True))
    assert isinstance(task.exception(), ValueError)


def test_a_process_that_does_not_end_is_ended() -> None:
    left: list[int] = []
    gone = threading.Event()

    def leave(code: int) -> None:
        left.append(code)
        gone.set()

    with leaving_within(0.01, 3, leave=leave):
        assert gone.wait(10)
    assert [3] == left


def test_a_process_that_ends_by_itself_is_left_alone() -> None:
    with leaving_within(3600, 3, leave=lambda _: pytest.fail("it ended by itself")):
        timer = threading.enumerate()[-1]
    timer.join(10)
    assert not timer.is_alive()
