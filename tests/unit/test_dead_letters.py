import random
from collections import deque
from collections.abc import Sequence
from datetime import timedelta

import pytest

from etl_core.queue import MESSAGE_LIMIT, Delivery, Depth, Message
from etl_core.queue.memory import MemoryQueue
from etl_core.testing.fake_clock import FakeClock
from pipeline_operator.dead_letters import MOVED, UNREADABLE, DeadLetter, Groups, parse, shortfall
from pipeline_operator.redrive import Tally
from pipeline_operator.reports import list_letters, print_no_match
from pipeline_processing.dead_letters import Cause, Reading, compose
from pipeline_processing.messages import encode
from pipeline_processing.model import Failure, Item
from pipeline_processing.service_handler import Lane


def _body(number: int = 1, *, agency: str = "10", run_id: str = "run-1") -> str:
    return encode(run_id, Item("copy", agency, {"n": number}), part="part")


def _error(fingerprint: str = "aaaaaaaaaaaa", reason: str = "permanent") -> str:
    failure = Failure("NotFound", "no such key", fingerprint, transient=False)
    return Cause(reason, failure, 2, "w1", "0.1.0", "2030-01-01T00:00:00+00:00").encode()


async def _read(queue: MemoryQueue, clock: FakeClock) -> list[DeadLetter]:
    async with Reading(queue, clock) as reading:
        return [parse(delivery) async for batch in reading.batches() for delivery in batch]


async def _letters(*messages: Message) -> list[DeadLetter]:
    clock = FakeClock(auto_advance=True)
    queue = MemoryQueue("dlq", clock)
    await queue.send(messages)
    return await _read(queue, clock)


async def test_letters_are_grouped_by_fingerprint_and_the_largest_group_comes_first() -> None:
    letters = await _letters(
        Message(_body(1), {"error": _error("aaaaaaaaaaaa")}),
        Message(_body(2, agency="11", run_id="run-2"), {"error": _error("bbbbbbbbbbbb")}),
        Message(_body(3, agency="12"), {"error": _error("bbbbbbbbbbbb")}),
    )

    groups = Groups(letters).by_size()

    assert [("bbbbbbbbbbbb", 2), ("aaaaaaaaaaaa", 1)] == [(group.cause.fingerprint, group.count) for group in groups]
    assert ({"run-1", "run-2"}, {"11", "12"}) == (groups[0].runs, groups[0].agencies)


async def test_what_the_worker_wrote_of_the_cause_is_what_the_operator_reads() -> None:
    (letter,) = await _letters(Message(_body(), {"error": _error()}))

    cause = letter.cause
    assert ("aaaaaaaaaaaa", "NotFound", "no such key", "permanent") == (
        cause.fingerprint,
        cause.error_class,
        cause.message,
        cause.reason,
    )
    assert (2, "w1", "0.1.0", "2030-01-01T00:00:00+00:00") == (
        cause.attempts,
        cause.worker,
        cause.code_version,
        cause.died_at,
    )


async def test_a_letter_without_an_error_is_shown_as_moved_by_the_queue() -> None:
    (letter,) = await _letters(Message(_body()))

    assert MOVED == letter.cause.fingerprint
    assert "moved by the queue: its worker died or never finished" == letter.cause.message
    assert letter.message is not None


async def test_a_letter_whose_error_is_not_readable_is_shown_as_such() -> None:
    letters = await _letters(
        Message(_body(1), {"error": "{"}), Message(_body(2), {"error": "[]"}), Message(_body(3), {"error": "{}"})
    )

    assert [UNREADABLE] * 3 == [letter.cause.fingerprint for letter in letters]


async def test_a_body_that_is_none_of_ours_keeps_its_cause_and_says_why_it_is_malformed() -> None:
    (letter,) = await _letters(Message("not json", {"error": _error(reason="malformed")}))

    assert letter.message is None
    assert ("the body is not JSON", "malformed") == (letter.malformed, letter.cause.reason)


async def test_a_body_that_left_no_room_for_its_error_is_shown_as_malformed_and_not_as_moved() -> None:
    clock = FakeClock(auto_advance=True)
    lane, dlq = MemoryQueue("live", clock), MemoryQueue("dlq", clock)
    await lane.send([Message("x" * MESSAGE_LIMIT)])
    (delivery,) = await lane.receive(limit=1, wait=timedelta(0), lease=timedelta(seconds=1))
    failure = Failure("MalformedMessage", "the body is not JSON", "a" * 12, transient=False)
    await dlq.send([compose(delivery, Cause("malformed", failure, 0, "w1", "0.1.0", "2030-01-01T00:00:00+00:00"))])

    (letter,) = await _read(dlq, clock)

    assert {} == dict(letter.delivery.attributes)
    expected = ("malformed", "malformed", "the body is not JSON")
    assert expected == (letter.cause.fingerprint, letter.cause.reason, letter.cause.message)


async def test_the_deadline_counts_from_the_original_send() -> None:
    clock = FakeClock(auto_advance=True)
    dlq = MemoryQueue("dlq", clock, retention=timedelta(days=14))
    lane = MemoryQueue("live", clock, max_receive_count=1, dead_letter_queue=dlq)
    sent_at = clock.now()
    await lane.send([Message(_body())])
    await lane.receive(limit=1, wait=timedelta(0), lease=timedelta(seconds=1))
    await clock.advance(timedelta(days=3))
    assert not await lane.receive(limit=1, wait=timedelta(0), lease=timedelta(seconds=1))

    (letter,) = await _read(dlq, clock)

    assert sent_at + timedelta(days=14) == letter.expires_at((await dlq.policy()).retention)
    assert MOVED == letter.cause.fingerprint


async def test_reading_gives_every_letter_back_at_once() -> None:
    clock = FakeClock(auto_advance=True)
    queue = MemoryQueue("dlq", clock)
    await queue.send([Message(_body(number)) for number in range(25)])

    letters = await _read(queue, clock)

    assert 25 == len({letter.delivery.message_id for letter in letters})
    depth = await queue.depth()
    assert (25, 0) == (depth.visible, depth.in_flight)


async def test_letters_that_come_back_within_a_long_pass_are_given_out_once() -> None:
    clock = FakeClock(auto_advance=True)
    queue = MemoryQueue("dlq", clock)
    await queue.send([Message(_body(number)) for number in range(25)])

    seen: list[str] = []
    async with Reading(queue, clock, lease=timedelta(seconds=30)) as reading:
        async for batch in reading.batches(5):
            seen += [delivery.message_id for delivery in batch]
            await clock.advance(timedelta(seconds=40))

    assert 25 == len(seen) == len(set(seen))


class Shuffled(MemoryQueue):
    """Gives in any order, as the service may, and counts what it gave."""

    given = 0

    async def receive(self, *, limit: int, wait: timedelta, lease: timedelta) -> Sequence[Delivery]:
        self._surface()
        self._visible = deque(random.Random(self.given).sample(self._visible, len(self._visible)))
        deliveries = await super().receive(limit=limit, wait=wait, lease=lease)
        self.given += len(deliveries)
        return deliveries


class Stubborn(MemoryQueue):
    """Leases nothing, and gives only the letters that stand first."""

    async def receive(self, *, limit: int, wait: timedelta, lease: timedelta) -> Sequence[Delivery]:
        deliveries = await super().receive(limit=limit, wait=wait, lease=timedelta(0))
        self._surface()
        self._visible.rotate(len(deliveries))
        return deliveries


async def test_known_letters_in_any_order_do_not_end_a_pass_that_outlasts_their_lease() -> None:
    clock = FakeClock(auto_advance=True)
    queue = Shuffled("dlq", clock)
    await queue.send([Message(_body(number)) for number in range(100)])

    seen: list[str] = []
    async with Reading(queue, clock, lease=timedelta(seconds=30)) as reading:
        async for batch in reading.batches(1):
            seen += [delivery.message_id for delivery in batch]
            await clock.advance(timedelta(seconds=40))

    assert 100 == len(seen) == len(set(seen))
    assert not reading.gave_up


async def test_the_leases_of_held_letters_are_renewed_so_that_none_is_received_twice() -> None:
    clock = FakeClock(auto_advance=True)
    queue = Shuffled("dlq", clock)
    await queue.send([Message(_body(number)) for number in range(100)])

    async with Reading(queue, clock, lease=timedelta(minutes=2)) as reading:
        async for _ in reading.batches(1):
            await clock.advance(timedelta(seconds=10))

    assert 100 == queue.given
    assert 100 == (await queue.depth()).visible


async def test_a_pass_over_a_queue_that_gives_only_known_letters_ends_and_says_so() -> None:
    clock = FakeClock(auto_advance=True)
    queue = Stubborn("dlq", clock)
    await queue.send([Message(_body(number)) for number in range(25)])

    async with Reading(queue, clock) as reading:
        assert [10] == [len(batch) async for batch in reading.batches()]

    assert reading.gave_up


async def test_a_list_of_a_queue_that_kept_letters_back_is_partly_done(capsys: pytest.CaptureFixture[str]) -> None:
    clock = FakeClock(auto_advance=True)
    queue = Stubborn("dlq", clock)
    await queue.send([Message(_body(number)) for number in range(25)])

    assert 3 == await list_letters(Lane("live", queue, queue), clock, limit=1000, as_json=False)
    expected = "note: read 10 of about 25; its count lags by up to a minute: run it again\n"
    assert expected == capsys.readouterr().err


def test_where_nothing_matches_the_largest_few_fingerprints_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    queue = MemoryQueue("dlq", FakeClock())

    print_no_match(Tally(others=dict.fromkeys("abcdef", 1) | {"g": 2_000}), Lane("live", queue, queue))

    said = capsys.readouterr().err
    assert (
        "no dead letter in dlq matches: its fingerprints are g (2,000), a (1), b (1), c (1), d (1) and 2 more" in said
    )


@pytest.mark.parametrize(
    ("read", "before", "says"),
    [
        (3, Depth(3, 0, 0), ""),
        (4, Depth(3, 0, 0), ""),
        (2, Depth(3, 0, 0), "read 2 of about 3; its count lags by up to a minute: run it again"),
        (0, Depth(3, 0, 0), "the queue counts about 3 but gave none; its count lags by up to a minute"),
        (2, Depth(2, 1, 0), "the queue counts about 3, 1 of them held by another reader; try again later"),
    ],
)
def test_fewer_letters_than_counted_are_told_with_the_reason(read: int, before: Depth, says: str) -> None:
    assert says == shortfall(read, 3, before)


async def test_an_error_while_reading_gives_the_letters_back_too() -> None:
    clock = FakeClock(auto_advance=True)
    queue = MemoryQueue("dlq", clock)
    await queue.send([Message(_body())])

    try:
        async with Reading(queue, clock) as reading:
            async for _ in reading.batches():
                raise KeyboardInterrupt  # noqa: TRY301 - what Ctrl-C does at this very place
    except KeyboardInterrupt:
        pass

    assert 1 == (await queue.depth()).visible


async def test_dropping_deletes_only_what_was_chosen() -> None:
    clock = FakeClock(auto_advance=True)
    queue = MemoryQueue("dlq", clock)
    await queue.send([Message(_body(number)) for number in range(3)])

    async with Reading(queue, clock) as reading:
        async for batch in reading.batches():
            assert [] == await reading.drop(batch[:1])

    assert 2 == (await queue.depth()).visible


async def test_parsing_never_raises() -> None:
    queue = MemoryQueue("dlq", FakeClock(auto_advance=True))
    bodies = ["{}", "[]", "null", "1", '{"v":99}', "\x7f", '{"v":1}', "x" * 1000]
    await queue.send([Message(body, {"error": body}) for body in bodies])

    deliveries = await queue.receive(limit=10, wait=timedelta(0), lease=timedelta(seconds=1))

    assert all(parse(delivery).malformed for delivery in deliveries)
    assert len(bodies) == len(deliveries)
