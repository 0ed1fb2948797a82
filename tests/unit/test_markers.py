from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from etl_core.errors import (
    AccessDenied,
    Conflict,
    InvalidData,
    NotFound,
    PreconditionFailed,
    ReplyLost,
    Throttled,
    Transient,
    Unreachable,
)
from etl_core.objects.create import TRIES
from one_queue import LAYOUT, OneQueue, item
from pipeline_processing.markers import READS, decode, encode
from pipeline_processing.model import ItemResult, Marker, Output

if TYPE_CHECKING:
    from collections.abc import Callable

ONE = item(1)


@pytest.fixture
def world() -> OneQueue:
    return OneQueue()


def marker(nonce: str = "mine", item_id: str = ONE.item_id) -> Marker:
    result = ItemResult(
        item_id,
        "done",
        {"copied": 1},
        outputs=(Output("b", "k ü", 3, "e", "SHA256:00"),),
        details={"rows": [1, None, "x"]},
    )
    return Marker("r1", item_id, "copy", "10", nonce, 2, "w1", "0.1.0", "2030-01-01T00:00:00+00:00", result)


def raising(*errors: BaseException | None) -> Callable[[int, str], None]:
    """Raise the n-th error at the n-th write; None lets it pass, and so does what comes after the last."""
    left = list(errors)

    def fault(_number: int, _key: str) -> None:
        if left and (error := left.pop(0)):
            raise error

    return fault


def test_a_marker_reads_back_as_it_was_written() -> None:
    assert marker() == decode(encode(marker()))


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"v": 2, "marker": {}}', b'{"v": 1, "marker": {}}', b'{"v": 1, "marker": null}']
)
def test_what_is_no_marker_is_invalid(body: bytes) -> None:
    with pytest.raises(InvalidData):
        decode(body)


async def test_the_first_marker_wins_and_is_never_replaced(world: OneQueue) -> None:
    assert await world.markers.write(marker("first"))
    assert not await world.markers.write(marker("second"))
    assert "first" == (await world.markers.read(ONE.item_id)).nonce


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, PreconditionFailed("412")),
        (None, ReplyLost("cut")),
        (ReplyLost("never arrived"), None),
        (Conflict("409"), None),
        (Throttled("503"), ReplyLost("cut")),
        (Unreachable("refused"), PreconditionFailed("412")),
    ],
    ids=[
        "a 412 that is our own",
        "a lost reply",
        "a lost request",
        "a 409",
        "a 503, then a lost reply",
        "refused, 412",
    ],
)
async def test_our_own_marker_is_known_as_ours_after(
    world: OneQueue, before: Exception | None, after: Exception | None
) -> None:
    assert await world.faulty(before=raising(before), after=raising(after)).markers("r1").write(marker())
    assert marker() == await world.markers.read(ONE.item_id)


@pytest.mark.parametrize(
    "fault", [ReplyLost("cut"), Conflict("409"), Throttled("503")], ids=["a lost reply", "a 409", "a 503"]
)
async def test_anothers_marker_is_known_as_theirs_after(world: OneQueue, fault: Exception) -> None:
    """The other one wins while our request is under way."""
    await world.markers.write(marker("theirs"))
    assert not await world.faulty(before=raising(fault)).markers("r1").write(marker("mine"))
    assert "theirs" == (await world.markers.read(ONE.item_id)).nonce


async def test_a_conflict_is_tried_again_after_a_jittered_wait(world: OneQueue) -> None:
    before = world.clock.monotonic()
    await world.faulty(before=raising(Conflict("409"), Conflict("409"))).markers("r1").write(marker())
    assert 0.05 + 0.1 == pytest.approx(world.clock.monotonic() - before)  # half of 0.1 s and of 0.2 s


async def test_a_storm_that_does_not_end_is_transient(world: OneQueue) -> None:
    storm = raising(*[Throttled("503")] * TRIES)
    with pytest.raises(Transient, match=ONE.item_id):
        await world.faulty(before=storm).markers("r1").write(marker())
    assert not await world.markers.exists(ONE.item_id)


async def test_a_denied_write_is_not_tried_again(world: OneQueue) -> None:
    with pytest.raises(AccessDenied):
        await world.faulty(before=raising(AccessDenied("no"))).markers("r1").write(marker())


async def test_what_stands_there_and_is_no_marker_is_not_taken_for_one(world: OneQueue) -> None:
    await world.store.put(LAYOUT.marker(ONE.item_id), b"not a marker")
    with pytest.raises(InvalidData):
        await world.markers.write(marker())


async def test_a_marker_is_there_or_not(world: OneQueue) -> None:
    assert not await world.markers.exists(ONE.item_id)
    with pytest.raises(NotFound):
        await world.markers.read(ONE.item_id)
    await world.markers.write(marker())
    assert await world.markers.exists(ONE.item_id)


async def test_a_marker_about_another_item_is_not_believed(world: OneQueue) -> None:
    await world.store.put(LAYOUT.marker(ONE.item_id), encode(marker(item_id=item(2).item_id)))
    with pytest.raises(InvalidData, match="another item"):
        await world.markers.read(ONE.item_id)


async def test_markers_are_listed_ascending_and_read_in_the_order_asked(world: OneQueue) -> None:
    ids = sorted(item(number).item_id for number in range(3 * READS))
    for item_id in reversed(ids):
        await world.markers.write(marker(item_id=item_id))
    await world.store.put(f"{LAYOUT.done}stray", b"")
    assert ids == [item_id async for item_id in world.markers.list()]
    assert ids == [read.item_id async for read in world.markers.read_many(world.markers.list())]
    assert ids[::-1] == [read.item_id async for read in world.markers.read_many(ids[::-1])]


async def test_at_most_so_many_markers_are_read_ahead(world: OneQueue) -> None:
    ids = sorted(item(number).item_id for number in range(3 * READS))
    for item_id in ids:
        await world.markers.write(marker(item_id=item_id))
    asked: list[str] = []

    async def counted() -> object:
        for item_id in ids:
            asked.append(item_id)
            yield item_id

    reading = world.markers.read_many(counted())
    await anext(reading)
    assert READS == len(asked)
    await reading.aclose()


async def test_a_missing_marker_ends_a_reading_with_an_error(world: OneQueue) -> None:
    await world.markers.write(marker())
    with pytest.raises(NotFound):
        _ = [read async for read in world.markers.read_many([ONE.item_id, item(2).item_id])]


async def test_a_result_that_json_can_not_say_is_refused(world: OneQueue) -> None:
    odd = replace(marker(), result=replace(marker().result, details={"x": {1, 2}}))
    with pytest.raises(InvalidData, match="copy"):
        await world.markers.write(odd)
    assert [] == await world.keys()
