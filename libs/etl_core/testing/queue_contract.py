"""What every queue adapter does, as tests: subclass it, give it the two fixtures, and pytest runs it all.

Leases are waited out by long polls only, so that a clock which moves by itself makes the suite instant.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import pytest

from etl_core.queue import MESSAGE_LIMIT, Delivery, Message, QueuePolicy

if TYPE_CHECKING:
    from etl_core.queue import Queue

LEASE: Final = timedelta(seconds=30)
SHORT_LEASE: Final = timedelta(seconds=1)
LONGER_THAN_A_SHORT_LEASE: Final = timedelta(seconds=3)
LONG_POLL: Final = timedelta(seconds=15)
NO_WAIT: Final = timedelta(0)


async def receive(queue: Queue, *, wait: timedelta = LONG_POLL, lease: timedelta = LEASE) -> Delivery:
    """Receive exactly one message."""
    (delivery,) = await queue.receive(limit=1, wait=wait, lease=lease)
    return delivery


async def receive_all(queue: Queue, count: int) -> list[Delivery]:
    """Receive until there are ``count``, in as many calls as it takes; a queue that dries up before is a failure."""
    found: list[Delivery] = []
    while len(found) < count:
        batch = await queue.receive(limit=10, wait=LONG_POLL, lease=LEASE)
        assert batch, f"the queue gave {len(found)} of {count} messages"
        found += batch
    return found


class QueueContract:
    """Subclasses give ``queue`` (lease 30 s, retention 14 d, 3 receives) and ``dead_letters``, empty and unshared."""

    MAX_RECEIVE_COUNT: Final = 3

    @pytest.fixture
    def dead_letters(self) -> Queue:
        """Return the dead-letter queue of ``queue``."""
        raise NotImplementedError

    @pytest.fixture
    def queue(self, dead_letters: Queue) -> Queue:
        """Return the queue under test."""
        raise NotImplementedError

    async def test_a_message_arrives_as_it_was_sent(self, queue: Queue) -> None:
        body, attributes = 'naïve "Zoë"\n\t日本 🙂', {"traceparent": "00-1-2-03", "reason": "später"}
        report = await queue.send([Message(body, attributes, group="agency-10")])
        delivery = await receive(queue)
        assert ((0,), ()) == (report.succeeded, report.failed)
        assert (body, attributes, 1) == (delivery.body, dict(delivery.attributes), delivery.receive_count)
        assert "agency-10" == delivery.group
        assert delivery.sent_at.tzinfo is not None

    async def test_an_empty_queue_gives_nothing(self, queue: Queue) -> None:
        assert not await queue.receive(limit=10, wait=NO_WAIT, lease=LEASE)

    async def test_a_receive_gives_no_more_than_its_limit(self, queue: Queue) -> None:
        await queue.send([Message(str(n)) for n in range(5)])
        assert 2 >= len(await queue.receive(limit=2, wait=LONG_POLL, lease=LEASE))

    async def test_a_limit_over_ten_is_cut_to_what_one_call_can_give(self, queue: Queue) -> None:
        await queue.send([Message(str(n)) for n in range(12)])
        assert 10 >= len(await queue.receive(limit=50, wait=LONG_POLL, lease=LEASE))

    async def test_a_received_message_is_invisible_during_its_lease(self, queue: Queue) -> None:
        await queue.send([Message("once")])
        await receive(queue)
        assert not await queue.receive(limit=1, wait=SHORT_LEASE, lease=LEASE)

    async def test_a_message_comes_back_after_its_lease_with_a_new_receipt(self, queue: Queue) -> None:
        await queue.send([Message("again")])
        first = await receive(queue, lease=SHORT_LEASE)
        second = await receive(queue)
        assert (first.message_id, first.body, first.sent_at) == (second.message_id, second.body, second.sent_at)
        assert (1, 2) == (first.receive_count, second.receive_count)
        assert first.receipt != second.receipt

    async def test_an_extended_lease_outlives_the_first_one(self, queue: Queue) -> None:
        await queue.send([Message("kept")])
        delivery = await receive(queue, lease=SHORT_LEASE)
        report = await queue.extend([delivery.receipt], LEASE)
        assert ((0,), ()) == (report.succeeded, report.failed)
        assert not await queue.receive(limit=1, wait=LONGER_THAN_A_SHORT_LEASE, lease=LEASE)

    async def test_a_lease_of_zero_gives_the_message_back_at_once(self, queue: Queue) -> None:
        await queue.send([Message("back")])
        delivery = await receive(queue)
        assert (0,) == (await queue.extend([delivery.receipt], timedelta(0))).succeeded
        assert 2 == (await receive(queue)).receive_count

    async def test_what_was_given_back_can_not_be_extended(self, queue: Queue) -> None:
        await queue.send([Message("back")])
        delivery = await receive(queue)
        await queue.extend([delivery.receipt], timedelta(0))
        report = await queue.extend([delivery.receipt], LEASE)
        assert ((), [(0, False)]) == (report.succeeded, [(fault.index, fault.transient) for fault in report.failed])

    async def test_of_a_batch_of_extensions_each_entry_has_its_own_outcome(self, queue: Queue) -> None:
        await queue.send([Message("done"), Message("held")])
        first, second = await receive_all(queue, 2)
        await queue.delete([first.receipt])
        report = await queue.extend([first.receipt, second.receipt], LEASE)
        assert ((1,), [(0, False)]) == (report.succeeded, [(fault.index, fault.transient) for fault in report.failed])

    async def test_a_lease_can_not_pass_twelve_hours_from_the_receive(self, queue: Queue) -> None:
        await queue.send([Message("long")])
        delivery = await receive(queue)
        await queue.receive(limit=1, wait=LONGER_THAN_A_SHORT_LEASE, lease=LEASE)  # lets some of the hours pass
        report = await queue.extend([delivery.receipt], timedelta(hours=12))
        assert ((), [(0, False)]) == (report.succeeded, [(fault.index, fault.transient) for fault in report.failed])

    async def test_a_deleted_message_never_comes_back(self, queue: Queue) -> None:
        await queue.send([Message("done")])
        delivery = await receive(queue, lease=SHORT_LEASE)
        assert (0,) == (await queue.delete([delivery.receipt])).succeeded
        assert not await queue.receive(limit=1, wait=LONGER_THAN_A_SHORT_LEASE, lease=LEASE)

    async def test_a_lease_that_ran_out_does_not_keep_its_receipt_from_deleting(self, queue: Queue) -> None:
        await queue.send([Message("late")])
        delivery = await receive(queue, lease=timedelta(0))
        assert (0,) == (await queue.delete([delivery.receipt])).succeeded
        assert not await queue.receive(limit=1, wait=NO_WAIT, lease=LEASE)

    async def test_deleting_twice_succeeds(self, queue: Queue) -> None:
        await queue.send([Message("done")])
        delivery = await receive(queue)
        await queue.delete([delivery.receipt])
        report = await queue.delete([delivery.receipt])
        assert ((0,), ()) == (report.succeeded, report.failed)

    async def test_deleting_by_an_old_receipt_is_called_a_success_and_the_new_one_still_deletes(
        self, queue: Queue
    ) -> None:
        """AWS: "the request will succeed, but the message might not be deleted"; which of the two is left open here."""
        await queue.send([Message("twice")])
        old = await receive(queue, lease=timedelta(0))
        new = await receive(queue, lease=SHORT_LEASE)
        assert (0,) == (await queue.delete([old.receipt])).succeeded
        assert (0,) == (await queue.delete([new.receipt])).succeeded
        assert not await queue.receive(limit=1, wait=LONGER_THAN_A_SHORT_LEASE, lease=LEASE)

    async def test_any_number_of_entries_is_split_into_calls(self, queue: Queue) -> None:
        sent = await queue.send([Message(str(n)) for n in range(25)])
        deliveries = await receive_all(queue, 25)
        receipts = [delivery.receipt for delivery in deliveries]
        extended, deleted = await queue.extend(receipts, LEASE), await queue.delete(receipts)
        assert {str(n) for n in range(25)} == {delivery.body for delivery in deliveries}
        assert [tuple(range(25))] * 3 == [sent.succeeded, extended.succeeded, deleted.succeeded]

    async def test_nothing_to_do_is_done(self, queue: Queue) -> None:
        reports = [await queue.send([]), await queue.extend([], LEASE), await queue.delete([])]
        assert [((), ())] * 3 == [(report.succeeded, report.failed) for report in reports]

    async def test_messages_too_big_for_one_call_together_all_arrive(self, queue: Queue) -> None:
        bodies = [letter * (MESSAGE_LIMIT * 3 // 5) for letter in "abc"]
        report = await queue.send([Message(body) for body in bodies])
        assert (0, 1, 2) == report.succeeded
        assert set(bodies) == {delivery.body for delivery in await receive_all(queue, 3)}

    async def test_a_message_of_exactly_the_limit_arrives(self, queue: Queue) -> None:
        message = Message("x" * (MESSAGE_LIMIT - 9), {"a": "bc"})
        assert MESSAGE_LIMIT == message.size()
        assert (0,) == (await queue.send([message])).succeeded
        assert message.body == (await receive(queue)).body

    async def test_messages_that_can_not_be_sent_fail_alone(self, queue: Queue) -> None:
        impossible = [Message(""), Message("x" * (MESSAGE_LIMIT + 1)), Message("nul \0"), Message("x", {"a": ""})]
        report = await queue.send([Message("good"), *impossible, Message("also good")])
        assert (0, 5) == report.succeeded
        assert [(1, False), (2, False), (3, False), (4, False)] == [(f.index, f.transient) for f in report.failed]
        assert {"good", "also good"} == {delivery.body for delivery in await receive_all(queue, 2)}

    async def test_a_delayed_message_appears_after_its_delay(self, queue: Queue) -> None:
        await queue.send([Message("later", delay=timedelta(seconds=2))])
        assert not await queue.receive(limit=1, wait=NO_WAIT, lease=LEASE)
        assert "later" == (await receive(queue)).body

    async def test_a_long_poll_ends_as_soon_as_a_message_is_sent(self, queue: Queue) -> None:
        async with asyncio.TaskGroup() as group, asyncio.timeout(10):
            polling = group.create_task(receive(queue, wait=timedelta(seconds=20)))
            await asyncio.sleep(0)
            await queue.send([Message("now")])
        assert "now" == polling.result().body

    async def test_concurrent_receivers_share_no_message(self, queue: Queue) -> None:
        await queue.send([Message(str(n)) for n in range(40)])
        batches = await asyncio.gather(*(queue.receive(limit=10, wait=LONG_POLL, lease=LEASE) for _ in range(4)))
        bodies = [delivery.body for batch in batches for delivery in batch]
        assert len(set(bodies)) == len(bodies)

    async def test_a_message_received_too_often_goes_to_the_dead_letter_queue(
        self, queue: Queue, dead_letters: Queue
    ) -> None:
        await queue.send([Message("poison", {"processor": "p"}, group="g")])
        for count in range(1, self.MAX_RECEIVE_COUNT + 1):
            delivery = await receive(queue)
            assert count == delivery.receive_count
            await queue.extend([delivery.receipt], timedelta(0))
        assert not await queue.receive(limit=1, wait=SHORT_LEASE, lease=LEASE)
        dead = await receive(dead_letters)
        assert (delivery.message_id, "poison", {"processor": "p"}) == (
            dead.message_id,
            dead.body,
            dict(dead.attributes),
        )
        assert delivery.sent_at == dead.sent_at

    async def test_the_depth_tells_the_three_states_apart(self, queue: Queue) -> None:
        assert (await queue.depth()).is_empty()
        await queue.send([Message("a"), Message("b"), Message("c", delay=timedelta(minutes=1))])
        await queue.receive(limit=1, wait=LONG_POLL, lease=LEASE)
        depth = await queue.depth()
        assert (1, 1, 1) == (depth.visible, depth.in_flight, depth.delayed)

    async def test_the_policy_is_the_queue_s_configuration(self, queue: Queue, dead_letters: Queue) -> None:
        expected = QueuePolicy(LEASE, timedelta(days=14), self.MAX_RECEIVE_COUNT, dead_letters.name)
        assert expected == await queue.policy()
        last = await dead_letters.policy()
        assert (None, None) == (last.max_receive_count, last.dead_letter_queue)
