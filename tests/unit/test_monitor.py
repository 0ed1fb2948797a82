from __future__ import annotations

import asyncio
import json
import re
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_core.errors import AccessDenied, ConfigError, EtlError, Unreachable
from etl_core.queue import Delivery, Depth, Message
from etl_core.queue.memory import MemoryQueue
from etl_core.testing.fake_clock import FakeClock
from pipeline_operator import bootstrap, monitor
from pipeline_operator.measures import registry_of
from pipeline_operator.monitor import LETTERS, Monitor, Sight, Watch, look
from pipeline_processing.dead_letters import Reading
from pipeline_processing.service_handler import ServiceHandler
from pipeline_processing.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
LEASE = timedelta(minutes=2)


class FragileQueue(MemoryQueue):
    """Fails, hangs, dawdles or miscounts when a test says so; counts the receives, and deals like SQS: in any order."""

    fault: EtlError | None = None
    receive_fault: EtlError | None = None
    hangs = False
    receives_hang = False
    takes = timedelta(0)
    """How long a receive's answer is under way."""
    miscounts_by = 0
    receives = 0
    shuffled: Random | None = None
    asked: asyncio.Event
    """Set once a receive has taken its letters, or hangs."""

    async def receive(self, *, limit: int, wait: timedelta, lease: timedelta) -> Sequence[Delivery]:
        self.receives += 1
        if self.receive_fault:
            raise self.receive_fault
        if self.receives_hang:
            self.asked.set()
            await asyncio.Event().wait()
        if self.shuffled:
            await self.depth()  # what is due to be visible again takes part
            self.shuffled.shuffle(self._visible)
        deliveries = await super().receive(limit=limit, wait=wait, lease=lease)
        self.asked.set()
        await self._clock.sleep(self.takes)
        return deliveries

    async def depth(self) -> Depth:
        if self.hangs:
            await asyncio.Event().wait()
        if self.fault:
            raise self.fault
        depth = await super().depth()
        return Depth(depth.visible + self.miscounts_by, depth.in_flight, depth.delayed)


class World:
    """A lane in memory, its watch, and what a scrape would say of it."""

    def __init__(self, *, dlq_redrives: bool = False) -> None:
        self.clock = FakeClock(auto_advance=True)
        beyond = MemoryQueue("beyond", self.clock) if dlq_redrives else None
        self.dlq = FragileQueue(
            "live-dlq", self.clock, dead_letter_queue=beyond, max_receive_count=1 if beyond else None
        )
        self.queue = FragileQueue("live", self.clock, max_receive_count=1, dead_letter_queue=self.dlq)
        self.dlq.asked, self.queue.asked = asyncio.Event(), asyncio.Event()
        queues = {"live": self.queue, "live-dlq": self.dlq}
        self.services = ServiceHandler(
            Settings(live_queue="live", backfill_queue=None), clock=self.clock, queues=queues.__getitem__
        )
        self.watch = Watch("live", self.services)
        self.registry = registry_of([self.watch], self.clock)

    async def bury(self, count: int) -> None:
        await self.dlq.send([Message(f"letter {number}") for number in range(count)])

    async def move(self, body: str = "moved") -> None:
        """Let the lane's queue move its message itself: the letter keeps the send time."""
        for _ in range(2):
            await self.queue.receive(limit=10, wait=timedelta(0), lease=timedelta(0))

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, {"lane": "live", **labels})

    def ages(self) -> tuple[float | None, float | None]:
        """Return the oldest letter's age and the time left, both in hours."""
        names = ("pipeline_dead_letter_oldest_age_seconds", "pipeline_dead_letter_seconds_to_drop")
        found = [self.value(name) for name in names]
        return tuple(None if value is None else round(value / 3600, 2) for value in found)  # type: ignore[return-value] # two names, two values


@pytest.fixture
def world() -> World:
    return World()


async def test_a_lane_is_counted_by_state(world: World) -> None:
    await world.queue.send([Message("a"), Message("b"), Message("c"), Message("later", delay=MINUTE)])
    await world.queue.receive(limit=1, wait=timedelta(0), lease=HOUR)
    await world.bury(2)

    await world.watch.refresh()

    states = ("visible", "in_flight", "delayed")
    assert [2, 1, 1] == [world.value("pipeline_queue_messages", state=state) for state in states]
    assert 2 == world.value("pipeline_dead_letters")
    assert 0 == world.value("pipeline_dead_letters_unread")


async def test_a_lane_without_dead_letters_has_no_age(world: World) -> None:
    await world.watch.refresh()

    assert 0 == world.value("pipeline_dead_letters")
    assert (None, None) == world.ages()
    assert 0 == world.dlq.receives


async def test_the_time_left_counts_from_the_first_send_of_a_letter_that_the_queue_moved(world: World) -> None:
    await world.queue.send([Message("poison")])
    await world.clock.advance(3 * DAY)
    await world.bury(15)
    await world.move()
    await world.clock.advance(HOUR)

    await world.watch.refresh()

    assert 16 == world.value("pipeline_dead_letters")
    assert (73.0, 14 * 24 - 73.0) == world.ages()


async def test_ages_grow_between_two_looks(world: World) -> None:
    await world.bury(1)
    await world.watch.refresh()
    await world.clock.advance(2 * HOUR)

    assert (2.0, 14 * 24 - 2.0) == world.ages()


async def test_a_letter_past_its_retention_has_no_time_left(world: World) -> None:
    await world.bury(1)
    await world.watch.refresh()
    await world.clock.advance(15 * DAY)

    assert (15 * 24.0, 0.0) == world.ages()


async def test_a_look_reads_no_more_letters_than_it_may_and_misses_none_of_those_it_leaves(world: World) -> None:
    await world.bury(LETTERS + 50)

    await world.watch.refresh()

    assert LETTERS / 10 == world.dlq.receives
    assert (LETTERS + 50, 0) == (world.value("pipeline_dead_letters"), world.value("pipeline_dead_letters_unread"))


async def test_looks_that_read_a_part_each_soon_know_the_oldest_letter(world: World) -> None:
    world.dlq.shuffled = Random(5)
    await world.bury(1)
    await world.clock.advance(DAY)
    await world.bury(3 * LETTERS)

    for _ in range(10):
        await world.watch.refresh()
        await world.clock.advance(MINUTE)

    assert (24.17, 14 * 24 - 24.17) == world.ages()


@pytest.mark.parametrize("takes", [5, 50, 100])
async def test_looks_at_five_hundred_letters_are_complete_however_long_receives_take(world: World, takes: int) -> None:
    world.dlq.shuffled, world.dlq.takes = Random(5), timedelta(milliseconds=takes)
    await world.bury(500)

    for _ in range(20):
        assert Sight(500, world.dlq._visible[0].sent_at) == await look(world.dlq, 500, world.clock)
        await world.clock.advance(SECOND)
        assert Depth(visible=500, in_flight=0, delayed=0) == await world.dlq.depth()


async def test_a_look_whose_receives_take_longer_than_their_leases_ends_after_the_first_of_them(
    world: World,
) -> None:
    world.dlq.shuffled, world.dlq.takes = Random(5), 3 * SECOND
    await world.bury(500)

    began = world.clock.monotonic()
    sight = await look(world.dlq, 500, world.clock)

    assert (100, True) == (sight.count, sight.is_cut)
    assert began + 3 == world.clock.monotonic()
    assert Depth(visible=500, in_flight=0, delayed=0) == await world.dlq.depth()


async def test_a_look_at_a_queue_that_counts_too_many_ends(world: World) -> None:
    await world.bury(3)
    world.dlq.miscounts_by = 4

    await world.watch.refresh()

    assert 4 == world.value("pipeline_dead_letters_unread")
    assert (0.0, 14 * 24.0) == world.ages()


async def test_letters_are_visible_again_a_second_after_they_were_read(world: World) -> None:
    await world.bury(25)
    await world.watch.refresh()
    assert 25 == (await world.dlq.depth()).in_flight

    await world.clock.advance(SECOND)

    assert Depth(visible=25, in_flight=0, delayed=0) == await world.dlq.depth()


async def test_a_look_that_is_broken_off_hides_letters_for_a_second(world: World) -> None:
    await world.bury(25)
    world.dlq.takes = HOUR
    looking = asyncio.create_task(look(world.dlq, 25, FakeClock()))
    await world.dlq.asked.wait()
    looking.cancel()
    await asyncio.wait([looking])
    assert 0 < (await world.dlq.depth()).in_flight

    await world.clock.advance(SECOND)

    assert Depth(visible=25, in_flight=0, delayed=0) == await world.dlq.depth()


@pytest.mark.parametrize("takes", [0, 50, 300])
async def test_a_reader_beside_looks_finds_every_letter(world: World, takes: int) -> None:
    world.dlq.shuffled, world.dlq.takes = Random(5), timedelta(milliseconds=takes)
    await world.bury(300)
    looking = asyncio.create_task(look(world.dlq, 300, world.clock))
    await world.dlq.asked.wait()

    async with Reading(world.dlq, world.clock) as reading:
        async for _ in reading.batches():
            if looking.done():
                looking = asyncio.create_task(look(world.dlq, 300, world.clock))

    await looking
    assert 300 == reading.count


async def test_the_oldest_letter_is_remembered_while_somebody_holds_it(world: World) -> None:
    await world.bury(1)
    await world.clock.advance(DAY)
    await world.watch.refresh()
    await world.clock.advance(SECOND)
    await world.dlq.receive(limit=1, wait=timedelta(0), lease=10 * HOUR)
    await world.bury(1)

    await world.watch.refresh()
    assert 1 == world.value("pipeline_dead_letters_unread")
    assert (24.0, 13 * 24.0) == world.ages()

    await world.clock.advance(2 * HOUR)
    await world.watch.refresh()
    assert (2.0, 14 * 24 - 2.0) == world.ages()


async def test_the_oldest_letter_is_remembered_for_as_long_as_no_letter_can_be_read(world: World) -> None:
    await world.bury(3)
    await world.watch.refresh()
    await world.clock.advance(SECOND)
    await world.dlq.receive(limit=10, wait=timedelta(0), lease=10 * HOUR)

    await world.clock.advance(3 * HOUR)
    await world.watch.refresh()

    assert 3 == world.value("pipeline_dead_letters_unread")
    assert (3.0, 14 * 24 - 3.0) == world.ages()


async def test_a_letter_that_is_gone_is_forgotten_once_all_were_read(world: World) -> None:
    await world.bury(1)
    await world.clock.advance(DAY)
    await world.watch.refresh()
    await world.clock.advance(SECOND)
    gone = await world.dlq.receive(limit=1, wait=timedelta(0), lease=HOUR)
    await world.dlq.delete([letter.receipt for letter in gone])
    await world.bury(1)

    await world.watch.refresh()
    assert (0.0, 14 * 24.0) == world.ages()


@given(
    steps=st.lists(
        st.sampled_from(["bury", "bury", "hold", "give back", "redrive", "wait a minute", "wait two hours", "look"]),
        max_size=40,
    )
)
@settings(max_examples=60, deadline=None)
def test_whatever_happened_no_letter_that_can_be_read_is_older_than_what_is_told(steps: list[str]) -> None:
    async def live() -> None:
        world, held = World(), []
        for step in [*steps, "look"]:
            match step:
                case "bury":
                    await world.bury(1)
                case "hold":
                    held += await world.dlq.receive(limit=1, wait=timedelta(0), lease=10 * HOUR)
                case "give back":
                    await world.dlq.extend([letter.receipt for letter in held], timedelta(0))
                    held.clear()
                case "redrive":
                    gone = await world.dlq.receive(limit=2, wait=timedelta(0), lease=MINUTE)
                    await world.dlq.delete([letter.receipt for letter in gone])
                case "wait a minute":
                    await world.clock.advance(MINUTE)
                case "wait two hours":
                    await world.clock.advance(2 * HOUR)
                case "look":
                    await world.clock.advance(SECOND)
                    await told_the_truth(world)

    asyncio.run(live())


async def told_the_truth(world: World) -> None:
    await world.dlq.depth()  # what is due to be visible again is, from here on
    visible = [letter.sent_at for letter in world.dlq._visible if letter.message_id in world.dlq._stored]
    every = [letter.sent_at for letter in world.dlq._stored.values()]
    await world.watch.refresh()
    numbers = world.watch.numbers
    assert numbers
    assert (len(every), len(every) - len(visible)) == (numbers.dead_letters, numbers.unread)
    assert not visible or (numbers.oldest is not None and numbers.oldest <= min(visible))
    if not numbers.unread:
        assert min(every, default=None) == numbers.oldest


async def test_a_dead_letter_queue_that_buries_by_itself_is_counted_but_not_read() -> None:
    world = World(dlq_redrives=True)
    await world.bury(3)

    await world.watch.refresh()
    await world.watch.refresh()

    assert 3 == world.value("pipeline_dead_letters_unread")
    assert 0 == world.dlq.receives


@pytest.mark.parametrize("fault", [Unreachable("no connection"), AccessDenied("denied")])
async def test_a_look_that_fails_costs_the_counts_nothing_and_is_told(world: World, fault: EtlError) -> None:
    await world.queue.send([Message("waiting")])
    await world.bury(3)
    world.dlq.receive_fault = fault

    await world.watch.refresh()

    assert 1 == world.value("pipeline_queue_messages", state="visible")
    assert (3, 3) == (world.value("pipeline_dead_letters"), world.value("pipeline_dead_letters_unread"))
    assert world.clock.now().timestamp() == world.value("pipeline_monitor_refreshed_timestamp_seconds")
    assert (0, 1, str(fault)) == (world.watch.done, world.watch.failed, world.watch.error)


async def test_counts_stand_while_a_look_still_waits_for_its_first_letter(world: World) -> None:
    await world.bury(2)
    await world.watch.refresh()
    await world.bury(600)
    world.dlq.receives_hang = True
    world.dlq.asked.clear()
    looking = asyncio.create_task(world.watch.refresh())
    await world.dlq.asked.wait()

    assert (602, 0) == (world.value("pipeline_dead_letters"), world.value("pipeline_dead_letters_unread"))
    assert (0.0, 14 * 24.0) == world.ages()

    looking.cancel()
    await asyncio.wait([looking])


@pytest.mark.parametrize("fault", [Unreachable("no connection"), AccessDenied("denied"), ConfigError("no such queue")])
async def test_the_last_numbers_outlive_an_outage_and_say_how_old_they_are(world: World, fault: EtlError) -> None:
    await world.bury(2)
    await world.watch.refresh()
    read_at = world.clock.now().timestamp()
    world.queue.fault = fault
    await world.clock.advance(HOUR)

    await world.watch.refresh()

    assert 2 == world.value("pipeline_dead_letters")
    assert (1.0, 14 * 24 - 1.0) == world.ages()
    assert read_at == world.value("pipeline_monitor_refreshed_timestamp_seconds")
    assert 1 == world.value("pipeline_monitor_refreshes_total", result="failed")
    assert str(fault) == world.watch.error

    world.queue.fault = None
    await world.watch.refresh()
    assert read_at + 3600 == world.value("pipeline_monitor_refreshed_timestamp_seconds")
    assert 2 == world.value("pipeline_monitor_refreshes_total", result="done")
    assert world.watch.error is None


async def test_a_lane_that_was_never_read_shows_no_numbers_and_no_time(world: World) -> None:
    world.queue.fault = Unreachable("no connection")

    await world.watch.refresh()

    assert 0 == world.value("pipeline_monitor_refreshed_timestamp_seconds")
    assert 1 == world.value("pipeline_monitor_refreshes_total", result="failed")
    assert world.value("pipeline_dead_letters") is None


async def test_a_look_that_gets_no_answer_fails(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "PATIENCE", timedelta(milliseconds=1))
    world.queue.hangs = True

    await world.watch.refresh()

    assert "no answer within 0.001 s" == world.watch.error
    assert world.watch.numbers is None


async def test_a_look_whose_receive_gets_no_answer_leaves_the_letters_unread(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.bury(2)
    monkeypatch.setattr(monitor, "PATIENCE", timedelta(milliseconds=20))
    world.dlq.receives_hang = True

    await world.watch.refresh()

    assert "no answer within 0.02 s" == world.watch.error
    assert (2, 2) == (world.value("pipeline_dead_letters"), world.value("pipeline_dead_letters_unread"))


async def test_a_lane_that_was_never_right_is_a_configuration_fault(world: World) -> None:
    world.queue.fault = ConfigError("no such queue")
    with pytest.raises(ConfigError, match="no such queue"):
        await world.watch.refresh()


async def test_a_monitor_looks_once_an_interval_until_it_is_told_to_stop(world: World) -> None:
    clock = FakeClock()
    watching = Monitor([world.watch], clock, MINUTE)
    assert not watching.is_ready
    stop = asyncio.Event()
    running = asyncio.create_task(watching.run(stop))

    await clock.advance(5 * MINUTE)
    assert (6, True, True) == (world.watch.done, watching.is_ready, watching.is_alive)

    stop.set()
    await running
    await clock.advance(5 * MINUTE)
    assert 6 == world.watch.done


async def test_a_monitor_that_is_stopped_during_a_look_ends_at_once(world: World) -> None:
    world.queue.hangs = True
    stop = asyncio.Event()
    running = asyncio.create_task(Monitor([world.watch], world.clock, MINUTE).run(stop))
    await asyncio.sleep(0)
    stop.set()

    await running

    assert 0 == world.watch.done


async def test_a_monitor_whose_looks_do_not_follow_each_other_is_not_alive(world: World) -> None:
    clock = FakeClock()
    watching = Monitor([world.watch], clock, MINUTE)
    await clock.advance(MINUTE)
    assert watching.is_alive

    await clock.advance(MINUTE)
    assert not watching.is_alive


async def test_a_monitor_ends_with_what_no_look_can_mend(world: World) -> None:
    world.queue.fault = ConfigError("no such queue")
    with pytest.RaisesGroup(ConfigError):
        await Monitor([world.watch], world.clock, MINUTE).run(asyncio.Event())


async def test_one_look_is_printed(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    await world.bury(2)
    await world.clock.advance(DAY)

    assert 0 == await bootstrap.run(["monitor", "--once"], world.services)

    heading, row = capsys.readouterr().out.splitlines()
    columns = ["lane", "visible", "in flight", "delayed", "dead letters", "unread", "oldest", "hours left"]
    assert columns == re.split(" {2,}", heading)
    assert ["live", "0", "0", "0", "2", "0", "24.0", "h", "312.0"] == row.split()


async def test_one_look_is_one_document(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    await world.bury(2)
    await world.clock.advance(DAY)

    assert 0 == await bootstrap.run(["monitor", "--once", "--json"], world.services)

    (lane,) = json.loads(capsys.readouterr().out)["lanes"]
    assert ("live", None, 2, 0) == (lane["lane"], lane["error"], lane["dead_letters"], lane["unread"])
    assert (86_400, 13 * 86_400) == (lane["oldest_age_seconds"], lane["seconds_to_drop"])


async def test_one_look_at_a_lane_that_can_not_be_read_fails(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.queue.fault = Unreachable("no connection")

    assert 1 == await bootstrap.run(["monitor", "--once"], world.services)

    assert "error: live: no connection\n" == capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "fault"),
    [
        (("--json",), "a monitor that stays prints nothing"),
        (("--lane", "backfill", "--once"), "no queue for the backfill lane"),
    ],
)
async def test_wrong_use_is_told(world: World, argv: tuple[str, ...], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        await bootstrap.run(["monitor", *argv], world.services)


async def test_every_lane_that_has_a_queue_is_watched(capsys: pytest.CaptureFixture[str]) -> None:
    clock = FakeClock(auto_advance=True)
    dlq = MemoryQueue("dlq", clock)
    settings = Settings(live_queue="live", backfill_queue=None, queues="isolation=apart, nightly=night")  # type: ignore[arg-type] # as the environment spells it
    services = ServiceHandler(
        settings,
        clock=clock,
        queues=lambda name: dlq if name == "dlq" else MemoryQueue(name, clock, dead_letter_queue=dlq),
    )

    assert 0 == await bootstrap.run(["monitor", "--once", "--json"], services)

    lanes = json.loads(capsys.readouterr().out)["lanes"]
    assert ["live", "isolation", "nightly"] == [lane["lane"] for lane in lanes]


async def test_a_deployment_without_a_queue_has_nothing_to_watch(world: World) -> None:
    services = ServiceHandler(Settings(live_queue=None, backfill_queue=None), clock=world.clock)
    with pytest.raises(ConfigError, match="no lane has a queue"):
        await bootstrap.run(["monitor", "--once"], services)


@pytest.mark.parametrize("interval", ["0s", "soon", "500ms"])
async def test_an_interval_is_a_second_or_more(world: World, interval: str) -> None:
    with pytest.raises(SystemExit) as ended:
        await bootstrap.run(["monitor", "--interval", interval], world.services)
    assert 2 == ended.value.code
