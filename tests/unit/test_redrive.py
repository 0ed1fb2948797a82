import asyncio
import random
from collections import deque
from collections.abc import Sequence
from datetime import timedelta

import pytest

from etl_core.batch import BatchReport, EntryFailure
from etl_core.errors import Unreachable
from etl_core.objects.memory import MemoryBuckets, MemoryStore
from etl_core.queue import Delivery, Message
from etl_core.queue.memory import MemoryQueue
from etl_core.testing.fake_clock import FakeClock
from pipeline_operator.redrive import Redrive, Selection, Tally
from pipeline_processing.dead_letters import Cause
from pipeline_processing.evidence import Dossier
from pipeline_processing.layout import RunLayout
from pipeline_processing.messages import decode, encode
from pipeline_processing.model import Failure, Item
from pipeline_processing.records import Records
from pipeline_processing.service_handler import Lane

RUN = "run-1"
EVERYTHING = Selection(everything=True)


class CutOffError(Exception):
    """The operator's process ends here."""


class FaultyQueue(MemoryQueue):
    """Refuses or dies in the calls that a test names."""

    refuses: int = 0
    dies_in: str = ""
    is_down = False
    order: random.Random | None = None
    keeps_back = 0

    async def receive(self, *, limit: int, wait: timedelta, lease: timedelta) -> Sequence[Delivery]:
        self._surface()
        if self.order:
            order = self.order
            self._visible = deque(sorted(self._visible, key=lambda _: order.random()))
        given = len(self._visible) - self.keeps_back
        if self.keeps_back and given <= 0:
            return ()
        return await super().receive(limit=min(limit, given) if self.keeps_back else limit, wait=wait, lease=lease)

    async def send(self, messages: Sequence[Message]) -> BatchReport:
        if self.is_down:
            raise Unreachable("no connection")
        if self.refuses:
            refused = tuple(EntryFailure(i, "InternalError", "try later", transient=True) for i in range(self.refuses))
            sent = await super().send(messages[self.refuses :])
            return BatchReport(tuple(index + self.refuses for index in sent.succeeded), refused)
        return await super().send(messages)

    async def delete(self, receipts: Sequence[str]) -> BatchReport:
        if self.dies_in == "delete":
            raise CutOffError
        return await super().delete(receipts)


class DyingStore(MemoryStore):
    """Dies in each delete."""

    async def delete(self, keys: Sequence[str]) -> BatchReport:
        raise CutOffError


class World:
    """A lane with dead letters, a control bucket, and a clock."""

    def __init__(self) -> None:
        self.clock = FakeClock(auto_advance=True)
        self.dlq = FaultyQueue("live-dlq", self.clock)
        self.queue = FaultyQueue("live", self.clock, max_receive_count=7, dead_letter_queue=self.dlq)
        self.buckets = MemoryBuckets(self.clock)
        self.store = self.buckets.store("control")
        self.records = Records(self.store, "pp", self.clock, lambda: 0.5)

    def layout(self, run_id: str = RUN) -> RunLayout:
        return RunLayout("pp", run_id)

    async def bury(
        self, number: int, *, agency: str = "10", run_id: str = RUN, failures: int = 0, fingerprint: str = "a" * 12
    ) -> Item:
        item = Item("copy", agency, {"n": number})
        layout = self.layout(run_id)
        for index in range(1, failures + 1):
            await self.store.put(layout.failure(item.item_id, index), b"{}")
        failure = Failure("NotFound", "no such key", fingerprint, transient=False)
        await self.records.evidence(run_id).write_dossier(
            Dossier(
                run_id=run_id,
                item_id=item.item_id,
                processor="copy",
                agency_id=agency,
                reason="permanent",
                failure=failure,
                attempts=failures,
                worker="w",
                code_version="0",
                first_failed_at="t",
                last_failed_at="t",
                message_id="m",
                body_size=1,
            )
        )
        error = Cause("permanent", failure, failures, "w", "0", "t").encode()
        body = encode(run_id, item, part="part")
        await self.dlq.send([Message(body, {"error": error, "traceparent": "00-1"}, group=agency)])
        return item

    async def finish(self, item: Item, run_id: str = RUN) -> None:
        await self.store.put(self.layout(run_id).marker(item.item_id), b"{}")

    async def redrive(self, selection: Selection = EVERYTHING, **options: object) -> Tally:
        limit, dry_run = options.pop("limit", None), options.pop("dry_run", False)
        redrive = Redrive(Lane("live", self.queue, self.dlq), self.records, self.clock, **options)  # type: ignore[arg-type] # the constructor's own options, by name
        return await redrive.run(selection, limit=limit, dry_run=dry_run)  # type: ignore[arg-type] # see above

    async def keys(self) -> list[str]:
        return [info.key async for info in self.store.list("pp/")]

    async def state(self, item: Item) -> tuple[bool, int, int]:
        """Say whether the item has a dossier, and how many messages are in the queue and in the dead letters."""
        queue, dlq = await self.queue.depth(), await self.dlq.depth()
        is_dead = self.layout().dossier(item.item_id) in await self.keys()
        return is_dead, queue.visible + queue.delayed + queue.in_flight, dlq.visible + dlq.in_flight


async def test_a_redriven_item_is_queued_with_its_attempts_counted_anew_and_without_its_error() -> None:
    world = World()
    item = await world.bury(1, failures=5)

    tally = await world.redrive()

    assert (1, 0, True) == (tally.redriven, tally.already_done, tally.is_complete)
    assert {RUN} == tally.runs
    assert (False, 1, 0) == await world.state(item)
    (delivery,) = await world.queue.receive(limit=1, wait=timedelta(seconds=20), lease=timedelta(seconds=30))
    message = decode(delivery.body)
    assert (item.item_id, 5, {"n": 1}) == (message.item_id, message.attempt_base, message.payload)
    assert {"traceparent": "00-1", "resumed": "redrive"} == dict(delivery.attributes)
    assert "10" == delivery.group


async def test_a_letter_whose_item_is_done_is_said_so_and_dropped() -> None:
    world = World()
    item = await world.bury(1)
    await world.finish(item)

    tally = await world.redrive()

    assert (0, 1) == (tally.redriven, tally.already_done)
    assert (False, 0, 0) == await world.state(item)


async def test_a_dry_run_counts_and_changes_nothing() -> None:
    world = World()
    item = await world.bury(1)
    done = await world.bury(2)
    await world.finish(done)
    before = await world.keys()

    tally = await world.redrive(dry_run=True)

    assert (1, 1) == (tally.redriven, tally.already_done)
    assert before == await world.keys()
    assert (True, 0, 2) == await world.state(item)
    assert 2 == (await world.dlq.depth()).visible


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(fingerprint="b" * 12), 1),
        (Selection(run_id="run-2"), 1),
        (Selection(agency="10"), 2),
        (Selection(processor="copy"), 3),
        (Selection(processor="other"), 0),
        (Selection(agency="10", run_id="run-2"), 0),
        (EVERYTHING, 3),
    ],
)
async def test_only_what_is_chosen_is_redriven_and_the_rest_is_given_back(selection: Selection, expected: int) -> None:
    world = World()
    await world.bury(1)
    await world.bury(2, fingerprint="b" * 12)
    await world.bury(3, agency="11", run_id="run-2")

    tally = await world.redrive(selection)

    assert (expected, 3 - expected) == (tally.redriven, tally.not_matching)
    assert 3 - expected == (await world.dlq.depth()).visible


async def test_one_item_is_chosen_by_its_id() -> None:
    world = World()
    item = await world.bury(1)
    await world.bury(2)

    assert 1 == (await world.redrive(Selection(item=item.item_id))).redriven


async def test_a_limit_holds_across_batches() -> None:
    world = World()
    for number in range(25):
        await world.bury(number)

    tally = await world.redrive(limit=13)

    assert 13 == tally.redriven
    assert (13, 12) == ((await world.queue.depth()).delayed, (await world.dlq.depth()).visible)


async def test_a_rate_spreads_the_letters_over_time() -> None:
    world = World()
    for number in range(20):
        await world.bury(number)
    before = world.clock.monotonic()

    await world.redrive(rate=2.0)

    assert world.clock.monotonic() - before >= 10


async def test_a_slow_redrive_leaves_no_wanted_letter_behind_those_that_are_kept() -> None:
    world = World()
    for number in range(200):
        await world.bury(number, fingerprint="b" * 12 if number % 2 else "a" * 12)
    world.dlq.order = random.Random(7)

    tally = await world.redrive(Selection(fingerprint="b" * 12), rate=0.1)

    assert (100, 100, "", True) == (tally.redriven, tally.not_matching, tally.unread, tally.is_complete)
    assert {"a" * 12: 100} == tally.others
    assert 100 == (await world.dlq.depth()).visible


async def test_letters_that_another_reader_holds_make_a_redrive_incomplete() -> None:
    world = World()
    for number in range(3):
        await world.bury(number)
    await world.dlq.receive(limit=1, wait=timedelta(0), lease=timedelta(minutes=5))

    tally = await world.redrive()

    assert (2, False) == (tally.redriven, tally.is_complete)
    assert "the queue counts about 3, 1 of them held by another reader; try again later" == tally.unread


async def test_letters_that_the_queue_counts_and_does_not_give_make_a_redrive_incomplete() -> None:
    world = World()
    for number in range(3):
        await world.bury(number)
    world.dlq.keeps_back = 1

    tally = await world.redrive()

    assert (2, False) == (tally.redriven, tally.is_complete)
    assert "read 2 of about 3; its count lags by up to a minute: run it again" == tally.unread


async def test_a_limit_that_is_reached_is_no_partial_read() -> None:
    world = World()
    for number in range(3):
        await world.bury(number)

    assert (await world.redrive(limit=2)).is_complete


async def test_a_malformed_letter_stays_unless_forced() -> None:
    world = World()
    await world.dlq.send([Message("not ours", {"error": "{}"})])

    left = await world.redrive()
    forced = await world.redrive(forced=True)

    assert (0, 1, False) == (left.redriven, left.malformed, left.is_complete)
    assert (1, 0) == (forced.redriven, forced.malformed)
    (delivery,) = await world.queue.receive(limit=1, wait=timedelta(seconds=20), lease=timedelta(seconds=30))
    assert ("not ours", {}) == (delivery.body, dict(delivery.attributes))


async def test_what_the_queue_refuses_stays_dead_with_its_evidence() -> None:
    world = World()
    refused, taken = await world.bury(1), await world.bury(2)
    world.queue.refuses = 1

    tally = await world.redrive()

    assert (1, 1, False) == (tally.redriven, tally.failed, tally.is_complete)
    assert ["queue live: InternalError: try later"] == tally.faults
    assert (True, 1, 1) == await world.state(refused)
    assert (False, 1, 1) == await world.state(taken)
    assert 1 == (await world.dlq.depth()).visible


async def test_a_queue_that_is_down_ends_the_redrive_and_gives_everything_back() -> None:
    world = World()
    item = await world.bury(1)
    world.queue.is_down = True

    tally = await world.redrive()

    assert (0, ["stopped: no connection"]) == (tally.redriven, tally.faults)
    assert (True, 0, 1) == await world.state(item)
    assert 1 == (await world.dlq.depth()).visible


async def test_cut_off_before_the_delete_the_item_is_queued_and_its_letter_goes_with_the_next_redrive() -> None:
    world = World()
    item = await world.bury(1)
    world.dlq.dies_in = "delete"
    with pytest.raises(CutOffError):
        await world.redrive()
    assert (False, 1, 1) == await world.state(item)
    world.dlq.dies_in = ""
    await world.finish(item)

    tally = await world.redrive()

    assert (0, 1) == (tally.redriven, tally.already_done)
    assert (False, 1, 0) == await world.state(item)


async def test_cut_off_after_the_send_the_item_is_queued_and_still_dead_with_its_evidence() -> None:
    world = World()
    item = await world.bury(1)

    dying = DyingStore(world.buckets, "control")
    whole, world.records = world.records, Records(dying, "pp", world.clock, lambda: 0.5)
    with pytest.raises(CutOffError):
        await world.redrive()
    assert (True, 1, 1) == await world.state(item)

    world.records = whole
    tally = await world.redrive()

    assert 1 == tally.redriven  # sent twice: the first marker wins
    assert (False, 2, 0) == await world.state(item)


async def test_two_redrives_at_once_leave_no_letter_and_no_dossier() -> None:
    world = World()
    items = [await world.bury(number) for number in range(30)]
    lane = Lane("live", world.queue, world.dlq)
    first, second = (Redrive(lane, world.records, world.clock) for _ in range(2))

    await asyncio.gather(first.run(EVERYTHING), second.run(EVERYTHING))

    assert len(items) == first.tally.redriven + second.tally.redriven
    assert (False, 30, 0) == await world.state(items[0])
    assert [] == [key for key in await world.keys() if "/dead/" in key]


def test_an_empty_selection_is_known_as_such() -> None:
    assert Selection().is_empty()
    assert not Selection(agency="10").is_empty()
    assert not EVERYTHING.is_empty()
