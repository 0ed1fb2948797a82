import random
from collections import deque
from collections.abc import Sequence
from datetime import timedelta

from structlog.testing import capture_logs

from etl_core.queue import Delivery, Message
from etl_core.queue.memory import MemoryQueue
from etl_core.testing.fake_clock import FakeClock
from pipeline_controller.moved_letters import write_missing_dossiers
from pipeline_processing.messages import encode
from pipeline_processing.model import Item
from pipeline_processing.stages import open_control
from tiny_world import World


class SlowQueue(MemoryQueue):
    """Gives one letter at a time, in any order, and takes longer over it than letters are leased for."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__("live-dlq", clock)
        self._order, self._slow = random.Random(7), clock

    async def receive(self, *, limit: int, wait: timedelta, lease: timedelta) -> Sequence[Delivery]:
        self._surface()
        self._visible = deque(self._order.sample(self._visible, len(self._visible)))
        deliveries = await super().receive(limit=min(limit, 1), wait=wait, lease=lease)
        if deliveries and deliveries[0].receive_count == 1:
            await self._slow.advance(timedelta(minutes=3))
        return deliveries


class StuckQueue(MemoryQueue):
    """Leases nothing: its letters come back for ever."""

    async def receive(self, *, limit: int, wait: timedelta, lease: timedelta) -> Sequence[Delivery]:
        return await super().receive(limit=limit, wait=wait, lease=timedelta(0))


async def _fill(queue: MemoryQueue, count: int) -> None:
    await queue.send([Message(encode("r1", Item("copy", "10", {"n": n}), part="part")) for n in range(count)])


async def test_every_moved_letter_gets_its_dossier_though_known_ones_come_back_meanwhile() -> None:
    world = World()
    queue = SlowQueue(world.clock)
    await _fill(queue, 40)

    assert {"r1": 40} == await write_missing_dossiers(queue, open_control(world.services()))
    assert 40 == (await queue.depth()).visible


async def test_a_queue_that_gives_known_letters_for_ever_ends_the_pass_with_a_warning() -> None:
    world = World()
    queue = StuckQueue("live-dlq", world.clock)
    await _fill(queue, 3)

    with capture_logs() as logs:
        assert {"r1": 3} == await write_missing_dossiers(queue, open_control(world.services()))

    expected = {"event": "dead_letters.read_partly", "log_level": "warning", "queue": "live-dlq", "letters": 3}
    assert [expected] == logs
