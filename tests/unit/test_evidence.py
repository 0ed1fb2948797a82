from __future__ import annotations

from dataclasses import replace

import pytest

from etl_core.errors import InvalidData, NotFound, ReplyLost
from one_queue import LAYOUT, OneQueue, item
from pipeline_processing.evidence import Dossier, FailureRecord, decode_dossier, decode_record, encode
from pipeline_processing.model import Failure

ONE = item(1)
FAILURE = Failure("ValueError", "bad <text>", "0123456789ab", transient=True, trace=("pipeline_processing.x:1 f",))
RECORD = FailureRecord(
    "r1", ONE.item_id, "copy", "10", 1, "n1", FAILURE, "w1", "0.1.0", "2030-01-01", "2030-01-02", "m1", 2, "00-t"
)
DOSSIER = Dossier(
    "r1", ONE.item_id, "copy", "10", "permanent", FAILURE, 3, "w1", "0.1.0", "2030-01-01", "2030-01-02", "m1", 99
)


@pytest.fixture
def world() -> OneQueue:
    return OneQueue()


def test_evidence_reads_back_as_it_was_written() -> None:
    assert RECORD == decode_record(encode(RECORD))
    assert DOSSIER == decode_dossier(encode(DOSSIER))


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"v": 2}', b'{"v": 1, "evidence": {"failure": {}}}'])
def test_what_is_no_evidence_is_invalid(body: bytes) -> None:
    with pytest.raises(InvalidData):
        decode_record(body)
    with pytest.raises(InvalidData):
        decode_dossier(body)


def test_a_dossier_is_no_failure_record() -> None:
    with pytest.raises(InvalidData):
        decode_record(encode(DOSSIER))
    with pytest.raises(InvalidData):
        decode_dossier(encode(RECORD))


async def test_records_are_numbered_without_gaps_and_never_replaced(world: OneQueue) -> None:
    numbers = [await world.evidence.append(replace(RECORD, nonce=f"n{n}"), after=0) for n in range(12)]
    assert list(range(1, 13)) == numbers
    assert 12 == await world.evidence.count(ONE.item_id)
    assert [f"n{n}" for n in range(12)] == [record.nonce for record in await world.evidence.records(ONE.item_id)]
    with pytest.raises(NotFound):
        await world.evidence.read(ONE.item_id, 13)


async def test_a_record_whose_reply_was_lost_counts_once(world: OneQueue) -> None:
    left = [ReplyLost("cut")]

    def fault(_number: int, _key: str) -> None:
        if left:
            raise left.pop()

    assert 1 == await world.faulty(after=fault).evidence("r1").append(RECORD, after=0)
    assert 1 == await world.evidence.count(ONE.item_id)


async def test_another_items_records_do_not_count(world: OneQueue) -> None:
    await world.evidence.append(RECORD, after=0)
    assert 0 == await world.evidence.count(item(2).item_id)


async def test_a_dossier_stands_while_the_item_is_dead(world: OneQueue) -> None:
    assert await world.evidence.read_dossier(ONE.item_id) is None
    await world.evidence.write_dossier(replace(DOSSIER, attempts=1))
    await world.evidence.write_dossier(DOSSIER)
    assert DOSSIER == await world.evidence.read_dossier(ONE.item_id)
    await world.evidence.delete_dossier(ONE.item_id)
    await world.evidence.delete_dossier(ONE.item_id)
    assert await world.evidence.read_dossier(ONE.item_id) is None


async def test_dossiers_are_listed_by_item_ascending(world: OneQueue) -> None:
    ids = sorted(item(number).item_id for number in range(5))
    for item_id in reversed(ids):
        await world.evidence.write_dossier(replace(DOSSIER, item_id=item_id))
    await world.store.put(f"{LAYOUT.dead}stray.json", b"")
    assert ids == [item_id async for item_id in world.evidence.list_dossiers()]
