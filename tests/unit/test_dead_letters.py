from datetime import timedelta

from etl_core.queue import MESSAGE_LIMIT, Message
from etl_core.queue.memory import MemoryQueue
from etl_core.testing.fake_clock import FakeClock
from pipeline_operator.dead_letters import MOVED, UNREADABLE, DeadLetter, Groups, Reading, parse
from pipeline_processing.dead_letters import Cause, compose
from pipeline_processing.messages import encode
from pipeline_processing.model import Failure, Item


def _body(number: int = 1, *, agency: str = "10", run_id: str = "run-1") -> str:
    return encode(run_id, Item("copy", agency, {"n": number}), part="part")


def _error(fingerprint: str = "aaaaaaaaaaaa", reason: str = "permanent") -> str:
    failure = Failure("NotFound", "no such key", fingerprint, transient=False)
    return Cause(reason, failure, 2, "w1", "0.1.0", "2030-01-01T00:00:00+00:00").encode()


async def _read(queue: MemoryQueue) -> list[DeadLetter]:
    async with Reading(queue) as reading:
        return [letter async for batch in reading.batches() for letter in batch]


async def _letters(*messages: Message) -> list[DeadLetter]:
    queue = MemoryQueue("dlq", FakeClock(auto_advance=True))
    await queue.send(messages)
    return await _read(queue)


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

    (letter,) = await _read(dlq)

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

    (letter,) = await _read(dlq)

    assert sent_at + timedelta(days=14) == letter.expires_at((await dlq.policy()).retention)
    assert MOVED == letter.cause.fingerprint


async def test_reading_gives_every_letter_back_at_once() -> None:
    clock = FakeClock(auto_advance=True)
    queue = MemoryQueue("dlq", clock)
    await queue.send([Message(_body(number)) for number in range(25)])

    letters = await _read(queue)

    assert 25 == len({letter.delivery.message_id for letter in letters})
    depth = await queue.depth()
    assert (25, 0) == (depth.visible, depth.in_flight)


async def test_letters_that_come_back_within_a_long_pass_are_given_out_once() -> None:
    clock = FakeClock(auto_advance=True)
    queue = MemoryQueue("dlq", clock)
    await queue.send([Message(_body(number)) for number in range(25)])

    seen: list[str] = []
    async with Reading(queue, lease=timedelta(seconds=30)) as reading:
        async for batch in reading.batches(5):
            seen += [letter.delivery.message_id for letter in batch]
            await clock.advance(timedelta(seconds=40))

    assert 25 == len(seen) == len(set(seen))


async def test_an_error_while_reading_gives_the_letters_back_too() -> None:
    queue = MemoryQueue("dlq", FakeClock(auto_advance=True))
    await queue.send([Message(_body())])

    try:
        async with Reading(queue) as reading:
            async for _ in reading.batches():
                raise KeyboardInterrupt  # noqa: TRY301 - what Ctrl-C does at this very place
    except KeyboardInterrupt:
        pass

    assert 1 == (await queue.depth()).visible


async def test_dropping_deletes_only_what_was_chosen() -> None:
    queue = MemoryQueue("dlq", FakeClock(auto_advance=True))
    await queue.send([Message(_body(number)) for number in range(3)])

    async with Reading(queue) as reading:
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
